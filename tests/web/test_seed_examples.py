"""The clients that the seed documents print, run as they stand against a printer that prints.

Adapted at run time are the port, the printer's id, and the pauses, which are as short as the machine allows: the
printer moves on by one step with each answer, so a whole print is seen however fast or slow a client is.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure
from twisted.trial.unittest import SkipTest, SynchronousTestCase
from twisted.web.iweb import IRequest
from twisted.web.resource import IResource, Resource

from sdcpd.codec.status import Status
from sdcpd.web.site import Site
from tests.end_to_end.requirements import NODE_MODULES, find
from tests.web.rig import SATURN, RealCase, Rig, printing

EXAMPLES = Path(__file__).parent / "seed_examples"
CHECKOUT = Path(__file__).parents[2]
SEEDS = CHECKOUT.parent / "shared" / "seeds"
REQUIRED = bool(os.environ.get("SDCPD_REQUIRE_ALL"))

IDLE = Status((0,))
PRINT = (printing(0, 3, number=1), printing(1, 3), printing(2, 3, number=4), printing(3, 3, number=12))
COMPLETE = printing(3, 3, number=16)
CANCELED = printing(2, 3, number=13, current=0)

STUBS = """
const shown = [];
class ListWidget {
  addText(text) { const line = {}; shown.push([text, line]); return line; }
  addSpacer() {}
  presentSmall() { for (const [text, line] of shown) console.log(text + " " + (line.font || "")); }
}
class Color { constructor(hex) { this.hex = hex; } static white() { return "white"; } static gray() { return "gray"; } }
class Font { static boldSystemFont(size) { return "b" + size; } static systemFont(size) { return "s" + size; } }
class Request {
  constructor(url) { this.url = url; }
  async loadJSON() { return await (await fetch(this.url)).json(); }
}
class Script { static setWidget() {} static complete() {} }
"""


def bare(text: str) -> str:
    """A text without its white space."""
    return "".join(text.split())


class VerbatimTests(SynchronousTestCase):
    def test_verbatim(self) -> None:
        """Each example is the document's own, but for the white space that the document lost."""
        documents = list(SEEDS.glob("001_*.txt"))
        if not documents:
            raise SkipTest("the seed documents are not here")
        (document,) = (bare(path.read_text(encoding="utf-8")) for path in documents)
        examples = sorted(path.name for path in EXAMPLES.iterdir())
        self.assertEqual(examples, ["scriptable.js", "status.js", "status.py.txt", "status.sh"])
        for name in examples:
            self.assertIn(bare((EXAMPLES / name).read_text(encoding="utf-8")), document, name)


class Steps(Resource):
    """In front of the real tree: before each answer the printer takes its next step, and stays at the last."""

    isLeaf = True

    def __init__(self, tree: IResource, rig: Rig, statuses: tuple[Status, ...]) -> None:
        super().__init__()
        self._tree = tree
        self._rig = rig
        self._left = list(statuses)
        self.answers = 0
        self.over: Deferred[None] = Deferred()
        """Fires when a client comes back after it has seen the last step."""

    def render(self, request: IRequest) -> Any:
        if self._left:
            self._rig.publish(self._left.pop(0))
        elif not self.over.called:
            self.over.callback(None)
        self.answers += 1
        return self._tree.render(request)


class Child(ProcessProtocol):
    """A client's process: what it prints."""

    transport: Any

    def __init__(self) -> None:
        self.ended: Deferred[str] = Deferred()
        self._out = b""

    def outReceived(self, data: bytes) -> None:
        self._out += data

    errReceived = outReceived

    def processEnded(self, reason: Failure) -> None:  # noqa: N802 (Twisted)
        self.ended.callback(self._out.decode())

    def kill(self) -> None:
        if self.transport.pid is not None:
            self.transport.signalProcess("KILL")


def program(name: str) -> str:
    """Where a program is; without it the test is skipped, unless everything is required."""
    found = find(name)
    if found is None:
        if REQUIRED:
            raise AssertionError(f"{name} is not installed")
        raise SkipTest(f"{name} is not installed")
    return found


class ExampleCase(RealCase):
    def setUp(self) -> None:
        super().setUp()
        self.rig = Rig(self.directory)
        self.shims = self.directory / "shims"
        self.shims.mkdir()

    def printer(self, *statuses: Status) -> None:
        """A server in front of a printer that takes these steps."""
        self.rig.announce()
        self.rig.connect()
        self.serve(*statuses)

    def serve(self, *statuses: Status) -> None:
        self.steps = Steps(self.rig.web.resource(), self.rig, statuses)
        self.port = self.listen(Site(self.steps, lambda method, path: False, self.rig.clock))

    def example(self, name: str, changes: Mapping[str, str]) -> str:
        """An example with the port and the id of this test in it."""
        text = (EXAMPLES / name).read_text(encoding="utf-8")
        for old, new in changes.items():
            self.assertEqual(text.count(old), 1)
            text = text.replace(old, new)
        return text

    def run_child(self, command: list[str], environment: Mapping[str, str]) -> Child:
        child = Child()
        shims = f"{self.shims.absolute()}{os.pathsep}{os.environ['PATH']}"
        everything = {**os.environ, "PATH": shims, "NO_PROXY": "*", "no_proxy": "*", **environment}
        self.reactor.spawnProcess(child, command[0], command, everything, str(self.directory))
        self.addCleanup(self.ended, child)
        return child

    def ended(self, child: Child) -> Deferred[str]:
        child.kill()
        return child.ended

    async def until_over(self, child: Child) -> str:
        """What an endless client prints until it has seen the last step."""
        await self.steps.over
        child.kill()
        return await child.ended


class PythonTests(ExampleCase):
    """The Python example, with requests."""

    async def output(self) -> str:
        changes = {'monitor_print(8080, "ABC123DEF456")': f'monitor_print({self.port}, "{SATURN}")'}
        # Python has no PATH in which ``sleep`` could be replaced; this is its way of the same.
        (self.shims / "sitecustomize.py").write_text("import time\ntime.sleep = lambda seconds: None\n")
        script = self.directory / "status.py"
        script.write_text(self.example("status.py.txt", changes))
        environment = {"PYTHONPATH": str(self.shims.absolute()), "PYTHONUNBUFFERED": "1"}
        return await self.run_child([sys.executable, "status.py"], environment).ended

    async def test_complete(self) -> None:
        """The monitor counts the layers and ends with the print."""
        self.printer(*PRINT, COMPLETE)
        layers = "Layer 0/3 (0.0%)\nLayer 1/3 (33.3%)\nLayer 2/3 (66.7%)\nLayer 3/3 (100.0%)\n"
        self.assertEqual(await self.output(), f"{layers}Print complete!\n")
        self.assertEqual(self.steps.answers, 5)

    async def test_canceled(self) -> None:
        """The monitor says that the print was canceled."""
        self.printer(*PRINT[:2], CANCELED)
        self.assertEqual(await self.output(), "Layer 0/3 (0.0%)\nLayer 1/3 (33.3%)\nPrint canceled\n")

    async def test_not_found(self) -> None:
        """The monitor says that its printer is not there, but another."""
        self.rig.announce("OTHER", "Mars 4")
        self.serve()
        self.assertEqual(await self.output(), f"Printer {SATURN} not found\n")


class NodeCase(ExampleCase):
    """With Node, which gives each address of ``localhost`` but the last 250 ms: on a busy machine that is too short."""

    def node(self, name: str, preload: str = "") -> list[str]:
        """The command for a script; ``preload`` comes before it."""
        (self.shims / "first.js").write_text(
            f'require("net").setDefaultAutoSelectFamilyAttemptTimeout?.(250_000);\n{preload}'
        )
        return [program("node"), "--require", str((self.shims / "first.js").absolute()), name]


class NodeTests(NodeCase):
    """The JavaScript example, with axios."""

    async def output(self) -> str:
        if not (Path(NODE_MODULES) / "axios").is_dir():
            if REQUIRED:
                raise AssertionError(f"axios is not in {NODE_MODULES}")
            raise SkipTest("axios is not installed: make node")
        fast = (
            "const given = setInterval;\n"
            "globalThis.setInterval = (call) => { let last = Promise.resolve();"
            " return given(() => { last = last.then(call); }, 20); };\n"
        )
        script = self.directory / "status.js"
        script.write_text(self.example("status.js", {"displayAllPrinters(8080)": f"displayAllPrinters({self.port})"}))
        return await self.until_over(self.run_child(self.node("status.js", fast), {"NODE_PATH": NODE_MODULES}))

    async def test_display(self) -> None:
        """The display shows the name, the state in words, the progress and the file."""
        self.printer(IDLE, *PRINT, Status((2,)), COMPLETE)
        shown = re.sub(r"\n+", "\n", await self.output()).strip().split(f"Saturn 3 Ultra ({SATURN})\n")[1:]
        expected = ["  Status: Ready\n"]
        for layer, percent in ((0, "0.0"), (1, "33.3"), (2, "66.7"), (3, "100.0")):
            expected.append(f"  Status: Busy\n  Progress: {layer}/3 ({percent}%)\n  File: plate.goo\n")
        expected.append("  Status: Transferring File\n")
        self.assertEqual(shown[:6], expected)


class ShellTests(ExampleCase):
    """The shell example, with curl and jq."""

    async def output(self) -> str:
        bash = program("bash")
        for name in ("curl", "jq"):
            program(name)
        for name in ("clear", "sleep"):
            shim = self.shims / name
            shim.write_text("#!/bin/sh\n")
            shim.chmod(0o755)
        (self.directory / "status.sh").write_text(self.example("status.sh", {"PORT=8080": f"PORT={self.port}"}))
        return await self.until_over(self.run_child([bash, "status.sh"], {}))

    async def test_display(self) -> None:
        """The display shows the name, the state as a number, the layers and the file."""
        self.printer(IDLE, *PRINT, COMPLETE)
        shown = (await self.output()).split("=== Printer Status ===\n\n")[1:]
        expected = [
            f"Saturn 3 Ultra ({SATURN})\n  Status: {status.current[0]}\n"
            f"  Layer: {status.print.current_layer}/{status.print.total_layer}\n  File: {status.print.filename}\n\n"
            for status in (IDLE, *PRINT, COMPLETE)
        ]
        self.assertEqual(shown[: len(expected)], expected)

    async def test_nobody(self) -> None:
        """Without printers nothing is shown, and nothing fails."""
        self.serve()
        self.assertEqual(set((await self.output()).split("\n")) - {""}, {"=== Printer Status ==="})


class ScriptableTests(NodeCase):
    """The widget, with a stand-in for what the Scriptable app gives to scripts."""

    async def output(self) -> list[str]:
        url = f"http://localhost:{self.port}/status"
        script = self.directory / "widget.mjs"
        script.write_text(STUBS + self.example("scriptable.js", {"http://your-server:8080/status": url}))
        return (await self.run_child(self.node("widget.mjs"), {}).ended).splitlines()

    async def test_printing(self) -> None:
        """The widget shows the name, the percentage, the layers and the file."""
        self.printer(PRINT[1])
        self.assertEqual(await self.output(), ["Saturn 3 Ultra b16", "33.3% b24", "Layer 1/3 s12", "plate.goo s10"])

    async def test_idle(self) -> None:
        """An idle printer is ready."""
        self.printer(IDLE)
        self.assertEqual(await self.output(), ["Saturn 3 Ultra b16", "Ready s14"])

    async def test_nobody(self) -> None:
        """Without printers the widget says so."""
        self.serve()
        self.assertEqual(await self.output(), ["No printers connected "])

    async def test_off(self) -> None:
        """With the status page off the widget shows an error and not an empty screen."""
        self.rig = Rig(self.directory, '[status]\nmode = "off"')
        self.printer(IDLE)
        (line,) = await self.output()
        self.assertTrue(line.startswith("Error: "))
