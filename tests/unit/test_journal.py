"""What the journal's words mean, and how delivery keeps to them. In virtual time; the broker's part is simulated."""

import asyncio
from collections import defaultdict
from collections.abc import Sequence

import pytest

from schemas.journal import Word, call_id
from stream.core.health import Bury, State
from stream.core.outcomes import DELIVERED, Blocked, Delivered, Outcome, Refused, Rejected, Retry, Throttled, Unknown
from stream.core.records import Batch, Message
from stream.http import NotSent, Unanswered
from stream.topics.journal import Facts, Page, Standing
from tests.simulation.clock import run
from tests.unit.test_delivery import HOUR, Answers, Desk, SmsVendor, delivered, first, to, worked

CALL, OTHER = bytes(16), bytes([1]) * 16
FREE, UNKNOWN, SENT = Standing.FREE, Standing.UNKNOWN, Standing.SENT
PLACE = ("crm.events", 3, 42)


# What a call's words mean


@pytest.mark.parametrize(
    "words, standing",
    [
        ([], FREE),
        (["intent"], UNKNOWN),
        (["intent", "withdrawn"], FREE),
        (["intent", "sent"], SENT),
        (["intent", "withdrawn", "intent"], UNKNOWN),
        (["intent", "withdrawn", "intent", "sent"], SENT),
    ],
)
def test_the_last_word_counts(words: list[Word], standing: Standing) -> None:
    """An intent alone is a call of which nobody knows whether it was made."""
    page = Page()

    for word in words:
        page.hear(CALL, word)

    assert standing is page.standing(CALL)
    assert FREE is page.standing(OTHER)


def test_what_was_read_before_may_be_read_again() -> None:
    """A partition that comes back is read from where it was read to, over what we wrote ourselves since."""
    words: list[Word] = ["intent", "withdrawn", "intent", "sent"]
    for again in range(len(words)):
        page = Page()
        for word in words + words[again:]:
            page.hear(CALL, word)
        assert SENT is page.standing(CALL)


def test_what_was_withdrawn_takes_no_room() -> None:
    """A vendor that is down for a day leaves nothing behind."""
    page = Page()

    for _ in range(3):
        page.hear(CALL, "intent")
        page.hear(CALL, "withdrawn")

    assert 0 == len(page)


# What names a call


def test_a_call_has_one_name_wherever_its_event_lies() -> None:
    """The messageId stands for the event; another rule or replay is another call."""
    name = call_id("m-1", PLACE, rule="welcome", replay="")

    assert name == call_id("m-1", ("crm.events", 3, 99), rule="welcome", replay="")
    others = {
        call_id("m-2", PLACE, rule="welcome", replay=""),
        call_id("m-1", PLACE, rule="goodbye", replay=""),
        call_id("m-1", PLACE, rule="welcome", replay="sms/crm.events/3/42#1"),
        call_id("m-1", PLACE, rule="", replay="welcome"),
    }
    assert 4 == len(others - {name})


def test_without_a_message_id_the_place_names_the_call() -> None:
    """Also where a messageId is empty, and no messageId can pass for a place."""
    name = call_id(None, PLACE, rule="", replay="")

    assert name == call_id("", PLACE, rule="", replay="")
    assert name != call_id(None, ("crm.events", 3, 43), rule="", replay="")
    assert name != call_id('["crm.events", 3, 42]', PLACE, rule="", replay="")


# How delivery keeps to it


class Book:
    """A journal of offsets, whose words take *seconds* to commit, and which is *lost* from some time on."""

    def __init__(self, known: dict[int, Standing] | None = None, *, seconds: float = 0.02) -> None:
        self.known = known or {}
        self.seconds = seconds
        self.lost = False
        self.words: dict[int, list[Word | None]] = defaultdict(list)
        self.facts: dict[int, dict[str, str | int]] = {}
        self.committing = self.most_committing = 0

    def standing(self, message: Message) -> Standing:
        return Standing.LOST if self.lost else self.known.get(message.record.offset, FREE)

    async def begin(self, message: Message) -> bool:
        return await self._commit(message, "intent")

    async def end(self, message: Message, word: Word | None, facts: Facts = ()) -> bool:
        self.facts[message.record.offset] = dict(facts)
        return await self._commit(message, word)

    async def _commit(self, message: Message, word: Word | None) -> bool:
        self.committing += 1
        self.most_committing = max(self.most_committing, self.committing)
        await asyncio.sleep(self.seconds)
        self.committing -= 1
        if not self.lost:
            self.words[message.record.offset].append(word)
        return not self.lost


class Gateway(SmsVendor):
    """Notes what the journal said of each message when its call came in."""

    def __init__(self, answers: Answers, book: Book) -> None:
        super().__init__(answers)
        self.book = book
        self.before: list[list[Word | None]] = []

    async def send(self, batch: Batch) -> Sequence[Outcome]:
        self.before += [list(self.book.words[message.record.offset]) for message in batch]
        return await super().send(batch)


def well(_: Batch) -> Outcome:
    return DELIVERED


def test_a_call_starts_after_its_intent_and_settles_after_its_end() -> None:
    """Each word is committed before the next step."""
    book = Book()
    vendor = Gateway(well, book)

    desk = delivered(vendor, "ada", "bob", journal=book)

    assert [["intent"], ["intent"]] == vendor.before
    assert {0: ["intent", "sent"], 1: ["intent", "sent"]} == book.words
    assert {"delivered": 2} == desk.totals


def test_what_the_vendor_said_of_a_call_it_took_is_journaled_with_it() -> None:
    """So that a text is found again in the vendor's statistics."""
    book = Book()

    delivered(Gateway(lambda _: Delivered(facts=(("campaign_id", "6tJglf8zd"),)), book), "ada", journal=book)

    assert {0: {"campaign_id": "6tJglf8zd"}} == book.facts


@pytest.mark.parametrize(
    "failure",
    [
        NotSent("connection refused"),
        Throttled(1.0),
        Retry("503 busy", 503),
        Blocked("insufficient credit", 200),
    ],
    ids=lambda failure: type(failure).__name__,
)
def test_what_the_vendor_did_not_take_is_withdrawn_before_it_is_tried_again(failure: Outcome | Exception) -> None:
    """Or a kill between the two would park what was never sent."""
    book = Book()
    vendor = Gateway(first(failure), book)

    desk = delivered(vendor, "ada", journal=book)

    assert [["intent"], ["intent", "withdrawn", "intent"]] == vendor.before
    assert ["intent", "withdrawn", "intent", "sent"] == book.words[0]
    assert {"delivered": 1} == desk.totals


def test_what_the_vendor_refused_is_withdrawn() -> None:
    """It was not texted: corrected and replayed it may be."""
    book = Book()

    desk = delivered(Gateway(lambda _: Rejected("400 bad", 400), book), "ada", journal=book)

    assert ["intent", "withdrawn"] == book.words[0]
    assert {0: Bury("rejected", "400 bad", 400)} == desk.letters.written


@pytest.mark.parametrize("answer", [Unanswered("reset"), Unknown("500", 500)], ids=["unanswered", "unknown"])
def test_what_nobody_knows_keeps_its_intent_and_is_parked(answer: Outcome | Exception) -> None:
    """The same event, coming again, is then found as unknown."""
    book = Book()
    vendor = Gateway(lambda _: answer, book)

    desk = delivered(vendor, "ada", journal=book)

    assert ["intent", None] == book.words[0]
    assert 1 == len(vendor.calls)
    assert "unknown_outcome" == desk.letters.written[0].reason


def test_what_was_sent_before_is_filtered_and_what_may_have_been_is_parked() -> None:
    """By the journal of whoever had the partition before; neither is sent, and neither is held against the vendor."""
    book = Book({0: Standing.SENT, 1: Standing.UNKNOWN})
    vendor = Gateway(well, book)

    desk = delivered(vendor, "ada", "bob", "eve", journal=book)

    assert [[2]] == vendor.offsets()
    assert {"filtered": 1, "dead_lettered": 1, "delivered": 1} == desk.totals
    assert {"duplicate": 1} == desk.delivery.filtered
    assert "unknown_outcome" == desk.letters.written[1].reason
    assert State.RUNNING is desk.state


def test_many_that_may_have_been_sent_do_not_suspend_the_destination() -> None:
    """They tell about the member that died, not about the vendor."""
    book = Book(dict.fromkeys(range(30), Standing.UNKNOWN))

    desk = worked(Gateway(well, book), *(f"key-{number}" for number in range(31)), journal=book)

    assert {"dead_lettered": 30, "delivered": 1} == desk.totals
    assert State.RUNNING is desk.state


def test_an_event_that_may_have_been_sent_is_parked_even_when_it_has_expired() -> None:
    """Filtered as expired, nobody would ever ask the vendor about it."""
    book = Book({0: Standing.UNKNOWN})

    desk = delivered(Gateway(well, book), "ada", journal=book, gate=lambda _: "expired")

    assert {0: "unknown_outcome"} == {offset: bury.reason for offset, bury in desk.letters.written.items()}


def test_a_lost_partition_is_neither_sent_nor_settled() -> None:
    """Whoever has it now decides; here it waits until it is given up."""
    book = Book()
    book.lost = True
    vendor = Gateway(well, book)

    desk = worked(vendor, "ada", "bob", journal=book, seconds=HOUR)

    assert [] == vendor.calls
    assert {} == desk.totals
    assert 2 == desk.log.tracker.unsettled


@pytest.mark.parametrize("answer", [DELIVERED, Rejected("400 bad", 400)], ids=["delivered", "rejected"])
def test_a_partition_that_is_lost_during_a_call_settles_nothing(answer: Outcome) -> None:
    """The new owner parks it: it found the intent and nothing more."""
    book = Book()

    def lose(_: Batch) -> Outcome:
        book.lost = True
        return answer

    vendor = Gateway(lose, book)
    desk = worked(vendor, "ada", journal=book, seconds=HOUR)

    assert ["intent"] == book.words[0]
    assert 1 == len(vendor.calls)
    assert {} == desk.totals
    assert {} == desk.letters.written


def test_a_call_whose_time_passed_during_its_intent_is_withdrawn() -> None:
    """The broker was away for longer than we can be sure to be a member: the call must not start late."""
    book = Book(seconds=30.0)
    vendor = Gateway(well, book)

    async def work() -> Desk:
        desk = Desk(vendor, "ada", journal=book)
        desk.loop.call_later(10.0, desk.lease.lose)
        await desk.work(HOUR)
        return desk

    desk = run(work())

    assert [] == vendor.calls
    assert ["intent", "withdrawn"] == book.words[0]
    assert {} == desk.totals


def test_the_gate_is_judged_again_after_the_intent() -> None:
    """Quiet hours may have begun meanwhile, or the person may have been erased."""
    book = Book(seconds=3.0)
    vendor = Gateway(well, book)
    reasons = iter([None, "quiet_hours", "quiet_hours"])

    desk = delivered(vendor, "ada", journal=book, gate=lambda _: next(reasons))

    assert [] == vendor.calls
    assert ["intent", "withdrawn"] == book.words[0]
    assert {"quiet_hours": 1} == desk.delivery.filtered


def test_a_throttle_that_comes_during_an_intent_is_kept_to() -> None:
    """Nothing is sent before the time the vendor named."""
    book = Book(seconds=0.15)  # a call takes 0.1 s: the second intent is under way when the first answer comes
    vendor = Gateway(first(Throttled(60.0)), book)

    async def work() -> Desk:
        desk = Desk(vendor, "ada", journal=book)
        working = asyncio.create_task(desk.work(HOUR))
        await asyncio.sleep(0.2)
        desk.add("bob")
        await working
        return desk

    desk = run(work())

    assert vendor.at[1] - vendor.at[0] >= 60.0
    assert ["intent", "withdrawn", "intent", "sent"] == book.words[1]
    assert {"delivered": 2} == desk.totals


def test_where_calls_are_far_apart_one_intent_is_committed_at_a_time() -> None:
    """Others would wait for their turn with theirs, to be parked by a kill though they were never sent."""
    book = Book()
    vendor = Gateway(well, book)

    desk = delivered(vendor, *(f"key-{number}" for number in range(20)), journal=book, rate=5.0)

    assert 20 == desk.totals["delivered"]
    assert vendor.at[-1] - vendor.at[0] <= 19 / 5.0 + 0.5


def test_a_refused_batch_is_withdrawn_before_it_is_split() -> None:
    """The good half is sent again, with an intent of its own."""
    book = Book()
    answers = to(["bob"], Refused(Rejected("400 bad", 400)))

    desk = delivered(Gateway(answers, book), "ada", "bob", journal=book, items=2)

    assert {"delivered": 1, "dead_lettered": 1} == desk.totals
    assert ["intent", "withdrawn", "intent", "sent"] == book.words[0]
    assert ["intent", "withdrawn", "intent", "withdrawn"] == book.words[1]


def test_of_a_batch_only_what_is_free_is_sent() -> None:
    """The rest settles or is parked by itself."""
    book = Book({0: Standing.SENT, 2: Standing.UNKNOWN})
    vendor = Gateway(well, book)

    desk = delivered(vendor, "ada", "bob", "eve", "joe", journal=book, items=4)

    assert [[1, 3]] == vendor.offsets()
    assert {"filtered": 1, "dead_lettered": 1, "delivered": 2} == desk.totals


def test_a_canary_that_was_not_sent_says_nothing_of_the_vendor() -> None:
    """Its time passed during its intent: blocked it stays, until a canary has come through."""
    book = Book()
    vendor = Gateway(first(Blocked("insufficient credit")), book)

    async def work() -> Desk:
        desk = Desk(vendor, "ada", journal=book)
        await desk.work(0.3)
        book.seconds = 30.0
        desk.loop.call_later(10.0, desk.lease.lose)
        await desk.work(HOUR)
        return desk

    desk = run(work())

    assert (1, 1) == (len(vendor.calls), vendor.tests)
    assert ["intent", "withdrawn", "intent", "withdrawn"] == book.words[0]
    assert State.BLOCKED is desk.state
