"""The client that destinations hold: addresses, authorization, rate limit and deadline of each request.

It never retries, but for one resend after a renewed token: retries have their home in `stream.delivery`.
"""

import asyncio
import json
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Protocol
from urllib.parse import quote, quote_plus, urlsplit

from stream.errors import UserError
from stream.http import CertificateRefused, NotSent, Request, Response, Transport, Unanswered
from stream.http.responses import Answer
from stream.http.tokens import RenewableToken, Token

NO_TIME = "no time left before the deadline"
ASTRAY = "the address is none of this destination's: its answers, or what lies between, name another host"


class Limiter(Protocol):
    """The rate limit, as `stream.core.limits.RateLimit` is one. Times are monotonic seconds."""

    def reserve(self, now: float, /) -> float:
        """Take one request; how many seconds it must wait."""

    def cancel(self) -> None:
        """Give back one that was reserved and not used."""


def bearer(value: str) -> str:
    """The Authorization header of a bearer token (RFC 6750)."""
    return f"Bearer {value}"


class Client:
    """One vendor's API."""

    def __init__(
        self,
        transport: Transport,
        base_url: str,
        token: Token | None,
        *,
        addresses: Iterable[str] = (),
        limiter: Limiter,
        others: Mapping[str, Limiter] | None = None,
        timeout: float,
        authorize: Callable[[str], str] = bearer,
        refusals: frozenset[int] = frozenset({401}),
        secrets: Iterable[str] = (),
        observe: Callable[[str, float], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """*addresses*: what a request may name as a whole URL; nothing is sent anywhere but to them and *base_url*.

        *others*: limits that requests name. *refusals*: the statuses by which this vendor refuses a token.
        *secrets*: what is hidden where an answer repeats it.

        *observe* is called once for each request, with its status (a number, `not_sent`, `unanswered` or `certificate`)
        and how many seconds it took.
        """
        self._transport = transport
        self._address = Address(base_url, addresses)
        self._token = token
        self._limiter = limiter
        self._others = dict(others or {})
        self._timeout = timeout
        self._authorize = authorize
        self._refusals = refusals
        self._secrets = [spelling for secret in secrets for spelling in spellings(secret)]
        self._observe = observe
        self._clock = clock
        self._authorization = ("", "")  # a token's value, and the header made of it

    async def send(self, request: Request, deadline: float = float("inf")) -> Response:
        """The vendor's answer. All that belongs to the call is over by *deadline*, monotonic seconds.

        Raises NotSent, Unanswered, CertificateRefused, and TokenRefused where a token is needed and not to be had.
        A token that is refused is renewed once, for all who wait, and the request sent once more.
        """
        token = self._token
        if not isinstance(token, RenewableToken):
            return await self._once(request, deadline, token.value if token else None)
        value = token.current()
        if value is None:
            value = await self._renewed(token, None, deadline)
        response = await self._once(request, deadline, value)
        if response.status in self._refusals:
            value = await self._renewed(token, value, deadline)
            response = await self._once(request, deadline, value)
        return response

    async def _once(self, request: Request, deadline: float, value: str | None) -> Response:
        """One request, when the rate limit lets it go."""
        url = self._address.of(request.path)
        now = self._clock()
        limiter = self._others.get(request.limit, self._limiter)
        if (wait := limiter.reserve(now)) > 0:
            now = await self._waited(limiter, wait, now, deadline)
        timeout = min(self._timeout, deadline - now)
        if timeout <= 0:
            limiter.cancel()
            raise NotSent(NO_TIME)
        status = "unanswered"
        try:
            response = await self._transport.send(
                request.method,
                url,
                headers=self._headers(request, value),
                body=request.body,
                timeout=timeout,
            )
            status = str(response.status)
        except NotSent:
            status = "not_sent"
            raise
        except CertificateRefused:
            status = "certificate"
            raise
        finally:
            self._observe(status, self._clock() - now)
        return self._discreet(response)

    def _discreet(self, response: Response) -> Response:
        """The answer without our own secrets, which an error may repeat."""
        body = response.body
        for secret in self._secrets:
            if secret in body:
                body = body.replace(secret, b"***")
        return response if body is response.body else Answer(response.status, body, response.header)

    async def _waited(self, limiter: Limiter, wait: float, now: float, deadline: float) -> float:
        """What the clock says after *wait* seconds; what does not fit the deadline gives its turn back at once."""
        if now + wait >= deadline:
            limiter.cancel()
            raise NotSent(NO_TIME)
        try:
            await asyncio.sleep(wait)
        except asyncio.CancelledError:
            limiter.cancel()
            raise
        return self._clock()

    async def _renewed(self, token: RenewableToken, refused: str | None, deadline: float) -> str:
        """A value other than *refused*. An unanswered request for a token leaves the call itself unsent."""
        left = deadline - self._clock()
        try:
            async with asyncio.timeout(None if left == float("inf") else left):
                return await token.renew(refused, lambda request: self._once(request, deadline, None))
        except TimeoutError:
            raise NotSent(NO_TIME) from None
        except Unanswered as error:
            raise NotSent(f"no answer to the request for a token: {error}") from None

    def _headers(self, request: Request, value: str | None) -> list[tuple[str, str]]:
        headers = [*request.headers]
        if request.body is not None:
            headers.append(("Content-Type", request.content_type))
        if value is not None:
            if value is not self._authorization[0]:
                self._authorization = (value, _presented(self._authorize(value)))
            headers.append(("Authorization", self._authorization[1]))
        return headers

    def __repr__(self) -> str:
        return "<Client>"


class Address:
    """A vendor's `base_url`, to which paths are appended; what both name (`/v2`) counts once. *known*: whole URLs."""

    def __init__(self, base_url: str, known: Iterable[str] = ()) -> None:
        self._base = base_url.rstrip("/")
        self._known = tuple(address.rstrip("/") + "/" for address in known)
        folders = urlsplit(self._base).path.split("/")
        self._endings = ["/" + "/".join(folders[start:]) for start in range(1, len(folders))]

    def of(self, path: str) -> str:
        """The URL of *path*, which begins with a slash, or is one already. Raises NotSent for one of another host.

        It is told by how it begins: readers of URLs do not agree on which part of an odd one is the host.
        """
        if not path.startswith("/"):
            if not path.startswith(self._known):
                raise NotSent(ASTRAY)
            return path
        for ending in self._endings:
            if path.startswith(ending) and path[len(ending) : len(ending) + 1] in ("", "/", "?"):
                return self._base[: -len(ending)] + path
        return self._base + path


def presentable(value: str) -> bool:
    """Whether it can be a header's value; libraries that refuse one repeat it in their error."""
    return value.isascii() and value.isprintable()


def _presented(value: str) -> str:
    if not presentable(value):
        raise UserError("a token or key holds a line break or another character that no header can hold")
    return value


def spellings(secret: str) -> list[bytes]:
    """The secret as an answer may repeat it: plain, in JSON (PHP also writes `\\/`), in a form or an address."""
    in_json = json.dumps(secret)[1:-1]
    forms = (secret, in_json, in_json.replace("/", "\\/"), quote(secret, safe=""), quote(secret), quote_plus(secret))
    return [form.encode() for form in dict.fromkeys(forms) if form]
