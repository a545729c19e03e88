from __future__ import annotations

import io
import json
import os
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThreadPool
from twisted.python.threadpool import ThreadPool
from twisted.web.resource import Resource
from twisted.web.server import Site
from twisted.web.util import redirectTo

from sdcpd.keytool import main
from tests.web.rig import SATURN, RealCase, Rig


class KeyToolTests(RealCase):
    """The tool as a process would run it, against a real port."""

    def setUp(self) -> None:
        super().setUp()
        self.rig = Rig(self.directory, clock=self.reactor)
        self.rig.announce()
        self.port = self.listen(self.rig.site)
        self.file = self.directory / "admin.key"
        self.file.write_text(f"{self.rig.admin}\n")
        ports = {"web": [{"address": f"127.0.0.1:{self.port}", "port": self.port}]}
        (self.directory / "ports.json").write_text(json.dumps(ports))
        self.pool = ThreadPool(1, 1)
        self.pool.start()
        self.addCleanup(self.pool.stop)

    async def run_tool(self, *arguments: str, file: Path | None = None) -> tuple[int, str, str]:
        """Exit status, standard output and standard error."""

        def run() -> tuple[int, str, str]:
            out, err = io.StringIO(), io.StringIO()
            with redirect_stdout(out), redirect_stderr(err):
                try:
                    status = main(["--key-file", str(file or self.file), *arguments])
                except SystemExit as end:
                    status = int(end.code or 0)
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
            closed = self.reactor.listenTCP(0, self.rig.site, interface="127.0.0.1")
            url = f"http://127.0.0.1:{closed.getHost().port}"
            await closed.stopListening()
            status, _, err = await self.run_tool("--url", url, "list")
            self.assertEqual((status, err.count("\n")), (1, 1))
            self.assertIn(f"no sdcpd answers at {url}", err)
            self.assertIn("Start it, or name its address by --url.", err)

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
                self.addCleanup(os.environ.update, {name: os.environ.get(name, "")})
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
