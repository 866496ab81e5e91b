"""The pipeline of a destination that takes files: when a run is due, and in which order it settles. In virtual time."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Sequence
from random import Random
from typing import Any

import orjson
import pytest
import structlog

from stream.core.health import Bury, Health, State
from stream.core.lease import Lease
from stream.core.limits import BurialLimit, RateLimits
from stream.core.offsets import Mark, OffsetTracker
from stream.core.outcomes import DELIVERED, Blocked, Filtered, Outcome, Rejected, Retry
from stream.core.ranges import RangeTracker
from stream.core.records import Batch, Fields, Message, Record
from stream.core.retry import Backoff
from stream.core.scheduler import Scheduler
from stream.destinations.base import Check, Runs
from stream.http import Request
from stream.pipeline import STEP
from stream.runs import RunPipeline
from stream.telemetry.metrics import Meters
from stream.topics.rows import Rows
from stream.uploads import Run, Uploads
from tests.simulation.clock import run
from tests.unit.partition import LogRecord
from tests.unit.test_rows import Remembered
from tests.unit.topic import Topic

EVERY = 120.0


@pytest.fixture(autouse=True)
def _quiet() -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))


class Growing(Topic):
    """One whose records come as they are put there. Of commits it keeps those that get on."""

    def __init__(self, story: list[str]) -> None:
        super().__init__(RangeTracker("events", 0, 0))
        self.committed = [0]
        self._story = story

    def put(self, *values: bytes) -> None:
        now = int(asyncio.get_running_loop().time() * 1000)
        start = len(self.log)
        self.log = [*self.log, *(LogRecord(start + n, value, timestamp=now) for n, value in enumerate(values))]

    async def commit(self, marks: Sequence[Mark]) -> None:
        await super().commit(marks)
        *_, before, now = self.committed
        if now > before:
            self._story.append(f"commit {now}")
        else:
            self.committed.pop()


class Changelog(Remembered):
    """A state that notes when the changelog has something new."""

    def __init__(self, story: list[str]) -> None:
        super().__init__()
        self._story = story
        self._seen = 0

    async def flush(self) -> None:
        await super().flush()
        rows = sum(b"@" in key for _, key in self.entries)
        if rows > self._seen:
            self._story.append(f"changelog {rows}")
            self._seen = rows


class Folder(Runs):
    """Takes files, each in *seconds*, and notes them; *answers* are given first."""

    type = "fake"
    columns = ("email", "n")
    fingerprint = "one"

    def __init__(self, story: list[str]) -> None:
        self.settings = self.http = None  # type: ignore[assignment]
        self.files: list[list[list[str]]] = []
        self.answers: list[Outcome] = []
        self.seconds = 1.0
        self.fine = True
        self.begun = 0
        self._story = story

    def key(self, fields: Fields) -> str:
        return str(fields["email"])

    def encode(self, fields: Fields) -> bytes:
        return orjson.dumps(fields)

    def requests(self, batch: Batch) -> Sequence[Request]:
        return []

    async def upload(self, rows: Iterable[Sequence[str]], *, proceed: Callable[[], None]) -> Outcome:
        self.begun += 1
        written = [list(row) for row in rows]
        await asyncio.sleep(self.seconds)
        if self.answers:
            return self.answers.pop(0)
        proceed()
        self._story.append(f"file {len(written)}")
        self.files.append(written)
        return DELIVERED

    async def check(self) -> AsyncIterator[Check]:
        yield Check("login", self.fine, "asked")


class Letters:
    """Dead letters, acknowledged while the *broker* is there."""

    def __init__(self) -> None:
        self.written: list[tuple[int, str]] = []
        self.broker = asyncio.Event()
        self.broker.set()

    async def bury(self, record: Record, bury: Bury, *, attempts: int, first_failed_at: float | None) -> None:
        await self.broker.wait()
        self.written.append((record.offset, bury.reason))


class Line:
    """A pipeline with both ends."""

    def __init__(self, *, max_rows: int = 1000, stop_above: BurialLimit | None = None) -> None:
        self.story: list[str] = []
        self.topic = Growing(self.story)
        self.folder = Folder(self.story)
        self.state = Changelog(self.story)
        self.letters = Letters()
        loop = asyncio.get_running_loop()
        self.lease = Lease(session_timeout=10.0, drain=20.0)
        limits, meters = RateLimits({"": None}), Meters("fake")
        self.rows = Rows(self.state, columns=self.folder.columns, fingerprint=self.folder.fingerprint)
        performed = Run(
            self.folder, rows=self.rows, lease=self.lease, meters=meters, burial_limit=stop_above, wall=loop.time
        )
        self.delivery = Uploads(
            performed,
            scheduler=Scheduler(),
            health=Health(backoff=Backoff(0.5, 60.0, Random(1)), concurrency=1, attempts=1 << 30, burials=stop_above),
            limit=limits.first,
            lease=self.lease,
            burials=self.letters,
            meters=meters,
            concurrency=1,
            wall=loop.time,
        )
        self.pipeline = RunPipeline(
            "fake",
            run=performed,
            delivery=self.delivery,
            make=make,
            every=EVERY,
            max_rows=max_rows,
            burial_limit=stop_above,
            source=self.topic,
            burials=self.letters,
            lease=self.lease,
            limits=limits,
            meters=meters,
            commit_every=0.25,
            drain=20.0,
            wall=loop.time,
        )

    @property
    def shown(self) -> State | str:
        return self.pipeline.snapshot().state


def make(record: Record, tracker: OffsetTracker) -> Message | Filtered | Rejected:
    """Of what the record's value says: `jane 1` is a row."""
    match (record.value or b"").decode().split():
        case ["filtered"]:
            return Filtered("not_this_event")
        case ["malformed"]:
            return Rejected("no email address", reason="rejected")
        case [name, n]:
            email = f"{name}@example.com"
            body = orjson.dumps({"email": email, "n": n})
            return Message(email, {"email": email}, body, record, tracker, record.timestamp / 1000)
    raise AssertionError(record.value)


def during(line: Line, work: Coroutine[Any, Any, None]) -> Coroutine[Any, Any, None]:
    """*work* while the pipeline runs, which ends with it."""

    async def both() -> None:
        running = asyncio.create_task(line.pipeline.run())
        await asyncio.sleep(1.0)
        await work
        line.pipeline.stop()
        await running

    return both()


def test_a_run_is_due_when_the_oldest_record_is_old_enough() -> None:
    """Not before, and with all that was read by then."""

    async def work() -> None:
        line = Line()

        async def look() -> None:
            line.topic.put(b"jane 1")
            await asyncio.sleep(EVERY - 10)
            line.topic.put(b"max 1")
            await asyncio.sleep(5)
            assert [] == line.folder.files
            await asyncio.sleep(20)
            assert [[["jane@example.com", "1"], ["max@example.com", "1"]]] == line.folder.files

        await during(line, look())

    run(work())


def test_a_full_file_does_not_wait() -> None:
    """As many contacts as fit, however young; nothing more is read for it."""

    async def work() -> None:
        line = Line(max_rows=3)

        async def look() -> None:
            line.topic.put(*(f"contact-{n} 1".encode() for n in range(7)))
            await asyncio.sleep(60)
            assert [3, 3] == [len(rows) for rows in line.folder.files]
            assert 6 == line.topic.committed[-1]

        await during(line, look())

    run(work())


def test_a_backlog_is_read_before_the_run() -> None:
    """Its records are old when they come: not each handful of them is worth a file."""

    async def work() -> None:
        line = Line()
        line.topic.put(*(f"contact-{n} 1".encode() for n in range(900)))
        await asyncio.sleep(2 * EVERY)

        async def look() -> None:
            await asyncio.sleep(60)
            assert [900] == [len(rows) for rows in line.folder.files]

        await during(line, look())

    run(work())


def test_the_file_comes_before_the_changelog_and_both_before_the_commit() -> None:
    """A crash in between repeats something, and loses nothing."""

    async def work() -> None:
        line = Line()

        async def look() -> None:
            line.topic.put(b"jane 1", b"filtered", b"malformed", b"jane 2")
            await asyncio.sleep(EVERY + 10)
            assert ["file 1", "changelog 1", "commit 4"] == line.story

        await during(line, look())
        totals = line.pipeline.final_totals
        assert {"delivered": 1, "coalesced": 1, "filtered": 1, "dead_lettered": 1} == +totals

    run(work())


def test_a_run_waits_for_its_dead_letters() -> None:
    """What was not buried is not done."""

    async def work() -> None:
        line = Line()
        line.letters.broker.clear()

        async def look() -> None:
            line.topic.put(b"jane 1", b"malformed")
            await asyncio.sleep(2 * EVERY)
            assert ["file 1", "changelog 1"] == line.story
            line.letters.broker.set()
            await asyncio.sleep(1)
            assert [(1, "rejected")] == line.letters.written
            assert "commit 2" == line.story[-1]

        await during(line, look())

    run(work())


def test_a_run_waits_for_the_changelog() -> None:
    """Or another machine would not know what was sent."""

    async def work() -> None:
        line = Line()

        async def look() -> None:
            line.topic.put(b"jane 1")
            line.state.fails = 10_000
            await asyncio.sleep(EVERY + 60)
            assert ["file 1"] == line.story
            line.state.fails = 0
            await asyncio.sleep(5)
            assert ["file 1", "changelog 1", "commit 1"] == line.story

        await during(line, look())

    run(work())


def test_what_changes_nothing_is_settled_without_a_file() -> None:
    """An empty difference is no file (destinations 4.5)."""

    async def work() -> None:
        line = Line()

        async def look() -> None:
            line.topic.put(b"jane 1")
            await asyncio.sleep(EVERY + 10)
            line.topic.put(b"jane 1", b"filtered")
            await asyncio.sleep(EVERY + 10)
            assert (1, 1) == (len(line.folder.files), line.folder.begun)
            assert 3 == line.topic.committed[-1]

        await during(line, look())
        assert {"unchanged": 1, "not_this_event": 1} == +line.delivery.filtered

    run(work())


def test_a_failed_upload_is_tried_again_with_what_came_meanwhile() -> None:
    """With growing pauses; nothing is buried, and it is seen that nothing gets through."""

    async def work() -> None:
        line = Line()
        line.folder.answers = [Retry("no space left")] * 5

        async def look() -> None:
            line.topic.put(b"jane 1")
            await asyncio.sleep(EVERY + 3)
            assert "suspended" == line.shown
            assert "no space left" in str(line.pipeline.snapshot().reason)
            line.topic.put(b"max 1")
            await asyncio.sleep(120)
            assert [2] == [len(rows) for rows in line.folder.files]
            assert "running" == line.shown

        await during(line, look())
        assert [] == line.letters.written

    run(work())


def test_a_refused_login_blocks_until_the_test_passes() -> None:
    """The connection test probes, not the file; then it goes on by itself."""

    async def work() -> None:
        line = Line()
        line.folder.answers = [Blocked("the login was refused", hint="look at the password")]

        async def look() -> None:
            line.topic.put(b"jane 1")
            await asyncio.sleep(EVERY)
            line.folder.fine = False
            await asyncio.sleep(EVERY)
            assert ("blocked", 1) == (line.shown, line.folder.begun)
            line.folder.fine = True
            await asyncio.sleep(120)
            assert [1] == [len(rows) for rows in line.folder.files]
            assert "running" == line.shown

        await during(line, look())

    run(work())


def test_records_that_nobody_is_told_of_settle_while_it_is_blocked() -> None:
    """Filtered events need no login."""

    async def work() -> None:
        line = Line()
        line.folder.fine = False

        async def look() -> None:
            line.topic.put(b"filtered", b"filtered")
            await asyncio.sleep(EVERY + 10)
            assert ("blocked", 2) == (line.shown, line.topic.committed[-1])

        await during(line, look())

    run(work())


def test_the_end_is_a_run() -> None:
    """What was read goes out, however young."""

    async def work() -> None:
        line = Line()

        async def look() -> None:
            line.topic.put(b"jane 1", b"max 1")
            await asyncio.sleep(10)
            assert [] == line.folder.files

        await during(line, look())
        assert ["file 2", "changelog 2", "commit 2"] == line.story

    run(work())


def test_draining_ends_with_a_run() -> None:
    """When all that was there at the start is read."""

    async def work() -> None:
        line = Line()
        line.topic.put(b"jane 1", b"max 1")
        await line.pipeline.run(drain=True)

        assert ["file 2", "changelog 2", "commit 2"] == line.story

    run(work())


def test_the_end_does_not_wait_for_what_cannot_be() -> None:
    """A destination that is down keeps no process: its records are read again."""

    async def work() -> None:
        line = Line()

        async def look() -> None:
            line.topic.put(b"jane 1")
            await asyncio.sleep(10)
            line.folder.seconds = 3600.0

        loop = asyncio.get_running_loop()
        await during(line, look())
        assert loop.time() < 1000 + 60
        assert [0] == line.topic.committed

    run(work())


def test_a_revocation_uploads_nothing() -> None:
    """What is under way does not become visible, and nothing is settled: the next owner reads it again."""

    async def work() -> None:
        line = Line()
        line.folder.seconds = 5.0

        async def look() -> None:
            line.topic.put(b"jane 1")
            await asyncio.sleep(EVERY)
            await until(lambda: line.folder.begun == 1)
            await line.pipeline.revoke()
            assert line.topic.tracker.closed
            await asyncio.sleep(60)

        await during(line, look())
        assert ([], [0], {}) == (line.folder.files, line.topic.committed, line.state.entries)

    run(work())


def test_nothing_becomes_visible_while_commits_fail() -> None:
    """The member may have been replaced: the file is given up, and made anew once a commit proves that it was not."""

    async def work() -> None:
        line = Line()
        line.folder.seconds = 20.0

        async def look() -> None:
            line.topic.put(b"jane 1")
            await asyncio.sleep(EVERY)
            await until(lambda: line.folder.begun == 1)
            line.topic.refuses = True
            await asyncio.sleep(60)
            assert [] == line.folder.files
            line.topic.refuses = False
            await asyncio.sleep(60)
            assert 1 == len(line.folder.files)

        await during(line, look())

    run(work())


def test_too_many_burials_hold_the_destination_before_the_topic_is_gone() -> None:
    """Nothing more is read until an operator says so."""

    async def work() -> None:
        line = Line(stop_above=BurialLimit(50, 10))

        async def look() -> None:
            line.topic.put(*[b"malformed"] * 1000)
            await asyncio.sleep(EVERY)
            assert ("paused", STEP) == (line.shown, len(line.letters.written))  # what was mapped at once, no more
            assert [0] == line.topic.committed

        await during(line, look())

    run(work())


def test_reading_stops_while_an_operator_holds_it() -> None:
    """And goes on after `resume`."""

    async def work() -> None:
        line = Line()

        async def look() -> None:
            line.delivery.health.pause("for now")
            line.topic.put(b"jane 1")
            await asyncio.sleep(2 * EVERY)
            assert (0, 0) == (line.rows.contacts, line.folder.begun)
            line.delivery.health.resume()
            line.delivery.wake()
            await asyncio.sleep(EVERY + 10)
            assert 1 == len(line.folder.files)

        await during(line, look())

    run(work())


async def until(condition: Callable[[], bool]) -> None:
    """Return when it holds."""
    while not condition():  # noqa: ASYNC110 - virtual time
        await asyncio.sleep(0.1)
