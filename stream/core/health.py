"""What a destination's answers mean: for the message that got one, and for everything else that waits.

One pure state machine. `judge` takes the verdict on one message and says what becomes of it; `permit` says what may be
sent now. A condition holds until the input that ends it; the state shown is the first that holds:

| state     | begins                                             | may be sent                | ends                        |
|-----------|----------------------------------------------------|----------------------------|-----------------------------|
| draining  | `drain`: revocation or shutdown                    | nothing                    | `assign`                    |
| paused    | `pause`: an operator, or the burial limit          | nothing                    | `resume`                    |
| blocked   | a refused connection test; a blocked verdict that  | the connection test, then  | the test passes (if a test  |
|           | other keys do not contradict                       | one canary, ever further   | began it); after the test,  |
|           |                                                    | apart up to `retry.max`    | a canary is not found blocked |
| suspended | the last max(10, concurrency) calls failed         | one canary at a time, ever | any call is delivered or    |
|           |                                                    | further apart, keys in turn| rejected, or throttled      |
|           | or the last call did and every pending key waits   | each key when it is due    | the same; a new key         |
| throttled | a throttled verdict                                | nothing                    | its time is over            |
| running   |                                                    | everything                 |                             |

| verdict   | the message                                                     | the destination                          |
|-----------|-----------------------------------------------------------------|------------------------------------------|
| delivered | settle; its key is no longer sick                               | proof of life                            |
| rejected  | bury (several in one call: split; merged: taken apart)          | proof of life; counts as a burial        |
| throttled | as before, no failure counted                                   | throttled                                |
| blocked   | as before, no failure counted; or, where others got through     | blocked; or nothing                      |
|           | after it: its own failure                                       |                                          |
| retry     | delay its key; bury as `exhausted` once enough attempts count   | a failure; suspended when in a long row  |
| unfinished| delay its key for as long as the destination asks; what failed | proof of life                            |
|           | before is forgotten                                             |                                          |
| unknown   | bury as `unknown_outcome`                                       | a failure; suspended when in a long row  |

**An attempt counts** when the destination was well on both sides of it: the last finished call of another key before
it was a proof of life, and so is the next finished one that began after it. With one key pending, a passed connection
test is that proof. An outage therefore counts against nobody, at its edges neither. A *sick* key (one that buried a
message as exhausted) gets one counted attempt a message until one is delivered. While suspended or blocked nothing is
buried as exhausted, unless the configuration says when to give up (`retry.give_up_after`).
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from stream.core.limits import BurialLimit
from stream.core.outcomes import Blocked, Delivered, Filtered, Outcome, Rejected, Retry, Throttled, Unfinished, Unknown
from stream.core.records import Batch, Message
from stream.core.retry import Backoff

EARLY_BURIAL = 3  # counted attempts after which the message at the position of a partition at its window is buried
NEVER = float("inf")


class State(StrEnum):
    """What `crmstream_destination_state` and the probes say."""

    RUNNING = "running"
    THROTTLED = "throttled"
    SUSPENDED = "suspended"
    BLOCKED = "blocked"
    PAUSED = "paused"
    DRAINING = "draining"


class Permit(StrEnum):
    """What may be sent now."""

    ALL = "all"
    CANARY = "canary"  # one message, of any key
    CHECK = "check"  # the connection test
    NOTHING = "nothing"


@dataclass(frozen=True, slots=True)
class Settle:
    """Done: count it as delivered, or as filtered for a reason."""

    filtered: str | None = None


@dataclass(frozen=True, slots=True)
class Bury:
    """Done once its dead letter is acknowledged."""

    reason: str
    detail: str
    status: int | None = None


@dataclass(frozen=True, slots=True)
class Delay:
    """Its key waits until this time."""

    until: float


@dataclass(frozen=True, slots=True)
class Release:
    """As if it had not been sent: ready again as soon as the destination is."""


Action: TypeAlias = Settle | Bury | Delay | Release
SETTLE = Settle()
RELEASE = Release()


class Health:
    """One destination as this member sees it."""

    def __init__(
        self,
        *,
        backoff: Backoff,
        concurrency: int,
        attempts: int = 10,
        give_up_after: float | None = None,
        burials: BurialLimit | None = None,
    ) -> None:
        self._backoff = backoff
        self.concurrency = concurrency  # calls that may be in flight; may change
        self._row_limit = max(10, concurrency)  # as it was when the row began
        self._attempts = attempts
        self._give_up_after = give_up_after
        self._burials = burials

        self._draining = True  # until the first assignment
        self._paused: str | None = None
        self._blocked: str | None = None  # what the vendor said
        self._blocked_by_check = False
        self._blocked_start = 0.0  # when the call began that found it blocked
        self._checked = False  # the test has passed since the last probe: a canary is next
        self._throttled_until = 0.0
        self._throttles = 0  # in a row
        self._throttled_at = float("-inf")  # when the last of them was counted
        self._row = 0  # failed calls since the last proof of life
        self._row_since = NEVER  # when the first of them began
        self._row_text = ""
        self._row_last: Batch | None = None
        self._failing: set[str] = set()  # keys of the row
        self._alive = False  # whether there ever was a proof of life
        self._latest = (float("-inf"), "")  # start and key of the proof of life that began last
        self._latest_other = (float("-inf"), "")  # the same among the other keys
        self._unjudged: dict[Message, bool] = {}  # failed, to be counted by what the next call says
        self._sick: set[str] = set()
        self._probes = 0
        self._probe_at = 0.0
        self._probing = False
        self.exhausted: list[
            Message
        ] = []  # found to have used up their attempts while they waited; delivery buries them
        self.recovered_since: float | None = (
            None  # when the row of failures began that just ended; delivery resumes its keys
        )
        self.since = 0.0  # when the state shown began
        self._shown = State.DRAINING

    def __repr__(self) -> str:
        return f"<{self._shown} row={self._row} blocked={self._blocked!r} sick={len(self._sick)}>"

    # What may happen now

    def state(self, now: float, *, all_delayed: bool = False) -> State:
        """The state shown. *all_delayed*: every pending key has failed and waits."""
        if self._draining:
            state = State.DRAINING
        elif self._paused is not None:
            state = State.PAUSED
        elif self._blocked is not None:
            state = State.BLOCKED
        elif self._suspended(all_delayed):
            state = State.SUSPENDED
        elif now < self._throttled_until:
            state = State.THROTTLED
        else:
            state = State.RUNNING
        if state is not self._shown:
            self._shown, self.since = state, now
        return state

    def reason(self) -> str | None:
        """One sentence on why the state shown is not running."""
        match self._shown:
            case State.PAUSED:
                return self._paused
            case State.BLOCKED:
                return self._blocked
            case State.SUSPENDED:
                return f"nothing gets through: {self._row_text}"
            case State.THROTTLED:
                return "the vendor asked to wait"
            case State.DRAINING:
                return "waiting for partitions"
            case State.RUNNING:
                return None

    def permit(self, now: float) -> Permit:
        """What may be sent now."""
        if self._draining or self._paused is not None or now < self._throttled_until:
            return Permit.NOTHING
        if self._blocked is not None:
            if self._probing or now < self._probe_at:
                return Permit.NOTHING
            return Permit.CANARY if self._checked else Permit.CHECK
        if self._row < self._row_limit:
            return Permit.ALL
        return Permit.NOTHING if self._probing or now < self._probe_at else Permit.CANARY

    def next_change(self, now: float) -> float:
        """When `permit` may allow more by the passing of time alone."""
        if self._draining or self._paused is not None:
            return NEVER
        times = [self._throttled_until]
        if (self._blocked is not None or self._row >= self._row_limit) and not self._probing:
            times.append(self._probe_at)
        return max(times) if max(times) > now else NEVER

    def begin(self, batch: Batch) -> None:
        """A call begins."""
        if batch.canary:
            self._probing = True
        for message in batch.messages:
            message.previous = message.started
            message.started = batch.started
            if self._unjudged:
                self._unjudged.pop(message, None)

    def call_off(self, batch: Batch) -> None:
        """The call that was to begin was not made after all."""
        if batch.canary:
            self._probing = False

    def begin_check(self) -> None:
        """The connection test begins; `checked`, `unreachable` or `call_off_check` follows."""
        self._probing = True

    def call_off_check(self) -> None:
        """The connection test could not be finished, which says nothing of the vendor."""
        self._probing = False

    # What the vendor said

    def judge(self, message: Message, outcome: Outcome, batch: Batch, now: float) -> Action:
        """What becomes of a message, by the vendor's verdict on the call *batch* it was in."""
        match outcome:
            case Delivered():
                self.delivered(message, batch)
                return SETTLE
            case Rejected():
                self._proof(message.key, batch.started)
                self._count_burial(buried=True)
                return Bury(outcome.reason, outcome.detail, outcome.status)
            case Throttled():
                self._throttle(outcome, batch, now)
                return RELEASE
            case Blocked():
                return self._judge_blocked(message, outcome, batch, now)
            case Unfinished():
                self._proof(message.key, batch.started)
                message.failures = message.attempts = 0
                message.first_failed_at = None
                return Delay(now + outcome.after)
            case Retry():
                return self._failed(message, outcome.detail, outcome.status, batch, now)
            case Unknown():
                self._note_failure(message.key, outcome.detail, batch, now)
                self._count_burial(buried=True)
                return Bury("unknown_outcome", outcome.detail, outcome.status)
            case Filtered():
                return Settle(outcome.reason)

    def delivered(self, message: Message, batch: Batch) -> None:
        """The verdict that is nearly all of them; it always settles."""
        if self._sick:
            self._sick.discard(message.key)
        self._proof(message.key, batch.started)
        self._count_burial(buried=False)

    def finish(self, batch: Batch, now: float) -> None:
        """The call is over and its messages are judged; a canary that changed nothing puts the next one further off."""
        if batch.canary:
            self._probing = False
            if self._blocked is not None and self._checked:  # the test passed, and the canary was not found blocked
                self._unblock()
            if self._blocked is not None or self._row:
                self._postpone_probe(now)

    def checked(self, refusal: str | None, started: float, now: float, *, pending: bool = True) -> None:
        """The connection test passed (None) or was refused; *pending*: something waits that could be a canary."""
        self._probing = False
        if refusal is None:
            if self._blocked is not None and not self._blocked_by_check and pending:
                self._checked = True
                return
            self._unblock()
            self._proof("", now)  # it passed just now, so after any call that it is to tell about
        else:
            self._block(refusal, started, now, by_check=True)
            self._postpone_probe(now)

    def unreachable(self, detail: str, started: float, now: float) -> None:
        """The connection test got no answer: a failure like any other."""
        self._probing = False
        if self._blocked is not None:
            self._postpone_probe(now)
        else:
            self._note_failure("", detail, Batch([], started), now)

    # What people and the group want

    def pause(self, reason: str) -> None:
        """Send nothing until `resume`."""
        self._paused = reason

    def resume(self) -> None:
        """Go on; what was buried so far is forgotten."""
        self._paused = None
        if self._burials:
            self._burials.clear()

    def drain(self) -> None:
        """Start no more calls: partitions are being taken away, or the end is near."""
        self._draining = True

    def assign(self) -> None:
        """Partitions were assigned: calls may start."""
        self._draining = False
        self._unjudged.clear()
        self.exhausted.clear()

    def bury_exhausted(self, message: Message) -> Bury:
        """What becomes of a message in `exhausted`."""
        return self._exhaust(message)

    def bury_early(self, message: Message) -> Bury | None:
        """What becomes of a waiting message that holds up its whole partition: buried, if it failed often enough."""
        if message.attempts < EARLY_BURIAL or self._row >= self._row_limit or self._blocked is not None:
            return None
        return self._exhaust(message)

    # How it is decided

    def _suspended(self, all_delayed: bool) -> bool:
        return self._row >= self._row_limit or (self._row > 0 and all_delayed)

    def _proof(self, key: str, started: float) -> None:
        """Another verdict than a failure: whatever was thought to be down is not."""
        self._alive = True
        if key == self._latest[1]:
            self._latest = (max(started, self._latest[0]), key)
        elif started > self._latest[0]:
            self._latest_other = self._latest
            self._latest = (started, key)
        elif started > self._latest_other[0]:
            self._latest_other = (started, key)
        if self._row:
            self._end_row()
        self._throttles = 0
        if self._blocked is not None and not self._blocked_by_check and started > self._blocked_start:
            self._unblock()
        if self._blocked is None:
            self._probes = 0
        if self._unjudged:
            self._count_unjudged(key, started, counts=True)

    def _proof_since(self, key: str, since: float) -> bool:
        """Whether another key got a verdict from a call that began after *since*."""
        started, owner = self._latest if self._latest[1] != key else self._latest_other
        return started > since and owner != key

    def _failed(self, message: Message, detail: str, status: int | None, batch: Batch, now: float) -> Action:
        """A failure delays the key; whether it counts is known by what others' calls say."""
        well_before = self._alive and self._failing <= {message.key}
        self._note_failure(message.key, detail, batch, now)
        return self._delay(message, detail, status, batch, now, well_before=well_before)

    def _delay(
        self, message: Message, detail: str, status: int | None, batch: Batch, now: float, *, well_before: bool
    ) -> Action:
        message.failures += 1
        message.failure, message.status = detail, status
        if message.first_failed_at is None:
            message.first_failed_at = now
        if well_before:
            if self._proof_since(message.key, batch.started):
                message.attempts += 1
            else:
                self._unjudged[message] = True
        given_up = self._give_up_after is not None and now - message.first_failed_at >= self._give_up_after
        if given_up or (self._is_exhausted(message) and self._row < self._row_limit and self._blocked is None):
            return self._exhaust(message)
        return Delay(now + self._backoff.delay(message.failures))

    def _is_exhausted(self, message: Message) -> bool:
        return message.attempts >= (1 if message.key in self._sick else self._attempts)

    def _note_failure(self, key: str, detail: str, batch: Batch, now: float) -> None:
        if self._unjudged:
            self._count_unjudged(key, batch.started, counts=False)
        self._failing.add(key)
        self._row_text = detail
        if batch is self._row_last:
            return  # one call, one failure, however many messages it carried
        self._row_last = batch
        if not self._row:
            self._row_since = batch.started
            self._row_limit = max(10, self.concurrency)
        self._row += 1
        if self._row == self._row_limit and self._blocked is None:
            self._probes = 0
            self._postpone_probe(now)

    def _count_unjudged(self, key: str, started: float, *, counts: bool) -> None:
        """What the next call of another key says decides about the failures before it."""
        for message in [m for m in self._unjudged if m.key != key and started > m.started]:
            del self._unjudged[message]
            message.attempts += counts
            if counts and self._is_exhausted(message) and self._blocked is None:
                self.exhausted.append(message)

    def _exhaust(self, message: Message) -> Bury:
        """The message has failed often enough, and its key is sick."""
        self._sick.add(message.key)
        self._unjudged.pop(message, None)
        self._count_burial(buried=True)
        return Bury("exhausted", message.failure, message.status)

    def _judge_blocked(self, message: Message, outcome: Blocked, batch: Batch, now: float) -> Action:
        """Blocked, unless others get through: then this message has a fault of its own (one bad rule or field id)."""
        if self._proof_since(message.key, message.previous if message.blocked else batch.started):
            return self._delay(message, outcome.detail, outcome.status, batch, now, well_before=True)
        message.blocked = True
        text = f"{outcome.detail}. {outcome.hint}" if outcome.hint else outcome.detail
        self._block(text, batch.started, now, by_check=False)
        return RELEASE

    def _block(self, text: str, started: float, now: float, *, by_check: bool) -> None:
        if self._blocked is None:
            self._probes = 0
            self._blocked_by_check = by_check
            self._postpone_probe(now)
        self._blocked = text
        self._blocked_start = max(self._blocked_start, started)
        self._checked = False

    def _unblock(self) -> None:
        self._blocked = None
        self._checked = False
        self._probes = 0

    def _end_row(self) -> None:
        if self._row >= self._row_limit:
            self.recovered_since = self._row_since
        self._row = 0
        self._row_last = None
        self._failing.clear()

    def _throttle(self, outcome: Throttled, batch: Batch, now: float) -> None:
        self._end_row()
        if batch.started > self._throttled_at:  # else it was under way when another was told the same
            self._throttles += 1
            self._throttled_at = now
        wait = outcome.after if outcome.after is not None else self._backoff.delay(max(1, self._throttles))
        self._throttled_until = max(self._throttled_until, now + wait)

    def _postpone_probe(self, now: float) -> None:
        self._probes += 1
        self._probe_at = now + self._backoff.delay(self._probes)

    def _count_burial(self, *, buried: bool) -> None:
        if self._burials is not None and self._burials.record(buried):
            self._paused = "too many messages were buried: mend the mapping or the events, then `crmstream resume`"
