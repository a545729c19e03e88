"""Row ``files``: a large file into the daemon and out of it, and what that does to its memory.

One decision: curl makes the load, because it is what people use, and the file is mostly a hole, because the source
must not be what is measured. The bare server writes, hashes and syncs the same bytes, so the disk is in both.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import md5
from math import nan
from pathlib import Path
from urllib.parse import urlsplit

from msgspec import Struct

from sdcpd.simulator.slicing import write_goo
from tests.bench.processes import Bench, Child, fetch
from tests.bench.rivals import Missing, nginx
from tests.bench.table import Beside, Comparison, Scale, say

__all__ = ["run", "uploads"]

_END = b"\x00\x00\x00\x07\x00\x00\x00DLP\x00"
_SAMPLE = 0.02
_TURNS = 2


class _Moved(Struct, frozen=True):
    rate: float
    growth: int
    cpu: float


def sparse_goo(path: Path, size: int) -> Path:
    """A .goo (V3) of this size: head and previews, one layer, a hole, the end of file."""
    write_goo(path, layers=1)
    with path.open("r+b") as goo:
        goo.truncate(max(size, path.stat().st_size) - len(_END))
        goo.seek(0, 2)
        goo.write(_END)
    return path


@contextmanager
def uploads(bench: Bench, port: int, count: int, size: int) -> Iterator[None]:
    """So many uploads at once for as long as the context lasts; each file is sent again when it has arrived."""
    source = sparse_goo(bench.directory / "again.goo", min(size, 300 * 10**6))
    url = f"http://127.0.0.1:{port}/v1/files"
    running = [bench.program("curl", *_again(source, f"{url}/again-{number}.goo")) for number in range(count)]
    try:
        yield
    finally:
        for one in running:
            one.end()


def _again(source: Path, url: str) -> list[str]:
    # One process for all of them, so that its end is the end of the uploads.
    each = ["-s", "-o", "/dev/null", "-T", str(source), url]
    return [word for number in range(200) for word in (*(["--next"] if number else []), *each)]


def _moved(bench: Bench, server: Child, size: int, *curl: str) -> _Moved:
    before, peak, cpu = server.rss(), 0, server.cpu()
    start = time.monotonic()
    running = bench.program("curl", "-sS", "--fail", "-o", "/dev/null", *curl)
    while running.alive:
        peak = max(peak, server.rss())
        time.sleep(_SAMPLE)
    took = time.monotonic() - start
    if status := running.wait(1):
        raise ChildProcessError(f"curl ended with {status}: {running.last_words()}")
    peak = max(peak, server.rss())
    return _Moved(size / took / 1e6, max(0, peak - before), server.cpu() - cpu)


def _both(bench: Bench, server: Child, size: int, source: Path, sent: str, fetched: str) -> tuple[_Moved, _Moved]:
    up = _moved(bench, server, size, "-T", str(source), sent)
    return up, _moved(bench, server, size, fetched)


def _best(found: list[_Moved]) -> _Moved:
    """The fastest of several, with the largest growth: a disk has bad moments, a memory leak has none."""
    best = max(found, key=lambda moved: moved.rate)
    return _Moved(best.rate, max(moved.growth for moved in found), min(moved.cpu for moved in found))


def _hashing() -> float:
    """Bytes per second that one core of this machine hashes, doing nothing else."""
    digest, piece, pieces = md5(usedforsecurity=False), bytes(2**16), 2_000
    start = time.process_time()
    for _ in range(pieces):
        digest.update(piece)
    return pieces * len(piece) / (time.process_time() - start)


def run(scale: Scale) -> Comparison:
    """Send and fetch the file, by the daemon, by the bare server and by nginx, in turns."""
    with Bench() as bench:
        size = scale.file
        free = shutil.disk_usage(bench.directory).free
        if free < 4 * size:
            size = free // 5
            say(f"NOTE: only {free / 1e9:.1f} GB free in {bench.directory.parent}; the file has {size / 1e9:.2f} GB")
        source = sparse_goo(bench.directory / "large.goo", size)
        size = source.stat().st_size
        daemon = bench.daemon()
        daemon.wait_ready()
        port = daemon.port("web")
        place = bench.directory / "bare"
        place.mkdir()
        server, bare_port = bench.ceiling("files", str(place))
        fetch(bare_port, "/")
        rivals: list[tuple[str, Child, str]] = [
            ("sdcpd", daemon, f"http://127.0.0.1:{port}/v1/files/large.goo"),
            ("bare", server, f"http://127.0.0.1:{bare_port}/received"),
        ]
        try:
            other, other_port = nginx(bench)
        except Missing as error:
            say(f"files: without nginx, {error}")
        else:
            rivals.append(("nginx", other, f"http://127.0.0.1:{other_port}/large.goo"))
        daemon.settle(5.0)
        found: dict[str, list[tuple[_Moved, _Moved]]] = {name: [] for name, _, _ in rivals}
        for turn in range(_TURNS):
            for name, child, url in rivals:
                say(f"files: {size / 1e6:,.0f} MB to {name} and back, {turn + 1} of {_TURNS}")
                found[name].append(_both(bench, child, size, source, url, url))
                if name == "bare":
                    (place / "received").unlink()
                else:
                    fetch(urlsplit(url).port or 0, urlsplit(url).path, method="DELETE")
    return _table(
        size,
        {name: (_best([up for up, _ in pairs]), _best([down for _, down in pairs])) for name, pairs in found.items()},
    )


def _table(size: int, found: dict[str, tuple[_Moved, _Moved]]) -> Comparison:
    nothing = _Moved(nan, 0, nan)
    up, down = ([found.get(name, (nothing, nothing))[way] for name in ("sdcpd", "bare", "nginx")] for way in (0, 1))
    lines: list[Beside] = []
    for what, moved in (("upload", up), ("download", down)):
        lines += (
            Beside(what, tuple(one.rate for one in moved), "MB/s", True, (0, 0.5)),
            Beside(f"{what}: CPU", tuple(one.cpu * 1e9 / size for one in moved), "s/GB", False),
            Beside(
                f"{what}: memory growth", (moved[0].growth / 1e6, moved[1].growth / 1e6, nan), "MB", False, budget=10.0
            ),
        )
    return Comparison(
        f"files: one of {size / 1e6:,.0f} MB",
        "twisted.web that writes, hashes (MD5) and syncs the streamed body, and static.File for the download",
        ("sdcpd", "bare", "nginx"),
        tuple(lines),
        (
            f"Wall time of curl from start to end, the better of {_TURNS}; each upload but nginx's ends with fsync.",
            "nginx (one process) neither hashes what it receives nor waits for the disk, and sends by sendfile.",
            f"MD5 alone, by which printers check what they fetch: {_hashing() / 1e6:,.0f} MB/s of a core.",
        ),
    )
