"""Which message goes next: a queue per key, so that one contact's events stay in order and never wait for another's.

A key is idle (nothing waits), ready (its head may be sent), in flight, or delayed (its head failed and waits). A batch
takes the heads of many ready keys; a key is never twice in a batch.
"""

from collections import deque
from collections.abc import Callable, Hashable, Iterator, Sequence
from enum import Enum, auto
from heapq import heappop, heappush
from itertools import count

from stream.core.records import Message

Merge = Callable[[Sequence[Message]], Message]


class Lane:
    """One key's queue. What is in flight stays at its head until it is settled."""

    __slots__ = ("due", "key", "queue", "ready_since", "state", "taken")

    def __init__(self, key: Hashable) -> None:
        self.key = key
        self.queue: deque[Message] = deque()
        self.state = State.READY
        self.taken = 0  # messages in flight: one, or the parts of a merged one
        self.due = 0.0
        self.ready_since = 0.0

    def waits_until(self, due: float) -> bool:
        """Whether it is delayed, and was so with this time: the heap may know older ones."""
        return self.state is State.DELAYED and self.due == due


class State(Enum):
    """Of a lane; an idle one does not exist."""

    READY = auto()
    IN_FLIGHT = auto()
    DELAYED = auto()


class Scheduler:
    """Queues by key, and the batches made of their heads. All times are seconds of one monotonic clock."""

    def __init__(
        self,
        *,
        ordered: bool = True,
        items: int = 1,
        size: int = 1024 * 1024,
        linger: float = 0.0,
        merge: Merge | None = None,
    ) -> None:
        self._ordered = ordered
        self._items = items
        self._size = size
        self._linger = linger
        self._merge = merge  # given where consecutive upserts may go out as one
        self._lanes: dict[Hashable, Lane] = {}
        self._ready: deque[Lane] = deque()
        self._delayed: list[tuple[float, int, Lane]] = []  # a heap; also of lanes that wait no longer, until their time
        self._waiting = 0  # lanes that are delayed
        self._ticket = count()  # breaks ties in the heap
        self.size = 0  # bytes of everything queued

    def __len__(self) -> int:
        return sum(len(lane.queue) for lane in self._lanes.values())

    def __iter__(self) -> Iterator[Message]:
        return (message for lane in self._lanes.values() for message in lane.queue)

    def __repr__(self) -> str:
        return f"<{len(self._lanes)} keys, {len(self._ready)} ready, {len(self._delayed)} delayed>"

    @property
    def keys(self) -> int:
        """How many keys have something pending."""
        return len(self._lanes)

    @property
    def ready(self) -> int:
        """How many keys could be sent now."""
        return len(self._ready)

    def all_delayed(self) -> bool:
        """Whether every pending key has failed and waits."""
        return 0 < self._waiting == len(self._lanes)

    def add(self, message: Message, now: float) -> None:
        """Queue a message behind its key's others."""
        key: Hashable = message.key if self._ordered else message
        lane = self._lanes.get(key)
        if lane is None:
            lane = self._lanes[key] = Lane(key)
            lane.ready_since = now
            self._ready.append(lane)
        lane.queue.append(message)
        self.size += message.size

    def take(self, now: float) -> list[Message]:
        """The next batch, now in flight; empty where nothing is ready or it still waits to fill up."""
        self.wake(now)
        ready = self._ready
        if not ready:
            return []
        if self._items == 1:
            return [self._start(ready.popleft())]
        if len(ready) < self._items and now < ready[0].ready_since + self._linger:
            return []
        return self._fill()

    def take_any(self, now: float) -> list[Message]:
        """One message as a canary, now in flight: of a ready key, else of the key that has waited longest."""
        self.wake(now)
        if self._ready:
            return [self._start(self._ready.popleft())]
        while self._delayed:
            due, _, lane = heappop(self._delayed)
            if lane.waits_until(due):
                self._waiting -= 1
                return [self._start(lane)]
        return []

    def finish(self, message: Message, now: float) -> None:
        """The message in flight is settled: its key's next one is ready."""
        lane = self._lanes[message.key if self._ordered else message]
        queue = lane.queue
        if lane.taken == 1:
            self.size -= queue.popleft().size
        else:
            self.size -= sum(queue.popleft().size for _ in range(lane.taken))
        self._next(lane, now)

    def release(self, message: Message, now: float) -> None:
        """The message in flight was not sent after all: its key is ready again, behind the others."""
        lane = self._lane(message)
        self._drop_closed(lane)
        self._next(lane, now)

    def take_apart(self, merged: Message) -> Message:
        """The oldest part of a merged message, in flight in its place; none of the parts is merged again."""
        for part in merged.parts:
            part.alone = True
        self._lane(merged).taken = 1
        head = merged.parts[0]
        head.started, head.previous = merged.started, merged.previous
        return head

    def delay(self, message: Message, due: float) -> None:
        """The message in flight failed: its key waits until *due*."""
        lane = self._lane(message)
        self._drop_closed(lane)
        if not lane.queue:
            del self._lanes[lane.key]
            return
        lane.taken = 0
        lane.state = State.DELAYED
        lane.due = due
        self._waiting += 1
        heappush(self._delayed, (due, next(self._ticket), lane))

    def hasten(self, failed_since: float, now: float) -> None:
        """Make ready the delayed keys whose last call began at *failed_since* or later: what held them back is over."""
        for _, _, lane in self._delayed:
            if lane.state is State.DELAYED and lane.queue[0].started >= failed_since:
                self._waiting -= 1
                self._next(lane, now)

    def seize(self, message: Message) -> bool:
        """Take a delayed key's head in flight in order to bury it; False where it is not waiting there."""
        lane = self._lanes.get(message.key if self._ordered else message)
        if lane is None or lane.state is not State.DELAYED or lane.queue[0] is not message:
            return False
        lane.state = State.IN_FLIGHT
        lane.taken = 1
        self._waiting -= 1
        return True

    def heads(self) -> Iterator[Message]:
        """The oldest message of each key."""
        return (lane.queue[0] for lane in self._lanes.values())

    def delayed_heads(self) -> Iterator[Message]:
        """The messages that failed and wait, one for each delayed key."""
        return (lane.queue[0] for due, _, lane in self._delayed if lane.waits_until(due))

    def drop_closed(self, now: float) -> None:
        """Forget the messages of partitions that were given up. Calls in flight keep their place until they end."""
        for lane in list(self._lanes.values()):
            if lane.state is State.IN_FLIGHT:
                self._drop_closed(lane, after=lane.taken)
                continue
            head = lane.queue[0]
            self._drop_closed(lane)
            if lane.queue and lane.queue[0] is head:
                continue
            self._waiting -= lane.state is State.DELAYED
            if not lane.queue:
                del self._lanes[lane.key]
                lane.state = State.IN_FLIGHT  # so that the heap passes it over
            elif lane.state is State.DELAYED:
                self._next(lane, now)
        self._ready = deque(lane for lane in self._ready if lane.queue)

    def wake(self, now: float) -> None:
        """Make ready the keys whose delay is over."""
        delayed = self._delayed
        while delayed and delayed[0][0] <= now:
            due, _, lane = heappop(delayed)
            if lane.waits_until(due):
                self._waiting -= 1
                self._next(lane, now)

    def next_due(self) -> float:
        """When something becomes ready by the passing of time alone; infinite where nothing will."""
        due = self._delayed[0][0] if self._delayed else float("inf")
        if self._ready and self._items > 1:
            due = min(due, self._ready[0].ready_since + self._linger)
        return due

    def _fill(self) -> list[Message]:
        """Heads of ready keys up to the bounds of a call, no larger than each of them may travel in."""
        batch: list[Message] = []
        size, room = 0, self._items
        while self._ready and len(batch) < room:
            head = self._ready[0].queue[0]
            if batch and (size + len(head.body) > self._size or len(batch) >= head.company):
                break
            room = min(room, head.company)
            message = self._start(self._ready.popleft())
            size += len(message.body)
            batch.append(message)
        return batch

    def _start(self, lane: Lane) -> Message:
        lane.state = State.IN_FLIGHT
        lane.taken = 1
        head = lane.queue[0]
        if self._merge is None or len(lane.queue) == 1 or not head.upsert or head.alone:
            return head
        run: list[Message] = []
        for message in lane.queue:
            if not message.upsert or message.alone:
                break
            run.append(message)
        if len(run) == 1:
            return head
        lane.taken = len(run)
        return self._merge(run)

    def _next(self, lane: Lane, now: float) -> None:
        lane.taken = 0
        if not lane.queue:
            del self._lanes[lane.key]
            return
        lane.state = State.READY
        lane.ready_since = now
        self._ready.append(lane)

    def _lane(self, message: Message) -> Lane:
        return self._lanes[message.key if self._ordered else message]

    def _drop_closed(self, lane: Lane, after: int = 0) -> None:
        """Forget the lane's messages of partitions that were given up, but for the first *after* ones."""
        kept = deque(m for i, m in enumerate(lane.queue) if i < after or not m.tracker.closed)
        if len(kept) < len(lane.queue):
            self.size -= sum(m.size for m in lane.queue) - sum(m.size for m in kept)
            lane.queue = kept
