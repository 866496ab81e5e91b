"""Reads a topic as a member of a consumer group, and commits. What is done with the records is decided by its owner.

The rules that no record is lost by are here: partitions are paused and sought before they are read, a missing or
impossible position is an error and never a silent reset, a commit never crosses a rebalance.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.coordinator.assignors.sticky.sticky_assignor import StickyPartitionAssignor
from aiokafka.errors import (
    CommitFailedError,
    IllegalStateError,
    KafkaError,
    NoOffsetForPartitionError,
    OffsetOutOfRangeError,
    UnknownMemberIdError,
)
from aiokafka.structs import OffsetAndMetadata

from stream.core.offsets import Mark, OffsetTracker, restore
from stream.core.records import Record
from stream.errors import UserError
from stream.kafka.admin import Admin, BrokerUnavailable
from stream.kafka.ending import leave
from stream.kafka.security import connection
from stream.kafka.settings import KafkaSettings

log = structlog.get_logger()
REBALANCE_SECONDS = 60  # how long the group waits for a member that is still draining
COMMIT_SECONDS = 5.0
AGAIN_SECONDS = 1.0  # between two tries to prepare an assignment
LEAVE_SECONDS = 10.0  # for the client to end; it may wait for an answer that never comes
FETCH_BYTES = 256 * 1024  # of a partition at once; what is fetched ahead comes on top of the buffer
Partition = tuple[str, int]


class CommitFailed(Exception):
    """The broker did not take a commit. Harmless around a rebalance; the next one says more."""


class Twin(UserError):
    """Two processes have one `group_instance_id`."""


class Owner(Protocol):
    """Who works with the records: told when partitions come and go."""

    async def revoke(self) -> None:
        """Finish or abandon what is in flight, commit, close the trackers. Runs while the group waits."""

    async def assign(self, trackers: Sequence[OffsetTracker]) -> None:
        """These partitions are ours now; records follow."""


@dataclass(slots=True)
class Assigned:
    """One assigned partition."""

    key: TopicPartition
    tracker: OffsetTracker
    handed_back: int | None = None  # the offset there was no room for: paused until there is


class Source:
    """One consumer group's member."""

    def __init__(
        self,
        settings: KafkaSettings,
        *,
        admin: Admin,
        topics: Sequence[str],
        group: str,
        start: Literal["earliest", "latest"],
        window: int,
        accept_loss: bool = False,
        tracker: type[OffsetTracker] = OffsetTracker,
    ) -> None:
        self._settings = settings
        self._admin = admin
        self._topics = list(topics)
        self._group = group
        self._start = start
        self._window = window
        self._accept_loss = accept_loss
        self._tracker = tracker
        self._assigned: dict[TopicPartition, Assigned] = {}
        self._generation = -1
        self._member_id = ""
        self._failure: BaseException | None = None
        self._paused_all = False
        self._ready = asyncio.Event()  # the assignment is prepared: polling may go on
        self._owner: Owner | None = None
        self._consumer: AIOKafkaConsumer | None = None
        self.partitions: dict[str, int] = {}

    async def open(self, owner: Owner) -> None:
        """Join the group. Raises UserError where a topic or the broker is missing."""
        self._owner = owner
        self.partitions = await self._admin.partitions(self._topics)
        await self._establish()
        self._consumer = self._make_consumer(
            group_instance_id=self._settings.group_instance_id,
            partition_assignment_strategy=(StickyPartitionAssignor,),
            session_timeout_ms=int(self._settings.session_timeout * 1000),
            max_partition_fetch_bytes=FETCH_BYTES,
            heartbeat_interval_ms=int(self._settings.session_timeout * 1000 / 5),
            rebalance_timeout_ms=REBALANCE_SECONDS * 1000,
        )
        await self._consumer.start()
        self._consumer.subscribe(self._topics, listener=_Listener(self))

    async def close(self) -> None:
        """Leave the group. The owner has drained and committed before."""
        if self._consumer is None:
            return
        self._assigned.clear()
        try:
            async with asyncio.timeout(LEAVE_SECONDS):
                await leave(self._consumer)
        except TimeoutError:  # all is committed: the group will find out by itself
            log.warning("left_without_farewell", group=self._group)

    @property
    def rebalancing(self) -> bool:
        """Whether the member waits for an assignment."""
        return not self._ready.is_set()

    async def poll(self, most: int, timeout: float) -> list[tuple[OffsetTracker, Sequence[Record]]]:
        """Up to *most* records, by partition. Empty after *timeout* seconds, and after a rebalance.

        Raises UserError where going on is impossible.
        """
        await self._ready.wait()
        self._raise_failure()
        self._resume_at_window()
        try:
            batches = await self._fetched(max(1, most), timeout)
        except NoOffsetForPartitionError:
            return []  # of a partition that is still being prepared
        except OffsetOutOfRangeError as error:
            await self._out_of_range(error)
            return []
        except KafkaError as error:  # aiokafka retries by itself what may pass
            await self._beware_of_a_twin()
            text = f"cannot read on as group {self._group}: {type(error).__name__}"
            raise UserError(text, "the broker's log says more; then start again") from error
        self._raise_failure()
        found = ((self._assigned.get(key), records) for key, records in batches.items())
        return [(assigned.tracker, records) for assigned, records in found if assigned is not None]

    async def _fetched(self, most: int, timeout: float) -> dict[TopicPartition, Sequence[Record]]:
        """What aiokafka has, of the partitions first that have least to do: else the buffer is full of some of them."""
        unsettled = [assigned.tracker.unsettled for assigned in self._assigned.values()]
        mean = sum(unsettled) / max(1, len(unsettled))
        if poorer := [assigned.key for assigned in self._assigned.values() if assigned.tracker.unsettled < mean]:
            batches: dict[TopicPartition, Sequence[Record]] = await self._client.getmany(*poorer, max_records=most)
            if batches:
                return batches
        return await self._client.getmany(timeout_ms=int(timeout * 1000), max_records=most)  # type: ignore[no-any-return]

    def hand_back(self, tracker: OffsetTracker, offset: int) -> None:
        """Read *offset* again later: the window, or the buffer, has no room for it."""
        assigned = self._assigned[TopicPartition(tracker.topic, tracker.partition)]
        assigned.handed_back = offset
        self._client.seek(assigned.key, offset)
        self._client.pause(assigned.key)

    def at_window(self, tracker: OffsetTracker) -> bool:
        """Whether the partition stands because the window has no room for its next record."""
        assigned = self._assigned.get(TopicPartition(tracker.topic, tracker.partition))
        return assigned is not None and assigned.handed_back is not None and is_crowded(tracker, assigned.handed_back)

    def catch_up(self) -> None:
        """Pass over what holds no records (markers of transactions), in the same step as the poll."""
        subscription = self._client._subscription.subscription  # noqa: SLF001 - `position()` gives way to other tasks
        assignment = subscription.assignment if subscription is not None else None
        if assignment is None:
            return
        for key, assigned in self._assigned.items():
            state, tracker = assignment.state_value(key), assigned.tracker
            if state is None or not state.has_valid_position or state.position <= tracker.next_offset:
                continue
            if tracker.admits(state.position - 1):
                tracker.pass_over(state.position, "absent")

    def pause(self) -> None:
        """Read nothing more until `resume`, but stay a member."""
        if not self._paused_all and self._assigned:
            self._client.pause(*self._assigned)
            self._paused_all = True

    def rejoin(self) -> None:
        """Give the partitions up and ask the group for them anew."""
        self._coordinator.request_rejoin()

    def resume(self) -> None:
        """Read again."""
        if self._paused_all:
            self._client.resume(*(a.key for a in self._assigned.values() if a.handed_back is None))
            self._paused_all = False

    def end(self, tracker: OffsetTracker) -> int:
        """The log's end as last seen; the position where nothing was fetched yet."""
        key = TopicPartition(tracker.topic, tracker.partition)
        highwater = self._client.highwater(key) if key in self._assigned else None
        return max(highwater or 0, tracker.position)

    async def ends(self) -> dict[Partition, int]:
        """The end of each partition of the topics now."""
        return await self._admin.end_offsets(self._all_partitions())

    async def commit(self, marks: Sequence[Mark]) -> None:
        """Commit what the marks say. One commit at a time; raises CommitFailed."""
        if self._coordinator.generation != self._generation:
            raise CommitFailed("the group has moved on")
        offsets = {
            TopicPartition(mark.tracker.topic, mark.tracker.partition): OffsetAndMetadata(mark.position, mark.metadata)
            for mark in marks
        }
        try:
            async with asyncio.timeout(min(COMMIT_SECONDS, self._settings.session_timeout / 2)):
                await self._client.commit(offsets)
        except (KafkaError, IllegalStateError, TimeoutError) as error:
            raise CommitFailed(type(error).__name__) from error
        for mark in marks:
            mark.tracker.committed(mark)

    # Assignment

    async def revoked(self) -> None:
        """The listener's word: the partitions are being taken away."""
        self._ready.clear()
        try:
            if self._owner is not None:
                await self._owner.revoke()
            await self._beware_of_a_twin()
        except Exception as error:
            self._fail(error)
        self._assigned.clear()
        if isinstance(self._failure, Twin):
            raise asyncio.CancelledError  # ends aiokafka's task, which would join again and put the other one out

    async def prepare(self, keys: Sequence[TopicPartition]) -> None:
        """The listener's word: these partitions are ours. Paused, restored, sought; then read."""
        try:
            self._client.pause(*keys)
            self._generation, self._member_id = self._coordinator.generation, self._coordinator.member_id
            self._coordinator._start_heartbeat_task()  # noqa: SLF001 - else it starts after us, however long we take
            while not await self._take_on(keys):  # noqa: ASYNC110 - nobody sets an event
                await asyncio.sleep(AGAIN_SECONDS)
        except Exception as error:
            self._fail(error)
        self._ready.set()

    async def _take_on(self, keys: Sequence[TopicPartition]) -> bool:
        """Whether the partitions are prepared, or no longer ours; not yet, where a broker has to be waited for."""
        if self._coordinator.generation != self._generation:
            return True  # the group has moved on meanwhile: we are about to hear of it
        try:
            self.partitions = await self._admin.partitions(self._topics)  # a topic may have grown
            trackers = await self._restore(keys)
            self._assigned = {key: Assigned(key, tracker) for key, tracker in zip(keys, trackers, strict=True)}
            for key, tracker in zip(keys, trackers, strict=True):
                self._client.seek(key, tracker.position)
            if self._owner is not None:
                await self._owner.assign(trackers)
        except BrokerUnavailable as error:
            log.warning("assignment_waits", group=self._group, reason=str(error))
            self._assigned = {}
            return False
        self._paused_all = False
        self._client.resume(*keys)
        return True

    async def _beware_of_a_twin(self) -> None:
        """Raises Twin where another process is a member under our `group_instance_id`.

        The broker then forgets our member id, and aiokafka would take the place back, in turn with the other, for ever.
        """
        name = self._settings.group_instance_id
        if name is None or not self._member_id:
            return
        try:
            members = await self._admin.members(self._group)
        except BrokerUnavailable:  # nobody knows; the next time tells
            return
        if self._member_id in members:
            return
        for member in members:
            if member.startswith(f"{name}-") and len(member) == len(self._member_id):
                raise Twin(
                    f"another process has joined group {self._group} as {name} and taken this one's place",
                    "give each process a kafka.group_instance_id of its own; `run --workers` adds -0, -1, … to it",
                )

    async def _restore(self, keys: Sequence[TopicPartition]) -> list[OffsetTracker]:
        """A tracker for each partition, at its committed position."""
        if not keys:
            return []
        committed = await self._admin.group_offsets(self._group, [(key.topic, key.partition) for key in keys])
        begins = await self._admin.begin_offsets([(key.topic, key.partition) for key in keys])
        ends = await self._admin.end_offsets([(key.topic, key.partition) for key in keys])
        trackers = []
        for topic, partition in keys:
            begin, end = begins[topic, partition], ends[topic, partition]
            if (topic, partition) not in committed:  # appeared after the group had positions
                trackers.append(self._tracker(topic, partition, begin, window=self._window))
                continue
            position, metadata = committed[topic, partition]
            tracker = restore(topic, partition, position, metadata, window=self._window, kind=self._tracker)
            if not begin <= position <= end:
                tracker = self._lost(tracker, begin, end)
            trackers.append(tracker)
        return trackers

    def _lost(self, tracker: OffsetTracker, begin: int, end: int) -> OffsetTracker:
        """The log no longer holds the position: an error, or with `--accept-loss` a counted loss."""
        place = f"{tracker.topic}/{tracker.partition}"
        if tracker.position > end:
            text = (
                f"{place}: the committed position {tracker.position} is beyond the log's end {end}; was it made anew?"
            )
        else:
            text = f"{place}: offsets {tracker.next_offset} to {begin - 1} were not delivered and are gone from the log"
        if not self._accept_loss:
            raise UserError(text, "run again with --accept-loss to go on without them, counted as lost_to_retention")
        log.warning("accepted_loss", partition=place, position=tracker.next_offset, begin=begin, end=end)
        if tracker.position > end:
            return self._tracker(tracker.topic, tracker.partition, begin, window=self._window)
        tracker.pass_over(begin, "lost_to_retention")
        return tracker

    async def _out_of_range(self, error: OffsetOutOfRangeError) -> None:
        """Retention overtook a partition while it was read."""
        for key in error.args[0]:
            assigned = self._assigned.get(key)
            if assigned is None:
                continue
            partition = [(key.topic, key.partition)]
            try:
                begin = (await self._admin.begin_offsets(partition))[key.topic, key.partition]
                end = (await self._admin.end_offsets(partition))[key.topic, key.partition]
            except BrokerUnavailable:
                return  # the next poll meets the same again
            if self._assigned.get(key) is not assigned or begin <= assigned.tracker.next_offset <= end:
                continue  # moved on meanwhile
            self._lost(assigned.tracker, begin, end)
            self._client.seek(key, assigned.tracker.next_offset)

    async def _establish(self) -> None:
        """Where the group has no position at all: resolve `source.start` once and commit it, before anyone joins."""
        keys = self._all_partitions()
        for _ in range(20):
            if await self._admin.group_offsets(self._group, keys):
                return
            offsets = await (
                self._admin.begin_offsets(keys) if self._start == "earliest" else self._admin.end_offsets(keys)
            )
            if await self._commit_without_members(offsets):
                return
            await asyncio.sleep(0.5)  # another member is doing the same
        raise UserError(f"could not commit the first positions of group {self._group}", "look at the broker's log")

    async def _commit_without_members(self, offsets: dict[Partition, int]) -> bool:
        """Commit for a group that has no members; False where it has some."""
        consumer = self._make_consumer()
        await consumer.start()
        try:
            consumer.assign([TopicPartition(*key) for key in offsets])
            first = {key: OffsetAndMetadata(at, OffsetTracker(*key, at).commit()[1]) for key, at in offsets.items()}
            await consumer.commit({TopicPartition(*key): commit for key, commit in first.items()})
        except (CommitFailedError, UnknownMemberIdError):
            return False
        finally:
            await leave(consumer)
        return True

    def _make_consumer(self, **options: Any) -> AIOKafkaConsumer:
        return AIOKafkaConsumer(
            **connection(self._settings),
            group_id=self._group,
            enable_auto_commit=False,
            auto_offset_reset="none",
            isolation_level="read_committed",
            **options,
        )

    def _resume_at_window(self) -> None:
        """Go on with the partitions that stood at their window, once a quarter of it is free."""
        if self._paused_all:
            return
        for assigned in self._assigned.values():
            if assigned.handed_back is not None and not is_crowded(assigned.tracker, assigned.handed_back):
                assigned.handed_back = None
                self._client.resume(assigned.key)

    def _all_partitions(self) -> list[Partition]:
        return [(topic, number) for topic, count in self.partitions.items() for number in range(count)]

    def _fail(self, error: BaseException) -> None:
        self._failure = error
        self._ready.set()

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure

    @property
    def _client(self) -> AIOKafkaConsumer:
        assert self._consumer is not None, "open() first"  # noqa: S101 - a bug, not a user's mistake
        return self._consumer

    @property
    def _coordinator(self) -> Any:
        return self._client._coordinator  # noqa: SLF001 - the generation is not public


def is_crowded(tracker: OffsetTracker, offset: int) -> bool:
    """Whether reading on at this offset would leave less than a quarter of the window free."""
    return tracker.unsettled > 0 and 4 * (offset - tracker.position) > 3 * tracker.window


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc]
    def __init__(self, source: Source) -> None:
        self._source = source

    async def on_partitions_revoked(self, revoked: Sequence[TopicPartition]) -> None:  # noqa: ARG002 - always all
        await self._source.revoked()

    async def on_partitions_assigned(self, assigned: Sequence[TopicPartition]) -> None:
        await self._source.prepare(sorted(assigned))
