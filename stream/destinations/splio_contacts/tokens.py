"""Splio's access tokens: minted with an API key, good for an hour (destinations 2.3)."""

import time
from collections.abc import Callable

import orjson
from pydantic import SecretStr

from stream.destinations.splio_contacts.settings import OTHER
from stream.http import Request, Response
from stream.http.tokens import Mint, Minted, RenewableToken, Send, StaticToken, Token, TokenRefused, jwt_expiry

PATH = "/authenticate"
LIFE = 50 * 60.0  # seconds a token is used: newer documents say a day, the seed an hour
AHEAD = 5 * 60.0  # seconds before its own end at which one is renewed


def token_of(api_key: SecretStr | None, token: SecretStr | None) -> Token:
    """What is shown to Splio: a token that the key renews, or one that ends some day."""
    value = token.get_secret_value() if token else ""
    if api_key is None:
        return StaticToken(value)
    initial = Minted(value, jwt_expiry(value) or float("inf")) if value else None
    return RenewableToken(minting(api_key), initial=initial)


def minting(api_key: SecretStr, clock: Callable[[], float] = time.time) -> Mint:
    """Mints with this key."""

    async def mint(send: Send) -> Minted:
        response = await send(request(api_key))
        value = minted(response)
        if value is None:
            raise TokenRefused(response)
        return Minted(value, renew_at(value, clock()))

    return mint


def request(api_key: SecretStr) -> Request:
    """The request for a token."""
    return Request("POST", PATH, orjson.dumps({"api_key": api_key.get_secret_value()}), limit=OTHER)


def minted(response: Response) -> str | None:
    """The token in an answer: `{"token": …}`, a JSON text, or bare text with two dots; None where there is none.

    A wrong key is answered with 400.
    """
    if not 200 <= response.status < 300:
        return None
    found = response.json()
    if isinstance(found, dict):
        found = found.get("token")
    elif found is None:
        text = response.body.decode("utf-8", "replace").strip()
        found = text if text.count(".") == 2 else None
    return found if isinstance(found, str) and found and found.isascii() and found.isprintable() else None


def renew_at(value: str, now: float) -> float:
    """When to renew a token minted *now*; seconds since the epoch. Never at once, however short it lives."""
    expiry = jwt_expiry(value)
    if expiry is None or expiry <= now:  # it does not say, or our clock and Splio's differ
        return now + LIFE
    return min(now + LIFE, max(expiry - AHEAD, now + (expiry - now) / 2))
