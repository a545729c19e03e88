"""Keys that programs ask for: what Cura, Home Assistant and OctoRest send, and what a person decides."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlencode

from sdcpd.errors import Unrecorded
from sdcpd.web.access import FAILURES
from sdcpd.web.pairing import DECIDE_WITHIN, MOST, MOST_PER_ADDRESS, POLL_WITHIN, TRIES
from tests.fakes import logged
from tests.web.octoprint.rig import JSON, OctoPrintCase
from tests.web.rig import MARS, SATURN, P, Pending, Reply

AWAY = "203.0.113.5"
APP = "192.168.1.77"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
HUB = "http://hub.local"


class AppKeysCase(OctoPrintCase):
    def open(self, minutes: int = 5, **more: Any) -> Any:
        reply = self.rig.post("/v1/keys/pairing", {"minutes": minutes, **more})
        self.assertEqual(reply.status, 200, reply.body)
        return reply.json

    def ask(self, app: object = "Cura", address: str = APP, path: str = P, **more: Any) -> Reply:
        body = {"app": app, **more}
        return self.rig.post(f"{path}/plugin/appkeys/request", body, JSON, address=address)

    def asked(self, app: str = "Cura", address: str = APP, **more: Any) -> tuple[str, str]:
        """Where to poll, and where to decide, as paths."""
        reply = self.ask(app, address, **more)
        self.assertEqual(reply.status, 201, reply.body)
        return reply.headers["location"].removeprefix(HUB), reply.json["auth_dialog"].removeprefix(HUB)

    def poll(self, location: str, address: str = APP) -> Reply:
        return self.rig.get(location, address=address)

    def decide(self, dialog: str, decision: object = True, **more: Any) -> Reply:
        return self.rig.post(dialog.replace("/auth/", "/decision/"), {"decision": decision}, JSON, **more)

    def deciding(self, dialog: str) -> Pending:
        """The decision is sent; its answer may wait for the disk."""
        target = dialog.replace("/auth/", "/decision/")
        return self.rig.begin("POST", target, b'{"decision": true}', JSON, address=AWAY, key=self.rig.admin)

    def submit(self, dialog: str, key: str, decision: str = "allow", **headers: str) -> Reply:
        """What a browser sends from the page."""
        body = urlencode({"key": key, "decision": decision}).encode()
        return self.rig.ask("POST", dialog, body, {**FORM, **headers}, address=AWAY)

    def names(self) -> list[str]:
        return [key.name for key in self.rig.keys.list()]


class ClientTests(AppKeysCase):
    """The sequences of real clients."""

    def test_cura(self) -> None:
        """Cura probes, asks, opens the page, polls the Location twice a second, and tries the key at the settings."""
        self.open()
        self.assertEqual(self.rig.get(f"{P}/plugin/appkeys/probe", address=APP).status, 204)
        reply = self.ask("Cura")
        self.assertEqual((reply.status, reply.reason, set(reply.json)), (201, "CREATED", {"app_token", "auth_dialog"}))
        location = reply.headers["location"]
        self.assertEqual(location, f"{HUB}{P}/plugin/appkeys/request/{reply.json['app_token']}")
        page = self.rig.get(reply.json["auth_dialog"].removeprefix(HUB), address=AWAY)
        self.assertEqual((page.status, page.headers["content-type"]), (200, "text/html; charset=utf-8"))
        for _ in range(40):
            self.rig.clock.advance(0.5)
            waiting = self.rig.get(location.removeprefix(HUB), {"Content-Type": ""}, address=APP)
            self.assertEqual((waiting.status, waiting.json), (202, {"message": "Awaiting decision"}))
        page = self.submit(reply.json["auth_dialog"].removeprefix(HUB), self.rig.admin, Origin=HUB)
        self.assertEqual(page.status, 200, page.body)
        granted = self.poll(location.removeprefix(HUB))
        self.assertEqual((granted.status, set(granted.json)), (200, {"api_key"}))
        self.assertEqual(granted.headers["cache-control"], "no-store")
        key = granted.json["api_key"]
        settings = self.rig.get(f"{P}/api/settings", address=APP, key=key)
        self.assertEqual((settings.status, settings.json["feature"]["sdSupport"]), (200, False))
        self.assertEqual(self.poll(location.removeprefix(HUB)).status, 404)
        record = self.rig.keys.find(key)
        assert record is not None
        self.assertEqual((record.name, record.scopes, record.printers), ("Cura", ("view", "upload", "control"), ()))

    def test_home_assistant(self) -> None:
        """Home Assistant writes two slashes, names its user, takes the token out of the Location, polls each second."""
        self.open()
        root = f"{P}/"
        self.assertEqual(self.rig.get(f"{root}/plugin/appkeys/probe", address=APP).status, 204)
        reply = self.ask("Home Assistant", user="maker", path=root)
        self.assertEqual(reply.status, 201)
        token = reply.headers["location"].rpartition("/")[2]
        poll = f"{root}plugin/appkeys/request/{token}"
        self.assertNotIn("api_key", self.poll(poll).json)
        (waiting,) = self.rig.get("/v1/keys/pairing").json["waiting"]
        self.assertEqual((waiting["app"], waiting["user"], waiting["address"]), ("Home Assistant", "maker", APP))
        self.rig.clock.advance(1)
        self.assertEqual(self.rig.post(waiting["decision"], {"decision": True}, JSON).status, 204)
        key = self.poll(poll).json["api_key"]
        self.assertEqual(self.names(), ["admin", "Home-Assistant-maker"])
        settings = self.rig.get(f"{root}api/settings", address=APP, key=key)
        self.assertTrue(settings.json["plugins"]["discovery"]["upnpUuid"])
        self.assertEqual(self.rig.get(f"{root}api/job", address=APP, key=key).status, 200)

    def test_closed(self) -> None:
        """While nobody has opened the window, a program reads what has to be done, and nothing waits."""
        reply = self.ask()
        self.assertIn("sdcp-key pair", self.refuses(reply, 403))
        self.assertEqual(self.rig.get(f"{P}/plugin/appkeys/probe", address=AWAY).status, 204)
        self.open(1)
        self.rig.clock.advance(59.9)
        self.asked()
        self.rig.clock.advance(0.1)
        self.refuses(self.ask("Other"), 403)
        self.open(5)
        self.open(0)
        self.refuses(self.ask(), 403)

    def test_at_the_root_and_own_port(self) -> None:
        """For clients that drop the path the same is at the root and at a printer's own port, with addresses there."""
        self.open()
        reply = self.ask(path="")
        self.assertTrue(reply.json["auth_dialog"].startswith(f"{HUB}/plugin/appkeys/auth/"))
        self.rig.site = self.rig.web.own_site("saturn-3-ultra")
        reply = self.ask("OctoRest", path="")
        location = reply.headers["location"].removeprefix(HUB)
        self.assertTrue(location.startswith("/plugin/appkeys/request/"), location)
        self.assertEqual(self.poll(location).status, 202)
        self.assertEqual(self.decide(reply.json["auth_dialog"].removeprefix(HUB)).status, 204)
        self.assertEqual(self.poll(location).status, 200)


class DecisionTests(AppKeysCase):
    def test_refused(self) -> None:
        """A program that is not let in reads 404, and there is no key."""
        self.open()
        location, dialog = self.asked()
        self.done(self.decide(dialog, False))
        self.refuses(self.poll(location), 404)
        self.refuses(self.decide(dialog, True), 404)
        self.assertEqual(self.names(), ["admin"])

    def test_needs_admin(self) -> None:
        """Nobody decides but an administrator, and the program's own word decides nothing."""
        self.open()
        location, dialog = self.asked()
        for more in ({"address": APP}, {"address": APP, "key": self.rig.key("control", "plate", "queue", "upload")}):
            self.refuses(self.decide(dialog, **more), 403)
        token = location.rpartition("/")[2]
        self.refuses(self.decide(f"{P}/plugin/appkeys/decision/{token}"), 404)
        self.assertEqual(self.poll(dialog.replace("/auth/", "/request/")).status, 404)
        self.assertEqual(self.poll(location).status, 202)

    def test_sentences(self) -> None:
        """A decision that is none is refused in a sentence and decides nothing."""
        self.open()
        location, dialog = self.asked()
        decisions: tuple[object, ...] = ("true", 1, None, [])
        for decision in decisions:
            self.assertIn("true or false", self.refuses(self.decide(dialog, decision), 400))
        self.assertEqual(self.poll(location).status, 202)

    def test_other_printer(self) -> None:
        """A request at one printer's address is neither polled nor decided at another's."""
        self.rig.announce(MARS, "Mars")
        self.open()
        location, dialog = self.asked()
        for path in (location, dialog):
            self.assertEqual(self.poll(path.replace("saturn-3-ultra", "mars")).status, 404)
        self.assertEqual(self.decide(dialog.replace("saturn-3-ultra", "mars")).status, 404)
        self.assertEqual(self.poll(location).status, 202)

    def test_limits(self) -> None:
        """A window for one printer gives keys for that one alone, and nothing at the others' addresses."""
        self.rig.announce(MARS, "Mars")
        told = self.open(scopes=["view", "queue"], printers=["saturn-3-ultra"])
        self.assertEqual(
            (told["open"], told["scopes"], told["printers"]), (True, ["view", "queue"], ["saturn-3-ultra"])
        )
        self.assertIn("other printers", self.refuses(self.ask(path="/printers/mars"), 403))
        location, dialog = self.asked()
        self.decide(dialog)
        record = self.rig.keys.find(self.poll(location).json["api_key"])
        assert record is not None
        self.assertEqual((record.scopes, record.printers), (("view", "queue"), (SATURN,)))

    def test_names(self) -> None:
        """A key is called after program and user, and a second one gets a number."""
        self.open()
        for app, user in (("Cura", None), ("Cura", None), ("<b>/..", ""), ("\u202e\U0001f600", "é" * 90)):
            location, dialog = self.asked(app, **({} if user is None else {"user": user}))
            self.assertEqual(self.decide(dialog).status, 204)
            self.assertEqual(self.poll(location).status, 200)
            self.rig.clock.advance(60)
            self.open()
        self.assertEqual(self.names(), ["admin", "Cura", "Cura-2", "b", "é" * 56])

    def test_unwritable(self) -> None:
        """A key that cannot be written down is none: the administrator hears of it and can decide again."""
        self.open()
        location, dialog = self.asked()
        self.rig.keys._records.fail_next(Unrecorded("The disk is full.", "Make room."))  # type: ignore[attr-defined]
        self.assertEqual(self.decide(dialog).status, 507)
        self.assertEqual(self.poll(location).status, 202)
        self.rig.keys._records.fail_next(Unrecorded("The disk is full.", "Make room."))  # type: ignore[attr-defined]
        page = self.submit(dialog, self.rig.admin)
        self.assertEqual(page.status, 507)
        self.assertIn(b"The disk is full. Make room.", page.body)
        self.assertEqual(self.submit(dialog, self.rig.admin).status, 200)
        self.assertEqual(self.poll(location).status, 200)

    def test_slow_disk(self) -> None:
        """While the key is being written down the program waits, nobody decides again, and one key comes of it."""
        records: Any = self.rig.keys._records
        self.open()
        location, dialog = self.asked()
        records.wait()
        deciding = self.deciding(dialog)
        self.assertFalse(deciding.answered)
        self.assertEqual(self.poll(location).status, 202)
        self.assertEqual(self.decide(dialog, False).status, 404)
        deciding.leave()  # who has decided has decided
        records.go_on()
        self.assertEqual(self.poll(location).status, 200)

    def test_given_up_meanwhile(self) -> None:
        """A program that gives up while its key is written down leaves no key behind."""
        records: Any = self.rig.keys._records
        self.open()
        _, dialog = self.asked()
        records.wait()
        deciding = self.deciding(dialog)
        self.rig.clock.advance(POLL_WITHIN)
        records.go_on()
        self.refuses(deciding.reply, 404)
        self.assertEqual(self.names(), ["admin"])

    def test_stop(self) -> None:
        """A key that is not fetched when the daemon stops is nobody's, so it is in force no more."""
        self.open()
        fetched, dialog = self.asked("Cura")
        self.decide(dialog)
        self.assertEqual(self.poll(fetched).status, 200)
        _, dialog = self.asked("Widget")
        self.decide(dialog)
        self.assertEqual(self.names(), ["admin", "Cura", "Widget"])
        self.rig.web.stop()
        self.assertEqual(self.names(), ["admin", "Cura"])


class TimeTests(AppKeysCase):
    def test_without_a_poll(self) -> None:
        """A program that stops asking is forgotten after 15 s."""
        self.open()
        location, dialog = self.asked()
        self.rig.clock.advance(POLL_WITHIN - 0.1)
        self.assertEqual(self.poll(location).status, 202)
        self.rig.clock.advance(POLL_WITHIN - 0.1)
        self.assertEqual(self.poll(location).status, 202)
        self.rig.clock.advance(POLL_WITHIN)
        self.assertEqual((self.poll(location).status, self.decide(dialog).status), (404, 404))
        self.assertEqual(self.rig.get("/v1/keys/pairing").json["waiting"], [])

    def test_without_a_decision(self) -> None:
        """However often a program asks, after 5 minutes without a decision there is none to come."""
        self.open(15)
        location, _ = self.asked()
        for _ in range(int(DECIDE_WITHIN / 10) - 1):
            self.rig.clock.advance(10)
            self.assertEqual(self.poll(location).status, 202)
        self.rig.clock.advance(10)
        self.assertEqual(self.poll(location).status, 404)

    def test_never_fetched(self) -> None:
        """A key that nobody fetches is revoked, and the log says so."""
        lines = logged(self)
        self.open()
        _, dialog = self.asked()
        self.done(self.decide(dialog))
        self.assertEqual(self.names(), ["admin", "Cura"])
        self.rig.clock.advance(POLL_WITHIN)
        self.assertEqual(self.names(), ["admin"])
        self.assertTrue(any("Cura" in line and "never fetched" in line for line in lines), lines)

    def test_revoked_meanwhile(self) -> None:
        """A key that an administrator revokes before it was fetched is told to nobody any more."""
        self.open()
        location, dialog = self.asked()
        self.decide(dialog)
        other, _ = self.asked("Other")
        self.assertEqual(self.rig.ask("DELETE", "/v1/keys/Cura").status, 204)
        self.assertEqual((self.poll(location).status, self.poll(other).status), (404, 202))

    def test_head(self) -> None:
        """Looking without taking does not use the one answer up."""
        self.open()
        location, dialog = self.asked()
        self.decide(dialog)
        self.assertEqual(self.rig.ask("HEAD", location, address=APP).status, 200)
        self.assertEqual(self.poll(location).status, 200)

    def test_closed_by_hand(self) -> None:
        """Who closes the window sends away who waits, too; who was let in before gets its key."""
        self.open()
        location, _ = self.asked()
        decided, dialog = self.asked("Other")
        self.decide(dialog)
        self.assertEqual(self.open(0), {"open": False, "expires_in": 0.0, "scopes": [], "printers": [], "waiting": []})
        self.assertEqual((self.poll(location).status, self.poll(decided).status), (404, 200))


class BoundsTests(AppKeysCase):
    def test_many(self) -> None:
        """Only a few requests wait at once, few of one address, and those that wait are not pushed out."""
        self.open(15)
        first, _ = self.asked("app 0", "198.51.100.0")
        for number in range(1, MOST_PER_ADDRESS):
            self.asked(f"app {number}", "198.51.100.0")
        self.assertIn("wait already", self.refuses(self.ask("one more", "198.51.100.0"), 429))
        for number in range(MOST - MOST_PER_ADDRESS):
            self.asked("app", f"198.51.100.{number + 1}")
        self.refuses(self.ask("app", "198.51.100.200"), 429)
        self.assertEqual(self.poll(first).status, 202)

    def test_anew(self) -> None:
        """A program that begins anew takes its own place, not another."""
        self.open()
        first, _ = self.asked()
        second, _ = self.asked()
        self.assertEqual((self.poll(first).status, self.poll(second).status), (404, 202))

    def test_often(self) -> None:
        """Who asks again and again has to wait, and is told how long; others do not."""
        self.open(15)
        for _ in range(TRIES):
            self.asked()
        reply = self.ask()
        self.assertIn("too often", self.refuses(reply, 429))
        self.assertEqual(reply.headers["retry-after"], "10")
        self.asked(address="198.51.100.9")
        self.rig.clock.advance(10)
        self.asked()

    def test_bodies(self) -> None:
        """What is no request of a program is refused in a sentence."""
        self.open(15)
        for body, status in (
            ({}, 400),
            ({"app": ""}, 400),
            ({"app": "   "}, 400),
            ({"app": 5}, 400),
            ({"app": "a" * 101}, 400),
            ({"app": "a", "user": 5}, 400),
            ([], 400),
        ):
            reply = self.rig.post(f"{P}/plugin/appkeys/request", body, JSON, address=APP)
            self.refuses(reply, status)
        self.refuses(self.rig.ask("POST", f"{P}/plugin/appkeys/request", b"app=Cura", FORM, address=APP), 415)
        self.assertEqual(self.ask("Cura", user=None).status, 201)

    def test_foreign_page(self) -> None:
        """No page of another site can ask in the name of who looks at it, nor decide."""
        self.open()
        _, dialog = self.asked()
        for path in (f"{P}/plugin/appkeys/request", dialog):
            reply = self.rig.post(path, {"app": "Evil"}, {**JSON, "Origin": "http://evil.example"}, address=APP)
            self.assertEqual(reply.status, 403)


class WindowTests(AppKeysCase):
    def test_bad_wishes(self) -> None:
        """A window is a few minutes long and never gives away the right to make keys."""
        for wish, status in (
            ({}, 422),
            ({"minutes": 16}, 422),
            ({"minutes": -1}, 422),
            ({"minutes": 5, "scopes": ["admin"]}, 422),
            ({"minutes": 5, "scopes": []}, 422),
            ({"minutes": 5, "printers": ["venus"]}, 404),
            ({"minutes": 5, "more": 1}, 422),
        ):
            self.assertEqual(self.rig.post("/v1/keys/pairing", wish).status, status, wish)
        self.assertFalse(self.rig.get("/v1/keys/pairing").json["open"])

    def test_told(self) -> None:
        """An administrator sees how long the window is open and who waits; nobody reads a token there."""
        self.open(2)
        location, _ = self.asked("Cura", user="me")
        self.rig.clock.advance(5)
        reply = self.rig.get("/v1/keys/pairing")
        self.assertEqual((reply.json["open"], reply.json["expires_in"]), (True, 115.0))
        (waiting,) = reply.json["waiting"]
        self.assertEqual(
            (waiting["printer"], waiting["age_s"], waiting["scopes"]),
            ("saturn-3-ultra", 5.0, ["view", "upload", "control"]),
        )
        self.assertNotIn(location.rpartition("/")[2].encode(), reply.body)

    def test_logged(self) -> None:
        """The log says who opened the window, who asked and who decided, and has neither token nor key."""
        lines = logged(self, "debug")
        self.open(2)
        location, dialog = self.asked()
        self.poll(location)
        self.rig.get(dialog, address=AWAY)
        self.submit(dialog, self.rig.admin)
        key = self.poll(location).json["api_key"]
        text = "\n".join(lines)
        for said in (
            "lets programs ask for keys",
            "Cura at 192.168.1.77 asks for a key",
            "lets Cura in with the key Cura",
        ):
            self.assertIn(said, text)
        for secret in (location.rpartition("/")[2], dialog.rpartition("/")[2], key[-32:], self.rig.admin[-32:]):
            self.assertNotIn(secret, text)


class PageTests(AppKeysCase):
    def setUp(self) -> None:
        super().setUp()
        self.open()

    def test_question(self) -> None:
        """The page says who asks, for whom, from where, what it could do then, and on which printers."""
        _, dialog = self.asked("Home Assistant", user="maker")
        page = self.rig.get(dialog, address=AWAY).body.decode()
        for said in ("Home Assistant", "maker", APP, "print, pause, resume and stop", "store, move", "all printers"):
            self.assertIn(said, page)
        self.assertNotIn("build plate is clear", page)

    def test_headers(self) -> None:
        """A browser runs no script on that page, sends its form nowhere else, and shows it within no other page."""
        _, dialog = self.asked()
        for page in (self.rig.get(dialog, address=AWAY), self.submit(dialog, "x"), self.submit(dialog, self.rig.admin)):
            policy = page.headers["content-security-policy"]
            for rule in ("default-src 'none'", "form-action 'self'", "frame-ancestors 'none'", "base-uri 'none'"):
                self.assertIn(rule, policy)
            self.assertNotIn("unsafe", policy)
            self.assertNotIn(b"<script", page.body)
            self.assertEqual(page.headers["x-frame-options"], "DENY")
            self.assertEqual(page.headers["referrer-policy"], "same-origin")
            self.assertEqual(page.headers["cache-control"], "no-store")

    def test_hostile(self) -> None:
        """What a program calls itself is text, whatever it is made of."""
        evil = '</dd><script>alert(1)</script><img src=x onerror="alert(2)">{app}\u202e\x07'
        _, dialog = self.asked(evil, user="'\"><b>&amp;")
        shown = self.rig.get(dialog, address=AWAY).body.decode()
        wrong = self.submit(dialog, "wrong").body.decode()
        done = self.submit(dialog, self.rig.admin).body.decode()
        for page in (shown, wrong, done):
            self.assertIsNone(re.search(r"<(script|img|b)\b", page))
            self.assertIn("&lt;script&gt;", page)
            self.assertNotIn("\u202e", page)
            self.assertNotIn("\x07", page)
        self.assertIn("&amp;amp;", shown)

    def test_key(self) -> None:
        """Only an admin's key decides; any other leaves the question there and says what is wrong."""
        location, dialog = self.asked()
        for key, status in (("", 403), ("sdcpd_00000000_" + "a" * 32, 403), (self.rig.key("control"), 403)):
            page = self.submit(dialog, key)
            self.assertEqual((page.status, page.headers["content-type"]), (status, "text/html; charset=utf-8"))
            self.assertIn(b'role="alert"', page.body)
            self.assertIn(b"<form", page.body)
            self.assertNotIn(b"aaaa", page.body)
            self.assertNotIn("www-authenticate", page.headers)  # or the browser would ask for a password
        self.assertEqual(self.submit(dialog, self.rig.admin, "perhaps").status, 400)
        self.assertEqual(self.poll(location).status, 202)
        page = self.submit(dialog, f" {self.rig.admin}\n")
        self.assertEqual(page.status, 200)
        self.assertIn(b"sdcp-key revoke Cura", page.body)
        self.assertNotIn(b"<form", page.body)

    def test_guessing(self) -> None:
        """Whoever guesses keys there is slowed down as everywhere, and a right key is good all the same."""
        _, dialog = self.asked()
        statuses = [self.submit(dialog, f"guess {number}").status for number in range(FAILURES + 1)]
        self.assertEqual(statuses, [403] * FAILURES + [429])
        self.assertEqual(self.submit(dialog, self.rig.admin).status, 200)

    def test_refuse(self) -> None:
        """Refuse needs the key as well, so nobody can send a program away by a link."""
        location, dialog = self.asked()
        self.assertEqual(self.submit(dialog, "", "refuse").status, 403)
        self.assertEqual(self.poll(location).status, 202)
        page = self.submit(dialog, self.rig.admin, "refuse")
        self.assertIn(b"gets no key", page.body)
        self.assertEqual(self.poll(location).status, 404)

    def test_over(self) -> None:
        """A page that is opened too late says so, and so does its form."""
        _, dialog = self.asked()
        self.rig.clock.advance(POLL_WITHIN)
        for page in (self.rig.get(dialog, address=AWAY), self.submit(dialog, self.rig.admin)):
            self.assertEqual((page.status, page.headers["content-type"]), (404, "text/html; charset=utf-8"))
            self.assertIn(b"Let the program ask again.", page.body)

    def test_looking_decides_nothing(self) -> None:
        """To open the page, or a link with an answer in it, changes nothing."""
        location, dialog = self.asked()
        self.rig.get(f"{dialog}?decision=allow&key=x", address=AWAY)
        self.assertEqual(self.poll(location).status, 202)
