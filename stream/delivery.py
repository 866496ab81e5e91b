"""Performs what the core decides: sends batches, settles, delays and buries messages, runs the connection test.

As many long-lived senders as calls may be in flight; each takes the next batch, sends it, deals with the answer and
takes the next, and sleeps only when nothing may be sent. Decisions are in `stream.core`; records and commits in
`stream.pipeline`.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from stream.core.health import Bury, Delay, Health, Permit, Release, Settle
from stream.core.lease import Lease
from stream.core.limits import NEVER, Limit
from stream.core.outcomes import (
    Blocked,
    Delivered,
    Outcome,
    Refused,
    Rejected,
    Retry,
    Throttled,
    Unknown,
    all_delivered,
    impersonal,
)
from stream.core.records import Batch, Message, Record
from stream.core.scheduler import Scheduler
from stream.destinations.base import Calls
from stream.http import CertificateRefused, NotSent, Unanswered
from stream.http.responses import wait_asked
from stream.http.tokens import TokenRefused
from stream.once import Intents, Once
from stream.telemetry.metrics import Meters

CERTIFICATE = "look at base_url, http.ca_file and this machine's clock"
CHECK_SECONDS = 15.0  # what a connection test may take
CHECK_CALLS = 10  # about so many are in it: what they wait for their turn comes on top


class Burials(Protocol):
    """Where dead letters go."""

    async def bury(self, record: Record, bury: Bury, *, attempts: int, first_failed_at: float | None) -> None:
        """Returns once the broker has acknowledged the letter, however long that takes."""


class Delivery:
    """One destination's senders."""

    def __init__(
        self,
        destination: Calls,
        *,
        scheduler: Scheduler,
        health: Health,
        limit: Limit,
        lease: Lease,
        burials: Burials,
        meters: Meters,
        concurrency: int,
        gate: Callable[[Message], str | None] | None = None,
        journal: Intents | None = None,
        wall: Callable[[], float],
    ) -> None:
        self.destination = destination
        self.scheduler = scheduler
        self.health = health
        self.concurrency = concurrency  # calls that may be in flight now
        self._senders = concurrency
        self.in_flight = 0  # calls, and burials that await their acknowledgement
        self.filtered: Counter[str] = Counter()  # reasons, for people
        self._limit = limit
        self._lease = lease
        self._burials = burials
        self._meters = meters
        self._gate = gate
        self._once = None if journal is None else Once(journal, self, lease)
        self._wall = wall
        self._idle: list[asyncio.Future[None]] = []
        self._quiet = asyncio.Event()
        self._quiet.set()
        self._timer: asyncio.Handle | None = None
        self._rings_at = float("inf")  # kept here: uvloop's handle of a time that is all but now does not tell it
        self._loop = asyncio.get_running_loop()

    async def run(self) -> None:
        """Send until cancelled."""
        async with asyncio.TaskGroup() as senders:
            for number in range(self._senders):
                senders.create_task(self._sender(), name=f"sender-{number}")

    def wake(self) -> None:
        """Something may have become possible. One sender looks; where there is more to do it wakes the next."""
        while self._idle:
            sleeper = self._idle.pop()
            if not sleeper.done():
                sleeper.set_result(None)
                return

    def share(self, part: float) -> None:
        """This member makes so great a *part* of its group's calls from now on."""

    async def quiet(self) -> None:
        """Returns when no call and no burial is under way."""
        await self._quiet.wait()

    def barred(self, message: Message) -> bool:
        """Whether the gate would filter the message now."""
        return self._gate is not None and self._gate(message) is not None

    def settle(self, message: Message, filtered: str | None = None) -> None:
        """Count the message's offsets and free its key."""
        if filtered is not None:
            for part in message.parts or (message,):
                self.filtered[filtered] += 1
                self._meters.filtered.inc()
                part.tracker.settle(part.record.offset, "filtered")
        else:
            last = message
            if message.parts:
                *others, last = message.parts
                for part in others:
                    self._meters.coalesced.inc()
                    part.tracker.settle(part.record.offset, "coalesced")
            record = last.record
            self._meters.delivered.inc()
            self._meters.delivery_seconds.observe(max(0.0, self._wall() - record.timestamp / 1000))
            last.tracker.settle(record.offset, "delivered")
        self.scheduler.finish(message, self._loop.time())

    async def bury(self, message: Message, bury: Bury) -> None:
        """Write the dead letter of a message in flight; it is settled once the broker has it."""
        first = (
            None if message.first_failed_at is None else self._wall() - (self._loop.time() - message.first_failed_at)
        )
        attempts = message.failures + (bury.reason != "exhausted")
        await self.destination.buried(message, bury.reason, bury.detail)
        await self._burials.bury(message.record, bury, attempts=attempts, first_failed_at=first)
        if not message.tracker.closed:
            self._meters.dead_lettered.inc()
        message.tracker.settle(message.record.offset, "dead_lettered")
        self.scheduler.finish(message, self._loop.time())

    async def bury_waiting(self, message: Message, bury: Bury) -> None:
        """Bury a message that waits at the head of a delayed key, if it still does."""
        if self.scheduler.seize(message):
            with self.busy():
                await self.bury(message, bury)
            self.wake()

    @contextmanager
    def busy(self) -> Iterator[None]:
        """Something is under way that a revocation waits for."""
        self._enter()
        try:
            yield
        finally:
            self._leave()

    # The senders

    async def _sender(self) -> None:
        while True:
            now = self._loop.time()
            match self._permit(now):
                case Permit.ALL:
                    messages = self.scheduler.take(now)
                    canary = False
                case Permit.CANARY:
                    messages = self.scheduler.take_any(now)
                    canary = True
                case Permit.CHECK:
                    await self.check()
                    continue
                case Permit.NOTHING:
                    messages = []
            if not messages:
                await self._sleep(now)
                continue
            if self._once is not None and not (messages := await self._once.choose(messages)):
                continue
            if self._gate is not None and not (messages := self._pass_gate(messages)):
                continue
            await self._call(Batch(messages, now, self._lease.deadline(now), canary))

    def _permit(self, now: float) -> Permit:
        if not self._lease.holds(now) or self._limit.free_at() > now or self._crowded():
            return Permit.NOTHING
        return self.health.permit(now)

    def _crowded(self) -> bool:
        return self._once is not None and self._once.crowded(self._limit)

    async def _sleep(self, now: float) -> None:
        """Wait for `wake`, or for the time at which something becomes possible by itself."""
        due = self._next_change(now)
        if due < self._rings_at:
            if self._timer is not None:
                self._timer.cancel()
            self._timer, self._rings_at = self._loop.call_at(due, self._ring), due
        sleeper = self._loop.create_future()
        self._idle.append(sleeper)
        await sleeper

    def _next_change(self, now: float) -> float:
        """When something may be sent by the passing of time alone; what else may change it calls `wake`."""
        if not self._lease.holds(now) or self._crowded():
            return float("inf")
        if self._limit.free_at() > now:
            return self._limit.free_at()
        if self.health.permit(now) is Permit.NOTHING:
            return self.health.next_change(now)
        return self.scheduler.next_due()

    def _ring(self) -> None:
        self._timer, self._rings_at = None, float("inf")
        self.wake()

    def _pass_gate(self, messages: list[Message]) -> list[Message]:
        """The messages that may be sent now; the others are settled as filtered."""
        assert self._gate is not None  # noqa: S101 - for the type checker
        passed = []
        for message in messages:
            reason = self._gate(message)
            if reason is None:
                passed.append(message)
            elif message.parts:  # which of them it concerns is seen when each goes alone
                self.scheduler.release(self.scheduler.take_apart(message), self._loop.time())
            else:
                self.settle(message, filtered=reason)
        return passed

    async def _call(self, batch: Batch) -> None:
        """One vendor call, from start to the last settled message."""
        self.health.begin(batch)
        self._enter()
        if self._idle and self.scheduler.ready:
            self.wake()
        try:
            if self._once is not None and not await self._once.begin(batch):
                return
            outcomes = await self._send(batch)
            if outcomes is None:
                await self._split(batch)
                return
            if not all_delivered(outcomes):
                outcomes = impersonal(outcomes, [message.fields for message in batch])
                if self.scheduler.keys == 1 and any(isinstance(outcome, Retry) for outcome in outcomes):
                    await self.check(CHECK_SECONDS)  # no other key can tell an outage from this message's own fault
            for message, outcome in zip(batch.messages, outcomes, strict=True):
                if isinstance(outcome, Delivered):
                    self.health.delivered(message, batch)
                    if self._once is None or await self._once.end(message, outcome):
                        self.settle(message)
                else:
                    await self._perform(message, outcome, batch)
            self.health.finish(batch, self._loop.time())
            if self.health.exhausted or self.health.recovered_since is not None:
                await self._follow_up()
        finally:
            self._leave()

    async def _send(self, batch: Batch) -> Sequence[Outcome] | None:
        """One outcome for each message, whatever the call came to; None where several were refused as one."""
        try:
            outcomes = await self.destination.send(batch)
        except NotSent as error:
            return [Retry(f"not sent: {error}")] * len(batch)
        except Unanswered as error:
            detail = f"no answer: {error}"
            return [Retry(detail) if self.destination.repeatable else Unknown(detail)] * len(batch)
        except CertificateRefused as error:
            return [Blocked(f"certificate not trusted: {error}", hint=CERTIFICATE)] * len(batch)
        except TokenRefused as error:
            return [self._without_token(error)] * len(batch)
        except Refused as refusal:
            if len(batch) > 1:
                return None
            return [refusal.rejected]
        if len(outcomes) != len(batch):
            raise RuntimeError(f"{self.destination.type} returned {len(outcomes)} outcomes for {len(batch)} messages")
        return outcomes

    def _without_token(self, error: TokenRefused) -> Retry | Throttled | Blocked:
        """What it means that no token could be had. Nothing was sent."""
        status = error.response.status
        if status == 429:
            return Throttled(wait_asked(error.response, self._wall()), str(error), status)
        if status >= 500 or status in (408, 425):
            return Retry(str(error), status)
        return Blocked(str(error), status, hint="the credentials were refused: look at the destination's keys")

    async def _perform(self, message: Message, outcome: Outcome, batch: Batch) -> None:
        now = self._loop.time()
        if message.parts and not isinstance(outcome, Delivered | Throttled):
            message = self.scheduler.take_apart(message)
            if isinstance(outcome, Rejected):
                self.scheduler.release(message, now)  # which part it was is seen when each goes alone
                return
        action = self.health.judge(message, outcome, batch, now)
        if self._once is not None and not await self._once.end(message, outcome):
            return
        match action:
            case Settle(filtered):
                self.settle(message, filtered)
            case Bury() as bury:
                await self.bury(message, bury)
            case Delay(until):
                self.scheduler.delay(message, until)
            case Release():
                self.scheduler.release(message, now)

    async def _split(self, batch: Batch) -> None:
        """Send the messages of a refused call again in smaller company, until the bad one stands alone."""
        now = self._loop.time()
        for message in batch.messages:
            message.company = len(batch) // 2
            if self._once is None or await self._once.end(message, Throttled()):
                self.scheduler.release(message, now)
        self.health.finish(batch, now)

    async def _follow_up(self) -> None:
        """What the call said about other messages than its own."""
        if self.health.recovered_since is not None:
            self.scheduler.hasten(self.health.recovered_since, self._loop.time())
            self.health.recovered_since = None
            self.wake()
        while self.health.exhausted:
            message = self.health.exhausted.pop()
            if self.scheduler.seize(message):
                await self.bury(message, self.health.bury_exhausted(message))

    async def check(self, most: float | None = None) -> bool:
        """Run the connection test and tell the state machine. False where the partitions went away in its midst.

        It takes *most* seconds; None: as long as it needs to wait for its turns.
        """
        started = self._loop.time()
        self.health.begin_check()
        refusal: str | None = None
        try:
            async with asyncio.timeout(most or CHECK_SECONDS + CHECK_CALLS * self._limit.interval):
                async for check in self.destination.check():
                    if check.ok is False and refusal is None:
                        refusal = f"{check.name}: {check.text}" + (f". {check.hint}" if check.hint else "")
        except (NotSent, Unanswered, TimeoutError) as error:
            if self._limit.free_at() == NEVER:  # it was held, not the vendor gone
                self.health.call_off_check()
                return False
            self.health.unreachable(f"connection test: {error or 'no answer in time'}", started, self._loop.time())
            return True
        except CertificateRefused as error:
            refusal = f"certificate not trusted: {error}. {CERTIFICATE}"
        except TokenRefused as error:
            outcome = self._without_token(error)
            if not isinstance(outcome, Blocked):
                self.health.unreachable(f"connection test: {error}", started, self._loop.time())
                return True
            refusal = f"{outcome.detail}. {outcome.hint}"
        self.health.checked(refusal, started, self._loop.time(), pending=self.scheduler.keys > 0)
        self.wake()
        return True

    def _enter(self) -> None:
        self.in_flight += 1
        self._quiet.clear()

    def _leave(self) -> None:
        self.in_flight -= 1
        if not self.in_flight:
            self._quiet.set()
