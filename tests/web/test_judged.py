"""Wrong files, refused while they stream and before they are printed."""

from __future__ import annotations

from typing import Any

from sdcpd.codec.status import Status
from tests.codec.test_ctb_encrypted import KEY, encrypted_file
from tests.codec.vectors import vector
from tests.web.rig import MARS, SATURN, WebCase, goo

MARS_FILE: dict[str, Any] = {"resolution": (5760, 3600), "bed": (195.84, 122.4, 150.0), "machine": "ELEGOO Mars 4 Max"}


class JudgedTests(WebCase):
    def setUp(self) -> None:
        super().setUp()
        self.rig.announce()

    def begin(self, target: str, length: int = 10_000_000) -> Any:
        return self.rig.begin("PUT", f"/v1/files/{target}", b"", {"Content-Length": str(length)})

    def names(self) -> list[str]:
        return [file["name"] for file in self.rig.get("/v1/files").json]

    def test_early(self) -> None:
        """A file for another machine is refused for a named printer when its head is here, with who could print it."""
        self.rig.announce(MARS, "Mars 4 Ultra", "192.168.1.101")
        pending = self.begin("a.goo?printer=saturn-3-ultra")
        pending.send(goo(**MARS_FILE)[:190_000])
        self.assertFalse(pending.answered)
        pending.send(goo(**MARS_FILE)[190_000:195_477])
        error = self.assert_refused(pending.reply, 422, "wrong_resolution")
        self.assertEqual((error["expected"], error["found"]), ("11520x5120", "5760x3600"))
        self.assertEqual(error["compatible_printers"], [])
        self.assertEqual(list((self.rig.directory / "files" / "partial").iterdir()), [])

    def test_compatible(self) -> None:
        """A print of a stored file that does not fit is refused before the printer hears of it, and says where to."""
        self.rig.announce(MARS, "Mars 4 Max", "192.168.1.101", resolution=(5760, 3600))
        link = self.rig.connect()
        self.rig.publish(Status((0,)))
        self.assertEqual(self.rig.put("a.goo", goo(**MARS_FILE)).json["warnings"], [])
        reply = self.rig.post(f"/v1/printers/{SATURN}/print", {"file": "a.goo", "plate_clear": True})
        error = self.assert_refused(reply, 422, "wrong_resolution")
        self.assertEqual(error["compatible_printers"], ["mars-4-max"])
        self.assertEqual((link.sent, self.rig.get("/v1/jobs").json), ([], []))

    def test_too_tall(self) -> None:
        """A print that is higher than the machine is refused when its last layer is known."""
        reply = self.rig.put("a.goo?printer=saturn-3-ultra", goo(heights=(0.05, 100.0, 280.0)))
        self.assert_refused(reply, 422, "too_tall")
        self.assertEqual(self.names(), [])

    def test_warning(self) -> None:
        """Another machine's name is a warning that the upload's answer and the job carry."""
        self.rig.connect()
        self.rig.publish(Status((0,)))
        content = goo(machine="ELEGOO Saturn 4 Ultra")
        (warning,) = self.rig.put("a.goo?printer=saturn-3-ultra", content).json["warnings"]
        self.assertIn("Saturn 4 Ultra", warning)
        reply = self.rig.post(f"/v1/printers/{SATURN}/print", {"file": "a.goo", "plate_clear": True})
        self.assertEqual((reply.status, reply.json["job"]["warnings"]), (202, [warning]))
        self.assertEqual(self.rig.get("/v1/jobs").json[0]["warnings"], [warning])

    def test_nobody_named(self) -> None:
        """Without a named printer a file that no known one can print is taken, with a warning."""
        reply = self.rig.put("a.goo", goo(**MARS_FILE))
        self.assertEqual((reply.status, len(reply.json["warnings"])), (201, 1))

    def test_unknown_printer(self) -> None:
        """A printer that is not known is said before the file is read."""
        self.assert_refused(self.begin("a.goo?printer=nobody").reply, 404, "unknown_printer")

    def test_truncated(self) -> None:
        """A file that is cut off is refused, wherever it was cut, also one of a format without an end mark."""
        content = goo(bytes(5000))
        for cut in (100, 1000, 195_400, 195_500, len(content) - 100):
            self.assert_refused(self.rig.put("a.goo", content[:cut] + content[-11:]), 422, "truncated")
        ctb = vector("tiny_v4.ctb")
        self.assertEqual(self.rig.put("a.ctb", ctb).status, 201)
        for cut in (60, 300, len(ctb) - 1):
            self.assert_refused(self.rig.put("b.ctb", ctb[:cut]), 422, "truncated")
        self.assertEqual(self.names(), ["a.ctb"])

    def test_damaged(self) -> None:
        """A damaged head is refused before the body's end."""
        content = bytearray(goo())
        content[27_104:27_108] = b"abcd"
        pending = self.begin("a.goo")
        pending.send(bytes(content))
        self.assert_refused(pending.reply, 422, "bad_file")

    def test_encrypted(self) -> None:
        """An encrypted file is judged as far as it can be read: its resolution only with the key."""
        content = encrypted_file()
        self.assertEqual(self.rig.put("a.ctb?printer=saturn-3-ultra", content).status, 201)
        self.rig.store.indexes.configure(KEY)
        pending = self.begin("b.ctb?printer=saturn-3-ultra")
        pending.send(content[:-40])
        error = self.assert_refused(pending.reply, 422, "wrong_resolution")
        self.assertEqual(error["found"], "40x30")
        metadata = self.rig.get("/v1/files/a.ctb/metadata").json["sliced"]
        self.assertEqual((metadata["resolution"], metadata["pictures"]), ([40, 30], True))

    def test_form(self) -> None:
        """Forms are judged alike."""
        kind = {"Content-Type": "multipart/form-data; boundary=X", "Content-Length": "10000000"}
        pending = self.rig.begin("POST", "/v1/files?printer=saturn-3-ultra", b"", kind)
        pending.send(b'--X\r\nContent-Disposition: form-data; name="f"; filename="a.goo"\r\n\r\n' + goo(**MARS_FILE))
        self.assert_refused(pending.reply, 422, "wrong_resolution")
