"""What happens to files, told to whoever waits for news of the fleet.

One decision: the news is the difference between two states of the store, so it is the same whichever way a file came,
went or got another name; bytes that left one name for another were moved.
"""

from __future__ import annotations

from collections.abc import Mapping

from sdcpd.files import StoredFile
from sdcpd.fleet import Fleet

__all__ = ["FileNews"]


class FileNews:
    """An observer of the file store."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet

    def changed(self, before: Mapping[str, StoredFile], after: Mapping[str, StoredFile]) -> None:
        """Tell each file that was added, changed, moved or removed."""
        left = {name: file for name, file in before.items() if name not in after}
        sources = {file.md5: name for name, file in left.items()}
        for name, file in after.items():
            if name not in before:
                source = sources.pop(file.md5, None)
                if source is None:
                    self._tell("file_added", file)
                else:
                    del left[source]
                    self._tell("file_moved", file, source=source)
            elif before[name] != file:
                self._tell("file_changed", file)
        for file in left.values():
            self._tell("file_removed", file)

    def _tell(self, event: str, file: StoredFile, **more: object) -> None:
        told = {"file": file.name, "md5": file.md5, "size": file.size, "uploaded_at": file.uploaded_at}
        self._fleet.noticed(event, {**told, **more})
