"""Faults of prints: F28 to F34 of the reference's table (sdcp.md 8.4)."""

from __future__ import annotations

from sdcpd.simulator.slicing import write_goo
from tests.faults.bench import FaultCase


class RefusalTests(FaultCase):
    """F28 and F29."""

    async def test_refused(self) -> None:
        """A start that is refused fails the job in words, for every number, and is not repeated."""
        self.put()
        messages = set()
        for ack in range(1, 8):
            self.printer.inject("refuse", cmd=128, ack=ack)
            self.print()
            job = await self.ended("failed")
            self.assertEqual((job["reason"], self.starts), (f"start_refused_{ack}", ack))
            messages.add(job["message"])
            await self.until(lambda: self.shown()["phase"] == "IDLE")
        self.assertEqual(len(messages), 7)
        await self.wait(60)
        self.assertEqual(self.starts, 7)

    async def test_ignored(self) -> None:
        """A start that is acknowledged and never happens fails after half a minute, and says what was seen."""
        self.printer.inject("start-ignored")
        self.put()
        self.print()
        job = await self.ended("failed")
        self.assertEqual((job["reason"], self.starts), ("start_unconfirmed", 1))
        self.assertTrue(job["message"])


class RebootTests(FaultCase):
    """F30 and F34."""

    async def test_reboot(self) -> None:
        """A printer that reboots in the middle of a print has lost it; somebody is told, and nothing is started."""
        self.printer.inject("reboot-at-layer", layer=20)
        await self.printing()
        await self.ended("lost")
        self.assertIn("print_lost", self.happenings())
        await self.until(lambda: self.shown()["online"])
        self.assertEqual(self.starts, 1)

    async def test_uptime_wraps(self) -> None:
        """A clock that wraps around in the middle of a print is no reboot."""
        await self.printing()
        self.printer.inject("uptime", milliseconds=2**32 - 10)
        await self.until(lambda: self.printer.uptime < 1_000_000)
        await self.ended("finished")
        self.assertNotIn("print_lost", self.happenings())


class ScreenTests(FaultCase):
    """F32 and F33."""

    async def test_paused(self) -> None:
        """What a person pauses and resumes at the screen is paused and printing here."""
        self.printer.inject("screen-pause", layer=20)
        await self.printing()
        await self.until(lambda: self.job()["state"] == "paused")
        await self.until(lambda: self.shown()["phase"] == "PAUSED")
        self.assertTrue(self.printer.person.resume())
        await self.until(lambda: self.job()["state"] == "printing")
        await self.ended("finished")
        self.assertEqual(
            [h for h in self.happenings() if h in ("print_paused", "print_resumed")], ["print_paused", "print_resumed"]
        )

    async def test_stopped(self) -> None:
        """What a person stops at the screen is stopped here, not failed and not finished."""
        self.printer.inject("screen-stop", layer=20)
        await self.printing()
        await self.ended("stopped")
        self.assertIn("print_stopped", self.happenings())

    async def test_swapped(self) -> None:
        """What a person stops to start another file is stopped here, and the other file is shown as nobody's job."""
        path = self.directory / "foreign.goo"
        write_goo(path, layers=200)
        self.printer.store.load(path, "foreign.goo")
        self.printer.inject("screen-start", layer=20, filename="foreign.goo")
        await self.printing()
        await self.until(lambda: "print_stopped" in self.happenings())
        await self.until(lambda: self.shown()["file"] == "foreign.goo" and self.shown()["phase"] == "PRINTING")
        self.assertEqual(self.job().get("state", "stopped"), "stopped")
        self.assertEqual(self.starts, 1)

    async def test_another_file(self) -> None:
        """A file started at the screen is shown, and is not our job."""
        file = await self.printing()
        await self.ended("finished")
        first = self.job()["id"]
        self.printer.person.tap()
        await self.printer.until(lambda printer: not printer.printing.busy)
        path = self.directory / "foreign.goo"
        path.write_bytes((self.directory / "vase.goo").read_bytes() + b"\0")
        self.printer.store.load(path, "foreign.goo")
        self.assertTrue(self.printer.person.start("foreign.goo"))
        await self.until(lambda: self.shown()["phase"] == "PRINTING")
        self.assertEqual(self.shown()["file"], "foreign.goo")
        self.assertNotEqual(file["name"], "foreign.goo")
        self.assertEqual((self.job().get("id", first), self.job().get("state", "finished")), (first, "finished"))

    async def test_completed_screen(self) -> None:
        """A completed screen that nobody taps: the job is finished, the printer asks for somebody, no next start."""
        self.printer.inject("completed-screen", seconds=360_000.0)
        await self.printing()
        await self.ended("finished")
        self.assertEqual(self.shown()["phase"], "ATTENTION")
        self.assertIn("screen", self.shown()["message"])
        self.assertEqual(self.print(status=409)["error"]["code"], "not_now")
        self.assertEqual(self.starts, 1)
        self.printer.person.tap()
        await self.until(lambda: self.shown()["phase"] == "IDLE")
