"""The bounded run: the same inputs each time, so that what is red once is red again. `./dev fuzz` is the long one."""

from collections.abc import Iterator
from random import Random

import hypothesis.strategies as st
import pytest
import structlog
from hypothesis import HealthCheck, given, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.fuzz.targets import MACHINES, TARGETS

FEW = settings(
    derandomize=True,
    database=None,
    deadline=None,
    max_examples=15,
    stateful_step_count=30,
    suppress_health_check=[*HealthCheck],
)


@pytest.fixture(autouse=True, scope="module")
def _silence() -> Iterator[None]:
    """What is logged of thousands of bad inputs would only slow things down."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    yield
    structlog.reset_defaults()


@pytest.mark.parametrize("name", TARGETS)
def test_a_property_holds_for_whatever_comes_in(name: str) -> None:
    """Some inputs that Hypothesis would make smaller, then many more that are quickly made."""
    target = TARGETS[name]

    @settings(FEW, max_examples=15 * target.share)
    @given(st.randoms(use_true_random=False))
    def some(random: Random) -> None:
        target.holds(target.draw(random))

    some()
    for number in range(500 * target.share):
        target.holds(target.draw(Random(f"bounded/{name}/{number}")))


@pytest.mark.parametrize("name", MACHINES)
def test_a_state_machine_keeps_to_its_model(name: str) -> None:
    """Whatever happens in whatever order."""
    run_state_machine_as_test(MACHINES[name], settings=settings(FEW, max_examples=60))
