"""The right to send: a member that may have been replaced sends nothing.

The proof of membership is a commit that the group's coordinator accepted. It is worth half a session timeout for
starting a call, and a second less than a whole one for finishing it.
"""


class Lease:
    """Whether calls may start, and until when they must be over. Times are seconds of one monotonic clock."""

    __slots__ = ("_drain", "_proved", "_session")

    def __init__(self, *, session_timeout: float, drain: float) -> None:
        self._session = session_timeout
        self._drain = drain - min(2.0, drain / 2)  # a revocation must not find a call that outlives it
        self._proved = float("-inf")

    def prove(self, sent_at: float) -> None:
        """A commit sent at this time was accepted."""
        self._proved = max(self._proved, sent_at)

    def lose(self) -> None:
        """The partitions were taken away."""
        self._proved = float("-inf")

    def holds(self, now: float) -> bool:
        """Whether a call may start."""
        return now - self._proved <= self._session / 2

    def stale(self, now: float) -> bool:
        """Whether it is time for another proof, though there is nothing new to commit."""
        return now - self._proved >= self._session / 5

    def deadline(self, now: float) -> float:
        """When a call that starts now must be over, with all it needs."""
        return min(now + self._drain, self._proved + self._session - 1)
