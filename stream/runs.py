"""One destination's whole path for destinations that take files: source, decoding, mapping, rows, run, commit.

A pipeline whose records are collected, and settled together by their run. When a run is due is decided here; how it
goes is `stream.uploads`'s.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from stream.core.health import Permit, State
from stream.core.limits import BurialLimit
from stream.core.offsets import OffsetTracker
from stream.core.outcomes import Filtered, Rejected
from stream.core.records import Batch, Message, Record
from stream.kafka.source import Partition
from stream.messages import Made, Make
from stream.pipeline import Pipeline
from stream.uploads import Run, Uploads

LETTERS = 1000  # records that wait for their dead letter: beyond that nothing is read
TURN_SECONDS = 0.1  # between two looks whether a run is due
END_SECONDS = 2.0  # of the drain time, kept for the last commit
TOO_MANY = "too many rows were buried: mend the mapping or the events, then `crmstream resume`"


class RunPipeline(Pipeline):
    """One destination that takes files, on this member."""

    def __init__(
        self,
        name: str,
        *,
        run: Run,
        delivery: Uploads,
        make: Make,
        every: float,
        max_rows: int,
        burial_limit: BurialLimit | None = None,
        gate: Callable[[Message], str | None] | None = None,
        companions: Sequence[Any] = (),
        **parts: Any,
    ) -> None:
        """*every*: how many seconds a record waits for its run at most. *max_rows*: contacts with which one is due.

        *parts* are those of any pipeline.
        """
        super().__init__(
            name,
            make=gated(make, gate),
            delivery=delivery,
            companions=(*companions, run.rows),
            buffer=max_rows,
            buffer_bytes=1,
            **parts,
        )
        self._uploads = delivery
        self._run = run
        run.filtered = delivery.filtered
        self._every = every
        self._max_rows = max_rows
        self._burial_limit = burial_limit
        self._oldest = 0.0  # seconds since the epoch, of the unsettled records
        self._first_read = 0.0  # when the first of them was read, monotonic seconds
        self._ending = asyncio.Event()

    # Life

    def stop(self) -> None:
        """End `run`: what was read goes out in a last run, positions are committed, the group is left."""
        self._ending.set()

    async def assign(self, trackers: Sequence[OffsetTracker]) -> None:
        """Take partitions on. Nothing is sent before a first commit has proved that they are ours."""
        await super().assign(trackers)
        self._run.begin(trackers)

    async def revoke(self) -> None:
        """Give the partitions up. Nothing more is uploaded: whoever owns them next reads it again."""
        self._run.begin(())
        self._uploads.give_up()
        await super().revoke()

    async def _watch(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(super()._watch(), name=f"{self.name} watch")
            tasks.create_task(self._request_runs(), name=f"{self.name} runs")

    # Reading

    def _room(self, share: float = 1.0) -> int:  # noqa: ARG002
        """How many more records may be read: none while a run looks at the rows, nor while operators hold it."""
        held = self.delivery.health.state(self._loop.time()) is State.PAUSED
        if self._run.under_way or held or self._ending.is_set():
            return -1
        return min(self._max_rows - self._run.rows.contacts, LETTERS - len(self._letters)) or -1

    def _admit(self, tracker: OffsetTracker, records: Sequence[Record]) -> bool:
        if self._room() < 0 and not tracker.closed:  # a run has begun while they were fetched
            self._source.hand_back(tracker, records[0].offset)
            return False
        return super()._admit(tracker, records)

    def _accept(self, record: Record, tracker: OffsetTracker, now: float) -> None:
        if self._unsettled() == 1:
            self._oldest, self._first_read = record.timestamp / 1000, now
        self._oldest = min(self._oldest, record.timestamp / 1000)
        letters = len(self._letters)
        super()._accept(record, tracker, now)
        if len(self._letters) > letters:
            self._limit_burials(self._letters[-1][2])

    def _take(self, message: Message, now: float) -> None:  # noqa: ARG002
        self._run.rows.add(message)

    def _limit_burials(self, rejected: Rejected) -> None:
        """A mapping that makes nonsense of every email address must not bury them all."""
        counts = rejected.reason == "rejected" and self._burial_limit is not None
        if counts and self._burial_limit and self._burial_limit.record(buried=True):
            self.delivery.health.pause(TOO_MANY)

    # Runs

    async def _request_runs(self) -> None:
        while not self._ending.is_set():
            await asyncio.sleep(TURN_SECONDS)
            busy = self._uploads.due is not None or self._run.under_way
            if busy or not self.trackers or not self._is_due():
                continue
            if self._run.rows.contacts or self._run.rows.again:
                self._uploads.request()
            else:  # nothing to tell: that needs nobody's permission
                with self.delivery.busy():
                    await self._run.send(Batch([]))
        await self._last_run()
        super().stop()

    def _is_due(self) -> bool:
        rows = self._run.rows
        if rows.contacts >= self._max_rows:
            return True
        caught_up = all(tracker.next_offset >= self._source.end(tracker) for tracker in self.trackers)
        if rows.again and caught_up:
            return True
        if not self._unsettled():
            return False
        if self._targets is not None and self._read_to(self._targets):
            return True
        read_for = self._loop.time() - self._first_read
        return read_for >= self._every or (caught_up and self._oldest_pending() >= self._every)

    def _read_to(self, targets: dict[Partition, int]) -> bool:
        if not self.assigned or self._source.rebalancing:
            return False
        return all(
            tracker.next_offset >= targets.get((tracker.topic, tracker.partition), 0) for tracker in self.trackers
        )

    async def _last_run(self) -> None:
        """A run of what was read, if one is possible now and fits the drain time."""
        now, scheduler = self._loop.time(), self.delivery.scheduler
        if self._unsettled() and self.delivery.health.permit(now) is Permit.ALL and not scheduler.all_delayed():
            self._uploads.request()
            while self._uploads.due is not None and not scheduler.all_delayed():
                if self._loop.time() > now + self._drain - END_SECONDS:
                    break
                await asyncio.sleep(TURN_SECONDS)

    def _oldest_pending(self) -> float:
        return max(0.0, self._wall() - self._oldest) if self._unsettled() else 0.0


def gated(make: Make, gate: Callable[[Message], str | None] | None) -> Make:
    """*make*, with what must not be sent filtered at once; it is judged again when its run comes."""
    if gate is None:
        return make

    def judged(record: Record, tracker: OffsetTracker) -> Made:
        made = make(record, tracker)
        if isinstance(made, Message) and (reason := gate(made)):
            return Filtered(reason)
        return made

    return judged
