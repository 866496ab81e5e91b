"""Which offsets of one partition are settled, with which outcome, and from where to commit.

The tracker is the ledger: every offset below the next one to read is either unsettled or counted under exactly one
outcome, so at any time

    sum(totals) == position - origin + settled_above

What is settled above the position travels in the commit's metadata, so a clean restart repeats nothing.
"""

import base64
import binascii
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import get_args

from stream.core.outcomes import Counted

OUTCOMES: tuple[Counted, ...] = get_args(Counted)
METADATA_LIMIT = 4096  # characters; the broker's offset.metadata.max.bytes
MAX_WINDOW = 23_600  # offsets whose bitmap, in base64, leaves 160 characters for the counters and the check
VERSION = "2"


class SettledTwice(Exception):
    """An offset was settled that was not waiting to be: a bug, never a condition to live with."""


class OffsetTracker:
    """Which offsets of one partition are settled, and from where to commit.

    Only offsets that were read are waited for: what compaction and transaction markers leave out is counted `absent`
    as soon as a later offset is read.
    """

    __slots__ = (
        "_committed",
        "_done",
        "closed",
        "next_offset",
        "origin",
        "partition",
        "position",
        "topic",
        "totals",
        "unsettled",
        "window",
    )

    def __init__(
        self,
        topic: str,
        partition: int,
        position: int,
        *,
        window: int = MAX_WINDOW,
        totals: Mapping[Counted, int] | None = None,
        done: Iterable[int] = (),
    ) -> None:
        if not 0 < window <= MAX_WINDOW:
            raise ValueError(f"the window must be between 1 and {MAX_WINDOW} offsets, not {window}")
        self.topic = topic
        self.partition = partition
        self.window = window
        self.position = position  # the next offset to commit: everything below it is settled
        self.next_offset = position  # the next offset to read
        self.unsettled = 0  # offsets that were admitted and are not settled
        self.totals: dict[Counted, int] = dict.fromkeys(OUTCOMES, 0) | dict(totals or {})
        self.closed = False
        self._done = set(done)  # settled above the position; after a restart also ahead of what was read
        self.origin = position + len(self._done) - sum(self.totals.values())
        self._committed: tuple[int, int] | None = None

    def __repr__(self) -> str:
        return (
            f"<{self.topic}/{self.partition} at {self.position}, {self.unsettled} unsettled, {len(self._done)} above>"
        )

    @property
    def settled_above(self) -> int:
        """How many offsets above the position are settled."""
        return len(self._done)

    def admits(self, offset: int) -> bool:
        """Whether the window has room for this offset. The record at the position is always admitted."""
        return offset < self.position + self.window or not self.unsettled

    def admit(self, offset: int) -> bool:
        """Wait for this offset to be settled; False where it was read or settled before and is to be passed over."""
        if offset > self.next_offset:
            self.pass_over(offset, "absent")
        if offset < self.next_offset:  # also where what was missing was all that the position waited for
            return False
        if offset in self._done:  # settled before a restart
            self.next_offset = offset + 1
            return False
        self.next_offset = offset + 1
        self.unsettled += 1
        return True

    def pass_over(self, offset: int, outcome: Counted) -> None:
        """Count what lies between the next offset to read and this one: the log no longer holds it."""
        if offset <= self.next_offset:
            return
        known = [done for done in self._done if self.next_offset <= done < offset]
        self.totals[outcome] += offset - self.next_offset - len(known)
        if self.unsettled:
            self._done.update(range(self.next_offset, offset))
        else:
            self._done.difference_update(known)
            self.position = offset
        self.next_offset = offset
        self._advance()

    def settle(self, offset: int, outcome: Counted) -> None:
        """Mark *offset* done; the position moves when it was the lowest unsettled one.

        Does nothing once closed: whoever owns the partition now will settle it. Raises SettledTwice.
        """
        if self.closed:
            return
        if not self.position <= offset < self.next_offset or offset in self._done:
            raise SettledTwice(f"offset {offset} of {self!r}")
        self.totals[outcome] += 1
        self.unsettled -= 1
        if offset != self.position:
            self._done.add(offset)
            return
        self.position = offset + 1
        if self._done:
            self._advance()

    def close(self) -> None:
        """Give the partition up: what comes in late changes nothing."""
        self.closed = True

    @property
    def changed(self) -> bool:
        """Whether there is something that the last commit did not say."""
        return self._committed != (self.position, self.settled_above)

    def commit(self) -> tuple[int, str]:
        """The position to commit, and its metadata."""
        return self.position, encode(self.position, self.totals, self._done)

    def committed(self, mark: "Mark") -> None:
        """Remember what the broker has acknowledged."""
        self._committed = mark.position, mark.settled_above

    def _advance(self) -> None:
        while self.position in self._done:
            self._done.remove(self.position)
            self.position += 1
        self.next_offset = max(self.next_offset, self.position)


@dataclass(frozen=True, slots=True)
class Mark:
    """What one commit says of a partition, taken at one moment."""

    tracker: OffsetTracker
    position: int
    settled_above: int
    metadata: str

    @classmethod
    def of(cls, tracker: OffsetTracker) -> "Mark":
        """What is to be committed now; the tracker may move on while it is."""
        position, metadata = tracker.commit()
        return cls(tracker, position, tracker.settled_above, metadata)


def restore(
    topic: str,
    partition: int,
    position: int,
    metadata: str,
    *,
    window: int = MAX_WINDOW,
    kind: type[OffsetTracker] = OffsetTracker,
) -> OffsetTracker:
    """The tracker that a commit describes. Metadata that is not ours is ignored: repeats, never loss."""
    totals, done = decode(position, metadata)
    return kind(topic, partition, position, window=window, totals=totals, done=done)


def encode(position: int, totals: Mapping[Counted, int], done: Iterable[int]) -> str:
    """Version, counters, bitmap and check as text of at most METADATA_LIMIT characters; ValueError where it is longer.

    `2:<delivered>,<coalesced>,<filtered>,<dead_lettered>,<absent>,<lost_to_retention>:<base64>:<check>`; bit i of the
    bitmap (byte i // 8, lowest bit first) is offset position + 1 + i.
    """
    first = position + 1
    bits = bytearray()
    if ahead := [offset - first for offset in done]:
        bits = bytearray(max(ahead) // 8 + 1)
        for bit in ahead:
            bits[bit >> 3] |= 1 << (bit & 7)
    counters = ",".join(str(totals[outcome]) for outcome in OUTCOMES)
    text = f"{VERSION}:{counters}:{base64.b64encode(bits).decode()}"
    text += f":{check(position, text)}"
    if len(text) > METADATA_LIMIT:
        raise ValueError(f"commit metadata of {len(text)} characters: the broker takes {METADATA_LIMIT}")
    return text


def decode(position: int, metadata: str | None) -> tuple[dict[Counted, int], set[int]]:
    """Counters and settled offsets above the position; both empty where the metadata is not ours or unreadable."""
    said, _, checked = (metadata or "").rpartition(":")
    version, _, rest = said.partition(":")
    if version != VERSION or checked != check(position, said):
        return {}, set()
    counters, _, bitmap = rest.partition(":")
    try:
        totals = dict(zip(OUTCOMES, map(int, counters.split(",")), strict=True))
        bits = base64.b64decode(bitmap, validate=True)
    except (binascii.Error, ValueError):
        return {}, set()
    first = position + 1
    done = {first + 8 * place + bit for place, byte in enumerate(bits) if byte for bit in range(8) if byte >> bit & 1}
    return totals, done


def check(position: int, said: str) -> str:
    """Eight hex digits by which what was written for another position, or has changed since, is known.

    Tools that copy a group's positions to another cluster translate the position and leave the metadata alone: its
    bitmap would then name offsets that nobody has settled.
    """
    return f"{zlib.crc32(f'{position}:{said}'.encode('utf-8', 'surrogatepass')):08x}"
