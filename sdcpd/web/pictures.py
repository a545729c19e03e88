"""Pictures over HTTP: a file's thumbnail, any of its layers, and the layer that a printer prints now.

One decision: a picture is told from every other by file, layer and width alone, so its validator is known before it is
made, and whoever has it already costs nothing; asked for by the file's MD5 it never has to be asked for again.
"""

from __future__ import annotations

from twisted.internet.defer import Deferred

from sdcpd.codec.status import RUNNING
from sdcpd.errors import PictureMissing
from sdcpd.files import FileStore, StoredFile
from sdcpd.fleet import Fleet
from sdcpd.loaded import loaded
from sdcpd.pictures import Pictures, Subject
from sdcpd.printer import Printer
from sdcpd.web.answer import Answer, has_etag
from sdcpd.web.routes import Call, Parameter, Route

__all__ = ["PicturesApi"]

PNG = "image/png"
WIDTH = 960
"""Pixels of a picture whose width is not asked for."""
LARGEST = 4096
"""As ``codec.raster`` has it, which is not imported before somebody asks for a picture."""
FOREVER = "private, max-age=31536000, immutable"

_WIDTH = Parameter("width", f"pixels that the picture is wide at most, 1 to {LARGEST}; {WIDTH} if not given", "integer")
_SIZE = Parameter("size", "pixels of the longer side: the thumbnail next to it; else the largest", "integer")


class PicturesApi:
    """Handlers over the stored files and what the printers say."""

    def __init__(self, store: FileStore, fleet: Fleet, pictures: Pictures) -> None:
        self._store = store
        self._fleet = fleet
        self._pictures = pictures
        one = "/v1/files/<path:name>"
        also = (304, 404, 422, 503)
        width = (_WIDTH,)
        self.routes = (
            Route(
                "GET",
                f"{one}/thumbnail.png",
                "view",
                self.thumbnail,
                query=(_SIZE,),
                content=PNG,
                also=also,
                limited=True,
            ),
            Route(
                "GET",
                f"{one}/layers/<int:number>.png",
                "view",
                self.layer,
                query=width,
                content=PNG,
                also=also,
                limited=True,
            ),
            Route("GET", "/v1/printers/<name>/layer.png", "view", self.printed, query=width, content=PNG, also=also),
        )

    def thumbnail(self, call: Call, name: str) -> Deferred[Answer]:
        """The file's thumbnail, as the slicer made it."""
        file = self._store.get(name)
        size = round(call.number("size", 0, 1, LARGEST)) or None
        found = self._pictures.thumbnail(file, size)
        return found.addCallback(self._answer, call, _caching(file, name))

    def layer(self, call: Call, name: str, number: int) -> Deferred[Answer]:
        """One layer of the file, counted from 1, as the slicer shows it from above."""
        file = self._store.get(name)
        found = self._pictures.layer(file, number, _width(call))
        return found.addCallback(self._answer, call, _caching(file, name))

    def printed(self, call: Call, name: str) -> Deferred[Answer]:
        """The layer that is being printed now, out of the file that is on the printer."""
        printer = self._fleet.get(name)
        file = self._on(printer)
        layer = printer.status.print.current_layer if printer.status is not None else 0
        found = self._pictures.printed(file, layer, _width(call))
        return found.addCallback(self._answer, call, "no-cache", watched=True)

    def _on(self, printer: Printer) -> StoredFile:
        """The file that the print on the machine is made of. Raises ``PictureMissing``."""
        if printer.phase not in RUNNING or printer.status is None:
            raise PictureMissing(
                f"{printer.name} prints nothing now: it is {printer.phase.value.lower()}.",
                f"GET /v1/printers/{printer.slug} shows what it is doing.",
            )
        file = loaded(printer, self._store).stored
        if file is None:
            wire = printer.status.print.filename or "a file that it does not name"
            raise PictureMissing(
                f"{printer.name} prints {wire}, which is not stored here.",
                "Layers are shown of files that were sent through the daemon.",
            )
        return file

    def _answer(self, subject: Subject, call: Call, caching: str, watched: bool = False) -> Answer | Deferred[Answer]:
        headers = {"ETag": subject.etag, "Cache-Control": caching}
        if watched:
            headers["X-Sdcpd-Layer"] = str(subject.layer)

        def answer(picture: bytes) -> Answer:
            if watched:
                self._pictures.prepare(subject)
            return Answer(200, picture, PNG, headers)

        if has_etag(call.header("if-none-match"), subject.etag):
            return Answer(304, headers=headers)
        return self._pictures.make(subject, first=watched).addCallback(answer)


def _width(call: Call) -> int:
    return round(call.number("width", WIDTH, 1, LARGEST))


def _caching(file: StoredFile, name: str) -> str:
    return FOREVER if name.lower() == file.md5 else "no-cache"
