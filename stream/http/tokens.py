"""What proves to a vendor who calls: a value that stays, or one that is minted and renewed. Values are never shown."""

import asyncio
import base64
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeAlias

import orjson

from stream.http import Request, Response

Send: TypeAlias = Callable[[Request], Awaitable[Response]]
"""One call without a token, within the rate limit and the deadline of the call that needs the token."""


@dataclass(frozen=True, slots=True)
class Minted:
    """A new token, and when to renew it: ahead of its end. Seconds since the epoch."""

    value: str = field(repr=False)
    renew_at: float = float("inf")


Mint: TypeAlias = Callable[[Send], Awaitable[Minted]]
"""Asks the vendor for a token. Raises TokenRefused for an answer that holds none."""


class TokenRefused(Exception):
    """No token could be had, so nothing was sent; what the vendor answered is in *response*, to judge by."""

    def __init__(self, response: Response) -> None:
        super().__init__(f"the vendor answered {response.status} to the request for a token")
        self.response = response


@dataclass(frozen=True, slots=True)
class StaticToken:
    """A value that stays what it is."""

    value: str = field(repr=False)


class RenewableToken:
    """A value that is minted when first needed, ahead of its end, and after a refusal; for all who wait at once."""

    def __init__(self, mint: Mint, *, initial: Minted | None = None, clock: Callable[[], float] = time.time) -> None:
        self._mint = mint
        self._minted = initial
        self._clock = clock
        self._lock = asyncio.Lock()
        self._tries = 0  # that came to an end
        self._failure: Exception | None = None  # of the last one

    def current(self) -> str | None:
        """The value to send; None where one must be minted first."""
        minted = self._minted
        return minted.value if minted is not None and self._clock() < minted.renew_at else None

    async def renew(self, refused: str | None, send: Send) -> str:
        """A value other than *refused*. Those who wait share one request, and what it raises."""
        tries = self._tries
        async with self._lock:
            value = self.current()
            if value is not None and value != refused:
                return value
            if self._failure is not None and self._tries != tries:
                raise self._failure.with_traceback(None)
            return await self._try(send)

    async def _try(self, send: Send) -> str:
        """One request. Where its task is cancelled it does not count, and the next who waits makes another."""
        try:
            minted = await self._mint(send)
        except Exception as error:
            self._failure = error
            self._tries += 1
            raise
        self._minted, self._failure = minted, None
        self._tries += 1
        return minted.value

    def __repr__(self) -> str:
        return "<RenewableToken>"


Token: TypeAlias = StaticToken | RenewableToken


def jwt_expiry(value: str) -> float | None:
    """When a JSON Web Token ends by its own `exp`, seconds since the epoch; None where it does not say (RFC 7519)."""
    try:
        payload = value.split(".")[1]
        claims = orjson.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        expiry = claims["exp"]
    except (IndexError, KeyError, TypeError, ValueError):
        return None
    return float(expiry) if type(expiry) in (int, float) else None
