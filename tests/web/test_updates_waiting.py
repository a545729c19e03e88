"""Who waits at ``/v1/updates``, for how long, and what becomes of them."""

from __future__ import annotations

from ipaddress import IPv6Network
from typing import Any

from twisted.internet.address import IPv6Address

from sdcpd.machine import Machine
from sdcpd.web import updates
from tests.web.rig import MARS, SATURN, Pending, printing
from tests.web.test_updates import PATH, UpdatesCase


class WaitCase(UpdatesCase):
    def wait(self, query: str = "", path: str = PATH, headers: Any = None, **more: Any) -> Pending:
        """A poll from the last cursor that has to wait."""
        since = "" if headers else f"since={self.cursor}&"
        pending = self.rig.begin("GET", f"{path}?{since}{query}", b"", headers, **more)
        self.assertFalse(pending.answered)
        return pending

    def advance(self, seconds: float) -> None:
        """Let time pass in small steps, as a reactor does."""
        for _ in range(round(seconds * 20)):
            self.rig.clock.advance(0.05)


class HoldTests(WaitCase):
    """How long a poll is held."""

    def held(self, query: str) -> float:
        began = self.rig.clock.seconds()
        pending = self.wait(query)
        while not pending.answered:
            self.rig.clock.advance(0.05)
        self.assertTrue(pending.reply.json["timed_out"])
        return float(self.rig.clock.seconds() - began)

    def test_default(self) -> None:
        """A poll is held about 25 s, never longer, and not all of them for the same time."""
        times = {self.held("") for _ in range(20)}
        self.assertGreater(len(times), 3)
        self.assertGreaterEqual(min(times), 22.5)
        self.assertLessEqual(max(times), 25.1)

    def test_timeouts(self) -> None:
        """The timeout is the client's, up to 55 s; more is clamped and not refused."""
        for asked, most in (("5", 5), ("55", 55), ("3600", 55), ("inf", 55)):
            time = self.held(f"timeout={asked}")
            self.assertTrue(0.9 * most - 0.1 <= time <= most + 0.1, (asked, time))

    def test_no_wait(self) -> None:
        """A timeout of 0 or less is a plain poll."""
        for timeout in ("0", "-1"):
            self.assertTrue(self.rig.get(f"{PATH}?since={self.cursor}&timeout={timeout}").json["timed_out"])

    def test_time_out_document(self) -> None:
        """A time-out is whole JSON with nothing in it, and its cursor goes on."""
        pending = self.wait("timeout=1", f"/printers/{MARS}/v1/updates")
        self.rig.publish(printing(1))
        self.rig.fleet.happened(SATURN, "noted", {})
        self.advance(1.1)
        document = pending.reply.json
        self.assertEqual((document["timed_out"], document["printers"], document["events"]), (True, {}, []))
        self.assertEqual((document["resync"], document["replaced"], document["retry_after"]), (False, False, 0))
        self.assertEqual(document["cursor"], f"{self.epoch}.{self.rig.fleet.version}")

    def test_late_reactor(self) -> None:
        """After the whole machine was held up, a poll that is over ends, also if it is woken for nothing first."""
        self.rig.publish(printing(1))
        self.rig.report(printing(2))
        self.rig.report(printing(3))  # published in half a second
        self.poll("")
        pending = self.wait("timeout=1", f"/printers/{MARS}/v1/updates")
        everybody = self.wait("timeout=1&kinds=events")
        self.rig.clock.advance(5)
        self.assertEqual([p.reply.json["timed_out"] for p in (pending, everybody)], [True, True])

    def test_conditional_time_out(self) -> None:
        """Who asked by If-None-Match gets a time-out as 304, with the cursor that has moved."""
        headers = {"If-None-Match": f'"{self.cursor}"'}
        pending = self.wait("timeout=1", f"/printers/{MARS}/v1/updates", headers)
        self.rig.publish(printing(1))
        self.advance(1.1)
        self.assertEqual((pending.reply.status, pending.reply.body), (304, b""))
        self.assertEqual(pending.reply.headers["x-sdcpd-cursor"], f"{self.epoch}.{self.rig.fleet.version}")
        self.assertEqual(pending.reply.headers["cache-control"], "no-store")


class WakeTests(WaitCase):
    """What ends the wait."""

    def test_change(self) -> None:
        """A change of state reaches who waits at once."""
        pending = self.wait()
        self.rig.report(printing(1))
        document = pending.reply.json
        self.assertEqual(document["printers"]["saturn-3-ultra"]["phase"], "PRINTING")
        self.assertFalse(document["timed_out"])

    def test_happening(self) -> None:
        """A happening reaches who waits at once, and does not repeat the state."""
        pending = self.wait()
        self.rig.fleet.happened(SATURN, "noted", {})
        self.assertEqual([e["type"] for e in pending.reply.json["events"]], ["noted"])
        self.assertEqual(pending.reply.json["printers"], {})

    def test_conditional_news(self) -> None:
        """Who asked by If-None-Match gets news whole."""
        pending = self.wait("", PATH, {"If-None-Match": f'"{self.cursor}"'})
        self.rig.report(printing(1))
        self.assertEqual((pending.reply.status, list(pending.reply.json["printers"])), (200, ["saturn-3-ultra"]))

    def test_uninteresting(self) -> None:
        """What was not asked for does not end the wait, and what was asked for still does."""
        mars = self.wait("", f"/printers/{MARS}/v1/updates")
        chosen = self.wait("printers=mars-4")
        events = self.wait("kinds=events")
        state = self.wait("kinds=state")
        self.rig.publish(printing(1))
        self.assertEqual([p.answered for p in (mars, chosen, events, state)], [False, False, False, True])
        self.poll("")
        state = self.wait("kinds=state")
        self.rig.fleet.happened(SATURN, "noted", {})
        self.assertEqual([p.answered for p in (mars, chosen, events, state)], [False, False, True, False])
        self.rig.fleet.happened(MARS, "noted", {})
        self.rig.fleet.explain(MARS, "its door is open")
        self.rig.clock.advance(0.5)
        for pending in (mars, chosen):
            self.assertEqual([e["printer"] for e in pending.reply.json["events"]], ["mars-4"])

    def test_news_between_polls(self) -> None:
        """What changes while the client is between two polls is answered at once."""
        self.rig.publish(printing(1))
        self.assertTrue(self.rig.begin("GET", f"{PATH}?since={self.cursor}").answered)

    def test_shared(self) -> None:
        """All who wait for the same get the same bytes, made once."""
        wall, calls = self.rig.wall, []

        def counted() -> float:
            calls.append(1)
            return wall() + len(calls)

        self.rig.web._updates._wall = counted
        pendings = [self.wait() for _ in range(50)]
        self.rig.report(printing(1))
        self.assertEqual(len({p.reply.body for p in pendings}), 1)
        self.assertEqual(len(calls), 1)

    def test_different_questions(self) -> None:
        """Who waits for different things gets different answers of the same change."""
        self.rig.announce("CC", "Atom")
        self.rig.publish(printing(1))
        old, self.cursor = self.cursor, self.poll("")["cursor"]
        pendings = [self.wait(), self.wait("printers=saturn-3-ultra"), self.wait("kinds=state")]
        self.rig.report(printing(2, number=7))
        self.rig.fleet.happened(SATURN, "print_paused", {})
        late = self.rig.get(f"{PATH}?since={old}").json
        self.assertEqual([sorted(p.reply.json["printers"]) for p in pendings], [["saturn-3-ultra"]] * 3)
        self.assertEqual(sorted(late["printers"]), ["atom", "saturn-3-ultra"])


class BurstTests(WaitCase):
    """Many at once."""

    def test_everybody_hears(self) -> None:
        """Of hundreds who wait, everybody hears of the last change, and none of an older state."""
        pendings = [self.wait("timeout=55") for _ in range(350)]
        self.rig.report(printing(1))
        self.assertLess(sum(p.answered for p in pendings), 350)
        self.rig.fleet.happened(SATURN, "noted", {})
        self.rig.report(printing(2, number=7))
        self.advance(1)
        for pending in pendings:
            self.assertIn("saturn-3-ultra", pending.reply.json["printers"])
        self.assertEqual(pendings[-1].reply.json["printers"]["saturn-3-ultra"]["phase"], "PAUSED")
        types = [e["type"] for e in pendings[-1].reply.json["events"]]
        self.assertEqual(types, ["noted", "print_paused"])

    def test_nothing_lost_in_bursts(self) -> None:
        """Each of many clients that poll again and again sees every happening exactly once."""
        states: list[tuple[Pending, list[int], str]] = [(self.wait("timeout=5"), [], self.cursor) for _ in range(250)]
        for number in range(12):
            self.rig.fleet.happened(SATURN, "noted", {"n": number})
            self.rig.report(printing(number, number=7 if number % 2 else 3))
            self.rig.clock.advance(0.03 * number)
            states = [self.go_on(*state) for state in states]
        for _ in range(100):
            self.rig.clock.advance(0.05)
            states = [self.go_on(*state) for state in states]
        self.assertEqual({tuple(seen) for _, seen, _ in states}, {tuple(range(12))})

    def go_on(self, pending: Pending, seen: list[int], cursor: str) -> tuple[Pending, list[int], str]:
        while pending.answered:
            document = pending.reply.json
            seen = seen + [e["data"]["n"] for e in document["events"] if e["type"] == "noted"]
            cursor = document["cursor"]
            pending = self.rig.begin("GET", f"{PATH}?since={cursor}&timeout=5")
        return pending, seen, cursor

    def test_time_out_during_burst(self) -> None:
        """Who would time out while a large wake-up is under way gets the news all the same, also by If-None-Match."""
        first = [self.wait("timeout=55") for _ in range(400)]
        self.rig.report(printing(1))  # after so many there is a pause until the next wake-up
        self.advance(0.05)
        self.cursor = self.poll("")["cursor"]
        pending = self.wait("timeout=0.05", PATH, {"If-None-Match": f'"{self.cursor}"'})
        plain = self.wait("timeout=0.05")
        self.rig.fleet.happened(SATURN, "noted", {})
        self.assertFalse(pending.answered)
        self.rig.clock.advance(0.05)
        self.assertEqual((pending.reply.status, plain.reply.json["timed_out"]), (200, False))
        for one in (pending, plain):
            self.assertEqual([e["type"] for e in one.reply.json["events"]], ["noted"])
        self.assertTrue(first[0].answered)


class EndTests(WaitCase):
    """What else can become of a poll."""

    def test_client_leaves(self) -> None:
        """A client that hangs up leaves nothing behind: no waiter, no timer, no line in the log."""
        calls = len(self.rig.clock.getDelayedCalls())
        for query in ("", "client=me", "printers=mars-4"):
            pending = self.wait(query)
            self.assertEqual(self.rig.fleet.waiting, 1)
            pending.leave()
            self.assertEqual((self.rig.fleet.waiting, len(self.rig.clock.getDelayedCalls())), (0, calls))
        api = self.rig.web._updates
        self.assertEqual((api._count, dict(api._waiting), api._named, api._replaced), (0, {}, {}, set()))
        self.rig.fleet.happened(SATURN, "noted", {})
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_replaced(self) -> None:
        """A newer poll of the same name ends the older one, which is told so; both go on without harm."""
        older = self.wait("client=widget")
        other = self.wait("client=other")
        newer = self.wait("client=widget")
        self.assertFalse(other.answered)
        document = older.reply.json
        self.assertEqual((document["timed_out"], document["replaced"], document["cursor"]), (True, True, self.cursor))
        self.rig.fleet.happened(SATURN, "noted", {})
        for pending in (newer, other):
            self.assertEqual((len(pending.reply.json["events"]), pending.reply.json["replaced"]), (1, False))
        self.assertEqual(self.rig.fleet.waiting, 0)

    def test_replaced_after_uninteresting(self) -> None:
        """A poll that was woken for nothing can still be replaced by name."""
        older = self.wait("client=widget&printers=mars-4")
        self.rig.publish(printing(1))
        self.rig.fleet.happened(SATURN, "noted", {})
        self.cursor = self.poll("")["cursor"]
        self.wait("client=widget")
        self.assertTrue(older.reply.json["replaced"])

    def test_name_of_another(self) -> None:
        """The same name from another address is another client's."""
        rig = self.rig = self.make('[access.trusted]\n"192.168.1.0/24" = ["view"]')
        rig.announce()
        self.cursor = self.poll("")["cursor"]
        first = self.wait("client=widget", address="192.168.1.5")
        self.wait("client=widget", address="192.168.1.6")
        self.assertFalse(first.answered)

    def test_per_address(self) -> None:
        """The seventeenth poll of one address ends its oldest; other addresses and loopback are not counted."""
        rig = self.rig = self.make('[access.trusted]\n"192.168.1.0/24" = ["view"]')
        rig.announce()
        self.cursor = self.poll("")["cursor"]
        mine = [self.wait(address="192.168.1.5") for _ in range(updates.MAX_PER_ADDRESS)]
        other = self.wait(address="192.168.1.6")
        local = [self.wait() for _ in range(updates.MAX_PER_ADDRESS + 5)]
        self.assertFalse(any(p.answered for p in (*mine, other, *local)))
        mine.append(self.wait(address="192.168.1.5"))
        self.assertEqual([p.answered for p in mine], [True] + [False] * updates.MAX_PER_ADDRESS)
        self.assertTrue(mine[0].reply.json["replaced"])
        self.assertFalse(other.answered or any(p.answered for p in local))
        rig.fleet.happened(SATURN, "noted", {})
        self.assertTrue(all(p.answered for p in (*mine, other, *local)))

    def test_per_household(self) -> None:
        """A host that calls from ever other addresses of its IPv6 network takes nobody else's room."""
        rig = self.rig = self.make('[access.trusted]\n"2001:db8::/32" = ["view"]')
        rig.announce()
        self.cursor = self.poll("")["cursor"]
        mine = [
            self.wait(address=IPv6Address("TCP", f"2001:db8::{number + 1:x}", 50_000))
            for number in range(updates.MAX_PER_ADDRESS + 1)
        ]
        other = self.wait(address=IPv6Address("TCP", "2001:db8:0:1::1", 50_000))
        self.assertEqual([p.answered for p in mine], [True] + [False] * updates.MAX_PER_ADDRESS)
        self.assertFalse(other.answered)
        for poll in (*mine, other):
            poll.leave()
        self.assertEqual(len(self.rig.web._updates._waiting), 0)

    def test_neighbours(self) -> None:
        """The hosts of a network that this machine is in share a /64, and each has room for its own polls."""
        rig = self.rig = self.make('[access.trusted]\n"fe80::/64" = ["view"]')
        rig.machine = Machine(networks=(IPv6Network("fe80::/64"),))
        rig.announce()
        self.cursor = self.poll("")["cursor"]
        pages = [
            self.wait(address=IPv6Address("TCP", f"fe80::{number + 1:x}%eth0", 50_000))
            for number in range(updates.MAX_PER_ADDRESS + 1)
        ]
        self.assertFalse(any(poll.answered for poll in pages))

    def test_chase(self) -> None:
        """Two clients of one name end each other's polls no faster than any client may ask."""
        rig = self.rig = self.make('[web]\nburst = 5\n[access.trusted]\n"192.168.1.0/24" = ["view"]')
        rig.announce()
        self.cursor = self.poll("")["cursor"]
        target = f"{PATH}?client=widget&since={self.cursor}"
        polls = [rig.begin("GET", target, address="192.168.1.5") for _ in range(8)]
        self.assertEqual([poll.answered for poll in polls], [True] * 5 + [False] + [True] * 2)
        self.assertEqual([poll.reply.status for poll in polls if poll.answered], [200] * 5 + [429] * 2)

    def test_counted_once(self) -> None:
        """A poll that is woken for nothing, however often, earns its address no further requests."""
        rig = self.rig = self.make('[web]\nrate = 0.001\nburst = 5\n[access.trusted]\n"192.168.1.0/24" = ["view"]')
        rig.announce()
        self.cursor = self.poll("")["cursor"]
        asked = [rig.get("/v1/me", address="192.168.1.5").status for _ in range(3)]
        waiting = self.wait("kinds=events", address="192.168.1.5")
        for layer in range(4):
            rig.publish(printing(layer))
            self.advance(3)
        self.assertFalse(waiting.answered)
        asked += [rig.get("/v1/me", address="192.168.1.5").status for _ in range(3)]
        self.assertEqual(asked, [200] * 5 + [429])

    def test_too_many(self) -> None:
        """When too many wait already, the next is answered at once and asked to come back."""
        self.rig.web._updates._count = updates.MAX_WAITING - 3  # as if others were waiting
        waiting = [self.wait() for _ in range(3)]
        reply = self.rig.get(f"{PATH}?since={self.cursor}")
        self.assertEqual((reply.json["timed_out"], reply.json["retry_after"]), (True, 5))
        self.assertEqual(reply.headers["retry-after"], "5")
        self.assertEqual(self.rig.get(PATH).json["retry_after"], 0)
        waiting[0].leave()
        self.wait()

    def test_shutdown(self) -> None:
        """When the daemon stops, everybody is answered with the cursor and asked back within 1 to 15 s, spread."""
        pendings = [self.wait("timeout=55") for _ in range(200)]
        brief = self.wait("", PATH, {"If-None-Match": f'"{self.cursor}"'})
        self.rig.web.stop()
        self.rig.fleet.stop()
        seconds = [p.reply.json["retry_after"] for p in pendings]
        self.assertGreater(len(set(seconds)), 5)
        self.assertLessEqual(set(seconds), set(range(1, 16)))
        for pending in pendings:
            self.assertEqual((pending.reply.json["timed_out"], pending.reply.json["cursor"]), (True, self.cursor))
            self.assertEqual(pending.reply.headers["retry-after"], str(pending.reply.json["retry_after"]))
        self.assertEqual(brief.reply.status, 304)
        self.assertTrue(1 <= int(brief.reply.headers["retry-after"]) <= 15)

    def test_after_shutdown(self) -> None:
        """Who still comes while the daemon stops is not held and asked back, whatever the cursor."""
        self.rig.web.stop()
        self.rig.fleet.stop()
        for query in (f"since={self.cursor}", "", "since=zzzz.1"):
            document = self.rig.get(f"{PATH}?{query}").json
            self.assertTrue(1 <= document["retry_after"] <= 15)

    def test_last_news(self) -> None:
        """News of the last moment is not lost in the shutdown."""
        pendings = [self.wait("timeout=55") for _ in range(150)]
        self.rig.report(printing(1))
        self.rig.web.stop()
        self.rig.fleet.stop()
        for pending in pendings:
            self.assertIn("saturn-3-ultra", pending.reply.json["printers"])
            self.assertFalse(pending.reply.json["timed_out"])
