"""How deep JSON may be nested. What can be read can still be too deep to be written again."""

from typing import Any

DEPTH = 200  # of objects and lists: orjson reads 1,024 levels and writes 254, and what we wrap it in adds some
SHALLOW = 5 * DEPTH  # bytes in which objects alone cannot be nested deeper: a level of them takes `{"":}`


def too_deep(text: bytes, found: Any) -> bool:
    """Whether containers of *found*, which was read from *text*, are nested beyond DEPTH."""
    if len(text) <= SHALLOW and text.find(b"[") < 0:  # a look: counting takes half as long as reading did
        return False
    return text.count(b"[") + text.count(b"{") > DEPTH and _deeper(found)


def _deeper(found: Any) -> bool:
    """Level by level, since recursion is what such a payload attacks."""
    level = [found] if type(found) is dict or type(found) is list else []
    for _ in range(DEPTH):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if type(outer) is dict else outer)
            if type(inner) is dict or type(inner) is list
        ]
        if not level:
            return False
    return True
