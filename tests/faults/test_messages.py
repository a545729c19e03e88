"""Faults of what printers say: F15 to F19 of the reference's table (sdcp.md 8.4)."""

from __future__ import annotations

from dataclasses import replace

from twisted.internet.defer import Deferred

from sdcpd.codec.sdcp import Command, Response
from sdcpd.errors import CommandRefused, CommandTimeout, SdcpdError
from sdcpd.simulator.fault_kinds import AttributesFault, Garbage, OddResponse, OddStatus
from sdcpd.simulator.settings import Settings
from tests.fakes import logged
from tests.faults.bench import FaultCase


class ResponseTests(FaultCase):
    """F15 and F16."""

    async def asked(self) -> type[SdcpdError] | int | None:
        """What comes of asking for the attributes: the Ack, or the error's kind."""
        asking: Deferred[Response] = self.rig.links.session(self.printer.id).request(Command.ATTRIBUTES)
        try:
            return (await asking).ack
        except SdcpdError as error:
            return type(error)

    async def test_odd(self) -> None:
        """A response that cannot be told from others is a time-out, one that is readable counts; nothing breaks."""
        expected: dict[str, object] = {
            "request-id-wrong": CommandTimeout,
            "request-id-absent": CommandTimeout,
            "cmd-absent": 0,
            "cmd-wrong": 0,
            "ack-absent": CommandRefused,
            "ack-string": 0,
            "data-null": CommandRefused,
            "id-stale": 0,
        }
        self.assertEqual(set(expected), set(OddResponse.choices["kind"]))
        for kind, outcome in expected.items():
            self.printer.inject("odd-response", kind=kind, cmd=1)
            self.assertEqual((kind, await self.asked()), (kind, outcome))
            self.assertIs(self.shown()["online"], True)
        self.printer.clear()
        self.assertEqual(await self.asked(), 0)

    async def test_silent(self) -> None:
        """A command that is never answered ends after its time, and the next one is free to go."""
        self.printer.inject("no-response", cmd=129)
        await self.printing()
        began = self.clock.seconds()
        pending = self.rig.begin("POST", f"/v1/printers/{self.printer.id}/pause")
        await self.until(lambda: pending.answered)
        self.assertEqual((pending.reply.status, pending.reply.error["code"]), (504, "command_timeout"))
        self.assertGreaterEqual(self.clock.seconds() - began, 10)
        pending.leave()
        self.assertEqual(self.printer.counts.commands[129], 1)
        await self.until(lambda: self.shown()["phase"] == "PAUSED")

    async def test_late(self) -> None:
        """An answer after 8 s counts; one that comes after the time-out is nobody's."""
        self.printer.inject("late-response", seconds=8 / self.haste, cmd=1)
        self.assertEqual(await self.asked(), 0)
        self.printer.inject("late-response", seconds=14 / self.haste, cmd=1)
        self.assertIs(await self.asked(), CommandTimeout)
        self.printer.clear()
        await self.wait(10)
        self.assertEqual(await self.asked(), 0)


class StatusTests(FaultCase):
    """F17."""

    def settings(self) -> Settings:
        """The print takes three seconds: longer than all the odd statuses one after another."""
        return replace(super().settings(), layer_time=10.0)

    async def test_odd(self) -> None:
        """Whatever a status is like, the printer stays online and is shown in numbers that make sense."""
        lines = logged(self)
        file = await self.printing()
        for kind in OddStatus.choices["kind"]:
            self.printer.inject("odd-status", kind=kind)
            self.printer.publish_status()
            await self.probed()
            shown = self.shown()
            self.assertIs(shown["online"], True, kind)
            self.assertGreaterEqual(shown["layer"], 0, kind)
            self.assertTrue(shown["progress"] is None or 0 <= shown["progress"] <= 100, kind)
            self.assertTrue(shown["eta_s"] is None or shown["eta_s"] >= 0, kind)
            self.assertEqual(self.ask("GET", "/status").status, 200, kind)
            self.printer.clear("odd-status")
        self.printer.publish_status()
        await self.until(lambda: self.job().get("ended"))
        self.assertEqual((self.job()["file"], self.starts), (file["name"], 1))
        self.assertEqual([line for line in lines if "Traceback" in line], [])

    async def test_unknown_number(self) -> None:
        """A number that nobody knows is kept and shown, and a print goes on under it."""
        await self.printing()
        self.printer.inject("odd-status", kind="enum-99")
        await self.until(lambda: self.shown()["raw"]["print_status"] == 99)
        self.assertEqual(self.job()["state"], "printing")
        self.printer.clear()
        await self.ended("finished")


class AttributesTests(FaultCase):
    """F18."""

    async def test_shapes(self) -> None:
        """Attributes in any shape, or none, change nothing but what they say."""
        session = self.rig.links.session(self.printer.id)
        for shape in AttributesFault.choices["shape"]:
            self.printer.inject("attributes", shape=shape, times=1)
            response = await session.request(Command.ATTRIBUTES)
            self.assertEqual(response.ack, 0, shape)
            await self.wait(2)
            self.assertEqual((self.shown()["online"], self.shown()["name"]), (True, "Bench 1"), shape)
        self.assertEqual(self.printer.counts.kinds["up"], 1)


class GarbageTests(FaultCase):
    """F19."""

    async def test_garbage(self) -> None:
        """Nonsense is dropped and said in the log; the printer is online afterwards, and its print goes on."""
        lines = logged(self)
        await self.printing()
        for kind in Garbage.choices["kind"]:
            self.printer.inject("garbage", kind=kind)
            await self.until(lambda: self.printer.link_state.name == "UP" and self.shown()["online"])
            await self.wait(1)
        self.assertTrue(any("nonsense" in line for line in lines))
        await self.until(lambda: self.printer.link_state.name == "UP" and self.shown()["online"])
        await self.ended("finished")
        self.assertEqual(self.starts, 1)
