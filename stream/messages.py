"""A record's way to a message: decoded, filled with what is remembered, mapped, encoded, and addressed. No I/O."""

from collections.abc import Callable
from typing import Literal

from schemas.events import Event
from schemas.replays import ADDRESSEE, REPLAY
from stream.core.offsets import OffsetTracker
from stream.core.outcomes import Filtered, Refused, Rejected
from stream.core.records import Fields, Message, Record, happened_at, snug, written_at
from stream.decoding import decode
from stream.destinations.base import Destination
from stream.mapping import Maps
from stream.topics.erasures import Erasures
from stream.topics.traits import Recalled, Traits

ERASED = Filtered("erased")

Made = Message | Filtered | Rejected
Make = Callable[[Record, OffsetTracker], Made]


class Messages:
    """Makes one destination's messages of records.

    *traits* are those remembered of users; *erasures* says whose events are not delivered. None: nothing of the kind.
    """

    def __init__(
        self,
        name: str,
        *,
        mapping: Maps,
        destination: Destination,
        dialect: Literal["datafly", "segment"],
        wall: Callable[[], float],
        traits: Traits | None = None,
        erasures: Erasures | None = None,
    ) -> None:
        self._name = name.encode()
        self._mapping = mapping
        self._destination = destination
        self._dialect = dialect
        self._wall = wall
        self._traits = traits
        self._erasures = erasures

    def __call__(self, record: Record, tracker: OffsetTracker) -> Made:
        """The message, or why there is none. What cannot be mapped goes to the dead letters.

        Raises UserError where the state cannot be read: a fault of the disk must cost no event.
        """
        if record.headers and self._is_for_another(record):
            return Filtered("other_replay")
        event = decode(record.value, written_at(record), self._wall(), self._dialect)
        if not isinstance(event, Event):
            return event
        recalled = self._traits.recall(event, record) if self._traits is not None else None
        if recalled is not None:
            event = recalled.fill(event)
        persons = self._persons(event, recalled) if self._erasures is not None else ()
        if persons and self._is_erased(event, record, persons):
            return ERASED
        if self._traits is not None and recalled is not None and not is_replay(record):
            self._traits.remember(recalled, event, record)
        message = self._message(event, record, tracker)
        if self._erasures is not None and isinstance(message, Message):
            message.persons = persons = with_addressee(persons, message.fields, self._erasures)
            if self._erasures.erased(persons, message.happened_at):
                return ERASED
        return message

    def _message(self, event: Event, record: Record, tracker: OffsetTracker) -> Made:
        """Mapped and encoded, as far as that is possible."""
        try:
            mapped = self._mapping.map(event)
            if isinstance(mapped, Filtered):
                return mapped
            if is_replay(record):
                mapped = self._destination.replayed(mapped)
            key = self._destination.key(mapped.fields)
            body = snug(self._destination.encode(mapped.fields))
        except Refused as refusal:
            return refusal.rejected
        except Exception as error:  # a fault of ours must cost one event, not the position
            return Rejected(f"{type(error).__name__} while mapping", reason="unmappable")
        return Message(key, mapped.fields, body, record, tracker, event.timestamp, mapped.notes, event.message_id)

    def _is_for_another(self, record: Record) -> bool:
        return any(name == ADDRESSEE and value != self._name for name, value in record.headers)

    def _persons(self, event: Event, recalled: Recalled | None) -> tuple[str, ...]:
        """Whom the event is about by its traits, else who its user was found to be before."""
        if self._erasures is not None and (email := event.email) is not None:
            return (self._erasures.person(email),)
        return () if recalled is None or recalled.known.person is None else (recalled.known.person,)

    def _is_erased(self, event: Event, record: Record, persons: tuple[str, ...]) -> bool:
        assert self._erasures is not None  # noqa: S101 - for the type checker
        happened = happened_at(event.timestamp, record)
        self._erasures.consider(event, persons, happened)
        return self._erasures.erased(persons, happened)


def with_addressee(persons: tuple[str, ...], fields: Fields, erasures: Erasures) -> tuple[str, ...]:
    """The persons, and whose email address it is that the destination would be sent, where a mapping found it apart."""
    email = fields.get("email")
    if type(email) is not str or (person := erasures.person(email)) in persons:
        return persons
    return (*persons, person)


def is_replay(record: Record) -> bool:
    """Whether the record was written again from a dead letter: what it says may be old."""
    return bool(record.headers) and any(name == REPLAY for name, _ in record.headers)
