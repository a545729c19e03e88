"""``make demo``: two simulated printers, the daemon, and a sliced file on its whole way, told as it happens.

One decision: the demo uses nothing but the daemon's public API, exactly as a script of a user would.
"""

from __future__ import annotations

import argparse
import json
import shlex
import shutil
import socket
import sys
import tempfile
from pathlib import Path
from typing import Any

from sdcpd.simulator.slicing import Recipe, slice_goo
from sdcpd.simulator.slicing.model import Vase
from tests.end_to_end.processes import Daemon, Printers, samples

PORT = 8080
PROFILES = ["MARS4MAX-1.0.0:Mars 4 Max", "S3U-1.5.4:Saturn 3 Ultra"]
DAY = 86_400
_KEY = '-H "X-Api-Key: $KEY"'
SPEED = ("--scale", "60", "--rate", "60000", "--layer-time", "5", "--completed-screen", "600")


def _bar(percent: float, width: int = 40) -> str:
    full = round(width * percent / 100)
    return "█" * full + "·" * (width - full)


def _say(text: str) -> None:
    print(text, flush=True)


def _file(directory: Path, given: str | None) -> Path:
    """The file to print: the one asked for, the sample where it lies, else one sliced on the spot."""
    if given:
        return Path(given)
    sample = samples() / "mars4max-426-layers.goo"
    if sample.exists():
        return sample
    recipe = Recipe(machine="ELEGOO Mars 4 Max", resolution=(5760, 3600), bed=(195.84, 122.4, 150.0))
    return slice_goo(directory / "demo-vase.goo", Vase(radius=25, height=15), recipe)


def _listen() -> str:
    """The daemon's usual web port if it is free, else any."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", PORT))
        except OSError:
            return "tcp:0:interface=127.0.0.1"
    return f"tcp:{PORT}:interface=127.0.0.1"


class _Screen:
    """Progress in one line at a terminal, a line for each tenth elsewhere."""

    def __init__(self) -> None:
        self._live = sys.stdout.isatty()
        self._shown = ""

    def progress(self, percent: float, text: str) -> None:
        if self._live:
            print(f"\r  {_bar(percent)} {text:<36}", end="", flush=True)
            self._shown = text
            return
        step = f"{text.split()[0]} {percent // 10:.0f}"
        if step != self._shown:
            self._shown = step
            _say(f"  {_bar(percent)} {text}")

    def line(self, text: str) -> None:
        if self._live and self._shown:
            print(f"\r{'':82}\r", end="")
        _say(text)


def _follow(daemon: Daemon, slug: str) -> dict[str, Any]:
    """Tell what one printer does until its job has ended; the last document."""
    screen = _Screen()
    for update in daemon.updates(patience=DAY):
        for event in update["events"]:
            if event["printer"] == slug and event["type"] != "online":
                screen.line(f"  * {event['type'].replace('_', ' ')}")
        printer = update["printers"].get(slug)
        if printer is None or printer["job"] is None:
            continue
        job = printer["job"]
        if job["state"] == "delivering":
            text = f"sent {job['sent'] / 1e6:.1f} of {job['size'] / 1e6:.1f} MB"
            screen.progress(100 * job["sent"] / job["size"], text)
        elif job["state"] in ("printing", "paused", "finished"):
            screen.progress(printer["progress"] or 0, f"layer {printer['layer']} of {printer['total_layers']}")
        if job["ended"]:
            found: dict[str, Any] = printer
            return found
    raise AssertionError("unreachable")


def _tour(daemon: Daemon, file: Path) -> bool:
    printers = daemon.wait_for_printers(len(PROFILES))
    _say("Found by UDP, connected by MQTT:")
    for printer in printers:
        _say(f"  {printer['name']} ({printer['model']}, {printer['firmware']}) at {printer['address']}")
    slug = next(p["id"] for p in printers if p["resolution"] == [5760, 3600])
    upload = f"curl {_KEY} -T {shlex.quote(str(file))} {daemon.url}/v1/files/"
    _say(f"\nUpload {file.name}, {file.stat().st_size / 1e6:.1f} MB:  {upload}")
    status, stored = daemon.put(f"/v1/files/{file.name}", file)
    if status != 201:
        _say(f"  refused: {stored['error']['message']}. {stored['error']['hint']}")
        return False
    _say(f"  stored, MD5 {stored['file']['md5']}")
    wish = {"file": file.name, "plate_clear": True}
    order = f"curl {_KEY} -d {shlex.quote(json.dumps(wish))} {daemon.url}/v1/printers/{slug}/print"
    _say(f"\nPrint it, in half a minute instead of hours:  {order}")
    status, answer = daemon.request("POST", f"/v1/printers/{slug}/print", wish)
    if status != 202:
        _say(f"  refused: {answer['error']['message']}. {answer['error']['hint']}")
        return False
    printer = _follow(daemon, slug)
    job = printer["job"]["state"]
    _say(f"\nThe job is {job}, with {printer['progress']:g} % printed; the page says: {printer['state_text']}.")
    return bool(job == "finished")


def main() -> int:
    """Run the tour; then, at a terminal, leave everything running until Ctrl-C."""
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__.splitlines()[0])
    parser.add_argument("--file", help="a .goo or .ctb file to print instead of the sample")
    chosen = parser.parse_args()
    if chosen.file and not Path(chosen.file).is_file():
        parser.error(f"there is no file {chosen.file}")
    directory = Path(tempfile.mkdtemp(prefix="sdcpd-demo-"))
    try:
        with (
            Printers(directory, PROFILES, *SPEED) as printers,
            Daemon(directory, printers.targets, web=_listen()) as daemon,
        ):
            _say(f"sdcpd is running at {daemon.url} with {len(PROFILES)} simulated printers.")
            _say(f"Its key, for orders from the page and from curl:  KEY={daemon.key}\n")
            good = _tour(daemon, _file(directory, chosen.file))
            stays = good and sys.stdin.isatty() and sys.stdout.isatty()
            _say(f"\nThe web address:  {daemon.url}/   (and /v1/printers, /status, /v1/updates, /openapi.json)")
            _say("Everything keeps running; Ctrl-C ends it." if stays else "No terminal here, so it ends now.")
            if stays:
                daemon.server.process.wait()
            return 0 if good else 1
    except KeyboardInterrupt:
        _say("")
        return 0
    finally:
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
