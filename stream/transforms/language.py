"""Transforms of locales."""

import re

from stream.transforms.definition import IGNORED, TEXT, transform

_PRIMARY = re.compile(r"\s*([A-Za-z]{2})(?:[-_.@].*)?\s*", re.DOTALL)


@transform(takes=TEXT, example=("en-GB", "language", "en"))
def language(value: str) -> object:
    """The two-letter language of a locale such as en-GB or fr_FR."""
    match = _PRIMARY.fullmatch(value)
    return match[1].lower() if match else IGNORED
