"""The pipeline between a source and a delivery: what it lets in, and how it gives partitions up. In virtual time."""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Iterable, Sequence
from random import Random
from typing import Any

import pytest
import structlog

from stream.core.health import Bury, Health
from stream.core.lease import Lease
from stream.core.limits import Limit, RateLimit, RateLimits, turn_of
from stream.core.offsets import Mark, OffsetTracker
from stream.core.outcomes import DELIVERED, Filtered, Outcome, Rejected
from stream.core.records import Batch, Fields, Message, Record
from stream.core.retry import Backoff
from stream.core.scheduler import Scheduler
from stream.delivery import Delivery
from stream.destinations.base import Calls, Check
from stream.http import NotSent, Request
from stream.kafka.source import CommitFailed
from stream.pipeline import Pipeline
from stream.telemetry.metrics import Meters
from tests.simulation.clock import run
from tests.unit.partition import LogRecord
from tests.unit.topic import Topic

WINDOW = 40


@pytest.fixture(autouse=True)
def _quiet() -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))


class Vendor(Calls):
    """Delivers everything, but only while the door is open."""

    type = "fake"

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.calls = 0
        self.taken: list[int] = []
        self.limit: Limit = RateLimit(None)
        self.fine = True
        self.questions = 1  # of a connection test
        self.thinks = 0.0  # seconds, about each of them
        self.asked = 0

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
        for _ in range(self.questions):
            if self.limit.free_at() == float("inf"):
                raise NotSent("no share")
            self.asked += 1
            await asyncio.sleep(self.thinks)
        yield Check("token", self.fine, "fine" if self.fine else "refused")


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

    def __init__(
        self,
        *records: LogRecord,
        buffer: int = 1000,
        buffer_bytes: int = 1 << 20,
        topic: type[Topic] = Topic,
        rate: float | None = None,
    ) -> None:
        self.topic = topic(OffsetTracker("events", 0, 0, window=WINDOW), records)
        self.vendor = Vendor()
        self.letters = Letters()
        self.diary = Diary(self.topic)
        self.notes = Notes(self.topic)
        loop = asyncio.get_running_loop()
        self.lease = Lease(session_timeout=10.0, drain=20.0)
        limits = RateLimits({"": rate})
        self.vendor.limit = limits.first
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


def test_sending_goes_on_after_a_commit_that_took_longer_than_the_lease() -> None:
    """It was sent in time, but when it is answered the senders are asleep; and no record comes that would wake them."""

    async def work() -> None:
        line = Line(*records(30), buffer=8)

        async def look() -> None:
            await asyncio.sleep(1.0)
            line.topic.thinks = 4.0
            while line.lease.holds(asyncio.get_running_loop().time()):  # noqa: ASYNC110 - nobody sets an event
                await asyncio.sleep(0.1)
            line.vendor.open.set()
            await asyncio.sleep(1.0)
            assert 4 == len(line.vendor.taken)
            line.topic.thinks = 0.01
            await asyncio.sleep(15.0)
            assert 30 == len(line.vendor.taken)

        await during(look(), line)

    run(work())


class Joining(Topic):
    """One whose partitions are a long time coming."""

    async def open(self, owner: Pipeline) -> None: ...


def joining(*log: LogRecord, rate: float | None = None) -> Line:
    """A pipeline that has no partitions yet."""
    line = Line(*log, topic=Joining, rate=rate)
    line.vendor.open.set()
    line.vendor.thinks = 1.0
    return line


def test_the_connection_is_tested_once_there_is_a_share_of_the_rate() -> None:
    """Members that start one after the other would else ask beyond the quota; nothing is sent before it has passed."""

    async def work() -> None:
        line = joining(*records(8))

        async def look() -> None:
            await asyncio.sleep(10.0)
            assert (0, float("inf")) == (line.vendor.asked, line.vendor.limit.free_at())
            await line.pipeline.assign([line.topic.tracker])
            await asyncio.sleep(0.9)
            assert (1, 0, "unassigned") == (line.vendor.asked, line.vendor.calls, line.pipeline.snapshot().state)
            await asyncio.sleep(2.0)
            assert (1, 8, "running") == (line.vendor.asked, line.vendor.calls, line.pipeline.snapshot().state)

        await during(look(), line)

    run(work())


def test_a_destination_that_is_refused_starts_blocked() -> None:
    """And sends nothing, but asks again."""

    async def work() -> None:
        line = Line(*records(8))
        line.vendor.open.set()
        line.vendor.fine = False

        async def look() -> None:
            await asyncio.sleep(5.0)
            assert (0, "blocked") == (line.vendor.calls, line.pipeline.snapshot().state)
            assert line.vendor.asked > 1
            line.vendor.fine = True
            await asyncio.sleep(30.0)
            assert (8, "running") == (line.vendor.calls, line.pipeline.snapshot().state)

        await during(look(), line)

    run(work())


def test_members_of_a_group_take_turns() -> None:
    """All are given their partitions at the same moment: which these are says how long each waits at first."""

    async def work() -> None:
        line = joining(rate=2.0)

        async def look() -> None:
            await asyncio.sleep(1.0)
            now = asyncio.get_running_loop().time()
            await line.pipeline.assign([OffsetTracker("events", 3, 0)])
            assert pytest.approx(now + turn_of(3) / 2) == line.vendor.limit.free_at()

        await during(look(), line)

    run(work())


def test_a_test_that_loses_its_share_is_made_again() -> None:
    """A rebalance in its midst says nothing about the vendor, and nothing is asked between two assignments."""

    async def work() -> None:
        line = joining(*records(8))
        line.vendor.questions = 3

        async def look() -> None:
            await asyncio.sleep(1.0)
            await line.pipeline.assign([line.topic.tracker])
            await asyncio.sleep(0.5)
            await line.pipeline.revoke()
            await asyncio.sleep(10.0)
            assert (1, 0) == (line.vendor.asked, line.vendor.calls)
            line.topic.tracker, line.topic.cursor = OffsetTracker("events", 0, 0, window=WINDOW), 0
            await line.pipeline.assign([line.topic.tracker])
            await asyncio.sleep(5.0)
            assert (1 + 3, 8) == (line.vendor.asked, line.vendor.calls)
            assert (0, "running") == (line.delivery.in_flight, line.pipeline.snapshot().state)

        await during(look(), line)

    run(work())


def test_a_member_for_which_no_partition_was_left_asks_nothing_and_is_well() -> None:
    """The whole rate is with the others."""

    async def work() -> None:
        line = joining()

        async def look() -> None:
            await asyncio.sleep(1.0)
            await line.pipeline.assign([])
            await asyncio.sleep(10.0)
            state = line.pipeline.snapshot()
            assert (0, True, "running") == (line.vendor.asked, state.assigned, state.state)
            assert float("inf") == line.vendor.limit.free_at()

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
