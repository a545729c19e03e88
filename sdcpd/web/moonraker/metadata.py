"""What a sliced file tells of itself, under the names that Moonraker's clients know (reference apis.md 1.2, 3.1).

One decision: only keys with a true value are there. A resin file has no filament and no bed temperature, so those are
left out, as the real server leaves out what it could not parse; resin and exposure have keys of their own.
"""

from __future__ import annotations

import base64
import re
from typing import Any

from twisted.internet.defer import Deferred

from sdcpd.errors import BadFile, FileMissing, PictureMissing, TooManyPictures
from sdcpd.files import FileStore, StoredFile
from sdcpd.index import FileIndex
from sdcpd.jobs import Jobs
from sdcpd.names import base_name
from sdcpd.pictures import Pictures
from sdcpd.web.answer import Answer
from sdcpd.web.moonraker.form import no

__all__ = ["Metadata"]

_THUMBNAIL = re.compile(r"((?:.+/)?)\.thumbs/([^/]+)-([0-9]{1,5})x([0-9]{1,5})\.png")


class Metadata:
    """Asks the store's indexes, the jobs and the pictures."""

    def __init__(self, store: FileStore, jobs: Jobs, pictures: Pictures) -> None:
        self._store = store
        self._pictures = pictures
        self._jobs = jobs

    def of(self, file: StoredFile, printer: str, *, inline: bool = False) -> Deferred[dict[str, Any]]:
        """All that is known of a file and of its last print on this printer; ``inline`` adds the thumbnails themselves.

        ``printer`` is a MainboardID: a key that is limited to it learns nothing of the prints of others.
        """
        return Deferred.fromCoroutine(self._of(file, printer, inline))

    async def _of(self, file: StoredFile, printer: str, inline: bool) -> dict[str, Any]:
        found = self._tell(await self._store.indexes.of(file), file, printer)
        pictures = await self._pictures_of(file)
        if pictures:
            found["thumbnails"] = [
                {
                    "width": width,
                    "height": height,
                    "size": len(png),
                    "relative_path": _beside(file.name, width, height),
                    **({"data": base64.b64encode(png).decode("ascii")} if inline else {}),
                }
                for width, height, png in pictures
            ]
        return found

    def _tell(self, index: FileIndex, file: StoredFile, printer: str) -> dict[str, Any]:
        found: dict[str, Any] = {
            "filename": file.name,
            "size": file.size,
            "modified": file.uploaded_at,
            "uuid": _uuid(file.md5),
            "job_id": None,
            "print_start_time": None,
        }
        for job in reversed(self._jobs.all()):
            if (job.printer, job.md5) == (printer, file.md5) and job.started is not None:
                found.update(job_id=job.id, print_start_time=job.started)
                break
        sliced = index.sliced
        if sliced is None:
            return found
        first = index.layers[0].z if index.layers else None
        told = {
            "slicer": sliced.slicer,
            "slicer_version": sliced.slicer_version,
            "layer_height": sliced.layer_height,
            "first_layer_height": first or sliced.layer_height,
            "object_height": index.height,
            "estimated_time": index.print_time_s,
            "layer_count": index.layer_count or None,
            "resin_volume_ml": sliced.volume_ml,
            "exposure_time": sliced.exposure_s,
            "bottom_exposure_time": sliced.bottom_exposure_s,
            "bottom_layers": sliced.bottom_layers,
            "machine": sliced.machine,
            "resolution": sliced.resolution,
        }
        return {**found, **{key: value for key, value in told.items() if value is not None}}

    def thumbnails(self, file: StoredFile) -> Deferred[list[dict[str, Any]]]:
        """The thumbnails of a file, with their paths in the root."""
        return Deferred.fromCoroutine(self._thumbnails(file))

    async def _thumbnails(self, file: StoredFile) -> list[dict[str, Any]]:
        folder = file.name[: -len(base_name(file.name))]
        return [
            {"width": w, "height": h, "size": len(png), "thumbnail_path": folder + _beside(file.name, w, h)}
            for w, h, png in await self._pictures_of(file)
        ]

    async def _pictures_of(self, file: StoredFile) -> list[tuple[int, int, bytes]]:
        """Width, height and PNG of each thumbnail, the smallest first; none of a file whose pictures are damaged."""
        index = await self._store.indexes.of(file)
        found = []
        for preview in reversed(index.sliced.previews if index.sliced is not None else ()):
            try:
                subject = await self._pictures.thumbnail(file, max(preview.width, preview.height))
                found.append((preview.width, preview.height, await self._pictures.make(subject)))
            except (BadFile, PictureMissing, TooManyPictures):
                continue
        return found

    def thumbnail(self, path: str) -> Deferred[Answer] | None:
        """The picture under that path; None if the path names none."""
        match = _THUMBNAIL.fullmatch(path)
        if match is None:
            return None
        try:
            file = self._store.get((match[1] or "") + match[2])
        except FileMissing as error:
            raise no(404, "File not found") from error
        return Deferred.fromCoroutine(self._thumbnail(file, int(match[3]), int(match[4])))

    async def _thumbnail(self, file: StoredFile, width: int, height: int) -> Answer:
        for known_width, known_height, png in await self._pictures_of(file):
            if (known_width, known_height) == (width, height):
                return Answer(200, png, "image/png")
        raise no(404, "File not found")


def _beside(name: str, width: int, height: int) -> str:
    """A thumbnail's path, relative to the folder of its file."""
    return f".thumbs/{base_name(name)}-{width}x{height}.png"


def _uuid(md5: str) -> str:
    return "-".join((md5[:8], md5[8:12], md5[12:16], md5[16:20], md5[20:]))
