"""What flows: the record Kafka gave us, the message made of it, the batch of one vendor call."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from schemas.replays import WRITTEN_AT
from stream.core.offsets import OffsetTracker

Fields: TypeAlias = dict[str, object]
"""Flat names of the destination (`email`, `first_name`, …) to JSON values. Absent fields are not in it."""

MOST_DIGITS = 16  # of a time in milliseconds
LATEST = 253_402_300_799_999  # the last millisecond of the year 9999


class Record(Protocol):
    """A Kafka record as the consumer hands it over (aiokafka's own object fits: nothing is copied)."""

    @property
    def topic(self) -> str: ...
    @property
    def partition(self) -> int: ...
    @property
    def offset(self) -> int: ...
    @property
    def timestamp(self) -> int:
        """Milliseconds since the epoch."""

    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def headers(self) -> Sequence[tuple[str, bytes]]: ...


@dataclass(frozen=True, slots=True)
class StandIn:
    """A `Record` that no consumer handed over: of a file's line, of a dead letter, or where there is none."""

    value: bytes | None = None
    timestamp: int = 0
    topic: str = ""
    partition: int = 0
    offset: int = 0
    key: bytes | None = None
    headers: tuple[tuple[str, bytes], ...] = ()


def happened_at(event_time: float, record: Record) -> float:
    """The earlier of an event's own time and its record's, where that has one; all in seconds since the epoch."""
    written = written_at(record)
    return min(event_time, written / 1000) if written >= 0 else event_time


def written_at(record: Record) -> int:
    """When the event was first in its topic, in milliseconds since the epoch: of a replay that is before its own time.

    Negative where the record has no time, or one that no calendar has.
    """
    written = record.timestamp
    for name, value in record.headers:
        if name == WRITTEN_AT and value and value.isdigit() and len(value) < MOST_DIGITS:  # null, if others wrote it
            written = int(value)
            break
    return written if written <= LATEST else -1


def snug(written: bytes) -> bytes:
    """The same bytes with no room behind them: orjson leaves some, 4 KB for most, which is much for what is kept."""
    return bytes(memoryview(written))


@dataclass(slots=True, eq=False, repr=False)
class Message:
    """Fields on their way to the destination, with the key that orders them and the record they came from."""

    key: str
    fields: Fields
    body: bytes
    record: Record
    tracker: OffsetTracker
    event_time: float  # seconds since the epoch
    notes: tuple[str, ...] = ()
    message_id: str | None = None  # the event's own name for itself
    upsert: bool = True
    parts: "tuple[Message, ...]" = ()  # of a merged message, oldest first
    alone: bool = False  # never merged again: a merged call that held it was not delivered
    company: int = 1 << 30  # messages in a call with it at most: a refused batch is split
    failures: int = 0  # calls that failed, whoever's fault it was: sets the back-off
    attempts: int = 0  # those that count against it
    started: float = float("-inf")  # when the last call with it began (monotonic seconds)
    previous: float = float("-inf")  # when the call before that began
    blocked: bool = False  # whether a call with it was found blocked
    first_failed_at: float | None = None  # monotonic seconds
    failure: str = ""  # masked text of the last failure
    status: int | None = None
    persons: tuple[str, ...] = ()  # whom it is about, as erasures name them; empty where there are none
    progress: object = None  # what a destination that needs several calls for it has achieved so far
    size: int = 0  # bytes it holds on to

    def __post_init__(self) -> None:
        self.size = len(self.body) + len(self.record.value or b"")

    @property
    def happened_at(self) -> float:
        """The earlier of the event's own time and its record's, in seconds since the epoch."""
        return happened_at(self.event_time, self.record)

    def __repr__(self) -> str:  # fields, body and record hold personal data
        return f"<message of {self.record.topic}/{self.record.partition} at {self.record.offset}>"


@dataclass(slots=True, eq=False)
class Batch:
    """The messages of one vendor call, of distinct keys. Times are monotonic seconds."""

    messages: list[Message]
    started: float = 0.0
    deadline: float = float("inf")  # the call and all it needs must be over by then
    canary: bool = False  # sent to find out whether the destination is back

    def __iter__(self) -> Iterator[Message]:
        return iter(self.messages)

    def __len__(self) -> int:
        return len(self.messages)
