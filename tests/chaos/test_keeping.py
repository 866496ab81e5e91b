"""Quota, erasures, progress, balance, on ledgers made by hand: at the edge of what is allowed, and just beyond."""

from dataclasses import replace

import pytest

from tests.chaos.checkers.keeping import AFTER_FAULT, FOLLOWING
from tests.chaos.checkers.run import WAKING
from tests.chaos.ledger import Erasure
from tests.chaos.told import ADA, VENDOR, WOKEN, A, B, Told, found, well

# quota


def paced(rate: float, count: int, seconds: float, *doors: str) -> Told:
    """So many calls, evenly over some seconds, the members taking turns."""
    told = Told(rate=rate)
    for number in range(count):
        told.ask(at=100 + number * seconds / count, door=doors[number % len(doors)])
    return told


def test_no_second_holds_more_than_the_limit_and_what_a_bucket_may_hold() -> None:
    """Rate, a twentieth of it, one for each member, and a quarter for how they arrive."""
    assert [] == found("quota", paced(100, 131, 0.99, A))
    assert 1 == len(found("quota", paced(100, 132, 0.99, A)))
    assert [] == found("quota", paced(100, 132, 0.99, A, B))
    assert 1 == len(found("quota", paced(100, 133, 0.99, A, B)))


def test_nor_do_ten_seconds() -> None:
    """Where it is seen that a little too much is sent all the time."""
    assert [] == found("quota", paced(100, 1_031, 9.99, A))
    assert ["attio: 1032 requests within 10 s, at most 1031.0 by its limit of 100/s"] == found(
        "quota", paced(100, 1_032, 9.99, A)
    )


def test_destinations_of_one_quota_share_its_limit() -> None:
    """Each keeps to the rate, both together do not."""
    told = paced(100, 90, 0.99, A)
    terms = replace(told.terms[VENDOR], quota="account")
    told.terms = {VENDOR: terms, "other": replace(terms, destination="other")}
    told.asked += [replace(each, destination="other", door=B) for each in told.asked]
    assert 1 == len(found("quota", told))

    told.terms = {name: replace(each, quota=None) for name, each in told.terms.items()}
    assert [] == found("quota", told)


def test_calls_that_the_vendor_saw_late_may_have_come_before() -> None:
    """Where its process stood still; elsewhere that explains nothing."""
    told = paced(100, 135, 0.99, A)
    told.fault("late", 100.5, 100.55)
    assert [] == found("quota", told)

    told.faults.clear()
    told.fault("late", 98.0, 98.5)
    assert 1 == len(found("quota", told))


def test_a_member_that_woke_up_may_have_calls_half_sent() -> None:
    """As many as may be in flight."""
    told = paced(100, 133, 0.99, A)
    told.member("frozen", at=90.0)
    told.member("thawed", at=100.2)
    assert [] == found("quota", told)

    told.lives.clear()
    assert 1 == len(found("quota", told))


# erasure


def erased(taken_at: float, *, known_at: float | None = 4.1, lifted_at: float | None = None) -> Told:
    """A person's event, delivered at some time."""
    told = Told()
    told.write(ADA)
    told.erasures.append(Erasure(ADA, 4.0, lifted_at, known_at))
    told.take(ADA, at=taken_at)
    return told


def test_an_erasure_has_to_be_heard_of() -> None:
    """That takes a moment, and no longer."""
    assert [] == found("erasure", erased(4.1 + FOLLOWING))
    assert 1 == len(found("erasure", erased(4.1 + FOLLOWING + 0.01)))


def test_a_fault_of_the_broker_keeps_a_member_from_hearing() -> None:
    """Until it is over, and a moment."""
    for late in (0.0, 0.01):
        told = erased(10.0 + AFTER_FAULT + late)
        told.fault("broker_pause", 5.0, 10.0)
        assert bool(late) == bool(found("erasure", told))


def test_a_sleep_keeps_only_its_own_member_from_hearing() -> None:
    """The other one knows."""
    told = erased(WOKEN + WAKING)
    told.member("frozen", at=4.0)
    told.member("thawed", at=WOKEN)
    assert [] == found("erasure", told)

    told.taken[0] = replace(told.taken[0], door=B)
    assert 1 == len(found("erasure", told))


def test_what_was_written_before_a_lifted_erasure_stays_erased() -> None:
    """And what came after it is delivered."""
    told = erased(30.0, lifted_at=20.0)
    assert [] == found("erasure", told), "too near to the request to tell"

    told.erasures[0] = replace(told.erasures[0], at=6.0)
    assert 1 == len(found("erasure", told))


def test_a_request_of_which_nothing_came() -> None:
    """No erasure was ever written."""
    told = erased(1.0, known_at=None)

    assert ["the deletion of ada@example.com was requested, and no erasure came of it"] == found("erasure", told)


# stuck


def standing(seconds: float) -> Told:
    """A destination that settled its last event so many seconds before its last sample."""
    told = Told()
    told.member("started", at=0.0)
    told.sample(0, 10, at=1.0)
    told.sample(5, 5, at=2.0)
    told.sample(5, 5, at=2.0 + seconds)
    return told


def test_something_is_settled_while_there_is_work() -> None:
    """Half a minute may pass without."""
    assert [] == found("stuck", standing(30.0))
    assert ["attio: nothing was settled for 30.1 s, and 5 were left"] == found("stuck", standing(30.1))


def test_nothing_need_be_settled_where_there_is_no_work_or_nobody_to_do_it() -> None:
    """Or where the vendor is away."""
    told = standing(40.0)
    told.progress = [replace(each, left=0) for each in told.progress]
    assert [] == found("stuck", told)

    told = standing(40.0)
    told.member("killed", at=2.5)
    assert [] == found("stuck", told)

    told = standing(40.0)
    told.fault("down", 3.0, 12.0, VENDOR)
    assert [] == found("stuck", told)

    told.faults = [replace(told.faults[0], until=11.9)]
    assert 1 == len(found("stuck", told))


def test_a_moment_in_which_the_vendor_was_late_is_no_excuse() -> None:
    """It is about what was noted, not about what was done."""
    told = standing(40.0)
    told.fault("late", 30.0, 30.1)

    assert 1 == len(found("stuck", told))


def test_a_fault_of_another_vendor_is_no_excuse() -> None:
    """One destination's trouble is not another's."""
    told = standing(40.0)
    told.fault("down", 3.0, 42.0, "splio_sms")

    assert 1 == len(found("stuck", told))


# uneven


@pytest.mark.parametrize(
    "totals, text",
    [
        ({"delivered": 7}, "the counters hold 7 offsets of 6"),
        ({"delivered": 5}, "the counters hold 5 offsets of 6"),
        ({"delivered": 5, "filtered": 1}, "1 were counted as filtered, 0 by others"),
        ({"delivered": 5, "absent": 1}, "1 were counted as absent, 0 by others"),
        ({"delivered": 5, "lost_to_retention": 1}, "1 were counted as lost_to_retention, 0 by others"),
        ({"delivered": 5, "dead_lettered": 1}, "1 were counted as dead_lettered, 0 by others"),
    ],
)
def test_the_counters_agree_with_what_others_counted(totals: dict[str, int], text: str) -> None:
    """Each of them by itself."""
    told = well()
    told.commits.append(replace(told.commits[-1], totals=totals))

    assert [f"attio, events/0: {text}"] == found("uneven", told)


def test_merged_events_are_counted_apart() -> None:
    """Together they are what the vendor took."""
    told = well()
    told.commit(6, at=5.0, delivered=4, coalesced=2)

    assert [] == found("uneven", told)


def test_more_delivered_than_the_vendor_took() -> None:
    """One of them was never there."""
    told = well()
    told.taken.pop()

    assert ["attio, events/0: 6 were counted as delivered and coalesced, 0 to 5 by others"] == found("uneven", told)


def test_the_position_is_at_the_end() -> None:
    """What is left is not settled; and where nothing was committed nothing is."""
    told = well()
    told.ends["events", 0] = 7
    assert ["attio, events/0: the position is 6, and the log ends at 7"] == found("uneven", told)

    told.commits.clear()
    assert ["attio, events/0: no position, and the log ends at 7"] == found("uneven", told)


def test_letters_that_no_commit_counts_need_a_crash() -> None:
    """It was written, and after the crash the vendor took the event."""
    told = well()
    told.bury(0, "exhausted", at=1.0)
    assert 1 == len(found("uneven", told))

    told.member("killed", at=1.1)
    assert [] == found("uneven", told)


def test_what_the_journal_knows_after_a_crash_is_filtered() -> None:
    """A text that was sent and not committed: the next member finds it and passes it over."""
    told = well()
    told.terms[VENDOR] = replace(told.terms[VENDOR], repeatable=False)
    told.commit(6, at=5.0, delivered=5, filtered=1)
    assert 1 == len(found("uneven", told))

    told.member("killed", at=4.5)
    assert [] == found("uneven", told)


def test_verify_has_to_agree() -> None:
    """Where there are receipts."""
    told = well()
    told.verify_code, told.verified = 4, "error: not even"

    assert ["crmstream verify ended with 4: error: not even"] == found("uneven", told)
