"""Which letters are replayed: not those that a later event of the same contact makes void, nor what costs twice."""

from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha256

import orjson
import pytest

from schemas.dead_letters import DeadLetter
from schemas.replays import ADDRESSEE, REPLAY, Fate
from stream.commands.dlq.plan import (
    Addressee,
    Consent,
    Scan,
    Skipped,
    Subject,
    in_order,
    record_of,
    refusal,
    subject_of,
)
from stream.destinations.base import Calls, Destination
from stream.mapping import compile_mapping
from stream.messages import Messages
from stream.topics.dead_letters import Letter
from tests.unit.partition import LogRecord
from tests.unit.test_messages import NOW, PRESET, Vendor, signed_up

ADA, GRACE = "ada@example.com", "grace@example.com"
CRM = Addressee({"events": 1}, repeatable=True)
SMS = Addressee({"events": 1}, repeatable=False)
REPLAYED = Fate.model_validate({"word": "replayed", "at": "2026-06-06T10:30:00Z"})
DISCARDED = REPLAYED.model_copy(update={"word": "discarded"})


class Costly(Vendor):
    """One whose calls must not be repeated."""

    repeatable = False


class Desk(Vendor):
    """One that answers privacy requests."""

    reads = "privacy_requests"


def letter(offset: int, email: str = ADA, *, by: str = "", reason: str = "rejected", message_id: str = "") -> Letter:
    """The letter of the record at *offset*, which came *by* a replay or by none."""
    about = DeadLetter("crm", "events", 0, offset, reason, "no such field", 1, NOW)
    headers = [(REPLAY, by.encode())] if by else []
    value = event(email, message_id) if message_id else event(email)
    return Letter(about, b"key", value, headers, buried_at=NOW, written_at=int(NOW * 1000))


def event(email: str = ADA, message_id: str = "") -> bytes:
    found = orjson.loads(signed_up(email=email))
    return orjson.dumps(found | ({"messageId": message_id} if message_id else {}))


def record(offset: int, email: str = ADA, *, replay: str = "", to: str = "crm", message_id: str = "") -> LogRecord:
    headers = ((ADDRESSEE, to.encode()), (REPLAY, replay.encode())) if replay else ()
    return LogRecord(offset, event(email, message_id), headers)


def about(destination: Destination | None = None) -> Subject | None:
    """What events are about for a destination that is keyed by email address."""
    destination = destination or Vendor()
    messages = Messages(
        "crm", mapping=compile_mapping(PRESET), destination=destination, dialect="datafly", wall=lambda: NOW
    )
    return subject_of(destination, messages)


def superseded(
    letters: Sequence[Letter],
    source: Sequence[LogRecord],
    *,
    undelivered: Sequence[int] | None = None,
    destination: Calls | None = None,
) -> list[int]:
    """The offsets of the letters that are superseded by what the source holds."""
    buried = [each.about.offset for each in letters] if undelivered is None else undelivered
    scan = Scan(letters, undelivered=buried, subject=about(destination))
    for each in source:
        scan.hear(each)
    return [each.about.offset for each in letters if scan.verdict(each.about.identity) is Skipped.SUPERSEDED]


def test_a_later_event_of_the_same_contact_supersedes_a_letter() -> None:
    """Replayed, the older one would bring back what the newer one changed."""
    assert [5] == superseded([letter(5)], [record(5), record(6, GRACE), record(7)])


@pytest.mark.parametrize(
    "later",
    [
        record(3),
        record(7, GRACE),
        LogRecord(7, signed_up(phone="+15558675309")),
        LogRecord(7, b'{"type": "page", "traits": {"email": "ada@example.com"}}'),
        LogRecord(7, b"not an event"),
        LogRecord(7, None),
        record(7, replay="other/events/0/6#1", to="other"),
    ],
    ids=["earlier", "another contact", "no identity", "another event", "undecodable", "tombstone", "another's replay"],
)
def test_nothing_else_supersedes_it(later: LogRecord) -> None:
    """Neither what came before, nor what the destination never got."""
    assert [] == superseded([letter(5)], [record(5), later])


def test_a_later_event_that_was_buried_too_supersedes_nothing() -> None:
    """It never arrived: both are replayed, in their order."""
    both = [letter(7), letter(5)]

    assert [] == superseded(both, [record(5), record(7)])
    assert [5, 7] == [each.about.offset for each in in_order(both)]


def test_the_replay_of_a_later_event_supersedes_an_earlier_letter() -> None:
    """It arrived, however late it was written."""
    assert [5] == superseded([letter(5)], [record(5), record(100, replay="crm/events/0/7#1")], undelivered=[5, 7])


def test_the_replay_of_an_earlier_event_supersedes_no_later_letter() -> None:
    """What counts is where the events were, not where their replays are."""
    assert [] == superseded([letter(7)], [record(7), record(100, replay="crm/events/0/5#1")], undelivered=[5, 7])


def test_a_replay_that_was_buried_again_is_as_old_as_its_event() -> None:
    """Letters of replays: an event between the original and its replay supersedes it."""
    again = letter(100, by="crm/events/0/5#1")

    assert [100] == superseded([again], [record(7), record(100, replay="crm/events/0/5#1")], undelivered=[5, 100])


def test_a_text_is_not_superseded_by_a_later_one() -> None:
    """Where calls are not repeatable each event's call is one of its own."""
    assert [] == superseded([letter(5, message_id="m-1")], [record(7, message_id="m-2")], destination=Costly())


def test_a_text_is_superseded_by_the_same_event_written_again() -> None:
    """Even where that was buried as well: else one event would lead to two texts."""
    letters = [letter(5, message_id="m-1"), letter(7, message_id="m-1")]

    assert [5] == superseded(
        letters, [record(5, message_id="m-1"), record(7, message_id="m-1")], undelivered=[], destination=Costly()
    )


def test_a_privacy_request_is_superseded_by_nothing() -> None:
    """Each is answered."""
    assert about(Desk()) is None
    assert [] == superseded([letter(5)], [record(7)], destination=Desk())


def test_a_value_left_out_for_its_size_is_read_at_the_source() -> None:
    """With the key and the headers that are there."""
    omitted = replace(letter(5), value=None, key=None, value_sha256=sha256(event()).hexdigest())
    scan = Scan([omitted], undelivered=[5], subject=about())

    assert 5 == scan.start
    scan.hear(LogRecord(5, event(), headers=(("trace", b"abc"),), key=b"u-1"))

    found = scan.letters[omitted.about.identity]
    assert scan.verdict(omitted.about.identity) is None
    assert (event(), b"u-1", [("trace", b"abc")]) == (found.value, found.key, found.headers)


def test_a_value_read_at_the_source_is_superseded_like_any_other() -> None:
    """Whom it is about is known from then on."""
    omitted = replace(letter(5), value=None, value_sha256=sha256(event()).hexdigest())

    assert [5] == superseded([omitted], [record(5), record(6)])


@pytest.mark.parametrize("there", [[], [record(5, GRACE)]], ids=["removed", "another record"])
def test_a_value_that_is_no_more_at_the_source_is_gone(there: list[LogRecord]) -> None:
    """The hash tells whether a record is the one that was buried."""
    omitted = replace(letter(5), value=None, value_sha256=sha256(event()).hexdigest())
    scan = Scan([omitted], undelivered=[5], subject=about())
    for each in there:
        scan.hear(each)

    assert Skipped.GONE is scan.verdict(omitted.about.identity)


def test_the_value_of_a_replay_is_also_where_its_event_was() -> None:
    """Whichever of the two is still there; it keeps the mark by which it came."""
    by = "crm/events/0/5#1"
    omitted = replace(letter(100, by=by), value=None, value_sha256=sha256(event()).hexdigest())
    scan = Scan([omitted], undelivered=[5, 100], subject=about())

    scan.hear(record(5))

    assert (event(), [(REPLAY, by.encode())]) == (scan.letters[omitted.about.identity].value, omitted.headers)
    assert omitted.origin == scan.letters[omitted.about.identity].origin


def test_with_force_only_values_are_looked_for() -> None:
    """There is nothing to read where all have theirs."""
    assert Scan([letter(5)], undelivered=[5], subject=None).start is None


def test_what_retention_removed_after_a_letter_is_counted() -> None:
    """From there on nobody can tell whether it was superseded."""
    scan = Scan([letter(5), letter(9)], undelivered=[5, 9], subject=about())

    assert (0, 1, 2) == (scan.unseen(6), scan.unseen(7), scan.unseen(11))


@pytest.mark.parametrize(
    "reason,fate,addressee,consent,expected",
    [
        ("rejected", None, CRM, Consent(), None),
        ("rejected", REPLAYED, CRM, Consent(), Skipped.REPLAYED),
        ("rejected", DISCARDED, CRM, Consent(), Skipped.DISCARDED),
        ("rejected", REPLAYED, CRM, Consent(force=True), Skipped.REPLAYED),
        ("rejected", REPLAYED, CRM, Consent(again=True), None),
        ("rejected", DISCARDED, CRM, Consent(again=True), None),
        ("rejected", None, None, Consent(force=True, again=True), Skipped.UNREAD),
        ("rejected", None, Addressee({"others": 1}, repeatable=True), Consent(force=True), Skipped.UNREAD),
        ("rejected", None, Addressee({"events": 0}, repeatable=True), Consent(force=True), Skipped.UNREAD),
        ("rejected", None, SMS, Consent(), None),
        ("unknown_outcome", None, SMS, Consent(), Skipped.UNSURE),
        ("unknown_outcome", None, SMS, Consent(unsure=True), None),
        ("unknown_outcome", None, SMS, Consent(force=True), Skipped.UNSURE),
        ("unknown_outcome", REPLAYED, SMS, Consent(unsure=True), Skipped.REPLAYED),
        ("unknown_outcome", None, CRM, Consent(), None),
    ],
)
def test_what_is_refused_without_a_look_at_the_source(
    reason: str, fate: Fate | None, addressee: Addressee | None, consent: Consent, expected: Skipped | None
) -> None:
    """What was replayed stays so even with `--force`; a text that may have arrived needs a word for itself."""
    assert expected == refusal(letter(5, reason=reason), fate, addressee, consent)


def test_a_letter_is_judged_as_the_record_it_was_at_first() -> None:
    """Not as a replay, and from its own time."""
    found = record_of(letter(100, by="crm/events/0/5#1"))

    assert ("events", 0, 5, int(NOW * 1000), ()) == (
        found.topic,
        found.partition,
        found.offset,
        found.timestamp,
        found.headers,
    )
