"""What is promised, as functions over a ledger: each gives one text for each time that its promise was broken.

A checker's first line is the promise; then where it is made, what decides, and what it allows, and why.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import TypeAlias

from tests.chaos.checkers.ending import letters, lost, premature, unknown
from tests.chaos.checkers.keeping import erasure, quota, stuck, uneven
from tests.chaos.checkers.repeating import fenced, inversions, repeated_after_commit, repeats, worst_repeats
from tests.chaos.checkers.run import Run
from tests.chaos.ledger import Ledger

__all__ = ["CHECKERS", "Violation", "judge", "worst_repeats"]

SHOWN = 5  # violations of one checker that are told one by one

Checker: TypeAlias = Callable[[Run], Iterable[str]]

CHECKERS: Mapping[str, Checker] = {
    "lost": lost,
    "premature": premature,
    "repeated after commit": repeated_after_commit,
    "repeats": repeats,
    "inversions": inversions,
    "fenced": fenced,
    "letters": letters,
    "unknown": unknown,
    "quota": quota,
    "erasure": erasure,
    "stuck": stuck,
    "uneven": uneven,
}


@dataclass(frozen=True, slots=True)
class Violation:
    """A promise that was broken: by which checker it was found, and what was found."""

    checker: str
    text: str


def judge(ledger: Ledger) -> list[Violation]:
    """All that was broken; empty where everything was kept."""
    run = Run(ledger)
    return [Violation(name, text) for name, checker in CHECKERS.items() for text in _first(iter(checker(run)))]


def _first(texts: Iterator[str]) -> Iterator[str]:
    """Some of them, and how many there are besides."""
    yield from islice(texts, SHOWN)
    if more := sum(1 for _ in texts):
        yield f"and {more:,} more"
