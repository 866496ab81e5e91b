"""What would become of events, told without network: decoded, mapped and encoded by the parts that do it in `run`."""

import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any
from urllib.parse import parse_qsl

import orjson

from schemas.events import Event
from stream.commands.lines import Line
from stream.core.offsets import OffsetTracker
from stream.core.outcomes import Filtered
from stream.core.records import Batch, Message, Record, StandIn
from stream.decoding import decode
from stream.destinations import REGISTRY
from stream.destinations.base import Destination, secrets
from stream.gates import gate
from stream.http import Request
from stream.http.client import Address
from stream.messages import Messages
from stream.opening import chosen, open_destination
from stream.settings import Settings, mapping_of
from stream.topics.traits import Traits
from stream.topics.users import InMemory

HIDDEN = "***"
FILE = "file", 0  # stands for topic and partition
NOWHERE = OffsetTracker(*FILE, 0)  # nothing is settled


class Rehearsal:
    """The enabled destinations of a configuration, and what they would make of events."""

    def __init__(self, settings: Settings, destinations: Mapping[str, Destination]) -> None:
        self._dialect = settings.source.dialect
        self._parts = [Part(name, calls, settings) for name, calls in destinations.items()]

    def shown(self, line: Line) -> Iterator[dict[str, Any]]:
        """What becomes of a line, as `preview` shows it: an object for each destination, or for each of its calls."""
        now = time.time()
        record = StandIn(line.content, int(now * 1000), *FILE, offset=line.number)
        decoded = decode(record.value, record.timestamp, now, self._dialect)
        name = decoded.event or None if isinstance(decoded, Event) else None
        for part in self._parts:
            for shown in part.shown(record):
                yield {"destination": part.name, "event": name, "line": line.number} | shown


class Part:
    """One destination's part in it."""

    def __init__(self, name: str, calls: Destination, settings: Settings) -> None:
        own = settings.destinations[name]
        self.name = name
        self._calls = calls
        self._address = Address(own.base_url)
        self._gate = gate(own.max_age, calls)
        self._secrets = frozenset(secrets(own))
        mapping = mapping_of(name, own)
        traits = Traits(InMemory(), mapping.traits, destination=name) if settings.source.remember_traits else None
        if traits is not None:
            traits.take_on([FILE])
        self._make = Messages(
            name,
            mapping=mapping,
            destination=calls,
            dialect=settings.source.dialect,
            wall=time.time,
            traits=traits,
        )

    def shown(self, record: Record) -> Iterator[dict[str, Any]]:
        """The outcome and, where it is sent, each request."""
        made = self._make(record, NOWHERE)
        if isinstance(made, Message) and self._gate is not None and (reason := self._gate(made)):
            made = Filtered(reason)
        if not isinstance(made, Message):
            outcome = "filtered" if isinstance(made, Filtered) else "rejected"
            yield {"outcome": outcome, "reason": made.reason, "notes": [], "method": None, "url": None, "body": None}
            return
        for request in self._calls.requests(Batch([made])):
            yield {
                "outcome": "send",
                "reason": None,
                "notes": list(made.notes),
                "method": request.method,
                "url": self._address.of(request.path),
                "body": self._body(request),
            }

    def _body(self, request: Request) -> Any:
        return None if request.body is None else without(self._secrets, content(request.body, request.content_type))


@asynccontextmanager
async def rehearsing(settings: Settings) -> AsyncIterator[Rehearsal]:
    """A rehearsal with every enabled destination that events are for. Raises UserError where none is enabled."""
    async with AsyncExitStack() as stack:
        destinations = {
            name: await stack.enter_async_context(open_destination(own, settings.http))
            for name, own in chosen(settings, ()).items()
            if REGISTRY[own.type].calls.reads == "events"
        }
        yield Rehearsal(settings, destinations)


def content(body: bytes, content_type: str) -> Any:
    """What a body says: its JSON, or a form's parameters by name, of which `rcpts` is JSON again."""
    if not content_type.startswith("application/x-www-form-urlencoded"):
        return orjson.loads(body)
    form: dict[str, Any] = dict(parse_qsl(body.decode(), keep_blank_values=True))
    return form | ({"rcpts": orjson.loads(form["rcpts"])} if "rcpts" in form else {})


def without(secrets: frozenset[str], value: Any) -> Any:
    """JSON with `***` for each text in it that is a secret."""
    if isinstance(value, dict):
        return {name: without(secrets, each) for name, each in value.items()}
    if isinstance(value, list):
        return [without(secrets, each) for each in value]
    return HIDDEN if isinstance(value, str) and value in secrets else value
