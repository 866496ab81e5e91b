"""What the tests of Attio arrange with: settings, messages, the destination, alone or in front of a stand-in."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from stream.core.limits import RateLimit
from stream.core.offsets import OffsetTracker
from stream.core.outcomes import Outcome
from stream.core.records import Batch, Fields, Message, StandIn
from stream.destinations.attio.client import Attio
from stream.destinations.attio.sandbox import AttioSandbox
from stream.destinations.attio.settings import AttioSettings
from stream.destinations.base import Check
from stream.destinations.sandbox import serve
from stream.http import Response, Transport
from stream.http.client import Client
from stream.http.settings import HttpSettings, open_transport

KEY = "attio-test-key"


class Nowhere:
    """A transport for tests that send nothing."""

    async def send(
        self, method: str, url: str, *, headers: list[tuple[str, str]], body: bytes | None, timeout: float
    ) -> Response:
        raise NotImplementedError

    async def close(self) -> None: ...


def settings_of(**changes: Any) -> AttioSettings:
    """Settings as a configuration file gives them."""
    return AttioSettings.model_validate({"type": "attio", "api_key": KEY, **changes})


def destination_of(settings: AttioSettings, transport: Transport | None = None) -> Attio:
    """The destination, without a rate limit."""
    client = Client(
        transport or Nowhere(),
        settings.base_url,
        Attio.token(settings),
        limiter=RateLimit(None),
        timeout=5.0,
        observe=lambda _status, _seconds: None,
    )
    return Attio(settings, client)


def batch_of(attio: Attio, fields: Fields) -> Batch:
    """The batch of one message."""
    message = Message(
        attio.key(fields), fields, attio.encode(fields), StandIn(), OffsetTracker("crm.events", 0, 0), time.time()
    )
    return Batch([message], deadline=time.monotonic() + 5)


@dataclass(slots=True)
class Workspace:
    """A stand-in, its address, and the destination that is configured for it."""

    sandbox: AttioSandbox
    url: str
    attio: Attio
    transport: Transport

    async def deliver(self, **fields: object) -> Outcome:
        """What became of one person sent."""
        [outcome] = await self.attio.send(batch_of(self.attio, {"email": "ada@example.com"} | fields))
        return outcome

    async def checks(self) -> dict[str, Check]:
        """The lines of the connection test by name."""
        return {check.name: check async for check in self.attio.check()}

    async def control(self, method: str, path: str, body: bytes | None = None) -> Response:
        """A call of the stand-in's controls, over the network."""
        return await self.transport.send(method, self.url + path, headers=[], body=body, timeout=5.0)

    def called(self) -> list[str]:
        """The calls the stand-in has seen, as method and path."""
        return [f"{entry.method} {entry.target.partition('?')[0]}" for entry in self.sandbox.log]


@asynccontextmanager
async def workspace(sandbox: AttioSandbox | None = None, **changes: Any) -> AsyncIterator[Workspace]:
    """A stand-in on the network and a destination that calls it."""
    sandbox = sandbox or AttioSandbox(token=KEY)
    async with serve(sandbox) as url:
        transport = open_transport(HttpSettings())
        try:
            settings = settings_of(base_url=url, **changes)
            yield Workspace(sandbox, url, destination_of(settings, transport), transport)
        finally:
            await transport.close()
