"""Each checker finds its own fault in a real run, and nothing where none is planted."""

import asyncio
from pathlib import Path

import pytest

from tests.chaos.checkers import CHECKERS, judge
from tests.chaos.sabotage import SABOTAGE
from tests.chaos.trials import STAGES, hold
from tests.kafka.broker import Broker

FOUND: dict[str, dict[str | None, set[str]]] = {
    "delivered in peace": {
        None: set(),
        "commit-what-was-read": {"premature"},
        "take-a-failure-for-success": {"lost", "uneven"},
        "bury-at-once": {"letters"},
        "count-one-twice": {"uneven"},
        "drop-the-key-lock": {"inversions"},
        "ignore-the-limit": {"quota"},
    },
    "stopped cleanly": {
        None: set(),
        "ignore-what-is-settled-above": {"repeated after commit", "repeats", "uneven"},
        "leave-without-a-commit": {"repeats"},
    },
    "slept too long": {None: set(), "keep-the-lease": {"fenced"}},
    "texted and killed": {None: set(), "do-without-the-journal": {"repeats"}, "swallow-an-unknown": {"unknown"}},
    "erased before": {None: set(), "forget-who-was-erased": {"erasure"}},
    "left to work": {None: set(), "hang": {"stuck"}},
}
"""What each trial must end in: by the fault that is planted, the checkers that find it."""


def test_each_checker_has_a_fault_of_its_own_and_each_fault_a_trial() -> None:
    """None is left out."""
    assert STAGES.keys() == FOUND.keys()
    assert SABOTAGE.keys() == {name for found in FOUND.values() for name in found if name is not None}
    assert CHECKERS.keys() == {checker for found in FOUND.values() for names in found.values() for checker in names}


@pytest.mark.alone
@pytest.mark.parametrize("trial", FOUND)
async def test_a_planted_fault_is_found(broker: Broker, tmp_path: Path, trial: str) -> None:
    """The same run with and without it: by the checkers it is for and no other; without it by none."""
    at_once = asyncio.Semaphore(3)

    async def violations(sabotage: str | None) -> dict[str, str]:
        async with at_once:
            found = judge(await hold(broker, tmp_path, trial, sabotage))
        return {violation.checker: violation.text for violation in reversed(found)}

    wanted = FOUND[trial]
    found = dict(zip(wanted, await asyncio.gather(*map(violations, wanted)), strict=True))

    assert wanted == {name: set(texts) for name, texts in found.items()}, found
