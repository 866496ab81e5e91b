"""Bytes from the source topic to an event. What an event means to a destination is `stream.mapping`."""

import re
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Literal

import orjson

from schemas.events import IDENTIFIED, NOTHING, Event
from stream.core.nesting import DEPTH, too_deep
from stream.core.outcomes import Filtered, Rejected

Dialect = Literal["datafly", "segment"]

EARLIEST = datetime(2000, 1, 1, tzinfo=UTC).timestamp()
DAY = 86_400.0  # how far ahead of now a producer's clock may be, in seconds

TOMBSTONE = Filtered("tombstone")
TIMESTAMP_REPLACED = ("timestamp_replaced",)


def decode(
    value: bytes | None, kafka_time_ms: int, now: float, dialect: Dialect = "datafly"
) -> Event | Filtered | Rejected:
    """The event in a record's value; filtered where there is none, rejected as undecodable where it is no event.

    *now* is seconds since the epoch. A detail never shows the payload's content. Null parts count as absent.
    """
    if value is None:
        return TOMBSTONE
    try:
        found = _object(value)
        get = found.get
        kind: Any = get("type")
        name = _name(kind, get("event"))
        traits, properties, context = _part(get("traits")), _part(get("properties")), _part(get("context"))
    except UndecodableError as error:
        return Rejected(str(error), reason="undecodable")
    if dialect == "segment":
        _add_snake_case(traits)
        _add_snake_case(context.get("traits"))
    notes: tuple[str, ...] = ()
    timestamp = _seconds(get("timestamp"))
    if timestamp is None or not EARLIEST <= timestamp <= now + DAY:
        timestamp = kafka_time_ms / 1000 if kafka_time_ms >= 0 else now  # -1: the record has no time
        notes = TIMESTAMP_REPLACED
    user_id, anonymous_id, message_id = get("userId"), get("anonymousId"), get("messageId")
    return Event(
        kind,
        name,
        user_id if type(user_id) is str else None,
        anonymous_id if type(anonymous_id) is str else None,
        timestamp,
        message_id if type(message_id) is str else None,
        traits,
        properties,
        context,
        notes,
        NOTHING,
    )


class UndecodableError(Exception):
    """What keeps bytes from being an event."""


def _object(value: bytes) -> dict[str, Any]:
    try:
        found = orjson.loads(value)
    except orjson.JSONDecodeError as error:
        raise UndecodableError(f"not JSON in UTF-8, at line {error.lineno} column {error.colno}") from None
    if type(found) is not dict:
        raise UndecodableError("not a JSON object")
    if too_deep(value, found):
        raise UndecodableError(f"nested deeper than {DEPTH} levels")
    return found


def _name(kind: object, event: object) -> str:
    """The name by which destinations take it: empty for those that none takes."""
    if kind == "track":
        if type(event) is str and event and not event.isspace():
            return event
        raise UndecodableError("a track without the name of its event")
    if kind == "identify":
        return IDENTIFIED
    if kind == "page" or kind == "group":
        return ""
    raise UndecodableError("type is missing" if kind is None else "type is not track, identify, page or group")


def _part(found: Any) -> dict[str, Any]:
    if found is None:
        return {}
    if type(found) is not dict:
        raise UndecodableError("traits, properties or context is not an object")
    return found


def _seconds(text: Any) -> float | None:
    """Seconds since the epoch of an ISO 8601 text, in UTC where it names no offset; None for anything else."""
    try:
        moment = datetime.fromisoformat(text)
    except (TypeError, ValueError):
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _add_snake_case(traits: Any) -> None:
    """Let `firstName` be found as `first_name` too, unless that is there already."""
    if type(traits) is dict:
        for name in list(traits):
            if not name.islower():
                traits.setdefault(_snake_case(name), traits[name])


@lru_cache(maxsize=4096)
def _snake_case(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()
