"""The page at ``/``: what its first answer holds, for whom, and how its parts are served."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from typing import Any

from sdcpd.codec.status import Status
from sdcpd.config import parse
from sdcpd.web.front import DIRECTORY, parts_in
from tests.web.rig import MARS, SATURN, Reply, WebCase, printing

STRANGER = "203.0.113.5"
HOSTILE = "</script><script>alert(1)</script>{{state}}<!--\u202egnp.\"'&"


class Page(HTMLParser):
    """As much of a browser as reads the page: elements, their attributes, the text in them."""

    def __init__(self, reply: Reply) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.data = ""
        self._in: list[str] = []
        self.feed(reply.body.decode("utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._in.append(tag)

    def handle_endtag(self, tag: str) -> None:
        while self._in and self._in.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        if self._in[-1:] == ["script"]:
            self.data += data
        elif data.strip():
            self.texts.append(data.strip())

    @property
    def state(self) -> Any:
        return json.loads(self.data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for found, attributes in self.elements if found == tag]


class PageTests(WebCase):
    """The first answer."""

    def page(self, **more: Any) -> Page:
        reply = self.rig.get("/", **more)
        self.assertEqual((reply.status, reply.headers["content-type"]), (200, "text/html; charset=utf-8"))
        return Page(reply)

    def test_without_script(self) -> None:
        """Who runs no script still reads name, state, file and layer of each printer, the one that needs them first."""
        self.rig.announce()
        self.rig.announce(MARS, "Mars 4", "192.168.1.101")
        self.rig.connect(SATURN)
        self.rig.connect(MARS)
        self.rig.publish(printing(45, 200))
        self.rig.publish(Status((0,)), MARS)
        texts = self.page().texts
        for text in ("Saturn 3 Ultra", "Printing", "plate.goo", "Layer 45 of 200", "Mars 4", "Ready"):
            self.assertIn(text, texts)
        self.assertLess(texts.index("Mars 4"), texts.index("Saturn 3 Ultra"))
        self.rig.publish(printing(45, 200, number=7))
        texts = self.page().texts
        self.assertLess(texts.index("Saturn 3 Ultra"), texts.index("Mars 4"))

    def test_state(self) -> None:
        """The page brings the very answer that the long poll would begin with, so it need not ask for it."""
        self.rig.announce()
        state = self.page().state
        self.assertEqual(state["updates"], self.rig.get("/v1/updates").json)
        news = self.rig.get(f"/v1/updates?timeout=0&since={state['updates']['cursor']}").json
        self.assertTrue(news["timed_out"])

    def test_stranger(self) -> None:
        """Who may not look gets the page, to enter a key, and not a word about any printer."""
        self.rig.announce()
        reply = self.rig.get("/", address=STRANGER)
        page = Page(reply)
        self.assertEqual(page.state["updates"], None)
        self.assertEqual(page.state["me"]["scopes"], [])
        self.assertNotIn(b"aturn", reply.body)
        self.assertIn("key", " ".join(page.texts))

    def test_limited_key(self) -> None:
        """A key that is limited to one printer sees that one on the page."""
        self.rig.announce()
        self.rig.announce(MARS, "Mars 4", "192.168.1.101")
        page = self.page(address=STRANGER, key=self.rig.key("view", printers=[MARS]))
        self.assertEqual(list(page.state["updates"]["printers"]), ["mars-4"])
        self.assertNotIn("Saturn 3 Ultra", page.texts)

    def test_hostile_names(self) -> None:
        """Names full of markup are text: they end no element, fill no hole of the template and add no script."""
        self.rig.announce(SATURN, HOSTILE)
        self.rig.connect()
        self.rig.publish(printing(1, filename=HOSTILE))
        self.rig.web.configure(parse("[sdcpd]\nsite = '<b>Käthe & {{state}}</b>'"))
        page = self.page()
        scripts = [attributes for attributes in page.all("script") if "src" not in attributes]
        self.assertEqual(scripts, [{"type": "application/json", "id": "present"}])
        self.assertEqual(page.state["updates"]["printers"].popitem()[1]["name"], HOSTILE)
        self.assertEqual(page.texts.count(HOSTILE), 2)
        self.assertEqual(page.texts.count("<b>Käthe & {{state}}</b>"), 2)
        self.assertEqual(page.all("b"), [])

    def test_nobody(self) -> None:
        """Before the first printer is found the page says what to do."""
        [text] = [text for text in self.page().texts if text.startswith("No printer has been found yet.")]
        self.assertIn("Switch one on that is in this network", text)
        self.assertIn("[discovery] targets", text)

    def test_message(self) -> None:
        """What a printer's message says stands on the page."""
        self.rig.announce()
        self.rig.fleet.explain(SATURN, "Open the firewall.")
        self.assertIn("Open the firewall.", self.page().texts)

    def test_policy(self) -> None:
        """The browser is told to run nothing but the parts, and the page holds nothing that this would forbid."""
        reply = self.rig.get("/")
        policy = dict(rule.split(" ", 1) for rule in reply.headers["content-security-policy"].split("; "))
        self.assertEqual(policy["default-src"], "'none'")
        for rule in ("script-src", "style-src", "connect-src"):
            self.assertEqual(policy[rule], "'self'")
        for rule in ("form-action", "base-uri", "frame-ancestors", "trusted-types"):
            self.assertEqual(policy[rule], "'none'")
        for tag, attributes in Page(reply).elements:
            self.assertNotIn("style", attributes)
            self.assertNotIn(tag, ("style", "iframe", "base"))
            self.assertEqual([name for name in attributes if name.startswith("on")], [])
            for name in ("src", "href"):
                self.assertRegex(attributes.get(name) or "#", "^(#|page/|v1/)")
        self.assertEqual(reply.headers["cache-control"], "private, no-cache")

    def test_site(self) -> None:
        """The page is headed by the name of the place, and a reload changes that."""
        self.assertIn("sdcpd", self.page().texts)
        self.rig.web.configure(parse("[sdcpd]\nsite = 'Resin room'"))
        self.assertIn("Resin room", self.page().texts)


class PartTests(WebCase):
    """The style sheet and the modules."""

    def paths(self) -> list[str]:
        page = Page(self.rig.get("/"))
        named = [*page.all("script"), *page.all("link"), *page.all("img")]
        return sorted({f"/{path}" for found in named for path in (found.get("src"), found.get("href")) if path})

    def test_all(self) -> None:
        """All that the page names, relative to itself, is there and may be kept for ever; nothing is left out."""
        paths = self.paths()
        types = {"js": "text/javascript; charset=utf-8", "css": "text/css; charset=utf-8", "svg": "image/svg+xml"}
        for path in paths:
            reply = self.rig.get(path, address=STRANGER)
            self.assertEqual((reply.status, reply.headers["content-type"]), (200, types[path.rpartition(".")[2]]))
            self.assertEqual(reply.headers["cache-control"], "public, max-age=31536000, immutable")
            source = (DIRECTORY / path.rpartition("/")[2]).read_text(encoding="utf-8")
            for told, written in zip(reply.body.decode().split("\n"), source.split("\n"), strict=True):
                self.assertTrue(written.endswith(told), written)
                self.assertTrue(told or re.fullmatch(r"\s*(//.*|/\*.*\*/)?", written), written)
        self.assertEqual({path.rpartition("/")[2] for path in paths}, {*parts_in(DIRECTORY)})

    def test_small(self) -> None:
        """The whole page is less than 100 KB, so a Raspberry Pi has sent it before anybody waits."""
        sizes = {path: len(self.rig.get(path).body) for path in ["/", *self.paths()]}
        self.assertLess(sum(sizes.values()), 100_000, sizes)

    def test_again(self) -> None:
        """A part that the browser has already is not sent again."""
        path = self.paths()[0]
        etag = self.rig.get(path).headers["etag"]
        reply = self.rig.get(path, {"If-None-Match": etag})
        self.assertEqual((reply.status, reply.body), (304, b""))

    def test_other_version(self) -> None:
        """A page from before an update gets the present part, and may not keep it under the old name."""
        reply = self.rig.get("/page/before/main.js")
        self.assertEqual((reply.status, reply.headers["cache-control"]), (200, "no-cache"))

    def test_missing(self) -> None:
        """What is no part is refused in words; neither the template nor a file beside it is one."""
        for name in ("index.html", "nothing.js", "..%2ffront.py", "%2e%2e", "__init__.py"):
            self.assert_refused(self.rig.get(f"/page/x/{name}"), 404, "not_found")

    def test_version(self) -> None:
        """The path of the parts follows their content, so that a new module never runs beside an old one."""
        directory = self.rig.directory / "page"
        directory.mkdir()
        (directory / "a.js").write_text("1")
        (directory / "index.html").write_text("no part")
        before = parts_in(directory)
        (directory / "a.js").write_text("2")
        after = parts_in(directory)
        self.assertEqual([list(before), list(after)], [["a.js"], ["a.js"]])
        self.assertNotEqual(before["a.js"].etag, after["a.js"].etag)

    def test_plain(self) -> None:
        """No module makes markup or code out of text, and each says what it is for."""
        forbidden = re.compile(
            r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function|https?://(?!www\.w3\.org)"
        )
        for path in sorted(DIRECTORY.glob("*.js")):
            text = path.read_text(encoding="utf-8")
            with self.subTest(module=path.name):
                self.assertIsNone(forbidden.search(text))
                self.assertTrue(text.startswith("// "))
                for line in text.splitlines():  # no text goes over a line's end, so lines may lose their indentation
                    self.assertEqual(line.count("`") % 2, 0, line)
                self.assertLess(text.count("\n"), 300)


class MeTests(WebCase):
    """``GET /v1/me``."""

    def me(self, **more: Any) -> Any:
        return self.rig.get("/v1/me", **more).json

    def test_address(self) -> None:
        """Who comes without a key learns what the address may do."""
        self.assertEqual(
            self.me(address="127.0.0.1"), {"name": "127.0.0.1", "key": False, "scopes": ["view"], "printers": None}
        )
        self.assertEqual(self.me(address=STRANGER)["scopes"], [])

    def test_key(self) -> None:
        """A key learns its name, all that it includes, and the printers that it is limited to."""
        self.rig.announce()
        key = self.rig.key("control", name="left", printers=[SATURN])
        expected = {"name": "left", "key": True, "scopes": ["view", "control"], "printers": ["saturn-3-ultra"]}
        self.assertEqual(self.me(address=STRANGER, key=key), expected)
        self.assertIn("admin", self.me()["scopes"])

    def test_wrong_key(self) -> None:
        """A wrong key is told so, and nothing else."""
        reply = self.rig.get("/v1/me", key="sdcpd_00000000_" + "a" * 32)
        self.assert_refused(reply, 401, "wrong_key")
