"""Decoding: what is an event, what is none, and what is forgiven (section 10 of the design, Events)."""

from typing import Any

import orjson
import pytest

from schemas.events import Event
from stream.core.outcomes import Filtered, Rejected
from stream.decoding import Dialect, decode

NOW = 1780741900.0  # 2026-06-06T10:31:40Z
KAFKA_TIME_MS = 1780741850_500
SIGNED_UP = {
    "messageId": "0b7c6f0e-7a1b-4a55-9a0d-7b8f2d6f7a10",
    "type": "track",
    "event": "Signed Up",
    "userId": "u-123",
    "anonymousId": "anon_a1b2c3",
    "timestamp": "2026-06-06T10:30:00.000Z",
    "traits": {"email": "jane@example.com", "first_name": "Jane"},
    "properties": {"method": "email"},
    "context": {"locale": "en-GB"},
}


def decoded(value: bytes | None, dialect: Dialect = "datafly") -> Event | Filtered | Rejected:
    return decode(value, KAFKA_TIME_MS, NOW, dialect)


def event(dialect: Dialect = "datafly", /, **changes: Any) -> Event:
    found = decoded(orjson.dumps(SIGNED_UP | changes), dialect)
    assert isinstance(found, Event), found
    return found


def refusal(value: bytes) -> str:
    found = decoded(value)
    assert isinstance(found, Rejected), found
    assert "undecodable" == found.reason
    return found.detail


def test_a_track_is_read_whole() -> None:
    """The canonical envelope of the fact sheet, section 1.1."""
    assert Event(
        type="track",
        event="Signed Up",
        user_id="u-123",
        anonymous_id="anon_a1b2c3",
        timestamp=1780741800.0,
        message_id="0b7c6f0e-7a1b-4a55-9a0d-7b8f2d6f7a10",
        traits={"email": "jane@example.com", "first_name": "Jane"},
        properties={"method": "email"},
        context={"locale": "en-GB"},
    ) == decoded(orjson.dumps(SIGNED_UP))


def test_a_tombstone_is_filtered() -> None:
    """A record without value is no failure."""
    assert Filtered("tombstone") == decoded(None)


def test_an_identify_is_named_identified() -> None:
    """It has no name of its own; a track of that name is the same event."""
    assert "Identified" == event(type="identify", event=None).event
    assert "Identified" == event(event="Identified").event


@pytest.mark.parametrize("kind", ["page", "group"])
def test_pages_and_groups_are_read_and_have_no_name(kind: str) -> None:
    """So the mapping filters them, even one that calls itself like an event."""
    assert "" == event(type=kind).event


def test_only_the_type_and_a_tracks_name_are_required() -> None:
    """Everything else may be missing."""
    found = decoded(b'{"type": "track", "event": "Signed Up"}')

    assert isinstance(found, Event)
    assert (None, None, None, {}, {}, {}) == (
        found.user_id,
        found.anonymous_id,
        found.message_id,
        found.traits,
        found.properties,
        found.context,
    )


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"{",
        b'{"type": "identify", "x": "\xff"}',
        b'{"type": "identify", "x": "\\ud800"}',
        b'{"type": "identify", "x": NaN}',
        b'{"type": "identify", "x": 1e999}',
    ],
    ids=["empty", "cut off", "not UTF-8", "lone surrogate", "not a number", "infinite"],
)
def test_what_is_not_json_is_undecodable(value: bytes) -> None:
    """The detail says where, for whoever has the bytes."""
    assert refusal(value).startswith("not JSON in UTF-8, at line 1 column ")


@pytest.mark.parametrize("value", [b"[]", b'"track"', b"1", b"null", b"true"])
def test_what_is_not_an_object_is_undecodable(value: bytes) -> None:
    """Valid JSON, but no event."""
    assert "not a JSON object" == refusal(value)


@pytest.mark.parametrize("kind", ["alias", "screen", "Track", "", 1, ["track"], {}])
def test_an_unknown_type_is_undecodable(kind: Any) -> None:
    """Four types exist."""
    assert "type is not track, identify, page or group" == refusal(orjson.dumps(SIGNED_UP | {"type": kind}))


@pytest.mark.parametrize("value", [b"{}", b'{"type": null}'])
def test_a_missing_type_is_undecodable(value: bytes) -> None:
    """The one thing every event has."""
    assert "type is missing" == refusal(value)


@pytest.mark.parametrize("name", [None, "", " ", 7, ["Signed Up"]])
def test_a_track_without_a_name_is_undecodable(name: Any) -> None:
    """No destination could tell whether to take it."""
    assert "a track without the name of its event" == refusal(orjson.dumps(SIGNED_UP | {"event": name}))


@pytest.mark.parametrize("part", ["traits", "properties", "context"])
@pytest.mark.parametrize("content", ["jane@example.com", ["x"], 1, False])
def test_a_part_that_is_no_object_is_undecodable(part: str, content: Any) -> None:
    """And the detail does not show what it was."""
    detail = refusal(orjson.dumps(SIGNED_UP | {part: content}))

    assert "traits, properties or context is not an object" == detail


@pytest.mark.parametrize("part", ["traits", "properties", "context"])
def test_a_null_part_counts_as_absent(part: str) -> None:
    """Some producers write null for what they do not have."""
    assert {} == getattr(event(**{part: None}), part)


@pytest.mark.parametrize(
    "name,attribute", [("userId", "user_id"), ("anonymousId", "anonymous_id"), ("messageId", "message_id")]
)
@pytest.mark.parametrize("content", [42, True, {"a": 1}, None])
def test_an_id_that_is_no_text_is_absent(name: str, attribute: str, content: Any) -> None:
    """The event is delivered all the same."""
    assert getattr(event(**{name: content}), attribute) is None


@pytest.mark.parametrize(
    "text,seconds",
    [
        ("2026-06-06T10:30:00.000Z", 1780741800.0),
        ("2026-06-06T10:30:00.250Z", 1780741800.25),
        ("2026-06-06T12:30:00+02:00", 1780741800.0),
        ("2026-06-06 10:30:00", 1780741800.0),
        ("2026-06-06T10:30:00.123456789Z", 1780741800.123456),
        ("2000-01-01T00:00:00Z", 946684800.0),
        ("2026-06-07T10:31:40Z", NOW + 86_400),
    ],
)
def test_a_plausible_timestamp_is_taken(text: str, seconds: float) -> None:
    """ISO 8601, in UTC where it names no offset, from 2000 to a day ahead."""
    found = event(timestamp=text)

    assert seconds == pytest.approx(found.timestamp)
    assert () == found.notes


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "yesterday",
        1780741800,
        {"a": 1},
        "1999-12-31T23:59:59Z",
        "2026-06-07T10:31:41Z",
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59-14:00",
        "2026-13-01T00:00:00Z",
    ],
)
def test_an_implausible_timestamp_is_replaced_by_kafkas(text: Any) -> None:
    """The note says so."""
    found = event(timestamp=text)

    assert (1780741850.5, ("timestamp_replaced",)) == (found.timestamp, found.notes)


def test_a_record_without_time_happened_now() -> None:
    """Kafka writes -1 where it knows none."""
    found = decode(b'{"type": "identify"}', -1, NOW, "datafly")

    assert isinstance(found, Event)
    assert NOW == found.timestamp


@pytest.mark.parametrize("depth", [100, 150])
def test_a_deep_event_is_read(depth: int) -> None:
    """Nesting alone is no fault."""
    assert event(properties=orjson.loads(b'{"a":' * depth + b"1" + b"}" * depth)).properties


@pytest.mark.parametrize("depth", [201, 500, 1100, 100_000])
@pytest.mark.parametrize("opened,closed", [(b"[", b"]"), (b'{"a":', b"}")])
def test_a_depth_bomb_is_undecodable(depth: int, opened: bytes, closed: bytes) -> None:
    """It neither crashes the reader nor, later, the writer of a request."""
    bomb = opened * depth + b"1" + closed * depth

    assert refusal(b'{"type": "identify", "traits": {"a": ' + bomb + b"}}").startswith(("not JSON", "nested deeper"))


def test_the_shortest_bomb_is_seen() -> None:
    """No text is too short to be looked at that could hold one level more than is allowed."""

    def objects(depth: int) -> bytes:
        return b'{"":' * (depth - 1) + b"{}" + b"}" * (depth - 1)

    assert "nested deeper than 200 levels" == refusal(objects(201))
    assert "type is missing" == refusal(objects(200))
    assert "nested deeper than 200 levels" == refusal(b'{"":' + b"[" * 200 + b"]" * 200 + b"}")


def test_a_wide_event_is_no_bomb() -> None:
    """Many objects side by side are fine."""
    assert 1000 == len(event(properties={"items": [{"n": n} for n in range(1000)]}).properties["items"])


def test_a_huge_integer_is_read() -> None:
    """It loses precision, not the event."""
    found = decoded(b'{"type": "identify", "traits": {"n": 123456789012345678901234567890}}')

    assert isinstance(found, Event)


def test_the_segment_dialect_finds_camel_case_traits_by_our_names() -> None:
    """In the event's traits and in its context's."""
    found = event(
        "segment", traits={"firstName": "Ada", "jobTitle": "Dev"}, context={"traits": {"lastName": "Lovelace"}}
    )

    assert ("Ada", "Dev") == (found.traits["first_name"], found.traits["job_title"])
    assert "Lovelace" == found.context["traits"]["last_name"]


def test_a_snake_case_trait_wins_over_its_alias() -> None:
    """What is there under our name is meant."""
    assert "Ada" == event("segment", traits={"firstName": "A.", "first_name": "Ada"}).traits["first_name"]


def test_the_datafly_dialect_has_no_aliases() -> None:
    """Its names are taken as they are."""
    assert "first_name" not in event(traits={"firstName": "Ada"}).traits
