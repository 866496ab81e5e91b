"""What the tests of Customer.io arrange with: settings, requests, the destination in front of its stand-in, a desk."""

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from schemas.privacy import PrivacyResult
from stream.core.limits import RateLimit
from stream.core.offsets import OffsetTracker
from stream.core.outcomes import Outcome
from stream.core.records import Batch, Message
from stream.destinations.base import Check
from stream.destinations.customerio.client import Customerio
from stream.destinations.customerio.sandbox import CustomerioSandbox
from stream.destinations.customerio.settings import CustomerioSettings
from stream.destinations.sandbox import serve
from stream.http import Response, Transport
from stream.http.client import Client
from stream.http.settings import HttpSettings, open_transport
from tests.unit.partition import LogRecord

JANE = "jane@example.com"
SENT_AT = 1_780_741_800.0  # when requests came into their topic: 2026-06-06T10:30:00Z


@dataclass(slots=True)
class NotedDesk:
    """A desk that keeps what is written. It also notes how many calls the vendor had seen by then."""

    vendor: CustomerioSandbox | None = None
    results: list[PrivacyResult] = field(default_factory=list)
    erasures: list[tuple[str, float, int]] = field(default_factory=list)

    async def erase(self, email: str, at: float) -> bool:
        known = (email, at) in [erasure[:2] for erasure in self.erasures]
        self.erasures.append((email, at, len(self.vendor.log) if self.vendor else 0))
        return not known

    async def answer(self, result: PrivacyResult) -> None:
        self.results.append(result)


@dataclass(slots=True)
class Routed:
    """A transport that takes addresses for others, as a hosts file does; it notes who was called with what."""

    transport: Transport
    routes: dict[str, str]
    called: list[tuple[str, str]] = field(default_factory=list)  # host and Authorization

    async def send(
        self, method: str, url: str, *, headers: list[tuple[str, str]], body: bytes | None, timeout: float
    ) -> Response:
        host = next(host for host in self.routes if url.startswith(f"{host}/"))
        self.called.append((host, dict(headers)["Authorization"]))
        return await self.transport.send(
            method, self.routes[host] + url.removeprefix(host), headers=headers, body=body, timeout=timeout
        )

    async def close(self) -> None: ...


def settings_of(**changes: Any) -> CustomerioSettings:
    """Settings as a configuration file gives them; None takes a key away."""
    given = {"type": "customerio", **CustomerioSandbox().credentials, "rate_limit": None, **changes}
    return CustomerioSettings.model_validate({key: each for key, each in given.items() if each or key == "rate_limit"})


def destination_of(settings: CustomerioSettings, transport: Transport, desk: NotedDesk | None = None) -> Customerio:
    """The destination with its desk, without a rate limit."""
    client = Client(
        transport,
        settings.base_url,
        None,
        addresses=settings.addresses,
        limiter=RateLimit(None),
        timeout=5.0,
        observe=lambda _status, _seconds: None,
    )
    customerio = Customerio(settings, client)
    customerio.name, customerio.desk = "cio", desk or NotedDesk()
    return customerio


def request(kind: str = "access", email: str = JANE, request_id: str = "r-1") -> Message:
    """A request as it comes out of its topic."""
    record = LogRecord(value=b"", timestamp=int(SENT_AT * 1000))
    fields: dict[str, object] = {"request_id": request_id, "kind": kind, "email": email}
    return Message(email, fields, b"", record, OffsetTracker("requests", 0, 0), SENT_AT)


@dataclass(slots=True)
class Account:
    """A stand-in, its address, and the destination that is configured for it."""

    sandbox: CustomerioSandbox
    url: str
    customerio: Customerio
    desk: NotedDesk
    transport: Transport

    async def send(self, message: Message, seconds: float = 60) -> Outcome:
        """What became of one call of the destination, which has so many seconds."""
        [outcome] = await self.customerio.send(Batch([message], deadline=time.monotonic() + seconds))
        return outcome

    async def answered(self, message: Message) -> PrivacyResult:
        """The result of a request that one call answers."""
        await self.send(message)
        [result] = self.desk.results
        return result

    async def checks(self) -> dict[str, Check]:
        """The lines of the connection test by name."""
        return {check.name: check async for check in self.customerio.check()}

    def called(self, part: str = "") -> list[str]:
        """The targets of the calls the stand-in has seen that have *part* in them."""
        return [f"{entry.method} {entry.target}" for entry in self.sandbox.log if part in entry.target]


@asynccontextmanager
async def account(sandbox: CustomerioSandbox | None = None, **changes: Any) -> AsyncIterator[Account]:
    """A stand-in on the network, empty at first, and a destination that calls it."""
    sandbox = sandbox or CustomerioSandbox(sample=False)
    async with AsyncExitStack() as exits:
        url = await exits.enter_async_context(serve(sandbox))
        transport = open_transport(HttpSettings())
        exits.push_async_callback(transport.close)
        desk = NotedDesk(sandbox)
        settings = settings_of(**({"app_url": url, "track_url": url} | changes))
        yield Account(sandbox, url, destination_of(settings, transport, desk), desk, transport)


def targets(calls: Sequence[str]) -> list[str]:
    """The calls without their queries."""
    return [call.partition("?")[0] for call in calls]
