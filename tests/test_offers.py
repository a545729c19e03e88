from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from sdcpd.offers import Offers
from tests.fakes import HOME


class Nobody:
    """A watcher who is not interested."""

    def requested(self) -> None:
        """Nothing."""

    def served(self, offset: int) -> None:
        """Nothing."""


class OffersTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.port = 8081
        self.offers = Offers(lambda: self.port)

    def test_token(self) -> None:
        """A path is 32 hex digits and the file's extension, and never the same twice."""
        tokens = {self.offers.make(Path(f"/spool/x.{e}"), HOME, Nobody()).token for e in ("goo", "ctb") for _ in "123"}
        self.assertEqual(len(tokens), 6)
        for token in tokens:
            self.assertRegex(token, r"^[0-9a-f]{32}\.(goo|ctb)$")

    def test_url(self) -> None:
        """The board puts the broker's address itself; the port is the one of this moment."""
        offer = self.offers.make(Path("/spool/x.goo"), HOME, Nobody())
        self.assertEqual(self.offers.url(offer), "http://${ipaddr}:8081/" + offer.token)
        self.port = 40_001
        self.assertEqual(self.offers.url(offer), "http://${ipaddr}:40001/" + offer.token)

    def test_found(self) -> None:
        """An offer is found as often as the printer likes, until it is withdrawn."""
        watcher = Nobody()
        offer = self.offers.make(Path("/spool/x.goo"), HOME, watcher)
        other = self.offers.make(Path("/spool/x.goo"), HOME, watcher)
        for _ in range(3):
            self.assertIs(self.offers.find(offer.token), offer)
        self.assertEqual((offer.address, offer.path, offer.watcher), (HOME, Path("/spool/x.goo"), watcher))
        self.assertEqual(len(self.offers), 2)
        for _ in range(2):
            self.offers.withdraw(offer)
        self.assertIsNone(self.offers.find(offer.token))
        self.assertIs(self.offers.find(other.token), other)
        self.assertEqual(len(self.offers), 1)

    def test_revoked(self) -> None:
        """An offer that is revoked is gone before its open downloads are broken off; ended ones are left alone."""
        offer = self.offers.make(Path("/spool/x.goo"), HOME, Nobody())
        broken: list[str] = []

        def first() -> None:
            self.assertIsNone(self.offers.find(offer.token))
            offer.closed(first)
            broken.append("first")

        def second() -> None:
            broken.append("second")

        def third() -> None:
            broken.append("third")

        for download in (first, second, third):
            offer.opened(download)
        offer.closed(second)
        self.offers.revoke(offer)
        self.assertEqual(sorted(broken), ["first", "third"])

    def test_withdrawn(self) -> None:
        """An offer that is over lets its open downloads come to their end."""
        offer = self.offers.make(Path("/spool/x.goo"), HOME, Nobody())
        offer.opened(lambda: self.fail("broken off"))
        self.offers.withdraw(offer)
        self.assertIsNone(self.offers.find(offer.token))

    def test_guessed(self) -> None:
        """What was not offered is not found."""
        self.assertIsNone(self.offers.find(""))
        self.assertIsNone(self.offers.find("0" * 32 + ".goo"))
