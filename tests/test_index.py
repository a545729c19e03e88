"""What the daemon remembers of a stored file, and when it looks again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from msgspec import Struct
from msgspec.structs import replace
from twisted.internet.defer import Deferred, execute
from twisted.trial.unittest import SynchronousTestCase

from sdcpd.errors import StoreError
from sdcpd.files import FileStore, Limits, StoredFile
from sdcpd.index import VERSION, FileIndex, Indexes, read_index
from tests.codec.test_ctb_encrypted import KEY, encrypted_file
from tests.codec.vectors import PLAIN, vector
from tests.fakes import logged

T = TypeVar("T")


class Pool:
    """An ``Offload`` that notes what it was given and does it at once."""

    def __init__(self) -> None:
        self.done: list[str] = []

    def __call__(self, function: Callable[..., T], *args: object) -> Deferred[T]:
        self.done.append(getattr(function, "__name__", ""))
        return execute(function, *args)


class Held(Struct):
    """Some bytes on the disk."""

    md5: str
    size: int
    path: str


class IndexTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.directory = Path(self.mktemp())
        self.directory.mkdir()
        self.pool = Pool()
        self.indexes = self.open()

    def open(self, *contents: str) -> Indexes:
        indexes = Indexes(self.directory / "index", self.pool)
        indexes.open(contents)
        return indexes

    def held(self, data: bytes, md5: str = "0" * 32) -> Held:
        path = self.directory / md5
        path.write_bytes(data)
        return Held(md5, len(data), str(path))

    def ask(self, held: Held, indexes: Indexes | None = None) -> FileIndex:
        return self.successResultOf((indexes or self.indexes).of(held))

    def names(self) -> list[str]:
        return sorted(path.name for path in (self.directory / "index").iterdir())

    def test_every_format(self) -> None:
        """Head and layers of every format that can be read are known when the file is here."""
        for name in PLAIN:
            held = self.held(vector(name))
            index = read_index(held.path, held.size)
            self.assertEqual((index.problem, len(index.layers)), ("", 4))
            assert index.sliced is not None
            self.assertEqual((index.sliced.resolution, index.size), ((16, 12), held.size))
            self.assertEqual((index.layer_count, index.height), (4, index.layers[-1].z or index.sliced.height))

    def test_without_layers(self) -> None:
        """What the layers do not tell is taken from the head, and what that does not tell either is not known."""
        held = self.held(vector(PLAIN[0]))
        whole = read_index(held.path, held.size)
        assert whole.sliced is not None
        told = replace(whole.sliced, layer_count=7, height=3.5)
        tall = [replace(layer, z=9.0) for layer in whole.layers]
        flat = [replace(layer, z=None) for layer in whole.layers]
        for layers, head, expected in (
            (tall, told, (4, 9.0)),
            (flat, told, (4, 3.5)),
            ([], told, (7, 3.5)),
            ([], None, (None, None)),
        ):
            index = replace(whole, sliced=head, layers=layers)
            self.assertEqual((index.layer_count, index.height), expected)

    def test_once(self) -> None:
        """A file is read once: then it is in memory, after a restart in its index."""
        held = self.held(vector("tiny.goo"))
        first = self.ask(held)
        reads = len(self.pool.done)
        self.assertEqual(self.ask(held), first)
        self.assertEqual(len(self.pool.done), reads)
        Path(held.path).unlink()
        self.assertEqual(self.ask(held, self.open(held.md5)), first)
        self.assertEqual(self.names(), [f"{held.md5}.index"])

    def test_made_anew(self) -> None:
        """An index that is damaged, of another version or of another file is made anew."""
        held = self.held(vector("tiny.goo"))
        good = self.ask(held)
        path = self.directory / "index" / f"{held.md5}.index"
        encode = msgspec.msgpack.encode
        for bad in (
            b"",
            b"\xff" * 100,
            path.read_bytes()[:-10],
            encode(FileIndex(VERSION + 1, held.size, None, [])),
            encode(FileIndex(VERSION, held.size + 1, None, [])),
        ):
            path.write_bytes(bad)
            self.assertEqual(self.ask(held, self.open(held.md5)), good)
            self.assertEqual(msgspec.msgpack.decode(path.read_bytes(), type=FileIndex), good)

    def test_unreadable(self) -> None:
        """What cannot be read is remembered with the reason, and as much as could be."""
        data = vector("tiny.goo")
        index = self.ask(self.held(data[:1000]))
        self.assertEqual((index.sliced, index.layers, index.problem_code), (None, [], "truncated_file"))
        self.assertTrue(index.problem)
        cut = self.ask(self.held(data[:195_500], "1" * 32))
        self.assertIsNotNone(cut.sliced)
        self.assertEqual((cut.layers, cut.problem_code), ([], "truncated_file"))

    def test_encrypted(self) -> None:
        """Of an encrypted file what can be had is remembered; that the rest cannot is no problem of the file."""
        index = self.ask(self.held(vector("tiny_enc_v4.ctb")))
        assert index.sliced is not None
        self.assertEqual((index.sliced.encrypted, index.problem), (True, ""))

    def test_full_disk(self) -> None:
        """An index that cannot be written is still there to be used, and the log says so."""
        lines = logged(self, "warn")
        (self.directory / "index").rmdir()
        self.assertEqual(len(self.ask(self.held(vector("tiny.goo"))).layers), 4)
        self.assertEqual(len(lines), 1)

    def test_lost_bytes(self) -> None:
        """A content that is no longer on the disk is the store's error."""
        self.failureResultOf(self.indexes.of(Held("2" * 32, 10, str(self.directory / "none"))), StoreError)

    def test_bounded(self) -> None:
        """Only so many layers are kept in memory; those not looked at for longest go."""
        held = [self.held(vector("tiny.goo"), f"{n:032x}") for n in range(3)]
        big = msgspec.structs.replace(self.ask(held[0]), layers=self.ask(held[0]).layers * 12_500)
        for one in held:
            self.successResultOf(self.indexes.keep(one.md5, big))
        reads = len(self.pool.done)
        self.ask(held[2])
        self.assertEqual(len(self.pool.done), reads)
        self.ask(held[0])
        self.assertEqual(len(self.pool.done), reads + 1)

    def test_swept(self) -> None:
        """Indexes of files that are no longer there are removed at the start."""
        for md5 in ("a" * 32, "b" * 32):
            self.ask(self.held(vector("tiny.goo"), md5))
        (self.directory / "index" / f"{'a' * 32}.tmp").write_bytes(b"half")
        self.open("b" * 32)
        self.assertEqual(self.names(), [f"{'b' * 32}.index"])

    def test_key(self) -> None:
        """A key that comes later opens files that were read without it, in memory and on the disk; once is enough."""
        held = self.held(encrypted_file())
        locked = self.ask(held)
        assert locked.sliced is not None
        self.assertEqual((locked.sliced.resolution, locked.sliced.pictures_known, len(locked.layers)), (None, False, 3))
        restarted = self.open(held.md5)
        restarted.configure(KEY)
        self.indexes.configure(KEY)
        for indexes in (self.indexes, restarted):
            opened = self.ask(held, indexes)
            assert opened.sliced is not None
            self.assertEqual((opened.sliced.resolution, opened.sliced.pictures_known), ((40, 30), True))
        self.indexes.configure(None)
        self.assertEqual(self.ask(held), opened)
        Path(held.path).unlink()
        kept = self.open(held.md5)
        kept.configure(KEY)
        self.assertEqual(self.ask(held, kept), opened)


class StoreTests(SynchronousTestCase):
    """The index comes and goes with the bytes."""

    def setUp(self) -> None:
        self.directory = Path(self.mktemp())
        self.pool = Pool()
        self.store = FileStore(self.directory, Limits(0, 2**31, 0), self.pool, lambda: 1.0)

    def put(self, name: str, **more: Any) -> Deferred[StoredFile]:
        upload = self.store.begin(name, None, **more)
        upload.write(vector("tiny.goo"))
        return upload.finish()

    def names(self) -> list[str]:
        return [path.suffix for path in (self.directory / "index").iterdir()]

    def test_with_the_bytes(self) -> None:
        """One index for all names of a content, gone with the last of them."""
        self.successResultOf(self.put("a.goo"))
        file = self.successResultOf(self.put("b.goo"))
        self.assertEqual(self.names(), [".index"])
        self.pool.done.clear()
        self.assertEqual(len(self.successResultOf(self.store.indexes.of(file)).layers), 4)
        self.assertEqual(self.pool.done, [])
        self.successResultOf(self.store.delete("a.goo"))
        self.assertEqual(self.names(), [".index"])
        self.successResultOf(self.store.delete("b.goo"))
        self.assertEqual(self.names(), [])

    def test_checked(self) -> None:
        """A file that is refused for what it holds leaves nothing behind."""
        seen: list[FileIndex] = []

        def check(index: FileIndex) -> None:
            seen.append(index)
            raise StoreError("not this one")

        self.failureResultOf(self.put("a.goo", check=check), StoreError)
        self.assertEqual(len(seen[0].layers), 4)
        self.assertEqual((self.names(), self.store.list()), ([], []))
        self.assertEqual(list((self.directory / "partial").iterdir()), [])
