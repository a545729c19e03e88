from __future__ import annotations

import json

from msgspec.structs import replace
from twisted.internet.defer import CancelledError
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from sdcpd.codec.sdcp import Command
from sdcpd.errors import CommandInFlight, CommandRefused, CommandTimeout, LinkLost, PrinterOffline, PrinterUnknown
from sdcpd.fleet import Fleet, Reachability
from sdcpd.links import COMMAND_TIMEOUT, DEAD, OFFLINE_AFTER, SILENCE, Links, Session
from sdcpd.logs import LINES, WHILE
from tests.fakes import (
    HOME,
    ID,
    OTHER_ID,
    WALL,
    WIRE_ID,
    FakeLink,
    announcement,
    events,
    logged,
    pump,
    response_payload,
    status_json,
    status_payload,
    wall,
)


class LinksTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.fleet = Fleet(self.clock, wall, [])
        self.links = Links(self.fleet, self.clock, wall)
        self.fleet.announced(announcement(), HOME)
        self.link = FakeLink(self.links)

    def silent(self) -> Session:
        """A session that has been greeted, and a printer that answers nothing from now on."""
        session = self.link.open()
        self.link.sent.clear()
        self.link.acks = dict.fromkeys(Command)
        return session

    @property
    def reachability(self) -> Reachability:
        return self.fleet.get(ID).reachability


class GreetingTests(LinksTestCase):
    def test_order(self) -> None:
        """A printer that has connected is asked for status, attributes and regular reports, in this order."""
        self.link.open()
        data = [request["Data"] for request in self.link.sent]
        self.assertEqual([d["Cmd"] for d in data], [0, 1, 512])
        self.assertEqual([d["Data"] for d in data], [None, None, {"TimePeriod": 5000}])
        self.assertEqual({d["MainboardID"] for d in data}, {ID})
        self.assertEqual({d["TimeStamp"] for d in data}, {int(WALL * 1000)})
        self.assertEqual(len({d["RequestID"] for d in data}), 3)
        self.assertEqual({request["Id"] for request in self.link.sent}, {WIRE_ID})

    def test_one_after_the_other(self) -> None:
        """The next greeting waits for the answer to the one before."""
        self.link.acks = {Command.STATUS: None}
        self.link.open()
        self.assertEqual(len(self.link.sent), 1)
        self.link.answers(0)
        self.assertEqual(len(self.link.sent), 3)

    def test_refused_and_silent(self) -> None:
        """A printer that refuses or ignores one greeting is greeted on."""
        lines = logged(self)
        self.link.acks = {Command.STATUS: 3, Command.ATTRIBUTES: None}
        self.link.open()
        self.assertEqual(len(self.link.sent), 2)
        self.clock.advance(COMMAND_TIMEOUT)
        self.assertEqual(len(self.link.sent), 3)
        self.assertTrue(any("did not take STATUS" in line for line in lines))
        self.assertTrue(any("did not take ATTRIBUTES" in line for line in lines))

    def test_lost(self) -> None:
        """A printer that goes away during the greeting is not greeted on."""
        self.link.acks = {Command.STATUS: None}
        self.link.open()
        self.link.drop()
        self.assertEqual(len(self.link.sent), 1)

    def test_unknown_printer(self) -> None:
        """A printer of which no announcement is remembered is greeted with an empty Id."""
        session = Session(FakeLink(self.links, OTHER_ID), self.fleet, self.clock, wall, lambda about: True)
        self.assertEqual(session.mainboard_id, OTHER_ID)


class RequestTests(LinksTestCase):
    def test_answered(self) -> None:
        """A command is done when the printer has acknowledged it."""
        session = self.silent()
        d = session.request(Command.PAUSE)
        self.assertNoResult(d)
        self.link.answers(0)
        self.assertEqual(self.successResultOf(d).ack, 0)

    def test_correlation(self) -> None:
        """Answers that come in another order still find their commands."""
        session = self.silent()
        first = session.request(Command.STATUS)
        second = session.request(Command.ATTRIBUTES)
        self.link.answers(1)
        self.assertNoResult(first)
        self.assertEqual(self.successResultOf(second).command, Command.ATTRIBUTES)
        self.link.answers(0)
        self.assertEqual(self.successResultOf(first).command, Command.STATUS)

    def test_foreign_answers(self) -> None:
        """An answer with a foreign or no RequestID answers nothing, and the command runs into its time-out."""
        session = self.silent()
        d = session.request(Command.PAUSE)
        session.received("response", response_payload("0" * 32, 129))
        session.received("response", b'{"Data":{"Data":{"Ack":0}}}')
        session.received("response", b"{}")
        self.assertNoResult(d)
        self.clock.advance(COMMAND_TIMEOUT)
        self.failureResultOf(d, CommandTimeout)

    def test_late_answer(self) -> None:
        """An answer after the time-out is nobody's."""
        session = self.silent()
        d = session.request(Command.PAUSE)
        self.clock.advance(COMMAND_TIMEOUT)
        error = self.failureResultOf(d, CommandTimeout).value
        self.assertIn("PAUSE", error.message)
        self.assertTrue(error.hint)
        self.link.answers(0)
        self.assertEqual(len(self.link.sent), 1)

    def test_answered_twice(self) -> None:
        """The same answer again changes nothing."""
        session = self.silent()
        d = session.request(Command.PAUSE)
        self.link.answers(0)
        self.link.answers(0, 1)
        self.successResultOf(d)

    def test_answer_without_command(self) -> None:
        """An answer that does not repeat the command is taken all the same."""
        session = self.silent()
        d = session.request(Command.PAUSE)
        request_id = self.link.sent[0]["Data"]["RequestID"]
        payload = {"Data": {"Data": {"Ack": 0}, "RequestID": request_id}}
        session.received("response", json.dumps(payload).encode())
        self.assertIsNone(self.successResultOf(d).command)

    def test_ack_as_text(self) -> None:
        """An Ack that is a string counts as the number it spells."""
        session = self.silent()
        good = session.request(Command.STATUS)
        bad = session.request(Command.STATUS)
        self.link.answers(0, "0")
        self.link.answers(1, "4")
        self.successResultOf(good)
        self.assertEqual(self.failureResultOf(bad, CommandRefused).value.ack, 4)

    def test_refused(self) -> None:
        """A refusal says which command and what its number means."""
        session = self.silent()
        for ack in range(1, 8):
            d = session.request(Command.START, {"Filename": "x.goo", "StartLayer": 0})
            self.link.answers(-1, ack)
            error = self.failureResultOf(d, CommandRefused).value
            self.assertEqual(error.ack, ack)
            self.assertIn(f"(Ack {ack})", error.message)

    def test_without_ack(self) -> None:
        """An answer without an Ack is no consent."""
        session = self.silent()
        acks: tuple[object, ...] = (None, "what?", [], {})
        for ack in acks:
            d = session.request(Command.PAUSE)
            self.link.answers(-1, ack)
            self.assertEqual(self.failureResultOf(d, CommandRefused).value.ack, -1)

    def test_one_change_at_a_time(self) -> None:
        """While one command that changes something is unanswered, another is refused and not sent."""
        session = self.silent()
        first = session.request(Command.PAUSE)
        second = session.request(Command.STOP)
        self.failureResultOf(second, CommandInFlight)
        self.assertEqual(self.link.commands(), [Command.PAUSE])
        session.request(Command.STATUS).addErrback(lambda _: None)
        self.link.answers(0)
        self.successResultOf(first)
        third = session.request(Command.STOP)
        self.link.answers(-1)
        self.successResultOf(third)

    def test_change_after_timeout(self) -> None:
        """A command that timed out does not block the printer for ever."""
        session = self.silent()
        self.failureResultOf(self.after(session), CommandTimeout)
        d = session.request(Command.STOP)
        self.link.answers(-1)
        self.successResultOf(d)

    def after(self, session: Session) -> object:
        d = session.request(Command.PAUSE)
        self.clock.advance(COMMAND_TIMEOUT)
        return d

    def test_cancelled(self) -> None:
        """Who hangs up does not hear the answer, and the printer still has that one command to answer first."""
        session = self.silent()
        d = session.request(Command.PAUSE)
        d.cancel()
        self.failureResultOf(d, CancelledError)
        self.failureResultOf(session.request(Command.STOP), CommandInFlight)
        self.link.answers(0)
        d = session.request(Command.STOP)
        self.link.answers(-1)
        self.successResultOf(d)

    def test_cancelled_and_silent(self) -> None:
        """A command that nobody waits for any more blocks the printer for no longer than any other."""
        session = self.silent()
        d = session.request(Command.PAUSE)
        d.cancel()
        self.failureResultOf(d, CancelledError)
        self.clock.advance(COMMAND_TIMEOUT)
        d = session.request(Command.STOP)
        self.link.answers(-1)
        self.successResultOf(d)

    def test_lost(self) -> None:
        """When the connection ends, whoever waits hears it, and who asks later hears that the printer is offline."""
        session = self.silent()
        d = session.request(Command.PAUSE)
        self.link.drop("cable pulled")
        self.assertIn("cable pulled", self.failureResultOf(d, LinkLost).value.message)
        self.failureResultOf(session.request(Command.PAUSE), PrinterOffline)
        session.lost("again")

    def test_wire_id_learned(self) -> None:
        """A printer that has changed its Id is answered with the new one."""
        session = self.silent()
        session.received("status", status_payload(status_json(), Id="new"))
        session.request(Command.STATUS).addErrback(lambda _: None)
        self.assertEqual(self.link.sent[0]["Id"], "new")
        session.received("status", status_payload(status_json(), Id=""))
        session.request(Command.STATUS).addErrback(lambda _: None)
        self.assertEqual(self.link.sent[1]["Id"], "new")
        self.clock.advance(COMMAND_TIMEOUT)


class ReportTests(LinksTestCase):
    def test_status(self) -> None:
        """What the printer reports is shown."""
        self.link.open()
        self.link.says(status_json(1, 2, layer=7))
        status = self.fleet.get(ID).status
        assert status is not None
        self.assertEqual(status.print.current_layer, 7)

    def test_reported(self) -> None:
        """A status that says the same again still counts as a report."""
        self.assertEqual(self.links.reported(ID), float("-inf"))
        session = self.silent()
        self.assertEqual(self.links.reported(ID), float("-inf"))
        for now in (3, 5):
            self.clock.advance(now)
            self.link.says(status_json())
            self.assertEqual(self.links.reported(ID), self.clock.seconds())
        self.clock.advance(1)
        session.alive()
        self.assertEqual(self.links.reported(ID), 8)

    def test_attributes(self) -> None:
        """The attributes topic carries a status on some firmware and nothing on other."""
        session = self.link.open()
        session.received("attributes", json.dumps({"Data": {"Attributes": status_json(1, 3)}}).encode())
        status = self.fleet.get(ID).status
        assert status is not None
        self.assertEqual(status.print.status, 3)
        session.received("attributes", b'{"Data":{}}')
        self.assertIs(self.fleet.get(ID).status, status)

    def test_notice(self) -> None:
        """What a printer says on topics that nobody knows is found in the log."""
        lines = logged(self)
        self.link.open().received("error", b'{"Data":{"ErrorCode":7}}')
        self.assertTrue(any("ErrorCode" in line for line in lines))

    def test_nonsense(self) -> None:
        """A malformed message is dropped and the session goes on."""
        lines = logged(self)
        session = self.link.open()
        for payload in (b"", b"\0", b"[]", b"{", b"\xff", b'{"a":' * 2000, b"[" * 1_000_000):
            session.received("status", payload)
        self.assertEqual(len([line for line in lines if "nonsense" in line]), LINES)
        self.link.says(status_json(1, 2))
        self.assertIn(ID, self.links)

    def test_flood(self) -> None:
        """A printer that talks without end fills no disk with it, and what it says later is in the log again."""
        lines = logged(self)
        session = self.link.open()
        for round_ in (1, 2):
            for number in range(1000):
                session.received("error", json.dumps({"Data": {"Error": number}}).encode())
                session.received("status", b"junk")
                self.links.overheard(ID, "status", b"junk")
            for word in ("says on", "nonsense"):
                self.assertEqual(len([line for line in lines if word in line]), LINES * round_, word)
            self.clock.advance(WHILE)

    def test_flood_of_one(self) -> None:
        """What one printer says too often does not hide what another one says."""
        lines = logged(self)
        session = self.link.open()
        for _ in range(100):
            session.received("error", b'{"Data":{"ErrorCode":7}}')
        self.fleet.announced(replace(announcement(), mainboard_id=OTHER_ID), "192.0.2.32")
        FakeLink(self.links, OTHER_ID).open().received("error", b'{"Data":{"ErrorCode":8}}')
        self.assertTrue(any("'ErrorCode': 8" in line for line in lines))

    def test_long_notice(self) -> None:
        """A line of the log is a line, however long and odd the topic and the words are."""
        lines = logged(self)
        self.link.open().received("x" * 60_000 + "\n", json.dumps({"Data": {"a\n\u202e": ["y" * 250] * 60}}).encode())
        (line,) = [line for line in lines if "says on" in line]
        self.assertLess(len(line), 800)
        self.assertTrue(line.isprintable())

    def test_coming_and_going(self) -> None:
        """A printer whose connection comes and goes all the time is told of a few times a minute."""
        lines = logged(self)
        for _ in range(50):
            self.link.open()
            self.link.drop()
        self.assertEqual(len([line for line in lines if "is disconnected" in line]), LINES)

    def test_overheard(self) -> None:
        """A status that comes before the printer can be asked counts already."""
        lines = logged(self)
        self.links.overheard(ID, "status", status_payload(status_json(1, 2)))
        status = self.fleet.get(ID).status
        assert status is not None
        self.assertEqual(status.current, (1,))
        self.links.overheard(ID, "notice", b"{}")
        self.links.overheard(ID, "status", b"junk")
        self.assertTrue(any("nonsense" in line for line in lines))


class PresenceTests(LinksTestCase):
    def test_online(self) -> None:
        """A printer that has connected is online, and nothing explains any more why it is not."""
        self.fleet.explain(ID, "Firewall?")
        self.assertNotIn(ID, self.links)
        session = self.link.open()
        self.assertIs(self.reachability, Reachability.ONLINE)
        self.assertIsNone(self.fleet.get(ID).message)
        self.assertEqual(events(self.fleet), ["online"])
        self.assertIn(ID, self.links)
        self.assertEqual((len(self.links), list(self.links)), (1, [session]))
        self.assertIs(self.links.session(ID), session)

    def test_no_session(self) -> None:
        """Who wants to command a printer that is away hears why and what to do."""
        error = self.assertRaises(PrinterOffline, self.links.session, ID)
        self.assertIn("Bench left is offline", error.message)
        self.assertIn("Switch it on", error.hint)
        self.fleet.explain(ID, "Firewall?")
        self.assertEqual(self.assertRaises(PrinterOffline, self.links.session, ID).hint, "Firewall?")
        self.assertRaises(PrinterUnknown, self.links.session, "nobody")

    def test_silence(self) -> None:
        """A connection on which nothing comes is stale after 15 s, asked once, and given up after 30 s."""
        self.silent()
        pump(self.clock, SILENCE - 1, self.links.sweep)
        self.assertIs(self.reachability, Reachability.ONLINE)
        self.assertEqual(self.link.sent, [])
        pump(self.clock, 5, self.links.sweep)
        self.assertIs(self.reachability, Reachability.STALE)
        self.assertEqual(len(self.link.sent), 1)
        self.assertEqual(self.link.sent[0]["Data"]["Cmd"], Command.STATUS)
        pump(self.clock, DEAD - SILENCE - 4, self.links.sweep)
        self.assertEqual(len(self.link.closed), 1)
        self.assertNotIn(ID, self.links)
        self.assertIs(self.reachability, Reachability.STALE)

    def test_silence_answered(self) -> None:
        """A stale printer that answers is online again; for people that was no coming and going."""
        self.silent()
        pump(self.clock, SILENCE, self.links.sweep)
        self.assertIs(self.reachability, Reachability.STALE)
        self.link.answers(0)
        self.assertIs(self.reachability, Reachability.ONLINE)
        pump(self.clock, SILENCE - 1, self.links.sweep)
        self.assertIs(self.reachability, Reachability.ONLINE)
        self.assertEqual(events(self.fleet), ["online"])

    def test_offline(self) -> None:
        """45 s after its last word on any way a printer is offline, once."""
        self.silent()
        pump(self.clock, OFFLINE_AFTER - 1, self.links.sweep)
        self.assertIs(self.reachability, Reachability.STALE)
        pump(self.clock, 20, self.links.sweep)
        self.assertIs(self.reachability, Reachability.OFFLINE)
        self.assertEqual(events(self.fleet), ["online", "offline"])

    def test_seen_by_udp(self) -> None:
        """A printer that still answers by UDP is not offline, and says no farewell that it does not mean."""
        self.silent()
        self.link.drop()
        for _ in range(4):
            pump(self.clock, 20, self.links.sweep)
            self.fleet.hear(ID)
        self.assertIs(self.reachability, Reachability.STALE)
        self.assertEqual(events(self.fleet), ["online"])

    def test_never_connected(self) -> None:
        """A printer that was only seen goes offline without an event: it was never online."""
        self.fleet.change(ID, reachability=Reachability.STALE)
        pump(self.clock, OFFLINE_AFTER, self.links.sweep)
        self.assertIs(self.reachability, Reachability.OFFLINE)
        self.assertEqual(events(self.fleet), [])

    def test_comes_back(self) -> None:
        """Reconnecting soon is no event; coming back after it was offline is one."""
        self.link.open()
        self.link.drop()
        self.link.open()
        self.assertEqual(events(self.fleet), ["online"])
        self.link.drop()
        pump(self.clock, OFFLINE_AFTER, self.links.sweep)
        self.link.open()
        self.assertEqual(events(self.fleet), ["online", "offline", "online"])

    def test_takeover(self) -> None:
        """A second connection of a printer takes its place; the end of the first one hurts nothing."""
        first = self.silent()
        d = first.request(Command.PAUSE)
        newer = FakeLink(self.links)
        second = newer.open()
        self.failureResultOf(d, LinkLost)
        self.assertEqual(self.link.closed, ["the printer connected again"])
        self.assertIs(self.links.session(ID), second)
        self.assertIs(self.reachability, Reachability.ONLINE)
        self.links.closed(first, "late")
        self.assertIs(self.links.session(ID), second)
        self.assertIs(self.reachability, Reachability.ONLINE)
        self.assertEqual(events(self.fleet), ["online"])

    def test_close_all(self) -> None:
        """When the daemon stops, every connection is ended."""
        self.link.open()
        self.fleet.announced(announcement(OTHER_ID), "192.0.2.32")
        other = FakeLink(self.links, OTHER_ID)
        other.open()
        self.links.close_all("the daemon stops")
        self.assertEqual((self.link.closed, other.closed), (["the daemon stops"], ["the daemon stops"]))
        self.assertEqual(len(self.links), 0)
