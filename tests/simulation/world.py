"""A world in miniature: a log, a consumer group, a vendor with a ledger of its own, and the real pipeline in between.

Kafka and the vendor are simulated, deterministically, from one seed; pipeline, delivery and core are the product's.
The invariants of the design's section 4 are checked while it runs, against what the vendor and the log know.
"""

import asyncio
import contextlib
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from random import Random

import orjson

from stream.adapting import AdaptiveDelivery
from stream.core.concurrency import INITIAL
from stream.core.health import EARLY_BURIAL, Bury, Health
from stream.core.lease import Lease
from stream.core.limits import BurialLimit, RateLimits
from stream.core.offsets import METADATA_LIMIT, Mark, OffsetTracker, decode, restore
from stream.core.outcomes import DELIVERED, Blocked, Filtered, Outcome, Refused, Rejected, Retry, Throttled
from stream.core.records import Batch, Fields, Message, Record
from stream.core.retry import Backoff
from stream.core.scheduler import Scheduler
from stream.delivery import Delivery
from stream.destinations.base import Calls, Check
from stream.http import NotSent, Request, Unanswered
from stream.kafka.source import CommitFailed, Partition, is_crowded
from stream.pipeline import Pipeline
from stream.telemetry.metrics import Meters

SESSION = 10.0
DRAIN = 20.0


@dataclass(frozen=True, slots=True)
class SimRecord:
    """A record of the simulated log; its value says what the vendor will think of it."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()

    @property
    def place(self) -> tuple[int, int]:
        return self.partition, self.offset


@dataclass(slots=True)
class Plan:
    """What kind of world this is; drawn from the seed."""

    partitions: int = 3
    records: int = 400
    keys: int = 40
    window: int = 60
    buffer: int = 80
    concurrency: int = 6
    adaptive: bool = False  # up to so many are found by measuring
    items: int = 1
    coalesce: bool = False
    rate: float | None = None
    latency: float = 0.02
    poison_keys: int = 0  # always answered by a failure
    bad_share: float = 0.0  # records that are rejected
    filtered_share: float = 0.05
    malformed_share: float = 0.02
    gap_share: float = 0.05
    flaky: float = 0.0  # calls that fail for no reason
    give_up_after: float | None = None
    outages: list[tuple[float, float, str]] = field(default_factory=list)  # from, to, kind
    kills: list[float] = field(default_factory=list)
    leaves: list[float] = field(default_factory=list)
    joins: list[float] = field(default_factory=list)
    commit_failures: float = 0.0


def plan(seed: int) -> Plan:
    """The world of a seed."""
    random = Random(seed)
    made = Plan(
        partitions=random.randint(1, 6),
        records=random.choice([150, 300, 500]),
        keys=random.choice([1, 3, 20, 60]),
        window=random.choice([8, 30, 100, 1000]),
        buffer=random.choice([10, 50, 200]),
        concurrency=random.choice([1, 4, 16]),
        items=random.choice([1, 1, 7]),
        coalesce=random.random() < 0.3,
        rate=random.choice([None, None, 40.0]),
        latency=random.choice([0.0, 0.02, 0.5]),
        poison_keys=random.choice([0, 0, 1, 2]),
        bad_share=random.choice([0.0, 0.0, 0.05]),
        flaky=random.choice([0.0, 0.0, 0.1, 0.3]),
        commit_failures=random.choice([0.0, 0.1, 0.5]),
    )
    if made.poison_keys > 1 or made.keys == made.poison_keys:
        made.give_up_after = 60.0  # with nobody else's calls to tell by, nothing else ends them
    for kind in ("down", "refused", "throttled", "blocked", "half_open"):
        if random.random() < 0.35:
            start = random.uniform(0, 20)
            made.outages.append((start, start + random.choice([2.0, 30.0, 200.0]), kind))
    span = random.choice([0.5, 3.0, 40.0])  # most worlds are busy only at first
    made.joins = [random.uniform(0, span) for _ in range(random.choice([0, 1, 2]))]
    made.leaves = [random.uniform(0, span) for _ in range(random.choice([0, 0, 1, 2]))]
    made.kills = [random.uniform(0, span) for _ in range(random.choice([0, 0, 1, 2]))]
    made.adaptive = made.concurrency > 1 and random.random() < 0.5
    return made


class Broken(AssertionError):
    """An invariant did not hold."""


class World:
    """Everything outside the product, and what it saw."""

    def __init__(self, seed: int, made: Plan | None = None) -> None:
        self.random = Random(seed * 7919 + 1)
        self.plan = made or plan(seed)
        self.loop = asyncio.get_running_loop()
        self.start = self.loop.time()
        self.logs = self._make_logs()
        self.committed: dict[Partition, tuple[int, str]] = {("events", p): (0, "") for p in range(self.plan.partitions)}
        self.delivered: Counter[tuple[int, int]] = Counter()  # by place, as the vendor saw it
        self.first_deliveries: dict[tuple[int, str], list[int]] = defaultdict(list)
        self.buried: dict[tuple[int, int], str] = {}
        self.attempts: dict[tuple[int, int], int] = {}  # failed calls of what was buried
        self.happened: Counter[str] = Counter()
        self.members: list[Member] = []
        self.generation = 0
        self.rebalancing = asyncio.Lock()
        self.vendor_in_flight: Counter[int] = Counter()
        self.requests: list[float] = []
        self.delivered_at: list[tuple[float, str]] = []
        self.buried_at: list[float] = []

    # The log

    def _make_logs(self) -> list[list[SimRecord]]:
        logs: list[list[SimRecord]] = [[] for _ in range(self.plan.partitions)]
        offsets = [0] * self.plan.partitions
        poisoned = Counter({f"k{n}": 5 for n in range(self.plan.poison_keys)})
        for number in range(self.plan.records):
            key = f"k{self.random.randrange(self.plan.keys)}"
            partition = hash_key(key) % self.plan.partitions
            if self.random.random() < self.plan.gap_share:
                offsets[partition] += self.random.choice([1, 2, 15])
            kind = self._kind(poisoned[key] > 0)
            poisoned[key] -= kind == "poison"
            value = orjson.dumps({"key": key, "kind": kind, "n": number})
            at = int(self.start * 1000)
            logs[partition].append(SimRecord("events", partition, offsets[partition], at, key.encode(), value))
            offsets[partition] += 1
        return logs

    def _kind(self, poison: bool) -> str:
        draw = self.random.random()
        if draw < self.plan.malformed_share:
            return "malformed"
        if draw < self.plan.malformed_share + self.plan.filtered_share:
            return "filtered"
        if poison:
            return "poison"
        return "bad" if self.random.random() < self.plan.bad_share else "good"

    def end(self, partition: int) -> int:
        return self.logs[partition][-1].offset + 1 if self.logs[partition] else 0

    def kind(self, record: Record) -> str:
        return str(orjson.loads(record.value or b"")["kind"])

    # The vendor

    def condition(self) -> str:
        now = self.loop.time() - self.start
        return next((kind for begin, end, kind in self.plan.outages if begin <= now < end), "well")

    async def answer(self, batch: Batch, member: "Member") -> Sequence[Outcome]:
        if member.dead:
            raise Broken("a killed member sent a call")
        if batch.started > member.proved_at + SESSION / 2:
            raise Broken("a member sent a call without a fresh commit")
        self.requests.append(self.loop.time())
        keys = [message.key for message in batch]
        if len(set(keys)) != len(keys):
            raise Broken("a key is twice in a batch")
        self.vendor_in_flight[member.number] += 1
        if self.vendor_in_flight[member.number] > self.plan.concurrency:
            raise Broken("more calls in flight than allowed")
        if self.plan.adaptive and self.vendor_in_flight[member.number] > INITIAL:
            self.happened["adapted"] += 1
        try:
            await asyncio.sleep(self.random.uniform(0, 2) * self.plan.latency)
            return self._verdicts(batch)
        finally:
            self.vendor_in_flight[member.number] -= 1

    def _verdicts(self, batch: Batch) -> Sequence[Outcome]:
        condition = self.condition()
        self.happened[condition] += 1
        if condition == "down":
            raise NotSent("down")
        if condition == "refused":
            return [Retry("503", 503)] * len(batch)
        if condition == "throttled":
            return [Throttled(self.random.choice([None, 0.5, 3.0]))] * len(batch)
        if condition == "blocked":
            return [Blocked("401 revoked", 401)] * len(batch)
        if condition == "half_open":
            if self.random.random() < 0.5:
                self._take(batch)
            raise Unanswered("cut")
        if self.random.random() < self.plan.flaky:
            self.happened["flaky"] += 1
            return [Retry("500", 500)] * len(batch)
        bad = [m for m in batch if self._worst(m) == "bad"]
        if bad and len(batch) > 1 and self.random.random() < 0.5:
            self.happened["refused batch"] += 1
            raise Refused(Rejected("one is bad", 400))
        return [self._verdict(message) for message in batch]

    def _verdict(self, message: Message) -> Outcome:
        match self._worst(message):
            case "poison":
                self.happened["poison"] += 1
                return Retry("500 for this one", 500)
            case "bad":
                return Rejected("400", 400)
            case _:
                self._take_one(message)
                return DELIVERED

    def _worst(self, message: Message) -> str:
        kinds = {self.kind(part.record) for part in message.parts or (message,)}
        return "poison" if "poison" in kinds else "bad" if "bad" in kinds else "good"

    def _take(self, batch: Batch) -> None:
        for message in batch:
            if self._worst(message) == "good":
                self._take_one(message)

    def _take_one(self, message: Message) -> None:
        if len(message.parts) > 1:
            self.happened["merged"] += 1
        for part in message.parts or (message,):
            place = part.record.partition, part.record.offset
            if not self.delivered[place]:
                self.first_deliveries[part.record.partition, part.key].append(part.record.offset)
            else:
                self.happened["repeated"] += 1
            self.delivered[place] += 1
            self.delivered_at.append((self.loop.time(), part.key))

    # The group

    async def join(self) -> "Member":
        member = Member(self, len(self.members))
        self.members.append(member)
        member.task = asyncio.create_task(member.pipeline.run(), name=f"member-{member.number}")
        await asyncio.sleep(0)
        await self.rebalance()
        return member

    async def leave(self, member: "Member") -> None:
        """A clean stop: SIGTERM."""
        self.happened["left"] += 1
        member.pipeline.stop()
        await member.task
        member.dead = True
        await self.rebalance()

    async def kill(self, member: "Member") -> None:
        """kill -9: every await of the member is cancelled, nothing is said to anyone for a session timeout."""
        self.happened["killed"] += 1
        self.happened["killed in flight"] += self.vendor_in_flight[member.number]
        member.dead = True
        member.task.cancel()
        with contextlib.suppress(asyncio.CancelledError, BaseExceptionGroup):
            await member.task
        await asyncio.sleep(SESSION)
        await self.rebalance()

    async def rebalance(self) -> None:
        async with self.rebalancing:
            self.happened["rebalance"] += 1
            living = [member for member in self.members if not member.dead]
            await asyncio.gather(*(member.give_up() for member in living))
            self.generation += 1
            for number, member in enumerate(living):
                member.generation = self.generation
                await member.take_on([p for p in range(self.plan.partitions) if p % len(living) == number])

    def commit(self, member: "Member", mark: Mark) -> None:
        """The broker takes a commit; the world checks it against what the vendor and the letters say."""
        tracker, position, metadata = mark.tracker, mark.position, mark.metadata
        if len(metadata) > METADATA_LIMIT:
            raise Broken("metadata too long")
        _, above = decode(position, metadata)
        for record in self.logs[tracker.partition]:
            claimed = record.offset < position or record.offset in above
            if claimed and not self.is_settled(record):
                raise Broken(
                    f"member {member.number} committed {record.place} ({self.kind(record)}), which is not settled"
                )
        counted = sum(tracker.totals.values())
        if counted != position - tracker.origin + len(above):
            raise Broken("the counters do not add up")
        if position < self.committed["events", tracker.partition][0]:
            raise Broken("a position went back")
        self.committed["events", tracker.partition] = position, metadata

    def is_settled(self, record: SimRecord) -> bool:
        return self.kind(record) == "filtered" or bool(self.delivered[record.place]) or record.place in self.buried

    def is_done(self) -> bool:
        return all(self.committed["events", p][0] >= self.end(p) for p in range(self.plan.partitions))

    def check_end(self) -> None:
        """What must be true once everything is settled."""
        for log in self.logs:
            for record in log:
                self._check_record(record)
        for (_, key), offsets in self.first_deliveries.items():
            if offsets != sorted(offsets):
                raise Broken(f"{key} out of order: {offsets}")
        for p in range(self.plan.partitions):
            totals, _ = decode(*self.committed["events", p])
            if sum(totals.values()) != self.end(p):
                raise Broken(f"partition {p}: {totals} of {self.end(p)}")
            if totals and totals["absent"] != self.end(p) - len(self.logs[p]):
                raise Broken(f"partition {p}: {totals['absent']} absent")
        self._check_rate()
        clean = not (self.plan.kills or self.plan.outages or self.plan.commit_failures)
        if clean and self.happened["repeated"]:
            raise Broken("repeats without a crash or an unanswered call")

    def _check_rate(self) -> None:
        """No second saw more requests than the limit allows, whoever sent them."""
        if self.plan.rate is None:
            return
        for first, later in zip(self.requests, self.requests[int(self.plan.rate * 1.1) + 2 :], strict=False):
            if later - first < 1.0:
                raise Broken(f"more than {self.plan.rate} requests in a second")

    def _check_record(self, record: SimRecord) -> None:
        kind, why = self.kind(record), self.buried.get(record.place)
        if kind == "good" and not self.delivered[record.place] and not self._may_be_exhausted(record):
            raise Broken(f"{record.place} good, delivered {self.delivered[record.place]} times, buried as {why}")
        expected = {"bad": "rejected", "malformed": "undecodable", "poison": "exhausted"}.get(kind)
        if expected and why != expected and not self._may_be_exhausted(record):
            raise Broken(f"{record.place} {kind}, buried as {why}")
        if kind == "filtered" and (why or self.delivered[record.place]):
            raise Broken(f"{record.place} should have been filtered")

    def _may_be_exhausted(self, record: SimRecord) -> bool:
        """Whether a record that deserved better may end so: its contact is sick, the user gave up on time, or a flaky
        vendor failed it often enough while its partition stood at its window."""
        if self.buried.get(record.place) != "exhausted":
            return False
        crowded = bool(self.plan.flaky and self.happened["handed back"] and self.attempts[record.place] >= EARLY_BURIAL)
        return crowded or self.plan.give_up_after is not None or self._is_sick(record)

    def _is_sick(self, record: SimRecord) -> bool:
        """Whether its contact had buried messages before: then one failed attempt is enough."""
        return any(
            other.key == record.key and self.buried.get(other.place) == "exhausted"
            for other in self.logs[record.partition]
            if other.offset < record.offset
        )


class Member:
    """One process of the group: the real pipeline on a simulated source."""

    def __init__(self, world: World, number: int) -> None:
        made = world.plan
        self.world = world
        self.number = number
        self.dead = False
        self.generation = -1
        self.proved_at = float("-inf")
        self.task: asyncio.Task[None]
        self.source = SimSource(self)
        lease = Lease(session_timeout=SESSION, drain=DRAIN)
        limits = RateLimits({"": made.rate}, world.loop.time())
        self.limit = limits.first
        health = Health(
            backoff=Backoff(0.5, 60.0, Random(number)),
            concurrency=made.concurrency,
            give_up_after=made.give_up_after,
            burials=BurialLimit(100, 1000),
        )
        vendor = SimVendor(self)
        scheduler = Scheduler(
            items=made.items, linger=0.05 if made.items > 1 else 0.0, merge=merge if made.coalesce else None
        )
        meters = Meters("sim")
        delivery = (AdaptiveDelivery if made.adaptive else Delivery)(
            vendor,
            scheduler=scheduler,
            health=health,
            limit=limits.first,
            lease=lease,
            burials=self,
            meters=meters,
            concurrency=made.concurrency,
            wall=world.loop.time,
        )
        self.pipeline = Pipeline(
            "sim",
            source=self.source,
            make=make,
            delivery=delivery,
            burials=self,
            lease=lease,
            limits=limits,
            meters=meters,
            buffer=made.buffer,
            buffer_bytes=1 << 20,
            commit_every=0.25,
            drain=DRAIN,
            wall=world.loop.time,
        )

    async def bury(self, record: Record, bury: Bury, *, attempts: int, first_failed_at: float | None) -> None:
        await asyncio.sleep(self.world.random.uniform(0, 0.02))
        if self.dead:
            raise Broken("a killed member buried something")
        self.world.buried[record.partition, record.offset] = bury.reason
        self.world.attempts[record.partition, record.offset] = attempts
        self.world.buried_at.append(self.world.loop.time())
        self.world.happened[f"buried {bury.reason}"] += 1

    async def give_up(self) -> None:
        self.source.ready.clear()
        await self.pipeline.revoke()
        self.source.assigned.clear()

    async def take_on(self, partitions: list[int]) -> None:
        self.source.assigned = {
            p: restore("events", p, *self.world.committed["events", p], window=self.world.plan.window)
            for p in partitions
        }
        self.source.cursors = {p: tracker.position for p, tracker in self.source.assigned.items()}
        self.source.paused.clear()
        self.world.happened["restored above"] += sum(t.settled_above for t in self.source.assigned.values())
        await self.pipeline.assign(list(self.source.assigned.values()))
        self.source.ready.set()


class SimSource:
    """What the real source promises, on the world's log."""

    def __init__(self, member: Member) -> None:
        self.member = member
        self.world = member.world
        self.partitions = {"events": self.world.plan.partitions}
        self.assigned: dict[int, OffsetTracker] = {}
        self.cursors: dict[int, int] = {}
        self.paused: dict[int, int] = {}
        self.all_paused = False
        self.ready = asyncio.Event()

    @property
    def rebalancing(self) -> bool:
        return not self.ready.is_set()

    async def open(self, owner: Pipeline) -> None:
        pass

    async def close(self) -> None:
        self.assigned.clear()

    async def poll(self, most: int, timeout: float) -> list[tuple[OffsetTracker, Sequence[Record]]]:
        await self.ready.wait()
        for p, offset in list(self.paused.items()):
            if p in self.assigned and not is_crowded(self.assigned[p], offset):
                del self.paused[p]
        found = [] if self.all_paused else self._fetch(most)
        if not found and timeout:
            await asyncio.sleep(timeout)
        return found

    def _fetch(self, most: int) -> list[tuple[OffsetTracker, Sequence[Record]]]:
        found: list[tuple[OffsetTracker, Sequence[Record]]] = []
        for p, tracker in self.assigned.items():
            if p in self.paused or most <= 0:
                continue
            records = [r for r in self.world.logs[p] if r.offset >= self.cursors[p]][:most]
            if records:
                self.cursors[p] = records[-1].offset + 1
                most -= len(records)
                found.append((tracker, records))
        return found

    def hand_back(self, tracker: OffsetTracker, offset: int) -> None:
        self.world.happened["handed back"] += 1
        self.cursors[tracker.partition] = offset
        self.paused[tracker.partition] = offset

    def at_window(self, tracker: OffsetTracker) -> bool:
        return tracker.partition in self.paused and is_crowded(tracker, self.paused[tracker.partition])

    def catch_up(self) -> None:
        pass

    def pause(self) -> None:
        self.all_paused = True

    def resume(self) -> None:
        self.all_paused = False

    def end(self, tracker: OffsetTracker) -> int:
        return self.world.end(tracker.partition)

    async def ends(self) -> dict[Partition, int]:
        return {("events", p): self.world.end(p) for p in range(self.world.plan.partitions)}

    async def commit(self, marks: Sequence[Mark]) -> None:
        sent_at = self.world.loop.time()
        if self.member.dead or self.member.generation != self.world.generation:
            raise CommitFailed("not a member")
        if self.world.random.random() < self.world.plan.commit_failures:
            self.world.happened["commit failed"] += 1
            raise CommitFailed("coordinator")
        for mark in marks:
            self.world.commit(self.member, mark)
        await asyncio.sleep(self.world.random.uniform(0, 0.01))
        self.member.proved_at = sent_at
        for mark in marks:
            mark.tracker.committed(mark)


class SimVendor(Calls):
    """The destination of the simulated vendor."""

    type = "sim"

    def __init__(self, member: Member) -> None:
        self.member = member

    def key(self, fields: Fields) -> str:
        return str(fields["key"])

    def encode(self, fields: Fields) -> bytes:
        return b"{}"

    def requests(self, batch: Batch) -> Sequence[Request]:
        return []

    async def send(self, batch: Batch) -> Sequence[Outcome]:
        await self._wait_for_the_limit()
        return await self.member.world.answer(batch, self.member)

    async def check(self) -> AsyncIterator[Check]:
        world = self.member.world
        world.happened["check"] += 1
        await self._wait_for_the_limit()
        world.requests.append(world.loop.time())
        await asyncio.sleep(0.01)
        condition = world.condition()
        if condition == "down":
            raise NotSent("down")
        if condition in ("refused", "half_open"):
            raise Unanswered("503")
        yield Check("token", ok=condition != "blocked", text=condition)

    async def _wait_for_the_limit(self) -> None:
        """As the real client does before each request."""
        wait = self.member.limit.reserve(self.member.world.loop.time())
        if wait:
            await asyncio.sleep(wait)


def make(record: Record, tracker: OffsetTracker) -> Message | Filtered | Rejected:
    """What decoding and mapping would make of it."""
    value = orjson.loads(record.value or b"")
    if value["kind"] == "malformed":
        return Rejected("not an event", reason="undecodable")
    if value["kind"] == "filtered":
        return Filtered("not_this_event")
    return Message(value["key"], value, b"{}", record, tracker, event_time=0.0)


def merge(messages: Sequence[Message]) -> Message:
    """Several upserts of one contact as one call."""
    last = messages[-1]
    return Message(last.key, last.fields, b"{}", last.record, last.tracker, last.event_time, parts=tuple(messages))


def hash_key(key: str) -> int:
    """The same in every process, unlike `hash`."""
    return sum(key.encode())


async def live(seed: int, made: Plan | None = None, *, patience: float = 30_000.0) -> World:
    """Let a world run until everything is settled; raises Broken where an invariant does not hold."""
    world = World(seed, made)
    await world.join()
    happenings = sorted(
        [(at, "join") for at in world.plan.joins]
        + [(at, "leave") for at in world.plan.leaves]
        + [(at, "kill") for at in world.plan.kills]
    )
    for at, what in happenings:
        await asyncio.sleep(max(0.0, world.start + at - world.loop.time()))
        _raise_dead(world)
        living = [member for member in world.members if not member.dead]
        if what == "join" or len(living) == 1:
            await world.join()
            living = [member for member in world.members if not member.dead]
        if what == "leave":
            await world.leave(world.random.choice(living))
        if what == "kill":
            await world.kill(world.random.choice(living))
    while not world.is_done():
        await asyncio.sleep(5)
        _raise_dead(world)
        if world.loop.time() - world.start > patience:
            raise Broken(f"stuck: {world.committed} of {[world.end(p) for p in range(world.plan.partitions)]}")
    for member in world.members:
        if not member.dead:
            member.pipeline.stop()
            await member.task
    world.check_end()
    return world


def _raise_dead(world: World) -> None:
    """A pipeline that stopped by itself says why."""
    for member in world.members:
        if not member.dead and member.task.done():
            member.task.result()
