"""Who may do what, decided before anything else is looked at, and in this one place.

One decision: the order. The Host and the Origin first, then how often this address asks, then its key, then the scope,
then the printer; a handler runs only when all agree. A key that was presented must be right, whoever presents it: an
empty or a wrong one is refused even from a trusted address, and guessing is slowed down, while a right key is good
from everywhere, so nobody can lock out others (reference apis.md 7.1 and 7.2).
"""

from __future__ import annotations

import math
from collections.abc import Callable

from msgspec.structs import replace
from twisted.internet.interfaces import IReactorTime
from twisted.web.iweb import IRequest

from sdcpd import config
from sdcpd.keys import Keys
from sdcpd.logs import logger
from sdcpd.machine import Machine
from sdcpd.records import Key
from sdcpd.scopes import granted
from sdcpd.web.answer import Answer
from sdcpd.web.browsers import Browsers
from sdcpd.web.buckets import Buckets
from sdcpd.web.client import Client
from sdcpd.web.digest import Digests, StaleNonce, is_ours
from sdcpd.web.errors import Refusal
from sdcpd.web.peers import Peers
from sdcpd.web.tokens import Tokens

__all__ = ["FAILURES", "Access", "Client", "has_key"]

FAILURES = 10
"""Wrong keys that one address may present in a minute."""

_log = logger("sdcpd.web.access")


class Access:
    """The rules of ``[access]`` and ``[web]``, replaced whole at a reload; the keys and the one-shot tokens.

    ``identify`` gives the MainboardID of a slug or MainboardID, or None.
    """

    def __init__(
        self,
        access: config.Access,
        web: config.Web,
        *,
        keys: Keys,
        identify: Callable[[str], str | None],
        look: Callable[[], Machine],
        clock: IReactorTime,
    ) -> None:
        self.tokens = Tokens(clock)
        self.digests = Digests(keys, clock)
        self._keys = keys
        self._identify = identify
        self._clock = clock
        self._peers = Peers(look, clock)
        self._browsers = Browsers()
        self._failures = Buckets(clock, rate=FAILURES / 60, burst=FAILURES)
        self._warnings = Buckets(clock, rate=1 / 60, burst=1)
        keys.subscribe(lambda key: self.tokens.revoke(key.name))
        self.configure(access, web)

    def configure(self, access: config.Access, web: config.Web) -> None:
        """Take over other rules."""
        self._peers.configure(access, web)
        self._browsers.configure(web)
        self._requests = Buckets(self._clock, rate=web.rate, burst=web.burst) if web.rate else None

    # -- one request -----------------------------------------------------------------------------------------

    def check(
        self, request: IRequest, scope: str | None, printer: str | None = None, *, limited: bool = True
    ) -> Client:
        """Let the request pass or raise the ``Refusal`` that it gets.

        ``scope`` None needs no permission. ``printer`` is the one that the path names; ``limited`` is whether a key
        that is limited to printers may come here at all.
        """
        self._browsers.check(request, self._peers.machine)
        client = self._peers.find(request)
        self._count(client)
        client = self._with_key(request, client)
        if scope is not None and scope not in client.scopes:
            raise _forbidden(client, scope)
        if client.printers is not None:
            if printer is not None:
                client.check(self._identify(printer))
            elif not limited:
                raise Refusal(
                    403,
                    "forbidden",
                    f"The key {client.key!r} is limited to printers, and this concerns all of them.",
                    "An administrator can make a key that is not limited.",
                )
        return client

    def forgive(self, client: Client) -> None:
        """The request waits for news: it is the daemon that sets its pace, so it is not counted."""
        if self._requests is not None and not client.is_loopback:
            self._requests.give_back(client.counted_as)

    def is_proxied(self, request: IRequest) -> bool:
        """Whether a configured proxy sent this, so that its forwarded headers count."""
        return self._peers.is_proxied(request)

    def check_page(self, request: IRequest) -> None:
        """Raise a ``Refusal`` if another site's page asks, though it only reads."""
        self._browsers.check_page(request)

    def headers(self, request: IRequest) -> tuple[tuple[bytes, bytes], ...]:
        """What the answer says to a page of another site, whatever the answer is."""
        return self._browsers.headers(request)

    def preflight(self, request: IRequest) -> Answer | None:
        """The answer to a browser's preflight; None if this is none. Raises ``Refusal``."""
        if request.method != b"OPTIONS":
            return None
        self._browsers.check(request, self._peers.machine)
        return self._browsers.preflight(request)

    def _count(self, client: Client) -> None:
        # Programs on this machine have shorter ways to wear it out.
        seconds = 0.0 if self._requests is None or client.is_loopback else self._requests.take(client.counted_as)
        if seconds:
            raise Refusal(
                429,
                "too_many_requests",
                f"Too many requests from {client.address} in a short time.",
                "Let the daemon tell of changes: GET /v1/updates, or /status?wait=25.",
                {"Retry-After": str(math.ceil(seconds))},
            )

    # -- keys ------------------------------------------------------------------------------------------------

    def _with_key(self, request: IRequest, client: Client) -> Client:
        keys, tokens, answers = _presented(request)
        if not (keys or tokens or answers):
            return client
        found: Client | None = None
        if len(keys) + len(tokens) + len(answers) == 1:
            if tokens:
                if request.method in (b"GET", b"HEAD"):
                    found = self.tokens.take(tokens.pop(), client.address)
            else:
                key = self._keys.find(keys.pop()) if keys else self._digested(request, answers.pop())
                found = None if key is None else _client(client, key)
        if found is None:
            raise self._refused(client)
        return found

    def _digested(self, request: IRequest, answer: bytes) -> Key | None:
        try:
            return self.digests.find(answer, request, through_proxy=self.is_proxied(request))
        except StaleNonce:
            raise Refusal(
                401,
                "stale_nonce",
                "The answer is to an old challenge, or was sent before.",
                "Answer the new one.",
                {"WWW-Authenticate": self.digests.challenge(request, stale=True)},
            ) from None

    def with_key(self, client: Client, text: str) -> Client:
        """The client with a key that a person has typed into a page; the ``Refusal`` of a wrong one."""
        key = self._keys.find(text.strip())
        if key is None:
            raise self._refused(client)
        return _client(client, key)

    def _refused(self, client: Client) -> Refusal:
        seconds = self._failures.take(client.counted_as)
        if seconds:
            if not self._warnings.take(client.counted_as):
                _log.warn("{address} presents one wrong key after the other", address=client.address)
            return Refusal(
                429,
                "too_many_failures",
                f"Too many wrong keys from {client.address}.",
                "Check the key; one that is right is good at any time.",
                {"Retry-After": str(math.ceil(seconds))},
            )
        return Refusal(
            401,
            "wrong_key",
            "The key or token that was sent is not valid, or more than one was sent.",
            "Check it, or leave it out; a token is good for one GET within 5 s from the address that asked for it.",
            {"WWW-Authenticate": 'Bearer realm="sdcpd"'},
        )


def has_key(request: IRequest) -> bool:
    """Whether a request came with a key, a token or an answer to a challenge, right or wrong."""
    return any(_presented(request))


def _presented(request: IRequest) -> tuple[set[str], set[str], set[bytes]]:
    """The different keys, tokens and answers to challenges of a request.

    Empty ones are included: who sends an empty key means to send one.
    """
    headers, args = request.requestHeaders, request.args
    raw = [*(headers.getRawHeaders(b"x-api-key") or ()), *args.get(b"apikey", ())]
    answers: set[bytes] = set()
    for authorization in headers.getRawHeaders(b"authorization") or ():
        # Basic, and Digest of others, are for proxies, and reach us with what has nothing to do with our keys.
        kind, _, credentials = authorization.partition(b" ")
        if kind.lower() == b"bearer":
            raw.append(credentials)
        elif is_ours(authorization):
            answers.add(credentials)
    return (
        {key.strip().decode("utf-8", "replace") for key in raw},
        {token.decode("utf-8", "replace") for token in args.get(b"token", ())},
        answers,
    )


def _client(client: Client, key: Key) -> Client:
    printers = frozenset(key.printers) if key.printers else None
    return replace(client, scopes=granted(key.scopes), key=key.name, printers=printers)


def _forbidden(client: Client, scope: str) -> Refusal:
    if client.key:
        message = f"The key {client.key!r} may not do this: it needs the scope {scope!r}."
        hint = f"An administrator can make a key with that scope: sdcp-key add NAME --scope {scope}."
        return Refusal(403, "forbidden", message, hint)
    message = f"Your address {client.address} may not do this: it needs the scope {scope!r}."
    if client.forwarded:
        hint = "Send a key; an administrator can list a proxy that sends X-Forwarded-For under [web] proxies."
    elif scope == "admin":
        hint = "Send an admin key (X-Api-Key); the daemon's own is in admin.key in its state directory."
    else:
        made = f"sdcp-key add NAME --scope {scope} makes one"
        hint = f"Send a key (X-Api-Key); {made}, or an administrator trusts your network under [access] trusted."
    return Refusal(403, "forbidden", message, hint)
