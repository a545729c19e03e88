from __future__ import annotations

import io
import json
import os
import socket
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThreadPool
from twisted.python.threadpool import ThreadPool
from twisted.web.resource import Resource
from twisted.web.server import Site
from twisted.web.util import redirectTo

from sdcpd.errors import Unrecorded
from sdcpd.keytool import main
from tests.web.rig import SATURN, RealCase, Reply, Rig


class KeyToolTests(RealCase):
    """The tool as a process would run it, against a real port; for the daemon no time passes, however long it takes."""

    def setUp(self) -> None:
        super().setUp()
        self.rig = Rig(self.directory)
        self.rig.announce()
        self.port = self.listen(self.rig.site)
        self.file = self.directory / "admin.key"
        self.file.write_text(f"{self.rig.admin}\n")
        self.tell_ports(tcp=f"127.0.0.1:{self.port}")
        self.pool = ThreadPool(1, 1)
        self.pool.start()
        self.addCleanup(self.pool.stop)

    def tell_ports(self, **addresses: str) -> None:
        """Leave word, as the daemon does, of where the web server listens, by kind of endpoint."""
        web = [{"address": address, "endpoint": f"{kind}:..."} for kind, address in addresses.items()]
        (self.directory / "ports.json").write_text(json.dumps({"web": web}))

    async def run_tool(self, *arguments: str, file: Path | None = None, typed: str = "") -> tuple[int, str, str]:
        """Exit status, standard output and standard error; ``typed`` is what a person types."""

        def run() -> tuple[int, str, str]:
            out, err = io.StringIO(), io.StringIO()
            stdin, sys.stdin = sys.stdin, io.StringIO(typed)
            with redirect_stdout(out), redirect_stderr(err):
                try:
                    status = main(["--key-file", str(file or self.file), *arguments])
                except SystemExit as end:
                    status = int(end.code or 0)
                finally:
                    sys.stdin = stdin
            return status, out.getvalue(), err.getvalue()

        found: tuple[int, str, str] = await deferToThreadPool(self.reactor, self.pool, run)
        return found

    def flow(self, steps: Any) -> Deferred[None]:
        return Deferred.fromCoroutine(steps())

    def test_way(self) -> Deferred[None]:
        """A key is made, alone on standard output; it works, is listed, and is revoked by its name."""

        async def steps() -> None:
            added = await self.run_tool(
                *("add", "slicer", "--scope", "upload", "--scope", "control", "--printer", "saturn-3-ultra")
            )
            secret = added[1].strip()
            self.assertEqual((added[0], added[1], added[2]), (0, f"{secret}\n", ""))
            key = self.rig.keys.find(secret)
            assert key is not None
            self.assertEqual((key.name, key.scopes, key.printers), ("slicer", ("upload", "control"), (SATURN,)))
            status, out, _ = await self.run_tool("list")
            self.assertEqual((status, len(out.splitlines())), (0, 3))
            self.assertRegex(out.splitlines()[2], rf"^{key.id} +slicer +upload,control +saturn-3-ultra$")
            self.assertNotIn(secret[-32:], out)
            self.assertEqual(await self.run_tool("revoke", "slicer"), (0, "", ""))
            self.assertIsNone(self.rig.keys.find(secret))

        return self.flow(steps)

    def test_digest(self) -> Deferred[None]:
        """A key for HTTP Digest is made when that is asked for, and the list says so."""

        async def steps() -> None:
            await self.run_tool("add", "plain", "--scope", "upload")
            await self.run_tool("add", "maker", "--scope", "upload", "--digest")
            self.assertIsNone(self.rig.keys.with_digest("plain"))
            key = self.rig.keys.with_digest("maker")
            assert key is not None
            _, out, _ = await self.run_tool("list")
            self.assertEqual([line.endswith("(digest)") for line in out.splitlines()], [False, False, False, True])
            self.assertNotIn(key.ha1, out)

        return self.flow(steps)

    def ask(self, method: str, target: str, document: object = None, **more: Any) -> Reply:
        """One request by a connection that is over with it."""
        body = b"" if document is None else json.dumps(document).encode()
        pending = self.rig.begin(method, target, body, {"Content-Type": "application/json"}, **more)
        reply = pending.reply
        pending.leave()
        return reply

    @property
    def pairing(self) -> Any:
        """Whether programs may ask, and who waits."""
        return self.ask("GET", "/v1/keys/pairing").json

    async def asked(self, app: str) -> str:
        """Where a program polls that has asked as soon as it could."""
        while not self.pairing["open"]:
            await self.turn()
        wish = {"app": app, "user": "maker"}
        reply = self.ask("POST", "/plugin/appkeys/request", wish, address="192.168.1.77")
        self.assertEqual(reply.status, 201, reply.body)
        return reply.headers["location"].removeprefix("http://hub.local")

    def test_pair(self) -> Deferred[None]:
        """Who asks is shown, a yes lets it in, and nobody can ask any more afterwards."""

        async def steps() -> None:
            running = Deferred.fromCoroutine(self.run_tool("pair", "--scope", "view", typed="yes\n"))
            location = await self.asked("Cura")
            status, out, err = await running
            self.assertEqual((status, err), (0, ""), out)
            self.assertIn("Cura for maker asks from 192.168.1.77, at the address of saturn-3-ultra.", out)
            self.assertIn("It would get view on all printers.", out)
            self.assertIn("Cura fetches its key now.", out)
            key = self.rig.keys.find(self.ask("GET", location).json["api_key"])
            assert key is not None
            self.assertEqual((key.name, key.scopes), ("Cura-maker", ("view",)))
            self.assertFalse(self.pairing["open"])

        return self.flow(steps)

    def test_pair_refused(self) -> Deferred[None]:
        """A no sends the program away; whoever types nothing more lets nobody in."""

        async def steps() -> None:
            running = Deferred.fromCoroutine(self.run_tool("pair", typed="\n"))
            location = await self.asked("Evil")
            while self.pairing["waiting"]:
                await self.turn()
            self.assertEqual(self.ask("GET", location).status, 404)
            await self.asked("Cura")
            status, out, err = await running
            self.assertEqual((status, err), (0, ""), out)
            self.assertIn("Evil gets no key.", out)
            self.assertTrue(out.endswith("Nobody was let in.\n"), out)
            self.assertEqual(len(self.rig.keys.list()), 1)

        return self.flow(steps)

    def test_pair_again(self) -> Deferred[None]:
        """If a key cannot be made just now, the tool says why in the daemon's words and asks once more."""

        async def steps() -> None:
            records: Any = self.rig.keys._records
            records.fail_next(Unrecorded("The disk is full.", "Make room."))
            running = Deferred.fromCoroutine(self.run_tool("pair", typed="y\ny\n"))
            location = await self.asked("Cura")
            status, out, err = await running
            self.assertEqual((status, err, out.count("Let it in?")), (0, "", 2), out)
            self.assertIn("The disk is full. Make room.\n", out)
            self.assertEqual(self.ask("GET", location).status, 200)

        return self.flow(steps)

    def test_pair_time(self) -> Deferred[None]:
        """When the window is closed by somebody else the tool says that the time is over; a bad time is refused."""

        async def steps() -> None:
            running = Deferred.fromCoroutine(self.run_tool("pair"))
            while not self.pairing["open"]:
                await self.turn()
            self.ask("POST", "/v1/keys/pairing", {"minutes": 0})
            self.assertIn("The time is over, and nobody was let in.", (await running)[1])
            status, _, err = await self.run_tool("pair", "--minutes", "16")
            self.assertEqual(
                (status, err), (1, "sdcp-key: --minutes: expected 1 to 15, found 16. Programs can ask again later.\n")
            )

        return self.flow(steps)

    def test_refused(self) -> Deferred[None]:
        """What the daemon refuses is one line in its words, and exit status 1."""

        async def steps() -> None:
            for arguments, said in (
                (("revoke", "a/../b"), "sdcp-key: "),
                (("revoke", "nobody"), "No key has the id or the name 'nobody'"),
                (("add", "two words", "--scope", "view"), "name: expected"),
                (("add", "a", "--scope", "view", "--printer", "venus"), "No printer is called 'venus'"),
                (("add", "admin", "--scope", "view"), "There is a key of the name 'admin' already"),
            ):
                status, out, err = await self.run_tool(*arguments)
                self.assertEqual((status, out, len(err.splitlines())), (1, "", 1), err)
                self.assertIn(said, err)

        return self.flow(steps)

    def test_wrong_key(self) -> Deferred[None]:
        """A file with another key is said to hold none, and the key is not repeated; a missing one is named."""

        async def steps() -> None:
            self.file.write_text("sdcpd_00000000_" + "a" * 32)
            status, _, err = await self.run_tool("list")
            self.assertEqual(status, 1)
            self.assertIn("not valid", err)
            self.assertNotIn("aaaa", err)
            missing = self.directory / "none.key"
            status, _, err = await self.run_tool("list", file=missing)
            self.assertEqual((status, err.count("\n")), (1, 1))
            self.assertIn(f"cannot read {missing}: No such file", err)
            self.assertIn("--key-file", err)

        return self.flow(steps)

    def test_no_daemon(self) -> Deferred[None]:
        """Without a daemon the line says where it was looked for, and what to do."""

        async def steps() -> None:
            with socket.socket() as nobody:  # who has it and does not listen keeps it from everybody else
                nobody.bind(("127.0.0.1", 0))
                url = f"http://127.0.0.1:{nobody.getsockname()[1]}"
                status, _, err = await self.run_tool("--url", url, "list")
            self.assertEqual((status, err.count("\n")), (1, 1))
            self.assertIn(f"no sdcpd answers at {url}", err)
            self.assertIn("Start it, or name its address by --url.", err)

        return self.flow(steps)

    def test_tls(self) -> Deferred[None]:
        """Beside TLS the daemon is asked where it speaks plain HTTP; where it does not, the line says what to do."""

        async def steps() -> None:
            self.tell_ports(ssl="0.0.0.0:8443", unix="/run/sdcpd/web", tcp=f"127.0.0.1:{self.port}")
            self.assertEqual((await self.run_tool("list"))[0], 0)
            self.tell_ports(ssl="0.0.0.0:8443", unix="/run/sdcpd/web")
            status, _, err = await self.run_tool("list")
            self.assertEqual((status, err.count("\n")), (1, 1))
            self.assertIn("the daemon has no address in HTTP, only ssl, unix", err)
            self.assertIn("--url https://", err)

        return self.flow(steps)

    def test_everywhere(self) -> Deferred[None]:
        """A daemon that listens on all addresses is asked at this machine's own, in IPv6, too."""

        async def steps() -> None:
            self.tell_ports(tcp=f"0.0.0.0:{self.port}")
            self.assertEqual((await self.run_tool("list"))[0], 0)
            with socket.socket() as nobody:
                nobody.bind(("127.0.0.1", 0))
                port = nobody.getsockname()[1]
                self.tell_ports(tcp6=f":::{port}")
                status, _, err = await self.run_tool("list")
            self.assertEqual(status, 1)
            self.assertIn(f"no sdcpd answers at http://[::1]:{port}: ", err)

        return self.flow(steps)

    def test_nowhere_else(self) -> Deferred[None]:
        """The admin's key goes to nobody but the daemon: neither to a proxy of the environment nor after a redirect."""

        async def steps() -> None:
            asked: list[bytes] = []

            class Elsewhere(Resource):
                isLeaf = True

                def render_GET(self, request: Any) -> bytes:
                    asked.append(request.uri)
                    return redirectTo(f"http://127.0.0.1:{other}/v1/keys".encode(), request)

            other = self.listen(Site(Elsewhere(), reactor=self.reactor))
            status, _, err = await self.run_tool("--url", f"http://127.0.0.1:{other}", "list")
            self.assertEqual((status, asked), (1, [b"/v1/keys"]))
            self.assertIn("answers 302, not as an sdcpd does", err)
            for name in ("http_proxy", "all_proxy"):
                before = os.environ.get(name)
                undo = (os.environ.pop, name) if before is None else (os.environ.__setitem__, name, before)
                self.addCleanup(*undo)
                os.environ[name] = f"http://127.0.0.1:{other}"
            self.assertEqual((await self.run_tool("list"))[0], 0)
            self.assertEqual(len(asked), 1)

        return self.flow(steps)

    def test_usage(self) -> Deferred[None]:
        """A scope that does not exist, or none, is refused with those that do before anything is asked."""

        async def steps() -> None:
            for arguments in (("add", "a"), ("add", "a", "--scope", "root"), ()):
                status, _, err = await self.run_tool(*arguments)
                self.assertEqual(status, 2)
                self.assertIn("usage: sdcp-key", err)

        return self.flow(steps)
