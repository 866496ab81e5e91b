"""What the tests of Splio Trigger SMS arrange with: settings, messages, the destination, in front of a stand-in."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import orjson

from stream.core.offsets import OffsetTracker
from stream.core.outcomes import Outcome
from stream.core.records import Batch, Fields, Message
from stream.destinations.base import Calls, Check
from stream.destinations.sandbox import serve
from stream.destinations.splio_sms.sandbox import SplioSmsFaults, SplioSmsSandbox
from stream.destinations.splio_sms.settings import SplioSmsSettings
from stream.http import Response
from stream.http.settings import HttpSettings, open_transport
from stream.opening import open_destination
from tests.unit.partition import LogRecord

SEND = "/api/triggersms/nph-4.pl"
FORM = "application/x-www-form-urlencoded; charset=utf-8"
UNIVERSE, KEY = "my_universe_id", "my_api_key"
RULE = {"event": "Signed Up", "message": "6tJglf8zd"}
JANE, LI = "+33612345678", "+8618612345678"


def settings_of(**changes: Any) -> SplioSmsSettings:
    """Settings as a configuration file gives them."""
    given = {"type": "splio_sms", "universe": UNIVERSE, "key": KEY, "rules": [RULE], "rate_limit": None}
    return SplioSmsSettings.model_validate(given | changes)


def message_to(calls: Calls, *numbers: str, **fields: str) -> Message:
    """The message of a sign-up that so many numbers get a text for."""
    found: Fields = {"rule": "Signed Up", "rcpts": [{"cellphone": number} | fields for number in numbers]}
    record = LogRecord(offset=7, topic="crm.events")
    return Message(calls.key(found), found, calls.encode(found), record, OffsetTracker("crm.events", 0, 0), time.time())


@dataclass(slots=True)
class Universe:
    """A stand-in, its address, and the destination that is configured for it."""

    sandbox: SplioSmsSandbox
    url: str
    calls: Calls

    async def text(self, *numbers: str, **fields: str) -> Outcome:
        """What became of a text to so many numbers, each of them as often as it is named."""
        batch = Batch([message_to(self.calls, *(numbers or (JANE,)), **fields)])
        [outcome] = await self.calls.send(batch)
        return outcome

    def break_it(self, **faults: Any) -> None:
        """Something is wrong with the vendor from now on."""
        self.sandbox.faults = SplioSmsFaults.model_validate(faults)

    async def checks(self) -> dict[str, Check]:
        """The lines of the connection test by name."""
        return {check.name: check async for check in self.calls.check()}

    async def call(self, method: str = "PUT", *, content_type: str = FORM, **changes: object) -> Response:
        """A call of the vendor's API, however wrong; what is None is left out, what is no text is sent as JSON."""
        given = {"universe": UNIVERSE, "key": KEY, "message": "6tJglf8zd", "rcpts": [{"cellphone": JANE}]} | changes
        parameters = {
            name: value if isinstance(value, str) else orjson.dumps(value).decode()
            for name, value in given.items()
            if value is not None
        }
        return await self.raw(method, SEND, urlencode(parameters).encode(), ("Content-Type", content_type))

    async def raw(self, method: str, path: str, body: bytes | None = None, *headers: tuple[str, str]) -> Response:
        """Any call at all."""
        transport = open_transport(HttpSettings(transport="httpx"))
        try:
            return await transport.send(method, self.url + path, headers=[*headers], body=body, timeout=5.0)
        finally:
            await transport.close()

    def texted(self) -> list[str]:
        """The numbers that got a text, in their order, each as often as it did."""
        return [text["cellphone"] for text in self.sandbox.people()]


@asynccontextmanager
async def universe(**changes: Any) -> AsyncIterator[Universe]:
    """A stand-in on the network and a destination that calls it, data API included."""
    sandbox = SplioSmsSandbox(universe=UNIVERSE, key=KEY)
    async with serve(sandbox) as url:
        settings = settings_of(**{"base_url": url, "data_api_url": url} | changes)
        async with open_destination(settings, HttpSettings(transport="httpx")) as calls:
            assert isinstance(calls, Calls)
            yield Universe(sandbox, url, calls)
