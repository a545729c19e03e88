"""Files over HTTP: upload by raw body or by form, list, download with Range, delete.

One decision: a body goes from the connection into the store piece by piece, and everything that can be known
from the head (name, length, room) is refused before the first piece is read.
"""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import quote

from msgspec import Struct
from twisted.internet.defer import Deferred
from twisted.web.resource import IResource

from sdcpd.errors import FileMissing
from sdcpd.files import FileStore, StoredFile, wire_name
from sdcpd.fleet import Fleet
from sdcpd.index import FileIndex
from sdcpd.sheets import FileAnswer, FileDocument, MetadataAnswer, sliced_document
from sdcpd.web.answer import Answer, json_answer
from sdcpd.web.errors import Refusal
from sdcpd.web.judged import Gate, Judged, begin
from sdcpd.web.multipart import FORM, FilePart, Form, receive_form
from sdcpd.web.routes import Call, Parameter, Route
from sdcpd.web.serve import served
from sdcpd.web.upload import receive_upload

__all__ = ["FilesApi", "file_document", "thumbnail_of"]


def file_document(file: StoredFile) -> FileDocument:
    """One stored file."""
    return FileDocument(
        name=file.name,
        md5=file.md5,
        size=file.size,
        format=file.format,
        version=file.version,
        uploaded_at=file.uploaded_at,
        wire_name=wire_name(file),
        url=f"/v1/files/{quote(file.name)}",
        thumbnail=thumbnail_of(file),
    )


def thumbnail_of(file: StoredFile) -> str:
    """Where the picture of a stored file is, by its content."""
    return f"/v1/files/{file.md5}/thumbnail.png"


class Destination(Struct, frozen=True, forbid_unknown_fields=True):
    """Where to."""

    to: str


_FOLDER = Parameter("folder", "only what is in this folder and in those inside it")
_PRINTER = Parameter("printer", "the printer that the file is for: one that cannot print it refuses it early")
_FORCE = Parameter("force", "1 to delete a folder with all that is in it")


class FilesApi:
    """Handlers over the file store.

    The files are one shelf for all printers: a key that is limited to some may put a file there, see and fetch what
    is there, and not take anything away.
    """

    def __init__(self, store: FileStore, fleet: Fleet) -> None:
        self._store = store
        self._fleet = fleet
        one = "/v1/files/<path:name>"  # with slashes, so that such a name gets its own refusal
        octets = "application/octet-stream"
        refusals = (400, 404, 409, 413, 422, 507)
        files, named = list[FileDocument], (_PRINTER,)
        self.routes = (
            Route("GET", "/v1/files", "view", self.list, files, query=(_FOLDER,), limited=True),
            Route(
                "PUT", one, "upload", self.put, FileAnswer, 201, query=named, upload=octets, also=refusals, limited=True
            ),
            Route(
                "POST",
                "/v1/files",
                "upload",
                self.post,
                FileAnswer,
                201,
                query=named,
                upload=FORM,
                also=refusals,
                limited=True,
            ),
            Route("GET", one, "view", self.get, content=octets, also=(206, 304, 404, 416), limited=True),
            Route("GET", f"{one}/metadata", "view", self.metadata, MetadataAnswer, also=(404,), limited=True),
            Route("DELETE", one, "upload", self.delete, status=204, content="", query=(_FORCE,), also=(404, 409)),
            Route("POST", f"{one}/move", "upload", self.move, files, 200, Destination, also=(404, 409, 422)),
            Route("POST", f"{one}/copy", "upload", self.copy, files, 201, Destination, also=(404, 409, 422)),
        )

    def list(self, call: Call) -> Answer:
        """The stored files, in the order of their upload."""
        return _files(self._store.inside(call.text("folder").strip("/")))

    def put(self, call: Call, name: str) -> Deferred[Answer]:
        """Store the request's body under this name; the same name again replaces what it stands for."""
        gate = self._gate(call)
        return receive_upload(call.body, begin(self._store, gate, name, call.body.length)).addCallback(
            self._stored, gate
        )

    def post(self, call: Call) -> Deferred[Answer]:
        """Store the file of a form under its filename, in the folder that the form's field ``folder`` names."""

        gate = self._gate(call)

        def begun(part: FilePart) -> Judged:
            return begin(self._store, gate, part.filename, None, form.at_least)

        def finish(judged: Judged) -> Deferred[StoredFile]:
            upload = judged.upload
            if folder := form.fields.get("folder", "").strip("/"):
                upload.rename(f"{folder}/{upload.name}")
            return upload.finish()

        form = Form(call.header("content-type"), call.body.length, begun)
        self._store.check_room(form.at_least)
        return receive_form(call.body, form, finish).addCallback(self._stored, gate)

    def get(self, call: Call, name: str) -> Answer | IResource:
        """The file's bytes, whole or a Range of them; by its name or its MD5."""
        return served(self._store.get(name), call.header("if-none-match"))

    def metadata(self, call: Call, name: str) -> Deferred[Answer]:
        """What the file tells of itself: machine, resolution, layers, exposure, times, material."""
        file = self._store.get(name)

        def answer(index: FileIndex) -> Answer:
            return json_answer(MetadataAnswer(file_document(file), sliced_document(index), index.problem or None))

        return self._store.indexes.of(file).addCallback(answer)

    def delete(self, call: Call, name: str) -> Deferred[Answer]:
        """Delete the file, or a folder with all that is in it, unless a job needs it."""
        try:
            self._store.get(name)
        except FileMissing:
            if not (inside := self._store.inside(name)):
                raise
            if not call.flag("force"):
                message = f"There are {len(inside)} files in the folder {name!r}."
                raise Refusal(409, "folder_not_empty", message, "Add ?force=1 to delete them all.") from None
            return self._store.delete_folder(name).addCallback(lambda _: Answer(204))
        return self._store.delete(name).addCallback(lambda _: Answer(204))

    def move(self, call: Call, name: str) -> Deferred[Answer]:
        """Give the file, or all files of a folder, another name."""
        return self._store.move(name, call.json(Destination).to).addCallback(_files)

    def copy(self, call: Call, name: str) -> Deferred[Answer]:
        """Give the bytes of the file, or of all files of a folder, a second name; this takes no room."""
        return self._store.copy(name, call.json(Destination).to).addCallback(_files, 201)

    def _gate(self, call: Call) -> Gate:
        """What the upload must suit: the printer that it names, or some known one."""
        wanted = call.client.wanted(self._fleet, call.words("printer")[:1])
        known = [printer for printer in self._fleet if wanted is None or printer.id in wanted]
        named = known[0] if call.words("printer") else None
        return Gate((printer for printer in self._fleet if call.client.sees(printer.id)), named)

    def _stored(self, file: StoredFile, gate: Gate) -> Deferred[Answer]:
        document = file_document(file)
        headers = {"Location": document.url, "ETag": f'"{file.md5}"'}

        def answer(index: FileIndex) -> Answer:
            return json_answer(FileAnswer(document, sliced_document(index), gate.warnings), 201, headers)

        return self._store.indexes.of(file).addCallback(answer)


def _files(files: Iterable[StoredFile], status: int = 200) -> Answer:
    return json_answer([file_document(file) for file in files], status)
