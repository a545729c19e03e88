"""What can go wrong, in the domain's words.

One decision: an error carries a stable ``code`` (for programs), a message that says what was expected and what
was found, and a hint that says what to do (for people). No error here knows HTTP; ``sdcpd.web`` alone
translates codes to status numbers.
"""

from __future__ import annotations

from typing import ClassVar

__all__ = [
    "BadCursor",
    "BadFile",
    "BadKey",
    "BadLayer",
    "BadName",
    "CommandInFlight",
    "CommandRefused",
    "CommandTimeout",
    "ConfigError",
    "FileInUse",
    "FileMissing",
    "FileTooLarge",
    "Interrupted",
    "JobUnknown",
    "KeyExists",
    "KeyMissing",
    "KeyReused",
    "LinkLost",
    "MalformedMessage",
    "NameTaken",
    "NotDecodable",
    "NotNow",
    "OwnedElsewhere",
    "PictureMissing",
    "PrinterError",
    "PrinterOffline",
    "PrinterUnknown",
    "SdcpdError",
    "StoreError",
    "StoreFull",
    "TooManyPictures",
    "Truncated",
    "UnknownFormat",
    "Unrecorded",
    "WireError",
    "WrongFile",
    "sentence",
]


def sentence(message: str, hint: str) -> str:
    """What went wrong and what to do, in one text; a message may or may not end with a full stop."""
    return f"{message.rstrip('.')}. {hint}" if hint else message


class SdcpdError(Exception):
    """Anything that the daemon itself names as a failure."""

    code: ClassVar[str] = "internal"

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    @property
    def sentence(self) -> str:
        """All of it in one text for people."""
        return sentence(self.message, self.hint)


class ConfigError(SdcpdError):
    """The configuration cannot be used; the message names the key."""

    code = "bad_configuration"


class WireError(SdcpdError):
    """A peer broke the rules of its protocol; only its own connection suffers."""

    code = "wire_error"


class MalformedMessage(WireError):
    """A datagram or payload that is not an SDCP message."""

    code = "malformed_message"


class PrinterError(SdcpdError):
    """A wish that a printer did not or could not fulfil."""

    code = "printer_error"


class PrinterUnknown(PrinterError):
    """No printer of that slug or MainboardID was ever seen or configured."""

    code = "unknown_printer"


class PrinterOffline(PrinterError):
    """The printer is known, and there is no connection to it."""

    code = "printer_offline"


class LinkLost(PrinterOffline):
    """The connection ended while the command was under way; whether the printer obeyed is not known."""

    code = "link_lost"


class CommandTimeout(PrinterError):
    """The printer did not acknowledge the command in time."""

    code = "command_timeout"


class CommandRefused(PrinterError):
    """The printer answered with an Ack other than 0.

    ``ack`` is the number as the printer sent it, or -1 where it sent none.
    """

    code = "command_refused"

    def __init__(self, message: str, ack: int, hint: str = "") -> None:
        super().__init__(message, hint)
        self.ack = ack


class CommandInFlight(PrinterError):
    """Another state-changing command to the same printer has not been answered yet."""

    code = "command_in_flight"


class NotNow(PrinterError):
    """The printer's present state does not allow the wish (pause while idle, print while printing)."""

    code = "not_now"


class OwnedElsewhere(PrinterError):
    """Another program has the printer; it takes no wishes from here."""

    code = "owned_elsewhere"


class JobUnknown(SdcpdError):
    """No job of this id is known, or none that waits."""

    code = "unknown_job"


class KeyReused(SdcpdError):
    """Something else was asked under the same idempotency key."""

    code = "idempotency_key_reused"


class StoreError(SdcpdError):
    """The file store cannot do what was asked."""

    code = "store_error"


class BadCursor(SdcpdError):
    """A place in a list that no answer of ours named."""

    code = "bad_cursor"


class PictureMissing(StoreError):
    """There is no such picture: no thumbnail in the file, no layer of that number, no print under way."""

    code = "no_picture"


class TooManyPictures(StoreError):
    """So many pictures wait to be made that one more would come too late."""

    code = "too_many_pictures"


class BadName(StoreError):
    """A file name that could not be stored or shown safely."""

    code = "bad_name"


class FileMissing(StoreError):
    """No file of that name or MD5 is stored."""

    code = "file_missing"


class FileInUse(StoreError):
    """A job still needs the file."""

    code = "file_in_use"


class NameTaken(StoreError):
    """Another file or folder has the name that a file should get."""

    code = "name_taken"


class FileTooLarge(StoreError):
    """The file is larger than ``[files] max_size`` allows."""

    code = "file_too_large"


class StoreFull(StoreError):
    """The quota or the disk has no room for the file."""

    code = "store_full"


class Unrecorded(StoreError):
    """The journal cannot be written, so nothing new can be begun."""

    code = "journal_unwritable"


class BadFile(StoreError):
    """The content cannot be used: all that a reader of files raises is one of this family."""

    code = "bad_file"
    layer: int | None = None
    """The layer that is to blame, counted from 1; None where it is the file as a whole."""


class UnknownFormat(BadFile):
    """The content is no sliced file that an SDCP printer takes."""

    code = "unknown_format"


class Truncated(BadFile):
    """The content ends too early; with ``needed`` bytes, counted from its beginning, a reader would come further."""

    code = "truncated_file"

    def __init__(self, message: str, needed: int, hint: str = "") -> None:
        super().__init__(message, hint)
        self.needed = needed


class NotDecodable(BadFile):
    """The file is sound as far as can be told, but this part of it cannot be read here."""

    code = "not_decodable"


class BadLayer(BadFile):
    """The image data of a layer is corrupt, so no picture of it can be made."""

    code = "bad_layer"


class WrongFile(StoreError):
    """The file would not print: it is for another machine, or it is not whole.

    ``reason`` says which, for programs; ``compatible`` names the known printers that it suits.
    """

    code = "wrong_file"

    def __init__(
        self,
        message: str,
        reason: str,
        expected: str = "",
        found: str = "",
        compatible: tuple[str, ...] = (),
        hint: str = "",
    ) -> None:
        super().__init__(message, hint)
        self.reason = reason
        self.expected = expected
        self.found = found
        self.compatible = compatible


class Interrupted(StoreError):
    """The sender stopped before the announced length had arrived."""

    code = "interrupted"


class BadKey(SdcpdError):
    """A key that cannot be made as it was asked for."""

    code = "bad_key"


class KeyExists(SdcpdError):
    """Another key in force has the name."""

    code = "key_exists"


class KeyMissing(SdcpdError):
    """No key in force has this id or name."""

    code = "unknown_key"
