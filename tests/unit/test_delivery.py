"""Delivery: what becomes of each message, whatever the call came to. In virtual time: an hour is no wait."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import suppress
from itertools import pairwise
from random import Random
from typing import Any, TypeAlias

import pytest

from stream.core.health import Bury, Health, State
from stream.core.lease import Lease
from stream.core.limits import RateLimit
from stream.core.outcomes import (
    DELIVERED,
    Blocked,
    Counted,
    Filtered,
    Outcome,
    Refused,
    Rejected,
    Retry,
    Throttled,
    Unfinished,
    Unknown,
)
from stream.core.records import Batch, Fields, Message, Record
from stream.core.retry import Backoff
from stream.core.scheduler import Scheduler
from stream.delivery import Delivery
from stream.destinations.base import Calls, Check
from stream.gates import gate, merger
from stream.http import CertificateRefused, NotSent, Request, Unanswered
from stream.http.responses import Answer
from stream.http.tokens import TokenRefused
from stream.once import Intents
from stream.telemetry.metrics import Meters
from tests.simulation.clock import run
from tests.unit.partition import Partition

Answers: TypeAlias = Callable[[Batch], Sequence[Outcome] | Outcome | Exception]
HOUR = 3600.0
FAILED = Retry("503 busy", 503)
FINE = Check("token", True, "workspace example")


class Vendor(Calls):
    """Answers by a function of the batch, a tenth of a second later; an outcome alone is for every message."""

    type = "fake"

    def __init__(self, answers: Answers) -> None:
        self.answers = answers
        self.test: Exception | Check = FINE  # what the connection test comes to
        self.tests = 0
        self.limit = RateLimit(None)
        self.calls: list[list[Message]] = []
        self.at: list[float] = []
        self.in_flight = self.most_in_flight = 0

    def key(self, fields: Fields) -> str:
        return str(fields["key"])

    def encode(self, fields: Fields) -> bytes:
        return repr(fields).encode()

    def requests(self, batch: Batch) -> Sequence[Request]:
        return []

    async def send(self, batch: Batch) -> Sequence[Outcome]:
        now = asyncio.get_running_loop().time()
        assert 0 == self.limit.reserve(now), "a message in hand waits for the rate limit"
        self.calls.append([*batch])
        self.at.append(now)
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        await asyncio.sleep(0.1)
        self.in_flight -= 1
        answer = self.answers(batch)
        if isinstance(answer, Exception):
            raise answer
        return answer if isinstance(answer, Sequence) else [answer] * len(batch)

    async def check(self) -> AsyncIterator[Check]:
        self.tests += 1
        if isinstance(self.test, Exception):
            raise self.test
        yield self.test

    def offsets(self) -> list[list[int]]:
        """What was in each call."""
        return [[part.record.offset for message in call for part in message.parts or (message,)] for call in self.calls]


class SmsVendor(Vendor):
    """One whose calls must not be repeated."""

    repeatable = False


class Letters:
    """The dead letters; nothing is acknowledged while the broker is not *up*."""

    def __init__(self) -> None:
        self.written: dict[int, Bury] = {}
        self.attempts: dict[int, int] = {}
        self.up = asyncio.Event()
        self.up.set()

    async def bury(self, record: Record, bury: Bury, *, attempts: int, first_failed_at: float | None) -> None:
        await self.up.wait()
        assert record.offset not in self.written
        self.written[record.offset] = bury
        self.attempts[record.offset] = attempts


class Desk:
    """A delivery with what it needs. The lease holds, and messages are those of one partition."""

    def __init__(
        self,
        vendor: Vendor,
        *keys: str,
        concurrency: int = 4,
        attempts: int = 10,
        coalesce: bool = False,
        rate: float | None = None,
        gate: Callable[[Message], str | None] | None = None,
        journal: Intents | None = None,
        delivery_of: type[Delivery] = Delivery,
        **scheduler: Any,
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self.vendor = vendor
        self.log = Partition()
        self.letters = Letters()
        self.lease = Lease(session_timeout=HOUR * 100, drain=20.0)
        self.lease.prove(self.loop.time())
        vendor.limit = RateLimit(rate, self.loop.time())
        self.health = Health(backoff=Backoff(0.5, 60.0, Random(1)), concurrency=concurrency, attempts=attempts)
        self.health.assign()
        self.scheduler = Scheduler(merge=merger(vendor) if coalesce else None, **scheduler)
        self.delivery = delivery_of(
            vendor,
            scheduler=self.scheduler,
            health=self.health,
            limit=vendor.limit,
            lease=self.lease,
            burials=self.letters,
            meters=Meters("fake"),
            concurrency=concurrency,
            gate=gate,
            journal=journal,
            wall=self.loop.time,
        )
        for key in keys:
            self.add(key)

    def add(self, key: str) -> Message:
        message = self.log.message(key)
        self.scheduler.add(message, self.loop.time())
        self.delivery.wake()
        return message

    async def work(self, seconds: float) -> None:
        """Deliver for so long; what stops the senders is raised."""
        working = asyncio.create_task(self.delivery.run())
        await asyncio.wait([working], timeout=seconds)
        working.cancel()
        with suppress(asyncio.CancelledError):
            await working

    async def finish(self) -> None:
        """Deliver until everything is settled, which must be within a day."""
        for _ in range(24):
            await self.work(HOUR)
            if not self.log.tracker.unsettled:
                return
        raise AssertionError(f"{self.log.tracker!r}")

    @property
    def totals(self) -> dict[Counted, int]:
        """How what was settled was counted."""
        return {outcome: count for outcome, count in self.log.tracker.totals.items() if count}

    @property
    def state(self) -> State:
        return self.health.state(self.loop.time())


def delivered(vendor: Vendor, *keys: str, **given: Any) -> Desk:
    """The desk after everything is settled."""

    async def work() -> Desk:
        desk = Desk(vendor, *keys, **given)
        await desk.finish()
        return desk

    desk: Desk = run(work())
    return desk


def worked(vendor: Vendor, *keys: str, seconds: float = 5.0, **given: Any) -> Desk:
    """The desk after so many seconds."""

    async def work() -> Desk:
        desk = Desk(vendor, *keys, **given)
        await desk.work(seconds)
        assert desk.state
        return desk

    desk: Desk = run(work())
    return desk


def first(answer: Outcome | Exception, then: Outcome = DELIVERED) -> Answers:
    """The answer to the first call, and what is answered to all others."""
    answers = iter([answer])
    return lambda _: next(answers, then)


def to(keys: Iterable[str], answer: Outcome | Exception) -> Answers:
    """One answer to those whose batch holds one of these keys; the others are delivered."""
    return lambda batch: answer if {message.key for message in batch} & {*keys} else DELIVERED


def refused_token(status: int, **headers: str) -> TokenRefused:
    return TokenRefused(Answer(status, b"", headers.get))


def test_what_is_delivered_is_settled() -> None:
    """Each message by its own verdict, each key's next one after it."""
    vendor = Vendor(lambda _: DELIVERED)

    desk = delivered(vendor, "ada", "bob", "ada")

    assert {"delivered": 3} == desk.totals
    assert [[0], [1], [2]] == vendor.offsets()
    assert 3 == desk.log.tracker.position


def test_a_batch_gets_one_outcome_for_each_message() -> None:
    """Delivered, rejected and filtered side by side."""
    verdicts: dict[str, Outcome] = {"ada": DELIVERED, "bob": Rejected("400 bad", 400), "eve": Filtered("expired")}
    vendor = Vendor(lambda batch: [verdicts[message.key] for message in batch])

    desk = delivered(vendor, "ada", "bob", "eve", items=10)

    assert [[0, 1, 2]] == vendor.offsets()
    assert {"delivered": 1, "dead_lettered": 1, "filtered": 1} == desk.totals
    assert {1: Bury("rejected", "400 bad", 400)} == desk.letters.written
    assert {"expired": 1} == desk.delivery.filtered


@pytest.mark.parametrize("outcomes", [[], [DELIVERED], [DELIVERED] * 3])
def test_a_wrong_number_of_outcomes_stops_loudly(outcomes: list[Outcome]) -> None:
    """Nobody can tell which outcome is whose: nothing is settled by a guess."""
    vendor = Vendor(lambda _: outcomes)

    async def work() -> Desk:
        desk = Desk(vendor, "ada", "bob", items=10)
        with pytest.RaisesGroup(pytest.RaisesExc(RuntimeError, match=f"{len(outcomes)} outcomes for 2 messages")):
            await desk.work(HOUR)
        return desk

    assert {} == run(work()).totals


def test_a_fault_of_the_destination_stops_loudly() -> None:
    """A bug must not look like an outage."""

    async def work() -> None:
        desk = Desk(Vendor(lambda _: KeyError("data")), "ada")
        with pytest.RaisesGroup(KeyError):
            await desk.work(HOUR)

    run(work())


def test_no_more_calls_are_in_flight_than_allowed() -> None:
    """And no fewer, where there is enough to do."""
    vendor = Vendor(lambda _: DELIVERED)

    delivered(vendor, *(f"key-{number}" for number in range(50)), concurrency=4)

    assert 4 == vendor.most_in_flight


def test_the_rate_limit_is_waited_for_before_a_message_is_taken() -> None:
    """So a message in hand is judged by its gate when it goes, not seconds earlier."""
    vendor = Vendor(lambda _: DELIVERED)

    worked(vendor, *"abcdef", rate=1.0, seconds=3.5)

    assert [1001.0, 1002.0, 1003.0] == pytest.approx(vendor.at)


# Calls without a verdict


@pytest.mark.parametrize("failure", [NotSent("connection refused"), Unanswered("connection reset")])
def test_a_call_that_failed_is_made_again(failure: Exception) -> None:
    """Where repeating it does no harm."""
    vendor = Vendor(first(failure))

    desk = delivered(vendor, "ada")

    assert [[0], [0]] == vendor.offsets()
    assert {"delivered": 1} == desk.totals
    assert vendor.at[1] - vendor.at[0] >= 0.25  # half of the first delay


def test_an_unanswered_call_that_must_not_be_repeated_is_parked() -> None:
    """It may have happened: a person decides."""
    vendor = SmsVendor(first(Unanswered("connection reset")))

    desk = delivered(vendor, "ada")

    assert [[0]] == vendor.offsets()
    assert {0: Bury("unknown_outcome", "no answer: connection reset")} == desk.letters.written


def test_a_call_that_was_not_sent_is_made_again_even_if_it_must_not_be_repeated() -> None:
    """It certainly did not happen."""
    vendor = SmsVendor(first(NotSent("connection refused")))

    assert {"delivered": 1} == delivered(vendor, "ada").totals


def test_an_untrusted_certificate_blocks() -> None:
    """Someone must act; nothing is buried, and the page says what to look at."""
    vendor = Vendor(lambda _: CertificateRefused("invalid peer certificate: UnknownIssuer"))
    vendor.test = CertificateRefused("invalid peer certificate: UnknownIssuer")

    desk = worked(vendor, "ada")

    assert State.BLOCKED == desk.state
    assert "certificate not trusted" in (desk.health.reason() or "")
    assert "look at base_url, http.ca_file" in (desk.health.reason() or "")
    assert {} == desk.totals
    assert 1 == len(vendor.calls)


def test_a_refused_token_blocks() -> None:
    """With the status and what to do; nothing is buried however long it lasts."""
    vendor = Vendor(lambda _: refused_token(403))
    vendor.test = refused_token(403)

    desk = worked(vendor, *(f"key-{number}" for number in range(20)), seconds=HOUR)

    assert State.BLOCKED == desk.state
    reason = desk.health.reason() or ""
    assert "403" in reason
    assert "the credentials were refused" in reason
    assert {} == desk.totals


def test_a_token_that_is_to_be_had_again_unblocks() -> None:
    """The connection test finds out by itself."""
    vendor = Vendor(first(refused_token(401)))

    assert {"delivered": 2} == delivered(vendor, "ada", "bob").totals
    assert vendor.tests > 0


@pytest.mark.parametrize("status", [408, 425, 500, 503])
def test_a_token_that_is_not_to_be_had_now_is_an_outage_not_a_refusal(status: int) -> None:
    """The credentials may be as good as ever."""
    vendor = Vendor(lambda _: refused_token(status))
    vendor.test = refused_token(status)

    desk = worked(vendor, *(f"key-{number}" for number in range(20)))

    assert State.SUSPENDED == desk.state


@pytest.mark.parametrize("header", ["retry-after", "ratelimit-reset"])
def test_a_throttled_request_for_a_token_throttles(header: str) -> None:
    """For as long as the vendor says."""
    vendor = Vendor(first(refused_token(429, **{header: "30"})))

    delivered(vendor, "ada")

    assert vendor.at[1] - vendor.at[0] >= 30


# Burying


def test_nothing_is_settled_before_its_letter_is_acknowledged() -> None:
    """However long the broker takes; and the key's next message waits."""

    async def work() -> None:
        desk = Desk(Vendor(to(["ada"], Rejected("400 bad", 400))), "ada", "ada", "bob")
        desk.letters.up.clear()
        working = asyncio.create_task(desk.work(HOUR))
        await asyncio.sleep(60.0)
        assert {"delivered": 1} == desk.totals
        assert [[0], [2]] == desk.vendor.offsets()
        assert 1 == desk.delivery.in_flight

        desk.letters.up.set()
        await working
        assert {"delivered": 1, "dead_lettered": 2} == desk.totals

    run(work())


def test_a_refused_batch_is_split_until_the_bad_message_stands_alone() -> None:
    """Only that one is buried; the others are delivered."""
    vendor = Vendor(to(["eve"], Refused(Rejected("400 one of them is bad", 400))))

    desk = delivered(vendor, "ada", "bob", "eve", "kim", "zoe", items=10, concurrency=1)

    assert {"delivered": 4, "dead_lettered": 1} == desk.totals
    assert {2: Bury("rejected", "400 one of them is bad", 400)} == desk.letters.written


def test_a_poisoned_contact_is_buried_and_the_others_go_on() -> None:
    """After so many attempts; its next message gets one."""
    vendor = Vendor(to(["eve"], FAILED))

    async def work() -> Desk:
        desk = Desk(vendor, "eve", "eve", attempts=3)
        working = asyncio.create_task(desk.work(HOUR))
        for number in range(300):
            desk.add(f"key-{number}")
            await asyncio.sleep(0.3)
        await working
        return desk

    desk = run(work())

    assert {"delivered": 300, "dead_lettered": 2} == desk.totals
    assert {0: "exhausted", 1: "exhausted"} == {at: bury.reason for at, bury in desk.letters.written.items()}
    assert desk.letters.attempts[0] >= 3


def test_a_lone_poisoned_message_is_buried_by_the_word_of_the_connection_test() -> None:
    """Nobody else's calls can tell an outage from its own fault."""
    vendor = Vendor(lambda _: FAILED)

    desk = delivered(vendor, "eve", attempts=3)

    assert {0: Bury("exhausted", "503 busy", 503)} == desk.letters.written
    assert vendor.tests >= 3


@pytest.mark.parametrize("failure", [NotSent("refused"), Unanswered("reset"), TimeoutError()])
def test_a_lone_message_outlasts_an_outage(failure: Exception) -> None:
    """The connection test is not answered either: nothing counts, nothing is buried."""
    vendor = Vendor(lambda _: FAILED)
    vendor.test = failure

    desk = worked(vendor, "eve", attempts=1, seconds=HOUR)

    assert {} == desk.totals
    assert len(vendor.calls) > 30


def test_a_connection_test_that_never_ends_is_given_up() -> None:
    """It must not hold a sender for ever."""

    class Silent(Vendor):
        async def check(self) -> AsyncIterator[Check]:
            await asyncio.sleep(HOUR)
            yield FINE

    vendor = Silent(first(FAILED))

    assert {"delivered": 1} == delivered(vendor, "ada").totals
    assert vendor.at[1] - vendor.at[0] < 60


def test_a_refused_connection_test_sends_nothing() -> None:
    """As at the start: the first refused line is the reason; when it passes, everything goes."""
    vendor = Vendor(lambda _: DELIVERED)
    vendor.test = Check("token", False, "unknown key", "make a new one")

    async def work() -> None:
        desk = Desk(vendor, "ada")
        await desk.delivery.check()
        await desk.work(HOUR)
        assert [] == vendor.calls
        assert (State.BLOCKED, "token: unknown key. make a new one") == (desk.state, desk.health.reason())
        vendor.test = FINE
        await desk.work(61.0)
        assert {"delivered": 1} == desk.totals

    run(work())


def test_a_skipped_line_of_the_connection_test_refuses_nothing() -> None:
    """Only false is a refusal; none is: not looked at."""
    vendor = Vendor(lambda _: DELIVERED)
    vendor.test = Check("list", None, "none is configured")

    async def work() -> None:
        desk = Desk(vendor, "ada")
        await desk.delivery.check()
        assert State.RUNNING == desk.state

    run(work())


# The gate


def test_the_gate_is_asked_at_the_call_and_filters() -> None:
    """What it holds back is settled as filtered, and not sent."""
    vendor = Vendor(lambda _: DELIVERED)

    desk = delivered(vendor, "ada", "bob", items=10, gate=lambda message: "expired" if message.key == "ada" else None)

    assert [[1]] == vendor.offsets()
    assert {"filtered": 1, "delivered": 1} == desk.totals
    assert {"expired": 1} == desk.delivery.filtered


def test_the_gate_is_asked_before_each_attempt() -> None:
    """What was young enough when it was read may be too old when it is sent again."""
    vendor = Vendor(lambda _: FAILED)
    began = 1000.0  # where virtual time begins

    def gate(_: Message) -> str | None:
        return "expired" if asyncio.get_running_loop().time() - began > 3.0 else None

    desk = delivered(vendor, "ada", gate=gate)

    assert len(vendor.calls) > 1
    assert {"filtered": 1} == desk.totals


def test_the_destination_itself_is_asked_before_each_call() -> None:
    """What it holds back is filtered for its reason."""
    asked = []

    class Choosy(Vendor):
        def gate(self, message: Message, now: float) -> str | None:
            asked.append(message.key)
            return "quiet_hours" if message.key == "ada" else None

    vendor = Choosy(lambda _: DELIVERED)
    desk = delivered(vendor, "ada", "bob", gate=gate(None, vendor))

    assert ["ada", "bob"] == asked
    assert {"quiet_hours": 1} == desk.delivery.filtered
    assert [[1]] == vendor.offsets()


def test_a_destination_hears_of_a_burial_before_the_letter_is_written() -> None:
    """It may have an answer to give."""
    heard = []

    class Answering(Vendor):
        async def buried(self, message: Message, reason: str, detail: str) -> None:
            heard.append((message.key, reason, detail, message.tracker.unsettled))

    desk = delivered(Answering(lambda _: Rejected("400 malformed")), "ada")

    assert [("ada", "rejected", "400 malformed", 1)] == heard
    assert [0] == [*desk.letters.written]


def test_an_unfinished_message_is_called_again_with_its_progress() -> None:
    """When its destination asked for it, and other keys go on meanwhile."""

    achieved: list[object] = []

    def answer(batch: Batch) -> Outcome:
        [message] = batch
        achieved.append(message.progress)
        message.progress = len(achieved)
        return DELIVERED if message.progress == 3 else Unfinished(20.0)

    vendor = Vendor(answer)
    desk = delivered(vendor, "ada")

    assert [None, 1, 2] == achieved
    assert [pytest.approx(20.1), pytest.approx(20.1)] == [late - early for early, late in pairwise(vendor.at)]
    assert {"delivered": 1} == desk.totals


# The right to send


def test_without_the_lease_nothing_is_sent() -> None:
    """A member that may have been replaced; a commit that succeeds sets it free."""
    vendor = Vendor(lambda _: DELIVERED)

    async def work() -> None:
        desk = Desk(vendor, "ada")
        desk.lease.lose()
        await desk.work(HOUR)
        assert [] == vendor.calls
        desk.lease.prove(desk.loop.time())
        await desk.work(1.0)
        assert 1 == len(vendor.calls)

    run(work())


def test_a_call_has_a_deadline() -> None:
    """What the lease leaves it."""
    deadlines: list[float] = []

    def answers(batch: Batch) -> Outcome:
        deadlines.append(batch.deadline - batch.started)
        return DELIVERED

    delivered(Vendor(answers), "ada")

    assert [18.0] == deadlines


def test_a_drained_destination_starts_no_call_and_finishes_those_under_way() -> None:
    """`quiet` returns when the last message is settled."""
    vendor = Vendor(lambda _: DELIVERED)

    async def work() -> None:
        desk = Desk(vendor, "ada", "ada")
        working = asyncio.create_task(desk.work(HOUR))
        await asyncio.sleep(0.05)
        assert 1 == desk.delivery.in_flight
        desk.health.drain()
        await desk.delivery.quiet()
        assert {"delivered": 1} == desk.totals
        await working
        assert 1 == len(vendor.calls)

    run(work())


@pytest.mark.parametrize("answer", [DELIVERED, Rejected("400 bad", 400), FAILED, Filtered("expired")])
def test_a_result_that_comes_after_the_partition_was_given_up_changes_nothing(answer: Outcome) -> None:
    """The next owner settles it."""

    async def work() -> None:
        desk = Desk(Vendor(lambda _: answer), "ada")
        working = asyncio.create_task(desk.work(HOUR))
        await asyncio.sleep(0.05)
        desk.log.tracker.close()
        desk.scheduler.drop_closed(desk.loop.time())
        await working
        assert ({}, 0, 0) == (desk.totals, desk.log.tracker.position, desk.scheduler.keys)

    run(work())


# Outages


def test_after_an_outage_everyone_goes_on_at_once() -> None:
    """Those who failed in it need not sit out their back-off."""
    vendor = Vendor(lambda _: FAILED)
    vendor.test = Unanswered("503")

    async def work() -> None:
        desk = Desk(vendor, *(f"key-{number}" for number in range(30)))
        await desk.work(HOUR)
        assert {} == desk.totals
        calls = len(vendor.calls)
        assert calls < 30 + 10 + 2 * HOUR / 30
        vendor.answers = lambda _: DELIVERED
        await desk.work(62.0)
        assert {"delivered": 30} == desk.totals

    run(work())


def test_a_throttle_pauses_the_destination_and_everyone_goes_on_afterwards() -> None:
    """Nobody is called before the time that the vendor named."""
    vendor = Vendor(first(Throttled(30.0)))

    delivered(vendor, *"abcdefgh", concurrency=1)

    assert vendor.at[1] - vendor.at[0] >= 30.0
    assert vendor.at[-1] - vendor.at[1] < 2.0


def test_a_message_with_a_blocking_fault_of_its_own_holds_up_nobody_for_long() -> None:
    """One bad field id: the others are delivered, it is buried in the end."""
    vendor = Vendor(to(["eve"], Blocked("422 unknown field", 422)))

    async def work() -> Desk:
        desk = Desk(vendor, "eve", attempts=3)
        working = asyncio.create_task(desk.work(HOUR))
        for number in range(300):
            desk.add(f"key-{number}")
            await asyncio.sleep(0.3)
        await working
        return desk

    desk = run(work())

    assert {"delivered": 300, "dead_lettered": 1} == desk.totals
    assert {0: Bury("exhausted", "422 unknown field", 422)} == desk.letters.written


# Merged messages


def test_a_merged_message_settles_all_its_parts() -> None:
    """The last is counted as delivered, the others as coalesced."""
    vendor = Vendor(lambda _: DELIVERED)

    desk = delivered(vendor, "ada", "ada", "ada", coalesce=True)

    assert [[0, 1, 2]] == vendor.offsets()
    assert {"delivered": 1, "coalesced": 2} == desk.totals


def test_a_merged_message_that_is_throttled_stays_one() -> None:
    """Nothing was wrong with it."""
    vendor = Vendor(first(Throttled(1.0)))

    delivered(vendor, "ada", "ada", coalesce=True)

    assert [[0, 1], [0, 1]] == vendor.offsets()


def test_a_merged_message_that_is_rejected_is_sent_part_by_part() -> None:
    """Only the part at fault is buried, and the order stays."""
    vendor = Vendor(
        lambda batch: Rejected("400 bad", 400) if 1 in [m.record.offset for m in parts(batch)] else DELIVERED
    )

    desk = delivered(vendor, "ada", "ada", "ada", coalesce=True)

    assert [[0, 1, 2], [0], [1], [2]] == vendor.offsets()
    assert {"delivered": 2, "dead_lettered": 1} == desk.totals
    assert [1] == [*desk.letters.written]


@pytest.mark.parametrize("outcome", [FAILED, Blocked("422 unknown field", 422)])
def test_a_merged_message_that_keeps_failing_is_buried_part_by_part(outcome: Outcome) -> None:
    """What counts against it must not be forgotten with the merged one."""
    vendor = Vendor(to(["eve"], outcome))

    async def work() -> Desk:
        desk = Desk(vendor, "eve", "eve", attempts=3, coalesce=True)
        working = asyncio.create_task(desk.work(HOUR))
        for number in range(400):
            desk.add(f"key-{number}")
            await asyncio.sleep(0.3)
        await working
        return desk

    desk = run(work())

    assert [0, 1] == vendor.offsets()[0]
    assert {0: "exhausted", 1: "exhausted"} == {at: bury.reason for at, bury in desk.letters.written.items()}


def test_a_merged_message_that_is_held_back_by_the_gate_is_filtered_whole() -> None:
    """The newest part decides, and none is left behind."""
    desk = delivered(Vendor(lambda _: DELIVERED), "ada", "ada", coalesce=True, gate=lambda _: "expired")

    assert {"filtered": 2} == desk.totals


def test_a_merged_message_of_which_a_part_is_held_back_by_the_gate_is_taken_apart() -> None:
    """The other parts go out, without what that one said."""
    vendor = Vendor(lambda _: DELIVERED)
    desk = delivered(
        vendor,
        *("ada",) * 3,
        coalesce=True,
        gate=lambda message: "erased" if 1 in {part.record.offset for part in message.parts or (message,)} else None,
    )

    assert [[0], [2]] == vendor.offsets()
    assert {"delivered": 2, "filtered": 1} == desk.totals


def parts(batch: Batch) -> list[Message]:
    return [part for message in batch for part in message.parts or (message,)]


def test_an_unknown_verdict_parks_the_message() -> None:
    """A destination may say so itself."""
    desk = delivered(Vendor(lambda _: Unknown("the vendor does not say")), "ada")

    assert {0: Bury("unknown_outcome", "the vendor does not say")} == desk.letters.written
    assert {0: 1} == desk.letters.attempts
