"""Delivery with as many calls in flight as are found to pay. How that is found is `stream.core.concurrency`'s."""

from collections.abc import Sequence
from typing import Any

from stream.core.concurrency import AdaptiveLimit
from stream.core.outcomes import Blocked, Outcome, Retry, Throttled, Unknown
from stream.core.records import Batch
from stream.delivery import Delivery
from stream.destinations.base import Calls

UNANSWERED = (Retry, Unknown, Blocked, Throttled)


class AdaptiveDelivery(Delivery):
    """One destination's senders: all sleep, but for as many as may call at once."""

    def __init__(self, destination: Calls, *, concurrency: int, **given: Any) -> None:
        """*concurrency*: how many senders there are, and so the most that may be in flight."""
        super().__init__(destination, concurrency=concurrency, **given)
        self._adaptive = AdaptiveLimit(concurrency)
        self._follow()

    def wake(self) -> None:
        """Something may have become possible; whoever ends a call looks by itself."""
        if not self._crowded():
            super().wake()

    def share(self, part: float) -> None:
        """This member makes so great a *part* of its group's calls from now on: the others' change what it measures."""
        self._adaptive.share(part)

    def _crowded(self) -> bool:
        return self.in_flight >= self.concurrency or super()._crowded()

    async def _send(self, batch: Batch) -> Sequence[Outcome] | None:
        started = self._loop.time()
        self._adaptive.begin(started)
        good, refused = 0, False
        try:
            outcomes = await super()._send(batch)
            if outcomes is None:  # they are refused as one: an answer to each
                good = len(batch)
            else:
                good = len([outcome for outcome in outcomes if not isinstance(outcome, UNANSWERED)])
                refused = good < len(batch) and any(isinstance(outcome, Throttled) for outcome in outcomes)
        finally:
            self._adaptive.end(started, self._loop.time(), good, refused=refused)
            self._follow()
        return outcomes

    def _follow(self) -> None:
        """Let as many call as are found to pay now."""
        before = self.concurrency
        self.concurrency = self.health.concurrency = self._adaptive.limit
        if self.concurrency > before:
            self.wake()
