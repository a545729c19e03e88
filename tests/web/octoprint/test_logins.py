from __future__ import annotations

from msgspec.structs import replace
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from sdcpd.keys import Keys
from sdcpd.web.client import Client
from sdcpd.web.octoprint.logins import LIFE, MOST, MOST_PER_ADDRESS, TRIES, Logins, user_of
from tests.fakes import FakeKeyRecords


def client(address: str = "192.168.1.7", key: str = "widget") -> Client:
    return Client(address, False, frozenset({"view"}), address, key=key)


class LoginsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.keys = Keys(FakeKeyRecords(), self.clock.seconds)
        self.logins = Logins(self.keys, self.clock)

    def test_session(self) -> None:
        """Who shows a session with its user's name has the rights of the one that it was issued to."""
        issued = self.logins.issue(client())
        self.assertEqual(self.logins.client("widget", issued), client())
        self.assertIsNone(self.logins.client("admin", issued))
        self.assertIsNone(self.logins.client("wídget", issued))
        self.assertIsNone(self.logins.client("widget", issued[:-1]))
        self.assertIsNone(self.logins.client("widget", ""))
        self.assertNotEqual(self.logins.issue(client()), issued)

    def test_without_a_key(self) -> None:
        """A trusted address without a key has a user's name, too, and no name has a colon in it."""
        nobody = client("fd00::7", "")
        issued = self.logins.issue(nobody)
        self.assertEqual(self.logins.client(user_of(nobody), issued), nobody)
        self.assertNotIn(":", user_of(nobody) + issued)

    def test_end(self) -> None:
        """A session is good for an hour and for no second more."""
        issued = self.logins.issue(client())
        self.clock.advance(LIFE - 1)
        self.assertIsNotNone(self.logins.client("widget", issued))
        self.clock.advance(1)
        self.assertIsNone(self.logins.client("widget", issued))
        self.assertEqual(len(self.logins), 0)

    def test_logout(self) -> None:
        """A logout ends the sessions of this key at this address, and nobody else's."""
        mine, other = self.logins.issue(client()), self.logins.issue(client("192.168.1.8"))
        self.logins.end(client())
        self.assertIsNone(self.logins.client("widget", mine))
        self.assertIsNotNone(self.logins.client("widget", other))

    def test_revoked(self) -> None:
        """A session dies with its key."""
        key, _ = self.successResultOf(self.keys.make("widget", ("view",)))
        mine, other = self.logins.issue(client()), self.logins.issue(client(key="slicer"))
        self.successResultOf(self.keys.revoke(key.id))
        self.assertIsNone(self.logins.client("widget", mine))
        self.assertIsNotNone(self.logins.client("slicer", other))

    def test_bounded(self) -> None:
        """However often somebody logs in, the sessions stay few; the oldest of one address make room first."""
        first, other = self.logins.issue(client()), self.logins.issue(client("192.168.1.8"))
        for _ in range(MOST_PER_ADDRESS):
            self.logins.issue(client())
        self.assertIsNone(self.logins.client("widget", first))
        self.assertIsNotNone(self.logins.client("widget", other))
        for number in range(MOST):
            self.logins.issue(client(f"10.0.{number // 256}.{number % 256}"))
        self.assertEqual(len(self.logins), MOST)

    def test_tries(self) -> None:
        """One address may try three passwords in a minute, another one is not hindered by that."""
        self.assertEqual([self.logins.tried(client()) for _ in range(TRIES)], [0.0] * TRIES)
        self.assertGreater(self.logins.tried(client()), 0)
        self.assertEqual(self.logins.tried(client("192.168.1.8")), 0)
        self.clock.advance(60 / TRIES)
        self.assertEqual(self.logins.tried(client()), 0)

    def test_scopes_of_the_moment(self) -> None:
        """A session has the rights that its client had when it was issued, and its printers."""
        limited = replace(client(), printers=frozenset({"AB12"}), scopes=frozenset({"view", "control"}))
        found = self.logins.client("widget", self.logins.issue(limited))
        assert found is not None
        self.assertEqual((found.printers, found.scopes), (limited.printers, limited.scopes))
        self.assertFalse(found.once)
