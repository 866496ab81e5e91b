"""What a target is: how its inputs are made, and what must hold for each of them."""

import asyncio
import atexit
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from functools import cache
from random import Random
from typing import Any, TypeVar

import orjson

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Target:
    """A property of arbitrary input: *holds* raises for one that breaks it."""

    name: str
    draw: Callable[[Random], Any]
    holds: Callable[[Any], None]
    raw: bool = False  # whether any bytes are an input, so that a fuzzer that watches coverage can make them
    share: int = 1  # of the bounded run's inputs


def awaited(coroutine: Coroutine[Any, Any, T]) -> T:
    """What comes of it, in a loop that all inputs share: one of its own would cost more than most of them do."""
    return _loop().run_until_complete(coroutine)


@cache
def _loop() -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    atexit.register(loop.close)
    return loop


def frozen(value: Any) -> bytes:
    """Bytes that differ where the JSON value does: to see that nobody changed it."""
    return orjson.dumps(value)


def unshown(texts: list[str], *hidden: str) -> None:
    """Nothing of what is *hidden* stands in the texts."""
    assert [] == [text for text in texts for part in hidden if part in text]
