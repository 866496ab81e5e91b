"""Small runs of real members on a real broker, one for each way in which a promise may be broken, and their ledgers."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

import orjson

from stream.destinations.attio.sandbox import AttioFaults
from stream.destinations.sandbox import Failure
from stream.destinations.splio_sms.sandbox import SplioSmsFaults
from tests.chaos import collecting
from tests.chaos.collecting import Watched, WatchedAttio, WatchedSms
from tests.chaos.ledger import Fate, Ledger, Life, Terms
from tests.e2e.members import Member, Scene, contacts, events, until
from tests.kafka.broker import Broker, Sent

ATTIO, SMS = "attio", "splio_sms"
SESSION = 6.0
EVERY = 0.1  # seconds between commits
KEY = "a long secret"
ADA, HELD = "ada@example.com", "held@example.com"
ORDERED = "Order Completed"
RULE = {"event": ORDERED, "message": "6tJglf8zd", "transactional": True, "fields": {"c0": "properties.n"}}
_numbers = count(1)


@dataclass(slots=True)
class Trial:
    """A scene with one destination, and what becomes of its members."""

    scene: Scene[Watched]
    blocks: dict[str, dict[str, Any]]
    lives: list[Life] = field(default_factory=list)
    erased: dict[str, float] = field(default_factory=dict)

    @property
    def vendor(self) -> Watched:
        """The stand-in."""
        return self.scene.vendor

    async def start(self, *arguments: str) -> Member:
        """A member, with the fault planted where one is."""
        member = await self.scene.start(*arguments, **self.blocks)
        self.note(member, "started")
        return member

    async def end(self, member: Member) -> None:
        """Ask it to end, and wait."""
        self.note(member, "terminated")
        member.terminate()
        await self.ended(member)

    async def ended(self, member: Member) -> None:
        """Wait for its end."""
        code = await member.exit_code()
        self.note(member, "ended", str(code))
        assert not code, member.output[-3000:]

    async def drain(self, *, mended: bool = False) -> None:
        """A member that delivers what is there, *mended* one without the fault."""
        if mended:
            self.scene.module = "stream"
        await self.ended(await self.start("--drain"))

    def note(self, member: Member, fate: Fate, detail: str = "") -> None:
        """Write down what becomes of a member."""
        doors = {self.scene.destination: member.door}
        in_flight = self.vendor.in_flight(member.door)
        self.lives.append(Life(str(id(member)), fate, time.time(), doors, detail, in_flight))

    async def taken(self, calls: int, *members: Member, door: str | None = None) -> None:
        """Wait until the vendor took so many calls, at one door or all."""

        def there() -> bool:
            return (
                sum(
                    entry.sequence is not None and door in (None, at)
                    for entry, at in zip(self.vendor.log, self.vendor.doors, strict=True)
                )
                >= calls
            )

        await until(there, *members, what=f"{calls} calls")


# What happens


async def delivered_in_peace(trial: Trial) -> None:
    """A vendor that fails now and then; everything is delivered by one member."""
    trial.vendor.faults = AttioFaults(latency=0.02, jitter=0.01, fail=[Failure(status=503, share=0.05)])
    await trial.scene.send(events(contacts(40), each=10))
    await trial.drain()


async def stopped_cleanly(trial: Trial) -> None:
    """One contact is held back, the others go on; then SIGTERM, and another member delivers the rest."""
    held = Failure(status=503, contacts=[HELD])
    trial.vendor.faults = AttioFaults(latency=0.02, fail=[held])
    await trial.scene.send([*events([HELD], each=1), *events(contacts(40), each=10)])
    member = await trial.start()
    await trial.taken(200, member)
    await trial.end(member)
    trial.vendor.faults = AttioFaults()
    await trial.drain()


async def slept_too_long(trial: Trial) -> None:
    """One of two members is frozen until the other has its partitions and delivers what it was about to."""
    trial.vendor.faults = AttioFaults(latency=0.04)
    await trial.scene.send(events(contacts(80), each=40))
    sleeper, other = await trial.start(), await trial.start()
    await trial.taken(50, sleeper, door=sleeper.door)
    await trial.taken(50, other, door=other.door)
    trial.note(sleeper, "frozen")
    sleeper.freeze()
    await other.owns(4)
    before = trial.vendor.doors.count(other.door)
    await trial.taken(before + 200, other, door=other.door)
    trial.note(sleeper, "thawed")
    sleeper.thaw()
    await sleeper.owns(2)
    await other.owns(2)
    for member in (sleeper, other):
        await trial.end(member)
    trial.vendor.faults = AttioFaults()
    await trial.drain()


async def texted_and_killed(trial: Trial) -> None:
    """Calls for texts are cut now and then after they were taken; then `kill -9`, and another member does the rest."""
    trial.vendor.faults = SplioSmsFaults(latency=0.05, fail=[Failure(status="cut_after", share=0.1)])
    await trial.scene.send([order(number) for number in range(160)])
    member = await trial.start()
    await trial.taken(50, member)
    await until(lambda: trial.vendor.in_flight(member.door) > 0, member, what="a text in flight")
    trial.note(member, "killed")
    member.kill()
    await trial.drain()


async def erased_before(trial: Trial) -> None:
    """A person was erased well before any member started."""
    topic = f"{trial.scene.topic}.requests.erasures"
    await trial.scene.broker.create(topic, configs={"cleanup.policy": "compact"})
    await trial.scene.send([*events(contacts(10), each=3), *events([ADA], each=3)])
    value = orjson.dumps({"erased_at": datetime.now(UTC).isoformat(), "lifted_at": None})
    await trial.scene.broker.produce(topic, [Sent(value, key=collecting.person(KEY, ADA))])
    trial.erased[ADA] = time.time()
    await asyncio.sleep(2)
    await trial.drain()


async def left_to_work(trial: Trial) -> None:
    """A member has what it needs for longer than anyone's patience; then it ends, and another one does the rest."""
    trial.vendor.faults = AttioFaults(latency=0.02)
    await trial.scene.send(events(contacts(40), each=5))
    member = await trial.start()
    await trial.taken(40, member)
    await asyncio.sleep(5)
    await trial.end(member)
    await trial.drain(mended=True)


def order(number: int) -> Sent:
    """The event of an order; a number has eight of them."""
    phone, n = f"+336{number // 8:08d}", number % 8 + 1
    about = {"messageId": f"m-{number}", "userId": phone, "timestamp": datetime.now(UTC).isoformat()}
    body = {"type": "track", "event": ORDERED, **about, "traits": {"phone": phone}, "properties": {"n": str(n)}}
    return Sent(orjson.dumps(body), key=phone.encode())


# On which stage


@dataclass(frozen=True, slots=True)
class Stage:
    """What a trial happens with."""

    happens: Callable[[Trial], Awaitable[None]]
    destination: str = ATTIO
    partitions: int = 2
    concurrency: int = 8
    rate: float | None = None
    patience: float = 30.0
    commit_every: float = EVERY
    blocks: Mapping[str, dict[str, Any]] = field(default_factory=dict)


STAGES = {
    "delivered in peace": Stage(delivered_in_peace, rate=150.0),
    "stopped cleanly": Stage(stopped_cleanly, commit_every=1.0),
    "slept too long": Stage(slept_too_long, partitions=4, concurrency=2),
    "texted and killed": Stage(texted_and_killed, destination=SMS, concurrency=4),
    "erased before": Stage(erased_before, blocks={"privacy": {"key": KEY}}),
    "left to work": Stage(left_to_work, patience=3.0),
}


async def hold(broker: Broker, folder: Path, name: str, sabotage: str | None) -> Ledger:
    """Let a trial happen with a product as it is, or with a fault planted; what everybody saw of it."""
    stage = STAGES[name]
    topic = f"trial-{next(_numbers)}.{name.replace(' ', '-')}.{sabotage}"
    await broker.create(topic, stage.partitions)
    own = folder / topic
    own.mkdir()
    ledger = Ledger(seed=0)
    async with AsyncExitStack() as exits:
        vendor: Watched = WatchedSms() if stage.destination == SMS else WatchedAttio()
        scene = Scene(broker, topic, own, exits, vendor=vendor, destination=stage.destination)
        if sabotage is not None:
            scene.module = f"tests.chaos.sabotage {sabotage}"
        trial = Trial(scene, _blocks(stage, topic))
        places = [(topic, number) for number in range(stage.partitions)]
        async with collecting.sampling(broker, {stage.destination: scene.group}, places, ledger.commits):
            await stage.happens(trial)
        await _collect(trial, stage, ledger)
    return ledger


def _blocks(stage: Stage, topic: str) -> dict[str, dict[str, Any]]:
    """What differs from the configuration that every scene's members have."""
    blocks: dict[str, dict[str, Any]] = {name: dict(block) for name, block in stage.blocks.items()}
    if "privacy" in blocks:
        blocks["privacy"] |= {"requests": f"{topic}.requests", "results": f"{topic}.results"}
    own: dict[str, Any] = {"concurrency": stage.concurrency}
    if stage.rate is not None:
        own["rate_limit"] = f"{stage.rate:g}/s"
    if stage.destination == SMS:
        own |= {"rules": [RULE], "max_age": None}
    source = {"commit_every": f"{stage.commit_every * 1000:g}ms", "remember_traits": False}
    return {**blocks, "source": source, "dead_letters": {"stop_above": None}, "destination": own}


async def _collect(trial: Trial, stage: Stage, ledger: Ledger) -> None:
    scene, name = trial.scene, stage.destination
    ledger.terms[name] = Terms(
        name,
        repeatable=name != SMS,
        ordered=True,
        concurrency=stage.concurrency,
        session_timeout=SESSION,
        commit_every=stage.commit_every,
        patience=stage.patience,
        rates={} if stage.rate is None else {"": stage.rate},
    )
    ledger.written += await collecting.written(scene.broker, scene.topic, _described)
    ledger.ends |= {(scene.topic, number): end for number, end in (await scene.broker.ends(scene.topic)).items()}
    ledger.taken += collecting.taken(scene.vendor, name)
    ledger.asked += collecting.asked(scene.vendor, name)
    ledger.letters += await collecting.letters(scene.broker, scene.dead)
    ledger.erasures += await collecting.erasures(scene.broker, f"{scene.topic}.requests.erasures", KEY, trial.erased)
    ledger.lives += trial.lives
    ledger.progress += collecting.progress(ledger)


def _described(record: Any) -> tuple[str, int, frozenset[str], frozenset[str]]:
    body = orjson.loads(record.value)
    if body["type"] == "track":
        return body["userId"], int(body["properties"]["n"]), frozenset({SMS}), frozenset()
    return body["userId"], int(body["traits"]["job_title"]), frozenset({ATTIO}), frozenset()
