"""A record's way to a message: every record becomes one, or is filtered or rejected with a reason; nothing raises."""

import tracemalloc
from collections.abc import AsyncIterator, Sequence

import orjson
import pytest

from schemas.replays import ADDRESSEE, REPLAY
from stream.core.outcomes import Filtered, Outcome, Rejected
from stream.core.records import Batch, Fields, Message
from stream.destinations.base import Calls, Check
from stream.http import Request
from stream.mapping import compile_mapping, read_preset
from stream.messages import Made, Messages
from stream.topics.traits import Traits
from stream.topics.users import InMemory
from tests.unit.partition import LogRecord, Partition

NOW = 1_780_000_000.0
PRESET = read_preset(
    {
        "events": ["Signed Up"],
        "identity": ["email"],
        "fields": {"email": "traits.email | trim | lower", "phone": "traits.phone | e164"},
    },
    place="preset",
)


class Vendor(Calls):
    """Keyed by email address; its body is the fields."""

    type = "fake"

    def __init__(self) -> None: ...

    def key(self, fields: Fields) -> str:
        return str(fields["email"])

    def encode(self, fields: Fields) -> bytes:
        return orjson.dumps(fields)

    def requests(self, batch: Batch) -> Sequence[Request]:
        return []

    async def send(self, batch: Batch) -> Sequence[Outcome]:
        return []

    async def check(self) -> AsyncIterator[Check]:
        yield Check("nothing", None, "")


class Faulty(Vendor):
    """One with a bug, whose exception would show the person."""

    def encode(self, fields: Fields) -> bytes:
        raise KeyError(fields["email"])


def made(
    value: bytes | None,
    *headers: tuple[str, bytes],
    destination: Calls | None = None,
    traits: Traits | None = None,
    at: int = 0,
) -> Made:
    return making(destination, traits)(LogRecord(at, value, headers), Partition().tracker)


def making(destination: Calls | None = None, traits: Traits | None = None) -> Messages:
    return Messages(
        "crm",
        mapping=compile_mapping(PRESET),
        destination=destination or Vendor(),
        dialect="datafly",
        wall=lambda: NOW,
        traits=traits,
    )


def user(name: str, **traits: object) -> bytes:
    return orjson.dumps({"type": "track", "event": "Signed Up", "userId": name, "traits": traits})


def signed_up(**traits: object) -> bytes:
    return orjson.dumps(
        {"type": "track", "event": "Signed Up", "timestamp": "2026-05-01T00:00:00Z", "traits": traits},
    )


def test_a_record_becomes_a_message_ready_to_send() -> None:
    """Mapped, addressed by the contact as the destination knows it, and encoded once."""
    message = made(signed_up(email=" Ada@Example.com", phone="nonsense"))

    assert isinstance(message, Message)
    assert "ada@example.com" == message.key
    assert {"email": "ada@example.com"} == message.fields
    assert b'{"email":"ada@example.com"}' == message.body
    assert 1_777_593_600.0 == message.event_time
    assert ("phone_dropped",) == message.notes


def test_a_message_that_waits_holds_little_more_than_its_bytes() -> None:
    """What orjson writes keeps 4 KB, however short it is."""
    value = signed_up(email="ada@example.com")
    make, tracker = making(), Partition().tracker
    make(LogRecord(0, value), tracker)  # what is made once is made
    tracemalloc.start()
    try:
        waiting = [make(LogRecord(at, value), tracker) for at in range(1, 101)]
        held = tracemalloc.get_traced_memory()[0] / len(waiting)
    finally:
        tracemalloc.stop()

    assert held < 3000


@pytest.mark.parametrize(
    "value, reason",
    [
        (None, "tombstone"),
        (b'{"type": "page"}', "not_this_event"),
        (b'{"type": "track", "event": "Logged In"}', "not_this_event"),
        (signed_up(phone="+15558675309"), "no_identity"),
    ],
)
def test_what_is_not_for_the_destination_is_filtered_with_its_reason(value: bytes | None, reason: str) -> None:
    """It is settled at once."""
    assert Filtered(reason) == made(value)


def test_what_is_no_event_is_rejected() -> None:
    """It goes to the dead letters."""
    rejected = made(b"hello")

    assert isinstance(rejected, Rejected)
    assert "undecodable" == rejected.reason


def test_a_fault_of_ours_costs_one_event() -> None:
    """And its letter names the fault, not the person."""
    rejected = made(signed_up(email="ada@example.com"), destination=Faulty())

    assert Rejected("KeyError while mapping", reason="unmappable") == rejected


def test_a_replay_for_another_destination_is_filtered() -> None:
    """Before anything else is looked at."""
    assert Filtered("other_replay") == made(b"hello", (ADDRESSEE, b"other"))


@pytest.mark.parametrize("headers", [[], [("traceparent", b"00")], [(ADDRESSEE, b"crm")]])
def test_a_replay_for_this_destination_is_an_event_like_any_other(headers: list[tuple[str, bytes]]) -> None:
    """As is one with headers of somebody else's."""
    assert isinstance(made(signed_up(email="ada@example.com"), *headers), Message)


def test_a_replay_is_filled_but_never_remembered() -> None:
    """What it says may be older than what was heard since."""
    traits = Traits(InMemory(), {"email"}, destination="crm")
    traits.take_on([("events", 0)])
    heard = [
        made(user("u-1", email="ada@example.com"), traits=traits, at=0),
        made(user("u-1", email="old@example.com"), (REPLAY, b"crm/events/0/0#1"), traits=traits, at=1),
        made(user("u-1"), (REPLAY, b"crm/events/0/0#2"), traits=traits, at=2),
    ]

    assert ["ada@example.com", "old@example.com", "ada@example.com"] == [
        message.key for message in heard if isinstance(message, Message)
    ]


def test_a_message_does_not_show_the_person() -> None:
    """It may end up in a log or a traceback."""
    message = made(signed_up(email="ada@example.com"))

    assert "<message of events/0 at 0>" == repr(message)
