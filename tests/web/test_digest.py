from __future__ import annotations

import hashlib
import itertools
import re
from types import SimpleNamespace
from typing import Any, Literal

import requests
from requests.auth import HTTPDigestAuth
from twisted.cred.credentials import DigestCredentialFactory

from sdcpd.keys import REALM
from sdcpd.web.digest import LIFE, MOST, WINDOW, Digests, is_ours
from tests.web.rig import MARS, P, Reply, WebCase, goo

AWAY = "203.0.113.5"
PATH = f"{P}/sl1/api/version"


def md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


class Asker:
    """A client of HTTP Digest, written from RFC 7616: it takes a challenge, and answers it as it is told to."""

    def __init__(self, challenge: str, user: str, password: str) -> None:
        assert challenge.startswith("Digest ")
        self.told = dict(re.findall(r'(\w+)="?([^",]*)"?', challenge.removeprefix("Digest ")))
        self.user, self.password = user, password
        self.count = 0

    def answer(self, method: str, path: str, count: int | None = None, /, **other: str) -> dict[str, str]:
        """The header; ``other`` are fields that are not as they should be, empty for one that is left out."""
        self.count += 1
        nc = f"{self.count if count is None else count:08x}"
        said = {"username": self.user, "realm": self.told["realm"], "nonce": self.told["nonce"], "uri": path}
        said |= {"qop": "auth", "nc": nc, "cnonce": "0a4f113b", "algorithm": "MD5", "opaque": self.told["opaque"]}
        said |= {name: value for name, value in other.items() if name in ("nonce", "opaque", "qop", "cnonce")}
        ha1 = md5(f"{said['username']}:{said['realm']}:{self.password}")
        ha2 = md5(f"{method}:{said['uri']}")
        said["response"] = md5(":".join((ha1, said["nonce"], nc, said["cnonce"], said["qop"], ha2)))
        said |= other
        fields = ", ".join(f'{name}="{value}"' for name, value in said.items() if value)
        return {"Authorization": f"Digest {fields}"}


class DigestCase(WebCase):
    """A printer, and a slicer's key that is good for HTTP Digest; strangers may do nothing by themselves."""

    def setUp(self) -> None:
        super().setUp()
        self.rig.announce()
        made: Any = self.rig.keys.make("slicer", ("upload",), digest=True)
        self.key, self.secret = made.result

    def asker(self, user: str = "slicer", password: str | None = None) -> Asker:
        reply = self.rig.get(PATH, address=AWAY)
        self.assertEqual(reply.status, 401)
        return Asker(reply.headers["www-authenticate"], user, self.secret if password is None else password)

    def get(self, headers: dict[str, str], path: str = PATH, address: str = AWAY, **more: Any) -> Reply:
        return self.rig.get(path, headers, address=address, **more)


class AnswerTests(DigestCase):
    """Answers to challenges, right and wrong."""

    def test_right(self) -> None:
        """The name of the key and the key itself open the door, with the rights of that key and no others."""
        asker = self.asker()
        self.assertEqual(self.get(asker.answer("GET", PATH)).status, 200)
        path = f"{P}/sl1/api/v1/files/local/plate.goo"
        reply = self.rig.ask("PUT", path, goo(), asker.answer("PUT", path), address=AWAY)
        self.assertEqual(reply.status, 201)
        reply = self.rig.ask("POST", path, b"", asker.answer("POST", path), address=AWAY)
        self.assertEqual(reply.status, 403)
        self.assertIn("'slicer'", reply.body.decode())

    def test_stranger_client(self) -> None:
        """A program that nobody here wrote computes the very answer that is right."""
        asker = self.asker()
        told = self.rig.get(PATH, address=AWAY).headers["www-authenticate"]
        auth: Any = HTTPDigestAuth("slicer", self.secret)
        auth.init_per_thread_state()
        auth._thread_local.chal = requests.utils.parse_dict_header(told.removeprefix("Digest "))
        header = auth.build_digest_header("GET", f"http://hub.local{PATH}")
        self.assertEqual(self.get({"Authorization": header}).status, 200)
        self.assertNotEqual(asker.told["nonce"], auth._thread_local.chal["nonce"])

    def test_wrong(self) -> None:
        """Another user, another password, another realm's answer in ours, a key without Digest: all are wrong keys."""
        self.rig.key("view", name="plain")
        plain = self.rig.key("view", name="other")
        for user, password in (
            ("slicer", "x"),
            ("nobody", self.secret),
            ("other", plain),
            ("plain", ""),
            ("sl\u00efcer", "x"),
        ):
            self.rig.clock.advance(60)
            reply = self.get(self.asker(user, password).answer("GET", PATH))
            self.assertEqual(reply.status, 401, user)
            self.assertNotIn("stale", reply.headers["www-authenticate"])

    def test_wrong_from_a_friend(self) -> None:
        """A wrong answer is refused from a trusted address, too, as every wrong key is."""
        answer = self.asker("slicer", "x").answer("GET", PATH)
        self.assertEqual(self.rig.get(PATH, address="127.0.0.1").status, 200)
        self.assertEqual(self.get(answer, address="127.0.0.1").status, 401)

    def test_guessing(self) -> None:
        """Who guesses is slowed down, and a right answer is good all the same."""
        for _ in range(10):
            self.assertEqual(self.get(self.asker("slicer", "x").answer("GET", PATH)).status, 401)
            self.rig.clock.advance(0.2)
        self.assertEqual(self.get(self.asker("slicer", "x").answer("GET", PATH)).status, 429)
        self.assertEqual(self.get(self.asker().answer("GET", PATH)).status, 200)

    def test_fields(self) -> None:
        """What is missing, malformed, of another kind or for another request is a wrong key."""
        fields = ("response", "nonce", "opaque", "uri", "qop", "nc", "cnonce", "username")
        odd: list[dict[str, str]] = [{name: ""} for name in fields]
        odd += [
            {"algorithm": "SHA-256"},
            {"algorithm": "MD5-sess"},
            {"qop": "auth-int"},
            {"nc": "1"},
            {"nc": "zzzzzzzz"},
        ]
        odd += [{"uri": f"{P}/api/version"}, {"uri": "x" + PATH}, {"response": "0" * 32}, {"response": "\u00e9"}]
        for other in odd:
            self.rig.clock.advance(60)
            reply = self.get(self.asker().answer("GET", PATH, None, **other))
            self.assertEqual(reply.status, 401, other)
        self.rig.clock.advance(60)
        self.assertEqual(self.get(self.asker().answer("PUT", PATH)).status, 401)  # a method that was not asked
        self.rig.clock.advance(60)
        self.assertEqual(self.get({"Authorization": 'Digest \u00ff="x", realm="sdcpd"'}).status, 401)

    def test_long(self) -> None:
        """A header that means nothing costs what its length is: one of 16 KB held up everybody for two seconds."""
        digests = Digests(self.rig.keys, self.rig.clock)
        request: Any = SimpleNamespace(method=b"GET", uri=PATH.encode())
        realm = f'realm="{REALM}", '
        for answer in ("x" * 1_000_000, 'a="' * 300_000, "a=," * 300_000, "a=b c=" + '"x,' * 300_000, " ," * 300_000):
            self.assertIsNone(digests.find((realm + answer).encode(), request, through_proxy=False))

    def test_two_keys(self) -> None:
        """An answer and a key at once are one too many, though both are right."""
        answer = self.asker().answer("GET", PATH)
        self.assertEqual(self.get(answer, key=self.secret).status, 401)

    def test_revoked(self) -> None:
        """A revoked key is good for nothing from that moment on."""
        asker = self.asker()
        self.rig.keys.revoke("slicer")
        self.assertEqual(self.get(asker.answer("GET", PATH)).status, 401)

    def test_limited(self) -> None:
        """A key for another printer gets nowhere by Digest, either."""
        made: Any = self.rig.keys.make("left", ("upload",), ["0" * 16], digest=True)
        self.assertEqual(self.get(self.asker("left", made.result[1]).answer("GET", PATH)).status, 403)

    def test_others(self) -> None:
        """An answer to somebody else's challenge is a proxy's matter: it is neither a key nor a wrong one."""
        for header in (
            'Digest username="u", realm="proxy", nonce="x"',
            "Basic dTpw",
            'Digest realm="sdcpd2"',
            "Digest",
        ):
            self.assertFalse(is_ours(header.encode()))
            self.assertEqual(self.get({"Authorization": header}, address="127.0.0.1").status, 200)
            self.assertEqual(self.get({"Authorization": header}).status, 401)


class FreshTests(DigestCase):
    """What an answer that somebody has overheard is worth."""

    def stale(self, reply: Reply) -> None:
        """The client is asked again, without bothering its user."""
        self.assertEqual(reply.status, 401)
        self.assertIn("stale=true", reply.headers["www-authenticate"])

    def test_again(self) -> None:
        """The same answer is good once; its client is given another challenge, and is no guesser."""
        asker = self.asker()
        answer = asker.answer("GET", PATH)
        self.assertEqual(self.get(answer).status, 200)
        for _ in range(20):
            self.rig.clock.advance(1)
            self.stale(self.get(answer))
        self.assertEqual(self.get(asker.answer("GET", PATH)).status, 200)

    def test_out_of_order(self) -> None:
        """Connections that overtake each other are all answered, within a window."""
        asker = self.asker()
        counts = (3, 1, 2, WINDOW + 2, WINDOW + 1, 5, 200, 199, 137)
        for count in counts:
            self.assertEqual(self.get(asker.answer("GET", PATH, count)).status, 200, count)
        for count in (*counts, 0, 4, 136):
            self.rig.clock.advance(1)
            self.stale(self.get(asker.answer("GET", PATH, count)))

    def test_old(self) -> None:
        """A challenge lives for a quarter of an hour, and the next one needs no other password."""
        asker = self.asker()
        self.assertEqual(self.get(asker.answer("GET", PATH)).status, 200)
        self.rig.clock.advance(LIFE - 1)
        self.assertEqual(self.get(asker.answer("GET", PATH)).status, 200)
        self.rig.clock.advance(2)
        reply = self.get(asker.answer("GET", PATH))
        self.stale(reply)
        again = Asker(reply.headers["www-authenticate"], "slicer", self.secret)
        self.assertEqual(self.get(again.answer("GET", PATH)).status, 200)

    def test_made_up(self) -> None:
        """A nonce that was never given is worth nothing, though the password is right."""
        asker, other = self.asker(), self.asker()
        for forged in ({"nonce": "0" * 24}, {"opaque": other.told["opaque"]}, {"opaque": "x-y"}, {"opaque": "%%%"}):
            self.rig.clock.advance(1)
            self.stale(self.get(asker.answer("GET", PATH, None, **forged)))

    def test_other_port(self) -> None:
        """An answer that was overheard at one printer's own port starts nothing at another's, nor at the daemon's."""
        self.rig.announce(MARS, "Mars")
        path = "/sl1/api/version"
        saturn, mars, daemon = self.rig.web.own_site("saturn-3-ultra"), self.rig.web.own_site("mars"), self.rig.site
        self.rig.site = saturn
        asker = Asker(self.rig.get(path, address=AWAY).headers["www-authenticate"], "slicer", self.secret)
        for site in (mars, daemon):
            self.rig.site = site
            self.stale(self.get(asker.answer("GET", path), path))
        self.rig.site = saturn
        self.assertEqual(self.get(asker.answer("GET", path), path).status, 200)
        self.rig.site = mars
        told = self.get(asker.answer("GET", path), path).headers["www-authenticate"]
        self.assertEqual(self.get(Asker(told, "slicer", self.secret).answer("GET", path), path).status, 200)

    def test_restart(self) -> None:
        """After a restart the old challenges are worth nothing, and the key is what it was."""
        asker = self.asker()
        answer = asker.answer("GET", PATH)
        digests = self.rig.web._access.digests
        digests._factory = Digests(self.rig.keys, self.rig.clock)._factory
        self.stale(self.get(answer))
        self.assertEqual(self.get(self.asker().answer("GET", PATH)).status, 200)

    def test_bounded(self) -> None:
        """However many challenges are answered, only so many are remembered, and no answer is good twice for that."""
        digests = self.rig.web._access.digests
        answers = []
        for _ in range(MOST):
            answers.append(self.asker().answer("GET", PATH))
            self.rig.clock.advance(0.5)
            self.assertEqual(self.get(answers[-1]).status, 200)
            self.rig.clock.advance(0.3)
            self.assertLessEqual(len(digests._nonces), MOST)
        self.stale(self.get(self.asker().answer("GET", PATH)))
        self.assertLess(len(digests._nonces), MOST)
        for answer in (answers[0], answers[-1]):
            self.rig.clock.advance(1)
            self.stale(self.get(answer))
        self.rig.clock.advance(1)
        self.assertEqual(self.get(self.asker().answer("GET", PATH)).status, 200)


class OfferTests(DigestCase):
    """Where a challenge is offered, and to what keys."""

    def test_where(self) -> None:
        """Only the trees of PrusaLink ask for Digest; an answer is good everywhere on this server."""
        for path in ("/api/v1/status", "/sl1/api/version", "/prusalink/api/job", "/sl1/nothing/v1"):
            reply = self.rig.get(P + path, address=AWAY)
            if reply.status != 404:
                self.assertTrue(reply.headers["www-authenticate"].startswith('Digest realm="sdcpd", '), path)
        for path in (f"{P}/api/version", f"{P}/server/info", "/v1/printers", "/status"):
            reply = self.rig.get(path, address=AWAY)
            self.assertIn(reply.status, (401, 403))
            self.assertNotIn("Digest", reply.headers.get("www-authenticate", ""))
            self.assertEqual(self.get(self.asker().answer("GET", path), path).status, 200)

    def test_opt_in(self) -> None:
        """A key that was not made for it keeps nothing but its hash, and an admin's key cannot be made for it."""
        plain: Any = self.rig.keys.make("plain", ("view",))
        self.assertEqual(plain.result[0].ha1, "")
        self.assertEqual(self.key.ha1, md5(f"slicer:{REALM}:{self.secret}"))
        reply = self.rig.post("/v1/keys", {"name": "boss", "scopes": ["admin"], "digest": True})
        self.assert_refused(reply, 422, "bad_key")

    def test_api(self) -> None:
        """Whether a key is good for Digest is told with it, and what is kept of it is told nowhere."""
        reply = self.rig.post("/v1/keys", {"name": "prusa", "scopes": ["upload"], "digest": True})
        self.assertEqual((reply.status, reply.json["key"]["digest"]), (201, True))
        listed = self.rig.get("/v1/keys")
        self.assertEqual([found["digest"] for found in listed.json], [False, True, True])
        for key in self.rig.keys.list():
            self.assertNotIn(key.ha1 or "-", listed.body.decode())
        self.assertEqual(self.get(self.asker("prusa", reply.json["secret"]).answer("GET", PATH)).status, 200)

    def test_query(self) -> None:
        """The answer is for the whole address, with what stands behind the question mark."""
        path = f"{PATH}?a=b%20c"
        self.assertEqual(self.get(self.asker().answer("GET", path), path).status, 200)
        self.assertEqual(self.get(self.asker().answer("GET", PATH), path).status, 401)


class ProxyTests(DigestCase):
    config = '[web]\nproxies = ["10.0.0.1"]\n'

    def test_prefix(self) -> None:
        """Behind a configured proxy that takes something from the path, the client's own path is right."""
        through = {"X-Forwarded-For": AWAY, "X-Forwarded-Prefix": "/hub"}
        answer = self.asker().answer("GET", f"/hub{PATH}")
        self.assertEqual(self.get({**answer, **through}, address="10.0.0.1").status, 200)
        answer = self.asker().answer("GET", f"/hub{PATH}")
        self.assertEqual(self.get({**answer, **through}, address="10.0.0.2").status, 401)


class FactoryTests(DigestCase):
    """What of Twisted is used that it does not promise."""

    def test_privates(self) -> None:
        """The clock and the check of a nonce are still asked where they are replaced here."""
        asked: list[str] = []
        names: tuple[Literal["_getTime"], Literal["_verifyOpaque"]] = ("_getTime", "_verifyOpaque")

        class Probe(DigestCredentialFactory):
            def _getTime(self) -> float:  # noqa: N802
                asked.append(names[0])
                return 1.0

            def _verifyOpaque(self, opaque: bytes, nonce: bytes, clientip: object) -> bool:  # noqa: N802
                asked.append(names[1])
                return bool(super()._verifyOpaque(opaque, nonce, clientip))

        probe = Probe(b"MD5", b"x")
        told = probe.getChallenge(None)
        fields = itertools.chain(told.items(), {"username": b"u"}.items())
        probe.decode(b", ".join(b'%b="%b"' % (name.encode(), value) for name, value in fields), b"GET", None)
        self.assertEqual(asked, ["_getTime", "_verifyOpaque", "_getTime"])
