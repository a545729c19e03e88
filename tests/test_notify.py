from __future__ import annotations

import os
import secrets
import shutil
import tempfile
from pathlib import Path

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from sdcpd.fleet import Fleet, Reachability
from sdcpd.notify import AGAIN, STATUS_EVERY, Notifier, Supervision, watchdog_interval
from tests.fakes import HOME, ID, OTHER_ID, announcement, logged, wall
from tests.supervisor import Manager


class ManagerTestCase(SynchronousTestCase):
    """With somebody who listens."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(1000.5)
        directory = tempfile.mkdtemp(prefix="sdcpd-")  # short: a socket's path has 107 bytes at most
        self.addCleanup(shutil.rmtree, directory)
        self.manager = Manager(str(Path(directory, "n")))
        self.addCleanup(self.manager.close)


class NotifierTests(ManagerTestCase):
    """One datagram for each message."""

    def notifier(self, address: str) -> Notifier:
        notifier = Notifier(address, self.clock)
        self.addCleanup(notifier.close)
        return notifier

    def test_message(self) -> None:
        """systemd gets the fields of one message together, messages in their order."""
        notifier = self.notifier(self.manager.address)
        self.assertTrue(notifier.heard)
        notifier.tell("READY=1", "STATUS=3 of 4 printers online")
        notifier.tell("WATCHDOG=1")
        self.assertEqual(self.manager.told(), [{"READY": "1", "STATUS": "3 of 4 printers online"}, {"WATCHDOG": "1"}])

    def test_abstract(self) -> None:
        """Where systemd listens in the abstract namespace, it is told all the same."""
        manager = Manager(f"@sdcpd-test-{secrets.token_hex(8)}")
        self.addCleanup(manager.close)
        self.notifier(manager.address).tell("READY=1")
        self.assertEqual(manager.told(), [{"READY": "1"}])

    def test_nobody(self) -> None:
        """Without systemd nothing is said, and nothing is logged about it."""
        lines = logged(self)
        notifier = self.notifier("")
        notifier.tell("READY=1")
        self.assertFalse(notifier.heard)
        self.assertEqual((lines, self.clock.getDelayedCalls()), ([], []))

    def test_unknown_address(self) -> None:
        """An address of a kind that is not known is said once in the log, and stops nothing."""
        lines = logged(self)
        notifier = self.notifier("vsock:2:1234")
        notifier.tell("READY=1")
        self.assertFalse(notifier.heard)
        self.assertEqual(len(lines), 1)
        self.assertIn("vsock:2:1234", lines[0])

    def test_gone(self) -> None:
        """A service manager that has gone is said once in the log; the one that takes its place hears of the daemon."""
        notifier = self.notifier(self.manager.address)
        self.manager.close()
        lines = logged(self)
        for _ in range(3):
            notifier.tell("WATCHDOG=1")
            self.clock.advance(AGAIN)
        notifier.tell("READY=1")
        self.assertEqual((len(lines), len(self.clock.getDelayedCalls())), (1, 1))
        Path(self.manager.address).unlink()
        successor = Manager(self.manager.address)
        self.addCleanup(successor.close)
        self.clock.advance(AGAIN)
        self.assertEqual(successor.told(), [{"WATCHDOG": "1"}, {"READY": "1"}])
        self.assertEqual(self.clock.getDelayedCalls(), [])
        successor.close()
        notifier.tell("WATCHDOG=1")
        self.assertEqual(len(lines), 2)

    def test_full(self) -> None:
        """While systemd is too busy to read, the daemon does not wait; later the last word of each kind comes."""
        notifier = self.notifier(self.manager.address)
        count = 2000  # more than the queue of any kernel here
        for number in range(count):
            notifier.tell(f"STATUS={number}")
        notifier.tell("WATCHDOG=1")
        notifier.tell("RELOADING=1", "MONOTONIC_USEC=7")
        notifier.tell("READY=1", "STATUS=1 of 1 printers online")
        notifier.tell("WATCHDOG=1")
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        told = self.manager.told()
        self.assertEqual([message["STATUS"] for message in told], [str(number) for number in range(len(told))])
        self.clock.advance(AGAIN)
        self.assertEqual(
            self.manager.told(),
            [
                {"STATUS": str(count - 1)},
                {"RELOADING": "1", "MONOTONIC_USEC": "7"},
                {"READY": "1", "STATUS": "1 of 1 printers online"},
                {"WATCHDOG": "1"},
            ],
        )
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_closed(self) -> None:
        """What is still to be said when the daemon ends is forgotten."""
        notifier = self.notifier(self.manager.address)
        for number in range(2000):
            notifier.tell(f"STATUS={number}")
        notifier.close()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.manager.told()
        notifier.tell("READY=1")
        self.assertEqual(self.manager.told(), [])


class IntervalTests(SynchronousTestCase):
    """``$WATCHDOG_USEC`` and ``$WATCHDOG_PID``."""

    def test_half(self) -> None:
        """A sign of life is given twice in the time that systemd waits for one."""
        self.assertEqual(watchdog_interval({"WATCHDOG_USEC": "60000000"}, 7), 30.0)
        self.assertEqual(watchdog_interval({"WATCHDOG_USEC": "500000", "WATCHDOG_PID": "7"}, 7), 0.25)

    def test_of_another(self) -> None:
        """A watchdog that waits for another process is not ours to feed."""
        self.assertIsNone(watchdog_interval({"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": "8"}, 7))

    def test_none(self) -> None:
        """Without a watchdog, or with a number that is none, no sign of life is given."""
        for found in ("", "0", "-5", "soon", "1e6"):
            self.assertIsNone(watchdog_interval({"WATCHDOG_USEC": found}, 7), found)
        self.assertIsNone(watchdog_interval({}, 7))


class SupervisionTests(ManagerTestCase):
    """What systemd knows of the daemon."""

    def setUp(self) -> None:
        super().setUp()
        self.fleet = Fleet(self.clock, wall, [])
        self.environment = {"NOTIFY_SOCKET": self.manager.address}

    def supervision(self, **more: str) -> Supervision:
        supervision = Supervision(self.environment | more, self.fleet, self.clock)
        self.addCleanup(lambda: supervision.stopService() if supervision.running else None)
        return supervision

    def started(self, **more: str) -> Supervision:
        supervision = self.supervision(**more)
        supervision.startService()
        self.clock.advance(0)
        return supervision

    def online(self, mainboard_id: str = ID, reachability: Reachability = Reachability.ONLINE) -> None:
        self.fleet.announced(announcement(mainboard_id), HOME)
        self.fleet.change(mainboard_id, reachability=reachability)

    def statuses(self) -> list[str]:
        return [message["STATUS"] for message in self.manager.told() if "STATUS" in message]

    def test_ready(self) -> None:
        """The daemon is ready once its reactor turns, not a moment before, and says how many printers are online."""
        supervision = self.supervision()
        self.assertEqual(self.manager.told(), [])
        supervision.startService()
        self.assertEqual(self.manager.told(), [])
        self.clock.advance(0)
        self.assertEqual(self.manager.told(), [{"READY": "1", "STATUS": "0 of 0 printers online"}])

    def test_status(self) -> None:
        """``systemctl status`` shows how many printers are online as they come and go."""
        self.started()
        self.manager.told()
        self.clock.advance(STATUS_EVERY)
        self.online()
        self.clock.advance(0)
        self.assertEqual(self.statuses(), ["1 of 1 printers online"])
        self.clock.advance(STATUS_EVERY)
        self.fleet.change(ID, reachability=Reachability.OFFLINE)
        self.clock.advance(0)
        self.assertEqual(self.statuses(), ["0 of 1 printers online"])

    def test_limited(self) -> None:
        """However often printers come and go, systemd hears of it every two seconds at most, and then the newest."""
        self.started()
        self.manager.told()
        self.online(OTHER_ID)
        for _ in range(150):
            self.online()
            self.fleet.change(ID, reachability=Reachability.OFFLINE)
            self.clock.advance(STATUS_EVERY / 60)
            self.online()
            self.clock.advance(STATUS_EVERY / 60)
        told = self.statuses()
        self.assertLessEqual(len(told), 5, "150 times in ten seconds")
        self.fleet.change(ID, reachability=Reachability.OFFLINE)
        self.clock.advance(STATUS_EVERY)
        self.assertEqual([*told, *self.statuses()][-1], "1 of 2 printers online")

    def test_unchanged(self) -> None:
        """A printer that was away for a moment is no news."""
        self.online()
        self.started()
        self.manager.told()
        self.fleet.change(ID, reachability=Reachability.STALE)
        self.fleet.change(ID, reachability=Reachability.ONLINE)
        self.clock.advance(STATUS_EVERY)
        self.assertEqual(self.statuses(), [])

    def test_watchdog(self) -> None:
        """systemd gets a sign of life at once and twice in the time it waits, as long as the reactor turns."""
        supervision = self.started(WATCHDOG_USEC="60000000", WATCHDOG_PID=str(os.getpid()))
        self.assertEqual(self.manager.told().count({"WATCHDOG": "1"}), 1)
        for _ in range(4):
            self.clock.advance(30)
            self.assertEqual(self.manager.told(), [{"WATCHDOG": "1"}])
        supervision.stopService()
        self.clock.advance(30)
        self.assertEqual(self.manager.told(), [])

    def test_no_watchdog(self) -> None:
        """Without a watchdog, or with another's, there are no signs of life."""
        self.started()
        self.started(WATCHDOG_USEC="60000000", WATCHDOG_PID="1")
        self.clock.advance(60)
        self.assertNotIn({"WATCHDOG": "1"}, self.manager.told())

    def test_reload(self) -> None:
        """A reload is told with the time it began on the clock that systemd uses, and its end."""
        supervision = self.started()
        self.manager.told()
        supervision.reloading()
        self.assertEqual(self.manager.told(), [{"RELOADING": "1", "MONOTONIC_USEC": "1000500000"}])
        supervision.reloaded("")
        self.assertEqual(self.manager.told(), [{"READY": "1", "STATUS": "0 of 0 printers online"}])

    def test_refused(self) -> None:
        """After a refused reload the daemon is ready again; ``systemctl status`` says why until one succeeds."""
        supervision = self.started()
        self.manager.told()
        supervision.reloading()
        supervision.reloaded("[mqtt] listen: nobody can\nuse that")
        (_, ready) = self.manager.told()
        self.assertEqual(ready["READY"], "1")
        self.assertIn("0 of 0 printers online; the new configuration was refused", ready["STATUS"])
        self.assertIn("[mqtt] listen: nobody can use that", ready["STATUS"])
        self.online()
        self.clock.advance(STATUS_EVERY)
        (status,) = self.statuses()
        self.assertIn("1 of 1 printers online; the new configuration was refused", status)
        supervision.reloaded("")
        self.assertEqual(self.statuses(), ["1 of 1 printers online"])

    def test_stop(self) -> None:
        """An ordered stop is told; then nothing more, whatever printers do."""
        supervision = self.started()
        self.manager.told()
        self.online()
        supervision.stopping()
        supervision.stopService()
        self.assertEqual(self.manager.told(), [{"STOPPING": "1", "STATUS": "Stopping"}])
        self.online(OTHER_ID)
        self.clock.advance(2 * STATUS_EVERY)
        self.assertEqual(self.manager.told(), [])

    def test_silent(self) -> None:
        """Without systemd all of it is nothing: no timer runs, nobody watches the fleet."""
        supervision = Supervision({"WATCHDOG_USEC": "60000000"}, self.fleet, self.clock)
        supervision.startService()
        supervision.reloading()
        supervision.reloaded("")
        supervision.stopping()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        supervision.stopService()
