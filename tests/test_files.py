from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
import stat
import tempfile
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, execute
from twisted.trial.unittest import SynchronousTestCase

from sdcpd.codec.identify import HEAD
from sdcpd.errors import (
    BadName,
    ConfigError,
    FileInUse,
    FileMissing,
    FileTooLarge,
    Interrupted,
    NameTaken,
    StoreError,
    StoreFull,
    UnknownFormat,
)
from sdcpd.files import MOST, FileStore, Limits, Offload, StoredFile, wire_name
from sdcpd.names import check_free, display_name, folders_of
from sdcpd.uploads import GATHERED, Upload
from tests.fakes import Pool, at_once

SAMPLES = Path(__file__).parents[1].parent / "shared" / "samples"
T = TypeVar("T")

LIMITS = Limits(quota=0, max_size=2**31 - 1, reserve=0)
HEADER = b"V3.0" + bytes.fromhex("07000000444C5000")
FOOTER = bytes.fromhex("00000007000000444C5000")
WIRE = re.compile(r"[A-Za-z0-9_-]{1,28}\.(goo|ctb)")


def goo(content: bytes = b"layers") -> bytes:
    """The smallest thing that begins and ends like a .goo."""
    return HEADER + content + FOOTER


def ctb(content: bytes = b"layers") -> bytes:
    return bytes.fromhex("8600FD12 03000000") + bytes(8) + content


class Failing:
    """An ``Offload`` on a disk that refuses ``method`` a number of times."""

    def __init__(self, method: str, number: int, times: int = 1) -> None:
        self.method = method
        self.number = number
        self.times = times

    def __call__(self, function: Callable[..., T], *args: object) -> Deferred[T]:
        if function.__name__ == self.method and self.times:
            self.times -= 1
            return execute(self.refuse)
        return execute(function, *args)

    def refuse(self) -> Any:
        raise OSError(self.number, os.strerror(self.number))


class StoreTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.directory = Path(self.mktemp())
        self.now = 1_700_000_000.0
        self.store = self.open()

    def open(self, limits: Limits = LIMITS, offload: Offload = at_once) -> FileStore:
        """The store as a daemon that starts now finds it."""
        return FileStore(self.directory, limits, offload, self.wall)

    def wall(self) -> float:
        self.now += 1
        return self.now

    def put(self, name: str, content: bytes, store: FileStore | None = None) -> StoredFile:
        upload = (store or self.store).begin(name, len(content))
        upload.write(content)
        return self.successResultOf(upload.finish())

    def blobs(self) -> list[str]:
        return sorted(os.listdir(self.directory / "blobs"))

    def partials(self) -> list[str]:
        return os.listdir(self.directory / "partial")

    def asides(self) -> list[str]:
        return sorted(path.name for path in self.directory.glob("names.json.damaged-*"))

    def check(self, error: StoreError, code: str, *words: str) -> None:
        """An error is worth showing: a code for programs, what is wrong and what to do for people."""
        self.assertEqual(error.code, code)
        self.assertTrue(error.hint)
        for word in words or ("",):
            self.assertTrue(error.message)
            self.assertIn(word, error.message)


class UploadTests(StoreTestCase):
    def test_small_chunks(self) -> None:
        """A body in chunks of one byte is the same file, and costs the disk no more than another one."""
        content = goo(bytes(range(256)) * 80)

        def md5(data: bytes) -> str:
            return hashlib.md5(data, usedforsecurity=False).hexdigest()

        asked: list[int] = []

        class Counting(FileStore):
            def make_room(self, upload: Upload, total: int) -> None:
                asked.append(total)
                super().make_room(upload, total)

        upload = Counting(self.directory, LIMITS, at_once, self.wall).begin("a.goo", None)
        for number in range(len(content)):
            upload.write(content[number : number + 1])
            self.assertEqual(upload.md5, md5(content[: number + 1]))
        file = self.successResultOf(upload.finish())
        self.assertEqual((file.size, file.md5, Path(file.path).read_bytes()), (len(content), md5(content), content))
        self.assertLess(len(asked), HEAD + len(content) // GATHERED + 2)

    def test_stored(self) -> None:
        """An uploaded file is found by its name and its MD5, byte for byte."""
        content = goo()
        file = self.put("benchy.goo", content)
        digest = hashlib.md5(content).hexdigest()
        self.assertEqual((file.name, file.md5, file.size), ("benchy.goo", digest, len(content)))
        self.assertEqual((file.format, file.version, file.uploaded_at), ("goo", "3.0", self.now))
        self.assertEqual(self.store.get("benchy.goo"), file)
        self.assertEqual(self.store.get(digest), file)
        self.assertEqual(self.store.get(digest.upper()), file)
        self.assertEqual((self.store.find("benchy.goo"), self.store.find(digest)), (file, None))
        self.assertTrue(os.path.isabs(file.path))
        self.assertEqual(os.path.basename(file.path), f"{digest}.goo")
        self.assertEqual(Path(file.path).read_bytes(), content)
        self.assertEqual(self.partials(), [])

    def test_kind_by_content(self) -> None:
        """A .ctb that somebody named .goo is stored, and sent to the printer, as the .ctb that it is."""
        file = self.put("model.goo", ctb())
        self.assertEqual((file.format, file.version), ("ctb", "3"))
        self.assertTrue(file.path.endswith(".ctb"))
        self.assertTrue(wire_name(file).endswith(".ctb"))

    def test_byte_by_byte(self) -> None:
        """However the network cuts an upload, the same file comes of it."""
        content = goo(b"x" * 200)
        upload = self.store.begin("slow.goo", None)
        for index in range(len(content)):
            upload.write(content[index : index + 1])
        upload.write(b"")
        file = self.successResultOf(upload.finish())
        self.assertEqual(file.md5, hashlib.md5(content).hexdigest())
        assert upload.identity is not None
        self.assertEqual(upload.identity.kind, "goo")
        self.assertEqual(upload.received, len(content))

    def test_md5_with_leading_zero(self) -> None:
        """An MD5 that begins with 0 keeps its 32 digits."""
        content = next(c for c in (goo(b"%d" % n) for n in range(10_000)) if hashlib.md5(c).hexdigest().startswith("0"))
        file = self.put("zero.goo", content)
        self.assertTrue(file.md5.startswith("0"))
        self.assertEqual(len(file.md5), 32)
        self.assertIsNotNone(self.store.by_wire_name(wire_name(file)))

    def test_private(self) -> None:
        """Nobody else on the machine can look into the spool."""
        file = self.put("benchy.goo", goo())
        for directory in (self.directory, self.directory / "blobs", self.directory / "partial"):
            self.assertEqual(stat.S_IMODE(directory.stat().st_mode), 0o700)
        for path in (Path(file.path), self.directory / "names.json"):
            self.assertEqual(stat.S_IMODE(path.stat().st_mode), 0o600)

    def test_memory(self) -> None:
        """A big upload takes no more memory than a small one."""
        chunk = bytes(2**16)
        upload = self.store.begin("big.goo", None)
        upload.write(HEADER)
        tracemalloc.start()
        try:
            for _ in range(2**26 // len(chunk)):
                upload.write(chunk)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        upload.write(FOOTER)
        self.assertEqual(self.successResultOf(upload.finish()).size, 2**26 + len(HEADER) + len(FOOTER))
        self.assertLess(peak, 2**19)

    def test_sample(self) -> None:
        """Files from a real slicer are taken, and one that broke off is not."""
        if not SAMPLES.is_dir():
            self.skipTest("the samples are not here")
        content = (SAMPLES / "mars4max-426-layers.goo").read_bytes()
        self.assertEqual(self.put("real.goo", content).size, len(content))
        self.assertEqual(self.put("real.ctb", (SAMPLES / "stairs-400-layers-v3.ctb").read_bytes()).format, "ctb")
        upload = self.store.begin("half.goo", None)
        upload.write(content[: len(content) // 2])
        self.failureResultOf(upload.finish(), UnknownFormat)

    def test_finish_in_the_pool(self) -> None:
        """Nobody sees a file before it is safely on disk, and the reactor does not wait for that."""
        pool = Pool(slow=True)
        store = self.open(offload=pool)
        upload = store.begin("benchy.goo", None)
        upload.write(goo())
        finished = upload.finish()
        self.assertNoResult(finished)
        self.assertEqual(store.list(), [])
        upload.abort()
        pool.work_off()
        self.assertEqual(store.list(), [self.successResultOf(finished)])

    def test_client_leaves_at_the_end(self) -> None:
        """A client that sent everything and left before the answer has stored its file all the same."""
        pool = Pool(slow=True)
        store = self.open(offload=pool)
        upload = store.begin("benchy.goo", None)
        upload.write(goo())
        finished = upload.finish()
        finished.addErrback(lambda _: None)
        finished.cancel()
        pool.work_off()
        self.assertEqual(store.get("benchy.goo").size, len(goo()))


class FolderTests(StoreTestCase):
    """Folders, which are parts of names."""

    def setUp(self) -> None:
        super().setUp()
        self.a = self.put("minis/orcs/a.goo", goo(b"a"))
        self.b = self.put("minis/b.goo", goo(b"b"))
        self.c = self.put("c.goo", goo(b"c"))

    def names(self, folder: str = "") -> list[str]:
        return [file.name for file in self.store.inside(folder)]

    def refuse(self, done: Deferred[Any], error: type[StoreError], *words: str) -> None:
        self.check(self.failureResultOf(done, error).value, error.code, *words)

    def test_inside(self) -> None:
        """A folder holds its files and those of the folders in it, and no file whose name begins alike."""
        self.put("minis2/d.goo", goo(b"d"))
        self.assertEqual(self.names("minis"), ["minis/orcs/a.goo", "minis/b.goo"])
        self.assertEqual(self.names("minis/orcs"), ["minis/orcs/a.goo"])
        self.assertEqual((len(self.names()), self.names("none")), (4, []))

    def test_on_the_wire(self) -> None:
        """A printer never hears of folders."""
        self.assertRegex(wire_name(self.a), r"\Aa_[0-9a-f]{8}\.goo\Z")

    def test_restart(self) -> None:
        """Folders are there again after a restart."""
        self.store = self.open()
        self.assertEqual(self.names("minis"), ["minis/orcs/a.goo", "minis/b.goo"])

    def test_move(self) -> None:
        """A moved file has its new name only, the bytes and the time of its upload stay, also after a restart."""
        (moved,) = self.successResultOf(self.store.move("c.goo", "minis/e\u0301.goo"))
        self.assertEqual(
            (moved.name, moved.md5, moved.uploaded_at), ("minis/\u00e9.goo", self.c.md5, self.c.uploaded_at)
        )
        for store in (self.store, self.open()):
            self.assertRaises(FileMissing, store.get, "c.goo")
            self.assertEqual(store.get("minis/\u00e9.goo"), moved)

    def test_copy(self) -> None:
        """A copy takes no room, and outlives what it was made of."""
        used = self.store.usage.used
        self.successResultOf(self.store.copy("c.goo", "copies/c2.goo"))
        self.assertEqual((self.store.usage.used, len(self.blobs())), (used, 3))
        self.successResultOf(self.store.delete("c.goo"))
        self.assertEqual(self.store.get("copies/c2.goo").md5, self.c.md5)

    def test_whole_folders(self) -> None:
        """A folder moves and is copied with all that is in it, also into itself."""
        self.successResultOf(self.store.copy("minis", "backup/2024"))
        self.successResultOf(self.store.move("minis", "minis/old"))
        self.assertEqual(
            sorted(self.names()),
            ["backup/2024/b.goo", "backup/2024/orcs/a.goo", "c.goo", "minis/old/b.goo", "minis/old/orcs/a.goo"],
        )

    def test_copies_of_copies(self) -> None:
        """Copies of folders of copies end at a bound, with nothing done; where it is reached nothing else may come."""
        folder, level = "minis", 0
        while len(self.store.list()) <= MOST // 12:  # each round has all of the one before it, twelve times
            for number in range(12):
                self.successResultOf(self.store.copy(folder, f"round{level}/{number}"))
            folder, level = f"round{level}", level + 1
        before = self.names()
        for number in range(12):
            copied = self.store.copy(folder, f"more/{number}")
            if len(before) + len(self.store.inside(folder)) > MOST:
                self.refuse(copied, StoreFull, str(len(before)), str(MOST))
                break
            self.successResultOf(copied)
            before = self.names()
        self.assertEqual(self.names(), before)
        self.assertGreater(len(before), MOST // 12)
        self.successResultOf(self.store.move("round0", "moved"))
        self.successResultOf(self.store.copy("c.goo", "d.goo"))

    def test_taken(self) -> None:
        """No move, copy or upload replaces another file or makes one name a file and a folder."""
        for change in (self.store.move, self.store.copy):
            self.refuse(change("c.goo", "minis/b.goo"), NameTaken, "a file")
            self.refuse(change("c.goo", "minis"), NameTaken, "is a folder")
            self.refuse(change("minis/b.goo", "c.goo/b.goo"), NameTaken, "is a file")
            self.refuse(change("minis", "c.goo"), NameTaken, "is a file")
            self.refuse(change("c.goo", "../c.goo"), BadName, "dot")
            self.refuse(change("nothing", "x"), FileMissing, "nothing")
            self.refuse(change("", "x"), FileMissing)
        self.refuse(self.store.move("minis", "x/" * 7 + "y"), BadName, "9 folders")
        for name in ("minis/orcs", "c.goo/a.goo"):
            self.check(self.assertRaises(NameTaken, self.store.begin, name, 100), "name_taken")
        self.assertEqual(len(self.names()), 3)

    def test_taken_meanwhile(self) -> None:
        """Of two uploads that cannot stand beside each other, the one that ends first is kept."""
        early, late = self.store.begin("new", None), self.store.begin("new/a.goo", None)
        for upload in (early, late):
            upload.write(goo())
        self.successResultOf(late.finish())
        self.refuse(early.finish(), NameTaken)
        self.assertEqual(self.partials(), [])

    def test_renamed_upload(self) -> None:
        """An upload may be told its folder when it has arrived, within the same rules."""
        upload = self.store.begin("d.goo", None)
        upload.write(goo(b"d"))
        self.assertRaises(BadName, upload.rename, "../d.goo")
        upload.rename("minis/d.goo")
        self.assertEqual(self.successResultOf(upload.finish()).name, "minis/d.goo")

    def test_delete(self) -> None:
        """A deleted folder is gone with its bytes; the others stay."""
        self.successResultOf(self.store.delete_folder("minis"))
        self.assertEqual((self.names(), len(self.blobs())), (["c.goo"], 1))
        self.refuse(self.store.delete_folder("minis"), FileMissing)

    def test_delete_in_use(self) -> None:
        """If a job needs one file of a folder, none of them is deleted."""
        self.store.hold(self.b.md5)
        self.refuse(self.store.delete_folder("minis"), FileInUse, "minis/b.goo")
        self.assertEqual(len(self.names()), 3)
        self.store.release(self.b.md5)
        self.successResultOf(self.store.delete_folder("minis"))

    def test_move_in_use(self) -> None:
        """A file that a job needs can get another name: the job has its bytes."""
        self.store.hold(self.c.md5)
        self.successResultOf(self.store.move("c.goo", "d.goo"))
        found = self.store.by_wire_name(wire_name(self.c))
        self.assertEqual(found and found.name, "d.goo")


class FreeNameTests(SynchronousTestCase):
    """Whether a name is free."""

    def test_of_many(self) -> None:
        """Who asks about many names is answered as who asks about one."""
        names = {"a.goo", "f/b.goo", "f/g/c.goo", "h/i/j/d.goo"}
        for name in (*names, "f", "f/g", "h", "h/i/j", "h/i/j/d", "a.goo/x", "f/b.goo/x/y", "h/x", "fg", "f/g/x", "x"):
            said = []
            for folders in (None, folders_of(names)):
                try:
                    check_free(name, names, folders)
                    said.append("")
                except NameTaken as error:
                    said.append(error.message)
            self.assertEqual(said[0], said[1], name)


class RefusalTests(StoreTestCase):
    def test_names(self) -> None:
        """A name that could not be shown or stored safely is refused, saying why."""
        for name, word in (
            ("", "empty"),
            ("   ", "empty"),
            (".", "dot"),
            ("..", "dot"),
            (".bashrc", "dot"),
            ("../../etc/passwd", "dot"),
            ("a/.b/c.goo", "dot"),
            ("a/../b.goo", "dot"),
            ("a//b.goo", "without a name"),
            ("/a.goo", "without a name"),
            ("a/ /b.goo", "without a name"),
            ("a/", "without a name"),
            ("a\\b/c.goo", "contains \\"),
            ("a/" * 9 + "b.goo", "9 folders"),
            ("/".join(["n" * 199] * 5), "800 are possible"),
            ("a\\b.goo", "contains \\"),
            ("a\0.goo", "U+0000"),
            ("a\n.goo", "U+000A"),
            ("a\x9b.goo", "U+009B"),
            ("oog.\u202eexe", "U+202E"),
            ("a\u2066b", "U+2066"),
            ("a\u2028b", "U+2028"),
            ("a\udcffb", "U+DCFF"),
            ("\u00e4" * 101, "202 bytes"),
            ("d41d8cd98f00b204e9800998ecf8427e", "MD5"),
        ):
            error = self.assertRaises(BadName, self.store.begin, name, 100)
            self.check(error, "bad_name", word)
            self.assertTrue(error.message.isprintable())
        self.assertEqual(self.partials(), [])

    def test_readable(self) -> None:
        """A refusal shows a name in its own letters, and what could change the text around it by its number."""
        for name, shown in (
            ("Dra\u010dica \u9f99.goo", "'Dra\u010dica \u9f99.goo'"),
            ("a\n\u202eoog.\udcff", r"'a\n\u202eoog.\udcff'"),
        ):
            message = self.assertRaises(FileMissing, self.store.get, name).message
            self.assertEqual(message, f"no file {shown} is stored")

    def test_too_large(self) -> None:
        """A file over the limit is refused before it is sent, or as soon as it shows."""
        store = self.open(Limits(quota=0, max_size=100, reserve=0))
        self.check(self.assertRaises(FileTooLarge, store.begin, "a.goo", 101), "file_too_large", "101", "100")
        upload = store.begin("a.goo", None)
        upload.write(HEADER)
        self.check(self.assertRaises(FileTooLarge, upload.write, bytes(100)), "file_too_large", "112")
        self.assertEqual(self.partials(), [])

    def test_empty(self) -> None:
        """An empty file is refused, announced or not."""
        self.check(self.assertRaises(UnknownFormat, self.store.begin, "a.goo", 0), "unknown_format", "empty")
        error = self.failureResultOf(self.store.begin("a.goo", None).finish(), UnknownFormat).value
        self.check(error, "unknown_format", "empty")
        self.assertEqual(self.partials(), [])

    def test_unknown_format(self) -> None:
        """A wrong file is refused at its first bytes, not after the last."""
        upload = self.store.begin("a.goo", 2**30)
        upload.write(b"PK\x03\x04")
        self.check(self.assertRaises(UnknownFormat, upload.write, bytes(12)), "unknown_format", "ZIP")
        self.assertEqual(self.partials(), [])
        self.check(self.assertRaises(Interrupted, upload.write, bytes(12)), "interrupted")

    def test_too_short(self) -> None:
        """A few bytes of something are no file."""
        upload = self.store.begin("a.goo", None)
        upload.write(b"PK\x03\x04")
        self.check(self.failureResultOf(upload.finish(), UnknownFormat).value, "unknown_format", "ZIP")

    def test_truncated_goo(self) -> None:
        """A .goo without its end is refused: the print would stop after hours."""
        for content in (HEADER + bytes(100), goo()[:-1], goo() + b"\0", HEADER):
            upload = self.store.begin("a.goo", len(content))
            upload.write(content)
            error = self.failureResultOf(upload.finish(), UnknownFormat).value
            self.check(error, "unknown_format", "footer")
            self.assertIn("truncated", error.hint)
        self.assertEqual((self.blobs(), self.partials()), ([], []))

    def test_footer_in_pieces(self) -> None:
        """The end of a .goo is found however the last bytes are cut."""
        for cut in range(len(FOOTER) + 1):
            content = goo(b"cut %d" % cut)
            upload = self.store.begin("a.goo", len(content))
            upload.write(content[: -len(FOOTER)])
            upload.write(FOOTER[:cut])
            upload.write(FOOTER[cut:])
            self.successResultOf(upload.finish())

    def test_interrupted(self) -> None:
        """A sender that stops early, or sends more than it said, has stored nothing."""
        upload = self.store.begin("a.goo", 1000)
        upload.write(goo())
        self.check(self.failureResultOf(upload.finish(), Interrupted).value, "interrupted", "of 1000")
        upload = self.store.begin("a.goo", len(goo()) - 1)
        self.check(self.assertRaises(Interrupted, upload.write, goo()), "interrupted", "more came")
        self.assertEqual((self.blobs(), self.partials()), ([], []))

    def test_ended(self) -> None:
        """What has ended cannot be ended again, and aborting is always allowed."""
        upload = self.store.begin("a.goo", None)
        upload.abort()
        upload.abort()
        self.check(self.failureResultOf(upload.finish(), Interrupted).value, "interrupted")
        upload = self.store.begin("a.goo", None)
        upload.write(goo())
        self.successResultOf(upload.finish())
        upload.abort()
        self.check(self.failureResultOf(upload.finish(), Interrupted).value, "interrupted")
        self.assertEqual(len(self.store.list()), 1)

    def test_missing(self) -> None:
        """Asking for a file that is not there says so."""
        for key in ("nothing.goo", "0" * 32, "", "../names.json"):
            self.check(self.assertRaises(FileMissing, self.store.get, key), "file_missing")
            self.check(self.failureResultOf(self.store.delete(key), FileMissing).value, "file_missing")
        self.check(self.assertRaises(FileMissing, self.store.hold, "0" * 32), "file_missing")


class RoomTests(StoreTestCase):
    def test_quota(self) -> None:
        """What is stored counts against the quota, once for the same bytes."""
        content = goo(bytes(377))
        store = self.open(Limits(quota=1000, max_size=1000, reserve=0))
        self.put("a.goo", content, store)
        self.put("b.goo", content, store)
        self.assertEqual(store.usage[:2], (400, 1000))
        self.check(self.assertRaises(StoreFull, store.begin, "c.goo", 601), "store_full", "601", "600")
        store.begin("c.goo", 600).abort()

    def test_two_at_a_time(self) -> None:
        """Of two uploads that do not fit together only one may begin; the other may when the first gave up."""
        store = self.open(Limits(quota=1000, max_size=1000, reserve=0))
        first = store.begin("a.goo", 600)
        first.write(HEADER)
        self.check(self.assertRaises(StoreFull, store.begin, "b.goo", 401), "store_full")
        store.begin("c.goo", 400).abort()
        first.abort()
        store.begin("b.goo", 1000)

    def test_unannounced(self) -> None:
        """An upload of unknown length ends where the room ends, and leaves it as it was."""
        store = self.open(Limits(quota=1000, max_size=10_000, reserve=0))
        announced = store.begin("a.goo", 500)
        unknown = store.begin("b.goo", None)
        unknown.write(HEADER + bytes(400))
        self.check(self.assertRaises(StoreFull, unknown.write, bytes(GATHERED)), "store_full", "quota")
        announced.write(HEADER + bytes(477) + FOOTER)
        self.successResultOf(announced.finish())
        self.assertEqual(self.partials(), [])

    def test_reserve(self) -> None:
        """The disk keeps its reserve, also for what others announced and have not sent yet."""
        free = self.store.usage.free
        store = self.open(Limits(quota=0, max_size=2**62, reserve=2**30))
        self.assertGreater(free, 0)
        self.check(self.assertRaises(StoreFull, store.begin, "a.goo", free), "store_full", "stay reserved")
        store.configure(Limits(quota=0, max_size=2**62, reserve=2**61))
        self.assertRaises(StoreFull, store.begin, "a.goo", 1)
        store.configure(Limits(quota=0, max_size=2**62, reserve=0))
        store.begin("a.goo", free // 3 * 2)
        self.assertRaises(StoreFull, store.begin, "b.goo", free // 3 * 2)

    def test_reload(self) -> None:
        """New limits hold from the next upload on."""
        self.store.begin("a.goo", 5000).abort()
        self.store.configure(Limits(quota=0, max_size=1000, reserve=0))
        self.assertRaises(FileTooLarge, self.store.begin, "a.goo", 5000)
        self.store.configure(Limits(quota=1000, max_size=9000, reserve=0))
        self.assertRaises(StoreFull, self.store.begin, "a.goo", 5000)
        self.assertEqual(self.store.usage.quota, 1000)

    def test_disk_full_while_writing(self) -> None:
        """A disk that fills up under an upload is called full, and the upload leaves nothing behind."""
        upload = self.store.begin("a.goo", None)
        (partial,) = (str((self.directory / "partial" / name).absolute()) for name in self.partials())
        (descriptor,) = (
            int(link.name) for link in Path("/proc/self/fd").iterdir() if os.path.realpath(link) == partial
        )
        with open("/dev/full", "wb", buffering=0) as full:
            os.dup2(full.fileno(), descriptor)
        self.check(self.assertRaises(StoreFull, upload.write, goo()), "store_full", "full")
        self.assertEqual(self.partials(), [])

    def test_disk_full_at_the_end(self) -> None:
        """Wherever the disk refuses the end of an upload, the client hears so and nothing is left behind."""
        for method in ("seal", "place", "save"):
            for number, kind, code in (
                (errno.ENOSPC, StoreFull, "store_full"),
                (errno.EDQUOT, StoreFull, "store_full"),
                (errno.EIO, StoreError, "store_error"),
            ):
                store = self.open(offload=Failing(method, number))
                upload = store.begin("a.goo", None)
                upload.write(goo())
                self.check(self.failureResultOf(upload.finish(), kind).value, code)
                self.assertEqual((store.list(), self.blobs(), self.partials()), ([], [], []))
                self.put("a.goo", goo(), store)
                self.successResultOf(store.delete("a.goo"))

    def test_failed_replacement(self) -> None:
        """A new version that could not be written leaves the old one as it was."""
        old = self.put("a.goo", goo(b"old"))
        store = self.open(offload=Failing("save", errno.ENOSPC))
        upload = store.begin("a.goo", None)
        upload.write(goo(b"new"))
        self.failureResultOf(upload.finish(), StoreFull)
        self.assertEqual(store.get("a.goo"), old)
        self.assertEqual(self.blobs(), [f"{old.md5}.goo"])

    def test_failed_other_name(self) -> None:
        """Another name that could not be written down takes nothing from the first one."""
        old = self.put("a.goo", goo())
        store = self.open(offload=Failing("save", errno.ENOSPC))
        upload = store.begin("b.goo", None)
        upload.write(goo())
        self.failureResultOf(upload.finish(), StoreFull)
        self.assertEqual((store.list(), self.blobs()), ([old], [f"{old.md5}.goo"]))

    def test_delete_on_a_full_disk(self) -> None:
        """Deleting works on a full disk: it is the way out."""
        self.put("a.goo", goo())
        store = self.open(offload=Failing("save", errno.ENOSPC))
        self.successResultOf(store.delete("a.goo"))
        self.assertEqual((store.list(), self.blobs(), self.open().list()), ([], [], []))

    def test_removal_that_fails(self) -> None:
        """Bytes that the disk does not let go are tried again at the next start."""
        self.put("a.goo", goo())
        store = self.open(offload=Failing("remove", errno.EIO))
        self.successResultOf(store.delete("a.goo"))
        self.assertEqual(len(self.blobs()), 1)
        self.open()
        self.assertEqual(self.blobs(), [])


class SameBytesTests(StoreTestCase):
    def test_again(self) -> None:
        """The same upload twice is one file, as new as the second."""
        first = self.put("a.goo", goo())
        second = self.put("a.goo", goo())
        self.assertEqual(self.store.list(), [second])
        self.assertGreater(second.uploaded_at, first.uploaded_at)
        self.assertEqual((first.md5, first.path), (second.md5, second.path))
        self.assertEqual(len(self.blobs()), 1)

    def test_other_name(self) -> None:
        """The same bytes under two names are stored once, and stay until the last name goes."""
        first = self.put("a.goo", goo())
        second = self.put("b.goo", goo())
        self.assertEqual(self.store.list(), [first, second])
        self.assertEqual(len(self.blobs()), 1)
        self.successResultOf(self.store.delete("b.goo"))
        self.assertEqual(self.store.get(first.md5), first)
        self.successResultOf(self.store.delete("a.goo"))
        self.assertEqual((self.store.list(), self.blobs()), ([], []))

    def test_delete_by_md5(self) -> None:
        """Deleting by MD5 takes every name of the file."""
        file = self.put("a.goo", goo())
        self.put("b.goo", goo())
        other = self.put("c.goo", goo(b"other"))
        self.successResultOf(self.store.delete(file.md5))
        self.assertEqual(self.store.list(), [other])
        self.assertEqual(self.blobs(), [f"{other.md5}.goo"])

    def test_replace(self) -> None:
        """A re-sliced file takes the place of the old one."""
        old = self.put("a.goo", goo(b"old"))
        new = self.put("a.goo", goo(b"new"))
        self.assertEqual(self.store.list(), [new])
        self.assertRaises(FileMissing, self.store.get, old.md5)
        self.assertEqual(self.blobs(), [f"{new.md5}.goo"])

    def test_same_name_in_other_spelling(self) -> None:
        """A name composed and the same name decomposed are one name."""
        self.put("L\u00fcfter.goo", goo())
        file = self.put("Lu\u0308fter.goo", goo())
        self.assertEqual(self.store.list(), [file])
        self.assertEqual(self.store.get("Lu\u0308fter.goo"), file)
        self.successResultOf(self.store.delete("Lu\u0308fter.goo"))
        self.assertEqual(self.store.list(), [])

    def test_at_the_same_time(self) -> None:
        """Two people who send the same file at the same time both succeed, and so does a delete in between."""
        pool = Pool(slow=True)
        store = self.open(offload=pool)
        self.assertEqual(pool.begun, [])
        uploads = [store.begin("a.goo", None), store.begin("b.goo", None)]
        for upload in uploads:
            upload.write(goo())
        results = [upload.finish() for upload in uploads]
        gone = store.delete("a.goo")
        pool.work_off()
        self.assertEqual([self.successResultOf(result).name for result in results], ["a.goo", "b.goo"])
        self.failureResultOf(gone, FileMissing)
        gone = store.delete("a.goo")
        upload = store.begin("c.goo", None)
        upload.write(goo())
        finished = upload.finish()
        removed = store.delete("b.goo")
        pool.work_off()
        self.successResultOf(gone)
        self.successResultOf(removed)
        self.assertEqual(Path(self.successResultOf(finished).path).read_bytes(), goo())
        self.assertEqual([file.name for file in store.list()], ["c.goo"])

    def test_first_copy_stays(self) -> None:
        """Bytes that a job may be reading are not replaced by their equals."""
        first = self.put("a.goo", goo())
        before = os.stat(first.path)
        self.put("a.goo", goo())
        self.assertEqual(os.stat(first.path).st_ino, before.st_ino)


class HoldTests(StoreTestCase):
    def test_in_use(self) -> None:
        """A file that a job needs cannot be deleted until the last job let go."""
        file = self.put("a.goo", goo())
        self.assertEqual(self.store.hold(file.md5), file)
        self.store.hold(file.md5)
        self.store.release(file.md5)
        for key in ("a.goo", file.md5):
            self.check(self.failureResultOf(self.store.delete(key), FileInUse).value, "file_in_use", "a.goo")
        self.store.release(file.md5)
        self.successResultOf(self.store.delete("a.goo"))
        self.assertEqual(self.blobs(), [])

    def test_replaced_while_held(self) -> None:
        """A job goes on with the bytes that it began with when the file is replaced under its name."""
        old = self.put("a.goo", goo(b"old"))
        self.store.hold(old.md5)
        new = self.put("a.goo", goo(b"new"))
        self.assertEqual(self.store.list(), [new])
        self.assertEqual(self.store.get(old.md5), old)
        self.assertEqual(self.store.by_wire_name(wire_name(old)), old)
        self.assertEqual(Path(old.path).read_bytes(), goo(b"old"))
        self.assertEqual(self.store.usage.used, old.size + new.size)
        self.store.release(old.md5)
        self.assertEqual(self.blobs(), [f"{new.md5}.goo"])
        self.assertRaises(FileMissing, self.store.get, old.md5)

    def test_replaced_while_held_restart(self) -> None:
        """After a restart the job still finds the bytes that it began with; if it is over, they go."""
        old = self.put("a.goo", goo(b"old"))
        self.store.hold(old.md5)
        new = self.put("a.goo", goo(b"new"))
        store = self.open()
        store.hold(old.md5)
        self.successResultOf(store.expire(self.now, 3600))
        self.assertEqual(Path(store.get(old.md5).path).read_bytes(), goo(b"old"))
        store = self.open()
        self.assertEqual(self.successResultOf(store.expire(self.now, 3600)), [])
        self.assertEqual(self.blobs(), [f"{new.md5}.goo"])

    def test_uploaded_again_while_held(self) -> None:
        """Bytes that come back under a name have a name again."""
        old = self.put("a.goo", goo(b"old"))
        self.store.hold(old.md5)
        self.put("a.goo", goo(b"new"))
        self.put("b.goo", goo(b"old"))
        self.store.release(old.md5)
        self.assertEqual(self.store.get("b.goo").md5, old.md5)
        self.assertEqual(len(self.blobs()), 2)

    def test_holds_while_the_disk_works(self) -> None:
        """A job may begin or end while a change is being written; memory and disk agree afterwards."""
        pool = Pool(slow=True)
        store = self.open(offload=pool)
        file = self.put("a.goo", goo())
        store = self.open(offload=pool)
        deleted = store.delete("a.goo")
        store.hold(file.md5)
        pool.work_off()
        self.successResultOf(deleted)
        self.assertEqual((store.list(), store.get(file.md5)), ([], file))
        upload = store.begin("b.goo", None)
        upload.write(goo(b"other"))
        finished = upload.finish()
        while len(json.loads((self.directory / "names.json").read_text())["files"]) == 0:
            pool.work()
        store.release(file.md5)
        pool.work_off()
        other = self.successResultOf(finished)
        self.assertEqual(self.blobs(), [f"{other.md5}.goo"])
        self.assertEqual(self.open().list(), [other])
        self.assertEqual(self.asides(), [])

    def test_release_without_hold(self) -> None:
        """A hold that never was cannot be released: somebody else's would be."""
        file = self.put("a.goo", goo())
        self.assertRaises(ValueError, self.store.release, file.md5)

    def test_release_on_a_broken_disk(self) -> None:
        """A disk that fails when bytes are let go is in the log, not in the job's way."""
        file = self.put("a.goo", goo(b"old"))
        store = self.open(offload=Failing("save", errno.EIO, times=0))
        store.hold(file.md5)
        self.put("a.goo", goo(b"new"), store)
        store = self.open(offload=Failing("save", errno.EIO))
        store.hold(file.md5)
        store.release(file.md5)
        self.assertEqual(len(self.flushLoggedErrors(StoreError)), 1)

    def test_expire(self) -> None:
        """Files that nobody needs go when they are old enough."""
        self.now = 1000
        old = self.put("old.goo", goo(b"old"))
        held = self.put("held.goo", goo(b"held"))
        self.store.hold(held.md5)
        self.now = 5000
        new = self.put("new.goo", goo(b"new"))
        self.assertEqual(self.successResultOf(self.store.expire(5002, 4002)), [])
        self.assertEqual(self.successResultOf(self.store.expire(5100, 3600)), [old])
        self.assertEqual(self.store.list(), [held, new])
        self.assertEqual(len(self.blobs()), 2)

    def test_expire_one_name(self) -> None:
        """Bytes whose older name expired live on under the newer one."""
        self.now = 1000
        self.put("old.goo", goo())
        self.now = 5000
        new = self.put("new.goo", goo())
        self.successResultOf(self.store.expire(5100, 3600))
        self.assertEqual(self.store.list(), [new])
        self.assertEqual(len(self.blobs()), 1)


class RestartTests(StoreTestCase):
    def test_everything(self) -> None:
        """A restart finds every file as it was."""
        self.put("a.goo", goo())
        self.put("b.goo", goo())
        self.put("\u6a21\u578b \U0001f980.ctb", ctb())
        store = self.open()
        self.assertEqual(store.list(), self.store.list())
        self.assertEqual(store.usage.used, self.store.usage.used)
        for file in self.store.list():
            self.assertEqual(store.by_wire_name(wire_name(file)), file)

    def test_killed_anywhere(self) -> None:
        """Killed between any two steps on disk: what was answered is there, what was not left no rubbish."""
        self.put("a.goo", goo(b"first"))
        self.put("b.goo", goo(b"second"))
        before = {"a.goo": goo(b"first"), "b.goo": goo(b"second")}
        after = {"a.goo": goo(b"third")}
        pool = Pool(slow=True)
        store = self.open(offload=pool)
        upload = store.begin("a.goo", None)
        upload.write(goo(b"third"))
        results: list[Deferred[Any]] = [upload.finish(), store.delete("b.goo")]
        seen = []
        while True:
            copy = Path(self.mktemp())
            shutil.copytree(self.directory, copy)
            found = FileStore(copy, LIMITS, at_once, self.wall)
            content = {file.name: Path(file.path).read_bytes() for file in found.list()}
            seen.append(content)
            self.assertEqual(list((copy / "partial").iterdir()), [])
            self.assertEqual(len(list((copy / "blobs").iterdir())), len(content))
            self.assertEqual(list(copy.glob("*.damaged*")), [])
            if not pool.begun:
                break
            pool.work()
        for result in results:
            self.successResultOf(result)
        middle = {"a.goo": goo(b"first")}  # the upload is still being sealed
        self.assertEqual(
            [c for c, last in zip(seen, [None, *seen], strict=False) if c != last], [before, middle, after]
        )

    def test_partials(self) -> None:
        """What an upload left half done is swept at the next start."""
        upload = self.store.begin("a.goo", None)
        upload.write(HEADER)
        self.assertEqual(len(self.partials()), 1)
        self.open()
        self.assertEqual(self.partials(), [])
        upload.abort()

    def test_foreign_files(self) -> None:
        """What somebody else put into the spool is left alone."""
        (self.directory / "blobs" / "README").write_text("mine")
        (self.directory / "blobs" / ("0" * 32 + ".goo")).symlink_to("/etc/passwd")
        self.assertEqual(self.open().list(), [])
        self.assertEqual(len(self.blobs()), 2)

    def test_symbolic_link(self) -> None:
        """A spool whose parts are links elsewhere is refused, saying which."""
        shutil.rmtree(self.directory / "blobs")
        (self.directory / "blobs").symlink_to("/tmp")
        error = self.assertRaises(ConfigError, self.open)
        self.assertIn("blobs", error.message)
        self.assertTrue(error.hint)


class DamageTests(StoreTestCase):
    def record(self) -> Path:
        return self.directory / "names.json"

    def test_truncated_record(self) -> None:
        """A damaged record costs the names, never the files; the record is kept for whoever can read it."""
        first = self.put("a.goo", goo())
        second = self.put("b.ctb", ctb())
        whole = self.record().read_bytes()
        for number, damage in enumerate((whole[: len(whole) // 2], b"", b"[]", b"\xff\xfe", b'{"files": 1}'), 1):
            self.record().write_bytes(damage)
            store = self.open()
            self.assertEqual(
                {(file.name, file.md5, file.size, file.format, file.version) for file in store.list()},
                {
                    (f"{first.md5}.goo", first.md5, first.size, "goo", "3.0"),
                    (f"{second.md5}.ctb", second.md5, second.size, "ctb", "3"),
                },
            )
            self.assertEqual((self.directory / f"names.json.damaged-{number}").read_bytes(), damage)
            self.assertEqual(store.list(), self.open().list())

    def test_record_that_leads_elsewhere(self) -> None:
        """A record that was tampered with gives no way out of the spool."""
        file = self.put("a.goo", goo())
        self.record().write_text(self.record().read_text().replace(file.md5, "../../etc/passwd"))
        self.assertEqual([found.md5 for found in self.open().list()], [file.md5])

    def test_lost_record(self) -> None:
        """Without a record the files come back under their MD5."""
        file = self.put("a.goo", goo())
        self.record().unlink()
        self.assertEqual([found.name for found in self.open().list()], [f"{file.md5}.goo"])
        self.assertEqual(self.asides(), [])

    def test_missing_blob(self) -> None:
        """A file whose bytes are gone is dropped, the others keep their names, and the record is kept."""
        lost = self.put("a.goo", goo(b"a"))
        kept = self.put("b.goo", goo(b"b"))
        os.unlink(lost.path)
        store = self.open()
        self.assertEqual(store.list(), [kept])
        self.assertEqual(self.asides(), ["names.json.damaged-1"])
        self.assertIn("a.goo", (self.directory / "names.json.damaged-1").read_text())
        self.open()
        self.assertEqual(self.asides(), ["names.json.damaged-1"])

    def test_truncated_blob(self) -> None:
        """A file that lost its end is never given to a printer, and not deleted either."""
        file = self.put("a.goo", goo())
        os.truncate(file.path, 20)
        self.assertEqual(self.open().list(), [])
        self.assertEqual(self.blobs(), [f"{file.md5}.goo.damaged"])
        self.assertEqual(self.put("a.goo", goo(), self.open()).size, file.size)

    def test_unrecoverable_blob(self) -> None:
        """Among recovered files is nothing that is no sliced file any more."""
        zeroed = self.put("a.goo", goo(b"a"))
        swapped = self.put("b.goo", goo(b"b"))
        Path(zeroed.path).write_bytes(bytes(zeroed.size))
        Path(swapped.path).write_bytes(ctb())
        self.record().unlink()
        self.assertEqual(self.open().list(), [])
        self.assertEqual(self.blobs(), sorted(f"{file.md5}.goo.damaged" for file in (zeroed, swapped)))


class NameTests(StoreTestCase):
    def wire(self, name: str) -> str:
        return wire_name(self.put(name, goo()))

    def test_wire_names(self) -> None:
        """A printer sees a short ASCII name in which people recognise theirs."""
        tail = f"_{hashlib.md5(goo()).hexdigest()[:8]}.goo"
        for name, stem in (
            ("benchy.goo", "benchy"),
            ("benchy", "benchy"),
            ("BENCHY.GOO", "BENCHY"),
            ("plate v1.2 (3).goo", "plate_v1_2_3"),
            ("L\u00fcfter.goo", "Lufter"),
            ("a" * 60 + ".goo", "a" * 19),
            ("_CHITUBOX_model.prz", "CHITUBOX_model"),
            ("\u6a21\u578b.goo", "file"),
            ("$(reboot).goo", "reboot"),
            ("-rf.goo", "rf"),
        ):
            self.assertEqual(self.wire(name), stem + tail)
            self.assertLessEqual(len(stem + tail), 32)

    def test_unchanged_by_restart(self) -> None:
        """After a restart the name that a printer reports leads to the file again."""
        file = self.put("benchy.goo", goo())
        wire = wire_name(file)
        self.assertEqual(self.open().by_wire_name(wire), file)

    def test_other_bytes_other_wire_name(self) -> None:
        """A name that a printer knows always means the same bytes."""
        self.assertNotEqual(wire_name(self.put("a.goo", goo(b"old"))), wire_name(self.put("a.goo", goo(b"new"))))

    def test_by_other_name(self) -> None:
        """A print is recognised by its bytes when the name that it was sent under is gone."""
        first = self.put("a.goo", goo())
        second = self.put("b.goo", goo())
        self.assertEqual(self.store.by_wire_name(wire_name(first)), first)
        self.successResultOf(self.store.delete("a.goo"))
        self.assertEqual(self.store.by_wire_name(wire_name(first)), second)

    def test_unknown_wire_names(self) -> None:
        """A file that was printed from a stick is nobody's."""
        self.put("a.goo", goo())
        for name in ("", "test.goo", "a.goo", "a_00000000.goo", "a_0000000.goo", "../a_00000000.goo"):
            self.assertIsNone(self.store.by_wire_name(name))

    @settings(derandomize=True, deadline=None, max_examples=300)
    @given(st.text(max_size=80))
    def test_any_text(self, text: str) -> None:
        """Any text is either refused as a name or kept, and its name on the wire is always safe."""
        try:
            name = display_name(text)
        except BadName as error:
            self.check(error, "bad_name")
            return
        self.assertEqual(display_name(name), name)
        file = StoredFile(name, "0123456789abcdef" * 2, 1, "ctb", "4", 0.0, "/")
        self.assertRegex(wire_name(file), WIRE)
        self.assertLessEqual(len(wire_name(file)), 32)
        self.assertRegex(wire_name(file), r"\A[A-Za-z0-9][A-Za-z0-9_-]*_01234567\.ctb\Z")

    @settings(derandomize=True, deadline=None, max_examples=15)
    @given(st.text(max_size=40))
    def test_any_name_is_found_again(self, text: str) -> None:
        """A name that was taken is found again, as it is and as printers know it, also after a restart."""
        with tempfile.TemporaryDirectory(dir=self.directory) as directory:
            store = FileStore(Path(directory), LIMITS, at_once, self.wall)
            try:
                upload = store.begin(text, None)
            except BadName:
                return
            upload.write(goo())
            file = self.successResultOf(upload.finish())
            for found in (store, FileStore(Path(directory), LIMITS, at_once, self.wall)):
                self.assertEqual(found.get(text), file)
                self.assertEqual(found.by_wire_name(wire_name(file)), file)
