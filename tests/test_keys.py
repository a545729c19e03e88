from __future__ import annotations

import re
from pathlib import Path

from twisted.internet.defer import CancelledError
from twisted.trial.unittest import SynchronousTestCase

from sdcpd.errors import BadKey, KeyExists, KeyMissing, StoreError
from sdcpd.keys import MOST, Keys, digest, ensure_admin
from sdcpd.records import Key
from sdcpd.scopes import SCOPES
from tests.fakes import FakeKeyRecords, logged, wall


class KeysCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.records = FakeKeyRecords()
        self.keys = self.restarted()

    def restarted(self) -> Keys:
        """The keys as a daemon that starts now finds them."""
        return Keys(self.records, wall)

    def make(self, name: str = "slicer", *scopes: str, printers: tuple[str, ...] = ()) -> tuple[Key, str]:
        return self.successResultOf(self.keys.make(name, scopes or ("upload",), printers))


class MakeTests(KeysCase):
    def test_told_once(self) -> None:
        """A new key is found by its own text; what is kept of it is a hash and no more."""
        key, text = self.make("slicer", "upload", printers=("A", "B", "A"))
        self.assertEqual(self.keys.find(text), key)
        self.assertEqual((key.name, key.scopes, key.printers, key.created), ("slicer", ("upload",), ("A", "B"), wall()))
        self.assertEqual(key.sha256, digest(text))
        self.assertNotIn(text.rpartition("_")[2], repr(self.records.kept))

    def test_form(self) -> None:
        """A key can be recognised for what it is, has far more than 128 bits, and needs no quoting anywhere."""
        texts = {self.make(f"key-{number}")[1] for number in range(50)}
        self.assertEqual(len(texts), 50)
        for text in texts:
            self.assertTrue(re.fullmatch(r"sdcpd_[0-9a-f]{8}_[a-z2-7]{32}", text), text)
        self.assertEqual(len({text.rpartition("_")[2] for text in texts}), 50)

    def test_order_of_scopes(self) -> None:
        """Scopes are listed in one order, each once, however they were asked for."""
        self.assertEqual(self.make("a", "plate", "view", "plate")[0].scopes, ("view", "plate"))

    def test_names(self) -> None:
        """A name is a word: no mark-up, no spaces, not empty, not endless."""
        for name in ("", "two words", "<img onerror=alert(1)>", "a/b", "x" * 65, "line\n", "\udcff"):
            with self.assertRaises(BadKey) as caught:
                self.keys.make(name, ("view",))
            self.assertIn("name: expected", caught.exception.message)
        self.make("Größe_2-b")

    def test_scopes(self) -> None:
        """Scopes that do not exist, or none at all, make no key."""
        for scopes in ((), ("start",), ("view", "root")):
            with self.assertRaises(BadKey) as caught:
                self.keys.make("a", scopes)
            self.assertIn(", ".join(SCOPES), caught.exception.message)
        self.assertEqual(self.keys.list(), [])

    def test_limited_admin(self) -> None:
        """An admin key limited to printers would be a promise that nobody can keep."""
        with self.assertRaises(BadKey):
            self.keys.make("a", ("admin",), ("A",))

    def test_name_taken(self) -> None:
        """Two keys in force never share a name; also not while the first is on its way to the disk."""
        self.make("a")
        with self.assertRaises(KeyExists):
            self.keys.make("a", ("view",))
        self.records.wait()
        self.keys.make("b", ("view",))
        with self.assertRaises(KeyExists):
            self.keys.make("b", ("view",))

    def test_bounded(self) -> None:
        """There is an end to how many keys can be made."""
        self.records.kept = {f"{n:08x}": Key(f"{n:08x}", f"k{n}", "0" * 64, ("view",)) for n in range(MOST)}
        keys = self.restarted()
        with self.assertRaises(BadKey):
            keys.make("one-more", ("view",))
        self.successResultOf(keys.revoke("k0"))
        self.successResultOf(keys.make("one-more", ("view",)))

    def test_not_before_disk(self) -> None:
        """A key is good only when a power cut cannot take it away again."""
        self.records.wait()
        making = self.keys.make("a", ("view",))
        self.assertNoResult(making)
        self.assertEqual(self.keys.list(), [])
        self.records.go_on()
        key, text = self.successResultOf(making)
        self.assertEqual(self.keys.find(text), key)

    def test_asker_gone(self) -> None:
        """A key whose maker left before hearing of it is in force for nobody, now or later; its name is free."""
        self.records.wait()
        asked = self.keys.make("slicer", ("upload",))
        asked.cancel()
        self.failureResultOf(asked, CancelledError)
        self.records.go_on()
        self.assertEqual(self.keys.list(), [])
        self.assertEqual(self.restarted().list(), [])
        self.make("slicer")

    def test_disk_full(self) -> None:
        """When the disk refuses, there is no key, and the name is free for another attempt."""
        self.records.fail_next(StoreError("the disk is full"))
        self.failureResultOf(self.keys.make("a", ("view",)), StoreError)
        self.assertEqual(self.keys.list(), [])
        self.make("a")


class FindTests(KeysCase):
    def test_wrong(self) -> None:
        """What is not exactly a key is none: not its id, its name, its hash, another letter case or nothing."""
        key, text = self.make()
        last = "a" if text[-1] != "a" else "b"
        for wrong in (
            "",
            " ",
            text + " ",
            f" {text}",
            text[:-1],
            text[:-1] + last,
            text.upper(),
            key.id,
            key.name,
            key.sha256,
            f"sdcpd_{key.id}_",
            f"sdcpd_00000000_{text[-32:]}",
            "\udcff\x00",
            "sdcpd_",
        ):
            self.assertIsNone(self.keys.find(wrong), wrong)

    def test_ids_do_not_mix(self) -> None:
        """The secret of one key under the id of another opens nothing."""
        (first, one), (second, two) = self.make("a"), self.make("b")
        self.assertIsNone(self.keys.find(f"sdcpd_{first.id}_{two[-32:]}"))
        self.assertIsNone(self.keys.find(f"sdcpd_{second.id}_{one[-32:]}"))

    def test_restart(self) -> None:
        """Keys outlast the daemon, and so does their end."""
        key, text = self.make("a")
        _, gone = self.make("b")
        self.successResultOf(self.keys.revoke("b"))
        keys = self.restarted()
        self.assertEqual(keys.list(), [key])
        self.assertEqual(keys.find(text), key)
        self.assertIsNone(keys.find(gone))


class RevokeTests(KeysCase):
    def test_at_once(self) -> None:
        """A revoked key is good for nothing from that moment, whatever the disk says, and its name is free."""
        for reference in ("a", None):
            key, text = self.make("a")
            self.records.fail_next(StoreError("the disk is full"))
            self.failureResultOf(self.keys.revoke(reference or key.id), StoreError)
            self.assertIsNone(self.keys.find(text))
            self.assertEqual(self.keys.list(), [])

    def test_kept(self) -> None:
        """The record says when it was revoked."""
        key, _ = self.make("a")
        self.assertEqual(self.successResultOf(self.keys.revoke("a")), key)
        self.assertEqual(self.records.kept[key.id].revoked, wall())

    def test_unknown(self) -> None:
        """A key that is not there, or not any more, cannot be revoked."""
        self.make("a")
        self.successResultOf(self.keys.revoke("a"))
        for reference in ("a", "", "<script>"):
            with self.assertRaises(KeyMissing):
                self.keys.revoke(reference)

    def test_told(self) -> None:
        """Whoever serves somebody by a key hears of its end, also after one that failed to listen."""
        told: list[Key] = []

        def fails(key: Key) -> None:
            raise ZeroDivisionError

        self.keys.subscribe(fails)
        end = self.keys.subscribe(told.append)
        key, _ = self.make("a")
        self.successResultOf(self.keys.revoke("a"))
        self.assertEqual(told, [key])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        end()
        self.make("b")
        self.successResultOf(self.keys.revoke("b"))
        self.assertEqual(told, [key])
        self.flushLoggedErrors(ZeroDivisionError)


class AdminTests(KeysCase):
    def setUp(self) -> None:
        super().setUp()
        directory = Path(self.mktemp())
        directory.mkdir()
        self.path = directory / "admin.key"

    def ensure(self) -> str:
        """Start over these records; the key in the file."""
        self.keys = self.restarted()
        ensure_admin(self.keys, self.path)
        return self.path.read_text().removesuffix("\n")

    def test_first_start(self) -> None:
        """The first start makes a key that may do everything, in a file for its owner only; the log has the path."""
        lines = logged(self)
        text = self.ensure()
        key = self.keys.find(text)
        assert key is not None
        self.assertEqual((key.name, key.scopes), ("admin", ("admin",)))
        self.assertEqual(self.path.stat().st_mode & 0o777, 0o600)
        self.assertIn(str(self.path), "\n".join(lines))
        self.assertNotIn(text[-32:], "\n".join(lines))
        self.assertEqual([path.name for path in self.path.parent.iterdir()], ["admin.key"])

    def test_later_starts(self) -> None:
        """Later starts keep it, and say nothing."""
        first = self.ensure()
        lines = logged(self)
        self.assertEqual(self.ensure(), first)
        self.assertEqual(lines, [])

    def test_lost_file(self) -> None:
        """Who has lost the file deletes nothing else: the next start makes another key and revokes the lost one."""
        first = self.ensure()
        (lost,) = self.keys.list()
        self.path.unlink()
        second = self.ensure()
        self.assertNotEqual(first, second)
        self.assertIsNone(self.keys.find(first))
        self.assertEqual([key.name for key in self.keys.list()], ["admin"])
        self.assertEqual(self.ensure(), second)
        self.assertEqual(self.records.kept[lost.id].revoked, wall())

    def test_told(self) -> None:
        """Who uses the admin's key that is replaced is told of its end, as of any other."""
        self.ensure()
        (lost,) = self.keys.list()
        told: list[Key] = []
        self.keys.subscribe(told.append)
        self.path.unlink()
        ensure_admin(self.keys, self.path)
        self.assertEqual(told, [lost])

    def test_useless_file(self) -> None:
        """A file with no key, with a foreign one or with one that is no admin's is replaced."""
        self.keys = self.restarted()
        _, slicer = self.make()
        for content in (b"", b"\xff\xfe", b"sdcpd_00000000_" + b"a" * 32, slicer.encode()):
            self.path.write_bytes(content)
            self.path.chmod(0o644)
            text = self.ensure()
            self.assertIsNotNone(self.keys.find(text))
            self.assertEqual(self.path.stat().st_mode & 0o777, 0o600)
        self.assertIsNotNone(self.keys.find(slicer))

    def test_crash_between(self) -> None:
        """After a crash between the file and the record the next start makes it right."""
        self.records.wait()
        lost = self.ensure()
        self.records = FakeKeyRecords()
        self.assertNotEqual(self.ensure(), lost)
        self.assertIsNone(self.keys.find(lost))

    def test_disk_refuses(self) -> None:
        """When the record cannot be written the key works for now, and the log says what will happen."""
        self.records.fail_next(StoreError("the disk is full"))
        text = self.ensure()
        self.assertIsNotNone(self.keys.find(text))
        self.assertEqual(len(self.flushLoggedErrors(StoreError)), 1)
