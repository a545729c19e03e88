from __future__ import annotations

from sdcpd.codec.status import Status
from sdcpd.fleet import Reachability
from tests.web.octoprint.rig import OctoPrintCase
from tests.web.rig import SATURN, P, Reply, printing, transferring


class ConnectionTests(OctoPrintCase):
    def command(self, command: str, **more: object) -> Reply:
        return self.post("api/connection", {"command": command, **more})

    def elsewhere(self) -> None:
        """Another program takes the printer."""
        self.rig.links.closed(self.link.session, "gone")
        self.rig.fleet.change(SATURN, reachability=Reachability.ELSEWHERE)
        self.rig.fleet.explain(SATURN, "Host 192.168.1.9 has it.")
        self.rig.clock.advance(1)

    def test_look(self) -> None:
        """There is one port and one profile, and the state is the printer's."""
        found = self.get("api/connection")
        self.assertEqual(
            found["current"],
            {"state": "Operational", "port": "SDCP", "baudrate": None, "printerProfile": "_default"},
        )
        self.assertEqual(
            found["options"],
            {
                "ports": ["SDCP"],
                "baudrates": [],
                "printerProfiles": [{"id": "_default", "name": "ELEGOO Saturn 3 Ultra"}],
                "portPreference": "SDCP",
                "baudratePreference": None,
                "printerProfilePreference": "_default",
            },
        )

    def test_closed(self) -> None:
        """While the printer is off the connection is closed."""
        self.switch_off()
        current = self.get("api/connection")["current"]
        self.assertEqual((current["state"], current["port"]), ("Closed", None))

    def test_connect(self) -> None:
        """To connect is to invite the printer; the values of the real form are taken if they are the ones offered."""
        self.done(self.command("connect"))
        self.done(self.command("connect", port="SDCP", baudrate=0, printerProfile="_default", save=True))
        self.done(self.command("connect", port="AUTO", baudrate=None))
        self.assertEqual(self.rig.adopted, [SATURN] * 3)
        for more, text in (
            ({"port": "/dev/ttyUSB0"}, "port is invalid"),
            ({"baudrate": 115200}, "baudrate is invalid"),
            ({"printerProfile": "mk3"}, "printerProfile is invalid"),
            ({"port": ["SDCP"]}, "port is invalid"),
        ):
            self.refused(self.command("connect", **more), 400, text)

    def test_connect_deaf(self) -> None:
        """A printer that does not answer is not connected, and the answer says what to do."""
        self.rig.deaf.add(SATURN)
        self.refused(self.command("connect"), 409, "It does not answer. Switch it on.")

    def test_connect_elsewhere(self) -> None:
        """A client that connects by itself does not take the printer from another program."""
        self.elsewhere()
        text = self.refuses(self.command("connect"), 409)
        self.assertIn("Host 192.168.1.9 has it.", text)
        self.assertIn("/v1/printers/saturn-3-ultra/adopt", text)
        self.assertEqual(self.rig.adopted, [])

    def test_disconnect(self) -> None:
        """To disconnect is to let go of the connection, once; a print goes on."""
        self.rig.publish(printing(3))
        self.done(self.command("disconnect"))
        self.assertEqual(self.link.ended, "somebody asked for a new connection")
        self.rig.links.closed(self.link.session, "gone")
        self.done(self.command("disconnect"))
        self.assertEqual(self.link.sent, [])

    def test_disconnect_transfer(self) -> None:
        """While a file is on its way nobody lets go."""
        self.rig.publish(transferring(100))
        self.assertIn("receiving a file", self.refuses(self.command("disconnect"), 409))
        self.assertIsNone(self.link.ended)
        self.rig.publish(Status((0,)))
        self.done(self.command("disconnect"))

    def test_owned_elsewhere(self) -> None:
        """While another program has the printer it is looked at, and no print is started; the answer says why."""
        self.elsewhere()
        self.rig.report(Status((0,)))
        self.api.selection.select(self.printer, self.store())
        state = self.get("api/printer")["state"]
        self.assertFalse(state["flags"]["ready"])
        refused = self.refuses(self.post("api/job", {"command": "start"}), 409)
        self.assertIn("is owned elsewhere: another program controls it.", refused)
        self.assertEqual(self.rig.jobs.all(), [])

    def test_limited_key(self) -> None:
        """A key for this printer alone connects and looks at it, by its path and, the only one, at the root."""
        key = self.rig.key("control", name="limited", printers=[SATURN])
        self.done(self.post("api/connection", {"command": "connect"}, address="203.0.113.5", key=key))
        for path in (f"{P}/api/connection", "/api/connection"):
            self.assertEqual(self.rig.get(path, address="203.0.113.5", key=key).status, 200)

    def test_fake_ack(self) -> None:
        """There is no acknowledgement that could be faked."""
        self.refused(self.command("fake_ack"), 400, "command is invalid")
        self.refused(self.post("api/connection", {}), 400, "command is invalid")
