"""Records of a source topic: bytes to events, events to what a destination is sent."""

import math
import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache
from random import Random
from typing import Any

import orjson

from schemas.dead_letters import DeadLetter
from schemas.erasures import Erasure
from schemas.events import Event
from schemas.masking import LIMIT, mask
from schemas.reasons import NOTES, REASONS
from schemas.replays import ADDRESSEE, REPLAY, WRITTEN_AT, ReplayId
from stream.core.limits import RateLimit
from stream.core.offsets import OffsetTracker
from stream.core.outcomes import Filtered, Rejected
from stream.core.records import Batch, written_at
from stream.decoding import DAY, EARLIEST, decode
from stream.destinations import REGISTRY
from stream.destinations.base import Calls, DestinationSettings
from stream.http.client import Client
from stream.messages import Messages
from stream.settings import mapping_of
from stream.topics.erasures import Erasures
from stream.topics.traits import Traits
from stream.topics.users import InMemory
from tests.fuzz.target import Target, unshown
from tests.fuzz.values import SHOWN, broken, mutated, nested, sentence, some_bytes, text, written
from tests.unit.partition import LogRecord

NOW = 1_780_000_000.0
FULL = {
    "type": "identify",
    "event": "Signed Up",
    "messageId": "m-1",
    "userId": "u-1",
    "anonymousId": "a-1",
    "timestamp": "2026-06-06T10:30:00.000Z",
    "traits": {
        "email": "jane@example.com",
        "phone": "+33612345678",
        "first_name": "Jane",
        "last_name": "Doe",
        "name": "Jane Doe",
        "city": "Paris",
        "country": "FR",
        "company": "Example",
        "language": "fr",
    },
    "properties": {"order": 12, "items": [{"sku": "a", "price": 1.5}]},
    "context": {"locale": "en-GB", "consent": {"canonical": {"marketing": True}}, "traits": {"email": "j@example.com"}},
}
NAMES = ("Identified", "Signed Up", "Order Completed", "Lead Generated", "Text Wanted", "")
KEYS = (*FULL, *FULL["traits"], *FULL["context"], "firstName", "marketing", "canonical", "a", "")
UNDECODABLE = re.compile(
    r"not JSON in UTF-8, at line \d+ column \d+|not a JSON object|nested deeper than \d+ levels"
    r"|a track without the name of its event|type is missing|type is not track, identify, page or group"
    r"|traits, properties or context is not an object"
)
SETTINGS: dict[str, dict[str, Any]] = {
    "attio": {"api_key": "s3cret/K+y=", "fields": {"all": "traits", "first": "properties.items.0.price | text"}},
    "splio_contacts": {"api_key": "s3cret/K+y=", "default_list_id": "7", "custom_fields": {"all": "traits.a"}},
    "splio_sms": {
        "universe": "u",
        "key": "s3cret/K+y=",
        "rules": [
            {"event": "Text Wanted", "message": "6tJglf8zd", "opcode": ["a"], "fields": {"n": "traits.first_name"}}
        ],
    },
    "splio_files": {
        "universe": "u",
        "password": "s3cret/K+y=",
        "host_key": "SHA256:" + "x" * 43,
        "fields_exist": True,
        "custom_attributes": {"loyalty": "traits.a"},
    },
}
"""Of destinations that take events: enough to be valid, and something of each kind."""


@dataclass(frozen=True, slots=True)
class Decoding:
    """What `decode` is given."""

    value: bytes
    time: int = 1_770_000_000_000
    dialect: Any = "datafly"


@dataclass(frozen=True, slots=True)
class Arrival:
    """A record, and the destination that reads it."""

    name: str
    record: LogRecord
    dialect: Any = "datafly"


def envelope(random: Random) -> bytes:
    """An event as a producer may write it, or something else."""
    kind = random.random()
    if kind < 0.05:
        return some_bytes(random)
    if kind < 0.1:
        return nested(random)
    event = FULL | {"type": random.choice(("track", "identify")), "event": random.choice(NAMES)}
    for _ in range(random.randint(0, 3)):
        event = mutated(random, event, KEYS)
        if not isinstance(event, dict):
            break
    return written(random, event)


def timestamp(random: Random) -> int:
    """Of a record: milliseconds, as Kafka has them; -1 where there is none."""
    return random.choice((-1, 0, 1_770_000_000_000, 1_790_000_000_000, 253_402_300_800_000, 2**62, -(2**62)))


def draw_decoding(random: Random) -> Decoding:
    return Decoding(envelope(random), timestamp(random), random.choice(("datafly", "segment")))


def decodes(given: Decoding) -> None:
    """An event whose parts have their types, or a refusal in fixed words; an event is the same when written again."""
    found = decode(given.value, given.time, NOW, given.dialect)
    if isinstance(found, Rejected):
        assert "undecodable" == found.reason
        assert UNDECODABLE.fullmatch(found.detail), found.detail
        return
    assert isinstance(found, Event)
    assert found.type in ("track", "identify", "page", "group")
    assert all(type(part) is dict for part in (found.traits, found.properties, found.context))
    assert all(each is None or type(each) is str for each in (found.user_id, found.anonymous_id, found.message_id))
    assert math.isfinite(found.timestamp)
    if "timestamp_replaced" in found.notes:
        assert found.timestamp == (given.time / 1000 if given.time >= 0 else NOW)
        return
    assert EARLIEST <= found.timestamp <= NOW + DAY
    again = decode(encoded(found), given.time, NOW, given.dialect)
    assert isinstance(again, Event)
    assert replace(found, timestamp=0.0) == replace(again, timestamp=0.0)
    assert abs(found.timestamp - again.timestamp) < 1e-5


def encoded(event: Event) -> bytes:
    """The event as a producer would write it."""
    return orjson.dumps(
        {
            "type": event.type,
            "event": event.event,
            "userId": event.user_id,
            "anonymousId": event.anonymous_id,
            "timestamp": datetime.fromtimestamp(event.timestamp, UTC).isoformat(),
            "messageId": event.message_id,
            "traits": event.traits,
            "properties": event.properties,
            "context": event.context,
        }
    )


class Nobody:
    """A topic that takes everything."""

    async def send(self, topic: str, *, key: bytes | None, value: bytes | None) -> int:
        """Not called: nothing is flushed here."""
        raise AssertionError(topic)


@cache
def destination(name: str) -> tuple[DestinationSettings, Any]:
    """Settings, and the client that no vendor answers."""
    settings = REGISTRY[name].settings.model_validate({"type": name, **SETTINGS[name]})
    client = Client(
        None,  # type: ignore[arg-type]
        settings.base_url,
        None,
        limiter=RateLimit(None),
        timeout=1,
        observe=lambda _status, _seconds: None,
    )
    return settings, REGISTRY[name].calls(settings, client)


@cache
def mapping(name: str) -> Any:
    """Its preset, as the settings change it."""
    return mapping_of(name, destination(name)[0])


def header(random: Random) -> tuple[str, Any]:
    """A record's header: one of ours with anything in it, null too, or anybody's."""
    name = random.choice((ADDRESSEE, REPLAY, WRITTEN_AT, "crmstream.tag", "__connect.errors.offset", text(random)))
    digits = random.choice((b"0", b"1", b"9" * 15, b"9" * 400, b"9" * 5000, b"-1", b"1.5"))
    value = random.choice(
        (None, b"", digits, b"attio", b"attio/events/0/" + digits + b"#" + digits, some_bytes(random))
    )
    return name, value


def draw_arrival(random: Random) -> Arrival:
    name = random.choice(list(SETTINGS))
    headers = tuple(header(random) for _ in range(random.choice((0, 0, 0, 1, 2))))
    key = random.choice((None, b"u-1", some_bytes(random)))
    value = None if random.random() < 0.02 else envelope(random)
    return Arrival(name, LogRecord(7, value, headers, timestamp(random), key), random.choice(("datafly", "segment")))


def becomes_a_message(given: Arrival) -> None:
    """Or has one of the fixed reasons; then the whole way to a request, or to a dead letter, is free of faults."""
    _settings, calls = destination(given.name)
    erasures = Erasures(Nobody(), topic="erasures", key=b"k", lift_on_consent=True)
    erasures.known[erasures.person("jane@example.com")] = Erasure(erased_at=datetime.fromtimestamp(NOW, UTC))
    traits = Traits(InMemory(), mapping(given.name).traits, destination=given.name, erasures=erasures)
    traits.take_on([("events", 0)])
    make = Messages(
        given.name,
        mapping=mapping(given.name),
        destination=calls,
        dialect=given.dialect,
        wall=lambda: NOW,
        traits=traits,
        erasures=erasures,
    )
    made = make(given.record, OffsetTracker("events", 0, 0))
    if isinstance(made, Filtered):
        assert made.reason in REASONS
        return
    if isinstance(made, Rejected):
        assert made.reason in REASONS
        assert made.reason != "unmappable" or "while mapping" not in made.detail, made.detail
        buried(given.record, made)
        return
    assert made.key
    assert type(made.key) is str
    assert {*made.notes} <= {*NOTES}
    assert orjson.dumps(made.fields)
    assert not any(value in (None, "", [], {}) for value in made.fields.values())
    calls.gate(made, NOW)
    if isinstance(calls, Calls):
        assert all(request.path.startswith("/") for request in calls.requests(Batch([made])))
        assert calls.merged(made.fields, made.fields)
        calls.intent(made)


def buried(record: LogRecord, rejected: Rejected) -> None:
    """The letter can be read back, and shows nobody."""
    unshown([rejected.detail], *SHOWN)
    assert written_at(record) is not None
    ReplayId.of(record.headers)
    letter = DeadLetter("attio", "events", 0, 7, rejected.reason, rejected.detail, 1, NOW, rejected.status)
    assert letter == DeadLetter.from_headers([*record.headers, *letter.headers()])


def is_masked(words: str) -> None:
    """One line of bounded length, fit for a header, that shows nobody."""
    masked = mask(words)
    assert len(masked) <= LIMIT
    assert masked.isprintable()
    unshown([masked], *SHOWN)


TARGETS = [
    Target("masking", sentence, is_masked),
    Target("decoding", draw_decoding, decodes, share=3),
    Target(
        "decoding bytes", lambda random: broken(random, envelope(random)), lambda raw: decodes(Decoding(raw)), raw=True
    ),
    Target("messages", draw_arrival, becomes_a_message, share=3),
]
