"""Personal data and secrets out of vendors' texts, before they reach a log, a page or a dead letter's header."""

import json
import re
from collections.abc import Iterable
from urllib.parse import quote, quote_plus

LIMIT = 500  # characters of a masked text
SHORTEST = 3  # characters of a value that `without` looks for: shorter ones name nobody, and are in many a word
_READ = 4000  # characters looked at: a vendor's answer may be a megabyte

_MASKED = re.compile(
    r"""
      (?P<uuid>  \b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b )   # ids of vendors' records and requests: kept
    | (?P<email> [^\s@"'<>()\[\],;:=/|\\]{1,128} (?:@|%40) [^\s@"'<>()\[\],;:=/|\\?&]{1,255} )
    | (?P<token> \b(?:bearer|basic)\s+[^\s"',;]{6,}
               | \beyJ[\w-]+(?:\.[\w-]+)+                            # a JSON Web Token
               | (?:key|token|secret|password|passwd|pwd)["']?\s*[=:]\s*["']?(?=[^\s"',;&]*\d)[^\s"',;&]{6,}
               | (?<=&)key=[^\s&]+ | \bkey=[^\s&]+(?=&)               # a form's
               | \b(?=[\w-]{0,99}\d)(?=[\w-]{0,99}[a-z])[\w-]{32,} )  # long and mixed: some key or other
    | (?P<recipients> \brcpts["']?\s?[=:].* )                     # of text messages: names are among them
    | (?P<digits> \+?\(?\d(?:[\s()./-]{0,3}\d){6,} )
    """,
    re.VERBOSE | re.IGNORECASE,
)


def mask(text: str) -> str:
    """The text on one line, at most 500 characters, without email addresses, tokens, runs of seven digits or more."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text[:_READ]).split())
    masked = _MASKED.sub(lambda match: match[0] if match.lastgroup == "uuid" else f"[{match.lastgroup}]", line)
    return masked if len(masked) <= LIMIT and len(text) <= _READ else masked[: LIMIT - 1] + "…"


def without(text: str, values: Iterable[str]) -> str:
    """The text with `[field]` for each of these values, as it is or quoted; where it was cut, also for a beginning.

    No pattern tells that a word is somebody's name: what was sent does.
    """
    forms = {form for value in values if len(value) >= SHORTEST for form in _forms(value)}
    if text.endswith("…"):
        begun = (form[:size] for form in forms for size in range(SHORTEST, len(form)))
        low = text[:-1].lower()
        cut = max((len(start) for start in begun if low.endswith(start.lower())), default=0)
        text = text[: -1 - cut] + "[field]…" if cut else text
    low = text.lower()
    for form in sorted((form for form in forms if form.lower() in low), key=len, reverse=True):
        text = re.sub(rf"(?<!\w){re.escape(form)}(?!\w)", "[field]", text, flags=re.IGNORECASE)
    return text


def _forms(value: str) -> Iterable[str]:
    """How the value looks in plain text, also where that was masked before, in JSON and in a form."""
    if value.isascii() and value.isalnum():
        return (value,)
    masked = mask(value)
    telling = len(re.sub(r"\[\w+\]", "", masked).strip()) >= SHORTEST
    return (value, json.dumps(value)[1:-1], quote(value), quote_plus(value), *((masked,) if telling else ()))
