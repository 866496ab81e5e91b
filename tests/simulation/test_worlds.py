"""Hundreds of small worlds with everything that goes wrong in one, against the invariants of the design's section 4.

A failing seed is printed: `python -m tests.simulation SEED` runs it alone.
"""

from collections import Counter

import pytest
import structlog

from tests.simulation.clock import run
from tests.simulation.world import Plan, live

WORLDS = 200
LOTS = 10  # tests that share them

happened: Counter[str] = Counter()


@pytest.fixture(autouse=True)
def _quiet() -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))


@pytest.mark.parametrize("lot", range(LOTS))
def test_no_world_breaks_an_invariant(lot: int) -> None:
    """Nothing lost, nothing early, order per contact, honest counters: whatever the group and the vendor do."""
    for seed in range(lot, WORLDS, LOTS):
        print(f"seed {seed}")  # noqa: T201 - shown when the test fails
        happened.update(run(live(seed)).happened)


def test_the_worlds_were_eventful() -> None:
    """What the worlds are there for did happen, and often enough to mean something."""
    print(dict(happened))  # noqa: T201
    enough = {
        "rebalance": 300,
        "killed": 50,
        "killed in flight": 10,
        "left": 50,
        "down": 100,
        "refused": 100,
        "throttled": 100,
        "adapted": 300,
        "blocked": 30,
        "half_open": 50,
        "flaky": 500,
        "commit failed": 500,
        "merged": 300,
        "refused batch": 30,
        "handed back": 300,
        "restored above": 1000,
        "repeated": 30,
        "buried exhausted": 50,
        "buried rejected": 100,
        "buried undecodable": 100,
    }
    assert {} == {what: happened[what] for what, least in enough.items() if happened[what] < least}


@pytest.mark.parametrize("kind", ["down", "refused", "half_open", "throttled", "blocked"])
def test_a_bad_day_of_the_vendor_buries_nothing(kind: str) -> None:
    """Ten minutes of outage, with and without answers: everything is delivered afterwards, nothing to dead letters."""
    made = Plan(outages=[(0.2, 600.0, kind)], malformed_share=0.0, latency=0.1)

    world = run(live(7, made))

    assert world.happened[kind] > 0
    assert {} == world.buried


def test_one_poisoned_contact_holds_up_nobody_else() -> None:
    """The others' first deliveries are over long before the poisoned contact's messages are buried."""
    made = Plan(poison_keys=1, malformed_share=0.0, window=1000, records=300)

    world = run(live(3, made))

    assert {"exhausted"} == set(world.buried.values())
    assert max(at for at, key in world.delivered_at if key != "k0") < min(world.buried_at)


def test_several_poisoned_contacts_do_not_stop_a_partition_at_its_window() -> None:
    """Nobody else is let in whose calls could tell their fault from the vendor's: the connection test does."""
    made = Plan(partitions=1, poison_keys=2, window=30, records=300, malformed_share=0.0)

    world = run(live(5, made, patience=3_000.0))

    assert world.happened["handed back"] > 0
    assert {"exhausted"} == set(world.buried.values())


def test_a_clean_handover_repeats_nothing() -> None:
    """Members come and go by SIGTERM: what was settled above the positions is not sent again."""
    made = Plan(joins=[0.5, 1.0], leaves=[1.5, 2.0], poison_keys=1, latency=0.2)

    world = run(live(11, made))

    assert world.happened["restored above"] > 0
    assert 0 == world.happened["repeated"]
