"""Durations, rates, sizes, shares and numbers of calls as people write them in the configuration."""

import re
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BeforeValidator, WithJsonSchema
from pydantic_core import PydanticKnownError

DURATIONS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
LONGEST = 36_525 * 86400.0  # seconds: clocks and calendars can add it to any time
SIZES = {"B": 1, "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3}

NUMBER = r"([0-9]{1,9}(?:\.[0-9]{1,9})?)"
DURATION = NUMBER + r"(ms|s|m|h|d)"
RATE = NUMBER + r"/(s|m|h)"
SIZE = r"([0-9]{1,9})(B|KiB|MiB|GiB)"
SHARE = NUMBER + r" ?% of ([0-9]{1,9})"


def duration(text: Any) -> float:
    """Seconds of `250ms`, `5s`, `15m`, `1h`, `7d`; raises ValueError that shows the form."""
    if match := re.fullmatch(DURATION, str(text)):
        seconds = float(match[1]) * DURATIONS[match[2]]
        if seconds > LONGEST:
            raise ValueError(f"{text!r} is longer than a hundred years")
        return seconds
    raise ValueError(f"{text!r} is not a duration: write it like 250ms, 5s, 15m or 1h")


def rate(text: Any) -> float:
    """Requests a second of `20/s` or `600/m`; raises ValueError that shows the form."""
    if (match := re.fullmatch(RATE, str(text))) and float(match[1]) > 0:
        return float(match[1]) / DURATIONS[match[2]]
    raise ValueError(f"{text!r} is not a rate: write it like 20/s or 600/m")


def size(text: Any) -> int:
    """Bytes of `64KiB`, `8MiB`; raises ValueError that shows the form."""
    if match := re.fullmatch(SIZE, str(text)):
        return int(match[1]) * SIZES[match[2]]
    raise ValueError(f"{text!r} is not a size: write it like 64KiB or 8MiB")


@dataclass(frozen=True, slots=True)
class ShareOf:
    """So many percent of the last so many: `50% of 1000`."""

    percent: float
    of: int


def share(text: Any) -> ShareOf:
    """What `50% of 1000` says; raises ValueError that shows the form."""
    if (match := re.fullmatch(SHARE, str(text))) and 0 < float(match[1]) <= 100 and int(match[2]) > 0:
        return ShareOf(float(match[1]), int(match[2]))
    raise ValueError(f"{text!r} is not a share of the last so many: write it like 50% of 1000")


@dataclass(frozen=True, slots=True)
class Adaptive:
    """As many calls in flight as are found to pay, and *most* at most."""

    most: int = 128  # with its connection and both bodies a call takes some tens of KiB


def concurrency(given: Any) -> "int | Adaptive":
    """Calls in flight as `32`, `adaptive` or `{adaptive: 64}` say; raises ValueError that shows the forms."""
    match given:
        case Adaptive():
            return given
        case "adaptive":
            return Adaptive()
        case {"adaptive": most, **others} if not others and (count := _whole(most)) is not None:
            if count < 2:
                raise ValueError("adaptive needs two calls or more to find out anything")
            return Adaptive(count)
        case _ if (count := _whole(given)) is not None:
            if count < 1:
                raise PydanticKnownError("greater_than_equal", {"ge": 1})
            return count
    shown = repr(given) if isinstance(given, str) else "it"
    raise ValueError(f"{shown} is not a number of calls: write it like 32, adaptive or {{adaptive: 64}}")


def _whole(given: Any) -> int | None:
    if isinstance(given, int) and not isinstance(given, bool):
        return given
    return int(given) if isinstance(given, str) and re.fullmatch("-?[0-9]{1,9}", given) else None


def written(seconds: float) -> str:
    """A duration as people write it: 0.25 is `250ms`, 900 is `15m`."""
    for unit, length in reversed(DURATIONS.items()):
        if seconds >= length and (seconds / length).is_integer():
            return f"{seconds / length:.0f}{unit}"
    return f"{seconds * 1000:g}ms" if 0 < seconds < 1 else f"{seconds:g}s"


def written_rate(rate: float) -> str:
    """A rate as people write it: 20 a second is `20/s`, one in four seconds `15/m`."""
    for unit in ("s", "m"):
        count = rate * DURATIONS[unit]
        if abs(count - round(count)) < 1e-9:
            return f"{count:.0f}/{unit}"
    return f"{rate:g}/s"


def written_size(count: int) -> str:
    """A size as people write it: 65536 is `64KiB`."""
    unit = next(unit for unit, length in reversed(SIZES.items()) if count % length == 0 and (count or unit == "B"))
    return f"{count // SIZES[unit]}{unit}"


def _unless_number(parse: Any) -> Any:
    """Defaults in the models are plain numbers; what people write is text."""
    return lambda given: given if isinstance(given, int | float) and not isinstance(given, bool) else parse(given)


def _text(form: str) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "pattern": f"^{form}$"})


Duration = Annotated[float, BeforeValidator(_unless_number(duration)), _text(DURATION)]
Rate = Annotated[float, BeforeValidator(_unless_number(rate)), _text(RATE)]
Size = Annotated[int, BeforeValidator(_unless_number(size)), _text(SIZE)]
Concurrency = Annotated[
    int | Adaptive,
    BeforeValidator(concurrency),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer", "minimum": 1},
                {"const": "adaptive"},
                {
                    "type": "object",
                    "properties": {"adaptive": {"type": "integer", "minimum": 2}},
                    "required": ["adaptive"],
                    "additionalProperties": False,
                },
            ]
        }
    ),
]
Share = Annotated[
    ShareOf, BeforeValidator(lambda given: given if isinstance(given, ShareOf) else share(given)), _text(SHARE)
]
