"""The benchmarks run, and what arrives in them is complete, distinct and in order. How fast is not judged here."""

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.scenarios import faults
from benchmarks.vendor import Arrived
from tests.kafka.broker import Broker

ROOT = Path(__file__).parents[2]


@pytest.mark.alone
@pytest.mark.timeout(300)
def test_the_quick_run_passes(broker: Broker) -> None:
    """A small version of what `./dev bench` does, on the tests' broker."""
    command = [sys.executable, "-m", "benchmarks", "--quick", "--scenario", "A", "--bootstrap", broker.bootstrap]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=280, check=False)

    assert 0 == ended.returncode, ended.stderr
    assert "| A: 0 ms, 64 in flight |" in ended.stdout


def test_a_run_in_which_something_is_missing_or_late_does_not_count() -> None:
    """The judge finds each fault by itself."""
    whole = {"count": 3, "distinct": 3, "highest": 2, "out_of_order": 0, "overlapping": 0, "in_flight": 2}
    others = {field: 0 for field in Arrived.__dataclass_fields__ if field not in whole}

    def found(**changes: int) -> int:
        return len([*faults(Arrived(**(others | whole | changes)), count=3, in_flight=2)])

    assert 0 == found()
    assert [1, 1, 1, 1, 1] == [
        found(distinct=2, count=2),
        found(count=4),
        found(out_of_order=1),
        found(overlapping=1),
        found(in_flight=3),
    ]
