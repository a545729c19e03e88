"""Keys over HTTP: made, listed, revoked, and what a limited one sees."""

from __future__ import annotations

import json
import re
from typing import Any

from twisted.internet.defer import Deferred

from sdcpd.config import parse
from sdcpd.errors import StoreError
from sdcpd.records import PrintRecord, PrintResult
from sdcpd.web.answer import Answer
from tests.fakes import logged
from tests.web.rig import EPOCH, MARS, SATURN, Reply, WebCase, goo, printing

AWAY = "203.0.113.5"


class KeysCase(WebCase):
    config = '[access]\ntrusted = { loopback = ["view", "upload", "queue", "control", "plate"] }'

    def make_key(self, name: str = "slicer", *scopes: str, printers: Any = (), **more: Any) -> Reply:
        wish = {"name": name, "scopes": scopes or ("upload",), "printers": printers}
        return self.rig.post("/v1/keys", wish, **more)

    def secret(self, name: str = "slicer", *scopes: str, printers: Any = ()) -> str:
        reply = self.make_key(name, *scopes, printers=printers)
        self.assertEqual(reply.status, 201, reply.body)
        return str(reply.json["secret"])


class ManagingTests(KeysCase):
    def test_make(self) -> None:
        """A new key is told in one answer that nobody stores, works at once, and is never told again."""
        self.rig.announce()
        reply = self.make_key("slicer", "plate", "upload", printers=["saturn-3-ultra"])
        secret = reply.json["secret"]
        self.assertEqual(reply.status, 201)
        self.assertEqual(reply.headers["cache-control"], "no-store")
        key = reply.json["key"]
        self.assertEqual(reply.headers["location"], f"/v1/keys/{key['id']}")
        self.assertEqual((key["name"], key["scopes"]), ("slicer", ["upload", "plate"]))
        self.assertEqual(key["printers"], ["saturn-3-ultra"])
        self.assertEqual(self.rig.get("/v1/printers", address=AWAY, key=secret).status, 200)
        listed = self.rig.get("/v1/keys")
        self.assertEqual([found["name"] for found in listed.json], ["admin", "slicer"])
        self.assertEqual(set(listed.json[1]), {"id", "name", "scopes", "printers", "created", "digest"})
        self.assertNotIn(secret[-32:].encode(), listed.body)

    def test_ways(self) -> None:
        """A key may come as X-Api-Key in any letter case, as a bearer, or in the address; the same one twice is one."""
        secret = self.secret()
        for headers, query in (
            ({"X-Api-Key": secret}, ""),
            ({"x-api-KEY": f" {secret} "}, ""),
            ({"Authorization": f"Bearer {secret}"}, ""),
            ({"authorization": f"bearer  {secret}"}, ""),
            ({}, f"?apikey={secret}"),
            ({"X-Api-Key": secret}, f"?apikey={secret}"),
        ):
            reply = self.rig.get(f"/v1/printers{query}", headers, address=AWAY)
            self.assertEqual(reply.status, 200, (headers, query))

    def test_basic(self) -> None:
        """A proxy's own password is none of our business: such a request is as good as one without a key."""
        for value in ("Basic YTpi", "Digest username=a", "Basic"):
            self.assertEqual(self.rig.get("/v1/printers", {"Authorization": value}, address="127.0.0.1").status, 200)
            self.assertEqual(self.rig.get("/v1/printers", {"Authorization": value}, address=AWAY).status, 403)

    def test_two_keys(self) -> None:
        """Two different keys, although both are right, are refused: nobody can tell which was meant."""
        reply = self.rig.get(f"/v1/printers?apikey={self.secret()}", key=self.rig.admin)
        self.assert_refused(reply, 401, "wrong_key")

    def test_bad_wishes(self) -> None:
        """What cannot be made is refused with what was expected; nothing comes of it."""
        for wish, status, code in (
            ({}, 422, "bad_body"),
            ({"name": "a"}, 422, "bad_body"),
            ({"name": "a", "scopes": ["view"], "admin": True}, 422, "bad_body"),
            ({"name": "<img src=x onerror=alert(1)>", "scopes": ["view"]}, 422, "bad_key"),
            ({"name": "a", "scopes": ["root"]}, 422, "bad_key"),
            ({"name": "a", "scopes": []}, 422, "bad_key"),
            ({"name": "a", "scopes": ["admin"], "printers": [SATURN]}, 404, "unknown_printer"),
            ({"name": "admin", "scopes": ["view"]}, 409, "key_exists"),
        ):
            self.assert_refused(self.rig.post("/v1/keys", wish), status, code)
        self.assertEqual(len(self.rig.get("/v1/keys").json), 1)

    def test_revoke(self) -> None:
        """A revoked key is refused from that moment on, as any wrong key is."""
        for reference in ("id", "name"):
            reply = self.make_key("slicer")
            secret, key = reply.json["secret"], reply.json["key"]
            self.assertEqual(self.rig.get("/v1/printers", key=secret).status, 200)
            self.assertEqual(self.rig.ask("DELETE", f"/v1/keys/{key[reference]}").status, 204)
            self.assert_refused(self.rig.get("/v1/printers", key=secret), 401, "wrong_key")
            self.assert_refused(self.rig.ask("DELETE", f"/v1/keys/{key[reference]}"), 404, "unknown_key")

    def test_only_admins(self) -> None:
        """Keys are the admin's: no trusted address and no other key may list, make or revoke them."""
        other = self.secret("all", "view", "upload", "queue", "control", "plate")
        askers: tuple[dict[str, Any], ...] = ({"address": "127.0.0.1"}, {"key": other})
        for asker in askers:
            self.assert_refused(self.rig.get("/v1/keys", **asker), 403, "forbidden")
            self.assert_refused(self.make_key("mine", "admin", **asker), 403, "forbidden")
            self.assert_refused(self.rig.ask("DELETE", "/v1/keys/admin", **asker), 403, "forbidden")

    def test_disk(self) -> None:
        """When the disk refuses there is no key, and the answer says so."""
        records: Any = self.rig.keys._records
        records.fail_next(StoreError("The disk is full.", "Make room."))
        reply = self.make_key()
        self.assertEqual(reply.status, 500)
        self.assertNotIn(b"sdcpd_", reply.body)
        self.assertEqual(len(self.rig.get("/v1/keys").json), 1)


class GuessingTests(KeysCase):
    """Wrong keys."""

    def guess(self, address: str = AWAY, text: str = "sdcpd_00000000_" + "a" * 32) -> Reply:
        return self.rig.get("/healthz", address=address, key=text)

    def test_refused_even_if_trusted(self) -> None:
        """A wrong or an empty key is refused from everywhere and on every path: somebody meant to have one."""
        for address in ("127.0.0.1", AWAY):
            for text in ("", "  ", "wrong", "\xff\xfe", "sdcpd_", self.rig.admin[:-1], self.rig.admin + "x"):
                self.rig.clock.advance(60)
                error = self.assert_refused(self.guess(address, text), 401, "wrong_key")
                self.assertNotIn("wrong ", error["message"])
            for target in ("/v1/printers?apikey=", "/nothing?apikey=x", "/v1/printers?token="):
                self.rig.clock.advance(60)
                reply = self.rig.get(target, address=address)
                self.assert_refused(reply, 401, "wrong_key")
                self.assertTrue(reply.headers["www-authenticate"].startswith("Bearer"))
            reply = self.rig.get("/v1/printers", {"Authorization": "Bearer "}, address=address)
            self.assert_refused(reply, 401, "wrong_key")

    def test_ten_a_minute(self) -> None:
        """After ten wrong keys in a minute an address is told to wait; a right key is good all the same."""
        lines = logged(self)
        self.assertEqual([self.guess().status for _ in range(12)], [401] * 10 + [429] * 2)
        reply = self.guess()
        self.assert_refused(reply, 429, "too_many_failures")
        self.assertEqual(reply.headers["retry-after"], "6")
        self.assertEqual(self.rig.get("/v1/keys", address=AWAY, key=self.rig.admin).status, 200)
        self.assertEqual(self.guess("203.0.113.6").status, 401)
        self.assertEqual(self.rig.get("/healthz", address=AWAY).status, 200)
        self.rig.clock.advance(60)
        self.assertEqual(self.guess().status, 401)
        self.assertEqual(len([line for line in lines if AWAY in line]), 1)

    def test_one_household(self) -> None:
        """The addresses of one IPv6 network are one: there are too many of them to be counted singly."""
        found = [self.guess(f"2001:db8::{number:x}").status for number in range(11)]
        self.assertEqual(found, [401] * 10 + [429])
        self.assertEqual(self.guess("2001:db8:0:1::1").status, 401)

    def test_memory(self) -> None:
        """However many addresses guess, what is remembered of them has an end."""
        failures = self.rig.web._access._failures
        for number in range(6000):
            failures.take(f"{number}")
            self.rig.clock.advance(0.1)
        self.assertLess(len(failures._left), 4200)


class LimitedTests(KeysCase):
    """A key that is limited to one of two printers."""

    def setUp(self) -> None:
        super().setUp()
        self.saturn = self.rig.announce(SATURN, "Saturn")
        self.mars = self.rig.announce(MARS, "Mars", "192.168.1.101")
        self.links = {SATURN: self.rig.connect(SATURN), MARS: self.rig.connect(MARS)}
        self.key = self.secret("left", "upload", "control", printers=["saturn"])

    def get(self, target: str) -> Reply:
        return self.rig.get(target, address=AWAY, key=self.key)

    def test_lists(self) -> None:
        """Every list has its printer and nothing of the other one: printers, status, updates, jobs, events."""
        self.rig.put()
        jobs = {}
        for slug, mainboard_id in (("saturn", SATURN), ("mars", MARS)):
            self.rig.publish(printing(0, number=0, current=0), mainboard_id)
            reply = self.rig.post(f"/v1/printers/{slug}/print", {"file": "plate.goo"})
            jobs[slug] = reply.json["job"]["id"]
        self.rig.publish(printing(1), MARS)
        self.rig.publish(printing(1), SATURN)
        for target in ("/v1/printers", "/status", "/v1/updates", "/v1/updates?events=recent", "/v1/jobs"):
            told = self.get(target).body.decode().casefold()
            body = re.sub('"cursor":"[^"]*"', "", told)  # its random letters may spell any word
            self.assertIn("saturn", body, target)
            for word in ("mars", MARS.casefold(), jobs["mars"]):
                self.assertNotIn(word, body, target)
        self.assertEqual(self.get(f"/v1/jobs/{jobs['saturn']}").status, 200)
        self.assert_refused(self.get(f"/v1/jobs/{jobs['mars']}"), 404, "unknown_job")

    def test_paths(self) -> None:
        """The other printer is refused under each of its names, and so is one that there is not, in the same words."""
        found = set()
        for name in ("mars", "MARS", MARS, MARS.lower(), "venus"):
            for path in ("/v1/printers/{}", "/printers/{}/status", "/printers/{}/v1/updates"):
                error = self.assert_refused(self.get(path.format(name)), 403, "forbidden")
                found.add((error["message"], error["hint"]))
            for target in (f"/status?printer={name}", f"/v1/updates?printers=saturn,{name}"):
                error = self.assert_refused(self.get(target), 403, "forbidden")
                found.add((error["message"], error["hint"]))
        self.assertEqual(len(found), 1)
        self.assertNotIn("mars", str(found))
        for name in ("saturn", SATURN, SATURN.lower()):
            self.assertEqual(self.get(f"/v1/printers/{name}").status, 200)

    def test_orders(self) -> None:
        """It gives orders to its own printer only."""
        for slug, allowed in (("saturn", True), ("mars", False)):
            for verb in ("print", "pause", "resume", "stop"):
                reply = self.rig.post(f"/v1/printers/{slug}/{verb}", {"file": "x"}, address=AWAY, key=self.key)
                self.assertEqual(reply.status != 403, allowed, (slug, verb, reply.body))
        self.assertEqual(self.links[MARS].sent, [])

    def test_files(self) -> None:
        """Files are one shelf: it may put one there and fetch it, and take nothing away."""
        stored = self.rig.ask("PUT", "/v1/files/a.goo", goo(), address=AWAY, key=self.key)
        self.assertEqual(stored.status, 201)
        self.assertEqual([file["name"] for file in self.get("/v1/files").json], ["a.goo"])
        gone = self.rig.ask("DELETE", "/v1/files/a.goo", address=AWAY, key=self.key)
        self.assert_refused(gone, 403, "forbidden")

    def test_history(self) -> None:
        """The history, its sums and its table tell of its printer's prints only, page by page; others are not there."""
        for number in range(6):
            slug, printer = (("saturn", SATURN), ("mars", MARS))[number % 2]
            record = PrintRecord(
                f"{slug}-{number}", printer, f"{slug}.goo", EPOCH + number, result=PrintResult.FINISHED, layers=10
            )
            self.successResultOf(self.rig.journal.write(record))
        for query in ("", "?q=goo", "?printer=saturn", "?result=finished"):
            found = self.get(f"/v1/history{query}").json["prints"]
            self.assertEqual([one["id"] for one in found], ["saturn-4", "saturn-2", "saturn-0"], query)
        page = self.get("/v1/history?limit=2").json
        self.assertEqual(
            [one["id"] for one in self.get(f"/v1/history?cursor={page['next']}").json["prints"]], ["saturn-0"]
        )
        self.assertEqual(self.get("/v1/history?q=mars").json["prints"], [])
        totals = self.get("/v1/history/totals").json
        self.assertEqual((totals["prints"], totals["layers"]), (3, 30))
        self.assertEqual(self.rig.get("/v1/history/totals").json["prints"], 6)
        table = self.get("/v1/history.csv").body
        self.assertEqual((table.count(b"saturn.goo"), table.count(b"mars")), (3, 0))
        self.assertEqual(self.get("/v1/history/saturn-0").status, 200)
        other, none = self.get("/v1/history/mars-1"), self.get("/v1/history/mars-9")
        self.assert_refused(other, 404, "unknown_print")
        self.assertEqual(other.body.replace(b"mars-1", b"mars-9"), none.body)
        for path in ("", "/totals", ".csv"):
            self.assert_refused(self.get(f"/v1/history{path}?printer=mars"), 403, "forbidden")

    def test_jobs(self) -> None:
        """It starts, moves and removes what waits for its printer; jobs of the other one are unknown to it."""
        self.rig.put()
        asker = {"address": AWAY, "key": self.secret("both", "queue", "control", "plate", printers=["saturn"])}
        jobs = {}
        for slug in ("saturn", "mars"):
            self.rig.publish(printing(1), SATURN if slug == "saturn" else MARS)
            jobs[slug] = self.rig.post(f"/v1/printers/{slug}/queue", {"file": "plate.goo"}).json["job"]["id"]
        jobs["any"] = self.rig.post("/v1/queue", {"file": "plate.goo"}).json["job"]["id"]
        for method, path, body in (
            ("POST", "/start", b"{}"),
            ("POST", "/move", b'{"before": null}'),
            ("DELETE", "", b""),
        ):
            for whose in ("mars", "any"):
                reply = self.rig.ask(method, f"/v1/jobs/{jobs[whose]}{path}", body, **asker)
                self.assert_refused(reply, 404, "unknown_job")
                none = self.rig.ask(method, f"/v1/jobs/none{path}", body, **asker)
                self.assertEqual(reply.body.replace(jobs[whose].encode(), b"none"), none.body)
            reply = self.rig.ask(method, f"/v1/jobs/{jobs['saturn']}{path}", body, **asker)
            self.assertLess(reply.status, 300, (method, path, reply.body))
        again = self.rig.post("/v1/printers/saturn/queue", {"file": "plate.goo"}, **asker).json["job"]["id"]
        found = set()
        for before in (jobs["mars"], jobs["any"], "none"):
            reply = self.rig.post(f"/v1/jobs/{again}/move", {"before": before}, **asker)
            found.add(self.assert_refused(reply, 409, "not_now")["message"].replace(before, ""))
        self.assertEqual(len(found), 1)
        self.assertEqual([job["id"] for job in self.rig.get("/v1/printers/saturn/queue", **asker).json], [again])
        self.assert_refused(self.rig.get("/v1/queue", **asker), 403, "forbidden")
        self.assertEqual([job["id"] for job in self.rig.get("/v1/queue").json], [jobs["any"]])

    def test_poll(self) -> None:
        """A poll of it wakes up for its own printer and sleeps through what the other one does."""
        cursor = self.get("/v1/updates").json["cursor"]
        poll = self.rig.begin("GET", f"/v1/updates?since={cursor}", address=AWAY, key=self.key)
        self.rig.publish(printing(7), MARS)
        self.assertFalse(poll.answered)
        self.rig.publish(printing(7), SATURN)
        self.assertEqual(list(poll.reply.json["printers"]), ["saturn"])

    def test_public_status(self) -> None:
        """Also where everybody may read the status, a limited key shows what it is limited to."""
        self.rig.web.configure(parse('[status]\nmode = "public"'))
        self.assertEqual(len(self.rig.get("/status", address=AWAY).json), 2)
        self.assertEqual(len(self.get("/status").json), 1)


class RateTests(WebCase):
    config = "[web]\nrate = 2\nburst = 5"
    NEIGHBOUR = "10.77.0.9"

    def ask(self, target: str = "/v1/printers", address: str = NEIGHBOUR) -> int:
        return self.rig.get(target, address=address).status

    def test_put_off(self) -> None:
        """Who asks too often is put off with the time to wait, on every path; others are not affected."""
        self.assertEqual([self.ask() for _ in range(7)], [200] * 5 + [429] * 2)
        for target in ("/", "/healthz", "/nothing", "/v1/keys"):
            reply = self.rig.get(target, address=self.NEIGHBOUR)
            self.assert_refused(reply, 429, "too_many_requests")
            self.assertEqual(reply.headers["retry-after"], "1")
        self.assertEqual(self.ask(address="10.77.0.10"), 200)
        self.rig.clock.advance(0.5)
        self.assertEqual([self.ask(), self.ask()], [200, 429])

    def test_own_machine(self) -> None:
        """Programs on the machine itself are never put off, and neither is anybody where the rate is 0."""
        self.assertEqual({self.ask(address="127.0.0.1") for _ in range(100)}, {200})
        self.rig = self.make("[web]\nrate = 0")
        self.assertEqual({self.ask() for _ in range(100)}, {200})

    def test_long_polls(self) -> None:
        """A poll that waits is not counted: how often it comes back is the daemon's doing."""
        self.rig.announce()
        cursor = self.rig.get("/v1/updates").json["cursor"]
        for number in range(30):
            poll = self.rig.begin("GET", f"/v1/updates?since={cursor}", address=self.NEIGHBOUR)
            self.assertFalse(poll.answered, number)
            self.rig.fleet.happened(SATURN, "print_paused", {})
            cursor = poll.reply.json["cursor"]
        self.assertEqual([self.ask() for _ in range(6)], [200] * 5 + [429])

    def test_reload(self) -> None:
        """Another rate holds from the reload on."""
        self.rig.web.configure(parse("[web]\nburst = 1"))
        self.assertEqual([self.ask(), self.ask()], [200, 429])


class AuditTests(KeysCase):
    """What the log says of who did what, and what it never says."""

    def setUp(self) -> None:
        super().setUp()
        self.lines = logged(self, "debug")

    def test_actions(self) -> None:
        """Each change is in the log with the key's name and the address: keys, starts, stops, deletions."""
        self.rig.announce()
        link = self.rig.connect()
        secret = self.secret("pilot", "upload", "control")
        by: dict[str, Any] = {"address": AWAY, "key": secret}
        self.rig.ask("PUT", "/v1/files/plate.goo", goo(), **by)
        self.rig.publish(printing(0, number=0, current=0))
        self.assertEqual(self.rig.post("/v1/printers/saturn-3-ultra/print", {"file": "plate.goo"}, **by).status, 202)
        self.assertEqual(self.rig.post("/v1/printers/saturn-3-ultra/stop", {}, **by).status, 200)
        link.answer()
        self.rig.ask("DELETE", "/v1/files/plate.goo", **by)
        self.rig.ask("DELETE", "/v1/keys/pilot", address="127.0.0.1", key=self.rig.admin)
        text = "\n".join(self.lines)
        for line in (
            "key admin at 127.0.0.1 made the key pilot",
            "for upload, control on all printers",
            f"key pilot at {AWAY}: PUT /v1/files/plate.goo: 201",
            f"key pilot at {AWAY}: POST /v1/printers/saturn-3-ultra/print: 202",
            f"key pilot at {AWAY}: POST /v1/printers/saturn-3-ultra/stop: 200",
            f"key pilot at {AWAY}: DELETE /v1/files/plate.goo: 204",
            "key admin at 127.0.0.1 revoked the key pilot",
        ):
            self.assertIn(line, text)

    def test_without_key(self) -> None:
        """Who changes something by the trust in an address is in the log as that address."""
        self.rig.ask("PUT", "/v1/files/a.goo", goo(), address="127.0.0.1")
        self.assertIn("127.0.0.1 without a key: PUT /v1/files/a.goo: 201", "\n".join(self.lines))

    def test_refused(self) -> None:
        """What was refused did not happen, and is not said to have."""
        self.rig.ask("DELETE", "/v1/files/none.goo")
        self.rig.ask("DELETE", "/v1/files/none.goo", address=AWAY)
        self.assertNotIn("DELETE /v1/files/none.goo: ", "\n".join(self.lines))

    def test_no_secrets(self) -> None:
        """No key and no token is in any line at any level, however it was sent and whatever went wrong with it."""
        secret = self.secret("pilot", "admin")
        token = self.rig.ask("POST", "/v1/token", address=AWAY, key=secret).json["token"]
        typo = "sdcpd_12345678_" + "q" * 32
        for text in (secret, typo):
            for headers in ({"X-Api-Key": text}, {"Authorization": f"Bearer {text}"}, {}):
                for query in (f"?apikey={text}", f"?api_key={text}&x=1", f"?token={text}", f"?%61pikey={text}", ""):
                    self.rig.get(f"/v1/printers{query}", headers, address=AWAY)
                    self.rig.ask("DELETE", f"/v1/files/x{query}", b"", headers, address=AWAY)
        self.rig.get(f"/v1/printers?token={token}", address=AWAY)
        self.rig.get(f"/nothing?apikey={secret}")
        said = "\n".join(self.lines) + json.dumps(self.rig.get("/v1/keys").json)
        self.assertIn("***", said)
        for text in (secret, token, typo, self.rig.admin):
            self.assertNotIn(text[-32:], said)

    def test_failures(self) -> None:
        """A bug that is logged with its traceback shows no key of the request that met it."""

        def fails(*_: object) -> Deferred[Answer]:
            raise ZeroDivisionError("a bug")

        self.rig.web._access._keys.list = fails  # type: ignore[assignment, method-assign]
        reply = self.rig.get(f"/v1/keys?apikey={self.rig.admin}", address=AWAY)
        self.assertEqual(reply.status, 500)
        self.assertNotIn(b"bug", reply.body)
        (failure,) = self.flushLoggedErrors(ZeroDivisionError)
        self.assertNotIn(self.rig.admin[-32:], failure.getTraceback() + "\n".join(self.lines))
