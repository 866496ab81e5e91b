"""Repeats, order and sleepers, on ledgers made by hand: at the edge of what is allowed, and just beyond."""

from dataclasses import replace

import pytest

from tests.chaos.checkers import judge, worst_repeats
from tests.chaos.checkers.run import NEXT_CALL, ON_THE_WIRE, WAKING, Run
from tests.chaos.ledger import Committed, Erasure, Fate, Fault
from tests.chaos.told import ADA, BOB, CALL, LAG, SLEEP, VENDOR, WOKEN, A, B, Told, found

# repeated after commit


def test_what_a_commit_settled_does_not_come_again() -> None:
    """It may where the commit is asked for at the same time or later."""
    told = Told()
    told.write(ADA)
    told.take(ADA, at=1.0)
    told.member("killed", at=1.5)
    told.take(ADA, at=9.0, door=B)
    told.commit(1, at=9.0)
    assert [] == found("repeated after commit", told)

    told.commits.clear()
    told.commit(0, at=1.0)
    told.commit(1, at=8.9)
    assert 1 == len(found("repeated after commit", told))


def test_what_a_commit_settled_above_its_position_does_not_come_again() -> None:
    """The bitmap counts as much."""
    told = Told()
    told.write(ADA)
    told.write(BOB)
    told.take(BOB, at=1.0)
    told.commit(0, at=1.4, above=[1])
    told.member("killed", at=1.5)
    told.take(ADA, at=9.0, door=B)
    told.take(BOB, at=9.0, door=B)

    assert 1 == len(found("repeated after commit", told))


# repeats


def repeated(*, repeatable: bool = True) -> Told:
    """An event that two members delivered."""
    told = Told(repeatable=repeatable)
    told.write(ADA)
    told.take(ADA, at=1.0)
    told.take(ADA, at=9.0, door=B)
    return told


def test_a_repeat_without_a_fault() -> None:
    """Also where a member was asked to end: a clean stop repeats nothing."""
    told = repeated()
    told.member("terminated", at=1.1)
    told.member("ended", at=1.3, detail="exit code 0")

    assert ["attio: event 1 of ada@example.com was taken again after 8.000 s, at another member's door"] == found(
        "repeats", told
    )


@pytest.mark.parametrize("fate, detail", [("killed", ""), ("ended", "exit code 1"), ("ended", "-11")])
def test_after_a_crash_what_was_answered_just_before_may_come_again(fate: Fate, detail: str) -> None:
    """For as long as the turn of the commits and a round trip take."""
    told = repeated()
    told.member(fate, at=1.0 + CALL + LAG, detail=detail)
    assert [] == found("repeats", told)

    told.lives.clear()
    told.member(fate, at=1.0 + CALL + LAG + 0.01, detail=detail)
    assert 1 == len(found("repeats", told))


def test_where_the_broker_was_slow_a_commit_may_take_longer() -> None:
    """As much longer as a plain client had to wait."""
    told = repeated()
    told.member("killed", at=1.0 + LAG + 2)
    told.commits.append(Committed(VENDOR, "events", 0, 0, 0, {}, 1.0, 3.0))

    assert [] == found("repeats", told)


def test_a_crash_of_another_member_explains_nothing() -> None:
    """It had nothing to do with it."""
    told = repeated()
    told.member("killed", at=1.1, door=B)

    assert 1 == len(found("repeats", told))


def test_a_crash_afterwards_explains_nothing() -> None:
    """Neither of a member nor of the broker."""
    told = Told()
    told.write(ADA)
    told.take(ADA, at=1.0)
    told.take(ADA, at=1.2, door=B)
    told.member("killed", at=1.3)
    told.fault("broker_kill", 1.3, 1.4)

    assert 1 == len(found("repeats", told))


def test_a_fault_of_the_broker_explains_no_more_than_a_session_after_it() -> None:
    """By then the group has found itself."""
    told = repeated()
    told.fault("broker_kill", -20.0, 1.0 - 6.0 - WAKING)
    assert [] == found("repeats", told)

    told.faults = [replace(told.faults[0], until=0.99 - 6.0 - WAKING)]
    assert 1 == len(found("repeats", told))


def test_what_counts_for_a_crash_is_what_it_interrupted() -> None:
    """An event whose second call had failed; not one that was cut long before."""
    told = Told()
    for contact in (ADA, BOB):
        told.write(contact)
    told.take(ADA, at=1.0)
    told.ask(ADA, at=1.5, status=503)
    told.take(BOB, at=1.0, answered=False)
    told.member("killed", at=30.0)
    for contact in (ADA, BOB):
        told.take(contact, at=40.0, door=B)

    assert [(1, 1)] == [(crash.repeats, crash.bound) for crash in worst_repeats(Run(told))]
    assert [] == found("repeats", told)


def test_a_call_that_was_in_flight_at_a_crash_may_come_again() -> None:
    """Also one that was on the wire, and arrived a little later."""
    told = Told()
    told.write(ADA)
    told.member("killed", at=1.0)
    told.take(ADA, at=1.0 + ON_THE_WIRE / 2, answered=False)
    told.take(ADA, at=9.0, door=B)

    assert [] == found("repeats", told)
    [crash] = worst_repeats(Run(told))
    assert (1, 1) == (crash.repeats, crash.bound)


def test_a_call_that_was_cut_may_come_again() -> None:
    """Nobody could know that the vendor took it."""
    told = Told()
    told.write(ADA)
    told.take(ADA, at=1.0, answered=False)
    told.take(ADA, at=1.5)
    assert [] == found("repeats", told)

    told.take(ADA, at=2.0)
    assert 1 == len(found("repeats", told))


def test_an_event_of_several_calls_may_come_again_after_the_second_failed() -> None:
    """Such as a contact's change, which is followed by its subscription."""
    told = Told()
    told.write(ADA)
    told.take(ADA, at=1.0)
    told.ask(ADA, at=1.2, status=503)
    told.take(ADA, at=1.5)
    assert [] == found("repeats", told)

    told.asked[1] = replace(told.asked[1], contacts=frozenset({BOB}))
    assert 1 == len(found("repeats", told))


def test_an_event_of_several_calls_may_come_again_where_the_second_could_not_arrive() -> None:
    """A vendor that is down writes nothing down."""
    told = repeated()
    told.fault("down", 1.0 + CALL + NEXT_CALL, 5.0, VENDOR)
    assert [] == found("repeats", told)

    for kind, at, vendor in (("down", 1.01, VENDOR), ("down", 0.0, "another"), ("slow", 0.0, VENDOR)):
        told.faults.clear()
        told.fault(kind, at + CALL + NEXT_CALL, 5.0, vendor)
        assert 1 == len(found("repeats", told))


@pytest.mark.parametrize("kind, repeats", [("broker_kill", 0), ("broker_pause", 0), ("disk", 0), ("slow", 1)])
def test_what_no_commit_could_follow_may_come_again(kind: str, repeats: int) -> None:
    """Where a fault kept the commits from being made."""
    told = repeated()
    told.fault(kind, 1.0 + LAG, 5.0)
    assert repeats == len(found("repeats", told))

    told.faults.clear()
    told.fault(kind, 1.0 + CALL + LAG + 0.01, 5.0)
    assert 1 == len(found("repeats", told))


@pytest.mark.parametrize("door, repeats", [(A, 0), (B, 1)])
def test_what_a_starved_member_did_not_commit_may_come_again(door: str, repeats: int) -> None:
    """One to which the machine left no time; that of another explains nothing."""
    told = repeated()
    for each in (A, B):
        told.member("started", at=0.0, door=each)
    told.faults.append(Fault("starved", 1.0 + LAG, 5.0, detail=f"member at {door}"))
    assert repeats == len(found("repeats", told))

    told.faults[0] = replace(told.faults[0], at=1.0 + CALL + LAG + 0.01)
    assert 1 == len(found("repeats", told))


def test_a_text_never_comes_twice() -> None:
    """Not even after a crash."""
    told = repeated(repeatable=False)
    told.member("killed", at=1.1)

    assert ["attio: event 1 of ada@example.com must not be repeated, and was after 8.000 s"] == found("repeats", told)


def test_the_worst_repeats_stand_beside_their_bounds() -> None:
    """What was in flight or answered since the last commit could have come again; one did."""
    told = Told()
    for n in range(1, 6):
        told.write(ADA, n)
        told.take(ADA, n, at=n)
    told.member("killed", at=5.1)
    told.member("killed", at=6.0, door=B)
    told.take(ADA, 5, at=12.0, door=B)

    first, second = worst_repeats(Run(told))

    assert (A, 1, 2) == (first.stop.door, first.repeats, first.bound)
    assert (B, 0, 0) == (second.stop.door, second.repeats, second.bound)


def test_what_a_commit_was_seen_to_settle_is_not_in_the_bound() -> None:
    """If it came again, that would be held against it elsewhere."""
    told = Told()
    for n in (1, 2, 3):
        told.write(ADA, n)
        told.take(ADA, n, at=1 + n / 10)
    told.commit(2, at=1.4)
    told.member("killed", at=1.5)

    assert [1] == [crash.bound for crash in worst_repeats(Run(told))]


# inversions


def test_the_first_deliveries_of_a_contact_are_in_order() -> None:
    """Each contact by itself; repeats of earlier events may follow where later ones follow them."""
    told = Told()
    for n in (1, 2):
        told.write(ADA, n)
        told.write(BOB, n)
    told.take(ADA, 1, at=1.0)
    told.take(ADA, 2, at=2.0)
    told.take(ADA, 1, at=3.0)
    told.take(ADA, 2, at=4.0)
    told.take(BOB, 1, at=5.0)
    assert [] == found("inversions", told)

    told.take(BOB, 2, at=4.9)
    told.taken.sort(key=lambda each: each.at)
    assert ["attio: event 1 of bob@example.com came 0.100 s after event 2"] == found("inversions", told)


def test_a_contact_is_not_left_with_an_older_event() -> None:
    """A repeat of an earlier one must not be the last word."""
    told = Told()
    for n in (1, 2):
        told.write(ADA, n)
        told.take(ADA, n, at=n)
    told.take(ADA, 1, at=3.0)

    assert ["attio: event 1 of ada@example.com was taken again at the end, after event 2"] == found("inversions", told)

    told.erasures.append(Erasure(ADA, 3.5))
    assert [] == found("inversions", told)


def test_an_event_that_was_buried_before_may_come_late() -> None:
    """Its commit was lost, so it was sent again, and the vendor takes it now."""
    told = Told()
    offset = told.write(ADA, 1)
    told.write(ADA, 2)
    told.take(ADA, 2, at=2.0)
    told.take(ADA, 1, at=9.0)
    assert 1 == len(found("inversions", told))

    told.bury(offset, "exhausted", at=1.0)
    assert [] == found("inversions", told)


# fenced


def slept(*, in_flight: int = 0, late: int, at: float = WOKEN + WAKING) -> Told:
    """A member that slept while the other delivered five events, and sent some of them after it woke up."""
    told = Told(concurrency=2)
    told.member("frozen", at=SLEEP)
    told.member("thawed", at=WOKEN)
    for number in range(in_flight):
        told.take(BOB, number, at=SLEEP - 0.1, answered=False)
    for n in range(1, 6):
        told.write(ADA, n)
        told.take(ADA, n, at=SLEEP + n, door=B)
    for n in range(1, late + 1):
        told.take(ADA, n, at=at)
    return told


def test_a_member_that_was_replaced_sends_no_more_than_was_on_the_wire() -> None:
    """As many calls as there may be at once, less those that the vendor had."""
    assert [] == found("fenced", slept(late=2))
    assert 1 == len(found("fenced", slept(late=3)))
    assert [] == found("fenced", slept(in_flight=1, late=1))
    assert 1 == len(found("fenced", slept(in_flight=1, late=2)))


def test_what_was_on_the_wire_is_judged_nowhere_else() -> None:
    """It comes again after a commit, and last of all: neither is held against it."""
    told = slept(late=2)
    told.commit(5, at=WOKEN)

    assert [] == judge(told)


def test_what_it_sends_long_after_it_woke_up_is_a_repeat() -> None:
    """By then it is a member again, or none."""
    told = slept(late=2, at=WOKEN + WAKING + 0.1)

    assert [] == found("fenced", told)
    assert 2 == len(found("repeats", told))


def test_what_the_other_member_delivers_again_tells_too() -> None:
    """The sleeper was first, but it was not its turn."""
    told = Told(concurrency=1)
    told.member("frozen", at=SLEEP)
    told.member("thawed", at=WOKEN)
    for n in (1, 2):
        told.write(ADA, n)
        told.take(ADA, n, at=WOKEN + 0.1)
        told.take(ADA, n, at=WOKEN + 0.5, door=B)

    assert 1 == len(found("fenced", told))
    assert [] == found("repeats", told)
