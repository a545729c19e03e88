"""What a sliced file tells of itself, under the names that Moonraker's clients know (reference apis.md 1.2, 3.1).

One decision: only keys with a true value are there. A resin file has no filament and no bed temperature, so those are
left out, as the real server leaves out what it could not parse; resin and exposure have keys of their own.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred

from sdcpd.files import FileStore, StoredFile
from sdcpd.index import FileIndex
from sdcpd.jobs import Jobs
from sdcpd.web.answer import Answer

__all__ = ["Metadata"]


class Metadata:
    """Asks the store's indexes and the jobs."""

    def __init__(self, store: FileStore, jobs: Jobs) -> None:
        self._store = store
        self._jobs = jobs

    def of(self, file: StoredFile, *, inline: bool = False) -> Deferred[dict[str, Any]]:
        """All that is known of a file."""
        return self._store.indexes.of(file).addCallback(self._tell, file)

    def _tell(self, index: FileIndex, file: StoredFile) -> dict[str, Any]:
        found: dict[str, Any] = {
            "filename": file.name,
            "size": file.size,
            "modified": file.uploaded_at,
            "uuid": _uuid(file.md5),
            "job_id": None,
            "print_start_time": None,
        }
        for job in reversed(self._jobs.all()):
            if job.md5 == file.md5 and job.started is not None:
                found.update(job_id=job.id, print_start_time=job.started)
                break
        sliced = index.sliced
        if sliced is None:
            return found
        layers = sliced.layer_count or len(index.layers) or None
        first = index.layers[0].z if index.layers else None
        last = index.layers[-1].z if index.layers else None
        told = {
            "slicer": sliced.slicer,
            "slicer_version": sliced.slicer_version,
            "layer_height": sliced.layer_height,
            "first_layer_height": first or sliced.layer_height,
            "object_height": last if last is not None else sliced.height,
            "estimated_time": index.print_time_s,
            "layer_count": layers,
            "resin_volume_ml": sliced.volume_ml,
            "exposure_time": sliced.exposure_s,
            "bottom_exposure_time": sliced.bottom_exposure_s,
            "bottom_layers": sliced.bottom_layers,
            "machine": sliced.machine,
            "resolution": sliced.resolution,
        }
        return {**found, **{key: value for key, value in told.items() if value is not None}}

    def thumbnails(self, file: StoredFile) -> Deferred[list[dict[str, Any]]]:
        """The thumbnails of a file, the smallest first."""
        return self._store.indexes.of(file).addCallback(lambda _: [])

    def thumbnail(self, path: str) -> Deferred[Answer] | None:
        """The picture under that path; None if the path names none."""
        return None


def _uuid(md5: str) -> str:
    return "-".join((md5[:8], md5[8:12], md5[12:16], md5[16:20], md5[20:]))
