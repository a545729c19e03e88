"""python-zeroconf behind the seam of ``mdns``: services as it wants them, all of one word at once.

One decision: only differences are said, and all of them at a time: each new name is probed for a second and a half, and
a farm shall not wait for that a hundred times. A name that somebody else has gets a number (RFC 6762, section 9).
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from sdcpd.mdns import SERVICE, Record

if TYPE_CHECKING:
    from zeroconf import ServiceInfo

__all__ = ["Zeroconfig"]

WITHIN = 30.0
"""Seconds that one word to the network may take."""

Word = Callable[[], Awaitable[Awaitable[Any]]]
"""Says something: the library answers when it is accepted, with what ends when it was said as often as it should be."""


class Zeroconfig:
    """A ``Responder`` on the interfaces with these addresses; to be called from threads that may block.

    Raises ``OSError`` and the library's own errors.
    """

    def __init__(self, addresses: Sequence[str]) -> None:
        from zeroconf import Zeroconf  # 4 MB that a daemon does without as long as nothing is to be announced

        self._zeroconf = Zeroconf(interfaces=[*addresses])
        self._host = f"{socket.gethostname().partition('.')[0] or 'sdcpd'}.local."
        self._told: dict[str, tuple[Record, ServiceInfo]] = {}

    def tell(self, records: Mapping[str, Record]) -> None:
        """These are the services from now on."""
        gone: list[Word] = []
        said: list[Word] = []
        say = self._zeroconf
        for key, (record, info) in list(self._told.items()):
            new = records.get(key)
            if new is None or new.name != record.name:
                gone.append(partial(say.async_unregister_service, info))
                del self._told[key]
            elif new != record:
                info = self._info(new, info.name)
                self._told[key] = new, info
                said.append(partial(say.async_update_service, info))
        for key, record in records.items():
            if key not in self._told:
                info = self._info(record, f"{record.name}.{SERVICE}")
                self._told[key] = record, info
                said.append(partial(say.async_register_service, info, allow_name_change=True))
        self._run(gone)  # to its end: a new name may be one that is just given up
        self._run(said)

    def close(self) -> None:
        """Say goodbye for all of them, and end."""
        self._zeroconf.close()

    def _info(self, record: Record, name: str) -> ServiceInfo:
        from zeroconf import ServiceInfo

        return ServiceInfo(
            SERVICE,
            name,
            port=record.place.port,
            addresses=[socket.inet_aton(address) for address in record.place.addresses],
            properties=dict(record.text),
            server=self._host,
        )

    def _run(self, words: list[Word]) -> None:
        """Say these at a time; raises what the first one that fails does."""
        if not words:
            return
        loop = self._zeroconf.loop
        assert loop is not None, "the library's own thread runs it"
        saying = _together(words)
        try:
            asyncio.run_coroutine_threadsafe(saying, loop).result(WITHIN)
        finally:
            if not loop.is_running():  # it has ended meanwhile, and nothing was said
                saying.close()


async def _together(words: list[Word]) -> None:
    await asyncio.gather(*(_whole(word) for word in words))


async def _whole(word: Word) -> None:
    await (await word())
