"""Personal data and secrets out of vendors' texts, before they reach a log, a page or a dead letter's header."""

import re

LIMIT = 500  # characters of a masked text
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
