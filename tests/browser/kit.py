"""A real browser before a real daemon with two simulated printers, for the tests of the page.

One decision: whatever a test is about, the page must run without a fault, obey its own policy and ask nobody but the
daemon; so every page that is opened is listened to, and the test fails if it did otherwise.
"""

from __future__ import annotations

import atexit
import json
import re
import tempfile
from pathlib import Path
from typing import Any, ClassVar

from playwright.sync_api import Browser, Locator, Page, ViewportSize, expect, sync_playwright
from twisted.trial.unittest import SynchronousTestCase

from sdcpd.simulator.slicing import Recipe, slice_goo
from sdcpd.simulator.slicing.model import Vase
from tests.end_to_end.processes import Daemon, HeldPort, Printers

__all__ = ["HOSTILE", "PHONE", "BrowserCase", "browser"]

PATIENCE = 90_000
"""Milliseconds after which what should be seen counts as missing."""
PHONE = ViewportSize(width=360, height=780)
DESK = ViewportSize(width=1280, height=900)
PROFILES = ["MARS4MAX-1.0.0:Left", "S3U-1.5.4:Right"]
SPEED = (
    "--scale",
    "60",
    "--rate",
    "60000",
    "--layer-time",
    "30",
    "--bottom-layer-time",
    "30",
    "--completed-screen",
    "30",
)
"""A layer takes half a second: a print of 400 is never over while somebody does something on the page."""
HOSTILE = "<img src=x onerror=alert(1)>\u202egnp.\"'&lt;</script>"
LONG = "a" * 100 + " \u05d0\u05d1 " + "W" * 196
AWAY = f"""
[printers.evil]
mainboard_id = "00EE00EE00EE00EE"
name = {json.dumps(HOSTILE)}
[printers.long]
mainboard_id = "00EE00EE00EE00EF"
name = {json.dumps(LONG)}
"""
"""Printers that are configured and never seen, with names that somebody may have meant badly."""
_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
_WATCH = """
window.violations = [];
addEventListener("securitypolicyviolation", (event) => violations.push(event.violatedDirective + event.blockedURI));
"""
_started: list[Browser] = []


def browser() -> Browser:
    """The one browser of all tests; it ends with the process."""
    if not _started:
        driver = sync_playwright().start()
        _started.append(driver.chromium.launch(executable_path="/usr/bin/chromium", args=_ARGUMENTS, timeout=PATIENCE))
        atexit.register(driver.stop)
        atexit.register(_started[0].close)
    return _started[0]


class Farm:
    """The two printers, a daemon that knows them and two more that are away, and a file for the one on the left."""

    def __init__(self) -> None:
        self._room = tempfile.TemporaryDirectory(prefix="sdcpd-")
        self.directory = Path(self._room.name)
        self.printers = Printers(self.directory, PROFILES, *SPEED)
        self._port = HeldPort()  # after a restart the page must find the daemon again
        self.daemon = Daemon(self.directory, self.printers.targets, web=self._port.endpoint, more=AWAY)

    def stop(self) -> None:
        """End the processes."""
        self.daemon.server.stop()
        self.printers.stop()
        self._port.close()
        self._room.cleanup()


_farms: list[Farm] = []


def farm() -> Farm:
    """The one farm of all tests; it ends with the process."""
    if not _farms:
        _farms.append(Farm())
        atexit.register(_farms[0].stop)
    return _farms[0]


class BrowserCase(SynchronousTestCase):
    """The farm, with both printers idle and their plates clear, and a page of its own for each test."""

    directory: ClassVar[Path]
    printers: ClassVar[Printers]
    daemon: ClassVar[Daemon]
    file: ClassVar[Path]

    @classmethod
    def setUpClass(cls) -> None:
        shared = farm()
        cls.directory, cls.printers, cls.daemon = shared.directory, shared.printers, shared.daemon
        cls.file = cls.slice("vase.goo")

    @classmethod
    def slice(cls, name: str, layers: int = 30, resolution: tuple[int, int] = (5760, 3600)) -> Path:
        """A small real file for the printer on the left."""
        recipe = Recipe(machine="ELEGOO Mars 4 Max", resolution=resolution, bed=(195.84, 122.4, 150.0))
        return slice_goo(cls.directory / name, Vase(radius=25, height=layers * recipe.layer_height), recipe)

    def setUp(self) -> None:
        self.faults: list[str] = []
        # Whatever an earlier test has left, also one that failed half-way or ended the daemon.
        if self.daemon.server.process.poll() is not None:
            self.daemon.restart(kill=True)
        self.daemon.wait_for_printers(2)
        for slug in ("left", "right"):
            self.printers.ask("clear", slug.title())
            self.be_idle(slug)

    def open(self, path: str = "", *, key: str = "", **options: Any) -> Page:
        """The page in a browser that has never seen it; with this key in its storage."""
        options = {"viewport": DESK, **options}
        context = browser().new_context(**options)
        context.set_default_timeout(PATIENCE)
        self.addCleanup(context.close)
        context.add_init_script(_WATCH)
        if key:
            context.add_init_script(
                f"localStorage.getItem('tried') || localStorage.setItem('sdcpd.key', {json.dumps(key)})"
            )
            context.add_init_script("localStorage.setItem('tried', '1')")
        page = context.new_page()
        page.on("pageerror", lambda error: self.faults.append(f"error: {error}"))
        page.on("dialog", lambda dialog: self.faults.append(f"dialog: {dialog.message}"))
        page.on("console", self._said)
        page.on("request", self._asked)
        self.page = page
        self.addCleanup(self._judge)
        page.goto(f"{self.daemon.url}/{path}")
        if key:
            self.see(page.locator("#tools [data-used]"))  # by now the page knows whose key it has
        return page

    def _said(self, message: Any) -> None:
        # A refusal by the daemon, or its absence, is told by the browser as an error of its own.
        if message.type in ("error", "warning") and "Failed to load resource" not in message.text:
            self.faults.append(f"{message.type}: {message.text}")

    def _asked(self, request: Any) -> None:
        if not request.url.startswith((f"{self.daemon.url}/", f"blob:{self.daemon.url}/")):
            self.faults.append(f"asked elsewhere: {request.url}")

    def _judge(self) -> None:
        violations = self.page.evaluate("violations") if not self.page.is_closed() else []
        self.assertEqual([*self.faults, *violations], [])

    # -- what tests look for -----------------------------------------------------------------------------------

    def button(self, name: str, where: Page | Locator | None = None) -> Locator:
        """The visible button of this name."""
        return (where or self.page).get_by_role("button", name=name, exact=True)

    def card(self, name: str) -> Locator:
        """A printer among all."""
        return self.page.locator("li.card", has=self.page.get_by_role("heading", name=name, exact=True))

    def enter_key(self, key: str) -> None:
        """Answer the question for a key."""
        dialog = self.page.get_by_role("dialog", name="Key")
        dialog.get_by_label("key", exact=False).first.fill(key)
        self.button("Use this key", dialog).click()

    def key(self, *scopes: str, name: str) -> str:
        """A new key, made by the admin."""
        status, made = self.daemon.request("POST", "/v1/keys", {"name": name, "scopes": scopes})
        self.assertEqual(status, 201, made)
        return str(made["secret"])

    def start(self, slug: str, name: str) -> None:
        """Ask for a print as a script would, with the plate confirmed."""
        wish = {"file": name, "plate_clear": True}
        status, answer = self.daemon.request("POST", f"/v1/printers/{slug}/print", wish)
        self.assertEqual(status, 202, answer)

    def be_idle(self, slug: str) -> None:
        """Let nothing wait for a printer, whatever is on it end, and its plate be clear."""
        base = f"/v1/printers/{slug}"
        for job in self.daemon.get(f"{base}/queue"):
            self.daemon.request("DELETE", f"/v1/jobs/{job['id']}")
        for _ in self.daemon.updates():
            document = self.daemon.get(base)
            if document["phase"] == "IDLE" and (not document["job"] or document["job"]["ended"]):
                break
            self.daemon.request("POST", f"{base}/stop")  # which is refused while it is beginning or ending
        status, answer = self.daemon.request(
            "POST", f"{base}/plate", {"clear": True, "revision": document["plate"]["revision"]}
        )
        self.assertEqual(status, 200, answer)

    @staticmethod
    def see(found: Locator, text: str | re.Pattern[str] | None = None) -> None:
        """It is there, or will be soon, with this text in it."""
        if text is None:
            expect(found).to_be_visible(timeout=PATIENCE)
        else:
            expect(found).to_contain_text(text, timeout=PATIENCE)

    @staticmethod
    def gone(found: Locator) -> None:
        """It is not there, or not for long."""
        expect(found).to_be_hidden(timeout=PATIENCE)

    @staticmethod
    def none(found: Locator) -> None:
        """There is none of these, or not for long."""
        expect(found).to_have_count(0, timeout=PATIENCE)
