"""The scheduler beside a list of messages for each key, and a destination's health beside what it may never allow."""

from collections.abc import Sequence
from random import Random
from typing import Any

import hypothesis.strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from stream.core.health import NEVER, Bury, Delay, Health, Permit, Release, Settle, State
from stream.core.limits import BurialLimit
from stream.core.outcomes import (
    DELIVERED,
    Blocked,
    Filtered,
    Outcome,
    Rejected,
    Retry,
    Throttled,
    Unfinished,
    Unknown,
)
from stream.core.records import Batch, Message
from stream.core.retry import Backoff
from stream.core.scheduler import Scheduler
from tests.unit.partition import Partition

keys = st.sampled_from(["ada", "bob", "cyd"])
waits = st.sampled_from([0.0, 0.1, 1.0, 10.0])
ITEMS, SIZE = 3, 100


def merge(run: Sequence[Message]) -> Message:
    """As delivery does it: one message with its parts."""
    last = run[-1]
    return Message(last.key, last.fields, b"merged", last.record, last.tracker, 0.0, parts=tuple(run))


class Scheduling(RuleBasedStateMachine):
    """Messages of a few keys and two partitions, of which one may be taken away at any time."""

    @initialize(merging=st.booleans(), items=st.sampled_from([1, ITEMS]))
    def begin(self, merging: bool, items: int) -> None:
        self.scheduler = Scheduler(items=items, size=SIZE, linger=0.5, merge=merge if merging else None)
        self.now = 0.0
        self.partitions = [Partition(), Partition()]
        self.waiting: dict[str, list[Message]] = {}  # by key, oldest first, those in flight included
        self.flying: dict[str, Message] = {}

    @rule(key=keys, place=st.integers(0, 1), size=st.sampled_from([1, 60, 200]), upsert=st.booleans())
    def add(self, key: str, place: int, size: int, upsert: bool) -> None:
        message = self.partitions[place].message(key, body=b"x" * size, upsert=upsert)
        self.scheduler.add(message, self.now)
        self.waiting.setdefault(key, []).append(message)

    @rule(wait=waits)
    def wait(self, wait: float) -> None:
        self.now += wait

    @rule()
    def take(self) -> None:
        self._take(self.scheduler.take(self.now))

    @rule()
    def take_a_canary(self) -> None:
        batch = self.scheduler.take_any(self.now)
        assert batch or all(key in self.flying for key, queue in self.waiting.items() if queue)
        self._take(batch)

    @precondition(lambda self: self.flying)
    @rule(key=keys, wait=waits, end=st.sampled_from(["finish", "release", "delay", "take apart"]))
    def end(self, key: str, wait: float, end: str) -> None:
        message = self.flying.pop(key, None)
        if message is None:
            return
        if end == "take apart" and message.parts:
            message = self.scheduler.take_apart(message)
            assert message is self.waiting[key][0]
            self.flying[key] = message
        elif end == "release":
            self.scheduler.release(message, self.now)
            self._forget_closed(key)
        elif end == "delay":
            self.scheduler.delay(message, self.now + wait)
            self._forget_closed(key)
        else:
            self.scheduler.finish(message, self.now)
            del self.waiting[key][: max(1, len(message.parts))]

    @rule(place=st.integers(0, 1))
    def revoke(self, place: int) -> None:
        """What is not in flight of it is gone, and only that."""
        self.partitions[place].tracker.close()
        self.partitions[place] = Partition()
        self.scheduler.drop_closed(self.now)
        for key in self.waiting:
            flying = self.flying.get(key)
            self._forget_closed(key, after=max(1, len(flying.parts)) if flying else 0)

    @precondition(lambda self: self.waiting)
    @rule(key=keys)
    def seize(self, key: str) -> None:
        """Only what waits, delayed, at the head can be buried early."""
        queue = self.waiting.get(key)
        if queue and self.scheduler.seize(queue[0]):
            assert key not in self.flying
            self.flying[key] = queue[0]

    @invariant()
    def nothing_is_lost(self) -> None:
        kept = [message for queue in self.waiting.values() for message in queue]
        assert {*kept} == {*self.scheduler}
        assert len(kept) == len(self.scheduler)
        assert sum(message.size for message in kept) == self.scheduler.size
        assert sum(map(bool, self.waiting.values())) == self.scheduler.keys

    @invariant()
    def something_will_happen(self) -> None:
        """A key that is not in flight is ready, or becomes so by time."""
        idle = any(queue and key not in self.flying for key, queue in self.waiting.items())
        assert not idle or self.scheduler.ready or self.scheduler.next_due() < NEVER

    def _take(self, batch: list[Message]) -> None:
        assert len({message.key for message in batch}) == len(batch) <= ITEMS
        assert len(batch) == 1 or sum(len(message.body) for message in batch) <= SIZE
        for message in batch:
            assert message.key not in self.flying
            parts = message.parts or (message,)
            assert list(parts) == self.waiting[message.key][: len(parts)]
            assert all(part.upsert for part in message.parts)
            self.flying[message.key] = message

    def _forget_closed(self, key: str, after: int = 0) -> None:
        queue = self.waiting.get(key, [])
        self.waiting[key] = queue[:after] + [message for message in queue[after:] if not message.tracker.closed]


OUTCOMES: list[Outcome] = [
    *(DELIVERED, Filtered("expired"), Rejected("no"), Retry("busy"), Throttled(2.0), Throttled(None), Blocked("key")),
    *(Unknown("cut"), Unfinished(1.0)),
]


class Wellbeing(RuleBasedStateMachine):
    """Any verdicts in any order, with pauses, drains and connection tests between them."""

    @initialize(concurrency=st.sampled_from([1, 32]), give_up=st.sampled_from([None, 30.0]), limit=st.booleans())
    def begin(self, concurrency: int, give_up: float | None, limit: bool) -> None:
        self.health = Health(
            backoff=Backoff(0.5, 60.0, Random(1)),
            concurrency=concurrency,
            attempts=3,
            give_up_after=give_up,
            burials=BurialLimit(50, 20) if limit else None,
        )
        self.gives_up = give_up is not None
        self.now = 0.0
        self.partition = Partition()
        self.flying: list[Batch] = []
        self.waiting: list[Message] = []
        self.checking = False
        self.drained, self.paused = True, False
        self.throttled_until = 0.0

    @rule(wait=waits)
    def wait(self, wait: float) -> None:
        self.now += wait

    @rule()
    def assign(self) -> None:
        self.health.assign()
        self.drained = False

    @rule()
    def drain(self) -> None:
        self.health.drain()
        self.drained = True

    @rule(paused=st.booleans())
    def command(self, paused: bool) -> None:
        self.health.pause("by hand") if paused else self.health.resume()
        self.paused = paused

    @rule(key=keys, again=st.booleans())
    def call(self, key: str, again: bool) -> None:
        """As a sender would: what is permitted, and nothing else."""
        permit = self.health.permit(self.now)
        if permit is Permit.CHECK:
            self.health.begin_check()
            self.checking = True
        if permit not in (Permit.ALL, Permit.CANARY):
            return
        waiting = [message for message in self.waiting if message.key == key]
        message = waiting[0] if again and waiting else self.partition.message(key)
        self.waiting = [each for each in self.waiting if each is not message]
        batch = Batch([message], started=self.now, canary=permit is Permit.CANARY)
        self.health.begin(batch)
        self.flying.append(batch)

    @precondition(lambda self: self.flying)
    @rule(place=st.integers(0, 40), outcome=st.sampled_from(OUTCOMES))
    def answer(self, place: int, outcome: Outcome) -> None:
        batch = self.flying.pop(place % len(self.flying))
        [message] = batch.messages
        state = self.health.state(self.now)
        action = self.health.judge(message, outcome, batch, self.now)
        self.health.finish(batch, self.now)
        self._fits(outcome, action, state)
        if isinstance(action, Delay | Release):
            self.waiting.append(message)
        if isinstance(outcome, Throttled):
            self.throttled_until = max(self.throttled_until, self.now + (outcome.after or 0.0))

    @precondition(lambda self: self.checking)
    @rule(refusal=st.sampled_from([None, "no", "unreachable"]), pending=st.booleans())
    def checked(self, refusal: str | None, pending: bool) -> None:
        self.checking = False
        if refusal == "unreachable":
            self.health.unreachable("reset", self.now, self.now)
        else:
            self.health.checked(refusal, self.now, self.now, pending=pending)

    @invariant()
    def nothing_goes_out_that_must_not(self) -> None:
        permit, state = self.health.permit(self.now), self.health.state(self.now)
        if self.drained or self.paused or self.now < self.throttled_until:
            assert permit is Permit.NOTHING
        assert state is not State.RUNNING or permit is Permit.ALL
        assert permit is not Permit.ALL or state is State.RUNNING
        assert (self.health.reason() is None) is (state is State.RUNNING)

    @invariant()
    def it_recovers_by_itself(self) -> None:
        """Unless people, the group or a call under way hold it, time alone lets something out."""
        held = self.health.state(self.now) in (State.DRAINING, State.PAUSED)
        probing = self.checking or any(batch.canary for batch in self.flying)
        if self.health.permit(self.now) is Permit.NOTHING and not held and not probing:
            change = self.health.next_change(self.now)
            assert self.now < change < self.now + 61
            assert self.health.permit(change) is not Permit.NOTHING

    def _fits(self, outcome: Outcome, action: Any, state: State) -> None:
        """What becomes of a message is what the table in `stream.core.health` allows for its verdict."""
        allowed: dict[type, tuple[type, ...]] = {
            Rejected: (Bury,),
            Unknown: (Bury,),
            Throttled: (Release,),
            Unfinished: (Delay,),
            Filtered: (Settle,),
            Retry: (Delay, Bury),
            Blocked: (Release, Delay, Bury),
        }
        assert isinstance(action, allowed.get(type(outcome), (Settle,)))
        if isinstance(action, Bury):
            assert action.reason == {Rejected: "rejected", Unknown: "unknown_outcome"}.get(type(outcome), "exhausted")
            assert self.gives_up or action.reason != "exhausted" or state is not State.BLOCKED
