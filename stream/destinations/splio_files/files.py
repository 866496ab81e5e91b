"""Splio's contacts files: their names and their bytes (destinations 4.4). How they get there is `sftp.py`."""

import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime

DAY = 86_400.0  # seconds
CHUNK = 256 * 1024  # bytes that are made at once


class FileNames:
    """Names that sort in the order in which they were asked for, and never repeat, whoever else makes some."""

    def __init__(self, universe: str, subsequence: str, clock: Callable[[], float] = time.time) -> None:
        self._stem = f"{universe}_contacts_{subsequence}"
        self._clock = clock
        self._member = secrets.token_hex(3)
        self._last = 0  # microseconds since the epoch

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        self._last = max(self._last + 1, int(self._clock() * 1_000_000))
        moment = datetime.fromtimestamp(self._last / 1_000_000, UTC)
        return f"{self._stem}_{moment:%Y%m%d}_{moment:%H%M%S}{self._last % 1_000_000:06}{self._member}.csv"

    def is_left_over(self, name: str) -> bool:
        """Whether *name* is of a hidden file that nobody writes any more: one of ours, or one from before yesterday.

        Asked before a file is begun.
        """
        if not name.startswith(hidden(self._stem)):
            return False
        yesterday = datetime.fromtimestamp(self._clock() - DAY, UTC)
        day = name.removeprefix(hidden(self._stem))[1:9]
        return name.endswith(f"{self._member}.csv") or (day.isdecimal() and day < f"{yesterday:%Y%m%d}")


def hidden(name: str) -> str:
    """The name under which a file is written: no import takes one that begins with a dot."""
    return f".{name}"


def written(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[bytes]:
    """A file, chunk by chunk: UTF-8 without BOM, `;` between values, the header bare, each value in quotes."""
    lines = [";".join(columns)]
    size = 0
    for row in rows:
        line = ";".join([cell(value) for value in row])
        lines.append(line)
        size += len(line)
        if size >= CHUNK:
            yield _encoded(lines)
            lines, size = [], 0
    if lines:
        yield _encoded(lines)


def cell(value: str) -> str:
    """A value as it stands in a line; nothing for none. Quotes within are doubled."""
    return '"' + value.replace('"', '""') + '"' if value else ""


def _encoded(lines: list[str]) -> bytes:
    return ("\n".join(lines) + "\n").encode()
