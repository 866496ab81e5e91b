"""Hundreds of members that share a vendor's quota, in virtual time: who may send when, and what it adds up to.

    python -m tests.simulation.quota [--members 1000] [--rate 2000] [--seconds 300] [--destinations 1]

Limits and lease are the product's. The group is simulated as Kafka moves partitions: members hear of a change with
their next heartbeat, finish their calls, give all partitions up and join again; one that dies or stands still is missed
after its session timeout. Everybody always has something to send, but for the times the plan says nobody has.
"""

import argparse
import math
import sys
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import count
from random import Random

from stream.core.lease import Lease
from stream.core.limits import Limits, Quota, RateLimit, RateLimits, turn_of

SESSION, DRAIN = 10.0, 20.0
HEARTBEAT = SESSION / 5
COMMIT = 0.25
LATE = 0.002  # seconds by which a timer may be late
TWICE = 0.2  # of the messages take two calls


@dataclass(frozen=True, slots=True)
class Plan:
    """What happens to how many members."""

    members: int
    partitions: int
    rate: float  # requests a second, of all together
    seconds: float
    destinations: int = 1  # that share the quota, each with a group of its own
    happenings: int = 0  # of each kind: join, leave, death, short freeze, long freeze
    idle: tuple[float, float] | None = None  # when nobody has anything to send
    seed: int = 1


class World:
    """Time, what is to happen, and what the vendor saw."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.random = Random(plan.seed)
        self.now = 0.0
        self.sent: list[float] = []
        self.steady: list[tuple[float, float]] = []  # spans in which all partitions of all groups were assigned
        self.happened: Counter[str] = Counter()
        self._agenda: list[tuple[float, int, Callable[[], None]]] = []
        self._ticket = count()
        self.groups = [Group(self, number) for number in range(plan.destinations)]
        self.members = [Member(self) for _ in range(plan.members)]
        for _ in range(plan.happenings):
            for happening in (self._join, self._leave, self._die, self._nap, self._freeze):
                self.at(self.random.uniform(5.0, plan.seconds * 0.8), happening)

    def at(self, time: float, what: Callable[[], None]) -> None:
        """Have it done then."""
        heappush(self._agenda, (max(time, self.now), next(self._ticket), what))

    def run(self) -> None:
        """Let the time of the plan pass."""
        while self._agenda and self._agenda[0][0] < self.plan.seconds:
            self.now, _, what = heappop(self._agenda)
            what()
        self.now = self.plan.seconds
        for group in self.groups:
            group.unsettle()

    def busy_from(self) -> float:
        """When somebody next has something to send: now, but for the idle time."""
        begin, end = self.plan.idle or (0.0, 0.0)
        return end if begin <= self.now < end else self.now

    def call(self) -> None:
        """The vendor sees a request."""
        self.sent.append(self.now)

    def _join(self) -> None:
        self.happened["join"] += 1
        self.members.append(Member(self))

    def _leave(self) -> None:
        if member := self._any():
            self.happened["leave"] += 1
            member.leaving = True
            for seat in member.seats:
                seat.revoke()

    def _die(self) -> None:
        if member := self._any():
            self.happened["death"] += 1
            member.dead = True
            member.miss()

    def _nap(self) -> None:
        self._stop(self.random.uniform(0.1, SESSION / 2))

    def _freeze(self) -> None:
        self._stop(self.random.uniform(1.5, 4) * SESSION)

    def _stop(self, seconds: float) -> None:
        if member := self._any():
            self.happened["freeze" if seconds > SESSION else "nap"] += 1
            member.frozen_until = self.now + seconds
            member.miss()
            self.at(member.frozen_until, member.thaw)

    def _any(self) -> "Member | None":
        well = [m for m in self.members if not (m.dead or m.leaving or m.frozen)]
        return self.random.choice(well) if len(well) > 1 else None


class Group:
    """The coordinator of one destination's consumer group."""

    def __init__(self, world: World, number: int) -> None:
        self.world = world
        self.number = number
        self.seats: list[Seat] = []
        self.generation = 0
        self.preparing = False
        self.steady_since: float | None = None

    def join(self, seat: "Seat") -> None:
        """One that is new, or has given up what it had."""
        seat.joined = True
        if seat not in self.seats:
            self.seats.append(seat)
            self.begin()
        self._complete()

    def remove(self, seat: "Seat") -> None:
        """It left, or was not heard of for a session timeout."""
        if seat in self.seats:
            self.seats.remove(seat)
            seat.joined = False
            seat.expelled = True
            self.begin()
            self._complete()

    def begin(self) -> None:
        """Something changed: each member hears of it with its next heartbeat."""
        if self.preparing:
            return
        self.preparing = True
        self.unsettle()
        self.world.happened["rebalance"] += 1
        for seat in self.seats:
            if not seat.joined:
                self.world.at(self.world.now + self.world.random.uniform(0, HEARTBEAT), seat.hear)

    def unsettle(self) -> None:
        """From now on not everything is assigned."""
        if self.steady_since is not None and self.steady_since < self.world.now:
            self.world.steady.append((self.steady_since, self.world.now))
        self.steady_since = None

    def _complete(self) -> None:
        """Once all have joined again: hand the partitions out, moving as few as it takes."""
        if not self.preparing or not self.seats or not all(seat.joined for seat in self.seats):
            return
        self.preparing = False
        self.generation += 1
        least, more = divmod(self.world.plan.partitions, len(self.seats))
        sizes = [least + (number < more) for number in range(len(self.seats))]
        kept = [seat.had[:size] for seat, size in zip(self.seats, sizes, strict=True)]
        free = sorted(set(range(self.world.plan.partitions)) - {p for partitions in kept for p in partitions})
        latest = self.world.now
        for seat, partitions, size in zip(self.seats, kept, sizes, strict=True):
            partitions += [free.pop() for _ in range(size - len(partitions))]
            seat.joined = False
            seat.had = partitions
            at = self.world.now + self.world.random.uniform(0.01, 0.2)
            latest = max(latest, at)
            self.world.at(at, seat.taker(sorted(partitions), self.generation))
        interval = len(self.seats) / self.world.plan.rate
        self.steady_since = latest + interval  # from then on even the last has had its first turn


class Member:
    """One process: a seat in each group, and for all of them one way to the vendor."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.dead = self.leaving = False
        self.frozen_until = 0.0
        rates = {"": world.plan.rate}
        if world.plan.destinations == 1:
            self.seats = [Seat(self, world.groups[0], RateLimits(rates))]
        else:
            quota = Quota(rates, world.plan.destinations)
            self.seats = [Seat(self, group, quota.limits()) for group in world.groups]
        for seat in self.seats:
            seat.limits.hold(world.now)
            seat.group.join(seat)

    @property
    def frozen(self) -> bool:
        return self.world.now < self.frozen_until

    @property
    def acts(self) -> bool:
        return not self.dead and not self.frozen

    def miss(self) -> None:
        """Its heartbeats stop: the groups notice a session timeout after the last one."""
        last = self.world.now - self.world.random.uniform(0, HEARTBEAT)
        for seat in self.seats:
            self.world.at(last + SESSION, seat.missed)

    def thaw(self) -> None:
        """It goes on where it was stopped, and learns with its next commit what became of it."""
        for seat in self.seats:
            self.world.at(self.world.now, seat.attempt)
            self.world.at(self.world.now + self.world.random.uniform(0, COMMIT), seat.learn)


class Seat:
    """A member in one group: what a pipeline does with its limits and its lease."""

    def __init__(self, member: Member, group: Group, limits: Limits) -> None:
        self.member, self.group, self.limits, self.world = member, group, limits, member.world
        self.lease = Lease(session_timeout=SESSION, drain=DRAIN)
        self.had: list[int] = []
        self.joined = self.expelled = self.draining = self.left = False
        self.generation = -1
        self.waiting = 0  # calls under way that wait for their turn

    def taker(self, partitions: list[int], generation: int) -> Callable[[], None]:
        """What is done when the answer comes to having joined."""
        return lambda: self.take_on(partitions, generation)

    def take_on(self, partitions: list[int], generation: int) -> None:
        """As `Pipeline._take_on`."""
        if generation != self.group.generation or self.member.leaving or self.expelled or not self.member.acts:
            return
        self.generation, self.draining = generation, False
        if partitions:
            self.limits.share(len(partitions) / self.world.plan.partitions, self.world.now, turn_of(partitions[0]))
            self.lease.prove(self.world.now)
            self.world.at(self.limits.first.free_at(), self.attempt)

    def attempt(self) -> None:
        """Send, if it is our turn and we may; look again when it is."""
        world, limit = self.world, self.limits.first
        if self.draining or not self.member.acts or not self.had or limit.free_at() == math.inf:
            return
        when = max(limit.free_at(), world.busy_from())
        if when > world.now:
            world.at(when + world.random.uniform(0, LATE), self.attempt)
            return
        self._commit()
        if not self.lease.holds(world.now):
            world.happened["kept still by the lease"] += 1
            return
        deadline = self.lease.deadline(world.now)
        limit.reserve(world.now)
        world.call()
        if world.random.random() < TWICE:
            self._call_again(deadline)
        world.at(limit.free_at() + world.random.uniform(0, LATE), self.attempt)

    def _commit(self) -> None:
        """One that was acknowledged just now; after a freeze only `learn` tells."""
        if not self.expelled and self.world.now > self.member.frozen_until + COMMIT:
            self.lease.prove(self.world.now - self.world.random.uniform(0, COMMIT))

    def _call_again(self, deadline: float) -> None:
        """The same message's second call waits for its turn, also while partitions are taken away."""
        limit = self.limits.first
        wait = limit.reserve(self.world.now)
        if self.world.now + wait >= deadline:
            limit.cancel()
            return
        self.waiting += 1
        self.world.at(self.world.now + wait, lambda: self._second(deadline))

    def _second(self, deadline: float) -> None:
        if self.member.dead:
            return
        if self.member.frozen:
            self.world.at(self.member.frozen_until, lambda: self._second(deadline))
            return
        if self.world.now < deadline:
            self.world.call()
        self.waiting -= 1
        self._leave_when_quiet()

    def hear(self) -> None:
        """A heartbeat's answer: the group changes."""
        if not self.member.acts:
            return
        self.revoke()

    def learn(self) -> None:
        """A commit after a freeze: accepted, or told to join again."""
        if not self.member.acts:
            return
        if self.expelled or self.group.preparing or self.generation != self.group.generation:
            self.revoke()
        else:
            self.lease.prove(self.world.now)
            self.attempt()

    def missed(self) -> None:
        """A session timeout is over: is it heard of?"""
        if not self.member.acts and not self.expelled:
            self.world.happened["missed"] += 1
            self.group.remove(self)

    def revoke(self) -> None:
        """As `Pipeline.revoke`: start nothing more, finish what is under way, hold, join again."""
        self.draining = True
        self._leave_when_quiet()

    def _leave_when_quiet(self) -> None:
        if not self.draining or self.waiting or self.joined or self.left:
            return
        self.limits.hold(self.world.now)
        self.lease.lose()
        if self.member.leaving:
            self.left = True
            self.group.remove(self)
            return
        if self.expelled:
            self.expelled, self.had = False, []
        self.group.join(self)


@dataclass(frozen=True, slots=True)
class Found:
    """What the vendor saw of a plan."""

    sent: int
    most: dict[float, int]  # requests in the fullest window of so many seconds
    used: float  # share of the rate, while every partition was assigned
    used_in_all: float
    lost: float  # seconds' worth of the rate, each rebalance
    happened: Counter[str]


def live(plan: Plan, windows: Sequence[float] = (1.0, 10.0)) -> Found:
    """Run a plan."""
    world = World(plan)
    world.run()
    sent = sorted(world.sent)
    steady = world.steady if plan.destinations == 1 else []
    seconds = sum(end - begin for begin, end in steady)
    within = sum(bisect_right(sent, end) - bisect_right(sent, begin) for begin, end in steady)
    return Found(
        sent=len(sent),
        most={window: fullest(sent, window) for window in windows},
        used=within / (plan.rate * seconds) if seconds else math.nan,
        used_in_all=len(sent) / (plan.rate * plan.seconds),
        lost=(plan.seconds - len(sent) / plan.rate) / max(1, world.happened["rebalance"]),
        happened=world.happened,
    )


def fullest(times: Sequence[float], window: float) -> int:
    """The most that any window holds."""
    first = most = 0
    for last, time in enumerate(times):
        while times[first] <= time - window:
            first += 1
        most = max(most, last - first + 1)
    return most


def burst(plan: Plan, members: int) -> float:
    """What the documented bound allows beyond the rate: 50 ms worth for each member, and at least one request."""
    return members * max(1.0, RateLimit.BURST * plan.rate / members)


def main() -> int:
    """Run the big one and print what came of it; 1 where the bound was broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.quota", description=__doc__)
    parser.add_argument("--members", type=int, default=1000)
    parser.add_argument("--rate", type=float, action="append", help="requests a second; repeatable")
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--destinations", type=int, default=1)
    parser.add_argument("--happenings", type=int, default=4, help="of each kind")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    broken = False
    for rate in given.rate or [20.0, 200.0, 2_000.0]:
        made = (given.members, 3 * given.members, rate, given.seconds, given.destinations, given.happenings)
        plan = Plan(*made, seed=given.seed)
        found = live(plan)
        allowed = burst(plan, plan.members + plan.happenings)
        broken |= any(most > rate * window + allowed for window, most in found.most.items())
        fullness = ", ".join(f"{most / rate / window:.1%} in {window:g} s" for window, most in found.most.items())
        print(  # noqa: T201
            f"{rate:,g}/s, {given.members:,} members: fullest {fullness} (bound {1 + allowed / rate:.1%} in 1 s);"
            f" used {found.used:.1%} between rebalances, {found.used_in_all:.1%} in all,"
            f" {found.lost:.1f} s lost each rebalance; {dict(found.happened)}"
        )
    return int(broken)


if __name__ == "__main__":
    sys.exit(main())
