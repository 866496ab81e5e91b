"""Hours at a steady load with a fault a minute: whether what a member holds on to grows, and whether all is even."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from statistics import median

from tests.chaos.plan import OF_BROKERS, OF_MEMBERS, OF_PLACES, OF_VENDORS, Plan, draw
from tests.chaos.play import Played, play
from tests.chaos.world import World
from tests.e2e.members import Member
from tests.kafka.broker import Broker

LOOK_SECONDS = 10.0  # between two looks at what members hold
EVERY_SECONDS = 60.0  # between two faults
PACE = 100.0  # events a second
PAGE_KIB = 4
KINDS = tuple(kind for kind in (*OF_MEMBERS, *OF_BROKERS, *OF_VENDORS, *OF_PLACES) if kind != "certificate")


@dataclass(frozen=True, slots=True)
class Look:
    """What a member held at a moment."""

    at: float
    memory: int  # KiB, resident
    files: int  # descriptors that are open


@dataclass(slots=True)
class Held:
    """What the members held, look by look."""

    looks: dict[str, list[Look]] = field(default_factory=dict)  # by member
    spared: str = ""  # the one that lived through all of it

    async def watch(self, world: World) -> None:
        """Look at every member, for ever."""
        while True:
            self.spared = next((world.members[member] for member in world.sheltered), "")
            for member in world.alive:
                self.looks.setdefault(world.members[member], []).append(look(member))
            await asyncio.sleep(LOOK_SECONDS)

    def __str__(self) -> str:
        looks = self.looks[self.spared]
        quarter = max(1, len(looks) // 4)
        return "\n".join(
            f"{self.spared}, {name}: median {_median(looks[:quarter], name):,} in the first quarter, "
            f"{_median(looks[-quarter:], name):,} in the last, {len(looks)} looks"
            for name in ("memory", "files")
        )


def look(member: Member) -> Look:
    """What a member holds now."""
    process = Path("/proc") / str(member.pid)
    pages = int((process / "statm").read_text().split()[1])
    return Look(time.time(), pages * PAGE_KIB, len(list((process / "fd").iterdir())))


def plan(seed: int, seconds: float) -> Plan:
    """Events at a steady pace for so long, and every kind of fault in turn, shuffled by the seed."""
    drawn = draw(seed, workload="attio")
    turns = [kind for _ in range(int(seconds / EVERY_SECONDS) // len(KINDS) + 1) for kind in shuffled(seed, KINDS)]
    faults = draw(seed, workload="attio", kinds=tuple(turns[: max(1, int(seconds / EVERY_SECONDS) - 1)])).steps
    return replace(
        drawn,
        events=int(PACE * seconds),
        contacts=2_000,
        partitions=4,
        members=3,
        pace=PACE,
        limited=False,
        tls=False,
        steps=faults,
        every=EVERY_SECONDS,
        terms={name: own | {"rate_limit": None} for name, own in drawn.terms.items()},
    )


def shuffled(seed: int, kinds: Sequence[str]) -> list[str]:
    """The kinds in an order of the seed's."""
    return Random(seed).sample(kinds, len(kinds))


async def endure(seed: int, seconds: float, broker: Broker, folder: Path) -> tuple[Played, Held]:
    """The whole of it, before the verdict."""
    held = Held()
    return await play(plan(seed, seconds), broker, folder, beside=[held.watch]), held


def _median(looks: Sequence[Look], name: str) -> int:
    return int(median(getattr(each, name) for each in looks))
