"""How long it takes until events flow again: after a member's death, and when a vendor or a broker is back."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from statistics import median
from tempfile import mkdtemp
from typing import Any, TypeAlias

from tests.chaos.plan import ATTIO, draw
from tests.chaos.world import World
from tests.chaos.writing import Writer
from tests.e2e.members import Member, until
from tests.kafka.broker import Broker

TIMES = 5  # each is measured so often
PACE = 200.0  # events a second
FULL = 0.9  # of the pace
OUTAGE_SECONDS = 5.0
STATIC: dict[str, Any] = {"kafka": {"session_timeout": "10s", "group_instance_id": "one"}}
DYNAMIC: dict[str, Any] = {"kafka": {"session_timeout": "10s"}}

Measure: TypeAlias = Callable[[World], Awaitable[float]]


async def replaced(world: World) -> float:
    """Killed and started again at once, by a supervisor: until the new one's first delivery."""
    return await _killed(world, DYNAMIC)


async def replaced_static(world: World) -> float:
    """The same with `group_instance_id`."""
    return await _killed(world, STATIC)


async def taken_over(world: World) -> float:
    """One of two killed: until the other holds, and so delivers, what was the dead one's."""
    first, second = await world.start(**DYNAMIC), await world.start(**DYNAMIC)
    await until(lambda: all(world.held.get(each, {}).get(ATTIO) for each in (first, second)), what="both")
    theirs = set(world.held[first][ATTIO])
    await flowing(world)
    killed_at = await _kill(world, first)
    await until(lambda: theirs <= set(world.held[second].get(ATTIO, ())), timeout=90, what="the takeover")
    return time.monotonic() - killed_at


async def vendor_back(world: World) -> float:
    """A vendor that refused connections: from its first answer until the full rate."""
    await world.start(**DYNAMIC)
    await flowing(world)
    vendor = world.vendors[ATTIO]
    vendor.faults = vendor.faults_model(down=True)
    await asyncio.sleep(OUTAGE_SECONDS)
    vendor.faults = world.well(ATTIO)
    return await _until_full(world)


async def broker_back(world: World) -> float:
    """A broker that was killed: from its first answer until the full rate."""
    await world.start(**DYNAMIC)
    await flowing(world)
    [node] = world.broker.nodes
    await asyncio.to_thread(node.kill)
    await asyncio.sleep(OUTAGE_SECONDS)
    await asyncio.to_thread(node.start)
    await world.broker.wait()
    return await _until_full(world)


MEASURES: dict[str, Measure] = {
    "member killed, started again at once, session 10 s": replaced,
    "the same with group_instance_id": replaced_static,
    "member killed, another one takes over, session 10 s": taken_over,
    f"vendor back after {OUTAGE_SECONDS:g} s, to full rate": vendor_back,
    f"broker back after {OUTAGE_SECONDS:g} s, to full rate": broker_back,
}


async def recoveries(broker: Broker, folder: Path, say: Callable[[str], None]) -> None:
    """Measure each some times, and say the medians in seconds."""
    say(f"{'seconds (median of ' + str(TIMES) + ')':<55} {'median':>7} {'least':>7} {'most':>7}")
    for name, measure in MEASURES.items():
        took = [await _measured(measure, broker, Path(mkdtemp(dir=folder))) for _ in range(TIMES)]
        say(f"{name:<55} {median(took):>7.1f} {min(took):>7.1f} {max(took):>7.1f}")


async def _measured(measure: Measure, broker: Broker, folder: Path) -> float:
    drawn = draw(1, workload="attio", kinds=("kill",))
    terms = {ATTIO: {"concurrency": 16, "rate_limit": None, "retry": {"base": "500ms", "max": "60s"}}}
    plan = replace(drawn, events=10**9, contacts=2_000, partitions=4, pace=PACE, tls=False, steps=(), terms=terms)
    plan = replace(plan, blocks={"source": {"commit_every": "250ms"}, "http": {}})
    async with AsyncExitStack() as exits:
        topic = f"recovery.{time.time_ns()}"
        world = World(plan, broker, topic, folder, exits)
        await world.open()
        writer = Writer(broker.bootstrap, topic, plan, world.ledger.acknowledged)
        beside = [asyncio.create_task(work) for work in (world.watch_members(), writer.write())]
        try:
            return await measure(world)
        finally:
            for task in beside:
                task.cancel()
            await asyncio.wait(beside)


async def flowing(world: World) -> None:
    """Wait until all that is written is delivered at the pace."""
    await until(lambda: _rate(world, 2.0) >= FULL * PACE, timeout=120, what="the full rate")


async def _killed(world: World, blocks: dict[str, Any]) -> float:
    first = await world.start(**blocks)
    await flowing(world)
    killed_at = await _kill(world, first)
    second = await world.start(**blocks)
    await until(lambda: world.taken_lately(second, 5.0) > 0, second, timeout=120, what="a delivery")
    return time.monotonic() - killed_at


async def _kill(world: World, member: Member) -> float:
    world.busy.add(member)
    member.kill()
    return time.monotonic()


async def _until_full(world: World) -> float:
    since = time.monotonic()
    await until(lambda: _rate(world, 1.0) >= FULL * PACE, timeout=120, what="the full rate")
    return time.monotonic() - since


def _rate(world: World, seconds: float) -> float:
    """Events a second that the vendor took lately."""
    since, count = time.time() - seconds, 0
    for entry in reversed(world.vendors[ATTIO].log):
        if entry.at < since:
            break
        count += entry.sequence is not None
    return count / seconds
