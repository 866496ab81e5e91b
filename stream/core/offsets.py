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
SETTLED, WAITING = b"10"  # as flags, a byte for an offset: read together they are the digits of the bitmap
STRETCH = b"0" * 256  # by which flags grow
SPENT = 4096  # flags below the position that are worth dropping


class SettledTwice(Exception):
    """An offset was settled that was not waiting to be: a bug, never a condition to live with."""


class OffsetTracker:
    """Which offsets of one partition are settled, and from where to commit.

    Only offsets that were read are waited for: what compaction and transaction markers leave out is counted `absent`
    as soon as a later offset is read.
    """

    __slots__ = (
        "_base",
        "_committed",
        "_flags",
        "closed",
        "next_offset",
        "origin",
        "partition",
        "position",
        "settled_above",
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
        self.settled_above = 0  # offsets above the position; after a restart also ahead of what was read
        self._base, self._flags = position, bytearray()  # which those are: no more than rubbish where there are none
        for offset in done:
            self._mark(offset)
        self.origin = position + self.settled_above - sum(self.totals.values())
        self._committed: tuple[int, int] | None = None

    def __repr__(self) -> str:
        place = f"{self.topic}/{self.partition} at {self.position}"
        return f"<{place}, {self.unsettled} unsettled, {self.settled_above} above>"

    def admits(self, offset: int) -> bool:
        """Whether the window has room for this offset. The record at the position is always admitted."""
        return offset < self.position + self.window or not self.unsettled

    def admit(self, offset: int) -> bool:
        """Wait for this offset to be settled; False where it was read or settled before and is to be passed over."""
        if offset > self.next_offset:
            self.pass_over(offset, "absent")
        if offset < self.next_offset:  # also where what was missing was all that the position waited for
            return False
        if self._is_above(offset):  # settled before a restart
            self.next_offset = offset + 1
            return False
        self.next_offset = offset + 1
        self.unsettled += 1
        return True

    def pass_over(self, offset: int, outcome: Counted) -> None:
        """Count what lies between the next offset to read and this one: the log no longer holds it."""
        if offset <= self.next_offset:
            return
        begin, end = self.next_offset, offset
        known = self._flags.count(SETTLED, begin - self._base, end - self._base) if self.settled_above else 0
        self.totals[outcome] += end - begin - known
        if self.unsettled:
            last = self._place(end - 1)
            self._flags[last + 1 - (end - begin) : last + 1] = b"1" * (end - begin)
            self.settled_above += end - begin - known
        else:
            self.position = end
            self.settled_above -= known
        self.next_offset = end
        self._advance()

    def settle(self, offset: int, outcome: Counted) -> None:
        """Mark *offset* done; the position moves when it was the lowest unsettled one.

        Does nothing once closed: whoever owns the partition now will settle it. Raises SettledTwice.
        """
        if self.closed:
            return
        if not self.position <= offset < self.next_offset or self._is_above(offset):
            raise SettledTwice(f"offset {offset} of {self!r}")
        self.totals[outcome] += 1
        self.unsettled -= 1
        if offset != self.position:
            self._mark(offset)
            return
        self.position = offset + 1
        if self.settled_above:
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
        above = self._flags[self.position + 1 - self._base :] if self.settled_above else b""
        return self.position, encode(self.position, self.totals, above)

    def committed(self, mark: "Mark") -> None:
        """Remember what the broker has acknowledged."""
        self._committed = mark.position, mark.settled_above

    def _is_above(self, offset: int) -> bool:
        """Whether an offset from the position on is settled."""
        place = offset - self._base
        return self.settled_above > 0 and place < len(self._flags) and self._flags[place] == SETTLED

    def _mark(self, offset: int) -> None:
        """Note that an offset above the position is settled."""
        place = self._place(offset)
        self._flags[place] = SETTLED
        self.settled_above += 1

    def _place(self, offset: int) -> int:
        """Where the flag of an offset above the position is; there is one now."""
        if not self.settled_above:
            self._base, self._flags = self.position, bytearray()
        place = offset - self._base
        if (missing := place + 1 - len(self._flags)) > 0:
            self._flags += STRETCH * -(-missing // len(STRETCH))
        return place

    def _advance(self) -> None:
        """Move the position over what is settled in a row."""
        if self.settled_above:
            begin = self.position - self._base
            end = self._flags.find(WAITING, begin)
            end = len(self._flags) if end < 0 else end
            self.position += end - begin
            self.settled_above -= end - begin
            if end > SPENT:
                del self._flags[:end]
                self._base += end
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


def encode(position: int, totals: Mapping[Counted, int], above: bytes | bytearray) -> str:
    """Version, counters, bitmap and check as text of at most METADATA_LIMIT characters; ValueError where it is longer.

    `2:<delivered>,<coalesced>,<filtered>,<dead_lettered>,<absent>,<lost_to_retention>:<base64>:<check>`; bit i of the
    bitmap (byte i // 8, lowest bit first) is offset position + 1 + i. *above*: the same bits, a digit for each.
    """
    digits = above.rstrip(b"0")
    bits = int(digits[::-1] or b"0", 2).to_bytes(-(-len(digits) // 8), "little")
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
