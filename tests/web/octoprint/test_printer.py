from __future__ import annotations

from typing import Any

from sdcpd.codec.status import PrintInfo, Status
from sdcpd.web.octoprint.form import NOT_OPERATIONAL
from sdcpd.web.octoprint.printer import NO_BED, NO_CHAMBER, NO_HEAD, NO_SD, NO_TOOL
from tests.web.octoprint.rig import JSON, OctoPrintCase
from tests.web.rig import EPOCH, P, printing

BUSY = "Printer is not operational or currently printing"
WARM = Status((0,), extra={"TempOfBox": 28.5})


class StateTests(OctoPrintCase):
    def test_idle(self) -> None:
        """The printer's state has exactly the real server's parts: no temperature is invented, there is no SD card."""
        found = self.get("api/printer")
        self.assertEqual(set(found), {"temperature", "state"})
        self.assertEqual(found["temperature"], {})
        self.assertEqual((found["state"]["text"], found["state"]["error"]), ("Operational", ""))
        self.assertEqual(
            found["state"]["flags"],
            {
                "operational": True,
                "printing": False,
                "paused": False,
                "pausing": False,
                "resuming": False,
                "cancelling": False,
                "finishing": False,
                "closedOrError": False,
                "error": False,
                "ready": True,
                "sdReady": False,
            },
        )

    def test_exclude(self) -> None:
        """What a small display does not want is left out; what nobody has is no mistake."""
        self.assertEqual(set(self.get("api/printer?exclude=sd,history")), {"temperature", "state"})
        self.assertEqual(set(self.get("api/printer?exclude=temperature")), {"state"})
        self.assertEqual(self.get("api/printer?exclude=state,%20temperature"), {})

    def test_history(self) -> None:
        """A history of temperatures is there where it is asked for: empty, or the present point."""
        self.assertEqual(self.get("api/printer?history=true")["temperature"], {"history": []})
        self.rig.publish(WARM)
        chamber = {"actual": 28.5, "target": None}
        self.assertEqual(self.get("api/printer")["temperature"], {"chamber": {**chamber, "offset": 0}})
        (point,) = self.get("api/printer?history=true&limit=5")["temperature"]["history"]
        self.assertEqual(point["chamber"], chamber)
        self.assertAlmostEqual(point["time"], EPOCH, delta=60)
        self.assertEqual(self.get("api/printer?history=true&limit=0")["temperature"]["history"], [])
        for limit in ("many", "-1", "9" * 5000):
            self.assertEqual(len(self.get(f"api/printer?history=1&limit={limit}")["temperature"]["history"]), 1)

    def test_offline(self) -> None:
        """A printer that is off is no longer operational, and the small displays read that in the first line."""
        self.switch_off()
        reply = self.rig.get(f"{P}/api/printer")
        self.refused(reply, 409, NOT_OPERATIONAL)
        self.assertEqual(reply.reason, "CONFLICT")
        for path in ("tool", "bed", "chamber"):
            self.refused(self.rig.get(f"{P}/api/printer/{path}"), 409, NOT_OPERATIONAL)
            self.refused(self.post(f"api/printer/{path}", {}), 409, NOT_OPERATIONAL)
        self.refused(self.post("api/printer/command", {}), 409, NOT_OPERATIONAL)
        self.refused(self.post("api/job", {}), 409, NOT_OPERATIONAL)
        self.refused(self.post("api/printer/printhead", {"command": "jog", "x": 1}), 409, BUSY)

    def test_error(self) -> None:
        """The last error is told; without one both words are empty."""
        self.assertEqual(self.get("api/printer/error"), {"error": "", "reason": ""})
        self.rig.publish(Status((0,), 0, PrintInfo(14, 3, 100, 0, 0, 7, "x.goo")))
        self.assertEqual(
            self.get("api/printer/error"), {"error": "The printer reports the error 7.", "reason": "firmware"}
        )
        self.assertEqual(self.get("api/printer")["state"]["error"], "The printer reports the error 7.")


class PartTests(OctoPrintCase):
    """The parts that a resin printer has not: the checks and the words of the real server, in its order."""

    def table(self, path: str, rows: tuple[tuple[Any, int, str], ...]) -> None:
        for document, status, text in rows:
            self.refused(self.post(f"api/printer/{path}", document), status, text)
        self.assertEqual(self.link.sent, [])

    def test_printhead(self) -> None:
        """Nothing moves, and nothing says that it had: jog, home and feed rate are refused, bad ones as bad."""
        self.table(
            "printhead",
            (
                ({"command": "dance"}, 400, "command is invalid"),
                ({}, 400, "command is invalid"),
                ({"command": ["jog"]}, 400, "command is invalid"),
                ({"command": "jog", "x": "far"}, 400, "axis value is invalid"),
                ({"command": "jog", "x": True}, 400, "axis value is invalid"),
                ({"command": "jog", "x": 10, "y": 1.5}, 409, NO_HEAD),
                ({"command": "home"}, 400, "Mandatory parameters missing"),
                ({"command": "home", "axes": ["z", "q"]}, 400, "axis is invalid"),
                ({"command": "home", "axes": "z"}, 400, "axis is invalid"),
                ({"command": "home", "axes": [["z"]]}, 400, "axis is invalid"),
                ({"command": "home", "axes": ["x", "y"]}, 409, NO_HEAD),
                ({"command": "feedrate", "factor": "fast"}, 400, "factor is invalid"),
                ({"command": "feedrate", "factor": 0}, 400, "factor is invalid"),
                ({"command": "feedrate", "factor": 0.5}, 409, NO_HEAD),
            ),
        )

    def test_printhead_printing(self) -> None:
        """While it prints the refusal is that of a machine that prints; a feed rate is looked at first."""
        self.rig.publish(printing(3))
        self.table(
            "printhead",
            (
                ({"command": "jog", "x": "far"}, 409, BUSY),
                ({"command": "feedrate", "factor": "fast"}, 400, "factor is invalid"),
                ({"command": "feedrate", "factor": 100}, 409, NO_HEAD),
                ({"command": "dance"}, 400, "command is invalid"),
            ),
        )

    def test_tool(self) -> None:
        """There is no tool to look at, to heat or to extrude with."""
        self.assertEqual(self.get("api/printer/tool"), {})
        self.assertEqual(self.get("api/printer/tool?history=true"), {"history": []})
        self.table(
            "tool",
            (
                ({"command": "heat"}, 400, "command is invalid"),
                ({"command": "select", "tool": "bed"}, 400, "tool is invalid"),
                ({"command": "select", "tool": 1}, 400, "tool is invalid"),
                ({"command": "select", "tool": "tool0"}, 409, NO_TOOL),
                ({"command": "target"}, 400, "Mandatory parameters missing"),
                ({"command": "target", "targets": {"bed": 1}}, 400, "targets contains invalid tool"),
                ({"command": "target", "targets": {"tool0": "hot"}}, 400, "targets contains invalid value"),
                ({"command": "target", "targets": 200}, 400, "targets contains invalid value"),
                ({"command": "target", "targets": {"tool0": 200}}, 409, NO_TOOL),
                ({"command": "offset", "offsets": {"tool0": 51}}, 400, "offsets contains invalid value"),
                ({"command": "offset", "offsets": {"tool0": -50}}, 409, NO_TOOL),
                ({"command": "extrude", "amount": "much"}, 400, "amount is invalid"),
                ({"command": "extrude", "amount": 5}, 409, NO_TOOL),
                ({"command": "flowrate", "factor": None}, 400, "factor is invalid"),
                ({"command": "flowrate", "factor": 95}, 409, NO_TOOL),
            ),
        )
        self.rig.publish(printing(3))
        self.table("tool", (({"command": "extrude", "amount": "much"}, 409, "Printer is currently printing"),))

    def test_bed(self) -> None:
        """There is no heated bed, whatever is asked of it."""
        self.refused(self.rig.get(f"{P}/api/printer/bed"), 409, NO_BED)
        self.table("bed", (({"command": "target", "target": 60}, 409, NO_BED), ({}, 409, NO_BED)))

    def test_chamber(self) -> None:
        """There is no heated chamber; where the board measures its enclosure, that can be looked at."""
        self.refused(self.rig.get(f"{P}/api/printer/chamber"), 409, NO_CHAMBER)
        self.table("chamber", (({"command": "target", "target": "hot"}, 409, NO_CHAMBER),))
        self.rig.publish(WARM)
        self.assertEqual(self.get("api/printer/chamber"), {"chamber": {"actual": 28.5, "target": None, "offset": 0}})
        self.table(
            "chamber",
            (
                ({"command": "target", "target": "hot"}, 400, "target is invalid"),
                ({"command": "offset", "offset": 51}, 400, "offset is invalid"),
                ({"command": "cool"}, 400, "command is invalid"),
                ({"command": "target", "target": 40}, 409, NO_CHAMBER),
            ),
        )

    def test_sd(self) -> None:
        """There is no SD card, also while the printer is off."""
        for _ in range(2):
            for path in ("sd", "storage"):
                self.refused(self.rig.get(f"{P}/api/printer/{path}"), 404, NO_SD)
                self.refused(self.post(f"api/printer/{path}", {"command": "init"}), 404, NO_SD)
            self.switch_off()


class BodyTests(OctoPrintCase):
    def test_bodies(self) -> None:
        """A body that is no JSON object is refused as the real server refuses it, with 415 for another type."""
        path = f"{P}/api/printer/printhead"
        for body in (b"{", b"[]", b"1", b"", b"\xff", b"[" * 5000):
            self.refused(self.rig.ask("POST", path, body, JSON), 400, "Malformed JSON body in request")
        for kind in ({}, {"Content-Type": "text/plain"}, {"Content-Type": "application/x-www-form-urlencoded"}):
            self.assertIn("application/json", self.refuses(self.rig.ask("POST", path, b"{}", kind), 415))
        charset = {"Content-Type": "application/json; charset=utf-8"}
        self.refused(self.rig.ask("POST", path, b"{}", charset), 400, "command is invalid")
