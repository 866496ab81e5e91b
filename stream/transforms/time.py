"""Transforms of points in time: seconds since the epoch, as `timestamp` is, or ISO 8601 text. All in UTC."""

import re
from datetime import UTC, datetime
from typing import Annotated

from stream.transforms.definition import IGNORED, Rule, transform

TIME = (float, int, str)

_FORMAT = re.compile(r"(?:%[YmdHMSyjBbAaIpfF]|[^%\x00])+")
Format = Annotated[
    str, Rule(lambda text: type(text) is str and bool(_FORMAT.fullmatch(text)), "a format like '%Y-%m-%d %H:%M:%S'")
]


@transform(takes=TIME, example=(1780741800.25, "iso", "2026-06-06T10:30:00Z"))
def iso(value: float | str) -> object:
    """ISO 8601 in UTC, whole seconds and a Z."""
    moment = _moment(value)
    return IGNORED if moment is None else moment.isoformat(timespec="seconds")[:19] + "Z"


@transform(takes=TIME, example=("2026-06-06T10:30:00.250Z", "unix", 1780741800))
def unix(value: float | str) -> object:
    """Whole seconds since 1970."""
    moment = _moment(value)
    return IGNORED if moment is None else int(moment.timestamp() // 1)


@transform(takes=TIME, example=(1780741800.25, "date('%d/%m/%Y')", "06/06/2026"))
def date(value: float | str, format: Format = "%Y-%m-%d") -> object:  # noqa: A002  (users read this name)
    """The day in UTC, or another format made of %Y %m %d %H %M %S and the like."""
    moment = _moment(value)
    if moment is None:
        return IGNORED
    return moment.strftime(format.replace("%F", "%Y-%m-%d").replace("%Y", f"{moment.year:04}"))


def _moment(value: float | str) -> datetime | None:
    try:
        if type(value) is str:
            found = datetime.fromisoformat(value.strip())
            return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
        return datetime.fromtimestamp(value, UTC)  # type: ignore[arg-type]
    except (ValueError, OverflowError, OSError):
        return None
