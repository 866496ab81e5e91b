"""A partition for tests of what comes after reading: each message is of a record of its own, read and not settled."""

from dataclasses import dataclass

from stream.core.offsets import OffsetTracker
from stream.core.records import Message


@dataclass(frozen=True, slots=True)
class LogRecord:
    """A `Record`."""

    offset: int = 0
    value: bytes | None = b""
    headers: tuple[tuple[str, bytes], ...] = ()
    timestamp: int = 1_780_000_000_000
    key: bytes | None = None
    topic: str = "events"
    partition: int = 0


class Partition:
    """One partition as it is read."""

    def __init__(self) -> None:
        self.tracker = OffsetTracker("events", 0, 0)

    def message(self, key: str = "ada", *, body: bytes = b"{}", value: bytes = b"", upsert: bool = True) -> Message:
        """The next one."""
        record = LogRecord(self.tracker.next_offset, value)
        assert self.tracker.admit(record.offset)
        return Message(key, {"key": key}, body, record, self.tracker, record.timestamp / 1000, upsert=upsert)

    def messages(self, *keys: str) -> list[Message]:
        """One for each key, in this order."""
        return [self.message(key) for key in keys]
