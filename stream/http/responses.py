"""What an answer says: its parts, its JSON, and how long it asks to wait. Verdicts are the destinations' own."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any

import orjson

from stream.core.nesting import too_deep
from stream.http import Response

SHORTEST, LONGEST = 0.25, 300.0  # seconds: a wait outside of these helps nobody


@dataclass(slots=True, eq=False, repr=False)
class Answer:
    """A `Response`. *lookup* finds a header, whatever its case, and may raise ValueError for an unreadable one."""

    status: int
    body: bytes
    lookup: Callable[[str], str | None]

    def header(self, name: str) -> str | None:
        """The named header, whatever its case; None where absent or not readable as text."""
        try:
            return self.lookup(name)
        except ValueError:
            return None

    def json(self) -> Any:
        """The body's JSON; None where it is not JSON, or nested deeper than anything a vendor says."""
        try:
            found = orjson.loads(self.body)
        except orjson.JSONDecodeError:
            return None
        return None if too_deep(self.body, found) else found

    def __repr__(self) -> str:  # a body may hold personal data
        return f"<Answer {self.status}, {len(self.body)} bytes>"


def among(headers: Iterable[tuple[bytes, bytes]], name: str) -> str | None:
    """The first of the *headers* with this name, whatever its case. Raises ValueError for one that is not readable."""
    wanted = name.lower().encode()
    return next((value.decode("ascii") for given, value in headers if given.lower() == wanted), None)


def retry_after(response: Response, now: float) -> float | None:
    """Seconds to wait that `Retry-After` names, between 0.25 and 300; None where it is absent or makes no sense.

    A date is measured against the response's own `Date`, so a clock that is off does no harm; without one against
    *now*, seconds since the epoch (RFC 9110, 10.2.3).
    """
    named = (response.header("retry-after") or "").strip()
    if not named:
        return None
    wait = _seconds(named)
    if wait is None and (until := _date(named)) is not None:
        answered = _date(response.header("date") or "")
        wait = until - (now if answered is None else answered)
    return None if wait is None else min(LONGEST, max(SHORTEST, wait))


def wait_asked(response: Response, now: float) -> float | None:
    """The same where a vendor may name the seconds as `rateLimit-reset`, which goes first (destinations 2.8)."""
    wait = _seconds((response.header("ratelimit-reset") or "").strip())
    return retry_after(response, now) if wait is None else min(LONGEST, max(SHORTEST, wait))


def _seconds(text: str) -> float | None:
    """The number of `120` or `1.5`; what is not a plain one is None."""
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) and number >= 0 else None


def _date(text: str) -> float | None:
    """Seconds since the epoch of an HTTP date."""
    try:
        return parsedate_to_datetime(text).timestamp()
    except (ValueError, OverflowError):
        return None
