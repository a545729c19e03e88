from __future__ import annotations

import ipaddress
import socket

from twisted.trial.unittest import SynchronousTestCase

from sdcpd.machine import look


class LookTests(SynchronousTestCase):
    def test_names(self) -> None:
        """The machine knows itself by its host name, that name's first word, and that in the local network."""
        name = socket.gethostname().casefold()
        short = name.partition(".")[0]
        self.assertEqual(look().names, {name, short, f"{short}.local"})

    def test_networks(self) -> None:
        """The networks that it trusts by default are private ones, and loopback is a word of its own."""
        for network in look().networks:
            self.assertTrue(network.is_private)
            self.assertFalse(network.is_loopback)
            self.assertFalse(network.overlaps(ipaddress.ip_network("8.8.8.8")) if network.version == 4 else False)
