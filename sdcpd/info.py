"""``sdcp-info``: what a sliced file holds, its pictures, and whether it is sound, on the command line.

One decision: it is a program of its own that happens to come with the daemon. It needs no configuration, no network
and no reactor, so that it says of a file on any machine what the daemon would say of it.
"""

from __future__ import annotations

import argparse
import json
import os
import stat
import sys
from collections.abc import Sequence
from typing import Any, TextIO

from sdcpd.codec.ctb_encrypted import FINGERPRINT, parse_key
from sdcpd.codec.png import rgb_png
from sdcpd.codec.sliced import (
    CtbKey,
    FileSource,
    Layer,
    SlicedFile,
    layer_data,
    preview,
    read_head,
    read_layers,
)
from sdcpd.codec.verify import Finding, Progress, verify
from sdcpd.errors import BadFile, NotDecodable, SdcpdError
from sdcpd.facts import document, escaped, lines

__all__ = ["main", "run"]

WIDTH = 960
"""Pixels of a layer's picture, unless another width is asked for."""
WIDEST = 4096
SHOWN = 20
"""Findings that are listed for people; programs get all."""
_BAR = 30
_KEY_BYTES = 1024


def main() -> None:
    """The console script."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # a terminal that does not know a letter still gets the rest
    try:
        status = run(sys.argv[1:], sys.stdout, sys.stderr)
        sys.stdout.flush()
    except BrokenPipeError:  # as in "... | head": nobody wants the rest
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 0
    except KeyboardInterrupt:
        status = 130
    raise SystemExit(status)


def run(arguments: Sequence[str], out: TextIO, err: TextIO, fingerprint: str = FINGERPRINT) -> int:
    """Do what the command line says: 0 if all files are sound as far as was looked, 1 if not.

    ``fingerprint`` is that of the key which ``--key-file`` should hold.

    Raises ``SystemExit`` with 2 for a wrong command line, after a line that says what is wrong with it.
    """
    parser = _parser()
    options = parser.parse_args(arguments)
    pictures = options.thumbnail is not None or options.layer is not None
    if pictures and len(options.files) > 1:
        parser.error("--thumbnail and --layer take one file")
    if options.quick and not options.verify:
        parser.error("--quick goes with --verify")
    number = _layer_number(parser, options)
    try:
        key = _key(options.key_file, fingerprint) if options.key_file else None
    except (OSError, SdcpdError) as error:
        return _complain(err, options.key_file, error)
    status = 0
    for path in options.files:
        try:
            with _Opened(path, options, number, key, out, err) as opened:
                status = max(status, opened.show())
        except BrokenPipeError:
            raise
        except (OSError, SdcpdError) as error:
            status = _complain(err, path, error)
    return status


class _Opened:
    """One file of the command line, while it is looked at."""

    def __init__(
        self, path: str, options: Any, number: int | None, key: CtbKey | None, out: TextIO, err: TextIO
    ) -> None:
        self._path = path
        self._options = options
        self._number = number
        self._key = key
        self._out = out
        self._err = err

    def __enter__(self) -> _Opened:
        # Not blocking: a pipe that nobody writes to would keep us for ever.
        self._descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        found = os.fstat(self._descriptor)
        if not stat.S_ISREG(found.st_mode):
            os.close(self._descriptor)
            raise BadFile("expected a file, found a directory, a pipe or a device", "Name the .goo or .ctb file.")
        self._source = FileSource(self._descriptor, found.st_size)
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)

    def show(self) -> int:
        """What is asked for; 1 if the file is not sound, 0 otherwise. Raises ``BadFile``, ``OSError``."""
        options, source = self._options, self._source
        sliced = read_head(source, self._key)
        layers: list[Layer] = []
        problem: BadFile | None = None
        try:
            if sliced.layers_known:
                read_layers(source, sliced, layers)
        except BadFile as error:
            problem = error
        if options.thumbnail is not None:
            width, height, rgb = preview(source, sliced)
            self._write(options.thumbnail, rgb_png(width, height, rgb), f"the thumbnail, {width} x {height} pixels")
        if self._number is not None:
            self._picture(sliced, layers, problem, self._number, options.layer[1])
        pictures = options.thumbnail is not None or self._number is not None
        findings = list(self._verify(sliced, layers)) if options.verify else None
        if options.json:
            self._document(sliced, layers, problem, findings)
        elif not pictures:
            self._print(escaped(self._path))
            for line in lines(sliced, layers, source.size):
                self._print(line)
        if findings is not None:
            if not options.json:
                self._findings(findings, layers)
            return int(any(found.level == "error" for found in findings))
        if problem is not None and not pictures:
            raise problem
        return 0

    def _document(
        self, sliced: SlicedFile, layers: list[Layer], problem: BadFile | None, findings: list[Finding] | None
    ) -> None:
        """One line of JSON for the file; its ``file`` is what the command line called it."""
        found: dict[str, Any] = {"file": self._path, **document(sliced, layers, self._source.size)}
        found["problem"] = problem and problem.message
        if findings is not None:
            found["findings"] = [
                {"level": one.level, "code": one.code, "layer": one.layer, "message": one.message} for one in findings
            ]
        self._print(json.dumps(found))

    def _picture(
        self, sliced: SlicedFile, layers: list[Layer], problem: BadFile | None, number: int, path: str
    ) -> None:
        """Write the picture of a layer, as the slicer showed it."""
        if number > len(layers):
            if problem is not None:
                raise problem
            if not sliced.layers_known:
                raise NotDecodable(f"the layers of {sliced.format.upper()} {sliced.version} cannot be shown")
            raise BadFile(f"the file has {len(layers)} layers, none with number {number}", "Count them from 1.")
        data = layer_data(self._source, sliced, layers[number - 1], self._key)
        from sdcpd.codec.raster import shown

        picture = shown(data, sliced, self._options.width or WIDTH)
        self._write(path, picture.png(), f"layer {number} of {len(layers)}, {picture.width} x {picture.height} pixels")

    def _write(self, path: str, image: bytes, what: str) -> None:
        """Write a picture, but never over the file that it is of."""
        if os.path.exists(path) and os.path.samestat(os.stat(path), os.fstat(self._descriptor)):
            raise BadFile(f"the picture would be written over the file itself, {path!a}", "Give it another name.")
        with open(path, "wb") as file:
            file.write(image)
        if not self._options.json:
            self._print(f"{escaped(path)}: {what}")

    def _verify(self, sliced: SlicedFile, layers: list[Layer]) -> list[Finding]:
        bar = _Bar(self._err)
        progress: Progress = bar.show if self._err.isatty() else lambda done, count: None
        try:
            return list(verify(self._source, sliced, layers, progress, self._key, self._options.quick))
        finally:
            bar.clear()

    def _findings(self, findings: list[Finding], layers: list[Layer]) -> None:
        for found in findings[:SHOWN]:
            self._print(f"  {found.level:<7}  {escaped(found.message)}")
        if len(findings) > SHOWN:
            self._print(f"  ... and {len(findings) - SHOWN} more; --json lists all")
        if not findings:
            looked = "first, middle and last layer" if self._options.quick else f"{len(layers):,} layers"
            self._print(f"  Verified: {looked}, nothing wrong")

    def _print(self, line: str) -> None:
        print(line, file=self._out)


class _Bar:
    """How far the work is, in one line of a terminal that is wiped at the end."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._percent = -1

    def show(self, done: int, count: int) -> None:
        """Draw it, if it looks another."""
        percent = 100 * done // count
        if percent == self._percent:
            return
        self._percent = percent
        filled = "#" * (_BAR * done // count)
        self._stream.write(f"\r  [{filled:<{_BAR}}] {percent:3} %  layer {done} of {count}")
        self._stream.flush()

    def clear(self) -> None:
        """Leave the line empty, if there is one."""
        if self._percent >= 0:
            self._stream.write("\r\x1b[K")
            self._stream.flush()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="sdcp-info",
        description="What a sliced file (.goo, .ctb) holds, its pictures, and whether it is sound.",
        epilog="Exit status: 0 sound as far as was looked, 1 a file is not, 2 wrong usage.",
    )
    parser.add_argument("files", nargs="+", metavar="FILE")
    parser.add_argument("--json", action="store_true", help="one line of JSON for each file")
    parser.add_argument("--thumbnail", metavar="OUT.png", help="write the largest thumbnail")
    parser.add_argument(
        "--layer", nargs=2, metavar=("N", "OUT.png"), help="write the picture of a layer, counted from 1"
    )
    parser.add_argument(
        "--width", type=_number(1, WIDEST), help=f"pixels that the layer's picture is wide at most [{WIDTH}]"
    )
    parser.add_argument("--verify", action="store_true", help="check every checksum and every run of every layer")
    parser.add_argument("--quick", action="store_true", help="with --verify: of the first, middle and last layer only")
    parser.add_argument("--key-file", metavar="FILE", help="key and IV of encrypted .ctb files, which nobody ships")
    return parser


def _number(least: int, most: int) -> Any:
    """A type for argparse, which says what was expected."""

    def number(written: str) -> int:
        if not (written.isascii() and written.isdigit() and len(written) < 10 and least <= int(written) <= most):
            raise argparse.ArgumentTypeError(f"expected a number from {least} to {most}, found {written!a}")
        return int(written)

    return number


def _layer_number(parser: argparse.ArgumentParser, options: Any) -> int | None:
    if options.layer is None:
        if options.width is not None:
            parser.error("--width goes with --layer")
        return None
    try:
        return int(_number(1, 100_000)(options.layer[0]))
    except argparse.ArgumentTypeError as error:
        parser.error(f"argument --layer: {error}")


def _key(path: str, fingerprint: str) -> CtbKey:
    with open(path, "rb") as file:
        return parse_key(file.read(_KEY_BYTES), fingerprint)


def _complain(err: TextIO, path: str, error: OSError | SdcpdError) -> int:
    """One line: which file, what is wrong, what to do."""
    words = f"{error.message}. {error.hint}".strip() if isinstance(error, SdcpdError) else f"{error.strerror or error}."
    print(f"sdcp-info: {escaped(path)}: {escaped(words)}", file=err)
    return 1
