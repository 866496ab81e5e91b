"""`python -m tests.chaos.sabotage NAME run -c FILE …`: crmstream with a fault planted, for the checkers to find.

Each fault is one that a product of this kind could have. They are planted when the process starts, by exchanging
functions; `tests/mutants.yaml` has smaller ones, which unit tests find.
"""

import asyncio
import sys
from collections.abc import Callable
from typing import Any

from stream.core import health, lease, limits, offsets, scheduler
from stream.core.outcomes import Retry, Unknown
from stream.delivery import Delivery
from stream.pipeline import Pipeline
from stream.topics.erasures import Erasures

HANGS_AFTER = 50  # calls

SABOTAGE: dict[str, Callable[[], None]] = {}


def planted(plant: Callable[[], None]) -> Callable[[], None]:
    """By its name, with hyphens."""
    SABOTAGE[plant.__name__.replace("_", "-")] = plant
    return plant


@planted
def commit_what_was_read() -> None:
    """The position is the highest offset that was read, settled or not."""

    def commit(self: offsets.OffsetTracker) -> tuple[int, str]:
        return self.next_offset, offsets.encode(self.next_offset, self.totals, b"")

    exchange(offsets.OffsetTracker, "commit", commit)


@planted
def take_a_failure_for_success() -> None:
    """What came back as 503 is settled."""
    _settle(Retry)


@planted
def swallow_an_unknown() -> None:
    """A text whose fate nobody knows is settled, and not parked."""
    _settle(Unknown)


def _settle(kind: type) -> None:
    judge = health.Health.judge

    def judged(self: health.Health, message: Any, outcome: Any, batch: Any, now: float) -> Any:
        return health.SETTLE if isinstance(outcome, kind) else judge(self, message, outcome, batch, now)

    exchange(health.Health, "judge", judged)


@planted
def bury_at_once() -> None:
    """The first 503 makes a dead letter."""

    def failed(self: health.Health, message: Any, detail: str, status: int | None, *_: Any) -> health.Action:
        return health.Bury("exhausted", detail, status)

    exchange(health.Health, "_failed", failed)


@planted
def count_one_twice() -> None:
    """The first offset of each partition is counted twice."""
    settle = offsets.OffsetTracker.settle

    def settled(self: offsets.OffsetTracker, offset: int, outcome: Any) -> None:
        if not offset:
            self.totals[outcome] += 1
        settle(self, offset, outcome)

    exchange(offsets.OffsetTracker, "settle", settled)


@planted
def ignore_what_is_settled_above() -> None:
    """A restart reads the position alone."""
    decode = offsets.decode

    def decoded(position: int, metadata: str | None) -> Any:
        totals, done = decode(position, metadata)
        return totals, type(done)()

    exchange(offsets, "decode", decoded)


@planted
def leave_without_a_commit() -> None:
    """A clean stop commits nothing more."""
    revoke = Pipeline.revoke

    async def revoked(self: Pipeline) -> None:
        async def nothing(*_: object) -> bool:
            return True

        if self._stopping.is_set():
            self._commit = nothing  # type: ignore[method-assign, assignment]
        await revoke(self)

    exchange(Pipeline, "revoke", revoked)


@planted
def drop_the_key_lock() -> None:
    """Events of one contact are sent side by side."""
    start = scheduler.Scheduler.__init__

    def unordered(self: scheduler.Scheduler, **options: Any) -> None:
        start(self, **options | {"ordered": False})

    exchange(scheduler.Scheduler, "__init__", unordered)


@planted
def keep_the_lease() -> None:
    """Who was a member once may send for ever."""
    exchange(lease.Lease, "holds", lambda *_: True)
    exchange(lease.Lease, "deadline", lambda _, now: now + 10)


@planted
def ignore_the_limit() -> None:
    """Every request may start at once."""
    exchange(limits.RateLimit, "reserve", lambda *_: 0.0)
    exchange(limits.RateLimit, "free_at", lambda _: 0.0)


@planted
def do_without_the_journal() -> None:
    """Nothing is noted of a text before it is sent."""
    start = Delivery.__init__

    def unknowing(self: Delivery, destination: Any, **options: Any) -> None:
        start(self, destination, **options | {"journal": None})

    exchange(Delivery, "__init__", unknowing)


@planted
def forget_who_was_erased() -> None:
    """The gate lets everyone pass."""
    exchange(Erasures, "erased", lambda *_: False)


@planted
def hang() -> None:
    """After some calls each sender waits for what never comes."""
    call, calls = Delivery._call, 0

    async def called(self: Delivery, batch: Any) -> None:
        nonlocal calls
        calls += 1
        if calls > HANGS_AFTER:
            await asyncio.Event().wait()
        await call(self, batch)

    exchange(Delivery, "_call", called)


def exchange(owner: object, name: str, new: object) -> None:
    """Put *new* in the place of something that is there."""
    assert hasattr(owner, name), f"{owner} has no {name} any more"
    setattr(owner, name, new)


def main() -> None:
    """Plant the fault that the first argument names; the rest is crmstream's."""
    SABOTAGE[sys.argv.pop(1)]()
    from stream.cli import main as crmstream

    crmstream()


if __name__ == "__main__":
    main()
