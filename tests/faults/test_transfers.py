"""Faults of deliveries: F20 to F27 of the reference's table (sdcp.md 8.4)."""

from __future__ import annotations

import tracemalloc

from sdcpd.simulator.settings import Settings
from tests.faults.bench import FaultCase


class DeliveryCase(FaultCase):
    """One printer, and one job at a time."""

    async def delivered(self, **faults: object) -> None:
        """Deliver and print with a fault; the file must be whole, and the print is started once."""
        name = faults.pop("name", None)
        if name:
            self.printer.inject(str(name), **faults)
        file = self.put()
        self.print()
        await self.ended("finished")
        self.assert_stored(file)
        self.assertEqual(self.starts, 1)
        self.assertEqual(self.printer.violations, [])


class HabitTests(DeliveryCase):
    """F20."""

    async def test_never(self) -> None:
        """A printer that never asks for its file is sent it again after a while."""
        await self.delivered(name="http", kind="never", times=1)
        self.assertGreaterEqual(self.printer.counts.commands[256], 2)

    async def test_head_only(self) -> None:
        """So is one that asks for the head only."""
        await self.delivered(name="http", kind="head-only", times=1)
        self.assertGreaterEqual(self.printer.counts.commands[256], 2)

    async def test_garbage(self) -> None:
        """So is one that asks in garbage."""
        await self.delivered(name="http", kind="garbage", times=1)
        self.assertGreaterEqual(self.printer.counts.commands[256], 2)

    async def test_get_only(self) -> None:
        """A printer that skips HEAD is served."""
        await self.delivered(name="http", kind="get-only", times=1)
        self.assertEqual(self.printer.counts.commands[256], 1)

    async def test_get_twice(self) -> None:
        """A printer that asks twice is served twice."""
        await self.delivered(name="http", kind="get-twice", times=1)
        self.assertEqual(self.printer.counts.commands[256], 1)

    async def test_range(self) -> None:
        """A printer that asks for parts gets parts."""
        await self.delivered(name="http", kind="range", times=1)
        self.assertEqual(self.printer.counts.commands[256], 1)


class DropTests(DeliveryCase):
    """F21."""

    async def test_from_zero(self) -> None:
        """A download that breaks off begins anew and comes through."""
        await self.delivered(name="drop", at=0.4, retry="zero")
        self.assertEqual(self.printer.counts.commands[256], 1)

    async def test_range(self) -> None:
        """One that goes on where it broke off comes through."""
        await self.delivered(name="drop", at=0.4, retry="range")
        self.assertEqual(self.printer.counts.commands[256], 1)

    async def test_never(self) -> None:
        """A printer that gives up is offered the file again."""
        await self.delivered(name="drop", at=0.4, retry="never")
        self.assertEqual(self.printer.counts.commands[256], 2)

    async def test_with_link(self) -> None:
        """A reset of both connections in the middle of the file costs time and nothing else."""
        await self.delivered(name="drop", at=0.4, retry="zero", link="cut")


class SlowTests(DeliveryCase):
    """F22."""

    async def test_stalled(self) -> None:
        """A printer that stops reading for a minute gets its file in the end."""
        await self.delivered(name="stalled-reader", at=0.5, seconds=60 / self.haste * 200)

    async def test_slow(self) -> None:
        """A slow reader is waited for, and the file does not pile up in memory meanwhile."""
        self.printer.inject("slow-reader", rate=1_500_000.0)
        file = self.put(layers=150)
        tracemalloc.start()
        self.addCleanup(tracemalloc.stop)
        tracemalloc.reset_peak()
        before, _ = tracemalloc.get_traced_memory()
        self.print()
        await self.until(lambda: self.job()["sent"] > 600_000)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        self.assertLess(peak - before, 1_500_000)
        self.printer.clear()
        await self.until(lambda: self.job()["ended"])
        self.assertEqual(self.job()["state"], "finished")
        self.assert_stored(file)


class FailureTests(DeliveryCase):
    """F23."""

    async def test_once(self) -> None:
        """A transfer that fails at its end, in whichever way, is repeated."""
        for how in ("status", "md5", "size"):
            self.printer.inject("transfer-fails", how=how, times=1)
            name = f"{how}.goo"
            file = self.put(name, layers=20 + len(how))
            self.print(name)
            await self.ended("finished")
            self.assert_stored(file)
            self.ask("DELETE", f"/v1/files/{name}")
            await self.until(lambda: self.shown()["phase"] == "IDLE")

    async def test_for_good(self) -> None:
        """A printer whose store is full makes the job fail, with the reason, and nothing is started."""
        self.printer.inject("transfer-fails", how="full")
        self.put()
        self.print()
        job = await self.ended("failed")
        self.assertTrue(job["reason"])
        self.assertTrue(job["message"])
        self.assertEqual((self.starts, self.printer.counts.commands[256]), (0, 4))
        self.assertIn("print_failed", self.happenings())


class StaleTests(DeliveryCase):
    """F24 and F25."""

    async def test_stale(self) -> None:
        """The success of a former file is not taken for this one's: the start waits for the file."""
        await self.delivered(name="stale-transfer", filename="former.goo")
        self.assertEqual(self.printer.counts.commands[256], 1)

    async def test_fast(self) -> None:
        """A transfer that is over before any status tells of it is believed all the same."""
        await self.delivered(name="fast-transfer")
        self.assertEqual(self.printer.counts.commands[256], 1)


class LostTests(DeliveryCase):
    """F26."""

    async def test_link_lost(self) -> None:
        """The file arrives although the connection was lost meanwhile; the printer is invited, and prints."""
        await self.delivered(name="link-lost-in-transfer", at=0.3)
        self.assertEqual(self.printer.counts.commands[256], 1)
        self.assertEqual(self.printer.counts.kinds["up"], 2)


class ForeignTests(DeliveryCase):
    """F27."""

    def settings(self) -> Settings:
        """The download takes a second."""
        settings = super().settings()
        return Settings(**{**vars(settings), "rate": 10_000.0})

    async def test_other_address(self) -> None:
        """Somebody else who knows the printer's path gets 403, and the printer its file."""
        self.printer.inject("stranger-fetches")
        file = self.put()
        self.print()
        await self.until(lambda: any(entry.kind == "stranger-reply" for entry in self.printer.log))
        reply = next(entry.detail for entry in self.printer.log if entry.kind == "stranger-reply")
        self.assertEqual((reply["status"], reply["received"]), (403, 0))
        await self.ended("finished")
        self.assert_stored(file)
