"""Acme contacts: the calls, their bodies, and what the answers mean. The mapping is in `preset.yaml`."""

import time
from collections.abc import AsyncIterator
from urllib.parse import quote

import orjson
from stream.destinations.acme.settings import AcmeSettings

from schemas.masking import mask
from stream.core.outcomes import DELIVERED, Blocked, Outcome, Rejected, Retry, Throttled
from stream.core.records import Batch, Fields
from stream.destinations.base import Calls, Check
from stream.http import Request, Response, Unanswered
from stream.http.responses import retry_after
from stream.http.tokens import StaticToken, Token

KEY = "make a new API key in Acme and set it as `api_key`"
HOST = "look at `base_url`: what answers is not Acme's API"


class Acme(Calls):
    """The contacts of an Acme account: one upsert per message, matched by email address."""

    type = "acme"
    settings: AcmeSettings
    repeatable = True  # the same upsert twice leaves the same contact
    coalesces = True  # an upsert leaves alone what it does not name

    @classmethod
    def token(cls, settings: AcmeSettings) -> Token:
        """The key as it was given."""
        return StaticToken(settings.api_key.get_secret_value())

    def key(self, fields: Fields) -> str:
        """The email address, as Acme matches it."""
        return str(fields["email"])

    def encode(self, fields: Fields) -> bytes:
        """The body of the upsert."""
        return orjson.dumps(fields)

    def requests(self, batch: Batch) -> list[Request]:
        """The upsert."""
        [message] = batch
        return [Request("PUT", f"/v1/contacts/{quote(message.key, safe='')}", message.body)]

    async def send(self, batch: Batch) -> list[Outcome]:
        """The verdict on the one contact of the batch; see `Calls.send`."""
        [request] = self.requests(batch)
        return [verdict(await self.http.send(request, deadline=batch.deadline), time.time())]

    async def check(self) -> AsyncIterator[Check]:
        """The key."""
        response = await self.http.send(Request("GET", "/v1/account"))
        outcome = verdict(response, time.time())
        if isinstance(outcome, Retry | Throttled):
            raise Unanswered(outcome.detail)
        ok = response.status == 200
        hint = outcome.hint if isinstance(outcome, Blocked) else HOST
        yield Check("key", ok, "accepted" if ok else described(response), "" if ok else hint)


def verdict(response: Response, now: float) -> Outcome:
    """What became of the contact. *now* is seconds since the epoch. Write down each row of the vendor's error table."""
    status, detail = response.status, described(response)
    if 200 <= status < 300:
        return DELIVERED
    if status == 429:
        return Throttled(retry_after(response, now), detail)
    if status >= 500 or status in (408, 425):
        return Retry(detail, status)
    if status in (401, 403):
        return Blocked(detail, status, KEY)
    if status < 400 or status in (404, 405):
        return Blocked(detail, status, HOST)
    return Rejected(detail, status)


def described(response: Response) -> str:
    """The status with the vendor's own words, masked."""
    error = response.json()
    message = error.get("message") if isinstance(error, dict) else None
    return mask(f"{response.status} {message if isinstance(message, str) else 'without an explanation'}")
