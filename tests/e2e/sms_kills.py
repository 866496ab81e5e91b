"""Members that text are killed and frozen at random: `python -m tests.e2e.sms_kills --kills 200 --stops 50`.

What was texted the vendor's own log says, what was parked a plain consumer; neither asks the product.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from collections import Counter, deque
from contextlib import AsyncExitStack, redirect_stdout
from dataclasses import dataclass, field
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path
from random import Random
from typing import Any

import orjson

from stream.destinations.sandbox import Entry
from stream.destinations.sandbox_http import Answer, Arrival
from stream.destinations.splio_sms.sandbox import SplioSmsFaults, SplioSmsSandbox
from tests.e2e.members import Member, Scene, until
from tests.kafka.broker import Broker, Sent, running_broker

DESTINATION = "splio_sms"
PARTITIONS = 4
CONCURRENCY = 4
EVENT = "Order Completed"
RULE = {"event": EVENT, "message": "6tJglf8zd", "transactional": True, "fields": {"c0": "properties.order_id"}}
SLOW = SplioSmsFaults(latency=0.05, jitter=0.04)
BLOCKS: dict[str, dict[str, Any]] = {
    "source": {"remember_traits": False},
    "dead_letters": {"stop_above": None},
    "destination": {"rules": [RULE], "concurrency": CONCURRENCY, "max_age": None},
}


class Texts(SplioSmsSandbox):
    """A universe that notes at which member's door each call came in."""

    def __init__(self) -> None:
        super().__init__()
        self.taken = Counter[str]()  # calls, by door
        self._recent: deque[tuple[str, Entry]] = deque(maxlen=200)
        self._door = ""

    def answer(self, arrival: Arrival) -> Answer:
        """As Splio, once it is known at which door the call came in."""
        self._door = arrival.headers["host"]
        return super().answer(arrival)

    def accept(self) -> None:
        """Note the door as well."""
        super().accept()
        self.taken[self._door] += 1
        self._recent.append((self._door, self.log[-1]))

    def in_flight(self, door: str) -> int:
        """How many texts that came in there are taken and not answered yet."""
        return sum(entry.answered is None and door == at for at, entry in self._recent)

    def orders(self) -> Counter[str]:
        """How often each order was texted about."""
        return Counter(text["c0"] for text in self.texts)


@dataclass(slots=True)
class Faults:
    """What was done to the members, and whether it hit something."""

    kills: int = 0
    stops: int = 0
    in_flight: int = 0  # texts that were taken and not answered when a member was killed or frozen
    taken_over: int = 0  # texts by another member while one was frozen


@dataclass(slots=True, eq=False)
class Ordeal:
    """A scene on which texts are sent, and the random faults that members suffer there."""

    scene: Scene[Texts]
    random: Random
    orders: int = 0
    faults: Faults = field(default_factory=Faults)

    async def order(self, count: int) -> None:
        """So many more events, of numbers that get some of them each."""
        numbers = range(self.orders, self.orders + count)
        self.orders += await self.scene.send([ordered(number) for number in numbers])

    async def start(self) -> Member:
        """A member that works with what there is."""
        return await self.scene.start(**BLOCKS)

    async def kill(self) -> None:
        """A new member works until it has sent some texts; then `kill -9`, at a random moment."""
        member = await self.start()
        await self._busy(member, self.random.randint(1, 12))
        await asyncio.sleep(self.random.uniform(0, 0.12))
        self.faults.in_flight += self.scene.vendor.in_flight(member.door)
        member.kill()
        self.faults.kills += 1

    async def freeze(self, members: tuple[Member, Member]) -> None:
        """One of two members is stopped for longer than its session, the other takes over, the first goes on."""
        sleeper, other = self.random.sample(members, 2)
        vendor = self.scene.vendor
        await self._busy(sleeper, self.random.randint(1, 12))
        await asyncio.sleep(self.random.uniform(0, 0.12))
        self.faults.in_flight += vendor.in_flight(sleeper.door)
        sleeper.freeze()
        await other.owns(PARTITIONS)
        before = vendor.taken[other.door]
        await self._busy(other, self.random.randint(1, 12))
        self.faults.taken_over += vendor.taken[other.door] - before
        sleeper.thaw()
        await sleeper.owns(PARTITIONS // 2)
        self.faults.stops += 1

    async def judge(self) -> str:
        """What came of it, once all is settled. Fails where a text went out twice or an event was lost."""
        await self.scene.drain(**BLOCKS)
        orders = self.scene.vendor.orders()
        twice = {order: times for order, times in orders.items() if times > 1}
        assert not twice, f"{len(twice)} orders were texted about more than once: {dict(list(twice.items())[:5])}"
        parked = await self.parked()
        lost = {str(number) for number in range(self.orders)} - orders.keys() - parked
        assert not lost, f"{len(lost)} of {self.orders} were neither texted nor parked: {sorted(lost)[:5]}"
        most = CONCURRENCY * (self.faults.kills + self.faults.stops)
        assert len(parked) <= most, f"{len(parked)} were parked, more than the {most} that can have been in flight"
        await self.scene.assert_settled()
        both = len(parked & orders.keys())
        return (
            f"{self.orders} orders, {self.faults}: {len(orders)} texted, none twice; "
            f"{len(parked)} parked as unknown, of which {both} were texted"
        )

    async def parked(self) -> set[str]:
        """The orders in the dead letters, all of which are there because nobody knows."""
        letters = await self.scene.letters()
        assert {b"unknown_outcome"} >= {dict(letter.headers)["crmstream.reason"] for letter in letters}
        return {orjson.loads(letter.value)["properties"]["order_id"] for letter in letters}

    async def _busy(self, member: Member, texts: int) -> None:
        """Return when a member has sent so many more texts, and has more to do."""
        vendor, before = self.scene.vendor, self.scene.vendor.taken[member.door]

        async def sent() -> bool:
            if self.orders - len(vendor.texts) < 300 + CONCURRENCY * (self.faults.kills + self.faults.stops):
                await self.order(300)  # not the parked ones, and not only the other member's
            return vendor.taken[member.door] >= before + texts

        await until(sent, member, what=f"{texts} texts")


def ordered(number: int) -> Sent:
    """The event of an order; a number has a dozen of them."""
    phone = f"+336{number // 12:08d}"
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    event = {"type": "track", "event": EVENT, "messageId": f"m-{number}", "timestamp": now}
    body = event | {"traits": {"phone": phone}, "properties": {"order_id": str(number)}}
    return Sent(orjson.dumps(body), key=phone.encode())


async def ordeal(scene: Scene[Texts], *, kills: int, stops: int, seed: int) -> Ordeal:
    """The whole of it, before the verdict."""
    scene.vendor.faults = SLOW
    here = Ordeal(scene, Random(seed))
    for number in range(kills):
        await here.kill()
        say(f"{scene.topic}: kill {number + 1}: {here.faults}")
    if stops:
        pair = await here.start(), await here.start()
        for member in pair:
            await member.owns(PARTITIONS // 2)
        for number in range(stops):
            await here.freeze(pair)
            say(f"{scene.topic}: stop {number + 1}: {here.faults}")
        for member in pair:
            member.kill()
        here.faults.kills += 2
    return here


def say(line: str) -> None:
    """For whoever watches a long run; what the members say is shown where it fails."""
    sys.stderr.write(line + "\n")


async def main() -> None:
    """The long run, on a broker of its own."""
    parser = argparse.ArgumentParser(prog="python -m tests.e2e.sms_kills", description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=200, help="how often a member is killed with kill -9")
    parser.add_argument("--stops", type=int, default=50, help="how often one is frozen past its session")
    parser.add_argument(
        "--lanes", type=int, default=4, help="groups side by side: mostly they wait for sessions to end"
    )
    parser.add_argument("--seed", type=int, default=time.time_ns() % 1_000_000)
    options = parser.parse_args()
    say(f"seed {options.seed}")
    said = StringIO()
    try:
        with running_broker() as broker, redirect_stdout(said):
            async with asyncio.TaskGroup() as tasks:
                for lane in range(options.lanes):
                    kills, stops = (len(range(lane, every, options.lanes)) for every in (options.kills, options.stops))
                    tasks.create_task(run_lane(broker, f"lane-{lane}", kills, stops, options.seed + lane))
    except BaseException:
        say(said.getvalue())
        raise


async def run_lane(broker: Broker, topic: str, kills: int, stops: int, seed: int) -> None:
    """An ordeal on a topic and with a universe of its own, and its verdict."""
    await broker.create(topic, PARTITIONS)
    with tempfile.TemporaryDirectory() as folder:
        async with AsyncExitStack() as exits:
            scene = Scene(broker, topic, Path(folder), exits, vendor=Texts(), destination=DESTINATION)
            here = await ordeal(scene, kills=kills, stops=stops, seed=seed)
            say(f"{topic}: {await here.judge()}")


if __name__ == "__main__":
    asyncio.run(main())
