"""The benchmarks run, and what arrives in them is complete, distinct and in order. How fast is not judged here."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.kafka.broker import Broker

ROOT = Path(__file__).parents[2]


@pytest.mark.alone
@pytest.mark.timeout(300)
def test_the_quick_run_passes(broker: Broker) -> None:
    """A small version of what `./dev bench` does, on the tests' broker."""
    command = [sys.executable, "-m", "benchmarks", "A", "D", "--quick", "--bootstrap", broker.bootstrap]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=280, check=False)

    assert 0 == ended.returncode, ended.stderr
    assert "## A: 0 ms, 64 in flight" in ended.stdout
    assert "## D: 20 ± 5 ms, 256 in flight, kill -9 and restart" in ended.stdout
