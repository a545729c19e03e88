from __future__ import annotations

import re
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from sdcpd.web.client import Client
from sdcpd.web.tokens import LIFE, MOST, MOST_PER_ADDRESS, Tokens
from tests.web.rig import Reply, Rig, WebCase

ELSEWHERE = "203.0.113.5"
HERE = "192.168.1.77"


def client(address: str = HERE, key: str = "") -> Client:
    return Client(address, False, frozenset({"view"}), address, key=key)


class TokensTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.tokens = Tokens(self.clock)

    def test_form(self) -> None:
        """A token is 32 characters that need no quoting, and never the same twice."""
        made = {self.tokens.make(client()) for _ in range(50)}
        self.assertEqual(len(made), 50)
        for text in made:
            self.assertTrue(re.fullmatch(r"[A-Z2-7]{32}", text))

    def test_bounded_per_address(self) -> None:
        """Whoever asks for more and more tokens only loses the older ones, and nobody else's."""
        other = self.tokens.make(client(ELSEWHERE))
        first, *_, last = [self.tokens.make(client()) for _ in range(MOST_PER_ADDRESS + 1)]
        self.assertIsNone(self.tokens.take(first, HERE))
        self.assertIsNotNone(self.tokens.take(last, HERE))
        self.assertIsNotNone(self.tokens.take(other, ELSEWHERE))

    def test_bounded(self) -> None:
        """However many addresses ask, there is an end to the memory, and to the time that a token stays in it."""
        for number in range(MOST + 10):
            self.tokens.make(client(f"10.{number // 250}.{number % 250}.1"))
        self.assertEqual(len(self.tokens), MOST)
        self.clock.advance(LIFE)
        self.tokens.make(client())
        self.assertEqual(len(self.tokens), 1)

    def test_revoked(self) -> None:
        """The tokens of a key end with it."""
        own, other = self.tokens.make(client(key="a")), self.tokens.make(client(key="b"))
        self.tokens.revoke("a")
        self.assertIsNone(self.tokens.take(own, HERE))
        self.assertIsNotNone(self.tokens.take(other, HERE))


class TokenRouteTests(WebCase):
    """``POST /v1/token`` and ``?token=``."""

    def test_no_chain(self) -> None:
        """A token cannot be made into the next one, also not where a dialect makes them by GET: it ends after 5 s."""
        self.rig.announce()
        token = self.rig.post("/v1/token", {}).json["token"]
        reply = self.rig.get(f"/access/oneshot_token?token={token}", address="127.0.0.1")
        self.assertEqual((reply.status, len(self.rig.web._access.tokens)), (403, 0), reply.body)

    config = '[access.trusted]\n"192.168.1.0/24" = ["view"]'

    def token(self, rig: Rig | None = None, **asker: Any) -> str:
        reply = (rig or self.rig).ask("POST", "/v1/token", **asker)
        self.assertEqual((reply.status, reply.json["expires_in"]), (201, 5))
        self.assertEqual(reply.headers["cache-control"], "no-store")
        return str(reply.json["token"])

    def use(self, token: str, method: str = "GET", path: str = "/v1/keys", address: str = ELSEWHERE) -> Reply:
        return self.rig.ask(method, f"{path}?token={token}", address=address)

    def test_once(self) -> None:
        """A token does once what its key may do, and then nothing."""
        token = self.token(address=ELSEWHERE, key=self.rig.admin)
        self.assertEqual(self.use(token).status, 200)
        self.assert_refused(self.use(token), 401, "wrong_key")

    def test_five_seconds(self) -> None:
        """A token is good for less than five seconds."""
        for seconds, status in ((4.9, 200), (5.0, 401)):
            token = self.token(address=ELSEWHERE, key=self.rig.admin)
            self.rig.clock.advance(seconds)
            self.assertEqual(self.use(token).status, status)

    def test_address(self) -> None:
        """Elsewhere a token is nothing, and whoever tries it there does not use it up."""
        token = self.token(address=ELSEWHERE, key=self.rig.admin)
        for address in (HERE, "127.0.0.1", "::1"):
            self.assert_refused(self.use(token, address=address), 401, "wrong_key")
        self.assertEqual(self.use(token).status, 200)

    def test_only_reading(self) -> None:
        """A token changes nothing: not by POST, PUT or DELETE; that does not use it up either."""
        token = self.token(address=ELSEWHERE, key=self.rig.admin)
        for method, path in (
            ("DELETE", "/v1/files/a"),
            ("POST", "/v1/keys"),
            ("PUT", "/v1/files/a"),
            ("POST", "/v1/token"),
        ):
            self.assert_refused(self.use(token, method, path), 401, "wrong_key")
        self.assertEqual(self.use(token, "HEAD").status, 200)

    def test_scopes(self) -> None:
        """A token may what its key may and no more; one of a trusted address may what the address may."""
        token = self.token(address=ELSEWHERE, key=self.rig.key("upload"))
        self.assert_refused(self.use(token), 403, "forbidden")
        self.assertEqual(self.use(self.token(address=HERE), path="/v1/printers", address=HERE).status, 200)
        self.assertEqual(self.use(self.token(address=HERE), address=HERE).status, 403)

    def test_limits(self) -> None:
        """A token of a key that is limited to printers has the same limits."""
        printer = self.rig.announce()
        self.rig.announce("00FF99aabbcc0011", "Mars")
        token = self.token(address=ELSEWHERE, key=self.rig.key("view", printers=[printer.id]))
        self.assertEqual([p["id"] for p in self.use(token, path="/v1/printers").json], [printer.slug])

    def test_strangers(self) -> None:
        """Who may see nothing gets no token."""
        self.assert_refused(self.rig.ask("POST", "/v1/token", address=ELSEWHERE), 403, "forbidden")

    def test_revoked(self) -> None:
        """When its key is revoked, a token is nothing any more."""
        token = self.token(address=ELSEWHERE, key=self.rig.key("view", name="widget"))
        self.assertEqual(self.rig.ask("DELETE", "/v1/keys/widget").status, 204)
        self.assert_refused(self.use(token, path="/v1/printers"), 401, "wrong_key")

    def test_with_key(self) -> None:
        """A token beside a key, even a right one, is one too many; an empty one is none."""
        token = self.token(address=ELSEWHERE, key=self.rig.admin)
        reply = self.rig.get(f"/v1/keys?token={token}", key=self.rig.admin)
        self.assert_refused(reply, 401, "wrong_key")
        self.assert_refused(self.use(""), 401, "wrong_key")
