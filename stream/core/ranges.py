"""Offsets of one partition where all that was read is settled together, as a file's are: two numbers say which."""

from collections import Counter
from collections.abc import Iterable, Mapping

from stream.core.offsets import MAX_WINDOW, OffsetTracker, SettledTwice
from stream.core.outcomes import Counted

UNBOUNDED = 1 << 62


class RangeTracker(OffsetTracker):
    """Everything from the position to the next offset to read is unsettled, until a run settles all of it.

    So nothing above the position is ever done, its metadata holds counters alone, and no span bounds it.
    """

    __slots__ = ("_known", "_passed_over")

    def __init__(
        self,
        topic: str,
        partition: int,
        position: int,
        *,
        window: int = MAX_WINDOW,
        totals: Mapping[Counted, int] | None = None,
        done: Iterable[int] = (),
    ) -> None:
        """*done*, from a commit of another kind, is read again. *window* is not kept to."""
        super().__init__(topic, partition, position, window=window, totals=totals)
        self.window = UNBOUNDED
        self._known = Counter[Counted]()  # of the unsettled
        self._passed_over = Counter[Counted]()  # since the position: counted when it moves
        del done

    def admits(self, offset: int) -> bool:  # noqa: ARG002
        """Always: what bounds it is how many contacts wait."""
        return True

    def admit(self, offset: int) -> bool:
        """Wait for this offset to be settled; False where it was read before."""
        if offset < self.next_offset:
            return False
        self.pass_over(offset, "absent")
        self.next_offset = offset + 1
        self.unsettled += 1
        return True

    def pass_over(self, offset: int, outcome: Counted) -> None:
        """Count what lies between the next offset to read and this one: the log no longer holds it."""
        if offset <= self.next_offset:
            return
        self._passed_over[outcome] += offset - self.next_offset
        self.next_offset = offset
        if not self.unsettled:
            self._move({})

    def settle(self, offset: int, outcome: Counted) -> None:
        """Know what *offset* is counted as; it is settled with the rest. Does nothing once closed."""
        if not self.closed and not self.position <= offset < self.next_offset:
            raise SettledTwice(f"offset {offset} of {self!r}")
        self.know(1, outcome)

    def know(self, count: int, outcome: Counted) -> None:
        """The same of so many offsets. Raises SettledTwice where that is more than were read."""
        if self.closed:
            return
        if self.known + count > self.unsettled:
            raise SettledTwice(f"{count} more of {self!r}")
        self._known[outcome] += count

    @property
    def known(self) -> int:
        """How many unsettled offsets are known not to wait for the run's own outcome."""
        return self._known.total()

    def settle_all(self, counts: Mapping[Counted, int]) -> None:
        """All that was read is done: what is known already, and so many records with each other outcome.

        Does nothing once closed. Raises SettledTwice where these are not as many as were read.
        """
        if self.closed:
            return
        outcomes = self._known + Counter(counts)
        if outcomes.total() != self.unsettled:
            raise SettledTwice(f"{outcomes.total()} outcomes for {self!r}")
        self.unsettled = 0
        self._known.clear()
        self._move(outcomes)

    def _move(self, outcomes: Mapping[Counted, int]) -> None:
        for outcome, count in (*outcomes.items(), *self._passed_over.items()):
            self.totals[outcome] += count
        self._passed_over.clear()
        self.position = self.next_offset
