"""Files of events, one JSON object a line, as `preview` and `produce` read them; `-` is standard input."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Annotated, TypeAlias

import typer

from stream.errors import Exit, UserError

EventsFile: TypeAlias = Annotated[
    Path, typer.Argument(metavar="EVENTS.jsonl", help="One event a line, as JSON; - for standard input.")
]

STDIN = Path("-")


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a file, by its number from 1."""

    number: int
    content: bytes


def lines(path: Path) -> Iterator[Line]:
    """Every line that is not blank, without its end. Raises UserError (BAD_FILE) where there is nothing to read."""
    try:
        with _opened(path) as file:
            for number, line in enumerate(file, start=1):
                if content := line.strip():
                    yield Line(number, content)
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}", exit_code=Exit.BAD_FILE) from None


@contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    if path == STDIN:
        yield sys.stdin.buffer  # not ours to close
    else:
        with path.open("rb") as file:
            yield file
