"""A vendor's quota among many members, through rebalances: kept in every window, and used. `quota` has the big one."""

import pytest

from tests.simulation.quota import Found, Plan, burst, live

MEMBERS = 100
WINDOWS = {1.0: 1.25, 10.0: 1.05}  # seconds: how many times the rate the fullest window may hold


def lived(**given: float) -> Found:
    """A hundred members, of which two at a time join, leave, die and stand still."""
    settings = {"members": MEMBERS, "partitions": 3 * MEMBERS, "seconds": 150.0, "happenings": 2}
    return live(Plan(**settings | given))  # type: ignore[arg-type]


@pytest.mark.parametrize("rate", [20.0, 60.0, 1000.0])
def test_members_that_come_and_go_keep_to_the_quota_and_use_it(rate: float) -> None:
    """Whoever joins, leaves, dies or freezes: no window holds much more than the rate, and little of it is left."""
    found = lived(rate=rate)

    assert {} == {what: n for what in HAPPENINGS if not (n := found.happened[what])}
    assert {} == {each: most for each, most in found.most.items() if most > rate * each * WINDOWS[each]}
    assert 0.95 < found.used < 1.02
    assert 0.7 < found.used_in_all


HAPPENINGS = ("join", "leave", "death", "nap", "freeze", "missed", "kept still by the lease")


def test_destinations_of_one_quota_keep_to_it_together() -> None:
    """Each has a group of its own, whose partitions move by themselves."""
    found = lived(rate=60.0, destinations=2)

    assert 10 < found.happened["rebalance"]
    assert {} == {each: most for each, most in found.most.items() if most > 60.0 * each * WINDOWS[each]}
    assert 0.7 < found.used_in_all


def test_what_a_group_may_save_up_grows_with_its_members() -> None:
    """A request for each of them, and after an idle time these come at once: that is the bound, and it is reached."""
    plan = Plan(MEMBERS, MEMBERS, rate=20.0, seconds=60.0, idle=(20.0, 40.0))

    most = live(plan).most[1.0]

    assert 0.9 * MEMBERS < most <= plan.rate + burst(plan, MEMBERS)
