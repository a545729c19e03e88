"""The control socket and its command line client."""

from __future__ import annotations

import contextlib
import io
import json
import threading
from pathlib import Path
from typing import Any

from twisted.internet import reactor as installed  # noqa: TID251 - real sockets need the real one
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase, TestCase

from sdcpd.simulator.control import ControlFactory, main
from sdcpd.simulator.farm import Farm
from sdcpd.simulator.settings import Settings, plan
from sdcpd.simulator.slicing import write_goo
from sdcpd.simulator.verbs import VERBS, answer

reactor: Any = installed


def make_farm() -> Farm:
    clock: Any = Clock()  # no socket is opened in these tests
    return Farm(clock, plan(["S3U-1.4.2:Left", "M4U-1.3.0:Right"], "127.20.11.2"), Settings(strict=True))


class VerbTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.farm = make_farm()

    def ask(self, do: str, printer: object = 0, **arguments: object) -> Any:
        reply = answer(self.farm, {"do": do, "printer": printer, **arguments})
        self.assertTrue(reply["ok"], reply)
        json.dumps(reply)
        return reply["result"]

    def refused(self, request: object) -> str:
        reply = answer(self.farm, request)
        self.assertFalse(reply["ok"], reply)
        return str(reply["error"])

    def test_list(self) -> None:
        """The printers are listed with their ids, addresses and profiles."""
        listed = self.ask("list")
        self.assertEqual([p["address"] for p in listed], ["127.20.11.2", "127.20.11.3"])

    def test_naming(self) -> None:
        """A printer goes by index, id, name or address."""
        right = self.farm.printers[1]
        for key in (1, "1", right.id, "Right", "127.20.11.3"):
            self.assertEqual(self.ask("state", key)["id"], right.id)
        self.assertIn(right.id, self.refused({"do": "state", "printer": "Middle"}))
        self.assertIn(right.id, self.refused({"do": "state", "printer": 7}))

    def test_unknown(self) -> None:
        """What is unknown is answered with what is known."""
        self.assertIn("put-file", self.refused({"do": "dance"}))
        self.assertIn("udp-loss", self.refused({"do": "inject", "fault": "bad luck"}))
        self.assertIn("JSON object", self.refused([1]))
        self.assertIn("fault", self.refused({"do": "inject"}))
        self.assertIn("index", self.refused({"do": "tap", "printer": None}))

    def test_faults(self) -> None:
        """A fault is injected with parameters, seen in the state, described in the list, and cleared."""
        self.assertEqual(self.ask("inject", fault="udp-loss", share=1)["share"], 1.0)
        self.assertEqual([f["name"] for f in self.ask("state")["faults"]], ["udp-loss"])
        self.ask("clear", fault="udp-loss")
        self.assertEqual(self.ask("state")["faults"], [])
        self.assertIn("udp-loss", [f["name"] for f in self.ask("faults")])

    def test_set(self) -> None:
        """Any state can be set."""
        status = self.ask("set", current=1, print_info={"status": 16})
        self.assertEqual((status["CurrentStatus"], status["PrintInfo"]["Status"]), (1, 16))
        self.ask("tap")
        self.assertIn("nonsense", self.refused({"do": "set", "transfer_info": {"nonsense": 1}}))
        self.assertIn("expected an object", self.refused({"do": "set", "print_info": 5}))

    def test_files_and_prints(self) -> None:
        """A file is put on the printer, and printed by a person's hand."""
        path = write_goo(Path(self.mktemp()), layers=7, resolution=(64, 64))
        self.assertEqual(self.ask("put-file", path=str(path), name="a.goo")["layers"], 7)
        self.assertIn("No such file", self.refused({"do": "put-file", "path": "/nonexistent"}))
        self.ask("start", name="a.goo")
        for verb in ("pause", "resume", "stop", "tap"):
            self.assertIn("state", self.refused({"do": verb}))

    def test_power(self) -> None:
        """A printer is switched off, on, and rebooted; the log tells."""
        for verb in ("power-off", "power-on", "reboot"):
            self.ask(verb)
        kinds = [entry["kind"] for entry in self.ask("log", last=2)]
        self.assertEqual(kinds, ["power-on", "power-off"])
        self.assertEqual(len(self.ask("log", kind="power-off", last=0)), 2)

    def test_violations(self) -> None:
        """Violations of all printers are listed."""
        self.farm.printers[1].datagram(b"M66666", "127.20.0.1", lambda _: None)
        (violation,) = self.ask("violations")
        self.assertEqual((violation["code"], violation["printer"]), ("invitation", self.farm.printers[1].id))

    def test_lines(self) -> None:
        """Requests and answers are one JSON object a line, and bad lines are answered as well."""
        protocol = ControlFactory(self.farm).buildProtocol(None)
        wire = StringTransport()
        protocol.makeConnection(wire)
        protocol.dataReceived(b'{"do": "list"}\nnonsense\n')
        first, second = (json.loads(line) for line in wire.value().splitlines())
        self.assertEqual((first["ok"], second["ok"]), (True, False))

    def test_endless_nesting(self) -> None:
        """A line that no JSON reader gets to the end of is answered as any other that is no request."""
        protocol = ControlFactory(self.farm).buildProtocol(None)
        transport = StringTransport()
        protocol.makeConnection(transport)
        protocol.dataReceived(b"[" * 100_000 + b"\n")
        self.assertIn("not JSON", json.loads(transport.value())["error"])


class ClientTests(TestCase):
    def setUp(self) -> None:
        self.path = self.mktemp()[-60:].replace("/", "-")
        self.port = reactor.listenUNIX(self.path, ControlFactory(make_farm()))
        self.addCleanup(self.port.stopListening)

    def run_client(self, *words: str) -> Deferred[tuple[str, object]]:
        """The client blocks, as a command line may; so it runs beside the reactor."""
        done: Deferred[tuple[str, object]] = Deferred()

        def client() -> None:
            out, status = io.StringIO(), None
            with contextlib.redirect_stdout(out):
                try:
                    main([self.path, *words])
                except SystemExit as error:
                    status = error.code
            reactor.callFromThread(done.callback, (out.getvalue(), status))

        threading.Thread(target=client).start()
        return done

    async def test_client(self) -> None:
        """Words become a request, and the result is printed as JSON."""
        out, status = await self.run_client("inject", "Right", "fault=drop", "at=0.7", "retry=range")
        self.assertEqual((json.loads(out)["at"], json.loads(out)["retry"], status), (0.7, "range", None))

    async def test_error(self) -> None:
        """An error is one line and status 1."""
        out, status = await self.run_client("dance")
        self.assertEqual(out, "")
        self.assertIn("unknown verb", str(status))

    def test_no_socket(self) -> None:
        """A socket that is not there is named."""
        error = self.assertRaises(SystemExit, main, ["/nonexistent/socket", "list"])
        self.assertIn("/nonexistent/socket", str(error))

    def test_help(self) -> None:
        """The help lists every verb."""
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            self.assertRaises(SystemExit, main, ["--help"])
        for verb in VERBS:
            self.assertIn(verb, out.getvalue())
