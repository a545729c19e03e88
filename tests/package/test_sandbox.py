"""The daemon under the restrictions of its unit, as far as they can be put in force without systemd as process 1."""

from __future__ import annotations

import json
import os
import shutil
import signal
import ssl
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from twisted.trial.unittest import SynchronousTestCase

from tests.certificates import certificate_pem
from tests.end_to_end.journey import QUICK
from tests.end_to_end.processes import PATIENCE, Daemon, Printers, Server, samples
from tests.end_to_end.requirements import needs
from tests.package.sandbox import NOT_ENFORCED
from tests.package.seccomp import available
from tests.package.unit import Unit
from tests.supervisor import Manager

SANDBOX = Path(__file__).with_name("sandbox.py")
PROBE = Path(__file__).with_name("probe.py")
ROOT = Path(__file__).resolve().parents[2]
SAMPLE = samples() / "mars4max-426-layers.goo"
mounted = any(line.split()[4] == "/" for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines())
possible = os.geteuid() == 0 and available() and mounted
privileged = pytest.mark.skipif(
    not possible and not os.environ.get("SDCPD_REQUIRE_ALL"),
    reason="needs root, libseccomp, and a root directory that is mounted (a chroot's is not)",
)


def sandbox(config: Path, state: Path) -> list[str]:
    """The words that make a program the service; the checkout and its Python may lie where the unit hides things."""
    places = {str(ROOT), sys.base_prefix, sys.prefix}
    seen = [word for place in sorted(places) for word in ("--see", place)]
    return [sys.executable, str(SANDBOX), "--config", str(config), "--state", str(state), *seen]


class Sandboxed(Daemon):
    """The daemon as its unit starts it: by ``ExecStart``, which finds its configuration where it always is."""

    def __init__(self, directory: Path, targets: list[str], manager: Manager) -> None:
        self.manager = manager
        (directory / "etc").mkdir()
        (directory / "state").mkdir()
        super().__init__(directory, targets)

    def write_config(self, targets: list[str], web: str = "tcp:0:interface=127.0.0.1", *_: str, **__: str) -> None:
        """Without a state directory: the default one is the unit's."""
        (self.directory / "etc" / "sdcpd.toml").write_text(
            f"""
            discovery = {{ interfaces = [], targets = {json.dumps(targets)}, interval = 5 }}
            mqtt.listen = "tcp:0:interface=127.0.0.1"
            downloads.listen = "tcp:0:interface=127.0.0.1"
            web.listen = ["{web}"]
            """,
            encoding="utf-8",
        )

    def _launch(self) -> Server:
        before = [*sandbox(self.directory / "etc", self.directory / "state"), "--"]
        environment = {"NOTIFY_SOCKET": self.manager.address, "WATCHDOG_USEC": "60000000"}
        return Server("the daemon", "sdcpd", directory=self.directory, environment=environment, before=before)


class SandboxTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="sdcpd-"))
        self.addCleanup(shutil.rmtree, self.directory)


@pytest.mark.end_to_end
@privileged
@needs("systemd-analyze", "unshare")
class RestrictionTests(SandboxTestCase):
    """What a program that got hold of the daemon could do: a probe tries it."""

    def test_probe(self) -> None:
        """Each thing that the unit takes away is gone, and each that it leaves is there."""
        for name in ("etc", "state"):
            (self.directory / name).mkdir()
        command = [*sandbox(self.directory / "etc", self.directory / "state"), "--instead", "--"]
        done = subprocess.run(
            [*command, sys.executable, str(PROBE)], capture_output=True, text=True, timeout=PATIENCE, check=True
        )
        found: dict[str, Any] = json.loads(done.stdout)
        unit = Unit()
        self.assertEqual(found.pop("limits"), [int(unit.service("LimitNOFILE"))] * 2)
        self.assertEqual(found.pop("status"), {"CapEff": 0, "CapBnd": 0, "NoNewPrivs": 1, "Seccomp": 2, "Umask": 0o77})
        self.assertNotEqual(found.pop("user"), 0)
        allowed = {what for what, refusal in found.items() if refusal is None}
        self.assertEqual(
            allowed,
            {
                "write state",
                "write runtime",
                "write tmp",
                "read config",
                "read stat",
                "read meminfo",
                "make a thread",
                "make code",
                "IPv4 socket",
                "broadcast socket",
                "IPv6 socket",
                "Unix socket",
                "netlink socket",
                "ask for the limit",
            },
            found,
        )

    def test_honest(self) -> None:
        """What cannot be put in force here is named, and is in the unit."""
        unit = Unit()
        for setting in NOT_ENFORCED:
            self.assertTrue(unit.service(setting.partition("'")[0]), setting)


@pytest.mark.end_to_end
@privileged
@needs("systemd-analyze", "unshare")
@pytest.mark.skipif(not SAMPLE.exists(), reason=f"the sample is not at {SAMPLE.parent}; set SDCPD_SAMPLES")
class ServiceTests(SandboxTestCase):
    """The unit's own ExecStart, user, environment and restrictions, and a day's work under them."""

    def test_day(self) -> None:
        """Ready, a printer, a print, pictures, the machine's numbers, a reload, a restart with TLS, a stop."""
        manager = Manager(f"@sdcpd-{self.directory.name}")
        self.addCleanup(manager.close)
        printers = Printers(self.directory, ["MARS4MAX-1.0.0"], *QUICK)
        self.addCleanup(printers.stop)
        daemon = Sandboxed(self.directory, printers.targets, manager)
        self.addCleanup(lambda: daemon.server.stop())
        manager.wait_for("READY")
        status = Path(f"/proc/{daemon.server.process.pid}/status").read_text()
        self.assertIn("NoNewPrivs:\t1", status)
        self.assertIn("Seccomp:\t2", status)

        slug = daemon.wait_for_printers(1)[0]["id"]
        self.assertEqual(daemon.put(f"/v1/files/{SAMPLE.name}", SAMPLE)[0], 201)
        wish = {"file": SAMPLE.name, "plate_clear": True}
        self.assertEqual(daemon.request("POST", f"/v1/printers/{slug}/print", wish)[0], 202)
        seen = daemon.wait_until(slug, lambda p: p["job"] and p["job"]["ended"])
        self.assertEqual(seen[-1]["job"]["state"], "finished")
        for picture in ("thumbnail.png", "layers/100.png"):  # NumPy with OpenBLAS
            code, png = daemon.download(f"/v1/files/{SAMPLE.name}/{picture}")
            self.assertEqual((code, png[:4]), (200, b"\x89PNG"), picture)
        numbers = daemon.get("/machine/proc_stats")["result"]
        self.assertGreater(numbers["system_memory"]["total"], 0)
        self.assertIn("cpu", numbers["system_cpu_usage"])
        self.assertIn("sdcpd_printers", daemon.request("GET", "/metrics")[1])

        lines = len(daemon.server.lines)
        daemon.server.process.send_signal(signal.SIGHUP)
        daemon.server.wait_for("Reloaded", lines)
        manager.wait_for("RELOADING")
        manager.wait_for("READY")

        certificate, key = certificate_pem()
        (self.directory / "etc" / "tls.pem").write_bytes(key + certificate)
        (self.directory / "etc" / "tls.pem").chmod(0o644)
        pem = "/etc/sdcpd/tls.pem"
        daemon.write_config(printers.targets, f"ssl:0:interface=127.0.0.1:privateKey={pem}:certKey={pem}")
        daemon.restart(kill=False)
        self.assertEqual(manager.wait_for("STOPPING")[-1]["STATUS"], "Stopping")
        url = f"https://127.0.0.1:{daemon.ports['web'][0]['port']}/healthz"
        trust = ssl.create_default_context(cadata=certificate.decode())
        try:
            with urllib.request.urlopen(url, timeout=PATIENCE, context=trust) as answer:  # OpenSSL's callbacks
                self.assertEqual(answer.read(), b"ok")
        except OSError as error:
            raise AssertionError(f"{error}; the daemon said:\n{daemon.server.log}") from error
        refused = [line for line in daemon.server.lines if "ermission" in line or "not permitted" in line]
        self.assertEqual(refused, [])
