"""Times as people and tools write them, and seconds since the epoch: one form out, any of ISO 8601 in."""

from datetime import UTC, datetime

EARLIEST, LATEST = -62_135_596_800.0, 253_402_300_799.0  # seconds: what a calendar has


def rfc3339(seconds: float) -> str:
    """The time with milliseconds, in UTC: `2026-06-06T10:30:00.000Z`. What no calendar has is the nearest it has."""
    seconds = min(max(seconds, EARLIEST), LATEST)
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def moment(text: str) -> float:
    """Seconds since the epoch of a date or time, in UTC unless it says otherwise. Raises ValueError."""
    found = datetime.fromisoformat(text)
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
