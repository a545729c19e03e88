"""``sdcp-key add|list|revoke``: keys from the command line, through the daemon that is running.

One decision: this is a client of the public API like any other, with the admin's key from its file, so there is one way
in which keys are made, and the daemon is the only one that writes them.
"""

from __future__ import annotations

import argparse
import json
import sys
import urllib.error
import urllib.request
from collections.abc import Sequence
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sdcpd.errors import SdcpdError
from sdcpd.scopes import SCOPES

__all__ = ["main"]

KEY_FILE = Path("/var/lib/sdcpd/admin.key")
URL = "http://127.0.0.1:8080"
TIMEOUT = 15.0
"""Seconds after which a daemon that says nothing is taken for absent."""


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
    return parser


def _url(given: str | None, key_file: Path) -> str:
    """The address given, else the one in ``ports.json`` beside the key, else the usual one."""
    if given:
        return given.rstrip("/")
    try:
        address = json.loads((key_file.parent / "ports.json").read_bytes())["web"][0]["address"]
    except (OSError, ValueError, LookupError, TypeError):
        return URL
    return f"http://{address}".replace("://0.0.0.0:", "://127.0.0.1:").replace("://[::]:", "://[::1]:")


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
        request = urllib.request.Request(url + path, body, {"X-Api-Key": key}, method=method)
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
        return ToolError(str(found["message"]), str(found.get("hint", "")))
    except (ValueError, LookupError, TypeError):
        return ToolError(f"{url} answers {error.code}, not as an sdcpd does", "Name the daemon's address by --url")


def _run(chosen: argparse.Namespace) -> list[str]:
    key, url = _key(chosen.key_file), _url(chosen.url, chosen.key_file)
    if chosen.verb == "add":
        wish: dict[str, object] = {"name": chosen.name, "scopes": chosen.scope, "printers": chosen.printer}
        if chosen.digest:
            wish["digest"] = True
        return [_ask(url, key, "POST", "/v1/keys", wish)["secret"]]
    if chosen.verb == "revoke":
        _ask(url, key, "DELETE", f"/v1/keys/{quote(chosen.key, safe='')}")
        return []
    lines = ["ID        NAME                  SCOPES                      PRINTERS"]
    for found in _ask(url, key, "GET", "/v1/keys"):
        scopes, printers = ",".join(found["scopes"]), ",".join(found["printers"]) or "all"
        digest = "  (digest)" if found.get("digest") else ""
        lines.append(f"{found['id']:<8}  {found['name']:<20}  {scopes:<26}  {printers}{digest}")
    return lines


def main(arguments: Sequence[str] | None = None) -> int:
    """Do one thing; 0 if it is done, 1 with one line on standard error if it cannot be."""
    try:
        for line in _run(_parser().parse_args(arguments)):
            print(line)
    except ToolError as error:
        print(f"sdcp-key: {error.message.rstrip('.')}. {error.hint}".rstrip(". ") + ".", file=sys.stderr)
        return 1
    return 0
