"""How each event ended, on ledgers made by hand: at the edge of what is allowed, and just beyond."""

from dataclasses import replace

import pytest

from tests.chaos.ledger import Erasure
from tests.chaos.told import ADA, BOB, Told, found, well

# lost


def test_an_event_may_be_delivered_buried_or_of_someone_else() -> None:
    """The three ways in which one is not lost."""
    told = Told()
    told.write(ADA)
    told.take(ADA, at=1.0, answered=False)
    told.bury(told.write(BOB, rejected=True), "rejected", at=1.0)
    told.write(BOB, 2, foreign=True)

    assert [] == found("lost", told)


def test_an_event_that_is_nowhere_is_lost() -> None:
    """Neither at the vendor nor in the dead letters, whatever a commit says."""
    told = well()
    told.write(ADA, 4)
    told.commit(7, at=5.0)

    assert [
        "attio: event 4 of ada@example.com (events/0 offset 6) was neither taken by the vendor nor buried"
    ] == found("lost", told)


def test_a_letter_of_another_offset_saves_nobody() -> None:
    """The identity of a letter is its place."""
    told = well()
    told.bury(told.write(ADA, 4) - 1, "rejected", at=5.0)

    assert 1 == len(found("lost", told))


def test_an_event_of_an_erased_person_may_be_missing() -> None:
    """Unless it came after the erasure was lifted."""
    told = well()
    told.write(ADA, 4, at=5.0)
    told.erasures.append(Erasure(ADA, 4.0, known_at=4.1))
    assert [] == found("lost", told)

    told.erasures[0] = replace(told.erasures[0], lifted_at=4.9)
    assert 1 == len(found("lost", told))


def test_a_log_that_is_shorter_than_what_was_acknowledged() -> None:
    """Then the broker lost something, and the rest proves nothing."""
    told = well()
    told.acknowledged["events", 0] = 7

    assert ["events/0 holds 6 records of 7 that the broker acknowledged"] == found("lost", told)


# premature


@pytest.mark.parametrize("above", [False, True])
def test_what_a_commit_settles_was_delivered_by_then(above: bool) -> None:
    """Below the position and above it; by the time at which the sample was told, not at which it was asked for."""
    told = Told()
    told.write(ADA)
    told.write(BOB)
    told.take(BOB, at=1.0)
    told.take(ADA, at=1.2)
    told.commit(0 if above else 2, at=1.2, above=[1] if above else [])
    assert [] == found("premature", told)

    told.commits.clear()
    told.commit(0 if above else 2, at=0.99, above=[1] if above else [])
    assert (1 if above else 2) == len(found("premature", told))


def test_what_a_commit_settles_was_buried_by_then() -> None:
    """The letter counts by Kafka's time."""
    told = Told()
    told.bury(told.write(ADA, rejected=True), "rejected", at=1.0)
    told.commit(1, at=1.0)
    assert [] == found("premature", told)

    told.commits.clear()
    told.commit(1, at=0.999)
    assert 1 == len(found("premature", told))


def test_what_was_buried_first_and_delivered_later_was_not_settled_early() -> None:
    """The first of the two counts."""
    told = Told()
    told.bury(told.write(ADA), "exhausted", at=1.0)
    told.commit(1, at=2.0)
    told.take(ADA, at=9.0)

    assert [] == found("premature", told)


# letters


def test_a_letter_of_what_the_vendor_rejects_has_a_cause() -> None:
    """And one of what it takes has none."""
    told = Told()
    told.bury(told.write(ADA, rejected=True), "rejected", at=1.0, status=400)
    assert [] == found("letters", told)

    told.bury(told.write(BOB), "rejected", at=1.0, status=401)
    assert ["attio: event 1 of bob@example.com (events/0 offset 1) was buried as rejected (status 401)"] == found(
        "letters", told
    )


def test_a_letter_about_what_is_not_for_the_destination() -> None:
    """Or about nothing at all."""
    told = Told()
    told.bury(told.write(ADA, foreign=True), "undecodable", at=1.0)
    told.bury(99, "undecodable", at=1.0)
    assert 2 == len(found("letters", told))

    tried = exhausted(3)
    tried.written[0] = replace(tried.written[0], takers=frozenset())
    assert 1 == len(found("letters", tried))


def exhausted(failures: int, *, others: bool = True) -> Told:
    """A contact whose event was buried after so many failed calls."""
    told = Told()
    told.write(ADA, 1)
    for number in range(failures):
        told.ask(ADA, at=1.0 + number, status=503)
    if others:
        told.ask(BOB, at=1.5)
    told.bury(0, "exhausted", at=9.0, status=503)
    return told


def test_exhausted_needs_three_failures_while_others_get_through() -> None:
    """A contact's own fault, not the vendor's."""
    assert [] == found("letters", exhausted(3))
    assert 1 == len(found("letters", exhausted(2)))
    alone = exhausted(3, others=False)
    assert 1 == len(found("letters", alone))
    alone.ask(ADA, at=4.5)
    assert 1 == len(found("letters", alone))


def test_a_contact_that_is_sick_needs_one_failure_more() -> None:
    """Each of its later events gets one attempt."""
    told = exhausted(3)
    told.bury(told.write(ADA, 2), "exhausted", at=9.5, status=503)
    assert 1 == len(found("letters", told))

    told.ask(ADA, at=9.2, status=503)
    told.ask(BOB, at=9.3)
    assert [] == found("letters", told)


def test_unknown_outcome_is_for_what_must_not_be_repeated() -> None:
    """And after a call that nobody answered, or with 5xx."""
    for repeatable, status, violations in ((False, None, 0), (False, 500, 0), (False, 200, 1), (True, None, 1)):
        told = Told(repeatable=repeatable)
        told.bury(told.write(ADA), "unknown_outcome", at=2.0)
        told.ask(ADA, at=1.0, status=status)
        assert violations == len(found("letters", told)), (repeatable, status)


def test_a_stop_interrupts_no_more_than_was_in_flight() -> None:
    """An intent may be all there is of a call."""
    told = Told(repeatable=False, concurrency=2)
    told.member("killed", at=1.0)
    for n in (1, 2):
        told.bury(told.write(ADA, n), "unknown_outcome", at=8.0)
    assert [] == found("letters", told)

    told.bury(told.write(ADA, 3), "unknown_outcome", at=8.0)
    assert 1 == len(found("letters", told))


# unknown


def text(*, taken: bool, answered: bool = True, reason: str = "") -> list[str]:
    """What is found of one text."""
    told = Told(repeatable=False)
    offset = told.write(ADA)
    if taken:
        told.take(ADA, at=1.0, answered=answered)
    if reason:
        told.bury(offset, reason, at=2.0)
    return found("unknown", told)


def test_a_text_is_known_to_be_taken_or_is_parked() -> None:
    """Parked it may be taken or not; buried for another reason it is not."""
    assert [] == text(taken=True)
    assert [] == text(taken=True, answered=False, reason="unknown_outcome")
    assert [] == text(taken=False, reason="unknown_outcome")
    assert [] == text(taken=False, reason="rejected")
    assert 1 == len(text(taken=True, answered=False))
    assert 1 == len(text(taken=True, reason="rejected"))
