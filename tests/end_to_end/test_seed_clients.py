"""The clients that the seed documents print, against the daemon while a simulated printer prints."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from threading import Timer

import pytest

from sdcpd.simulator.slicing import write_goo
from tests.end_to_end.journey import Journey
from tests.end_to_end.processes import PATIENCE
from tests.end_to_end.requirements import NODE_MODULES, find, needs
from tests.web.test_seed_examples import EXAMPLES

LAYERS = 150
HELD = (5, 40, 80, 120)
"""Layers at which somebody pauses the print, so that it is not over before a client has begun to look."""


@pytest.mark.end_to_end
class SeedClientTests(Journey):
    """Each runs as the document prints it, but for the port, the printer's id and shorter pauses."""

    def setUp(self) -> None:
        super().setUp()
        file = self.directory / "vase.goo"
        write_goo(file, layers=LAYERS, resolution=(5760, 3600), machine="ELEGOO Mars 4 Max")
        self.upload(file)
        self.pause_at(HELD[0])
        self.job = self.start(file.name)
        self.held(HELD[0])
        self.port = str(self.daemon.ports["web"][0]["port"])

    def held(self, layer: int) -> None:
        """Wait until the print is paused at this layer."""
        self.daemon.wait_until(self.slug, lambda p: p["phase"] == "PAUSED" and p["layer"] >= layer)

    def script(self, name: str, *changes: tuple[str, str]) -> Path:
        """An example on the disk, with the port and the id of this test."""
        text = (EXAMPLES / name).read_text(encoding="utf-8")
        for old, new in changes:
            self.assertEqual(text.count(old), 1)
            text = text.replace(old, new)
        path = self.directory / name.removesuffix(".txt")
        path.write_text(text, encoding="utf-8")
        return path

    def first_line_with(self, pattern: str, *command: str, **environment: str) -> re.Match[str]:
        """Run an endless client until it has printed what matches, then end it."""
        shims = f"{self.directory / 'shims'}{os.pathsep}{os.environ['PATH']}"
        with self.client(*command, PATH=shims, **environment) as client:
            assert client.stdout is not None
            said = ""
            for line in client.stdout:
                said += line
                found = re.search(pattern, said)
                if found:
                    client.kill()
                    return found
        raise AssertionError(f"it ended without {pattern!r}; it said:\n{said}")

    def client(self, *command: str, **environment: str) -> subprocess.Popen[str]:
        """A client that runs; it is ended if it goes on for too long."""
        found = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=self.directory,
            env={**os.environ, "NO_PROXY": "*", **environment},
        )
        end = Timer(PATIENCE, found.kill)
        end.start()
        self.addCleanup(end.cancel)
        return found

    def test_python(self) -> None:
        """The Python monitor counts the layers up to the printer's own 'complete', and ends."""
        mainboard_id = self.daemon.get("/v1/printers")[0]["mainboard_id"]
        script = self.script(
            "status.py.txt", ('monitor_print(8080, "ABC123DEF456")', f'monitor_print({self.port}, "{mainboard_id}")')
        )
        (self.directory / "sitecustomize.py").write_text(
            "import time\nwait = time.sleep\ntime.sleep = lambda seconds: wait(seconds / 100)\n"
        )
        layers: list[int] = []
        environment = {"PYTHONPATH": str(self.directory), "PYTHONUNBUFFERED": "1"}
        with self.client(sys.executable, str(script), **environment) as client:
            assert client.stdout is not None
            for layer, following in pairwise((*HELD, LAYERS)):
                self.held(layer)
                while not layers or layers[-1] < layer:
                    layers.append(int(client.stdout.readline().split()[1].split("/")[0]))
                if following < LAYERS:
                    self.pause_at(following)
                self.printers.ask("resume")
            *lines, last = client.stdout.read().splitlines()
        self.assertEqual((last, client.returncode), ("Print complete!", 0))
        layers += [int(line.split()[1].split("/")[0]) for line in lines]
        self.assertEqual(layers, sorted(layers))
        self.assertGreater(len(set(layers)), 3)

    @needs("node")
    def test_javascript(self) -> None:
        """The JavaScript display shows the printer, its state in words, its layers and its file."""
        script = self.script("status.js", ("displayAllPrinters(8080), 5000", f"displayAllPrinters({self.port}), 100"))
        found = self.first_line_with(
            r"Status: (\w+)\s+Progress: (\d+)/(\d+) \(([\d.]+)%\)\s+File: (\S+)",
            find("node") or "node",
            str(script),
            NODE_PATH=NODE_MODULES,
        )
        self.assertEqual((found[1], found[3]), ("Busy", str(LAYERS)))
        self.assertTrue(found[5].startswith("vase_"))

    @needs("bash", "curl", "jq")
    def test_shell(self) -> None:
        """The shell loop shows the same by curl and jq."""
        shims = self.directory / "shims"
        shims.mkdir()
        for name in ("clear", "sleep"):
            (shims / name).write_text("#!/bin/sh\n")
            (shims / name).chmod(0o755)
        script = self.script("status.sh", ("PORT=8080", f"PORT={self.port}"))
        found = self.first_line_with(r"Status: (\d+)\s+Layer: (\d+)/(\d+)\s+File: (\S+)", "bash", str(script))
        self.assertEqual((found[1], found[3]), ("1", str(LAYERS)))
