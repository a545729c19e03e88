"""Row ``files``: a large file into the daemon and out of it, and what that does to its memory.

One decision: curl makes the load, because it is what people use, and the file is mostly a hole, because the source
must not be what is measured. The bare server writes, hashes and syncs the same bytes, so the disk is in both.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from msgspec import Struct

from sdcpd.simulator.slicing import write_goo
from tests.bench.processes import Bench, Child, fetch
from tests.bench.table import Line, Scale, Table, say

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


def run(scale: Scale) -> Table:
    """Send and fetch the file, by the daemon and by the bare server, in turns."""
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
        daemon.settle(5.0)
        ours: list[tuple[_Moved, _Moved]] = []
        bare: list[tuple[_Moved, _Moved]] = []
        for turn in range(_TURNS):
            say(f"files: {size / 1e6:,.0f} MB to bare twisted.web and back, {turn + 1} of {_TURNS}")
            url = f"http://127.0.0.1:{bare_port}/received"
            bare.append(_both(bench, server, size, source, url, url))
            (place / "received").unlink()
            say(f"files: {size / 1e6:,.0f} MB to sdcpd and back, {turn + 1} of {_TURNS}")
            url = f"http://127.0.0.1:{port}/v1/files/large.goo"
            ours.append(_both(bench, daemon, size, source, url, url))
            fetch(port, "/v1/files/large.goo", method="DELETE")
    up, down = (_best([pair[way] for pair in ours]) for way in (0, 1))
    bare_up, bare_down = (_best([pair[way] for pair in bare]) for way in (0, 1))
    gigabytes = size / 1e9
    return Table(
        f"files: one of {size / 1e6:,.0f} MB",
        "twisted.web that writes, hashes (MD5) and syncs the streamed body; static.File for the download",
        (
            Line("upload", up.rate, "MB/s", bare_up.rate),
            Line("upload: CPU", up.cpu / gigabytes, "s/GB", bare_up.cpu / gigabytes),
            Line("upload: memory growth", up.growth / 1e6, "MB", bare_up.growth / 1e6, 10.0),
            Line("download", down.rate, "MB/s", bare_down.rate),
            Line("download: CPU", down.cpu / gigabytes, "s/GB", bare_down.cpu / gigabytes),
            Line("download: memory growth", down.growth / 1e6, "MB", bare_down.growth / 1e6, 10.0),
        ),
        (f"Wall time from the start of curl to its end, the better of {_TURNS}; each upload ends with fsync.",),
    )
