"""The program's own path without a broker and without HTTP: records in memory, a vendor that answers at once.

Source and vendor are made here; decoding, mapping, scheduling, settling, watching and the commits' text are the
product's. What is left out is what Kafka and HTTP cost, which is the same however many keys or partitions there are.
"""

import asyncio
import gc
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, cast

import orjson

from benchmarks.remembered import Kept
from stream.core.health import Health
from stream.core.lease import Lease
from stream.core.limits import RateLimits
from stream.core.offsets import Mark, OffsetTracker
from stream.core.outcomes import DELIVERED, Outcome, Retry
from stream.core.records import Batch, Record, StandIn
from stream.core.retry import Backoff
from stream.core.scheduler import Scheduler
from stream.delivery import Burials, Delivery
from stream.destinations.attio.client import Attio
from stream.destinations.attio.settings import AttioSettings
from stream.destinations.base import Check
from stream.http.client import Client
from stream.kafka.source import Partition
from stream.messages import Messages
from stream.pipeline import Pipeline
from stream.runtime import new_loop
from stream.settings.mappings import mapping_of
from stream.telemetry.metrics import Meters
from stream.topics.traits import Traits

WINDOW = 23_600  # the largest there is
BUFFER = 20_000  # room for the most delayed keys and as many others
WARM_UP = 5_000  # events before the clock starts: the first ones fill caches
REPORT = 0.5  # seconds between two looks at how it is going, as workers report it
TICK = 0.005
FIRST_ABOVE = 2  # offsets 0 and 1 are of a contact that is delivered and of one that is stuck
STUCK = "stuck"  # contacts whose calls always fail


@dataclass(frozen=True, slots=True)
class Size:
    """How much there is of what cost may grow with."""

    events: int = 200_000
    keys: int = 10_000
    partitions: int = 12
    delayed: int = 0  # keys whose call failed, and that wait all the while
    above: int = 0  # offsets that are settled above each position when the clock starts
    remembered: int = 0  # users whose traits are remembered; 0: nobody's are, and no event's


@dataclass(frozen=True, slots=True)
class Cost:
    """What it took."""

    cpu_us_per_event: float  # user and system time of the process, all threads
    commits: int
    longest_stall_ms: float  # for which the loop served nothing else
    peak_mb: float  # of resident memory, the events and their making included


class Log:
    """Partitions to read: at first the events of contacts that are stuck."""

    def __init__(self, size: Size) -> None:
        self.size = size
        self.partitions = {"events": size.partitions}
        self.rebalancing = False
        self.commits = 0
        self.trackers = [tracker(partition, size) for partition in range(size.partitions)]
        self._now = int(time.time() * 1000)
        self._values = [stuck(size, partition) for partition in range(size.partitions)]
        self._turn = 0

    async def open(self, owner: Pipeline) -> None:
        await owner.assign(self.trackers)

    async def close(self) -> None: ...

    async def poll(self, most: int, timeout: float) -> list[tuple[OffsetTracker, Sequence[Record]]]:
        """Of one partition after the other, as a consumer hands out what it has fetched of each."""
        for _ in range(self.size.partitions):
            self._turn = (self._turn + 1) % self.size.partitions
            if left := self._values[self._turn]:
                return [(self.trackers[self._turn], self._records(left, most))]
        await asyncio.sleep(min(timeout, 0.01))
        return []

    @property
    def exhausted(self) -> bool:
        """Whether there is nothing left to read."""
        return not any(self._values)

    def append(self, made: Sequence[list[bytes]]) -> None:
        """More to read in each partition, last first, once what was there before is read."""
        for left, more in zip(self._values, made, strict=True):
            assert not left
            left += more

    def _records(self, left: list[bytes], most: int) -> list[Record]:
        tracker, now = self.trackers[self._turn], self._now
        found, left[-most:] = left[-most:], []
        first = tracker.next_offset
        if first == FIRST_ABOVE:
            first += self.size.above
        return [
            StandIn(value, now, tracker.topic, tracker.partition, first + n) for n, value in enumerate(reversed(found))
        ]

    def hand_back(self, tracker: OffsetTracker, offset: int) -> None:
        raise RuntimeError(f"{tracker} has no room for {offset}: the size does not fit its window")

    def at_window(self, tracker: OffsetTracker) -> bool:
        return not tracker.admits(tracker.next_offset)

    def catch_up(self) -> None: ...
    def pause(self) -> None: ...
    def resume(self) -> None: ...

    def end(self, tracker: OffsetTracker) -> int:
        return tracker.next_offset

    async def ends(self) -> dict[Partition, int]:
        return {}

    async def commit(self, marks: Sequence[Mark]) -> None:
        self.commits += 1
        for mark in marks:
            mark.tracker.committed(mark)


def tracker(partition: int, size: Size) -> OffsetTracker:
    """As after a restart, where there was something above the position."""
    return OffsetTracker("events", partition, 0, window=WINDOW, done=range(FIRST_ABOVE, FIRST_ABOVE + size.above))


def stuck(size: Size, partition: int) -> list[bytes]:
    """The events of contacts that never get through, last first; another's between any two, so that it is no outage."""
    count = size.delayed // size.partitions + (partition < size.delayed % size.partitions)
    names = [(f"{STUCK}.{partition}.{n}", f"between.{partition}.{n}") for n in range(max(count, size.above > 0))]
    return [event(name, 0) for pair in reversed(names) for name in pair]


def values(size: Size, count: int) -> list[list[bytes]]:
    """So many events by partition, last first. Each key has equally many, in an order of its own each time."""
    chance, order = Random(1), list(range(size.keys))
    made: list[list[bytes]] = [[] for _ in range(size.partitions)]
    for number in range(count):
        if number % size.keys == 0:
            chance.shuffle(order)
        contact = order[number % size.keys]
        made[contact % size.partitions].append(event(f"contact.{contact}", number))
    for partition in made:
        partition.reverse()
    return made


def event(contact: str, number: int) -> bytes:
    """An envelope with what Attio's preset reads, and what it passes over."""
    return orjson.dumps(
        {
            "type": "identify",
            "userId": contact,
            "messageId": f"{contact}-{number}",
            "timestamp": "2026-01-01T10:30:00.125Z",
            "traits": {
                "email": f"{contact.capitalize()}@example.com ",
                "first_name": "Ada",
                "last_name": "Andersson",
                "phone": "+15558670000",
                "job_title": str(number),
                "plan": "team",
            },
            "context": {
                "locale": "en-US",
                "ip": "192.0.2.17",
                "userAgent": "Mozilla/5.0 (X11; Linux x86_64; rv:143.0) Gecko/20100101 Firefox/143.0",
                "page": {"url": "https://www.example.com/account/settings", "title": "Your account"},
                "consent": {"canonical": {"marketing": True}},
            },
        }
    )


class Vendor(Attio):
    """Attio, that answers without being asked over HTTP."""

    async def send(self, batch: Batch) -> list[Outcome]:
        await asyncio.sleep(0)
        [message] = batch.messages
        return [Retry("busy", 503) if message.key.startswith(STUCK) else DELIVERED]

    async def check(self) -> AsyncIterator[Check]:
        yield Check("token", ok=True, text="fine")


def cost(size: Size) -> Cost:
    """What the events of this size cost, from after the warm-up to the last one settled."""
    with (
        tempfile.TemporaryDirectory(prefix="crmstream-growth-") as folder,
        asyncio.Runner(loop_factory=new_loop) as runner,
    ):
        return runner.run(_run(size, Path(folder)))


async def _run(size: Size, folder: Path) -> Cost:
    log, made = Log(size), values(size, size.events)
    pipeline = assembled(log, folder)
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)  # as the program does
    watch = Watch(pipeline)
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(work()) for work in (pipeline.run, watch.report, watch.tick)]
        await _until(lambda: watch.delayed() >= max(size.delayed, size.partitions * (size.above > 0)))
        log.append(values(size, WARM_UP))
        await _until(lambda: log.exhausted and pipeline.snapshot().pending == watch.delayed())
        before, commits, watch.longest = settled(log), log.commits, 0.0
        log.append(made)
        used = -time.process_time()
        await _until(lambda: settled(log) >= before + size.events)
        used += time.process_time()
        found = Cost(1e6 * used / size.events, log.commits - commits, 1000 * watch.longest, peak_mb())
        for task in running:
            task.cancel()
    return found


def settled(log: Log) -> int:
    """How many events were delivered."""
    return sum(tracker.totals["delivered"] for tracker in log.trackers)


async def _until(reached: Callable[[], bool]) -> None:
    while not reached():  # noqa: ASYNC110 - nobody is to tell: that would be counted
        await asyncio.sleep(TICK)


class Watch:
    """Who looks on, as probes, pages and parents of workers do; and how long nobody could."""

    def __init__(self, pipeline: Pipeline) -> None:
        self.longest = 0.0
        self._pipeline = pipeline

    def delayed(self) -> int:
        """How many keys wait."""
        return sum(1 for _ in self._pipeline.delivery.scheduler.delayed_heads())

    async def report(self) -> None:
        """How it is going, for ever."""
        while True:
            await asyncio.sleep(REPORT)
            self._pipeline.snapshot()

    async def tick(self) -> None:
        """By how much a timer is late, for ever."""
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + TICK
            await asyncio.sleep(TICK)
            self.longest = max(self.longest, loop.time() - due)


def assembled(log: Log, folder: Path) -> Pipeline:
    """The pipeline, made as `stream.wiring` makes it. *folder*: where traits are remembered."""
    settings = AttioSettings.model_validate({"api_key": "benchmark", "rate_limit": None, "concurrency": 64})
    vendor, mapping = Vendor(settings, cast("Client", None)), mapping_of("attio", settings)
    state = Kept(folder, log.size.remembered) if log.size.remembered else None
    traits = Traits(state, mapping.traits, destination="attio") if state else None
    make = Messages("attio", mapping=mapping, destination=vendor, traits=traits, dialect="datafly", wall=time.time)
    lease, limits, meters = Lease(session_timeout=3600.0, drain=20.0), RateLimits({"": None}), Meters("attio")
    burials = cast("Burials", None)  # nothing is buried
    never: dict[str, Any] = {"attempts": 1 << 30}
    delivery = Delivery(
        vendor,
        scheduler=Scheduler(),
        health=Health(backoff=Backoff(3600.0, 3600.0, Random(1)), concurrency=64, **never),
        limit=limits.first,
        lease=lease,
        burials=burials,
        meters=meters,
        concurrency=64,
        wall=time.time,
    )
    return Pipeline(
        "attio",
        source=log,
        make=make,
        delivery=delivery,
        burials=burials,
        lease=lease,
        limits=limits,
        meters=meters,
        buffer=BUFFER,
        buffer_bytes=1 << 30,
        commit_every=0.25,
        drain=20.0,
        wall=time.time,
        companions=(state, traits) if state and traits else (),
    )


def peak_mb() -> float:
    """The most memory this process has had resident."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:"))) * 1024 / 1e6
