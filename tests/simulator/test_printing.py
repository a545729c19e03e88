"""The print machine, told by the statuses that it publishes."""

from __future__ import annotations

from sdcpd.simulator.storage import StoredFile
from tests.simulator.fakes import PrinterCase

CYCLE = [(1, 2), (1, 3), (1, 4)]


class PrintCase(PrinterCase):
    def setUp(self) -> None:
        super().setUp()
        self.connect()
        self.printer.store.add(StoredFile("a.goo", 9, "", 3))

    def start(self) -> None:
        self.request(128, {"Filename": "a.goo", "StartLayer": 0})


class PrintTests(PrintCase):
    def test_whole_print(self) -> None:
        """A print goes through homing, each layer's three phases, the final lift, and the completed screen."""
        self.start()
        self.advance(15 + 3 * 8 + 30 + 61)
        self.assertEqual(self.course(), [(0, 0), (1, 1), *CYCLE * 3, (1, 12), (1, 16), (0, 16)])
        last = self.statuses()[-1]
        self.assertEqual(last["PreviousStatus"], 1)
        info = last["PrintInfo"]
        self.assertEqual((info["CurrentLayer"], info["TotalLayer"], info["Filename"]), (3, 3, "a.goo"))
        self.assertGreater(info["CurrentTicks"], info["TotalTicks"])

    def test_last_layer_is_not_the_end(self) -> None:
        """CurrentLayer reaches TotalLayer while the last layer still runs."""
        self.start()
        self.advance(15 + 2 * 8 + 4)
        info = self.statuses()[-1]["PrintInfo"]
        self.assertEqual((info["CurrentLayer"], info["TotalLayer"]), (3, 3))
        self.assertIn(info["Status"], (2, 3, 4))

    def test_tap(self) -> None:
        """A tap on the completed screen makes the printer idle at once; elsewhere a tap does nothing."""
        self.assertFalse(self.printer.person.tap())
        self.start()
        self.advance(75)
        self.assertTrue(self.printer.person.tap())
        self.assertEqual(self.course()[-1], (0, 16))
        self.assertFalse(self.printer.person.tap())

    def test_second_start(self) -> None:
        """A start during a print is refused with Ack 1, counted, and reported."""
        self.start()
        self.advance(1)
        self.start()
        self.assertEqual(self.acks(), [0, 1])
        self.assertEqual(self.printer.counts.commands[128], 2)
        self.assertEqual(self.codes(), ["start-while-printing"])

    def test_start_at_once_again(self) -> None:
        """A start that arrives while the first has not begun yet is refused as well."""
        self.start()
        self.start()
        self.assertEqual(self.acks(), [0, 1])

    def test_start_layer(self) -> None:
        """A start at a later layer prints only the rest."""
        self.request(128, {"Filename": "a.goo", "StartLayer": 2})
        self.advance(100)
        self.assertEqual(self.course(), [(0, 0), (1, 1), *CYCLE, (1, 12), (1, 16)])

    def test_pause_and_resume(self) -> None:
        """Pause waits for the present step, shows 5 and then the profile's number; resume goes on where it was."""
        self.start()
        self.advance(15 + 8 + 1)
        self.request(129)
        self.advance(30)
        self.assertEqual(self.course()[-2:], [(1, 5), (1, 7)])
        self.request(129)
        self.request(131)
        self.advance(100)
        self.assertEqual(self.acks(), [0, 0, 1, 0])
        self.assertEqual(
            self.course(), [(0, 0), (1, 1), *CYCLE, (1, 2), (1, 5), (1, 7), (1, 3), (1, 4), *CYCLE, (1, 12), (1, 16)]
        )
        info = self.statuses()[-1]["PrintInfo"]
        self.assertLess(info["CurrentTicks"], (15 + 24 + 30 + 5) * 1000)

    def test_stop(self) -> None:
        """Stop shows the profile's stopping number, then 13 on an idle printer, and 13 stays."""
        self.start()
        self.advance(20)
        self.request(130)
        self.advance(20)
        self.assertEqual(self.course()[-2:], [(1, 9), (0, 13)])
        self.start()
        self.advance(1)
        self.assertEqual(self.course()[-1], (1, 1))

    def test_operator(self) -> None:
        """What a person does at the screen shows in the status."""
        self.assertFalse(self.printer.person.start("absent.goo"))
        self.assertTrue(self.printer.person.start("a.goo"))
        self.assertFalse(self.printer.person.start("a.goo"))
        self.advance(16)
        self.assertTrue(self.printer.person.pause())
        self.advance(10)
        self.assertEqual(self.course()[-1], (1, 7))
        self.assertTrue(self.printer.person.resume())
        self.advance(1)
        self.assertTrue(self.printer.person.stop())
        self.advance(6)
        self.assertEqual(self.course()[-1], (0, 13))

    def test_survives_link(self) -> None:
        """A print goes on when the link to the broker is gone."""
        self.start()
        self.printer.caller.drop()
        self.advance(80)
        self.assertEqual(self.printer.status.print_info.status, 16)

    def test_late_reactor(self) -> None:
        """Calls that come late do not make a print longer."""
        self.start()
        self.advance(69 + 1.7, 1.7)
        self.assertIn(self.printer.status.print_info.status, (12, 16))
        self.advance(3.4, 1.7)
        self.assertEqual(self.printer.status.print_info.status, 16)
        self.assertLess(self.printer.status.print_info.current_ticks, 74_000)


class MarsTests(PrintCase):
    profile = "M4U-1.3.0"

    def test_pause_and_stop(self) -> None:
        """A Mars 4 Ultra pauses in 8, and stops through 10 and 14."""
        self.start()
        self.advance(16)
        self.request(129)
        self.advance(10)
        self.assertEqual(self.course()[-1], (1, 8))
        self.request(130)
        self.advance(20)
        self.assertEqual(self.course()[-3:], [(1, 10), (1, 14), (0, 13)])

    def test_touch_pause(self) -> None:
        """After a pause by touch, stop is refused until the same file was started at its present layer."""
        self.start()
        self.advance(18)
        self.printer.person.pause()
        self.advance(10)
        self.request(130)
        layer = self.printer.status.print_info.current_layer
        self.request(128, {"Filename": "a.goo", "StartLayer": layer})
        self.advance(1)
        self.request(130)
        self.assertEqual(self.acks(), [0, 1, 0, 0])
        self.assertEqual(self.codes(), [])
