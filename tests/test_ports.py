from __future__ import annotations

from twisted.internet.endpoints import serverFromString
from twisted.trial.unittest import SynchronousTestCase

from sdcpd.ports import at_port, number_of
from tests.fakes import FakeStreams

AT = [
    (["tcp:8080"], ("tcp:7001",)),
    (["tcp:port=8080"], ("tcp:port=7001",)),
    (["tcp:8080:interface=127.0.0.1:backlog=5"], ("tcp:7001:interface=127.0.0.1:backlog=5",)),
    (["tcp:interface=127.0.0.1:port=80"], ("tcp:interface=127.0.0.1:port=7001",)),
    ([r"tcp6:80:interface=\:\:1"], (r"tcp6:7001:interface=\:\:1",)),
    (["ssl:8443:privateKey=k.pem:certKey=c.pem"], ("ssl:7001:privateKey=k.pem:certKey=c.pem",)),
    # one for each interface
    (
        ["tcp:80:interface=127.0.0.1", "tcp:81:interface=127.0.0.1", "ssl:80:interface=10.0.0.1"],
        ("tcp:7001:interface=127.0.0.1", "ssl:7001:interface=10.0.0.1"),
    ),
    # all interfaces include each
    (["tcp:8080", "ssl:8443"], ("tcp:7001",)),
    (["tcp:80:interface=127.0.0.1", "ssl:8443"], ("ssl:7001",)),
    (["tcp:80:interface=127.0.0.1", "tcp:80:interface=0.0.0.0"], ("tcp:7001:interface=0.0.0.0",)),
    ([r"tcp6:80:interface=\:\:", "tcp:80"], (r"tcp6:7001:interface=\:\:",)),
    # what has no port
    (["unix:/run/8080", "systemd:domain=INET:index=0"], ()),
    (["unix:/run/x", "tcp:8080"], ("tcp:7001",)),
    ([], ()),
]


class AtPortTests(SynchronousTestCase):
    def test_as_listen(self) -> None:
        """A printer's own port is where the web server is: same kind, same interface, same certificate."""
        for listen, expected in AT:
            self.assertEqual(at_port(listen, 7001), expected, listen)

    def test_twisted_agrees(self) -> None:
        """What is made is an endpoint of Twisted's, with that very port."""
        reactor = FakeStreams()
        for listen, expected in AT:
            for endpoint in expected:
                if not endpoint.startswith("ssl"):
                    found = serverFromString(reactor, endpoint)
                    self.assertEqual(found._port, 7001, listen)

    def test_number(self) -> None:
        """The number of an endpoint is found wherever it stands; 0 where there is none."""
        for text, number in (
            ("tcp:1883", 1883),
            ("tcp:interface=127.0.0.1:port=80", 80),
            ("ssl:port=8883:privateKey=9", 8883),
            ("tcp:0", 0),
            ("unix:80", 0),
            ("systemd:domain=INET:index=3", 0),
            ("", 0),
        ):
            self.assertEqual(number_of(text), number, text)
