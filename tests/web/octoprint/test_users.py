from __future__ import annotations

from typing import Any

from sdcpd.web.octoprint.form import NO_PERMISSION
from tests.web.octoprint.rig import OctoPrintCase
from tests.web.rig import P, Reply

STRANGER = "203.0.113.5"


class UserTests(OctoPrintCase):
    def login(self, document: object, **more: Any) -> Reply:
        return self.post("api/login", document, **more)

    def test_passive(self) -> None:
        """A key logs in without a password, and gets a session for the push that has the key's rights."""
        key = self.rig.key("view", "control", name="widget")
        reply = self.login({"passive": True}, address=STRANGER, key=key)
        found = reply.json
        self.assertEqual((reply.status, found["name"], found["apikey"]), (200, "widget", None))
        self.assertEqual(reply.headers["cache-control"], "no-store")
        self.assertNotIn(key.encode(), reply.body)
        client = self.api.logins.client("widget", found["session"])
        assert client is not None
        self.assertEqual((client.key, client.scopes, client.address), ("widget", {"view", "control"}, STRANGER))
        self.assertIn("PRINT", found["permissions"])
        self.assertNotIn("FILES_UPLOAD", found["permissions"])
        self.assertEqual((found["admin"], found["user"], found["active"]), (False, True, True))
        self.assertEqual((found["groups"], found["roles"]), (["users"], ["user"]))
        self.assertIs(found["_is_external_client"], False)
        self.assertEqual(found["_login_mechanism"], "apikey")

    def test_admin(self) -> None:
        """An admin's key is an admin's."""
        found = self.login({"passive": True}).json
        self.assertTrue(found["admin"])
        self.assertEqual(found["groups"], ["admins", "users"])

    def test_trusted(self) -> None:
        """A trusted address without a key is somebody, too."""
        found = self.login({"passive": True}, address="127.0.0.1").json
        self.assertEqual(found["name"], "trusted")
        self.assertIsNotNone(self.api.logins.client("trusted", found["session"]))

    def test_nobody(self) -> None:
        """Who may not even look is nobody: no session, no name."""
        self.refused(self.login({"passive": True}, address=STRANGER), 403, NO_PERMISSION)
        self.refused(self.rig.get(f"{P}/api/currentuser", address=STRANGER), 403, NO_PERMISSION)
        self.assertEqual(len(self.api.logins), 0)

    def test_wrong_key(self) -> None:
        """A wrong key is refused before anything else."""
        self.refused(self.login({"passive": True}, key="sdcpd_00000000_" + "a" * 32), 403, NO_PERMISSION)
        self.refused(self.login({"passive": True}, key=""), 403, NO_PERMISSION)

    def test_password(self) -> None:
        """A name and a password are never right, and may be tried three times in a minute."""
        tried = {"user": "admin", "pass": "secret", "remember": True}
        for _ in range(3):
            self.refused(self.login(tried, address="127.0.0.1"), 403, "User unknown or password invalid")
        reply = self.login(tried, address="127.0.0.1")
        self.assertIn("too many failed login attempts", self.refuses(reply, 429))
        self.assertEqual(reply.headers["retry-after"], "20")
        self.refuses(self.login(tried, address="127.0.0.2"), 403)
        self.rig.clock.advance(20)
        self.refuses(self.login(tried, address="127.0.0.1"), 403)

    def test_neither(self) -> None:
        """A login that is neither is told what there is."""
        for document in ({}, {"passive": False}, {"user": "admin"}):
            self.assertIn("passive", self.refuses(self.login(document), 400))

    def test_logout(self) -> None:
        """A logout ends the session; the key goes on."""
        session = self.login({"passive": True}).json["session"]
        self.done(self.rig.ask("POST", f"{P}/api/logout"))
        self.assertIsNone(self.api.logins.client("admin", session))
        self.get("api/currentuser")

    def test_current(self) -> None:
        """Who asks is told their name and what they may do."""
        found = self.get("api/currentuser")
        self.assertEqual((found["name"], found["groups"]), ("admin", ["admins", "users"]))
        self.assertLessEqual({"ADMIN", "STATUS", "CONTROL", "FILES_UPLOAD"}, set(found["permissions"]))
        viewer = self.rig.key("view", name="viewer")
        found = self.get("api/currentuser", address=STRANGER, key=viewer)
        self.assertEqual((found["name"], found["groups"]), ("viewer", ["readonly"]))
        self.assertNotIn("CONTROL", found["permissions"])
