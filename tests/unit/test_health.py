"""The state machine of a destination: a test for each row of its tables, then for what lies between them."""

from itertools import pairwise
from random import Random

import pytest

from stream.core.health import EARLY_BURIAL, NEVER, RELEASE, SETTLE, Action, Bury, Delay, Health, Permit, Settle, State
from stream.core.limits import BurialLimit
from stream.core.outcomes import DELIVERED, Blocked, Filtered, Outcome, Rejected, Retry, Throttled, Unfinished, Unknown
from stream.core.records import Batch, Message
from stream.core.retry import Backoff
from tests.unit.partition import Partition

LONGEST = 60.0  # seconds of back-off
ROW = 10  # failed calls in a row that suspend
FAILED = Retry("503 busy", 503)
REVOKED = Blocked("401 invalid key", 401, "make a new key")


class Day:
    """A destination's day: calls begin, are answered and end, one second each unless something else is said."""

    def __init__(
        self,
        *,
        attempts: int = 10,
        concurrency: int = 4,
        give_up_after: float | None = None,
        burials: BurialLimit | None = None,
    ) -> None:
        self.log = Partition()
        self.now = 100.0
        self.health = Health(
            backoff=Backoff(1.0, LONGEST, Random(1)),
            concurrency=concurrency,
            attempts=attempts,
            give_up_after=give_up_after,
            burials=burials,
        )
        self.health.assign()

    def message(self, key: str = "ada") -> Message:
        return self.log.message(key)

    def begin(self, *messages: Message, canary: bool = False) -> Batch:
        """A call begins now."""
        self.now += 0.5
        batch = Batch([*messages], self.now, canary=canary)
        self.health.begin(batch)
        return batch

    def end(self, batch: Batch, outcome: Outcome) -> Action:
        """The call is answered now; the action for its last message."""
        self.now += 0.5
        for message in batch:
            action = self.health.judge(message, outcome, batch, self.now)
        self.health.finish(batch, self.now)
        return action

    def call(self, message: Message | str, outcome: Outcome, *, canary: bool = False) -> Action:
        """A call from begin to end; a key stands for a message of its own."""
        message = self.message(message) if isinstance(message, str) else message
        return self.end(self.begin(message, canary=canary), outcome)

    def fail_until_suspended(self) -> None:
        for number in range(ROW):
            self.call(f"key-{number}", FAILED)

    def check(self, refusal: str | None = None, *, pending: bool = True) -> None:
        """A connection test from begin to end."""
        self.health.begin_check()
        self.now += 1.0
        self.health.checked(refusal, self.now - 1.0, self.now, pending=pending)

    def check_unanswered(self) -> None:
        self.health.begin_check()
        self.now += 1.0
        self.health.unreachable("no answer", self.now - 1.0, self.now)

    def wait(self) -> float:
        """Let the time pass until more may be sent; how long that was."""
        due = self.health.next_change(self.now)
        assert self.now < due < NEVER
        waited, self.now = due - self.now, due
        return waited

    @property
    def permit(self) -> Permit:
        return self.health.permit(self.now)

    @property
    def state(self) -> State:
        return self.health.state(self.now)

    def fail_and_count(self, message: Message, times: int = 1) -> Action:
        """Failures of one message between others' deliveries: each counts against it."""
        for _ in range(times):
            self.call("other", DELIVERED)
            failing = self.begin(message)
            proof = self.begin(self.message("another"))
            self.end(proof, DELIVERED)
            action = self.end(failing, FAILED)
        return action


def test_a_destination_runs_while_all_is_well() -> None:
    """Everything may be sent, and there is nothing to say."""
    day = Day()

    assert (State.RUNNING, Permit.ALL, None) == (day.state, day.permit, day.health.reason())
    assert day.health.next_change(day.now) == NEVER


# The states, one after the other


def test_draining_sends_nothing_until_the_next_assignment() -> None:
    """It is also how a member starts."""
    day = Day()

    day.health.drain()
    assert (State.DRAINING, Permit.NOTHING, NEVER) == (day.state, day.permit, day.health.next_change(day.now))
    assert day.health.reason() is not None

    day.health.assign()
    assert (State.RUNNING, Permit.ALL) == (day.state, day.permit)

    assert Health(backoff=Backoff(1.0, LONGEST), concurrency=1).permit(0.0) is Permit.NOTHING


def test_a_pause_lasts_until_it_is_resumed() -> None:
    """Whatever the vendor says meanwhile; the reason is the operator's."""
    day = Day()
    flying = day.begin(day.message())

    day.health.pause("we move house")
    assert (State.PAUSED, Permit.NOTHING, "we move house") == (day.state, day.permit, day.health.reason())
    assert day.health.next_change(day.now) == NEVER
    day.end(flying, DELIVERED)
    assert day.permit is Permit.NOTHING

    day.health.resume()
    assert (State.RUNNING, Permit.ALL) == (day.state, day.permit)


def test_too_many_burials_pause() -> None:
    """Until someone looks: a bad deployment must not empty the topic into dead letters."""
    day = Day(burials=BurialLimit(50, 4))
    day.call("ada", Rejected("bad"))
    assert day.permit is Permit.ALL

    day.call("bob", Rejected("bad"))

    assert (State.PAUSED, Permit.NOTHING) == (day.state, day.permit)
    assert "resume" in (day.health.reason() or "")


def test_after_a_resume_the_burials_so_far_are_forgotten() -> None:
    """The next one alone does not pause again."""
    day = Day(burials=BurialLimit(50, 4))
    day.call("ada", Rejected("bad"))
    day.call("bob", Rejected("bad"))
    day.health.resume()

    day.call("eve", Rejected("bad"))

    assert day.permit is Permit.ALL


@pytest.mark.parametrize("burying", [Rejected("bad"), Unknown("cut off")])
def test_what_counts_as_a_burial(burying: Outcome) -> None:
    """Every letter but those of records that could not be read."""
    day = Day(burials=BurialLimit(50, 4))
    for outcome in (burying, DELIVERED, Filtered("expired"), Filtered("expired"), burying):
        assert day.state is State.RUNNING
        day.call("ada", outcome)

    assert day.state is State.PAUSED


def test_exhausted_messages_count_as_burials() -> None:
    """As those that the vendor rejected."""
    day = Day(attempts=1, burials=BurialLimit(10, 10))

    assert isinstance(day.fail_and_count(day.message()), Bury)

    assert day.state is State.PAUSED


def test_a_refused_connection_test_blocks() -> None:
    """Not even a canary is sent: the test itself is the probe."""
    day = Day()

    day.check("token: unknown key")

    assert (State.BLOCKED, Permit.NOTHING) == (day.state, day.permit)
    assert day.health.reason() == "token: unknown key"
    day.wait()
    assert day.permit is Permit.CHECK


def test_what_a_connection_test_blocked_a_connection_test_frees() -> None:
    """At once: it is the same word."""
    day = Day()
    day.check("token: unknown key")

    day.check()

    assert (State.RUNNING, Permit.ALL) == (day.state, day.permit)


def test_a_delivery_does_not_free_what_a_connection_test_blocked() -> None:
    """One call that gets through says nothing about a field that is missing for others."""
    day = Day()
    day.check("attribute role: unknown")

    day.call("ada", DELIVERED)

    assert day.state is State.BLOCKED


def test_a_blocked_verdict_blocks_and_is_probed_by_the_connection_test() -> None:
    """The message is as before; the reason says what to do."""
    day = Day()
    message = day.message()

    assert RELEASE == day.call(message, REVOKED)

    assert (0, 0, None) == (message.failures, message.attempts, message.first_failed_at)
    assert (State.BLOCKED, Permit.NOTHING) == (day.state, day.permit)
    assert day.health.reason() == "401 invalid key. make a new key"
    day.wait()
    assert day.permit is Permit.CHECK


def test_after_the_connection_test_a_canary_is_asked() -> None:
    """The test may pass while the messages are still refused; only one goes at a time."""
    day = Day()
    day.call("ada", REVOKED)
    day.wait()
    day.check()
    assert (State.BLOCKED, Permit.CANARY) == (day.state, day.permit)

    canary = day.begin(day.message("bob"), canary=True)
    assert day.permit is Permit.NOTHING
    day.end(canary, DELIVERED)

    assert (State.RUNNING, Permit.ALL) == (day.state, day.permit)


@pytest.mark.parametrize("outcome", [Rejected("bad"), FAILED, Filtered("expired"), Unknown("cut off")])
def test_a_canary_that_is_not_found_blocked_unblocks(outcome: Outcome) -> None:
    """Whatever else became of it."""
    day = Day()
    day.call("ada", REVOKED)
    day.check()

    day.call("bob", outcome, canary=True)

    assert day.state is State.RUNNING


def test_a_canary_that_is_found_blocked_puts_the_next_probe_further_off() -> None:
    """And that begins with the connection test again."""
    day = Day()
    day.call("ada", REVOKED)
    first = day.wait()
    day.check()

    day.call("ada", REVOKED, canary=True)

    assert day.state is State.BLOCKED
    assert day.wait() > first
    assert day.permit is Permit.CHECK


def test_with_nothing_to_ask_by_a_passed_connection_test_unblocks() -> None:
    """Nothing is pending that could be a canary."""
    day = Day()
    day.call("ada", REVOKED)

    day.check(pending=False)

    assert day.state is State.RUNNING


def test_while_blocked_an_unanswered_connection_test_changes_nothing() -> None:
    """But that the next is further off."""
    day = Day()
    day.call("ada", REVOKED)
    first = day.wait()

    day.check_unanswered()

    assert (State.BLOCKED, Permit.NOTHING) == (day.state, day.permit)
    assert day.wait() > first
    assert day.permit is Permit.CHECK


def test_a_delivery_of_a_later_call_contradicts_a_blocked_verdict() -> None:
    """Others get through: it was one message's fault."""
    day = Day()
    blocked, later = day.begin(day.message("ada")), day.begin(day.message("bob"))
    day.end(blocked, REVOKED)
    assert day.state is State.BLOCKED

    day.end(later, DELIVERED)

    assert (State.RUNNING, Permit.ALL) == (day.state, day.permit)


def test_a_delivery_of_an_earlier_call_does_not() -> None:
    """The key may have been revoked between the two."""
    day = Day()
    earlier, blocked = day.begin(day.message("bob")), day.begin(day.message("ada"))
    day.end(blocked, REVOKED)

    day.end(earlier, DELIVERED)

    assert day.state is State.BLOCKED


def test_an_unfinished_message_waits_as_long_as_its_destination_asks() -> None:
    """The call got on: what failed before is forgotten, and nothing counts against it."""
    day = Day()
    message = day.message()
    day.fail_and_count(message, 3)

    action = day.call(message, Unfinished(7.0))

    assert Delay(day.now + 7.0) == action
    assert (0, 0, None) == (message.failures, message.attempts, message.first_failed_at)


def test_an_unfinished_message_proves_that_the_destination_is_well() -> None:
    """The vendor answers."""
    day = Day()
    day.fail_until_suspended()

    day.call("ada", Unfinished(), canary=True)

    assert State.RUNNING is day.state


def test_a_long_row_of_failures_suspends() -> None:
    """One canary at a time, after a pause."""
    day = Day()
    for number in range(ROW - 1):
        day.call(f"key-{number}", FAILED)
    assert (State.RUNNING, Permit.ALL) == (day.state, day.permit)

    day.call("ada", FAILED)

    assert (State.SUSPENDED, Permit.NOTHING) == (day.state, day.permit)
    assert day.health.reason() == "nothing gets through: 503 busy"
    day.wait()
    permits = [day.permit]
    day.begin(day.message("bob"), canary=True)
    assert [Permit.CANARY, Permit.NOTHING] == [*permits, day.permit]


def test_the_row_is_as_long_as_there_are_calls_in_flight() -> None:
    """Those that were under way when it broke say it once, not thirty-two times."""
    day = Day(concurrency=32)
    for number in range(31):
        day.call(f"key-{number}", FAILED)
    assert day.permit is Permit.ALL

    day.call("ada", FAILED)

    assert day.state is State.SUSPENDED


@pytest.mark.parametrize("allowed, calls", [(32, 20), (4, 20), (2, 20)])
def test_a_row_keeps_the_length_it_began_with(allowed: int, calls: int) -> None:
    """What may be in flight can change while it is failing: those under way were let in before."""
    day = Day(concurrency=calls)
    day.call("key-0", FAILED)

    day.health.concurrency = allowed
    for number in range(1, calls):
        assert day.permit is Permit.ALL
        day.call(f"key-{number}", FAILED)

    assert day.state is State.SUSPENDED


def test_the_next_row_is_as_long_as_may_be_in_flight_then() -> None:
    """Twelve, where it was thirty-two."""
    day = Day(concurrency=32)
    day.call("key", FAILED)
    day.call("other", DELIVERED)

    day.health.concurrency = 12
    for number in range(12):
        day.call(f"key-{number}", FAILED)

    assert day.state is State.SUSPENDED


def test_a_call_of_many_messages_is_one_failure() -> None:
    """However many it carried."""
    day = Day()

    day.end(day.begin(*(day.message(f"key-{number}") for number in range(50))), FAILED)

    assert day.state is State.RUNNING


@pytest.mark.parametrize("outcome", [DELIVERED, Rejected("bad"), Throttled(None)])
def test_a_verdict_ends_a_suspension(outcome: Outcome) -> None:
    """Something got through; those who failed since the row began need not wait any longer."""
    day = Day()
    day.call("before", DELIVERED)
    begins = day.now + 0.5
    day.fail_until_suspended()
    day.wait()

    day.call("ada", outcome, canary=True)

    assert day.state in (State.RUNNING, State.THROTTLED)
    assert day.health.recovered_since == begins


def test_a_verdict_in_a_short_row_hastens_nobody() -> None:
    """There was no outage: keys keep their own back-off."""
    day = Day()
    day.call("ada", FAILED)
    day.call("bob", DELIVERED)

    assert day.health.recovered_since is None


def test_failures_of_all_that_is_pending_suspend() -> None:
    """Few contacts about: each is tried when it is due, and a new one ends it."""
    day = Day()
    day.call("ada", FAILED)

    assert day.health.state(day.now, all_delayed=True) is State.SUSPENDED
    assert day.permit is Permit.ALL
    assert day.health.state(day.now, all_delayed=False) is State.RUNNING


def test_a_throttled_verdict_waits_as_long_as_the_vendor_says() -> None:
    """Nothing is sent, nothing is counted, then everything goes on."""
    day = Day()
    message = day.message()

    assert RELEASE == day.call(message, Throttled(7.5))

    assert (0, 0) == (message.failures, message.attempts)
    assert (State.THROTTLED, Permit.NOTHING) == (day.state, day.permit)
    assert day.wait() == pytest.approx(7.5)
    assert (State.RUNNING, Permit.ALL) == (day.state, day.permit)


def test_the_longest_of_several_throttles_holds() -> None:
    """Calls in flight may be told different times."""
    day = Day()
    first, second = day.begin(day.message("ada")), day.begin(day.message("bob"))
    day.end(first, Throttled(20.0))
    until = day.now + 20.0

    day.end(second, Throttled(1.0))

    assert day.health.next_change(day.now) == until


def test_a_throttle_without_a_named_time_backs_off() -> None:
    """Longer each time in a row, never longer than the longest; a delivery starts over."""
    day = Day()
    waits = []
    for _ in range(12):
        day.call("ada", Throttled(None))
        waits.append(day.wait())

    assert all(min(LONGEST, 2.0**n) / 2 <= wait <= min(LONGEST, 2.0**n) for n, wait in enumerate(waits))

    day.call("ada", DELIVERED)
    day.call("ada", Throttled(None))
    assert day.wait() <= 1.0


def test_calls_that_are_throttled_together_are_one_throttle() -> None:
    """Thirty-two in flight must not make it the thirty-second in a row."""
    day = Day()
    flying = [day.begin(*(day.message(f"{call}-{n}") for n in range(3))) for call in range(32)]

    for batch in flying:
        day.end(batch, Throttled(None))

    assert day.health.next_change(day.now) <= day.now + 1.0


def test_the_state_shown_is_the_first_that_holds() -> None:
    """Draining before paused before blocked before suspended before throttled."""
    day = Day()
    flying = day.begin(day.message("bob"))
    day.call("ada", Throttled(1000.0))
    shown = [day.state]
    day.fail_until_suspended()
    shown.append(day.state)
    day.end(flying, REVOKED)
    shown.append(day.state)
    day.health.pause("we move house")
    shown.append(day.state)
    day.health.drain()
    shown.append(day.state)

    assert [State.THROTTLED, State.SUSPENDED, State.BLOCKED, State.PAUSED, State.DRAINING] == shown


def test_a_state_began_when_it_was_first_seen() -> None:
    """For `since` on the page; seeing it again changes nothing."""
    day = Day()
    day.call("ada", Throttled(10.0))
    assert day.state is State.THROTTLED
    began = day.now

    day.now += 5.0

    assert (State.THROTTLED, began) == (day.state, day.health.since)


# The verdicts, one after the other


def test_delivered_settles() -> None:
    """The key may go on with its next message."""
    assert SETTLE == Day().call("ada", DELIVERED)


def test_rejected_buries_with_what_the_vendor_said() -> None:
    """Reason, text and status go into the letter."""
    assert Day().call("ada", Rejected("400 no such field", 400)) == Bury("rejected", "400 no such field", 400)
    assert Day().call("ada", Rejected("no key", 422, "no_unique_key")) == Bury("no_unique_key", "no key", 422)


def test_filtered_settles_with_its_reason() -> None:
    """A destination may find out late that a message is not for it."""
    assert Day().call("ada", Filtered("expired")) == Settle("expired")


def test_retry_delays_the_key_longer_each_time() -> None:
    """With the message's own back-off, and notes what went wrong."""
    day = Day()
    message = day.message()

    for n in range(1, 10):
        action = day.call(message, FAILED)
        assert isinstance(action, Delay)
        assert min(LONGEST, 2.0 ** (n - 1)) / 2 <= action.until - day.now <= min(LONGEST, 2.0 ** (n - 1))

    assert (9, "503 busy", 503, 101.0) == (message.failures, message.failure, message.status, message.first_failed_at)


def test_retry_buries_once_enough_attempts_count() -> None:
    """As exhausted, with the last failure."""
    day = Day(attempts=10)
    message = day.message()

    assert isinstance(day.fail_and_count(message, times=9), Delay)

    assert day.fail_and_count(message) == Bury("exhausted", "503 busy", 503)


def test_unknown_parks() -> None:
    """A call that must not be repeated may have happened: a person decides."""
    assert Day().call("ada", Unknown("cut off")) == Bury("unknown_outcome", "cut off", None)


def test_unknown_outcomes_count_towards_a_suspension() -> None:
    """An outage parks what was in flight, then one per probe."""
    day = Day()
    for number in range(ROW):
        day.call(f"key-{number}", Unknown("cut off"))

    assert (State.SUSPENDED, Permit.NOTHING) == (day.state, day.permit)


# Which attempts count


def test_an_attempt_counts_between_two_proofs_of_life() -> None:
    """Another key's call that began after it was delivered, while it was still under way."""
    day = Day()
    message = day.message()

    day.fail_and_count(message)

    assert message.attempts == 1


@pytest.mark.parametrize("proof", [DELIVERED, Rejected("bad")])
def test_an_attempt_may_be_counted_afterwards(proof: Outcome) -> None:
    """By the next finished call of another key that began after it."""
    day = Day()
    message = day.message()
    day.call("bob", DELIVERED)
    day.call(message, FAILED)
    assert message.attempts == 0

    day.call("eve", proof)

    assert message.attempts == 1


def test_an_attempt_before_any_proof_of_life_does_not_count() -> None:
    """The destination was never seen to work."""
    day = Day()
    message = day.message()

    day.call(message, FAILED)
    day.call("bob", DELIVERED)

    assert message.attempts == 0


def test_an_attempt_after_another_key_s_failure_does_not_count() -> None:
    """The first edge of an outage may have been before it."""
    day = Day()
    message = day.message()
    day.call("bob", DELIVERED)
    day.call("eve", FAILED)

    day.call(message, FAILED)
    day.call("bob", DELIVERED)

    assert message.attempts == 0


def test_an_attempt_before_another_key_s_failure_does_not_count() -> None:
    """The other edge."""
    day = Day()
    message = day.message()
    day.call("bob", DELIVERED)
    day.call(message, FAILED)

    day.call("eve", FAILED)
    day.call("bob", DELIVERED)

    assert message.attempts == 0


def test_a_proof_of_life_that_began_earlier_does_not_count_an_attempt() -> None:
    """It began while all was well; the destination may have failed since."""
    day = Day()
    message = day.message()
    day.call("bob", DELIVERED)
    earlier = day.begin(day.message("eve"))
    day.call(message, FAILED)

    day.end(earlier, DELIVERED)

    assert message.attempts == 0


def test_a_key_does_not_vouch_for_itself() -> None:
    """A second message of the same contact is no other's."""
    day = Day()
    first, second = day.message("ada"), day.message("ada")
    day.call("bob", DELIVERED)
    day.call(first, FAILED)

    day.call(second, DELIVERED)

    assert first.attempts == 0


def test_repeated_failures_of_one_key_do_not_make_an_outage_for_itself() -> None:
    """The row holds nobody else."""
    day = Day()
    message = day.message()
    day.call("bob", DELIVERED)
    day.call(message, FAILED)
    day.call(message, FAILED)

    day.call("eve", DELIVERED)

    assert message.attempts == 1


def test_an_outage_counts_against_nobody() -> None:
    """An hour of it, at its edges neither: everyone is as before."""
    day = Day(attempts=1)
    day.call("before", DELIVERED)
    caught = [day.message(f"key-{number}") for number in range(20)]
    flying = [day.begin(message) for message in caught[:ROW]]
    for batch in flying:
        assert isinstance(day.end(batch, FAILED), Delay)
    for round_ in range(60):
        day.wait()
        assert day.permit is Permit.CANARY
        assert isinstance(day.call(caught[round_ % 20], FAILED, canary=True), Delay)

    day.wait()
    day.call("after", DELIVERED, canary=True)

    assert {0} == {message.attempts for message in caught}
    assert [] == day.health.exhausted


def test_with_one_key_pending_a_passed_connection_test_is_the_proof() -> None:
    """Nobody else is there to tell an outage from the message's own fault."""
    day = Day()
    message = day.message()
    day.check()
    failing = day.begin(message)
    day.check()

    day.end(failing, FAILED)

    assert message.attempts == 1


def test_with_one_key_pending_an_unanswered_connection_test_is_none() -> None:
    """The vendor is down."""
    day = Day()
    message = day.message()
    day.check()
    failing = day.begin(message)
    day.check_unanswered()

    day.end(failing, FAILED)

    assert (1, 0) == (message.failures, message.attempts)


def test_a_message_found_exhausted_while_it_waits_is_handed_to_delivery() -> None:
    """The proof that counts its last attempt comes by another's call."""
    day = Day(attempts=1)
    message = day.message()
    day.call("bob", DELIVERED)
    assert isinstance(day.call(message, FAILED), Delay)

    day.call("eve", DELIVERED)

    assert [message] == day.health.exhausted
    assert day.health.bury_exhausted(message) == Bury("exhausted", "503 busy", 503)


def test_a_message_that_is_sent_again_is_not_counted_by_what_others_say_later() -> None:
    """It will be judged by that call."""
    day = Day(attempts=1)
    message = day.message()
    day.call("bob", DELIVERED)
    day.call(message, FAILED)
    again = day.begin(message)

    day.call("eve", DELIVERED)

    assert ([], 0) == (day.health.exhausted, message.attempts)
    assert SETTLE == day.end(again, DELIVERED)


def test_a_new_assignment_forgets_what_waited_to_be_counted() -> None:
    """Those messages are another member's now."""
    day = Day(attempts=1)
    day.call("bob", DELIVERED)
    day.call(day.message(), FAILED)

    day.health.assign()
    day.call("eve", DELIVERED)

    assert [] == day.health.exhausted


# Sick keys, early burials, giving up


def test_a_sick_key_gets_one_counted_attempt() -> None:
    """A key that buried a message as exhausted must not hold its partition ten times as long for the next."""
    day = Day(attempts=3)
    day.fail_and_count(day.message("ada"), times=3)

    assert isinstance(day.fail_and_count(day.message("ada")), Bury)
    assert isinstance(day.fail_and_count(day.message("bob")), Delay)


def test_a_sick_key_is_well_again_once_one_is_delivered() -> None:
    """Then it has all attempts again."""
    day = Day(attempts=3)
    day.fail_and_count(day.message("ada"), times=3)

    day.call("ada", DELIVERED)

    assert isinstance(day.fail_and_count(day.message("ada")), Delay)


def test_a_sick_key_s_attempts_in_an_outage_do_not_count_either() -> None:
    """One attempt means one that counts."""
    day = Day(attempts=1)
    day.fail_and_count(day.message("ada"))
    day.call("bob", FAILED)

    assert isinstance(day.call("ada", FAILED), Delay)


def test_what_holds_its_partition_is_buried_early_after_three_counted_attempts() -> None:
    """Not before, and its key is sick from then on."""
    day = Day()
    message = day.message()
    day.fail_and_count(message, times=EARLY_BURIAL - 1)
    assert day.health.bury_early(message) is None

    day.fail_and_count(message)

    assert day.health.bury_early(message) == Bury("exhausted", "503 busy", 503)
    assert isinstance(day.fail_and_count(day.message("ada")), Bury)


@pytest.mark.parametrize("trouble", ["suspended", "blocked"])
def test_nothing_is_buried_early_while_nothing_gets_through(trouble: str) -> None:
    """Whatever counted before."""
    day = Day()
    message = day.message()
    day.fail_and_count(message, times=EARLY_BURIAL)

    if trouble == "suspended":
        day.fail_until_suspended()
    else:
        day.call("bob", REVOKED)

    assert day.health.bury_early(message) is None


@pytest.mark.parametrize("trouble", ["suspended", "blocked"])
def test_nothing_is_buried_as_exhausted_while_nothing_gets_through(trouble: str) -> None:
    """Not even by a failure that would have been one too many."""
    day = Day(attempts=1)
    message = day.message()
    day.call("bob", DELIVERED)
    failing, proof = day.begin(message), day.begin(day.message("eve"))
    day.end(proof, DELIVERED)

    if trouble == "suspended":
        day.fail_until_suspended()
    else:
        day.call("bob", REVOKED)

    assert isinstance(day.end(failing, FAILED), Delay)


def test_a_message_out_of_attempts_outlasts_a_suspension() -> None:
    """It used them up while the destination was blocked; a canary that fails is not the time to bury it either."""
    day = Day(attempts=1)
    message = day.message()
    day.call("bob", DELIVERED)
    failing, proof = day.begin(message), day.begin(day.message("eve"))
    day.end(proof, DELIVERED)
    day.call("bob", REVOKED)
    day.end(failing, FAILED)
    assert message.attempts == 1
    day.check(pending=False)
    day.fail_until_suspended()

    assert isinstance(day.call(message, FAILED, canary=True), Delay)


def test_while_blocked_a_delivery_under_way_exhausts_nobody() -> None:
    """What a blocked vendor's last deliveries count waits, like everything else."""
    day = Day(attempts=1)
    message = day.message()
    day.call("bob", DELIVERED)
    day.call(message, FAILED)
    under_way = day.begin(day.message("eve"))
    day.call("bob", REVOKED)

    day.end(under_way, DELIVERED)

    assert (State.BLOCKED, []) == (day.state, day.health.exhausted)


def test_a_message_that_has_failed_for_too_long_is_given_up() -> None:
    """Where the configuration says so, counted or not: `retry.give_up_after`."""
    day = Day(give_up_after=60.0)
    message = day.message()
    assert isinstance(day.call(message, FAILED), Delay)
    day.now += 50.0
    assert isinstance(day.call(message, FAILED), Delay)

    day.now += 10.0

    assert day.call(message, FAILED) == Bury("exhausted", "503 busy", 503)


# Whose fault a blocked verdict is


def test_a_blocked_verdict_that_others_do_not_share_is_the_message_s_own_failure() -> None:
    """Another key's later call was delivered: one bad rule or field id must not hold the rest."""
    day = Day()
    message = day.message()
    blocked, later = day.begin(message), day.begin(day.message("bob"))
    day.end(later, DELIVERED)

    action = day.end(blocked, REVOKED)

    assert isinstance(action, Delay)
    assert (1, 1, "401 invalid key") == (message.failures, message.attempts, message.failure)
    assert day.state is State.RUNNING


def test_a_message_found_blocked_again_after_others_got_through_has_a_fault_of_its_own() -> None:
    """The first time it blocks everything; the second time, others were delivered in between."""
    day = Day()
    message = day.message()
    day.call(message, REVOKED)
    day.check()
    day.call("bob", DELIVERED, canary=True)

    assert isinstance(day.call(message, REVOKED), Delay)

    assert day.state is State.RUNNING
    assert message.failures == 1


def test_a_message_found_blocked_again_with_everyone_else_blocks_again() -> None:
    """Nobody got through since it was last tried."""
    day = Day()
    message = day.message()
    day.call(message, REVOKED)
    day.check()

    assert RELEASE == day.call(message, REVOKED, canary=True)

    assert (State.BLOCKED, 0) == (day.state, message.failures)


def test_a_message_with_a_blocking_fault_of_its_own_is_buried_in_the_end() -> None:
    """Once enough attempts count, as exhausted; the letter says what the vendor said."""
    day = Day(attempts=3)
    message = day.message()
    day.call(message, REVOKED)
    day.check()
    for _ in range(2):
        day.call("bob", DELIVERED)
        assert isinstance(day.call(message, REVOKED), Delay)
    day.call("bob", DELIVERED)
    day.call(message, REVOKED)

    day.call("bob", DELIVERED)

    assert [message] == day.health.exhausted
    assert day.health.bury_exhausted(message) == Bury("exhausted", "401 invalid key", 401)


# Probes


def outage(day: Day, outcome: Outcome) -> list[float]:
    """The times of 40 probes of a vendor that does not come back."""
    times = []
    for number in range(40):
        day.wait()
        times.append(day.now)
        if day.permit is Permit.CHECK:
            day.check()
        day.call(f"key-{number}", outcome, canary=True)
    return times


@pytest.mark.parametrize("outcome", [FAILED, REVOKED, Unknown("cut off")])
def test_probes_grow_apart_and_never_further_than_the_longest_delay(outcome: Outcome) -> None:
    """A vendor that is back is noticed within `retry.max` and the time of a call."""
    day = Day()
    while day.permit is Permit.ALL:
        day.call("ada", outcome)

    times = outage(day, outcome)

    gaps = [later - earlier for earlier, later in pairwise(times)]
    assert all(gap < 7 for gap in gaps[:2])
    assert all(LONGEST / 2 <= gap <= LONGEST + 3 for gap in gaps[8:])


def test_after_a_recovery_probes_start_over() -> None:
    """The next outage is noticed to be over as soon as the first was."""
    day = Day()
    day.fail_until_suspended()
    outage(day, FAILED)
    day.call("ada", DELIVERED, canary=True)

    day.fail_until_suspended()

    assert day.wait() <= 1.0
