"""Which destinations of a configuration are worked with, and a destination with its connections."""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager

from stream.core.limits import Limits, RateLimits
from stream.destinations import REGISTRY
from stream.destinations.base import Destination, DestinationSettings, secrets
from stream.errors import Exit, UserError
from stream.http.client import Client
from stream.http.settings import HttpSettings, open_transport
from stream.settings import Settings


@asynccontextmanager
async def open_destination(
    settings: DestinationSettings,
    http: HttpSettings,
    *,
    limits: Limits | None = None,
    observe: Callable[[str, float], None] = lambda _status, _seconds: None,
) -> AsyncIterator[Destination]:
    """A destination with its connections, closed at the end."""
    calls = REGISTRY[settings.type].calls
    clock = asyncio.get_running_loop().time
    transport = open_transport(http, keep_alive=calls.repeatable)
    limits = limits or RateLimits(settings.rates, clock())
    client = Client(
        transport,
        settings.base_url,
        calls.token(settings),
        addresses=settings.addresses,
        limiter=limits.first,
        others=limits.by_name,
        timeout=http.timeout,
        refusals=calls.refusals,
        secrets=secrets(settings),
        observe=observe,
        clock=clock,
    )
    try:
        yield calls(settings, client)
    finally:
        await transport.close()


def chosen(settings: Settings, only: Collection[str]) -> dict[str, DestinationSettings]:
    """The destinations to run: those enabled, or of them the named ones. Raises UserError for a name there is not."""
    if unknown := sorted(set(only) - settings.destinations.keys()):
        known = ", ".join(settings.destinations)
        raise UserError(f"there is no destination {unknown[0]!r}", f"the file has {known}", Exit.BAD_FILE)
    names = {
        name: found for name, found in settings.destinations.items() if found.enabled and (not only or name in only)
    }
    if not names:
        raise UserError("no destination is enabled", "set enabled: true on one", Exit.BAD_FILE)
    return names
