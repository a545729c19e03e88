"""Folders of ``api/files``: made, and files and folders copied and moved between them.

One decision: the shelf is that of every dialect. Nothing is overwritten here: where something is already, the answer is
409, as the real server has it.
"""

from __future__ import annotations

import unicodedata

from msgspec import Struct
from twisted.internet.defer import Deferred

from sdcpd.errors import FileInUse
from sdcpd.names import base_name, inside
from sdcpd.web.address import base
from sdcpd.web.answer import Answer, json_answer
from sdcpd.web.octoprint.entries import Abridged, abridged
from sdcpd.web.octoprint.form import NOT_FOUND, no
from sdcpd.web.routes import Call
from sdcpd.web.shelf import Shelf

__all__ = ["FolderMade", "Folders"]


class FolderMade(Struct, frozen=True):
    """A folder that is there now."""

    folder: Abridged
    done: bool = True


class Folders:
    """What can be done over the shelf."""

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf

    def make(self, call: Call, name: str, within: str) -> Answer:
        """Make a folder in another; one that is there already will do. Raises ``BadName``, ``NameTaken``."""
        call.client.must_be_unlimited()
        name, within = _clean(name), _clean(within)
        if not name:
            raise no(400, "folder name is empty")
        if name.casefold().endswith((".goo", ".ctb")):
            raise no(409, "Can't create folder, please try another name")
        path = f"{within}/{name}" if within else name
        if not self._shelf.is_folder(path):
            self._shelf.make(path)
        told = abridged(base(call), path, folder=True)
        return json_answer(FolderMade(told), 201, {"Location": told.refs.resource})

    def give(self, call: Call, name: str, destination: object, *, keep: bool) -> Deferred[Answer]:
        """Give a file or a folder another place, or with ``keep`` a second one."""
        call.must_have("upload")
        call.client.must_be_unlimited()
        return Deferred.fromCoroutine(self._give(call, name, destination, keep))

    async def _give(self, call: Call, name: str, destination: object, keep: bool) -> Answer:
        file = self._shelf.file(name)
        if file is None and not self._shelf.is_folder(name):
            raise no(404, NOT_FOUND)
        if not isinstance(destination, str):
            raise no(400, "Expected the destination as a text")
        wanted = _clean(destination)
        to = self._shelf.target(name, wanted) if wanted else base_name(name)
        if self._shelf.file(to) is not None or self._shelf.is_folder(to):
            raise no(409, "File or folder does already exist")
        if file is None and inside(to, name):
            raise no(409, "Exception thrown by storage, bad folder/file name?")
        try:
            if not keep:
                self._shelf.must_be_idle(self._shelf.files(name))
            await self._shelf.give(name, to, keep=keep)
        except FileInUse as error:
            raise no(409, "Trying to move a file or folder that is currently in use") from error
        told = abridged(base(call), to, folder=file is None)
        return json_answer(told, 201, {"Location": told.refs.resource})


def _clean(path: str) -> str:
    return "/".join(part for part in unicodedata.normalize("NFC", path).split("/") if part.strip())
