"""Values to try things with: any JSON, any text, any bytes, and good ones with something wrong in them.

All of them are drawn from a `Random`: a seeded one where millions are wanted, Hypothesis' own where the smallest
example is.
"""

from collections.abc import Sequence
from random import Random
from typing import Any

import orjson

PERSON = {"email": "jane@example.com", "phone": "+33612345678"}
SHOWN = (*PERSON.values(), "33612345678", "jane%40example.com")
"""How a person's data looks where it must not be."""

WORDS = (
    *(
        "",
        " ",
        "a",
        "email",
        "Jane",
        "Doe",
        "FR",
        "France",
        "en-GB",
        "fr_FR",
        "true",
        "null",
        "0",
        "-1",
        "1e5",
        "12.50",
    ),
    *("2026-06-06T10:30:00.000Z", "2026-06-06", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "24:00"),
    *("a;b,c", "''", "\x00", "\u2028", "\U0010ffff", "\ufeff", "é", "ß", "İ", "٣", "½", "x" * 5000, "9" * 5000),
    *PERSON.values(),
    *("06 12 34 56 78", "0033612345678", "++", "@", "a@b@c", "<html>", "../..", "%00", "${X}", "crm/events/0/1#2"),
)
NUMBERS = (0, 1, -1, 2, 200, 400, 503, 2**31, 2**53 + 1, 2**63 - 1, -(2**63), 2**64 - 1, 0.0, -0.0, 0.5, 1e-9, 1e300)
BETWEEN = (" ", ", ", "'", '"', "=", ": ", "\n", "\\", "/", "", "(")
SCALARS = (None, True, False, *NUMBERS)
PARTS = (
    b"",
    b"\x00",
    b"\xff",
    b"\xed\xa0\x80",
    b"\xef\xbb\xbf",
    b'"',
    b"{",
    b"[",
    b"]",
    b"}",
    b":",
    b",",
    b"\\u",
    b"\n",
    b"1e9",
)


def text(random: Random) -> str:
    """Text: a word that has caused trouble somewhere, or any characters but lone surrogates."""
    if random.random() < 0.7:
        return random.choice(WORDS)
    return "".join(chr(_code(random)) for _ in range(random.randint(0, 12)))


def _code(random: Random) -> int:
    highest = random.choice((0x7F, 0xFF, 0xD7FF, 0x10FFFF))
    code = random.randint(0, highest)
    return 0x20 if 0xD800 <= code <= 0xDFFF else code


def scalar(random: Random) -> Any:
    """Null, true, false, a number or text."""
    return random.choice(SCALARS) if random.random() < 0.5 else text(random)


def sentence(random: Random) -> str:
    """Words with a person's data among them, as a vendor's error may have them."""
    pieces = [random.choice((text(random), random.choice(SHOWN))) for _ in range(random.randint(1, 5))]
    return "".join(
        piece + random.choice((" ", ", ", "'", '"', "=", ": ", "\n", "\\", "/", "", "(")) for piece in pieces
    )


def json_value(random: Random, names: Sequence[str] = WORDS, depth: int = 4) -> Any:
    """Any JSON. *names*: what keys of objects may be."""
    kind = random.random()
    if depth == 0 or kind < 0.5:
        return scalar(random)
    if kind < 0.7:
        return [json_value(random, names, depth - 1) for _ in range(random.randint(0, 3))]
    return json_object(random, names, depth - 1)


def json_object(random: Random, names: Sequence[str] = WORDS, depth: int = 3) -> dict[str, Any]:
    """Any JSON object."""
    return {random.choice(names): json_value(random, names, depth) for _ in range(random.randint(0, 4))}


def nested(random: Random) -> bytes:
    """Lists or objects within each other, deeper than most readers go."""
    depth = random.choice((100, 150, 199, 200, 201, 253, 254, 255, 1000, 1025, 20_000))
    inner = random.choice((b"1", b'"a"', b"[]", b"{}"))
    opened, closed = random.choice(((b"[", b"]"), (b'{"a":', b"}"), (b'[{"a":', b"}]")))
    return opened * depth + inner + closed * random.choice((depth, depth - 1))


def mutated(random: Random, value: Any, names: Sequence[str] = WORDS) -> Any:
    """The JSON value with something in it left out, replaced, repeated or added; the original stays as it is."""
    if not isinstance(value, dict | list) or not value or random.random() < 0.15:
        return json_value(random, names, 3)
    if isinstance(value, dict):
        changed = dict(value)
        key = random.choice(list(changed))
        match random.randint(0, 4):
            case 0:
                del changed[key]
            case 1:
                changed[random.choice(names)] = json_value(random, names, 2)
            case _:
                changed[key] = mutated(random, changed[key], names)
        return changed
    items = list(value)
    place = random.randrange(len(items))
    match random.randint(0, 4):
        case 0:
            del items[place]
        case 1:
            items.append(items[place])
        case 2:
            random.shuffle(items)
        case _:
            items[place] = mutated(random, items[place], names)
    return items


def written(random: Random, value: Any) -> bytes:
    """The value as JSON, now and then broken, too deep, or something else altogether."""
    kind = random.random()
    if kind < 0.85:
        return orjson.dumps(value)
    return broken(random, orjson.dumps(value)) if kind < 0.97 else nested(random)


def broken(random: Random, content: bytes, parts: Sequence[bytes] = PARTS) -> bytes:
    """The bytes with a few of them changed, left out, repeated or put in."""
    changed = bytearray(content)
    for _ in range(random.randint(1, 4)):
        start = random.randint(0, len(changed))
        end = min(len(changed), start + random.choice((0, 1, 1, 2, 8, 64)))
        match random.randint(0, 4):
            case 0:
                del changed[start:end]
            case 1 if changed:
                changed[start % len(changed)] ^= 1 << random.randint(0, 7)
            case 2:
                changed[start:start] = changed[start:end]
            case 3 if random.random() < 0.1:
                del changed[start:]
            case _:
                changed[start:end] = random.choice(parts)
    return bytes(changed)


def some_bytes(random: Random) -> bytes:
    """Bytes of no kind."""
    if random.random() < 0.5:
        return random.choice(PARTS) * random.choice((1, 2, 50))
    return bytes(random.randint(0, 255) for _ in range(random.randint(0, 20)))
