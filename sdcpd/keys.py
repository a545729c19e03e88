"""Keys: who may come in, by a secret that is told exactly once.

One decision: a key is made here from 160 random bits and never chosen by a person, so its plain SHA-256 is all that has
to be kept. It carries its own id (``sdcpd_<id>_<secret>``): the id, which is no secret, finds the record, and what is
secret is compared once and in constant time (reference apis.md 7.1 and 7.2).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Protocol

from msgspec.structs import replace
from twisted.application.service import Service
from twisted.cred import credentials
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from sdcpd.errors import BadKey, KeyExists, KeyMissing
from sdcpd.logs import logger
from sdcpd.records import Key
from sdcpd.scopes import SCOPES
from sdcpd.spool import write_durably

__all__ = ["ADMIN", "MOST", "REALM", "AdminKey", "KeyRecords", "Keys", "digest", "ensure_admin"]

ADMIN = "admin"
"""The name of the key that the daemon makes for itself at its first start."""
MOST = 1000
"""Keys that may be in force at once."""
REALM = "sdcpd"
"""Of HTTP Digest. It is in what is kept of the keys, so it never changes."""

_NAME = re.compile(r"[\w-]{1,64}")
_KEY = re.compile(r"sdcpd_([0-9a-f]{8})_[a-z2-7]{32}")
_NOTHING = "0" * 64

_log = logger("sdcpd.keys")
_audit = logger("sdcpd.audit")


class KeyRecords(Protocol):
    """Where the keys outlast the process."""

    def keys(self) -> list[Key]:
        """All keys, revoked ones included, oldest first."""
        ...

    def write(self, *records: Key) -> Deferred[None]:
        """This is how these keys are now; fires when that is on the disk."""
        ...


def digest(text: str) -> str:
    """What is kept of a key."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _ha1(name: str, text: str) -> str:
    """What HTTP Digest keeps of a key whose user is called so [RFC 7616, 3.4.2]."""
    found = credentials.calcHA1(b"md5", name.encode(), REALM.encode(), text.encode("ascii"), None, None)  # type: ignore[attr-defined]
    return str(found.decode("ascii"))


class Keys:
    """The keys in force; ``wall`` gives seconds since the epoch."""

    def __init__(self, records: KeyRecords, wall: Callable[[], float]) -> None:
        self._records = records
        self._wall = wall
        self._keys = {key.id: key for key in records.keys() if key.revoked is None}  # noqa: SIM118 (no mapping)
        self._coming: set[str] = set()
        self._observers: list[Callable[[Key], object]] = []

    def find(self, text: str) -> Key | None:
        """The key in force that this text is; None if it is none."""
        match = _KEY.fullmatch(text)
        key = self._keys.get(match[1]) if match else None
        # Compared in any case, so that the time tells nothing.
        same = hmac.compare_digest(key.sha256 if key is not None else _NOTHING, digest(text))
        return key if same else None

    def with_digest(self, name: str) -> Key | None:
        """The key in force of this name, if it was made for HTTP Digest, too."""
        return next((key for key in self._keys.values() if key.name == name and key.ha1), None)

    def list(self) -> list[Key]:
        """The keys in force, oldest first."""
        return list(self._keys.values())

    def make(
        self, name: str, scopes: Iterable[str], printers: Iterable[str] = (), *, digest: bool = False
    ) -> Deferred[tuple[Key, str]]:
        """Make a key; fires with its record and the key itself when the record is on the disk.

        ``printers`` are the MainboardIDs that it is limited to; none is all. ``digest`` makes it good for HTTP Digest,
        too. Nobody knows the key of a Deferred that was cancelled: it is revoked as soon as it is there. Raises
        ``BadKey``, ``KeyExists``; the Deferred fails as the records do, and there is no such key then.
        """
        key, text = self._new(name, tuple(scopes), tuple(printers), for_digest=digest)
        self._coming.add(name)

        made: Deferred[tuple[Key, str]] = Deferred()

        def kept(_: None) -> None:
            self._coming.discard(name)
            self._keys[key.id] = key
            unclaimed = made.called
            made.callback((key, text))
            if unclaimed:
                self.revoke(key.id).addErrback(
                    lambda failure: _log.failure("A key that nobody knows could not be revoked on the disk", failure)
                )

        def failed(failure: Failure) -> None:
            self._coming.discard(name)
            made.errback(failure)

        self._records.write(key).addCallbacks(kept, failed)
        return made

    def _new(
        self, name: str, scopes: tuple[str, ...], printers: tuple[str, ...], *, for_digest: bool = False
    ) -> tuple[Key, str]:
        if not _NAME.fullmatch(name):
            raise BadKey(f"name: expected 1 to 64 letters, digits, - and _, found {name[:80]!r}.", "Choose another.")
        unknown = [scope for scope in scopes if scope not in SCOPES]
        if unknown or not scopes:
            found = repr(unknown[0][:40]) if unknown else "none"
            raise BadKey(f"scopes: expected at least one of {', '.join(SCOPES)}, found {found}.", "Name its scopes.")
        if printers and "admin" in scopes:
            raise BadKey("An admin key cannot be limited to printers, for it makes keys.", "Leave one of both out.")
        if for_digest and "admin" in scopes:
            raise BadKey(
                "An admin key cannot be used by HTTP Digest, for what is kept of such a key is as good as the key.",
                "Leave one of both out.",
            )
        if name in self._coming or any(key.name == name for key in self._keys.values()):
            raise KeyExists(f"There is a key of the name {name!r} already.", "Revoke it first, or choose another name.")
        if len(self._keys) + len(self._coming) >= MOST:
            raise BadKey(f"There are {MOST} keys already.", "Revoke those that nobody uses.")
        number = next(i for i in iter(lambda: secrets.token_hex(4), "") if i not in self._keys)
        text = f"sdcpd_{number}_{base64.b32encode(secrets.token_bytes(20)).decode('ascii').lower()}"
        wanted = tuple(scope for scope in SCOPES if scope in scopes)
        ha1 = _ha1(name, text) if for_digest else ""
        limits = tuple(dict.fromkeys(printers))
        return Key(number, name, digest(text), wanted, limits, self._wall(), ha1=ha1), text

    def get(self, reference: str) -> Key:
        """The key in force of this id or name; raises ``KeyMissing``."""
        key = self._keys.get(reference) or next((k for k in self._keys.values() if k.name == reference), None)
        if key is None:
            raise KeyMissing(f"No key has the id or the name {reference[:80]!r}.", "GET /v1/keys lists them.")
        return key

    def revoke(self, reference: str) -> Deferred[Key]:
        """Take a key out of force at once; fires with it when that is on the disk. Raises ``KeyMissing``."""
        key = self.get(reference)
        return self._records.write(self._ended(key)).addCallback(lambda _: key)

    def _ended(self, key: Key) -> Key:
        """The key is in force no more, and everybody hears of it; what is to be written."""
        del self._keys[key.id]
        for observer in list(self._observers):
            try:
                observer(key)
            except Exception:
                _log.failure("Somebody who was told of a revoked key failed")
        return replace(key, revoked=self._wall())

    def subscribe(self, observer: Callable[[Key], object]) -> Callable[[], None]:
        """Call ``observer`` with each key that is revoked; the result ends that."""
        self._observers.append(observer)
        return lambda: self._observers.remove(observer)

    def replace_admin(self) -> tuple[str, Deferred[None]]:
        """Another key of the name ``ADMIN`` in the place of the one before, in force at once; the key itself."""
        old = [self._ended(key) for key in self.list() if key.name == ADMIN]
        new, text = self._new(ADMIN, ("admin",), ())
        self._keys[new.id] = new
        return text, self._records.write(*old, new)


def ensure_admin(keys: Keys, path: Path) -> None:
    """See to it that the file ``path`` holds a key with the scope ``admin``; raises ``OSError``.

    The file comes before the record: were it the other way round, a crash between could leave a key that nobody knows.
    """
    try:
        known = keys.find(path.read_text("ascii", "replace").strip())
    except FileNotFoundError:
        known = None
    if known is not None and "admin" in known.scopes:
        return
    text, written = keys.replace_admin()
    write_durably(path, f"{text}\n".encode("ascii"), mode=0o600)
    _audit.info("A new admin key is in {path}; the one before it, if any, is revoked", path=str(path))
    written.addErrback(
        lambda failure: _log.failure("The admin key could not be recorded; the next start makes another", failure)
    )


class AdminKey(Service):
    """Sees to it, before anybody can ask, that there is a key with which the first other ones are made."""

    def __init__(self, keys: Keys, path: Path) -> None:
        self._keys = keys
        self._path = path

    def startService(self) -> None:
        """Twisted: the daemon begins, and has forked."""
        super().startService()
        try:
            ensure_admin(self._keys, self._path)
        except OSError as error:
            _log.error("There is no admin key: {path} cannot be used: {error}", path=str(self._path), error=error)
