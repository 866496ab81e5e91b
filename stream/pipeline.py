"""One destination's whole path for destinations that are called: source, decoding, mapping, delivery, commit.

Also what happens when partitions come and go, and at the end. What to send when is decided in `stream.core`.
"""

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Protocol

import structlog

from stream.core.health import Bury, Permit, State
from stream.core.lease import Lease
from stream.core.limits import Limits, turn_of
from stream.core.offsets import Mark, OffsetTracker
from stream.core.outcomes import Filtered, Rejected
from stream.core.records import Message, Record
from stream.delivery import Burials, Delivery
from stream.kafka.source import CommitFailed, Partition
from stream.messages import Make
from stream.telemetry.metrics import Meters
from stream.telemetry.state import DestinationState, Holding, PartitionState

POLL = 250  # records read at once
STEP = 50  # of them mapped between two turns of the senders, whose answers wait meanwhile: about a millisecond
AT_WINDOW_SECONDS = 5.0  # how long a partition stands at its window before the message that holds it is buried early
LAST_COMMIT_SECONDS = 10.0  # for the commit before partitions are given up; a broker may be away for longer
log = structlog.get_logger()


class Reads(Protocol):
    """The source, as the pipeline needs it."""

    partitions: dict[str, int]

    @property
    def rebalancing(self) -> bool: ...
    async def open(self, owner: "Pipeline") -> None: ...
    async def close(self) -> None: ...
    async def poll(self, most: int, timeout: float) -> list[tuple[OffsetTracker, Sequence[Record]]]: ...
    def hand_back(self, tracker: OffsetTracker, offset: int) -> None: ...
    def at_window(self, tracker: OffsetTracker) -> bool: ...
    def catch_up(self) -> None: ...
    def pause(self) -> None: ...
    def resume(self) -> None: ...
    def end(self, tracker: OffsetTracker) -> int: ...
    async def ends(self) -> dict[Partition, int]: ...
    async def commit(self, marks: Sequence[Mark]) -> None: ...


class Companion(Protocol):
    """What is kept beside assigned partitions, such as a journal or remembered traits."""

    @property
    def crowded(self) -> bool:
        """Whether nothing more should be read before the next `flush`."""

    async def assigned(self, trackers: Sequence[OffsetTracker]) -> None:
        """These partitions are ours; no record of them is mapped before it returns."""

    async def flush(self) -> None:
        """Before each commit: what came of the records settled so far is durable when it returns.

        Raises CommitFailed where it cannot be now.
        """

    async def revoked(self) -> None:
        """The partitions are given up: what was in flight is over, and the last commit was made."""


class Receipts(Protocol):
    """Where what was committed is noted; nothing waits for it but the end."""

    def note(self, marks: Iterable[Mark]) -> None:
        """The broker has this."""

    async def write_regularly(self) -> None:
        """Write what is noted, for ever."""

    async def finish(self) -> None:
        """The partitions are given up: write the last of it, in a moment or not at all."""


class Pipeline:
    """One destination on this member."""

    def __init__(
        self,
        name: str,
        *,
        source: Reads,
        make: Make,
        delivery: Delivery,
        burials: Burials,
        lease: Lease,
        limits: Limits,
        meters: Meters,
        buffer: int,
        buffer_bytes: int,
        commit_every: float,
        drain: float,
        wall: Callable[[], float],
        companions: Sequence[Companion] = (),
        receipts: Receipts | None = None,
    ) -> None:
        self.name = name
        self.delivery = delivery
        self.trackers: list[OffsetTracker] = []
        self.assigned = False
        self.final_totals = Counter[str]()  # of the partitions given up last
        self._source = source
        self._make = make
        self._burials = burials
        self._lease = lease
        self._limits = limits
        self._meters = meters
        self._buffer = buffer
        self._buffer_bytes = buffer_bytes
        self._commit_every = commit_every
        self._drain = drain
        self._wall = wall
        self._companions = companions
        self._receipts = receipts
        self._loop = asyncio.get_running_loop()
        self._turned = self._loop.time()
        self._committing = asyncio.Lock()
        self._changing = asyncio.Lock()  # partitions come or go: an end may be asked for in the midst of it
        self._letters: deque[tuple[Record, OffsetTracker, Rejected]] = deque()
        self._letter_waits = asyncio.Event()
        self._stopping = asyncio.Event()
        self._own = asyncio.Event()  # partitions are ours, and with them a share of the rate
        self._tested = False
        self._commit_now = asyncio.Event()
        self._stood_since: dict[OffsetTracker, float] = {}
        self._targets: dict[Partition, int] | None = None  # of `--drain`

    # Life

    async def run(self, *, drain: bool = False) -> None:
        """Deliver until `stop`, then leave cleanly. *drain*: stop when what the topics held at the start is settled."""
        self._limits.hold(self._loop.time())
        await self._source.open(self)
        try:
            if drain:
                self._targets = await self._source.ends()
            async with asyncio.TaskGroup() as tasks:
                turns = [self.delivery.run, self._read, self._test, self._commit_regularly]
                turns += [self._bury_letters, self._watch]
                if self._receipts is not None:
                    turns.append(self._receipts.write_regularly)
                running = [tasks.create_task(turn(), name=f"{self.name} {turn.__name__.strip('_')}") for turn in turns]
                await self._stopping.wait()
                log.info("draining", destination=self.name)
                await self.revoke()
                for task in running:
                    task.cancel()
        finally:
            await self._source.close()
            log.info("stopped", destination=self.name)

    def stop(self) -> None:
        """End `run`: what is in flight is finished, positions are committed, the group is left."""
        self._stopping.set()

    async def revoke(self) -> None:
        """Give the partitions up: finish what is in flight, commit, and hear no more of them."""
        async with self._changing:
            await self._give_up()

    async def _give_up(self) -> None:
        self._own.clear()
        self.delivery.health.drain()
        try:
            async with asyncio.timeout(self._drain):
                await self.delivery.quiet()
        except TimeoutError:
            log.warning("some calls outlasted the drain time", destination=self.name)
        with suppress(TimeoutError):  # what is not committed now is repeated by the next owner
            async with asyncio.timeout(LAST_COMMIT_SECONDS):
                for _ in range(3):
                    if await self._commit(self.trackers):
                        break
                    await asyncio.sleep(0.2)
        async with self._committing:  # a commit under way needs what the companions keep
            for companion in self._companions:
                await companion.revoked()
            trackers, self.trackers = self.trackers, []
        if self._receipts is not None:
            await self._receipts.finish()
        self._lease.lose()
        self._limits.hold(self._loop.time())
        self.final_totals = sum((Counter(tracker.totals) for tracker in trackers), Counter[str]())
        for tracker in trackers:
            tracker.close()
        self._stood_since.clear()
        self._letters = deque(letter for letter in self._letters if not letter[1].closed)
        self.delivery.scheduler.drop_closed(self._loop.time())

    async def assign(self, trackers: Sequence[OffsetTracker]) -> None:
        """Take partitions on. Nothing is sent before a first commit has proved that they are ours."""
        async with self._changing:
            await self._take_on(trackers)

    async def _take_on(self, trackers: Sequence[OffsetTracker]) -> None:
        now = self._loop.time()
        self.trackers = list(trackers)
        self.assigned = True
        if trackers:
            part = len(trackers) / max(len(trackers), sum(self._source.partitions.values()))
            self._limits.share(part, now, turn_of(trackers[0].partition))
            self.delivery.share(part)
            self._own.set()
        for companion in self._companions:
            await companion.assigned(trackers)
        await self._commit(self.trackers)
        if self._tested or not trackers:
            self._begin()
        log.info("assigned", destination=self.name, partitions=len(trackers))

    async def _test(self) -> None:
        """Run the connection test once there is a share of the rate for it: a refused destination starts blocked."""
        while not self._tested:
            await self._own.wait()
            self._tested = await self.delivery.check()
        if self._own.is_set():
            self._begin()

    def _begin(self) -> None:
        """Let calls start."""
        if not self._stopping.is_set():
            self.delivery.health.assign()
        self.delivery.wake()

    # Reading

    async def _read(self) -> None:
        while True:
            self._turned = self._loop.time()
            most = min(POLL, self._room())
            if most <= 0:
                await self._wait_for_room()
                continue
            for tracker, records in await self._source.poll(most, timeout=0.2):
                for start in range(0, len(records), STEP):
                    if not self._admit(tracker, records[start : start + STEP]):
                        break
                    self.delivery.wake()
                    await asyncio.sleep(0)
            self._source.catch_up()
            self.delivery.wake()  # also for what was read before there was no room
            if self._letters:
                self._letter_waits.set()
            await asyncio.sleep(0)  # also while nothing comes

    async def _wait_for_room(self) -> None:
        """Read nothing until a quarter of the buffer is free; polling goes on, or the group would expel the member."""
        waited = 0
        if self._crowded():
            self._commit_now.set()
        while self._room(0.75) < 0:
            await asyncio.sleep(0.005)
            waited += 1
            if waited % 200 == 0:  # about a second: pausing drops what was fetched ahead, so not for less
                self._source.pause()
                for tracker, records in await self._source.poll(1, timeout=0):
                    self._source.hand_back(tracker, records[0].offset)  # of partitions that were assigned just now
                self._turned = self._loop.time()
        self._source.resume()

    def _admit(self, tracker: OffsetTracker, records: Sequence[Record]) -> bool:
        """Whether there was room for all of them."""
        now = self._loop.time()
        for record in records:
            if tracker.closed:
                return False
            if not tracker.admits(record.offset) or self.delivery.scheduler.size >= self._buffer_bytes:
                self._source.hand_back(tracker, record.offset)
                return False
            if tracker.admit(record.offset):
                self._accept(record, tracker, now)
        return True

    def _accept(self, record: Record, tracker: OffsetTracker, now: float) -> None:
        """Make a message of a record, or settle it with its reason."""
        made = self._make(record, tracker)
        if isinstance(made, Message):
            self._take(made, now)
        elif isinstance(made, Filtered):
            self.delivery.filtered[made.reason] += 1
            self._meters.filtered.inc()
            tracker.settle(record.offset, "filtered")
        else:
            self._letters.append((record, tracker, made))

    def _take(self, message: Message, now: float) -> None:
        """Have it sent when its turn comes."""
        self.delivery.scheduler.add(message, now)

    def _room(self, share: float = 1.0) -> int:
        """How many more records may be read into this *share* of the buffer; negative where it holds more."""
        if self.delivery.scheduler.size >= self._buffer_bytes * share or self._crowded():
            return -1
        return int(self._buffer * share) - self._unsettled()

    def _crowded(self) -> bool:
        return any(companion.crowded for companion in self._companions)

    def _unsettled(self) -> int:
        return sum(tracker.unsettled for tracker in self.trackers)

    # Burying what could not be read

    async def _bury_letters(self) -> None:
        """Records that no message could be made of: buried side by side, as there is no order among them."""
        while True:
            await self._letter_waits.wait()
            self._letter_waits.clear()
            while self._letters:
                letters = [self._letters.popleft() for _ in range(min(100, len(self._letters)))]
                async with asyncio.TaskGroup() as burials:
                    for record, tracker, rejected in letters:
                        burials.create_task(self._bury_letter(record, tracker, rejected))

    async def _bury_letter(self, record: Record, tracker: OffsetTracker, rejected: Rejected) -> None:
        bury = Bury(rejected.reason, rejected.detail)
        with self.delivery.busy():
            await self._burials.bury(record, bury, attempts=0, first_failed_at=None)
        if not tracker.closed:
            self._meters.dead_lettered.inc()
        tracker.settle(record.offset, "dead_lettered")

    # Committing

    async def _commit_regularly(self) -> None:
        """What the last commit does not say is seldom older than `commit_every`: its own time counts twice for that."""
        took = 0.0
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(max(self._commit_every - 2 * took, self._commit_every / 2)):
                    await self._commit_now.wait()
            self._commit_now.clear()
            began = self._loop.time()
            changed = [tracker for tracker in self.trackers if tracker.changed]
            if not changed and self.trackers and self._lease.stale(began):
                changed = self.trackers[:1]  # nothing new, but a proof that we are still a member
            await self._commit(changed)
            took = self._loop.time() - began
            if self._targets is not None and self._reached(self._targets):
                self.stop()

    async def _commit(self, trackers: Sequence[OffsetTracker]) -> bool:
        """Whether the broker took the commit; a failure is counted and left to the next turn."""
        async with self._committing:
            ours = set(self.trackers)
            marks = [Mark.of(tracker) for tracker in trackers if tracker in ours]  # others were given up meanwhile
            if not marks:
                return True
            try:
                for companion in self._companions:
                    await companion.flush()
                sent_at = self._loop.time()
                await self._source.commit(marks)
            except CommitFailed as error:
                self._meters.commits_failed.inc()
                log.warning("commit failed", destination=self.name, error=str(error))
                return False
            self._meters.commits_ok.inc()
            if self._receipts is not None:
                self._receipts.note(marks)
            lapsed = not self._lease.holds(self._loop.time())  # since it was sent, too: senders may sleep
            self._lease.prove(sent_at)
            if lapsed:
                self.delivery.wake()
            return True

    def _reached(self, targets: dict[Partition, int]) -> bool:
        if not self.assigned or self._source.rebalancing:
            return False
        return all(tracker.position >= targets.get((tracker.topic, tracker.partition), 0) for tracker in self.trackers)

    # Watching

    async def _watch(self) -> None:
        """Once a second: partitions that stand at their window, and what the metrics show."""
        while True:
            await asyncio.sleep(1.0)
            standing = [tracker for tracker in self.trackers if self._source.at_window(tracker)]
            if standing and self.delivery.scheduler.all_delayed():
                await self.delivery.check()  # nobody else is let in who could tell their fault
            now = self._loop.time()
            self._state(now)
            runs = self.delivery.health.permit(now) is Permit.ALL  # also while nothing else is left
            self._stood_since = {t: self._stood_since.get(t, now) for t in standing} if runs else {}
            overdue = [tracker for tracker, since in self._stood_since.items() if now - since >= AT_WINDOW_SECONDS]
            holding = self._holding() if overdue else {}
            for tracker in overdue:
                if tracker in holding:
                    await self._bury_early(holding[tracker])
            if self.trackers:
                self._meters.oldest_pending.observe(self._oldest_pending())

    async def _bury_early(self, message: Message) -> None:
        if (bury := self.delivery.health.bury_early(message)) is not None:
            record = message.record
            log.warning("buried early", destination=self.name, partition=record.partition, offset=record.offset)
            await self.delivery.bury_waiting(message, bury)

    def _state(self, now: float) -> State:
        return self.delivery.health.state(now, all_delayed=self.delivery.scheduler.all_delayed())

    def _oldest_pending(self) -> float:
        oldest = min((message.record.timestamp for message in self.delivery.scheduler.heads()), default=None)
        return 0.0 if oldest is None else max(0.0, self._wall() - oldest / 1000)

    def snapshot(self) -> DestinationState:
        """How the destination is doing, for people and their tools."""
        now = self._loop.time()
        state = self._state(now)
        health = self.delivery.health
        held = self._holding()
        partitions = tuple(self._partition(tracker, held.get(tracker)) for tracker in self.trackers)
        testing = bool(self.trackers) and not self._tested and state is not State.PAUSED
        return DestinationState(
            state="unassigned" if testing or not self.assigned else str(state),
            reason="the connection test is under way" if testing else health.reason(),
            since=datetime.fromtimestamp(self._wall() - (now - health.since), UTC).isoformat(timespec="seconds"),
            assigned=self.assigned,
            lag=sum(partition.lag for partition in partitions),
            pending=self._unsettled(),
            in_flight=self.delivery.in_flight,
            concurrency=self.delivery.concurrency,
            oldest_pending_seconds=self._oldest_pending(),
            seconds_since_turn=0.0 if self._source.rebalancing else now - self._turned,
            partitions=partitions,
        )

    def _holding(self) -> dict[OffsetTracker, Message]:
        """The messages that failed and wait at their partition's position."""
        heads = self.delivery.scheduler.delayed_heads()
        return {message.tracker: message for message in heads if message.record.offset == message.tracker.position}

    def _partition(self, tracker: OffsetTracker, message: Message | None) -> PartitionState:
        end = self._source.end(tracker)
        holding = None
        if tracker.unsettled:
            holding = Holding(tracker.position, message.failure if message else "waiting for its turn or its answer")
        return PartitionState(tracker.topic, tracker.partition, tracker.position, end, end - tracker.position, holding)
