"""Transforms to numbers and amounts of money, within what JSON writers and vendors can hold."""

import math
import re

from stream.transforms.definition import IGNORED, transform

NUMBER = (int, float, str)

_NUMBER = re.compile(r"[+-]?\d{1,30}(?:\.\d{1,30})?", re.ASCII)
_LARGEST = 2**63 - 1  # orjson writes no larger integers; most vendors read none


@transform(takes=NUMBER, example=("12.50", "number", 12.5))
def number(value: float | str) -> object:
    """A number; text such as '12.50' is read, '12,50' is not."""
    if type(value) is str:
        if not _NUMBER.fullmatch(digits := value.strip()):
            return IGNORED
        value = float(digits) if "." in digits else int(digits)
    if type(value) is float:
        return value if math.isfinite(value) else IGNORED
    return value if abs(value) <= _LARGEST else IGNORED  # type: ignore[arg-type]


@transform(takes=NUMBER, example=("12", "integer", 12))
def integer(value: float | str) -> object:
    """A whole number; '12' and 12.0 are, 12.5 is not."""
    found = number(value)
    if type(found) is float:
        found = int(found) if found.is_integer() and abs(found) <= _LARGEST else IGNORED
    return found


@transform(takes=NUMBER, example=(12.5, "money", "12.50"))
def money(value: float | str) -> object:
    """An amount with two decimals, as text."""
    found = number(value)
    return f"{found:.2f}" if isinstance(found, int | float) else IGNORED
