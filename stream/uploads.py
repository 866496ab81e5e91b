"""A run as one call among others: when it may start, and what its outcome means, is decided as for any delivery.

When one is due is `stream.runs`'s, what is in it `stream.topics.rows`'s.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence

import structlog

from stream.core.lease import Lease
from stream.core.limits import BurialLimit
from stream.core.offsets import OffsetTracker
from stream.core.outcomes import DELIVERED, Delivered, Outcome, Throttled
from stream.core.ranges import RangeTracker
from stream.core.records import Batch, Fields, Message, StandIn
from stream.delivery import Delivery
from stream.destinations.base import Calls, Check, Runs
from stream.http import Request
from stream.kafka.source import CommitFailed
from stream.telemetry.metrics import Meters
from stream.topics.rows import Comparison, Judge, Rows
from stream.topics.waiting import Waiting

AGAIN_SECONDS = 1.0  # between two tries to write to the changelog
LETTER_SECONDS = 0.05  # between two looks whether all dead letters are written
log = structlog.get_logger()


class GivenUp(Exception):
    """The run must not become visible: its partitions are being taken away, or may have been."""


class Run(Calls):
    """A destination that takes files, as one that is called: its only message is the run that is due.

    Its order is what makes it safe: the vendor has the file, the changelog has what was told, the offsets are settled.
    """

    type = "run"

    def __init__(
        self,
        destination: Runs,
        *,
        rows: Rows,
        lease: Lease,
        meters: Meters,
        burial_limit: BurialLimit | None,
        wall: Callable[[], float],
        gate: Callable[[Message], str | None] | None = None,
    ) -> None:
        super().__init__(destination.settings, destination.http)
        self.rows = rows
        self.under_way = False  # rows are looked at: none may be added
        self.filtered = Counter[str]()  # reasons, for people
        self._files = destination
        self._lease = lease
        self._meters = meters
        self._burial_limit = burial_limit
        self._wall = wall
        self._gate = gate
        self._trackers: list[RangeTracker] = []
        self._loop = asyncio.get_running_loop()

    def begin(self, trackers: Sequence[OffsetTracker]) -> None:
        """Runs are about these partitions from now on; about none: what is under way must not become visible."""
        self._trackers = [tracker for tracker in trackers if isinstance(tracker, RangeTracker)]

    def key(self, fields: Fields) -> str:  # noqa: ARG002
        """One at a time."""
        return "run"

    def encode(self, fields: Fields) -> bytes:  # noqa: ARG002
        """Nothing: what goes out is known when its turn comes."""
        return b""

    def requests(self, batch: Batch) -> Sequence[Request]:  # noqa: ARG002
        """None but files."""
        return []

    def check(self) -> AsyncIterator[Check]:
        """The destination's own."""
        return self._files.check()

    async def send(self, batch: Batch) -> Sequence[Outcome]:  # noqa: ARG002
        """Compare, upload, remember, settle."""
        self.under_way = True
        try:
            with self.rows.frozen():
                return [await self._perform(self._trackers)]
        except GivenUp:
            return [Throttled(0.0, "given up")]  # no failure: it starts anew, if anyone still wants it
        finally:
            self.under_way = False

    async def _perform(self, trackers: Sequence[RangeTracker]) -> Outcome:
        comparison = await self.rows.compare(self._judge(), lambda: self._still(trackers))
        if comparison.changed:
            outcome = await self._files.upload(self._outgoing(trackers), proceed=lambda: self._proceed(trackers))
            if not isinstance(outcome, Delivered):
                log.warning("run_failed", type=self._files.type, reason=getattr(outcome, "detail", ""))
                return outcome
        await self._keep(trackers)
        await self._letters(trackers, comparison)
        for tracker in trackers:
            tracker.settle_all(comparison.counts.get(tracker, {}))
        self.rows.settled()
        self._count(comparison)
        return DELIVERED

    def _still(self, trackers: Sequence[RangeTracker]) -> None:
        if self._trackers is not trackers:
            raise GivenUp

    def _proceed(self, trackers: Sequence[RangeTracker]) -> None:
        self._still(trackers)
        if not self._lease.holds(self._loop.time()):
            raise GivenUp

    def _outgoing(self, trackers: Sequence[RangeTracker]) -> Iterator[Sequence[str]]:
        for row in self.rows.outgoing():
            yield row
            self._proceed(trackers)

    async def _keep(self, trackers: Sequence[RangeTracker]) -> None:
        """Return when what the vendor was told is in the changelog, however long that takes."""
        while True:
            try:
                return await self.rows.keep(lambda: self._still(trackers))
            except CommitFailed as error:
                log.warning("changelog_waits", type=self._files.type, reason=str(error))
            await asyncio.sleep(AGAIN_SECONDS)
            self._still(trackers)

    async def _letters(self, trackers: Sequence[RangeTracker], comparison: Comparison) -> None:
        """Return when every record that no row could be made of has its dead letter."""
        waiting = {tracker: tracker.unsettled - comparison.counts[tracker].total() for tracker in trackers}
        while any(tracker.known < count for tracker, count in waiting.items()):
            await asyncio.sleep(LETTER_SECONDS)
            self._still(trackers)

    def _judge(self) -> Judge | None:
        gate = self._gate
        if gate is None:
            return None

        def judge(row: Waiting, tracker: OffsetTracker) -> str | None:
            persons = () if row.person is None else (row.person,)
            newest = StandIn(timestamp=row.stamp)
            return gate(Message(row.contact, {}, b"", newest, tracker, row.time, persons=persons))

        return judge

    def _count(self, comparison: Comparison) -> None:
        """What metrics are told of a run."""
        self._meters.delivered.inc(len(comparison.stamps))
        self._meters.coalesced.inc(comparison.coalesced)
        self._meters.filtered.inc(comparison.filtered.total() + self.rows.erased)
        self.filtered.update(comparison.filtered)
        self.filtered["erased"] += self.rows.erased
        self.rows.erased = 0
        now = self._wall()
        for stamp in comparison.stamps:
            self._meters.delivery_seconds.observe(max(0.0, now - stamp / 1000))
            if self._burial_limit is not None:
                self._burial_limit.record(buried=False)
        log.info("run_settled", type=self._files.type, rows=comparison.changed)


class Uploads(Delivery):
    """One destination's sender of runs."""

    due: Message | None = None  # the run that waits or is under way

    def request(self) -> None:
        """A run is due: it starts as soon as one may."""
        if self.due is None:
            # a run comes from many records
            self.due = Message("run", {}, b"", StandIn(), OffsetTracker("", 0, 0), self._wall())
            self.scheduler.add(self.due, self._loop.time())
        self.wake()

    def give_up(self) -> None:
        """Forget the run that is due; one that is under way ends by itself."""
        if self.due is not None:
            self.due.tracker.close()
            self.due = None

    def settle(self, message: Message, filtered: str | None = None) -> None:  # noqa: ARG002
        """The run is over. Its records were settled by it."""
        if message is self.due:
            self.due = None
        self.scheduler.finish(message, self._loop.time())
