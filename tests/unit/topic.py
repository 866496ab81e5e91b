"""A source for tests of pipelines: one partition, read and committed without a broker."""

import asyncio
from collections.abc import Sequence

from stream.core.offsets import Mark, OffsetTracker
from stream.core.records import Record
from stream.kafka.source import CommitFailed, Partition
from stream.pipeline import Pipeline
from tests.unit.partition import LogRecord


class Topic:
    """A source with one partition. What is committed while it *refuses* does not arrive."""

    def __init__(self, tracker: OffsetTracker, log: Sequence[LogRecord] = ()) -> None:
        self.tracker = tracker
        self.log = log
        self.cursor = 0
        self.handed_back: list[int] = []
        self.committed: list[int] = []
        self.closed_at_commit: list[bool] = []
        self.refuses = False
        self.thinks = 0.01  # seconds, about a commit
        self.paused = False
        self.partitions = {"events": 1}
        self.rebalancing = False

    async def open(self, owner: Pipeline) -> None:
        await owner.assign([self.tracker])

    async def close(self) -> None: ...

    async def poll(self, most: int, timeout: float) -> list[tuple[OffsetTracker, Sequence[Record]]]:
        await asyncio.sleep(timeout)
        stands = self.handed_back and not self.tracker.admits(self.handed_back[-1])
        records = [] if self.paused or stands else [r for r in self.log if r.offset >= self.cursor][:most]
        if not records:
            return []
        self.cursor = records[-1].offset + 1
        return [(self.tracker, records)]

    def hand_back(self, tracker: OffsetTracker, offset: int) -> None:
        self.handed_back.append(offset)
        self.cursor = offset

    def at_window(self, tracker: OffsetTracker) -> bool:
        return False

    def catch_up(self) -> None: ...

    def pause(self) -> None:
        self.paused = True

    def resume(self) -> None:
        self.paused = False

    def end(self, tracker: OffsetTracker) -> int:
        return len(self.log)

    async def ends(self) -> dict[Partition, int]:
        return {("events", 0): len(self.log)}

    async def commit(self, marks: Sequence[Mark]) -> None:
        [mark] = marks
        await asyncio.sleep(self.thinks)
        if self.refuses:
            raise CommitFailed("coordinator")
        self.committed.append(mark.position)
        self.closed_at_commit.append(self.tracker.closed)
        self.tracker.committed(mark)
