"""Kill the daemon again and again in the middle of its work, and hold it to what it has said.

One decision: the ledger has only what the daemon acknowledged and what the printers, a process of their own that
lives on, counted; whatever the daemon says after a restart is judged by these two, never by its own earlier state.
"""

from __future__ import annotations

import hashlib
import random
import time
import urllib.error
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any

from sdcpd.simulator.slicing import write_goo
from tests.end_to_end.processes import Daemon, HeldPort, Printers

__all__ = ["STAGES", "CrashRun"]

PROFILES = ("MARS4MAX-1.0.0", "S3U-1.5.4")
RESOLUTIONS = ((5760, 3600), (11520, 5120))
QUICK = ("--scale", "300", "--rate", "15000", "--layer-time", "4", "--bottom-layers", "0", "--completed-screen", "10")
"""A file of 1.5 MB arrives in a third of a second, a print of 40 layers takes three quarters."""
LAYERS = 40
STAGES = {"upload": 0.06, "delivery": 0.4, "start": 0.08, "print": 0.9}
"""The stages of a journey, each with the seconds within which the daemon is killed after the stage has begun."""
PATIENCE = 120.0
"""Seconds that anything may take before the run fails: far more than it needs."""
REMEMBERED = 150
"""So many of the last jobs are looked for: of ended ones the daemon keeps 200, the history keeps all prints."""
OVER = frozenset({"finished", "stopped", "failed", "lost", "unverified"})
WAITING = frozenset({"queued", "held", "delivered"})


class Gone(Exception):
    """The daemon went away before it answered: nobody knows whether it obeyed."""


@dataclass
class Wish:
    """One file and its print, and how much of it the daemon has acknowledged."""

    printer: int
    name: str
    path: Path
    md5: str
    wire_name: str = ""
    stored: bool = False
    """The upload was answered with 201."""
    clear: bool = False
    """That the plate is clear was answered with 200."""
    asked: bool = False
    """The print was asked for, answered or not."""
    job: str = ""
    """The id in the answer to that."""
    removed: bool = False
    again: bool = False
    """Whether somebody who finds the job waiting after the restart wants it printed, or gives it up."""
    decided: bool = False


class CrashRun:
    """So many kills, each followed by a restart and a look at everything; ``say`` tells of each."""

    def __init__(self, directory: Path, seed: int, say: Callable[[str], None]) -> None:
        self._directory = directory
        self._random = random.Random(seed)
        self._say = say
        self._wishes: list[Wish] = []
        self.outcomes: dict[str, int] = {}
        """How the jobs ended, by state."""
        self._port = HeldPort()  # whoever asks while the daemon is away must not reach somebody else
        self._printers = Printers(directory, list(PROFILES), *QUICK)
        try:
            self._daemon = Daemon(directory, self._printers.targets, web=self._port.endpoint)
            self._slugs = self._online()
        except BaseException:
            self._printers.stop()
            raise

    def run(self, kills: int) -> None:
        """Do it; raises ``AssertionError`` at the first thing that is not as it was promised."""
        for number in range(kills):
            stage = self._random.choice(list(STAGES))
            delay = self._random.uniform(0, STAGES[stage])
            began = time.monotonic()
            wishes = self._journeys(number, stage, delay)
            self._daemon.restart(kill=True)
            self._online()
            try:
                self._kept()
                self._settle(wishes)
                self._ended(wishes)
                self._forget(wishes)
            except AssertionError as error:
                raise AssertionError(f"kill {number + 1}, {delay * 1000:.0f} ms into the {stage}: {error}") from error
            took = time.monotonic() - began
            self._say(f"{number + 1:4d} of {kills}  {stage:8s} +{delay * 1000:4.0f} ms  {took:4.1f} s  as promised")
        self._history()
        assert self._printers.ask("violations") == [], self._printers.ask("violations")

    def stop(self) -> None:
        """End both processes."""
        self._daemon.server.stop()
        self._printers.stop()
        self._port.close()

    # -- the journeys, and their end ---------------------------------------------------------------------------

    def _journeys(self, number: int, stage: str, delay: float) -> list[Wish]:
        wishes = [self._wish(number, printer) for printer in range(len(PROFILES))]
        self._wishes += wishes
        with ThreadPoolExecutor(len(wishes)) as pool:
            going = [pool.submit(self._journey, wish) for wish in wishes]
            self._reached(stage, wishes[0])
            time.sleep(delay)
            self._daemon.server.kill()
            for journey in going:
                journey.result(PATIENCE)
        log = self._daemon.server.log
        assert "Traceback" not in log, f"the daemon failed before it was killed:\n{log}"
        return wishes

    def _wish(self, number: int, printer: int) -> Wish:
        name = f"crash-{number}-{printer}.goo"
        path = self._directory / name
        layers = LAYERS + self._random.randrange(10)
        write_goo(path, layers=layers, resolution=RESOLUTIONS[printer], exposure=2.0 + number / 1000)
        again = self._random.random() < 0.5
        return Wish(printer, name, path, hashlib.md5(path.read_bytes()).hexdigest(), again=again)

    def _journey(self, wish: Wish) -> None:
        """What a person does: upload, look at the plate, print."""
        slug = self._slugs[wish.printer]
        try:
            status, answer = self._asked(lambda: self._daemon.put(f"/v1/files/{wish.name}", wish.path))
            assert status == 201, (status, answer)
            wish.stored, wish.wire_name = True, answer["file"]["wire_name"]
            revision = self._asked(lambda: self._daemon.request("GET", f"/v1/printers/{slug}"))[1]["plate"]["revision"]
            word = {"clear": True, "revision": revision}
            status, answer = self._asked(lambda: self._daemon.request("POST", f"/v1/printers/{slug}/plate", word))
            assert status == 200, (status, answer)
            wish.clear = True
            wish.asked = True
            print_it = {"file": wish.name}
            status, answer = self._asked(lambda: self._daemon.request("POST", f"/v1/printers/{slug}/print", print_it))
            assert status == 202, (status, answer)
            wish.job = answer["job"]["id"]
        except Gone:
            return

    def _asked(self, ask: Callable[[], tuple[int, Any]]) -> tuple[int, Any]:
        try:
            return ask()
        except (OSError, HTTPException, urllib.error.URLError, ValueError, AssertionError) as error:
            raise Gone from error

    def _reached(self, stage: str, wish: Wish) -> None:
        """Wait until the first journey is at this stage, by what it was told and what its printer shows."""

        def there() -> bool:
            if stage == "upload":
                return True
            if stage == "delivery":
                return wish.asked
            if not wish.job:
                return False
            status = self._state(wish.printer)["status"]
            if stage == "start":
                told = status["FileTransferInfo"]
                return bool(told["Filename"] == wish.wire_name and 2 * told["DownloadOffset"] > told["FileTotalSize"])
            return bool(status["PrintInfo"]["Filename"] == wish.wire_name)

        self._until(there, f"{wish.name} never came to its {stage}")

    def _until(self, reached: Callable[[], bool], otherwise: str) -> None:
        deadline = time.monotonic() + PATIENCE
        while not reached():
            assert time.monotonic() < deadline, f"{otherwise}; the daemon said:\n{self._daemon.server.log}"
            time.sleep(0.003)

    def _online(self) -> list[str]:
        """The slugs in the order of the printers."""
        found = self._daemon.wait_for_printers(len(PROFILES))
        by_address = {printer["address"]: printer["id"] for printer in found}
        return [by_address[target.partition(":")[0]] for target in self._printers.targets]

    def _state(self, printer: int) -> dict[str, Any]:
        state: dict[str, Any] = self._printers.ask("state", printer)
        return state

    # -- what must be true -------------------------------------------------------------------------------------

    def _kept(self) -> None:
        """What was acknowledged is there, and nothing that is there is half."""
        jobs = {job["id"]: job for job in self._daemon.get("/v1/jobs")}
        files = {file["name"]: file for file in self._daemon.get("/v1/files")}
        sent = {wish.name: wish for wish in self._wishes}
        for wish in self._wishes[-REMEMBERED:]:
            assert not wish.job or wish.job in jobs, f"the job of {wish.name} was acknowledged and is lost"
        for wish in self._wishes:
            if wish.stored and not wish.removed:
                assert wish.name in files, f"{wish.name} was acknowledged and is lost"
        for name, file in files.items():
            wish = sent[name]
            assert not wish.removed, f"{name} was deleted and is there again"
            assert file["md5"] == wish.md5, f"{name} is listed with another MD5"
            body = self._body(name)
            assert hashlib.md5(body).hexdigest() == wish.md5, f"{name} is listed and not whole"
            wish.wire_name = file["wire_name"]
        self._plates()

    def _body(self, name: str) -> bytes:
        status, body = self._daemon.download(f"/v1/files/{name}")
        assert status == 200, f"{name} is listed and answers {status}"
        return body

    def _plates(self) -> None:
        """A plate that a print began on is not clear; one that was said to be clear, and not used, is."""
        for printer, slug in enumerate(self._slugs):
            wish = next(wish for wish in reversed(self._wishes) if wish.printer == printer)
            plate = self._daemon.get(f"/v1/printers/{slug}")["plate"]
            if self._starts(wish):
                assert plate["state"] in ("occupied", "suspect"), f"{slug} prints, and its plate is {plate['state']}"
            elif wish.clear and not wish.asked:
                assert plate["state"] == "clear", f"the plate of {slug} was said to be clear and is {plate['state']}"

    def _starts(self, wish: Wish) -> int:
        return int(self._state(wish.printer)["counts"]["starts"].get(wish.wire_name, 0)) if wish.wire_name else 0

    def _settle(self, wishes: list[Wish]) -> None:
        """Wait until nothing moves any more; what waits for a person is started or given up by one."""
        for wish in wishes:
            slug = self._slugs[wish.printer]

            def at_rest(slug: str = slug, wish: Wish = wish) -> bool:
                job = self._job(wish)
                if job is not None and job["state"] in WAITING:
                    self._decide(wish, job)
                idle = self._state(wish.printer)["status"]["CurrentStatus"] == 0
                idle = idle and self._daemon.get(f"/v1/printers/{slug}")["phase"] == "IDLE"
                return idle and (job is None or job["state"] in OVER)

            self._until(at_rest, f"{slug} does not come to rest after {wish.name}: {self._job(wish)}")

    def _job(self, wish: Wish) -> dict[str, Any] | None:
        """The job of a wish, also one whose acknowledgement was cut off."""
        jobs: list[dict[str, Any]] = self._daemon.get("/v1/jobs")
        return next((job for job in jobs if job["file"] == wish.name), None)

    def _decide(self, wish: Wish, job: dict[str, Any]) -> None:
        """A person who finds a job waiting says once what shall become of it; without that nothing was started."""
        if wish.decided:
            return
        wish.decided = True
        assert self._starts(wish) == 0, f"{wish.name} was started, and its job is {job['state']} again"
        path = f"/v1/jobs/{job['id']}"
        if wish.again:
            status, answer = self._daemon.request("POST", f"{path}/start", {"plate_clear": True})
            assert status == 202, (status, answer)
        else:
            status, answer = self._daemon.request("DELETE", path)
            assert status == 204, (status, answer)

    def _ended(self, wishes: list[Wish]) -> None:
        """No start was sent twice, and every job ended as its printer did."""
        for wish in self._wishes:
            assert self._starts(wish) <= 1, f"{wish.name} was started {self._starts(wish)} times"
        for wish in wishes:
            job = self._job(wish)
            assert job is not None or not wish.job, f"the job of {wish.name} was acknowledged and is lost"
            if job is None:
                continue
            state, started = job["state"], self._starts(wish)
            assert not wish.again or started or not wish.decided, (
                f"{wish.name} was to be started, and is {state}: {job}"
            )
            self.outcomes[state] = self.outcomes.get(state, 0) + 1
            if started:
                assert state in ("finished", "unverified"), (
                    f"{wish.name} was printed to its end, and its job is {state}"
                )
            else:
                assert state != "finished", f"{wish.name} was never started, and its job is finished"
        self._plates()

    def _forget(self, wishes: list[Wish]) -> None:
        """Delete what was tried, so that the disk stays small; that must last, too."""
        for wish in wishes:
            status, answer = self._daemon.request("DELETE", f"/v1/files/{wish.name}")
            assert status == (204 if wish.wire_name else 404), (status, answer)
            wish.removed = True
            wish.path.unlink()

    def _history(self) -> None:
        """Every print that a printer began is there once, with its end; nothing else is."""
        found: dict[str, list[str]] = {}
        cursor = ""
        while cursor is not None:
            page = self._daemon.get(f"/v1/history?limit=100&cursor={cursor}")
            for record in page["prints"]:
                found.setdefault(record["file"], []).append(record["result"])
            cursor = page["next"]
        for wish in self._wishes:
            expected = ["finished"] if self._starts(wish) else []
            told = found.pop(wish.name, []) + found.pop(wish.wire_name, [])
            assert told == expected or (not expected and "finished" not in told), (
                f"the history says {told} of {wish.name}, which was started {self._starts(wish)} times"
            )
        assert not found, f"the history tells of prints that never were: {found}"
