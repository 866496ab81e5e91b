"""A record's way to a message: decoded, mapped, encoded, and addressed by its ordering key. No I/O."""

from collections.abc import Callable
from typing import Literal

from stream.core.offsets import OffsetTracker
from stream.core.outcomes import Filtered, Rejected
from stream.core.records import Message, Record
from stream.decoding import decode
from stream.destinations.base import Calls
from stream.mapping import Maps

ADDRESSEE = "crmstream.destination"  # header of a replayed record: the one destination it is for

Made = Message | Filtered | Rejected
Make = Callable[[Record, OffsetTracker], Made]


class Messages:
    """Makes one destination's messages of records."""

    def __init__(
        self,
        name: str,
        *,
        mapping: Maps,
        destination: Calls,
        dialect: Literal["datafly", "segment"],
        wall: Callable[[], float],
    ) -> None:
        self._name = name.encode()
        self._mapping = mapping
        self._destination = destination
        self._dialect = dialect
        self._wall = wall

    def __call__(self, record: Record, tracker: OffsetTracker) -> Made:
        """The message, or why there is none. Never raises: what cannot be mapped goes to the dead letters."""
        if record.headers and self._is_for_another(record):
            return Filtered("other_replay")
        event = decode(record.value, record.timestamp, self._wall(), self._dialect)
        if isinstance(event, Filtered | Rejected):
            return event
        try:
            mapped = self._mapping.map(event)
            if isinstance(mapped, Filtered):
                return mapped
            key = self._destination.key(mapped.fields)
            body = self._destination.encode(mapped.fields)
        except Exception as error:  # a fault of ours must cost one event, not the position
            return Rejected(f"{type(error).__name__} while mapping", reason="unmappable")
        return Message(key, mapped.fields, body, record, tracker, event.timestamp, mapped.notes, event.message_id)

    def _is_for_another(self, record: Record) -> bool:
        return any(name == ADDRESSEE and value != self._name for name, value in record.headers)
