"""Back-off: how long a failed key waits."""

from random import Random

import pytest

from stream.core.retry import Backoff
from stream.destinations.base import RetrySettings


class Lowest(Random):
    """Draws the lowest number there is."""

    def random(self) -> float:
        return 0.0


@pytest.mark.parametrize("n", [1, 2, 3, 7, 8, 20, 5000])
def test_a_delay_is_between_half_of_its_ceiling_and_all_of_it(n: int) -> None:
    """Base doubled with each failure, up to the longest (design, section 8)."""
    ceiling = min(60.0, 0.5 * 2.0 ** min(n - 1, 100))
    backoff = Backoff(0.5, 60.0, Random(n))

    delays = [backoff.delay(n) for _ in range(300)]

    assert ceiling / 2 <= min(delays) < 0.55 * ceiling
    assert 0.95 * ceiling < max(delays) <= ceiling


def test_ten_attempts_take_at_least_ninety_seconds() -> None:
    """At the defaults and by the shortest draws: an event is not given up in a moment."""
    settings = RetrySettings()
    backoff = Backoff(settings.base, settings.max, Lowest())

    assert 90 <= sum(backoff.delay(n) for n in range(1, settings.attempts))


def test_contacts_that_failed_together_do_not_come_back_together() -> None:
    """Each draws for itself."""
    backoff = Backoff(0.5, 60.0)

    assert 100 == len({backoff.delay(1) for _ in range(100)})
