from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from sdcpd.interfaces import interfaces_of, local_address_towards


class InterfacesTests(SynchronousTestCase):
    """What every machine has: a loopback."""

    def test_by_address(self) -> None:
        """An interface can be named by its address."""
        (found,) = interfaces_of(["127.0.0.1"])
        self.assertEqual(found.address, "127.0.0.1")
        self.assertEqual(found.broadcast, "127.255.255.255")

    def test_by_name(self) -> None:
        """An interface can be named by its name."""
        (named,) = interfaces_of(["127.0.0.1"])
        self.assertIn(named, interfaces_of([named.name]))

    def test_auto(self) -> None:
        """``auto`` leaves the loopback out, and nothing named is nothing found."""
        self.assertNotIn("127.0.0.1", [interface.address for interface in interfaces_of(["auto"])])
        self.assertEqual(interfaces_of([]), [])

    def test_towards(self) -> None:
        """Towards this machine itself, our address is its own; towards nowhere there is none."""
        self.assertEqual(local_address_towards("127.0.0.1", 3000), "127.0.0.1")
        self.assertEqual(local_address_towards("255.255.255.255", 3000), "")
