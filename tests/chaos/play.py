"""One run from its plan to its ledger."""

import asyncio
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

import orjson
from aiokafka import AIOKafkaProducer

from tests.chaos import collecting
from tests.chaos.faults import end, strike
from tests.chaos.ledger import Fault, Ledger
from tests.chaos.plan import PRIVACY, Plan, Step
from tests.chaos.vendors import WatchedPrivacy, request_about
from tests.chaos.world import KEY, World, terms
from tests.chaos.writing import AT, Event, Writer, plain_producer, told
from tests.e2e.members import Member
from tests.kafka.broker import Broker
from tests.kafka.cluster import Cluster

DUE_SECONDS = 5.0  # after one fault is due the next comes, however little was settled meanwhile
DRAIN_SECONDS = 120.0  # for the last member to find that all is settled
STUCK_SECONDS = 60.0  # without anything being settled: then the run is over
LATE_SECONDS = 0.03  # by which this process was late: what it notes of arrivals is off by as much
STILL_SECONDS = 1.0  # late: then the machine has stood still, for members and brokers as well
ERASED = 3  # persons


Watch: TypeAlias = Callable[[World], Awaitable[None]]
"""What goes on beside a run until it is cancelled."""


@dataclass(slots=True)
class Played:
    """What came of a run."""

    plan: Plan
    ledger: Ledger
    seconds: float
    hits: Sequence[tuple[str, bool]]  # the faults in their order, and whether each hit something
    wrong: list[str] = field(default_factory=list)  # what no checker looks for

    @property
    def faults(self) -> Counter[str]:
        """How many of each kind."""
        return Counter(kind for kind, _ in self.hits)


async def play(plan: Plan, broker: Broker | Cluster, folder: Path, beside: Sequence[Watch] = ()) -> Played:
    """Carry a plan out; its topics are named for the seed and the moment. *beside*: what goes on meanwhile."""
    started = time.monotonic()
    async with AsyncExitStack() as exits:
        world = World(plan, broker, f"chaos.{plan.seed}.{time.time_ns() % 10**9}", folder, exits)
        await world.open()
        await _through(world, beside)
        world.running = False
        drained = await world.start("--drain")
        code = await _ended(world, drained)
        world.note(drained, "ended", f"exit code {code}")
        if code:
            world.wrong.append(f"the drain ended with {code}: {drained.output.strip()[-300:]}")
        await _collect(world)
    _read_outputs(world)
    return Played(plan, world.ledger, time.monotonic() - started, world.hits, world.wrong)


async def _ended(world: World, drained: Member) -> int | str:
    """How the last member ended; where it does not, what its tasks wait for is in its output."""
    try:
        return await drained.exit_code(DRAIN_SECONDS)
    except AssertionError:
        drained.signal(signal.SIGUSR1)
        await asyncio.sleep(1)
        return f"never: {DRAIN_SECONDS:g} s were not enough"


async def _through(world: World, watches: Sequence[Watch]) -> None:
    """Events, faults and members, until all is settled or nothing moves."""
    places = [(topic, number) for topic in set(world.group_topics.values()) for number in range(world.plan.partitions)]
    groups = {name: f"{world.topic}.{name}" for name in world.plan.destinations}
    async with AsyncExitStack() as beside:
        for name, topic in world.group_topics.items():
            theirs = [place for place in places if place[0] == topic]
            await beside.enter_async_context(
                collecting.sampling(world.broker, {name: groups[name]}, theirs, world.ledger.commits)
            )
        await beside.enter_async_context(_running(world.watch_members()))
        for watch in (_watch_ourselves, *watches):
            await beside.enter_async_context(_running(watch(world)))
        async with asyncio.TaskGroup() as tasks:
            for _ in range(world.plan.members):
                await world.start()
            if world.plan.every is not None:
                world.sheltered.add(next(iter(world.members)))
            writer = Writer(world.broker.bootstrap, world.topic, world.plan, world.ledger.acknowledged)
            if world.plan.pace is None:
                await writer.write()
            await world.assigned()
            if world.plan.pace is not None:
                tasks.create_task(writer.write(done=lambda: len(world.hits) == len(world.plan.steps)))
            if PRIVACY in world.plan.destinations:
                producer = await beside.enter_async_context(plain_producer(world.broker.bootstrap))
                tasks.create_task(_erase(world, producer))
            for step in world.plan.steps:
                await _due(world, step)
                tasks.create_task(strike(world, step))
        await _settle(world)
        leaving = [each for each in world.members if each.running]
        world.busy.update(leaving)
        await asyncio.gather(*(end(world, member) for member in leaving))


async def _due(world: World, step: Step) -> None:
    """Return when it is time for a fault."""
    if world.plan.every is not None:
        await asyncio.sleep(world.plan.every)
        return
    last = time.monotonic()
    wanted = step.share * world.plan.events
    while world.settled < wanted and time.monotonic() < last + DUE_SECONDS:  # noqa: ASYNC110 - nobody sets an event
        await asyncio.sleep(0.02)


@asynccontextmanager
async def _running(work: object) -> AsyncIterator[None]:
    """Something that goes on beside; it fails the run where it fails."""
    task = asyncio.ensure_future(work)  # type: ignore[call-overload]
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])
    if not task.cancelled() and task.exception():
        raise task.exception()


async def _watch_ourselves(world: World) -> None:
    """Note when this process was late: calls that it sees at once may have come one after the other."""
    while True:
        due, since = time.monotonic() + 0.01, time.time()
        await asyncio.sleep(0.01)
        late = time.monotonic() - due
        if late > LATE_SECONDS:
            world.ledger.faults.append(Fault("late", since, time.time()))
        if late > STILL_SECONDS:
            world.ledger.faults.append(Fault("machine", since, time.time()))


async def _erase(world: World, producer: AIOKafkaProducer) -> None:
    """Ask for the deletion of some of the contacts while their events are on their way."""
    vendor = world.vendors[PRIVACY]
    assert isinstance(vendor, WatchedPrivacy)
    for number in world.random.sample(range(world.plan.contacts), ERASED):
        await asyncio.sleep(world.random.uniform(0.2, 2))
        email = f"contact-{number}@example.com"
        vendor.add(email)
        request = {"request_id": f"of-{number}", "kind": "deletion", "identity": {"email": email}}
        event = Event(request_about(email), 1, b"", frozenset((PRIVACY,)))
        sent = await producer.send_and_wait(
            world.requests,
            orjson.dumps(request | {"requested_at": AT}),
            partition=number % world.plan.partitions,
            headers=event.headers(),
        )
        place = world.requests, sent.partition
        world.ledger.acknowledged[place] = world.ledger.acknowledged.get(place, 0) + 1
        world.erased[email] = time.time()


async def _settle(world: World) -> None:
    """Wait until everything written is settled, or nothing has been for too long."""
    settled, since = world.settled, time.monotonic()
    while (now := world.settled) < world.work and time.monotonic() < since + STUCK_SECONDS:
        if now != settled:
            settled, since = now, time.monotonic()
        await asyncio.sleep(0.1)
    if now < world.work:
        for member in world.alive:
            member.signal(signal.SIGUSR1)  # to say what it waits for
        world.wrong.append(
            f"{world.work - now} of {world.work} were not settled after {STUCK_SECONDS:g} s of standing still"
        )


async def _collect(world: World) -> None:
    """Ask everybody what they know, now that all is quiet."""
    ledger, broker = world.ledger, world.broker
    ledger.terms = {name: terms(world.plan, name) for name in world.plan.destinations}
    for name, topic in world.group_topics.items():
        places = [(topic, number) for number in range(world.plan.partitions)]
        async with collecting.sampling(broker, {name: f"{world.topic}.{name}"}, places, ledger.commits):
            pass  # its last samples are what the groups have committed in the end
    for topic in set(world.group_topics.values()):
        ledger.ends |= {(topic, number): end for number, end in (await broker.ends(topic)).items()}
        ledger.written += await collecting.written(broker, topic, told)
    for name, vendor in world.vendors.items():
        ledger.taken += collecting.taken(vendor, name)
        ledger.asked += collecting.asked(vendor, name)
    ledger.letters += await collecting.letters(broker, world.dead)
    if PRIVACY in world.plan.destinations:
        ledger.erasures += await collecting.erasures(broker, f"{world.requests}.erasures", KEY, world.erased)
    ledger.progress += collecting.progress(ledger)
    await _verify(world)


async def _verify(world: World) -> None:
    command = [sys.executable, "-m", "stream", "verify", "-c", str(world.config)]
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=120, check=False)
    world.ledger.verified, world.ledger.verify_code = done.stdout + done.stderr, done.returncode


def _read_outputs(world: World) -> None:
    """A member that stumbles says so."""
    for member, name in world.members.items():
        if "Traceback" in member.output:
            world.wrong.append(f"{name} showed a traceback: {member.output[member.output.index('Traceback') :][:600]}")
