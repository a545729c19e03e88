from __future__ import annotations

from pathlib import Path

from twisted.internet.protocol import Factory
from twisted.trial.unittest import SynchronousTestCase

from sdcpd.errors import ConfigError
from sdcpd.listener import Listener
from tests.fakes import FakeStreams


class ListenerTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor = FakeStreams()

    def listener(self, description: str) -> Listener:
        return Listener(self.reactor, "[mqtt] listen", description, Factory())

    def stopped(self, listener: Listener) -> None:
        d = listener.stopService()
        self.reactor.advance(0)
        self.successResultOf(d)

    def test_any_free_port(self) -> None:
        """Port 0 has become a number as soon as the service has started."""
        listener = self.listener("tcp:0:interface=127.0.0.1")
        self.assertEqual((listener.port, listener.address), (0, ""))
        listener.privilegedStartService()
        listener.startService()
        self.assertEqual(listener.port, 50_000)
        self.assertTrue(listener.address.endswith(":50000"))
        self.assertEqual(list(self.reactor.open), [50_000])

    def test_bound_once(self) -> None:
        """A port that was bound with privileges is not bound again at the start."""
        listener = self.listener("tcp:1883")
        listener.startService()
        self.assertEqual(listener.port, 1883)
        listener.privilegedStartService()
        self.assertEqual(list(self.reactor.open), [1883])

    def test_stop(self) -> None:
        """After the stop the port is free, and can be bound again; to stop what never started is nothing."""
        listener = self.listener("tcp:1883")
        self.successResultOf(listener.stopService())
        for _ in range(2):
            listener.startService()
            self.stopped(listener)
            self.assertEqual((listener.port, listener.address, self.reactor.open), (0, "", {}))

    def refused(self, description: str) -> ConfigError:
        error: ConfigError = self.assertRaises(ConfigError, self.listener(description).startService)
        self.assertTrue(error.message.startswith("[mqtt] listen: "), error.message)
        self.assertNotIn("\n", error.message)
        return error

    def test_busy(self) -> None:
        """A busy port is an error that names the key, the port and what to do."""
        self.reactor.busy.add(1883)
        error = self.refused("tcp:1883")
        self.assertEqual(error.message, "[mqtt] listen: cannot listen on tcp:1883: Address already in use")
        self.assertIn("ss -ltnp", error.hint)

    def test_unusable(self) -> None:
        """What is no endpoint, or needs what is not there, is an error that names the key."""
        key = Path(self.mktemp())
        key.write_text("no key")
        for description in (
            "carrier-pigeon:1",
            "tcp",
            "tcp:mqtt",
            "ssl:8883:privateKey=/nowhere/key.pem",
            f"ssl:8883:privateKey={key}",
            "systemd:domain=INET:index=3",
        ):
            self.assertIn(description, self.refused(description).message)

    def test_unix(self) -> None:
        """A Unix socket has a path and no port."""
        listener = self.listener("unix:/run/sdcpd/web.sock")
        listener.startService()
        self.assertEqual((listener.port, listener.address), (0, "/run/sdcpd/web.sock"))

    def test_blocks(self) -> None:
        """Two listeners that want the same port or path cannot be bound together; who is not bound blocks nobody."""
        bound = self.listener("tcp:0")
        other = {text: self.listener(text) for text in ("tcp:50000:interface=::1", "ssl:port=50000", "tcp:1", "tcp:0")}
        self.assertFalse(any(bound.blocks(o) for o in other.values()))
        bound.startService()
        self.assertEqual([bound.blocks(o) for o in other.values()], [True, True, False, False])
        path = self.listener("unix:/run/a.sock")
        path.startService()
        self.assertTrue(path.blocks(self.listener("unix:/run/a.sock:mode=660")))
        self.assertFalse(path.blocks(self.listener("tcp:0")))

    def test_other_failure(self) -> None:
        """An error that is not the network's is shown in its own words."""
        error = self.refused("unix:/run/taken.sock:mode=nonsense")
        self.assertIn("nonsense", error.message)
