from __future__ import annotations

from typing import Any

from sdcpd.codec.sdcp import Command
from sdcpd.codec.status import Status
from tests.web.rig import MARS, SATURN, WebCase, goo, printing

BASE = f"/v1/printers/{SATURN}"


class QueueTests(WebCase):
    """A connected Saturn that prints something, and a stored file."""

    config = '[access]\ntrusted = {"192.168.1.0/24" = ["view", "queue"]}\n'

    def setUp(self) -> None:
        super().setUp()
        self.rig.announce(SATURN)
        self.link = self.rig.connect(SATURN)
        self.rig.announce(MARS, "Mars 4", "192.168.1.101")
        self.rig.publish(printing(5))
        self.rig.put()

    def add(self, headers: Any = None, path: str = f"{BASE}/queue", **more: Any) -> Any:
        return self.rig.post(path, {"file": "plate.goo", **more}, headers)

    def ids(self) -> list[str]:
        return [job["id"] for job in self.rig.get(f"{BASE}/queue").json]

    def test_waits(self) -> None:
        """A file can wait for a printer that prints, and the job says why it waits and what to do."""
        reply = self.add()
        self.assertEqual(reply.status, 202)
        job = reply.json["job"]
        self.assertEqual((job["state"], job["reason"], job["printer"]), ("queued", "printer_busy", "saturn-3-ultra"))
        self.assertEqual((job["queued"], job["start"], job["by"]), (True, False, "key:admin"))
        self.assertTrue(job["message"])
        self.assertEqual(self.rig.get(reply.headers["location"]).json, job)
        self.assertEqual(self.ids(), [job["id"]])
        self.assertEqual(self.rig.get("/v1/printers/mars-4/queue").json, [])

    def test_order(self) -> None:
        """The order can be changed, and jobs taken out."""
        a, b = (self.add().json["job"]["id"] for _ in range(2))
        self.assertEqual(self.rig.post(f"/v1/jobs/{b}/move", {"before": a}).status, 200)
        self.assertEqual(self.ids(), [b, a])
        self.rig.post(f"/v1/jobs/{b}/move", {"before": None})
        self.assertEqual(self.ids(), [a, b])
        self.assertEqual(self.rig.ask("DELETE", f"/v1/jobs/{a}").status, 204)
        self.assertEqual(self.ids(), [b])
        self.assertEqual(self.rig.get(f"/v1/jobs/{a}").json["state"], "stopped")
        self.assert_refused(self.rig.post(f"/v1/jobs/{b}/move", {}), 422, "bad_body")
        self.assert_refused(self.rig.post(f"/v1/jobs/{a}/move", {"before": None}), 404, "unknown_job")
        self.assert_refused(self.rig.ask("DELETE", "/v1/jobs/nothing"), 404, "unknown_job")

    def test_same_key(self) -> None:
        """A wish that is sent twice under one key is one job; another wish under it is refused."""
        key = {"Idempotency-Key": "k1"}
        first, again = self.add(key), self.add(key)
        self.assertEqual((again.status, again.json["job"]["id"]), (202, first.json["job"]["id"]))
        self.assertEqual(len(self.ids()), 1)
        self.assert_refused(self.add(key, start=True), 422, "idempotency_key_reused")
        self.rig.publish(Status((0,)))
        for _ in range(2):
            wish = {"file": "plate.goo", "plate_clear": True}
            self.assert_refused(self.rig.post(f"{BASE}/print", wish, key), 422, "idempotency_key_reused")

    def test_print_twice(self) -> None:
        """A print that is asked for twice under one key is delivered and started once."""
        self.rig.publish(Status((0,)))
        key, wish = {"Idempotency-Key": "k2"}, {"file": "plate.goo", "plate_clear": True}
        replies = [self.rig.post(f"{BASE}/print", wish, key) for _ in range(3)]
        self.assertEqual(
            {(reply.status, reply.json["job"]["id"]) for reply in replies}, {(202, replies[0].json["job"]["id"])}
        )
        self.assertEqual([Command(request["Cmd"]) for request in self.link.sent], [Command.FETCH])

    def test_start_and_plate_twice(self) -> None:
        """A start and a confirmation that are sent again under their keys are answered as before, and do nothing."""
        self.rig.publish(Status((0,)))
        job = self.add().json["job"]["id"]
        start, plate = {"Idempotency-Key": "k3"}, {"Idempotency-Key": "k4"}
        for _ in range(2):
            reply = self.rig.post(f"/v1/jobs/{job}/start", {}, start)
            self.assertEqual((reply.status, reply.json["job"]["start"]), (202, True))
        self.assert_refused(
            self.rig.post(f"/v1/jobs/{job}/start", {"plate_clear": True}, start), 422, "idempotency_key_reused"
        )
        revision = self.rig.get(BASE).json["plate"]["revision"]
        word = {"clear": True, "revision": revision}
        first, again = (self.rig.post(f"{BASE}/plate", word, plate) for _ in range(2))
        self.assertEqual((first.status, again.status, again.json), (200, 200, first.json))
        self.assert_refused(self.rig.post(f"{BASE}/plate", word), 409, "plate_changed")
        self.assert_refused(self.rig.post(f"{BASE}/plate", {"clear": False}, plate), 422, "idempotency_key_reused")

    def test_no_confirmation_in_advance(self) -> None:
        """A plate cannot be confirmed for a file that waits; the refusal says when it can."""
        error = self.assert_refused(self.add(start=True, plate_clear=True), 422, "bad_body")
        self.assertIn("plate_clear is not taken here", error["message"])
        self.assertIn("/plate when it is clear", error["hint"])
        error = self.assert_refused(self.add(starts=True), 422, "bad_body")
        self.assertIn("`starts`", error["message"])

    def test_scopes(self) -> None:
        """Who may queue may not for that reason start."""
        away = "192.168.1.7"
        wish = {"file": "plate.goo", "start": True}
        self.assert_refused(self.rig.post(f"{BASE}/queue", wish, address=away), 403, "forbidden")
        job = self.rig.post(f"{BASE}/queue", {"file": "plate.goo"}, address=away).json["job"]["id"]
        self.assert_refused(self.rig.post(f"/v1/jobs/{job}/start", {}, address=away), 403, "forbidden")
        self.assertEqual(self.rig.post(f"/v1/jobs/{job}/start", {}).json["job"]["start"], True)

    def test_any(self) -> None:
        """A file can wait for any printer; its job has none until one is found."""
        job = self.add(path="/v1/queue").json["job"]
        self.assertEqual((job["printer"], job["reason"]), (None, "no_printer"))
        self.assertEqual([found["id"] for found in self.rig.get("/v1/queue").json], [job["id"]])

    def test_any_that_fits(self) -> None:
        """A job for any printer goes to one that can print it; if none of them can, the job says so at once."""
        self.rig.put("other.goo", goo(resolution=(1440, 2560)))
        reply = self.rig.post("/v1/queue", {"file": "other.goo"})
        self.assertEqual(reply.json["job"]["warnings"], ["None of the known printers can print this file."])
        self.rig.publish(Status((0,)))
        reply = self.rig.post("/v1/queue", {"file": "plate.goo"})
        self.assertEqual((reply.json["job"]["printer"], reply.json["job"]["warnings"]), ("saturn-3-ultra", []))

    def test_unknown(self) -> None:
        """What is not there is said."""
        self.assert_refused(self.rig.post(f"{BASE}/queue", {"file": "nothing.goo"}), 404, "file_missing")
        self.assert_refused(self.rig.post("/v1/printers/moon/queue", {"file": "plate.goo"}), 404, "unknown_printer")
