"""Trackers beside a model so plain that it can be seen to be right: what became of which offset, in a dict."""

from collections import Counter

import hypothesis.strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from stream.core.offsets import METADATA_LIMIT, OUTCOMES, OffsetTracker, decode, restore
from stream.core.outcomes import Counted
from stream.core.ranges import RangeTracker

WINDOW = 40
outcomes = st.sampled_from(OUTCOMES[:4])
gaps = st.sampled_from([0, 0, 0, 1, 2, 30])


class Tracking(RuleBasedStateMachine):
    """One partition whose offsets settle in any order, through restarts, compaction and loss."""

    @initialize(position=st.sampled_from([0, 7, 2**40]))
    def begin(self, position: int) -> None:
        self.tracker = OffsetTracker("events", 0, position, window=WINDOW)
        self.origin = position
        self.became: dict[int, Counted] = {}
        self.unsettled: list[int] = []

    @rule(gap=gaps)
    def read(self, gap: int) -> None:
        """The next record there is; what the log leaves out before it is absent."""
        offset = self.tracker.next_offset + gap
        if not self.tracker.admits(offset):
            assert self.unsettled
            assert offset >= self.tracker.position + WINDOW
            return
        waits = offset not in self.became
        self._leave_out(offset, "absent")
        assert waits == self.tracker.admit(offset)
        if waits:
            self.unsettled.append(offset)

    @rule(back=st.integers(1, 5))
    def read_again(self, back: int) -> None:
        """A seek back brings what was read before."""
        assert not self.tracker.admit(self.tracker.next_offset - back)

    @rule(gap=gaps)
    def lose(self, gap: int) -> None:
        """The log begins later than what was to be read."""
        self._leave_out(self.tracker.next_offset + gap, "lost_to_retention")
        self.tracker.pass_over(self.tracker.next_offset + gap, "lost_to_retention")

    @precondition(lambda self: self.unsettled)
    @rule(place=st.integers(0, WINDOW), outcome=outcomes)
    def settle(self, place: int, outcome: Counted) -> None:
        offset = self.unsettled.pop(place % len(self.unsettled))
        self.tracker.settle(offset, outcome)
        self.became[offset] = outcome

    @rule()
    def restart(self) -> None:
        """What was not settled is read again; nothing else is."""
        before = self.tracker
        before.close()
        self.tracker = restore("events", 0, *before.commit(), window=WINDOW)
        self.unsettled.clear()
        assert before.origin == self.tracker.origin

    @invariant()
    def agrees(self) -> None:
        tracker, position = self.tracker, self.origin
        while position in self.became:
            position += 1
        assert position == tracker.position
        assert sum(offset > position for offset in self.became) == tracker.settled_above
        assert Counter(self.became.values()) == Counter({word: n for word, n in tracker.totals.items() if n})
        assert len(self.unsettled) == tracker.unsettled
        assert sum(tracker.totals.values()) == tracker.position - tracker.origin + tracker.settled_above
        committed, metadata = tracker.commit()
        assert len(metadata) <= METADATA_LIMIT
        assert {offset for offset in self.became if offset > position} == decode(committed, metadata)[1]

    def _leave_out(self, until: int, outcome: Counted) -> None:
        for offset in range(self.tracker.next_offset, until):
            self.became.setdefault(offset, outcome)


class RangeTracking(RuleBasedStateMachine):
    """The same for files: all that was read is settled together."""

    @initialize(position=st.sampled_from([0, 7]))
    def begin(self, position: int) -> None:
        self.tracker = RangeTracker("events", 0, position)
        self.origin = position
        self.counted = Counter[Counted]()  # below the position
        self.passed = Counter[Counted]()  # above it, gone from the log
        self.known = Counter[Counted]()  # above it, of records

    @rule(gap=gaps)
    def read(self, gap: int) -> None:
        self._leave_out(gap, "absent")
        assert self.tracker.admit(self.tracker.next_offset + gap)

    @rule(gap=gaps)
    def lose(self, gap: int) -> None:
        self._leave_out(gap, "lost_to_retention")
        self.tracker.pass_over(self.tracker.next_offset + gap, "lost_to_retention")

    @precondition(lambda self: self.tracker.known < self.tracker.unsettled)
    @rule(outcome=outcomes)
    def know(self, outcome: Counted) -> None:
        """One that the run does not decide about."""
        self.tracker.settle(self.tracker.next_offset - 1, outcome)
        self.known[outcome] += 1

    @rule(outcome=outcomes)
    def run(self, outcome: Counted) -> None:
        """A file went out: the rest of the records share its outcome."""
        left = Counter({outcome: self.tracker.unsettled - self.tracker.known})
        self.tracker.settle_all(left)
        self.counted += self.known + left + self.passed
        self.known.clear()
        self.passed.clear()

    @rule()
    def restart(self) -> None:
        """Everything above the position is read again."""
        before = self.tracker
        before.close()
        after = restore("events", 0, *before.commit(), kind=RangeTracker)
        assert isinstance(after, RangeTracker)
        self.tracker = after
        self.known.clear()
        self.passed.clear()

    @invariant()
    def agrees(self) -> None:
        tracker = self.tracker
        assert self.counted == Counter({word: n for word, n in tracker.totals.items() if n})
        assert self.origin + self.counted.total() == tracker.position
        assert tracker.next_offset - tracker.position == tracker.unsettled + self.passed.total()
        assert 0 == tracker.settled_above

    def _leave_out(self, gap: int, outcome: Counted) -> None:
        if gap and not self.tracker.unsettled:
            self.counted[outcome] += gap
        elif gap:
            self.passed[outcome] += gap
