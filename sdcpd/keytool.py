"""``sdcp-key add|list|revoke|pair``: keys from the command line, through the daemon that is running.

One decision: this is a client of the public API like any other, with the admin's key from its file, so there is one way
in which keys are made, and the daemon is the only one that writes them.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sdcpd.errors import SdcpdError
from sdcpd.scopes import SCOPES

__all__ = ["main"]

KEY_FILE = Path("/var/lib/sdcpd/admin.key")
URL = "http://127.0.0.1:8080"
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}
TIMEOUT = 15.0
"""Seconds after which a daemon that says nothing is taken for absent."""
LOOK = 0.5
"""Seconds between two looks at who waits for a decision."""
MINUTES = 5


class ToolError(SdcpdError):
    """What was asked for cannot be done."""


class _Here(urllib.request.HTTPRedirectHandler):
    """Goes nowhere else: an answer that sends elsewhere is none of a daemon's."""

    def redirect_request(self, *_: object) -> None:
        """The standard library asks what to ask for instead: nothing."""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="sdcp-key", description="Make, list and revoke keys of a running sdcpd.")
    parser.add_argument("--url", help="where the daemon is; by default its port as told beside the key file")
    parser.add_argument("--key-file", type=Path, default=KEY_FILE, help=f"the admin's key [{KEY_FILE}]")
    verbs = parser.add_subparsers(dest="verb", required=True)
    add = verbs.add_parser("add", help="make a key; it is printed once, alone on standard output")
    add.add_argument("name", help="letters, digits, - and _")
    add.add_argument("--scope", action="append", required=True, choices=SCOPES, help="may be given several times")
    add.add_argument("--printer", action="append", default=[], help="limit the key to this printer; several times")
    add.add_argument(
        "--digest", action="store_true", help="also for HTTP Digest: the user is the name, the password the key"
    )
    verbs.add_parser("list", help="the keys in force")
    revoke = verbs.add_parser("revoke", help="a key is good for nothing from now on")
    revoke.add_argument("key", help="its name or its id")
    pair = verbs.add_parser("pair", help="let programs such as Cura and Home Assistant ask for a key, and answer them")
    pair.add_argument("--minutes", type=int, default=MINUTES, help=f"for how long they may ask, 1 to 15 [{MINUTES}]")
    pair.add_argument(
        "--scope", action="append", choices=SCOPES[:-1], help="what they get; several times [view, upload, control]"
    )
    pair.add_argument("--printer", action="append", default=[], help="limit the keys to this printer; several times")
    return parser


def _url(given: str | None, key_file: Path) -> str:
    """The address given, else the first of HTTP in ``ports.json`` beside the key, else the usual one."""
    if given:
        return given.rstrip("/")
    try:
        bound = json.loads((key_file.parent / "ports.json").read_bytes())["web"]
        places = [one["address"].rpartition(":") for one in bound if not one["endpoint"].startswith("ssl:")]
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return URL
    plain = [(_EVERYWHERE.get(host, host), port) for host, _, port in places if port.isdecimal()]
    if not plain:
        found = ", ".join(one["endpoint"].partition(":")[0] for one in bound)
        hint = "Name an address by --url https://..., or add one for this machine: tcp:8080:interface=127.0.0.1"
        raise ToolError(f"the daemon has no address in HTTP, only {found}", hint)
    host, port = plain[0]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _key(file: Path) -> str:
    try:
        return file.read_text("ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no text"
        raise ToolError(f"cannot read {file}: {reason}", "Run it as root, or name the file by --key-file") from error


def _ask(url: str, key: str, method: str, path: str, document: object = None) -> Any:
    body = None if document is None else json.dumps(document).encode()
    # The admin's key goes to the daemon and to nobody else: not to the proxy of the environment, not after a redirect.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), _Here())
    try:
        headers = {"X-Api-Key": key, "Content-Type": "application/json"}
        request = urllib.request.Request(url + path, body, headers, method=method)
        with opener.open(request, timeout=TIMEOUT) as answer:
            return json.loads(answer.read() or b"null")
    except urllib.error.HTTPError as error:
        raise _said(error, url) from error
    except (OSError, HTTPException, ValueError) as error:
        reason = getattr(error, "reason", error)
        raise ToolError(f"no sdcpd answers at {url}: {reason}", "Start it, or name its address by --url") from error


def _said(error: urllib.error.HTTPError, url: str) -> ToolError:
    try:
        found = json.loads(error.read())["error"]
        if isinstance(found, str):  # as OctoPrint says it
            return ToolError(found)
        return ToolError(str(found["message"]), str(found.get("hint", "")))
    except (ValueError, LookupError, TypeError):
        return ToolError(f"{url} answers {error.code}, not as an sdcpd does", "Name the daemon's address by --url")


def _run(chosen: argparse.Namespace) -> Iterator[str]:
    """Do it; the lines are for standard output, as soon as there are any."""
    key, url = _key(chosen.key_file), _url(chosen.url, chosen.key_file)

    def ask(method: str, path: str, document: object = None) -> Any:
        return _ask(url, key, method, path, document)

    if chosen.verb == "add":
        wish: dict[str, Any] = {"name": chosen.name, "scopes": chosen.scope, "printers": chosen.printer}
        yield ask("POST", "/v1/keys", wish | ({"digest": True} if chosen.digest else {}))["secret"]
    elif chosen.verb == "revoke":
        ask("DELETE", f"/v1/keys/{quote(chosen.key, safe='')}")
    elif chosen.verb == "pair":
        wish = {"minutes": chosen.minutes, "printers": chosen.printer}
        yield from _pair(ask, wish | ({"scopes": chosen.scope} if chosen.scope else {}))
    else:
        keys = ask("GET", "/v1/keys")
        yield "ID        NAME                  SCOPES                      PRINTERS"
        for found in keys:
            scopes, printers = ",".join(found["scopes"]), ",".join(found["printers"]) or "all"
            digest = "  (digest)" if found.get("digest") else ""
            yield f"{found['id']:<8}  {found['name']:<20}  {scopes:<26}  {printers}{digest}"


def _pair(ask: Callable[..., Any], wish: dict[str, Any]) -> Iterator[str]:
    """Let programs ask until one is let in or the time is over, and answer for each that asks."""
    if not 1 <= wish["minutes"] <= 15:
        raise ToolError(f"--minutes: expected 1 to 15, found {wish['minutes']}", "Programs can ask again later")
    state = ask("POST", "/v1/keys/pairing", wish)
    yield f"For {wish['minutes']} min programs may ask for a key. Let yours ask now; Ctrl-C ends this."
    try:
        while state["open"] or state["waiting"]:
            for asked in state["waiting"]:
                allow = _let_in(asked)
                try:
                    ask("POST", asked["decision"], {"decision": allow})
                except ToolError as error:  # it has given up, or its key cannot be written down
                    yield f"{error.message} {error.hint}".strip()
                    continue
                yield f"{asked['app']} fetches its key now." if allow else f"{asked['app']} gets no key."
                if allow:
                    return
            time.sleep(LOOK)
            state = ask("GET", "/v1/keys/pairing")
        yield "The time is over, and nobody was let in."
    except (KeyboardInterrupt, EOFError):
        yield "Nobody was let in."
    finally:
        ask("POST", "/v1/keys/pairing", {"minutes": 0})


def _let_in(asked: dict[str, Any]) -> bool:
    who = f"{asked['app']} for {asked['user']}" if asked["user"] else asked["app"]
    printers = ", ".join(asked["printers"]) or "all printers"
    print(f"{who} asks from {asked['address'] or 'this machine'}, at the address of {asked['printer']}.")
    print(f"It would get {', '.join(asked['scopes'])} on {printers}.")
    return input("Let it in? [y/N] ").strip().casefold() in ("y", "yes")


def main(arguments: Sequence[str] | None = None) -> int:
    """Do one thing; 0 if it is done, 1 with one line on standard error if it cannot be."""
    try:
        for line in _run(_parser().parse_args(arguments)):
            print(line, flush=True)
    except ToolError as error:
        print(f"sdcp-key: {error.message.rstrip('.')}. {error.hint}".rstrip(". ") + ".", file=sys.stderr)
        return 1
    return 0
