"""The pipeline between a source and a delivery: what it lets in, and how it gives partitions up. In virtual time."""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Iterable, Sequence
from random import Random
from typing import Any

import pytest
import structlog

from stream.core.health import Bury, Health
from stream.core.lease import Lease
from stream.core.limits import RateLimits
from stream.core.offsets import Mark, OffsetTracker
from stream.core.outcomes import DELIVERED, Filtered, Outcome, Rejected
from stream.core.records import Batch, Fields, Message, Record
from stream.core.retry import Backoff
from stream.core.scheduler import Scheduler
from stream.delivery import Delivery
from stream.destinations.base import Calls, Check
from stream.http import Request
from stream.kafka.source import CommitFailed, Partition
from stream.pipeline import Pipeline
from stream.telemetry.metrics import Meters
from tests.simulation.clock import run
from tests.unit.partition import LogRecord

WINDOW = 40


@pytest.fixture(autouse=True)
def _quiet() -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))


class Topic:
    """A source with one partition. What is committed while it *refuses* does not arrive."""

    def __init__(self, *records: LogRecord) -> None:
        self.log: Sequence[LogRecord] = records
        self.tracker = OffsetTracker("events", 0, 0, window=WINDOW)
        self.cursor = 0
        self.handed_back: list[int] = []
        self.committed: list[int] = []
        self.closed_at_commit: list[bool] = []
        self.refuses = False
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
        await asyncio.sleep(0.01)
        if self.refuses:
            raise CommitFailed("coordinator")
        self.committed.append(mark.position)
        self.closed_at_commit.append(self.tracker.closed)
        self.tracker.committed(mark)


class Vendor(Calls):
    """Delivers everything, but only while the door is open."""

    type = "fake"

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.calls = 0
        self.taken: list[int] = []

    def key(self, fields: Fields) -> str:
        return ""

    def encode(self, fields: Fields) -> bytes:
        return b""

    def requests(self, batch: Batch) -> Sequence[Request]:
        return []

    async def send(self, batch: Batch) -> Sequence[Outcome]:
        self.calls += 1
        await self.open.wait()
        await asyncio.sleep(0.1)
        self.taken += [message.record.offset for message in batch]
        return [DELIVERED] * len(batch)

    async def check(self) -> AsyncIterator[Check]:
        yield Check("token", True, "fine")


class Letters:
    """Dead letters, acknowledged at once."""

    def __init__(self) -> None:
        self.written: list[tuple[int, str]] = []

    async def bury(self, record: Record, bury: Bury, *, attempts: int, first_failed_at: float | None) -> None:
        self.written.append((record.offset, bury.reason))


class Diary:
    """A companion that notes what it is told, and the positions committed by then."""

    def __init__(self, topic: Topic) -> None:
        self.topic = topic
        self.heard: list[tuple[str, list[int]]] = []
        self.fails = False
        self.crowded = False

    async def assigned(self, trackers: Sequence[OffsetTracker]) -> None:
        self._note("assigned")

    async def flush(self) -> None:
        self._note("flush")
        if self.fails:
            raise CommitFailed("the changelog is not acknowledged")

    async def revoked(self) -> None:
        self._note("revoked")

    def _note(self, word: str) -> None:
        self.heard.append((word, [*self.topic.committed]))


class Notes:
    """Receipts, as positions, beside what was committed by then. Writing them hangs."""

    def __init__(self, topic: Topic) -> None:
        self.topic = topic
        self.positions: list[int] = []
        self.committed: list[int] = []
        self.finished = 0

    def note(self, marks: Iterable[Mark]) -> None:
        self.positions += [mark.position for mark in marks]
        self.committed.append(self.topic.committed[-1])

    async def write_regularly(self) -> None:
        await asyncio.Event().wait()

    async def finish(self) -> None:
        self.finished += 1


class Line:
    """A pipeline with both ends."""

    def __init__(self, *records: LogRecord, buffer: int = 1000, buffer_bytes: int = 1 << 20) -> None:
        self.topic = Topic(*records)
        self.vendor = Vendor()
        self.letters = Letters()
        self.diary = Diary(self.topic)
        self.notes = Notes(self.topic)
        loop = asyncio.get_running_loop()
        self.lease = Lease(session_timeout=10.0, drain=20.0)
        limits = RateLimits({"": None})
        health = Health(backoff=Backoff(0.5, 60.0, Random(1)), concurrency=4)
        meters = Meters("fake")
        self.delivery = Delivery(
            self.vendor,
            scheduler=Scheduler(),
            health=health,
            limit=limits.first,
            lease=self.lease,
            burials=self.letters,
            meters=meters,
            concurrency=4,
            wall=loop.time,
        )
        self.pipeline = Pipeline(
            "fake",
            source=self.topic,
            make=make,
            delivery=self.delivery,
            burials=self.letters,
            lease=self.lease,
            limits=limits,
            meters=meters,
            buffer=buffer,
            buffer_bytes=buffer_bytes,
            commit_every=0.25,
            drain=20.0,
            wall=loop.time,
            companions=[self.diary],
            receipts=self.notes,
        )


def make(record: Record, tracker: OffsetTracker) -> Message | Filtered | Rejected:
    """Of what the record's value says."""
    match record.value:
        case b"filtered":
            return Filtered("not_this_event")
        case b"malformed":
            return Rejected("not JSON", reason="undecodable")
    return Message(f"key-{record.offset}", {}, b"", record, tracker, 0.0)


def records(count: int, value: bytes = b"good") -> list[LogRecord]:
    return [LogRecord(offset, value) for offset in range(count)]


def during(work: Coroutine[Any, Any, None], line: Line) -> Coroutine[Any, Any, None]:
    """*work* while the pipeline runs, which ends with it."""

    async def both() -> None:
        running = asyncio.create_task(line.pipeline.run())
        await work
        line.pipeline.stop()
        await running

    return both()


def test_every_record_comes_to_its_end() -> None:
    """Delivered, filtered or buried; the position is committed behind the last."""

    async def work() -> None:
        line = Line(LogRecord(0, b"good"), LogRecord(1, b"filtered"), LogRecord(2, b"malformed"), LogRecord(3, b"good"))
        line.vendor.open.set()
        await line.pipeline.run(drain=True)

        assert [0, 3] == sorted(line.vendor.taken)
        assert [(2, "undecodable")] == line.letters.written
        assert {"not_this_event": 1} == line.delivery.filtered
        assert 4 == line.topic.committed[-1]

    run(work())


def test_receipts_are_of_what_the_broker_has() -> None:
    """None of a commit that it refused, the last one before the end; nothing waits for them."""

    async def work() -> None:
        line = Line(*records(3))
        line.vendor.open.set()

        async def refuse() -> None:
            await asyncio.sleep(0.3)
            line.topic.refuses = True
            await asyncio.sleep(3.0)
            assert 3 == line.topic.tracker.position
            assert 3 not in line.notes.positions
            line.topic.refuses = False

        await during(refuse(), line)
        assert line.topic.committed == line.notes.positions == line.notes.committed
        assert (3, 1) == (line.notes.positions[-1], line.notes.finished)

    run(work())


def test_no_more_messages_are_read_than_the_buffer_holds() -> None:
    """However long the vendor takes."""

    async def work() -> None:
        line = Line(*records(30), buffer=8)

        async def look() -> None:
            await asyncio.sleep(60.0)
            assert 8 == line.topic.tracker.unsettled
            line.vendor.open.set()
            await asyncio.sleep(60.0)
            assert 30 == line.topic.committed[-1]

        await during(look(), line)

    run(work())


def test_no_more_bytes_are_read_than_the_buffer_holds() -> None:
    """The record that reaches the bound is the last; what was read beyond it is handed back."""

    async def work() -> None:
        line = Line(*records(30, value=b"x" * 100), buffer_bytes=450)

        async def look() -> None:
            await asyncio.sleep(60.0)
            assert (5, 500) == (line.topic.tracker.unsettled, line.delivery.scheduler.size)
            line.vendor.open.set()
            await asyncio.sleep(60.0)
            assert 30 == line.topic.committed[-1]

        await during(look(), line)

    run(work())


def test_reading_does_not_run_ahead_of_the_window() -> None:
    """The record that has no room is handed back, none is lost."""

    async def work() -> None:
        line = Line(*records(100))

        async def look() -> None:
            await asyncio.sleep(60.0)
            assert {WINDOW} == {*line.topic.handed_back}
            assert WINDOW == line.topic.tracker.next_offset
            line.vendor.open.set()
            await asyncio.sleep(60.0)
            assert 100 == line.topic.committed[-1]
            assert [*range(100)] == sorted(line.vendor.taken)

        await during(look(), line)

    run(work())


def test_partitions_are_given_up_after_what_is_in_flight_is_finished_and_committed() -> None:
    """The next owner repeats nothing, and late results fall on deaf ears."""

    async def work() -> None:
        line = Line(*records(30))

        async def look() -> None:
            await asyncio.sleep(1.0)
            assert 4 == line.delivery.in_flight
            asyncio.get_running_loop().call_later(5.0, line.vendor.open.set)
            await line.pipeline.revoke()

            assert 4 == line.topic.committed[-1]
            assert line.topic.closed_at_commit[-1] is False
            assert line.topic.tracker.closed
            assert (0, []) == (line.delivery.scheduler.keys, line.pipeline.trackers)
            assert not line.lease.holds(asyncio.get_running_loop().time())

        await during(look(), line)
        assert 4 == line.vendor.calls

    run(work())


def test_companions_are_ready_before_records_are_and_flushed_before_each_commit() -> None:
    """The last one of all commits comes before they hear of the revocation."""

    async def work() -> None:
        line = Line(*records(3))
        line.vendor.open.set()
        await line.pipeline.run(drain=True)

        assert ("assigned", []) == line.diary.heard[0]
        assert ("flush", []) == line.diary.heard[1]
        assert ("revoked", line.topic.committed) == line.diary.heard[-1]
        flushed = [committed for word, committed in line.diary.heard if word == "flush"]
        assert [*range(len(flushed))] == [len(committed) for committed in flushed]

    run(work())


def test_nothing_more_is_read_while_a_companion_is_crowded() -> None:
    """What it keeps in memory is bounded; it is flushed at once, and reading goes on when it has room again."""

    async def work() -> None:
        line = Line(*records(10))
        line.vendor.open.set()

        async def look() -> None:
            await asyncio.sleep(1.0)
            line.diary.crowded = True
            await asyncio.sleep(1.0)
            line.topic.log = records(20)
            await asyncio.sleep(1.0)
            assert 10 >= line.topic.cursor
            assert "flush" in [word for word, _ in line.diary.heard[-2:]]
            line.diary.crowded = False
            await asyncio.sleep(1.0)
            assert [*range(20)] == sorted(line.vendor.taken)

        await during(look(), line)

    run(work())


def test_what_cannot_be_flushed_is_not_committed() -> None:
    """A failed flush is a failed commit: counted, and tried again."""

    async def work() -> None:
        line = Line(*records(3))
        line.vendor.open.set()

        async def look() -> None:
            await asyncio.sleep(1.0)
            line.diary.fails = True
            before = [*line.topic.committed]
            line.topic.log = records(6)
            await asyncio.sleep(1.0)
            assert before == line.topic.committed
            line.diary.fails = False

        await during(look(), line)

    run(work())


def test_a_call_that_outlasts_the_drain_time_is_not_waited_for() -> None:
    """The group would not wait either."""

    async def work() -> None:
        line = Line(*records(30))

        async def look() -> None:
            await asyncio.sleep(1.0)
            began = asyncio.get_running_loop().time()
            await line.pipeline.revoke()
            assert 20.0 <= asyncio.get_running_loop().time() - began < 21.0
            assert line.topic.tracker.closed

        await during(look(), line)

    run(work())


def test_nothing_is_sent_before_a_commit_has_proved_the_assignment() -> None:
    """And nothing more once commits have failed for half a session timeout."""

    async def work() -> None:
        line = Line(*records(30))
        line.topic.refuses = True

        async def look() -> None:
            await asyncio.sleep(30.0)
            assert 0 == line.vendor.calls
            line.topic.refuses = False
            await asyncio.sleep(1.0)
            assert 4 == line.vendor.calls

        await during(look(), line)

    run(work())


def test_an_idle_member_keeps_its_right_to_send() -> None:
    """It commits though nothing has changed, often enough."""

    async def work() -> None:
        line = Line()

        async def look() -> None:
            for _ in range(300):
                await asyncio.sleep(0.2)
                assert line.lease.holds(asyncio.get_running_loop().time())

        await during(look(), line)

    run(work())
