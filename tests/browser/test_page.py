"""The page in a real browser: what a person sees and does, from the first look to a print's end."""

from __future__ import annotations

import base64
import os
import re
from pathlib import Path

import pytest

pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")

from playwright.sync_api import Route

from tests.browser.kit import HOSTILE, PATIENCE, PHONE, BrowserCase
from tests.end_to_end.requirements import needs

pytestmark = [pytest.mark.end_to_end, needs("chromium")]
AXE = Path(__file__).parents[2] / "build" / "node" / "node_modules" / "axe-core" / "axe.min.js"


_BAG = """([name, bytes]) => {
  const bag = new DataTransfer();
  bag.items.add(new File([Uint8Array.from(atob(bytes), (letter) => letter.charCodeAt(0))], name));
  return bag;
}"""
_HIDE = """hidden => {
  Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
  document.dispatchEvent(new Event("visibilitychange"));
}"""


class PrintingTests(BrowserCase):
    """A file on its way, by hand."""

    def test_whole_way(self) -> None:
        """A file is chosen, judged, sent to a printer, watched to its end; then its plate is asked for and cleared."""
        self.printers.ask("inject", "Left", fault="screen-pause", layer=25)  # until somebody has looked
        page = self.open("#/files")
        with page.expect_file_chooser() as chooser:
            self.button("Choose files").click()
            self.enter_key(self.daemon.key)
        chooser.value.set_files(self.file)
        line = page.get_by_role("list", name="Uploads").get_by_role("listitem")
        self.see(line, "Stored, ")
        self.see(line, "30 layers")
        self.button("Print on ...", line).click()
        dialog = page.get_by_role("dialog", name="Print")
        dialog.get_by_label("Printer").select_option("left")
        dialog.get_by_label("I have looked").check()
        self.button("Print now", dialog).click()
        self.gone(dialog)

        page.get_by_role("link", name="Printers").click()
        card = self.card("Left")
        self.see(card, re.compile("Printing|Paused"))
        self.see(card, "vase.goo")
        card.get_by_role("link", name="Left").click()
        self.see(page.get_by_role("heading", level=1), "Left")
        self.see(page.locator(".where"), "printed now")
        self.see(page.locator(".pane.large img.loaded[data-kind=layer]"))
        self.button("Go on").click()
        self.see(page.locator(".panel .state"), "Plate to clear")
        self.see(page.get_by_role("region", name="History"), "Finished")
        self.see(page.get_by_role("region", name="Layer time"), "Usually")

        self.button("Print a file").click()
        dialog = page.get_by_role("dialog", name="Print")
        self.button("Print now", dialog).click()
        self.see(dialog.get_by_role("alert"), "a print may still be on its plate; nothing was started")
        self.button("Cancel", dialog).click()
        self.button("Plate is clear").click()
        self.see(page.locator(".panel .state"), "Ready")
        self.assertEqual(self.daemon.get("/v1/printers/left")["plate"]["by"], "key:admin")

    def test_stop(self) -> None:
        """Stop asks first, by the names of the printer and the file; only who says yes stops the print."""
        self.daemon.put("/v1/files/tall.goo", self.slice("tall.goo", 400))
        self.start("left", "tall.goo")
        self.daemon.wait_until("left", lambda p: p["phase"] == "PRINTING")
        page = self.open("#/printers/left", key=self.daemon.key)
        self.button("Stop").click()
        dialog = page.get_by_role("dialog", name="Stop this print?")
        self.see(dialog, "Left is printing tall.goo, layer ")
        self.button("Cancel", dialog).click()
        self.assertEqual(self.daemon.get("/v1/printers/left")["phase"], "PRINTING")
        self.button("Pause").click()
        self.see(page.locator(".panel .state"), "Paused")
        self.button("Go on").click()
        self.see(page.locator(".panel .state"), "Printing")
        self.none(page.locator("[aria-busy]"))  # the board has acknowledged it
        self.button("Stop").press("Enter")
        self.button("Stop the print").click()
        self.see(self.button("Plate is clear"))
        self.see(page.get_by_role("region", name="History").get_by_role("listitem").first, "Stopped")

    def test_slider(self) -> None:
        """Any layer of the file can be looked at while it is printed, by the keys of the keyboard, too."""
        self.daemon.put("/v1/files/tall.goo", self.slice("tall.goo", 400))
        self.start("left", "tall.goo")
        page = self.open("#/printers/left")
        self.see(page.locator(".where"), "printed now")
        slider = page.get_by_role("slider", name="Layer")
        slider.press("End")
        self.see(page.locator(".where"), "Layer 400 of 400")
        self.see(page.locator(".about"), "20 mm")
        slider.press("ArrowLeft")
        self.see(page.locator(".where"), "Layer 399 of 400")
        self.button("Follow the print").click()
        self.see(page.locator(".where"), "printed now")

    def test_refused_upload(self) -> None:
        """A file for another machine is refused at once, with what was expected and what was found."""
        page = self.open("#/files", key=self.daemon.key)
        page.get_by_label("For", exact=True).select_option("right")
        with page.expect_file_chooser() as chooser:
            self.button("Choose files").click()
        chooser.value.set_files(self.file)
        line = page.get_by_role("list", name="Uploads").get_by_role("listitem")
        self.see(line, "Refused.")
        self.see(line, "Expected: ")
        self.see(line, "It suits: ")
        self.see(line.locator("bdi", has_text="Left"))

    def test_dropped(self) -> None:
        """A file that is dropped on the page is stored, comes back as it was, and is deleted after a question."""
        name = "100% #1?.goo"
        page = self.open("#/printers/right", key=self.daemon.key)
        bag = page.evaluate_handle(_BAG, [name, base64.b64encode(self.slice("dropped.goo", 31).read_bytes()).decode()])
        page.dispatch_event("main", "dragover", {"dataTransfer": bag})
        self.see(page.locator("html[data-drop]"))
        page.dispatch_event("main", "drop", {"dataTransfer": bag})
        self.none(page.locator("html[data-drop]"))
        self.see(page.get_by_role("list", name="Uploads").get_by_role("listitem"), "Stored, ")
        card = page.locator("li.file-card", has=page.get_by_role("heading", name=name, exact=True))
        card.locator("summary").click()
        with page.expect_download() as download:
            card.get_by_role("link", name="Download").click()
        self.assertEqual(Path(download.value.path()).read_bytes(), (self.directory / "dropped.goo").read_bytes())
        self.button(f"Delete {name}", card).click()
        self.see(page.get_by_role("dialog", name="Delete this file?"), name)
        self.button("Delete the file").click()
        self.none(card)
        self.assertNotIn(name, [file["name"] for file in self.daemon.get("/v1/files")])

    def test_key_late(self) -> None:
        """A file that was chosen before the key was asked for is sent when the key is there."""
        page = self.open("#/files")
        page.locator("input[type=file]").set_input_files(self.slice("late.goo", 31))
        self.enter_key(self.daemon.key)
        self.see(page.get_by_role("list", name="Uploads").get_by_role("listitem"), "Stored, ")
        self.daemon.request("DELETE", "/v1/files/late.goo")

    def test_queue(self) -> None:
        """Files wait in an order that the keyboard changes; one that is removed is asked about, and stays stored."""
        self.daemon.put("/v1/files/tall.goo", self.slice("tall.goo", 400))
        self.start("left", "tall.goo")
        self.daemon.wait_until("left", lambda p: p["phase"] == "PRINTING")
        for name in ("one.goo", "two.goo"):
            self.daemon.put(f"/v1/files/{name}", self.file)
            status, answer = self.daemon.request("POST", "/v1/printers/left/queue", {"file": name})
            self.assertEqual(status, 202, answer)
        page = self.open("#/printers/left", key=self.daemon.key)
        rows = page.get_by_role("region", name="Queue").get_by_role("listitem")
        self.see(rows.first, "one.goo")
        self.button("Earlier: two.goo").press("Enter")
        self.see(rows.first, "two.goo")
        self.assertEqual([job["file"] for job in self.daemon.get("/v1/printers/left/queue")], ["two.goo", "one.goo"])
        self.button("Remove one.goo").click()
        dialog = page.get_by_role("dialog")
        self.see(dialog, "one.goo is taken out of the queue.")
        self.button("Remove", dialog).click()
        self.gone(rows.filter(has_text="one.goo"))
        self.assertIn("one.goo", [file["name"] for file in self.daemon.get("/v1/files")])


class LookingTests(BrowserCase):
    """What is shown, and to whom."""

    def test_first_answer(self) -> None:
        """The printers are there in the first answer, without any script; all of the page is under 100 KB."""
        page = self.open(java_script_enabled=False)
        self.see(self.card("Right"), "Ready")
        page = self.open()
        sizes = {}
        page.on("response", lambda answer: sizes.update({answer.url: answer}))
        page.reload()
        self.see(self.card("Right"), "Ready")
        page.wait_for_load_state("load")
        own = {url: len(answer.body()) for url, answer in [*sizes.items()] if re.search(r"/($|page/)", url)}
        self.assertGreater(len(own), 10)
        self.assertLess(sum(own.values()), 100_000, own)

    def test_key(self) -> None:
        """Who comes without a key may look; an action asks for one, says if it is wrong, keeps it, forgets it."""
        page = self.open("#/printers/left")
        self.button("Print a file").click()
        self.enter_key("sdcpd_00000000_" + "a" * 32)
        dialog = page.get_by_role("dialog", name="Key")
        self.see(dialog.get_by_role("alert"), "not valid")
        self.enter_key(self.daemon.key)
        self.gone(dialog)
        self.button("Cancel", page.get_by_role("dialog", name="Print")).or_(self.button("Close")).click()
        page.reload()
        self.button("Key: admin").click()
        self.see(page.get_by_role("dialog", name="Key"), "view, upload, queue, control, plate, admin")
        self.button("Forget the key").click()
        self.see(self.button("Enter a key"))
        self.assertEqual(page.evaluate("localStorage.getItem('sdcpd.key')"), None)

    def test_key_in_time(self) -> None:
        """Who is quicker than the daemon's word about the key in this browser is not asked for one."""
        page = self.open("#/printers/left", key=self.daemon.key)
        waiting: list[Route] = []
        page.route("**/v1/me", lambda route: waiting.append(route))
        with page.expect_request("**/v1/me", timeout=PATIENCE):
            page.reload()
        self.see(self.button("Enter a key"))
        self.button("Something is on the plate").click()
        self.see(page.locator(".panel .state"), "Plate to clear")
        self.none(page.get_by_role("dialog"))
        for route in waiting:
            route.continue_()
        self.see(self.button("Key: admin"))

    def test_scopes(self) -> None:
        """A key that may not do a thing shows it all the same, switched off, with the reason."""
        page = self.open("#/printers/left", key=self.key("queue", name="queuer"))
        print_button = self.button("Print a file")
        self.see(print_button)
        reason = "The key queuer may not do this: it lacks the scope control."
        self.see(page.locator(f'.controls button.primary[aria-disabled=true][title="{reason}"]:not([hidden])'))
        print_button.click(force=True)
        self.see(page.get_by_role("alert"), "lacks the scope control")
        self.assertIsNone(self.button("Add a file").get_attribute("aria-disabled"))

    def test_revoked(self) -> None:
        """A key that is revoked while the page is open is told so, and nothing old is shown as if it were new."""
        page = self.open(key=self.key("view", name="guest"))
        self.see(self.card("Right"), "Ready")
        self.daemon.request("DELETE", "/v1/keys/guest")
        self.see(page.locator("#banner"), "not valid")
        self.gone(self.card("Right"))
        page.locator("#banner").get_by_role("button", name="Enter a key").click()
        self.button("Forget the key").click()
        self.see(self.card("Right"), "Ready")
        self.gone(page.locator("#banner"))

    def test_hostile_names(self) -> None:
        """Names that are markup, run from right to left or have 300 characters are text and widen nothing."""
        name = "<b>x & y<b> " + "W" * 180 + ".goo"
        self.assertEqual(self.daemon.put(f"/v1/files/{name}", self.file)[0], 201)
        page = self.open(viewport=PHONE)
        self.see(page.get_by_text(HOSTILE, exact=True))
        for path in ("", "#/printers/evil", "#/printers/long", "#/files"):
            page.goto(f"{self.daemon.url}/{path}")
            page.wait_for_timeout(100)
            self.assertLessEqual(page.evaluate("document.documentElement.scrollWidth"), 360, path)
            self.assertEqual(page.locator("img[src=x], main b").count(), 0)
        self.see(page.get_by_role("heading", name=name))

    def test_not_stored(self) -> None:
        """Of a print from the printer's own storage no picture is asked for, and the page says why there is none."""
        self.printers.ask("put-file", path=str(self.slice("own.goo", 400)), name="own.goo")
        self.printers.ask("start", name="own.goo")
        self.daemon.wait_until("left", lambda p: p["phase"] == "PRINTING")
        page = self.open(viewport=PHONE)
        pictures: list[str] = []
        page.on("request", lambda request: pictures.extend([request.url] if ".png" in request.url else []))
        self.see(self.card("Left"), "own.goo")
        self.card("Left").get_by_role("link").click()
        self.see(page.locator(".pane.large"), "not stored here")
        self.see(page.locator(".where"), "printed now")
        self.be_idle("left")
        self.see(page.locator(".panel .state"), "Ready")
        self.assertEqual(pictures, [])

    def test_back(self) -> None:
        """The back button and a bookmark lead where they should."""
        page = self.open()
        self.card("Right").get_by_role("link").click()
        self.see(page.get_by_role("heading", level=1), "Right")
        page.reload()
        self.see(page.get_by_role("heading", level=1), "Right")
        page.go_back()
        self.see(self.card("Right"))

    @pytest.mark.skipif(not AXE.exists() and not os.environ.get("SDCPD_REQUIRE_ALL"), reason="make node installs axe")
    def test_accessible(self) -> None:
        """No view has a serious fault for who uses a screen reader, a keyboard or weak eyes, in dark and in light."""
        axe = AXE.read_text(encoding="utf-8")
        self.daemon.put("/v1/files/vase.goo", self.file)
        self.start("left", "vase.goo")
        for scheme in ("dark", "light"):
            page = self.open(key=self.daemon.key, color_scheme=scheme, reduced_motion="reduce", bypass_csp=True)
            for path in ("", "#/printers/left", "#/files", "key"):
                if path == "key":
                    self.button("Key: admin").click()
                else:
                    page.goto(f"{self.daemon.url}/{path}")
                    self.see(page.get_by_role("heading", level=1))
                    page.wait_for_timeout(400)
                page.evaluate(axe)
                found = page.evaluate("axe.run()")
                bad = [
                    f"{fault['id']} ({fault['impact']}): {[node['html'] for node in fault['nodes']]}"
                    for fault in found["violations"]
                    if fault["impact"] in ("serious", "critical")
                ]
                self.assertEqual(bad, [], (scheme, path))


class LosingTests(BrowserCase):
    """A daemon that goes away and comes back."""

    def test_restart(self) -> None:
        """While the daemon is away the page says so and how old it is, offers nothing, and goes on by itself."""
        page = self.open("#/printers/left", key=self.daemon.key)
        self.see(page.locator(".age"), "live")
        self.daemon.server.kill()
        banner = page.locator("#banner")
        self.see(banner, "No connection to sdcpd. What you see is from ")
        self.see(page.locator(".age"), "as of ")
        self.see(page.locator(".controls [aria-disabled=true]", has_text="Print a file"))
        with page.expect_request("**/v1/updates?*", timeout=PATIENCE):
            self.button("Try now").click()
        self.see(banner, "No connection to sdcpd.")
        self.daemon.restart(kill=True)
        # By now the page may have gone on by itself, and the button be hidden.
        page.locator("#banner button", has_text="Try now").dispatch_event("click")
        self.gone(banner)
        self.see(page.locator(".age"), "live")
        self.none(page.locator(".controls [aria-disabled]"))

    def test_network(self) -> None:
        """A phone that has lost its network says so, and has the present as soon as it is back."""
        page = self.open(viewport=PHONE)
        self.see(self.card("Left"), "live")
        page.context.set_offline(True)
        self.see(page.locator("#banner"), "No connection")
        self.see(self.card("Left"), "as of ")
        page.context.set_offline(False)
        self.gone(page.locator("#banner"))
        self.see(self.card("Left"), "live")

    def test_sleep(self) -> None:
        """A page that nobody sees asks nothing; when somebody looks again it has the present at once."""
        page = self.open()
        card = self.card("Right")
        self.see(card, "live")
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.evaluate(_HIDE, True)
        self._say_plate(False)
        page.wait_for_timeout(1500)
        before = len(asked)
        self._say_plate(True)
        self._say_plate(False)
        page.wait_for_timeout(500)
        self.assertEqual(asked[before:], [])
        page.evaluate(_HIDE, False)
        self.see(card, "Plate to clear")
        self.see(card, "live")
        self._say_plate(True)
        self.see(card, "Ready")

    def _say_plate(self, clear: bool) -> None:
        base = "/v1/printers/right"
        revision = self.daemon.get(base)["plate"]["revision"]
        status, answer = self.daemon.request("POST", f"{base}/plate", {"clear": clear, "revision": revision})
        self.assertEqual(status, 200, answer)
