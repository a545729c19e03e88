from __future__ import annotations

import shutil
import signal
import ssl
import tempfile
import urllib.request
from pathlib import Path

import pytest
from twisted.plugin import getPlugins
from twisted.trial.unittest import SynchronousTestCase

from sdcpd.launch import Options, makeService
from tests.certificates import certificate_pem
from tests.end_to_end.processes import PATIENCE, Daemon
from tests.test_options import options


class PluginTests(SynchronousTestCase):
    def test_plugin(self) -> None:
        """``twistd`` knows the daemon by its name."""
        from twisted.application.service import IServiceMaker

        (plugin,) = [found for found in getPlugins(IServiceMaker) if found.tapname == "sdcpd"]
        self.assertIs(plugin.options, Options)
        self.assertIs(plugin.makeService, makeService)

    def test_refused(self) -> None:
        """A configuration that cannot be used ends the start with one line, before anything is loaded for it."""
        error = self.assertRaises(SystemExit, makeService, options("--config", "/nowhere/sdcpd.toml"))
        self.assertTrue(str(error.code).startswith("sdcpd: /nowhere/sdcpd.toml: cannot be read"), error.code)


@pytest.mark.end_to_end
class TLSTests(SynchronousTestCase):
    """What is loaded at the start."""

    def setUp(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="sdcpd-"))
        self.addCleanup(shutil.rmtree, self.directory)

    def daemon(self, web: str) -> Daemon:
        daemon = Daemon(self.directory, [], web=web)
        self.addCleanup(lambda: daemon.server.stop())
        return daemon

    def loaded(self, daemon: Daemon) -> bool:
        """Whether OpenSSL is in the process: the machine's own, or the one that cryptography brings."""
        maps = Path(f"/proc/{daemon.server.process.pid}/maps").read_text()
        return any(library in maps for library in ("libcrypto", "libssl", "cryptography"))

    def test_left_out(self) -> None:
        """Without a TLS port OpenSSL takes no memory; a reload that asks for one is refused, a restart is not."""
        certificate, key = certificate_pem()
        pem = self.directory / "tls.pem"
        pem.write_bytes(key + certificate)
        endpoint = f"ssl:0:interface=127.0.0.1:privateKey={pem}:certKey={pem}"
        daemon = self.daemon("tcp:0:interface=127.0.0.1")
        self.assertEqual(daemon.get("/v1/printers"), [])
        self.assertFalse(self.loaded(daemon))

        lines = len(daemon.server.lines)
        daemon.write_config([], endpoint)
        daemon.server.process.send_signal(signal.SIGHUP)
        self.assertIn("Restart the daemon", daemon.server.wait_for("is refused", lines))
        self.assertEqual(daemon.get("/v1/printers"), [])

        daemon.restart(kill=False)
        self.assertTrue(self.loaded(daemon))
        url = f"https://127.0.0.1:{daemon.ports['web'][0]['port']}/healthz"
        trust = ssl.create_default_context(cadata=certificate.decode())
        with urllib.request.urlopen(url, timeout=PATIENCE, context=trust) as answer:
            self.assertEqual(answer.read(), b"ok")

    def test_later(self) -> None:
        """Metrics, whose library asks for Python's ssl, are there all the same, and the daemon goes on without TLS."""
        daemon = self.daemon("tcp:0:interface=127.0.0.1")
        self.assertFalse(self.loaded(daemon))
        status, text = daemon.request("GET", "/metrics")
        self.assertEqual((status, text[:40]), (200, "# HELP sdcpd_up 1; the version is in the"))
        self.assertEqual(daemon.get("/v1/printers"), [])
