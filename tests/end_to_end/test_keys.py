"""Keys as their owner has them: the file of the first start, ``sdcp-key``, curl, an MQTT client, and the log."""

from __future__ import annotations

import os
import queue
import shutil
import stat
import subprocess
import tempfile
import time
from pathlib import Path

import pytest
from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion
from twisted.trial.unittest import SynchronousTestCase

from tests.end_to_end.processes import PATIENCE, TWISTD, Daemon, HeldPort
from tests.end_to_end.requirements import needs
from tests.sliced import goo_file

TOOL = TWISTD.with_name("sdcp-key")
TOKEN_LIVES = 5.0
"""Seconds within which a token has to be used."""
CLIENTS = '[mqtt.clients]\nlisten = "tcp:0:interface=127.0.0.1"'


class KeysCase(SynchronousTestCase):
    """A daemon without printers, at the level of the log at which it says the most."""

    def setUp(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="sdcpd-"))
        self.addCleanup(shutil.rmtree, self.directory)
        self.state = self.directory / "state"
        self.file = self.state / "admin.key"
        web, closed = HeldPort(), HeldPort()
        self.addCleanup(web.close)
        self.addCleanup(closed.close)
        self.daemon = Daemon(self.directory, [], web=web.endpoint, more=CLIENTS, log_level="debug")
        self.addCleanup(lambda: self.daemon.server.stop())
        nobody = f"http://127.0.0.1:{closed.number}"
        # Somebody's environment, with a proxy that is not for this.
        self.environment = {**os.environ, "http_proxy": nobody, "HTTP_PROXY": nobody, "all_proxy": nobody}
        self.environment.pop("no_proxy", None)

    def run_tool(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [str(TOOL), "--key-file", str(self.file), *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, env=self.environment)

    def add(self, name: str, *scopes: str) -> str:
        """Make a key by the tool; the key."""
        done = self.run_tool("add", name, *(word for scope in scopes for word in ("--scope", scope)))
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        return done.stdout.strip()

    def curl(self, *arguments: str) -> str:
        """Run curl on a path (the last argument); the status."""
        *options, path = arguments
        command = ["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "--noproxy", "*", *options]
        url = self.daemon.url + path
        return subprocess.run([*command, url], capture_output=True, text=True, timeout=PATIENCE, check=True).stdout


@pytest.mark.end_to_end
@needs("curl")
class ToolTests(KeysCase):
    """``sdcp-key`` as it is installed."""

    def test_way(self) -> None:
        """A key is made, works with curl for what it was made for and for nothing else, is listed, and revoked."""
        key = self.add("slicer", "upload")
        plate = self.directory / "plate.goo"
        plate.write_bytes(goo_file())
        header = ("-H", f"X-Api-Key: {key}")
        self.assertEqual(self.curl(*header, "-T", str(plate), "/v1/files/"), "201")
        self.assertEqual(self.curl(*header, "-X", "DELETE", "/v1/keys/slicer"), "403")
        self.assertEqual(self.curl("-T", str(plate), "/v1/files/"), "403")
        listed = self.run_tool("list")
        self.assertEqual((listed.returncode, len(listed.stdout.splitlines())), (0, 3), listed.stdout)
        self.assertRegex(listed.stdout.splitlines()[2], r"^[0-9a-f]{8} +slicer +upload +all$")
        self.assertNotIn(key[-32:], listed.stdout)
        done = self.run_tool("revoke", "slicer")
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "", ""))
        self.assertEqual(self.curl(*header, "/v1/files"), "401")
        self.assertEqual(len(self.run_tool("list").stdout.splitlines()), 2)
        self.daemon.restart(kill=True)
        self.assertEqual(self.curl(*header, "/v1/files"), "401")

    def test_survives(self) -> None:
        """A key that was told is there after ``kill -9``, at once."""
        key = self.add("script", "control")
        self.daemon.restart(kill=True)
        self.assertEqual(self.curl("-H", f"Authorization: Bearer {key}", "/v1/printers"), "200")

    def test_no_daemon(self) -> None:
        """Without a daemon it says in one line where it looked and what to do, with exit status 1."""
        url = self.daemon.url
        self.daemon.server.kill()
        for arguments in (("list",), ("add", "a", "--scope", "view"), ("revoke", "a")):
            done = self.run_tool(*arguments)
            self.assertEqual((done.returncode, done.stdout, done.stderr.count("\n")), (1, "", 1), done.stderr)
            self.assertTrue(done.stderr.startswith(f"sdcp-key: no sdcpd answers at {url}: "), done.stderr)
            self.assertIn("Start it, or name its address by --url.", done.stderr)


@pytest.mark.end_to_end
@needs("curl")
class FirstKeyTests(KeysCase):
    """``admin.key``."""

    def test_file(self) -> None:
        """Only the daemon's user and root can read the first key; the log says where it is, and not what it is."""
        self.assertEqual(stat.S_IMODE(self.file.stat().st_mode), 0o600)
        self.assertEqual(stat.S_IMODE(self.state.stat().st_mode), 0o700)
        (line,) = [line for line in self.daemon.server.lines if "A new admin key" in line]
        self.assertIn(str(self.file), line)
        self.assertNotIn(self.daemon.key[-32:], self.daemon.server.log)
        for path in self.state.rglob("*"):
            if path != self.file and path.is_file():
                self.assertNotIn(self.daemon.key[-32:].encode(), path.read_bytes(), path)

    def test_kept(self) -> None:
        """A restart keeps the key and says nothing of it."""
        before = self.daemon.key
        self.daemon.restart(kill=False)
        self.assertEqual(self.daemon.key, before)
        self.assertNotIn("A new admin key", self.daemon.server.log)
        self.assertEqual(self.daemon.request("GET", "/v1/keys")[0], 200)

    def test_replaced(self) -> None:
        """Whoever deletes the file and restarts gets another key, and the old one is refused."""
        before = self.daemon.key
        self.file.unlink()
        self.daemon.restart(kill=False)
        self.assertNotEqual(self.daemon.key, before)
        self.assertEqual(stat.S_IMODE(self.file.stat().st_mode), 0o600)
        self.assertEqual(self.daemon.request("GET", "/v1/keys")[0], 200)
        self.assertEqual(self.curl("-H", f"X-Api-Key: {before}", "/v1/printers"), "401")


class Subscriber:
    """A paho client with a key as password; what becomes of its connections, one word after the other."""

    def __init__(self, port: int, name: str, key: str) -> None:
        self._news: queue.Queue[str] = queue.Queue()
        self.client = paho.Client(CallbackAPIVersion.VERSION2, name)
        self.client.username_pw_set("anybody", key)
        self.client.on_connect = lambda c, u, f, reason, p: self._news.put(str(reason))
        self.client.on_disconnect = lambda c, u, f, reason, p: self._news.put("ended")
        self.client.connect_async("127.0.0.1", port)
        self.client.loop_start()

    def news(self) -> str:
        return self._news.get(timeout=PATIENCE)

    @property
    def quiet(self) -> bool:
        return self._news.empty() and self.client.is_connected()

    def stop(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


@pytest.mark.end_to_end
class MqttTests(KeysCase):
    """A managed key at the MQTT clients' port."""

    def subscriber(self, name: str, key: str) -> Subscriber:
        found = Subscriber(self.daemon.ports["mqtt clients"][0]["port"], name, key)
        self.addCleanup(found.stop)
        return found

    def test_revoked(self) -> None:
        """Whoever came in with a key that is revoked is put out at once and not let in again; others stay."""
        one = self.subscriber("one", self.add("one", "view"))
        other = self.subscriber("other", self.add("other", "view"))
        self.assertEqual((one.news(), other.news()), ("Success", "Success"))
        self.assertEqual(self.run_tool("revoke", "one").returncode, 0)
        self.assertEqual(one.news(), "ended")
        self.assertIn(one.news(), ("Not authorized", "Bad user name or password"))
        self.assertTrue(other.quiet)


@pytest.mark.end_to_end
@needs("curl")
class LogTests(KeysCase):
    """What the daemon's log has of keys, at the level "debug"."""

    def used_token(self, path: str) -> str:
        """A token that was good for one look at a path; another one if this machine was too slow for that."""
        while True:
            asked = time.monotonic()
            _, made = self.daemon.request("POST", "/v1/token")
            status = self.curl(f"{path}?token={made['token']}")
            if status == "200" or time.monotonic() - asked < TOKEN_LIVES:
                self.assertEqual(status, "200")
                return str(made["token"])

    def test_no_secrets(self) -> None:
        """No key and no token is in the log or in a file, however it was sent, right or wrong, and whatever failed."""
        key = self.add("pilot", "view", "upload", "queue", "control", "plate")
        wrong = f"sdcpd_12345678_{'q' * 32}"
        token = self.used_token("/v1/printers")
        self.assertEqual(self.curl(f"/v1/printers?token={token}"), "401")
        for secret in (key, wrong):
            for path in ("/v1/printers", "/nothing", "/v1/files/none.goo", "/v1/history?cursor=x"):
                mark = "&" if "?" in path else "?"
                for sent in (
                    ("-H", f"X-Api-Key: {secret}", path),
                    ("-H", f"Authorization: Bearer {secret}", path),
                    (f"{path}{mark}apikey={secret}",),
                    (f"{path}{mark}x=1;apikey={secret}",),
                    (f"{path}{mark}api_key={secret}",),
                    (f"{path}{mark}x={secret}",),
                    (f"{path}/{secret}",),
                    ("-X", "DELETE", f"/v1/keys/{secret}"),
                    ("-d", f'{{"file": "{secret}"}}', f"/v1/queue?apikey={secret}"),
                ):
                    self.curl(*sent)
        for secret in (key, wrong):
            client = Subscriber(self.daemon.ports["mqtt clients"][0]["port"], "c", secret)
            self.addCleanup(client.stop)
            client.news()
        # A spool that is gone from the disk is something that nobody foresaw.
        shutil.rmtree(self.state / "files")
        plate = self.directory / "plate.goo"
        plate.write_bytes(goo_file())
        status = self.curl("-T", str(plate), f"/v1/files/plate.goo?apikey={key}")
        self.assertGreaterEqual(int(status), 500)
        self.daemon.server.wait_for(f"PUT /v1/files/plate.goo?apikey=*** {status}")
        self.daemon.server.stop()
        said = self.daemon.server.log
        self.assertIn("***", said)
        self.assertIn("key pilot", said)
        for secret in (key, wrong, token, self.daemon.key):
            self.assertNotIn(secret[-32:], said)
        for kept in self.state.rglob("*"):
            if kept.is_file() and kept != self.file:
                self.assertNotIn(key[-32:].encode(), kept.read_bytes(), kept)
