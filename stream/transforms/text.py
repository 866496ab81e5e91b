"""Transforms of text and of lists of texts. A wrong type never gets here: see `Transform`."""

import re
from typing import Annotated

from stream.transforms.definition import IGNORED, LIST, MISSING, TEXT, Rule, transform

Length = Annotated[int, Rule(lambda length: type(length) is int and length > 0, "a whole number above 0")]
Separator = Annotated[str, Rule(lambda text: type(text) is str and text != "", "a text in quotes that is not empty")]

_NAME = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]{1,2}(?![^\W\d_]))?")  # noqa: RUF001  (one with its 's, but O'Neil in two)


@transform(takes=TEXT, example=("  Ada ", "trim", "Ada"))
def trim(value: str) -> str:
    """Without white space at both ends."""
    return value.strip()


@transform(takes=TEXT, example=("Ada@Example.com", "lower", "ada@example.com"))
def lower(value: str) -> str:
    """In lower case."""
    return value.lower()


@transform(takes=TEXT, example=("fr", "upper", "FR"))
def upper(value: str) -> str:
    """In upper case."""
    return value.upper()


@transform(takes=TEXT, example=("jean-luc O'NEIL", "title", "Jean-Luc O'Neil"))
def title(value: str) -> str:
    """Each word with a capital letter, the rest in lower case."""
    return _NAME.sub(lambda word: word[0].capitalize(), value)


@transform(takes=TEXT, example=("Senior Developer", "truncate(6)", "Senior"))
def truncate(value: str, length: Length) -> str:
    """The first characters, at most that many."""
    return value[:length].rstrip()


@transform(takes=TEXT, example=("u-123", "prefix('crm:')", "crm:u-123"))
def prefix(value: str, text: str) -> str:
    """With a text before it."""
    return text + value


@transform(takes=TEXT, example=("u-123", "suffix('@crm')", "u-123@crm"))
def suffix(value: str, text: str) -> str:
    """With a text after it."""
    return value + text


@transform(takes=TEXT, example=("12-34-56", "replace('-', ' ')", "12 34 56"))
def replace(value: str, old: Separator, new: str) -> str:
    """With every occurrence of a text replaced."""
    return value.replace(old, new)


@transform(takes=TEXT, example=("gold; beta", "split(';')", ["gold", "beta"]))
def split(value: str, separator: Separator = ",") -> list[str]:
    """A list of the parts between separators, trimmed, without blank ones."""
    return [part for piece in value.split(separator) if (part := piece.strip())]


@transform(takes=LIST, example=(["gold", "beta"], "join(', ')", "gold, beta"))
def join(value: list[object], separator: str = ",") -> object:
    """One text of a list of texts and numbers."""
    if all(type(part) is str or type(part) is int or type(part) is float for part in value):
        return separator.join(str(part) for part in value)
    return IGNORED


@transform(takes=LIST, example=(["ada@example.com", "lovelace@example.com"], "item(0)", "ada@example.com"))
def item(value: list[object], index: int) -> object:
    """One of a list, counted from 0, or from the end with -1."""
    return value[index] if -len(value) <= index < len(value) else MISSING


@transform(takes=(str, int, float, bool), example=(75001, "text", "75001"))
def text(value: str | float) -> str:
    """A number, true or false as text."""
    return str(value).lower() if type(value) is bool else str(value)
