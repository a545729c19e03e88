from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType

from twisted.trial.unittest import SynchronousTestCase

from sdcpd import config, tls
from sdcpd.errors import ConfigError

TLS = "ssl:8443:privateKey=/etc/sdcpd/tls.pem"


class WantedTests(SynchronousTestCase):
    def test_nobody(self) -> None:
        """A configuration without a TLS port does not need it."""
        self.assertFalse(tls.wanted(config.Config()))
        self.assertFalse(tls.wanted(config.parse('web.listen = ["tcp:8080", "unix:/run/sdcpd/ssl:"]')))

    def test_any(self) -> None:
        """One port with TLS is enough, of the pages or of the MQTT clients."""
        self.assertTrue(tls.wanted(config.parse(f'web.listen = ["tcp:8080", "{TLS}"]')))
        self.assertTrue(tls.wanted(config.parse(f'mqtt.clients.listen = "{TLS}"')))


class LeftOutTests(SynchronousTestCase):
    def setUp(self) -> None:
        modules: dict[str, object] = sys.modules  # type: ignore[assignment]
        before = dict(modules)
        self.addCleanup(self.restore, before)
        for name in before:
            if name.partition(".")[0] in ("OpenSSL", "ssl", "_hashlib", "hashlib", "http", "urllib"):
                del modules[name]

    def restore(self, before: dict[str, object]) -> None:
        """Everything is loaded that was before, and nothing else; other threads miss nothing in between."""
        modules: dict[str, object] = sys.modules  # type: ignore[assignment]
        modules.update(before)
        for name in set(modules) - set(before):
            del modules[name]

    def test_check(self) -> None:
        """A reload that asks for TLS where it was left out is refused, and says that a restart will do."""
        tls.check(TLS, "[web] listen")
        tls.leave_out()
        error: ConfigError = self.assertRaises(ConfigError, tls.check, TLS, "[web] listen")
        self.assertTrue(error.message.startswith("[web] listen: "))
        self.assertIn("Restart", error.hint)
        tls.check("tcp:8080", "[web] listen")

    def test_left_out(self) -> None:
        """What is left out is not there for whoever tries, as where it was never installed."""
        tls.leave_out()
        with self.assertRaises(ImportError):
            import OpenSSL  # noqa: F401

    def test_hashes(self) -> None:
        """Without OpenSSL files and keys have the same hashes."""
        hashes = "md5", "sha1", "sha256", "blake2b"
        expected = [import_module("hashlib").new(name, b"a").hexdigest() for name in hashes]
        for name in ("hashlib", "_hashlib"):
            del sys.modules[name]
        tls.leave_out()
        hashlib = import_module("hashlib")
        self.assertNotIn("openssl", hashlib.md5.__name__)
        self.assertEqual([hashlib.new(name, b"a").hexdigest() for name in hashes], expected)

    def test_let_in(self) -> None:
        """Who needs Python's own ssl after the start has it, and HTTPS of urllib as well; ports still have none."""
        tls.leave_out()
        self.assertFalse(hasattr(import_module("urllib.request"), "HTTPSHandler"))
        tls.let_in()
        self.assertTrue(hasattr(import_module("urllib.request"), "HTTPSHandler"))
        self.assertRaises(ConfigError, tls.check, TLS, "[web] listen")

    def test_nothing_left_out(self) -> None:
        """Where TLS is loaded nothing is imported twice."""
        found = import_module("urllib.request")
        tls.let_in()
        self.assertIs(import_module("urllib.request"), found)

    def test_loaded_already(self) -> None:
        """What somebody has loaded already stays."""
        loaded = sys.modules["OpenSSL"] = ModuleType("OpenSSL")
        tls.leave_out()
        tls.check(TLS, "[web] listen")
        self.assertIs(sys.modules["OpenSSL"], loaded)


class ErrorsTests(SynchronousTestCase):
    def test_kinds(self) -> None:
        """A wrong key is an error of OpenSSL's; ports without TLS never ask for it."""
        from OpenSSL.crypto import Error

        self.assertEqual(tls.errors("tcp:8080"), ())
        self.assertEqual(tls.errors(TLS), (Error,))
