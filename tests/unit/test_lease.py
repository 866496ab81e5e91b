"""The lease: a member that may have been replaced sends nothing."""

import pytest

from stream.core.lease import Lease

LONG_AGO = 1e9


def proved(at: float, *, session_timeout: float = 10.0, drain: float = 20.0) -> Lease:
    lease = Lease(session_timeout=session_timeout, drain=drain)
    lease.prove(at)
    return lease


def test_without_a_commit_nothing_is_sent() -> None:
    """An assignment alone proves nothing."""
    assert not Lease(session_timeout=10.0, drain=20.0).holds(-LONG_AGO)


def test_a_commit_allows_calls_for_half_a_session_timeout() -> None:
    """From when it was sent, not from when it was answered."""
    lease = proved(100.0)

    assert lease.holds(105.0)
    assert not lease.holds(105.001)


def test_an_answer_that_comes_late_takes_nothing_back() -> None:
    """Proofs are worth what the latest is worth."""
    lease = proved(100.0)

    lease.prove(97.0)

    assert lease.holds(105.0)


def test_partitions_that_were_taken_away_end_it_at_once() -> None:
    """Until the next commit."""
    lease = proved(100.0)

    lease.lose()
    assert not lease.holds(100.0)

    lease.prove(101.0)
    assert lease.holds(101.0)


def test_an_idle_member_proves_itself_again_in_good_time() -> None:
    """Well before the lease ends, so that events which come then do not wait for a commit."""
    lease = proved(100.0)

    assert not lease.stale(101.9)
    assert lease.stale(102.0)
    assert lease.holds(102.0)


@pytest.mark.parametrize(
    "now, drain, deadline",
    [
        (100.0, 20.0, 109.0),  # the session ends first: a second before it
        (104.0, 20.0, 109.0),  # however late the call starts
        (100.0, 6.0, 104.0),  # a revocation waits so long: two seconds before it gives up
        (100.0, 2.0, 101.0),  # where that leaves nothing, half of it
    ],
)
def test_a_call_is_over_before_another_member_may_start(now: float, drain: float, deadline: float) -> None:
    """The earlier of start + drain - 2 s and last commit + session timeout - 1 s (design, section 3)."""
    assert deadline == proved(100.0, drain=drain).deadline(now)
