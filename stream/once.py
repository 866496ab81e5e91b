"""What delivery does beyond the usual where a call must not be repeated: the journal before and after each call."""

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from schemas.journal import Word
from stream.core.health import Bury, Permit
from stream.core.lease import Lease
from stream.core.limits import Limit
from stream.core.outcomes import Delivered, Outcome, Unknown
from stream.core.records import Batch, Message
from stream.topics.journal import Facts, Standing

if TYPE_CHECKING:
    from stream.delivery import Delivery

HOLD_SECONDS = 1.0  # before the journal is asked again about a message that can neither go nor settle
BEGINNING_SECONDS = 0.05  # about what it takes to commit an intent
PARKED = Bury("unknown_outcome", "a call for it was begun before, and how that ended is not known")


class Intents(Protocol):
    """The journal. Where a method says no, its partition is lost: the message must neither go nor settle."""

    def standing(self, message: Message) -> Standing: ...
    async def begin(self, message: Message) -> bool: ...
    async def end(self, message: Message, word: Word | None, facts: Facts = ()) -> bool: ...


class Once:
    """Sees to it that no message is sent twice, whatever happens to this process or to who is its owner."""

    def __init__(self, journal: Intents, delivery: "Delivery", lease: Lease) -> None:
        self._journal = journal
        self._delivery = delivery
        self._lease = lease
        self._loop = asyncio.get_running_loop()
        self._beginning = 0  # calls whose intents are being committed

    def crowded(self, limit: Limit) -> bool:
        """Whether another call would wait for its turn with its intent committed, to be parked if we die meanwhile."""
        return self._beginning > 0 and limit.interval > BEGINNING_SECONDS

    async def choose(self, messages: Sequence[Message]) -> list[Message]:
        """Those of the messages in hand that may be sent. The others settle or are parked by what the journal says."""
        free: list[Message] = []
        unknown: list[Message] = []
        for message in messages:
            match self._journal.standing(message):
                case Standing.FREE:
                    free.append(message)
                case Standing.SENT:
                    self._delivery.settle(message, filtered="duplicate")
                case Standing.UNKNOWN:
                    unknown.append(message)
                case Standing.PENDING | Standing.LOST:
                    self._hold(message)
        if not unknown:
            return free
        for message in free:  # what may be sent has to be asked anew after the burials
            self._delivery.scheduler.release(message, self._loop.time())
        with self._delivery.busy():
            for message in unknown:
                await self._delivery.bury(message, PARKED)
        return []

    async def begin(self, batch: Batch) -> bool:
        """Whether the call may be made: its intents are committed, and it is not too late. Takes out what is lost."""
        self._beginning += 1
        try:
            begun = await asyncio.gather(*(self._journal.begin(message) for message in batch))
        finally:
            self._beginning -= 1
        self._delivery.wake()
        for message, fine in zip(batch.messages, begun, strict=True):
            if not fine:
                self._hold(message)
        batch.messages = [message for message, fine in zip(batch.messages, begun, strict=True) if fine]
        if batch.messages and self._in_time(batch):
            return True
        await self._withdraw(batch)
        return False

    async def end(self, message: Message, outcome: Outcome) -> bool:
        """Whether the message may go on as its outcome says: the journal has it. Else it is held."""
        word: Word | None = "withdrawn"
        if isinstance(outcome, Delivered):
            word = "sent"
        elif isinstance(outcome, Unknown):
            word = None
        facts = outcome.facts if isinstance(outcome, Delivered) else ()
        if await self._journal.end(message, word, facts):
            return True
        self._hold(message)
        return False

    def _in_time(self, batch: Batch) -> bool:
        """Whether what allowed the call still does."""
        now = self._loop.time()
        permitted = batch.canary or self._delivery.health.permit(now) is Permit.ALL
        if not permitted or not self._lease.holds(now) or now >= batch.deadline:
            return False
        return not any(self._delivery.barred(message) for message in batch)

    async def _withdraw(self, batch: Batch) -> None:
        for message in batch:
            if await self._journal.end(message, "withdrawn"):
                self._delivery.scheduler.release(message, self._loop.time())
            else:
                self._hold(message)
        self._delivery.health.call_off(batch)
        self._delivery.wake()

    def _hold(self, message: Message) -> None:
        """Until its partition is given up, or the call of the same id is over."""
        self._delivery.scheduler.delay(message, self._loop.time() + HOLD_SECONDS)
