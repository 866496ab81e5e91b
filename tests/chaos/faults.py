"""What is done to members, brokers, vendors, clocks and disks. Each fault says whether it hit something."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from signal import SIGTERM
from typing import Any, TypeAlias

from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from stream.destinations.sandbox import Failure
from tests.chaos.plan import ATTIO, CONTACTS, OF_BROKERS, OF_MEMBERS, OF_VENDORS, PRIVACY, TEXTS, Step
from tests.chaos.world import BROKERS_TIME, FULL, World, limit_files
from tests.e2e.members import Member

Strike: TypeAlias = Callable[[World, Step], Awaitable[bool]]

LATELY = 1.0  # seconds
WORK_SECONDS = 8.0  # for which a fault waits until there is something to lose
ON_THE_WAY = 0.2  # seconds that an answer takes at most from the vendor through the terminator
JOINS_SECONDS = 30.0  # for a member to get something
LETTER_SECONDS = 30.0  # for a letter to be written, while there is work
LEAVES_SECONDS = 60.0  # for a member that is asked to end


async def strike(world: World, step: Step) -> None:
    """Do it, and note whether it hit."""
    if step.kind in OF_MEMBERS:
        hit = await MEMBERS[step.kind](world, step)
    elif step.kind in OF_BROKERS:
        async with world.broken:
            hit = await _to_broker(world, step)
    elif step.kind in OF_VENDORS:
        async with world.ailing[step.destination]:
            hit = await _to_vendor(world, step)
    else:
        hit = await PLACES[step.kind](world, step)
    world.hits.append((step.kind, hit))


# Members


async def _victim(world: World) -> Member | None:
    """A member that has just delivered something, or any; it is busy from now on."""
    member: Member | None = None
    until = time.monotonic() + WORK_SECONDS
    while time.monotonic() < until:
        alive = world.exposed
        working = [each for each in alive if world.taken_lately(each, 0.2)]
        if alive:
            member = world.random.choice(working or alive)
        if working:
            break
        await asyncio.sleep(0.02)
    if member is None or not member.running or member in world.busy:
        return None
    world.busy.add(member)
    return member


async def _kill(world: World, step: Step) -> bool:
    if (member := await _victim(world)) is None:
        return False
    await asyncio.sleep(world.random.uniform(0, 0.1))
    hit = world.taken_lately(member, LATELY) > 0
    life = world.note(member, "killed")
    member.kill()
    world.note(member, "ended", "killed")
    await _replace(world, step)
    return hit or life.in_flight > 0


async def _terminate(world: World, step: Step) -> bool:
    if (member := await _victim(world)) is None:
        return False
    hit = world.taken_lately(member, LATELY) > 0
    await end(world, member)
    if step.kind == "term" or not world.alive:
        await _replace(world, step)
    return hit


async def end(world: World, member: Member) -> None:
    """Ask a member to end, and see that it ends well."""
    world.note(member, "terminated")
    member.terminate()
    try:
        code = await member.exit_code(LEAVES_SECONDS)
    except AssertionError:
        world.wrong.append(f"{world.members[member]} did not end within {LEAVES_SECONDS:g} s of SIGTERM")
        member.kill()
        code = -9
    too_early = code == -SIGTERM and not member.output  # before it could say what to do then: nothing was begun
    world.note(member, "ended", f"exit code {0 if too_early else code}")
    if code not in (0, -9) and not too_early:
        world.wrong.append(f"{world.members[member]} ended with {code} after SIGTERM: {member.output.strip()[-300:]}")


async def _freeze(world: World, step: Step) -> bool:
    if (member := await _victim(world)) is None:
        return False
    await asyncio.sleep(world.random.uniform(0, 0.1))
    hit = world.taken_lately(member, LATELY) > 0
    world.note(member, "frozen")
    member.freeze()
    await asyncio.sleep(step.seconds)
    world.note(member, "thawed")
    member.thaw()
    world.busy.discard(member)
    return hit


async def _join(world: World, step: Step) -> bool:
    member = await world.start()
    if len(world.alive) > world.plan.partitions:
        return False  # it may get nothing
    until = time.monotonic() + JOINS_SECONDS
    while time.monotonic() < until and member.running:
        if any(world.held.get(member, {}).values()):
            return True
        await asyncio.sleep(0.1)
    return False


async def _replace(world: World, step: Step) -> None:
    await asyncio.sleep(step.seconds)
    await world.start()


MEMBERS: dict[str, Strike] = {
    "kill": _kill,
    "term": _terminate,
    "leave": _terminate,
    "freeze": _freeze,
    "stall": _freeze,
    "join": _join,
}


# Brokers


async def _to_broker(world: World, step: Step) -> bool:
    nodes = world.broker.nodes
    since, node = time.time(), nodes[sum(kind in OF_BROKERS for kind, _ in world.hits) % len(nodes)]  # in turn
    before = world.settled
    match step.kind:
        case "broker_kill":
            await asyncio.to_thread(node.kill)
            await asyncio.sleep(step.seconds)
            await asyncio.to_thread(node.start)
        case "broker_restart":
            await asyncio.to_thread(node.restart)
        case _:
            await asyncio.to_thread(node.pause)
            await asyncio.sleep(step.seconds)
            await asyncio.to_thread(node.unpause)
    await world.broker.wait(timeout=120)
    world.note_fault(step.kind, since, detail=repr(node))
    return world.work > before  # there was something left to do


# Vendors


async def _to_vendor(world: World, step: Step) -> bool:
    vendor, since = world.vendors[step.destination], time.time()
    calls = len(vendor.log)
    if step.kind == "certificate":
        hit = await _change_certificate(world, step)
    else:
        vendor.faults = vendor.faults_model.model_validate(
            world.well(step.destination).model_dump() | _symptoms(step, since)
        )
        await asyncio.sleep(step.seconds)
        hit = step.kind == "down" or await _in_time(lambda: len(vendor.log) > calls)
        vendor.faults = world.well(step.destination)
    world.note_fault(step.kind, since, step.destination)
    return hit


async def _change_certificate(world: World, step: Step) -> bool:
    terminator = world.terminator
    assert terminator is not None, "a changed certificate needs a plan with TLS"
    terminator.change(right=False)
    since = time.time() - ON_THE_WAY
    await asyncio.sleep(step.seconds)
    for entry in world.vendors[step.destination].log:
        if entry.answered is not None and entry.answered > since:
            entry.answered = None  # the answer was on its way when the connections ended: nobody knows if it came out
    hit = await _in_time(lambda: terminator.greeted > 0)
    terminator.change(right=True)
    return hit


async def _in_time(felt: Callable[[], bool], seconds: float = WORK_SECONDS) -> bool:
    """Whether somebody feels the fault; some seconds are given to it."""
    until = time.monotonic() + seconds
    while not felt() and time.monotonic() < until:  # noqa: ASYNC110 - nobody sets an event
        await asyncio.sleep(0.05)
    return felt()


def _symptoms(step: Step, now: float) -> dict[str, Any]:
    match step.kind:
        case "slow":
            return {"latency": 0.5, "jitter": 0.4}
        case "refusing":
            return {"fail": [Failure(status=503, share=0.9)]}
        case "down":
            return {"down": True}
        case "throttling":
            return {"throttle_above": 3.0 if step.destination != ATTIO else 20.0}
        case "cut" | "cut_after":
            return {"fail": [Failure(status="cut" if step.kind == "cut" else "cut_after", share=0.5)]}
        case "half_open":
            return {"latency": 600.0}
    return REVOKED[step.destination](now)


REVOKED: dict[str, Callable[[float], dict[str, Any]]] = {
    ATTIO: lambda _: {"revoked": True},
    CONTACTS: lambda now: {"wrong_key": True, "expired_before": now},
    TEXTS: lambda _: {"revoked": True},
    PRIVACY: lambda _: {"revoked": True},
}


# Clocks, disks, topics of our own


async def _step_clock(world: World, step: Step) -> bool:
    if not (alive := world.exposed):
        return False
    member, since = world.random.choice(alive), time.time()
    world.clock_of(member).write_text(str(step.size))
    await asyncio.sleep(step.seconds)
    world.clock_of(member).write_text("0")
    world.note_fault(step.kind, since, detail=f"{world.members[member]} by {step.size:g} s")
    return world.taken_lately(member, step.seconds) > 0


async def _fill_disk(world: World, step: Step) -> bool:
    """No file of the member grows any more; it may end, loudly, or go on."""
    if not (alive := world.exposed):
        return False
    member, since = world.random.choice(alive), time.time()
    world.without_disk.add(member)
    limit_files(member, FULL)
    hit = await _in_time(lambda: not member.running)
    if member.running:
        limit_files(member, None)
    world.note_fault(step.kind, since, detail=world.members[member])
    return hit


async def _refuse_letters(world: World, step: Step) -> bool:
    """The topic of dead letters takes nothing that is not of this very moment, until a member says that one waits."""

    def waiting() -> int:
        return sum(member.output.count("dead_letter_waits") for member in world.members)

    async with world.broken:
        since, before = time.time(), waiting()
        await _configure(world, {"message.timestamp.type": "CreateTime", "message.timestamp.before.max.ms": "0"})
        await asyncio.sleep(step.seconds)
        done = world.plan.pace is None  # then nothing more is written
        await _in_time(lambda: waiting() > before or (done and world.settled == world.work), LETTER_SECONDS)
        hit = waiting() > before
        await _configure(world, BROKERS_TIME)
    world.note_fault(step.kind, since)
    return hit


async def _configure(world: World, configs: dict[str, str]) -> None:
    async with world.broker._admin() as admin:
        await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, world.dead, configs)])


PLACES: dict[str, Strike] = {"clock": _step_clock, "disk": _fill_disk, "letters_refused": _refuse_letters}
