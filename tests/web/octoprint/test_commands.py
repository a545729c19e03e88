from __future__ import annotations

import json

from sdcpd.codec.status import Status
from sdcpd.web.octoprint.commands import NO_GCODE
from tests.web.octoprint.rig import JSON, OctoPrintCase
from tests.web.rig import P, Reply, printing

PAUSE, STOP, RESUME = 129, 130, 131


class CommandTests(OctoPrintCase):
    def command(self, document: object) -> Reply:
        return self.post("api/printer/command", document)

    def sends(self, document: object, *commands: int) -> None:
        """The wish is done by exactly these SDCP commands."""
        pending = self.rig.begin("POST", f"{P}/api/printer/command", json.dumps(document).encode(), JSON)
        for number in commands:
            self.assertFalse(pending.answered)
            self.assertEqual([sent["Cmd"] for sent in self.link.sent], [number])
            self.link.answer()
        self.done(pending.reply)
        self.assertEqual(self.link.sent, [])

    def test_checks(self) -> None:
        """What is asked for must be one thing, in the words of the real server."""
        for document, status, text in (
            ({}, 400, "Need one of 'command', 'commands' or 'script'"),
            ({"command": "M25", "commands": []}, 400, "'command' and 'commands' are mutually exclusive"),
            ({"command": "M25", "script": "x"}, 400, "'command'/'commands' and 'script' are mutually exclusive"),
            ({"commands": ["M25"], "script": "x"}, 400, "'command'/'commands' and 'script' are mutually exclusive"),
            ({"script": "afterPrintDone"}, 404, "Unknown script"),
            ({"commands": "M25"}, 400, "commands is invalid"),
            ({"commands": [25]}, 400, "commands is invalid"),
            ({"command": 25}, 400, "command is invalid"),
        ):
            self.refused(self.command(document), status, text)

    def test_no_gcode(self) -> None:
        """Any other G-code is refused, and nothing of what stands beside it is done."""
        self.rig.publish(printing(3))
        for commands in (["G28"], ["M25", "G28"], [], ["; nothing"], ["SDCARD_PRINT_FILE FILENAME=plate.goo"]):
            self.refused(self.command({"commands": commands}), 409, NO_GCODE)
        self.refused(self.command({"command": ""}), 409, NO_GCODE)
        self.assertEqual(self.link.sent, [])

    def test_verbs(self) -> None:
        """The few words that mean something are done, and answered with nothing when they are."""
        self.rig.publish(printing(3))
        self.sends({"command": "M25"}, PAUSE)
        self.rig.publish(printing(3, number=7))
        self.sends({"command": "RESUME"}, RESUME)
        self.rig.publish(printing(4))
        self.sends({"commands": ["M117 Hello", "M524"]}, STOP)
        self.rig.publish(Status((0,)))
        self.sends({"command": "M112"})

    def test_not_now(self) -> None:
        """A pause of nothing is refused with what the printer does, and never taken for done."""
        self.assertIn("is not printing", self.refuses(self.command({"command": "PAUSE"}), 409))

    def test_say(self) -> None:
        """A line for the display is kept among the printer's happenings, with its parameters put in."""
        self.done(self.command({"command": "M117 %(who)s is %(what)s %(x)9999999999d", "parameters": {"who": "Bo"}}))
        (event,) = (event for event in self.rig.fleet.happenings(0) if event.type == "message")
        self.assertEqual(event.data["text"], "Bo is %(what)s %(x)9999999999d")

    def test_much_to_say(self) -> None:
        """A parameter that is put in thousands of times makes no gigabyte, and one that is no text is not put in."""
        for given in ("x" * 30_000, ["x" * 30_000], {"x": "x" * 30_000}):
            self.done(self.command({"command": "M117 " + "%(a)s" * 5_000, "parameters": {"a": given}}))
        *_, long, listed, named = (str(e.data["text"]) for e in self.rig.fleet.happenings(0) if e.type == "message")
        self.assertEqual((set(long), len(long)), ({"x"}, 200))
        self.assertEqual(listed, ("%(a)s" * 40))
        self.assertEqual(named, listed)

    def test_custom(self) -> None:
        """Nobody has configured buttons."""
        self.assertEqual(self.get("api/printer/command/custom"), {"controls": []})
