"""From the domain's words to HTTP: the one place that knows status numbers.

One decision: every refusal is the same small JSON document with a stable ``code`` for programs, a message that
says what was expected and found, and a hint that says what to do; no traceback and no path ever leaves. A dialect
says the same in its own form, made from the very same words.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from msgspec import Struct
from twisted.internet.defer import CancelledError
from twisted.python.failure import Failure
from twisted.web.iweb import IRequest

from sdcpd import errors
from sdcpd.documents import PlateDocument, plate_document
from sdcpd.logs import logger
from sdcpd.plate import PlateNotClear
from sdcpd.web.answer import Answer

__all__ = ["NATIVE", "ErrorBody", "ErrorDocument", "Form", "Refusal", "error_answer", "refused", "verdict"]

_log = logger("sdcpd.web.errors")

_STATUS: Mapping[type[errors.SdcpdError], int] = {
    errors.PrinterUnknown: 404,
    errors.PrinterOffline: 503,
    errors.LinkLost: 504,
    errors.CommandTimeout: 504,
    errors.CommandRefused: 409,
    errors.CommandInFlight: 409,
    errors.NotNow: 409,
    errors.OwnedElsewhere: 409,
    errors.BadCursor: 400,
    errors.BadLayer: 422,
    errors.BadName: 422,
    errors.FileMissing: 404,
    errors.FileInUse: 409,
    errors.NameTaken: 409,
    errors.FileTooLarge: 413,
    errors.StoreFull: 507,
    errors.JobUnknown: 404,
    errors.KeyReused: 422,
    errors.BadFile: 422,
    errors.WrongFile: 422,
    errors.BadKey: 422,
    errors.KeyExists: 409,
    errors.KeyMissing: 404,
    errors.Unrecorded: 507,
    errors.Interrupted: 400,
    errors.PictureMissing: 404,
    errors.TooManyPictures: 503,
}


class ErrorBody(Struct, frozen=True, omit_defaults=True):
    """What went wrong, for programs and for people."""

    code: str
    message: str
    hint: str = ""
    ack: int | None = None
    plate: PlateDocument | None = None
    """The plate as it is, if it is the reason."""
    expected: str = ""
    """What the printer needs, where the file is not for it."""
    found: str = ""
    """What the file has instead."""
    compatible_printers: tuple[str, ...] | None = None
    """The known printers that the file suits."""

    @property
    def sentence(self) -> str:
        """Message and hint in one text, for the dialects that have room for one."""
        return errors.sentence(self.message, self.hint)


class ErrorDocument(Struct, frozen=True):
    """Every error answer of the native API."""

    error: ErrorBody


class Refusal(errors.SdcpdError):
    """A request that HTTP itself forbids: wrong parameter, no permission, unknown path."""

    def __init__(
        self, status: int, code: str, message: str, hint: str = "", headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message, hint)
        self.status = status
        self.refusal = code
        self.headers = dict(headers or {})


def error_answer(status: int, body: ErrorBody, headers: Mapping[str, str] | None = None) -> Answer:
    """One error as an answer."""
    return Answer(status, msgspec.json.encode(ErrorDocument(body)), headers=dict(headers or {}))


class Form(Struct, frozen=True):
    """How one dialect says that something went wrong."""

    answer: Callable[[IRequest, int, ErrorBody, Mapping[str, str]], Answer]
    """Makes the answer of the native status, words and headers."""
    document: Any = ErrorDocument
    """The type of its JSON."""


NATIVE = Form(lambda request, status, body, headers: error_answer(status, body, headers))
"""The native API's way, and that of every path that is nobody's."""


def verdict(failure: Failure) -> tuple[int, ErrorBody, Mapping[str, str]]:
    """Status, words and headers for whatever a handler raised; a bug of ours is logged and named by a number only."""
    error = failure.value
    if isinstance(error, Refusal):
        return error.status, ErrorBody(error.refusal, error.message, error.hint), error.headers
    if isinstance(error, errors.SdcpdError):
        status = next((_STATUS[kind] for kind in type(error).__mro__ if kind in _STATUS), 500)
        if isinstance(error, errors.WrongFile):
            body = ErrorBody(
                error.reason,
                error.message,
                error.hint,
                expected=error.expected,
                found=error.found,
                compatible_printers=error.compatible,
            )
            return status, body, {}
        ack = error.ack if isinstance(error, errors.CommandRefused) else None
        plate = plate_document(error.plate) if isinstance(error, PlateNotClear) else None
        later = {"Retry-After": "2"} if isinstance(error, errors.TooManyPictures) else {}
        return status, ErrorBody(error.code, error.message, error.hint, ack, plate), later
    number = secrets.token_hex(4)
    _log.failure("Request failed (error {number})", failure, number=number)
    message = f"The daemon failed; its log says why under number {number}."
    return 500, ErrorBody("internal", message, "Please report it with the lines of the log."), {}


def refused(failure: Failure, request: IRequest, form: Form = NATIVE) -> Answer | Failure:
    """The answer to whatever a handler raised, in this form.

    A handler is cancelled when its client has left: then there is nobody to answer, and nothing went wrong.
    """
    if isinstance(failure.value, CancelledError):
        return failure
    return form.answer(request, *verdict(failure))
