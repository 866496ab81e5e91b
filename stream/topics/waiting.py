"""Rows that wait for a run, in a database without a name: on disk where they are many, and gone with the process.

What they mean is `rows`'s.
"""

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter

import orjson

CACHE_KIB = 16 * 1024  # that are kept in memory
AT_ONCE = 1000  # rows that are read back at once

TABLES = """
CREATE TABLE waiting (
    contact TEXT, place INTEGER, time REAL, stamp INTEGER, events INTEGER, again INTEGER, person TEXT, fields BLOB,
    PRIMARY KEY (contact, place)
) WITHOUT ROWID;
CREATE INDEX by_person ON waiting (person) WHERE person IS NOT NULL;
CREATE TABLE outgoing (line BLOB);
CREATE TABLE learnt (contact TEXT, place INTEGER, value BLOB);
"""

Said = tuple[float, dict[str, str]]
"""Fields, and when they were said: seconds since the epoch."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """What events of one partition say of a contact. *time* is seconds since the epoch, *stamp* Kafka's in ms.

    *again*: it is sent even where nothing differs. *person*: as erasures name the contact.
    """

    contact: str
    place: int
    time: float
    stamp: int
    events: int
    again: bool
    person: str | None
    fields: bytes

    @property
    def happened_at(self) -> float:
        """As erasures see it: the earlier of the two times."""
        return min(self.time, self.stamp / 1000)

    @property
    def said(self) -> Said:
        """What its events said, as one."""
        return self.time, orjson.loads(self.fields)

    def joined(self, later: "Waiting") -> "Waiting":
        """One row of two; *later* was read later, whenever it happened."""
        time, fields = merged([self.said, later.said])
        stamp, events = max(self.stamp, later.stamp), self.events + later.events
        return Waiting(self.contact, self.place, time, stamp, events, self.again, later.person, orjson.dumps(fields))


def merged(said: Iterable[Said]) -> Said:
    """The newest time, and each field as the newest that has it says. Of the same time the later one wins."""
    fields: dict[str, str] = {}
    newest = float("-inf")
    for time, given in sorted(said, key=itemgetter(0)):
        fields |= given
        newest = max(newest, time)
    return newest, fields


class WaitingRows:
    """The rows, and what a run would do with them."""

    def __init__(self) -> None:
        self._database = sqlite3.connect("", isolation_level=None)
        self._database.execute("PRAGMA journal_mode = OFF")
        self._database.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
        self._database.executescript(TABLES)
        self._database.execute("BEGIN")  # for good: nothing of it is ever to be found again, and each commit takes time

    def get(self, contact: str, place: int) -> Waiting | None:
        """The row of a contact in one partition."""
        found = self._database.execute("SELECT * FROM waiting WHERE contact = ? AND place = ?", (contact, place))
        row = found.fetchone()
        return Waiting(*row) if row else None

    def put(self, row: Waiting) -> None:
        """Keep a row, in the place of the one there was."""
        values = (row.contact, row.place, row.time, row.stamp, row.events, row.again, row.person, row.fields)
        self._database.execute("INSERT OR REPLACE INTO waiting VALUES (?, ?, ?, ?, ?, ?, ?, ?)", values)

    def remove(self, row: Waiting) -> None:
        """Forget a row."""
        self._database.execute("DELETE FROM waiting WHERE contact = ? AND place = ?", (row.contact, row.place))

    def of_person(self, person: str) -> list[Waiting]:
        """The rows of who is named so."""
        return [Waiting(*row) for row in self._database.execute("SELECT * FROM waiting WHERE person = ?", (person,))]

    def by_contact(self) -> Iterator[list[Waiting]]:
        """The rows of one contact after the other; none may be changed meanwhile."""
        rows = self._database.execute("SELECT * FROM waiting ORDER BY contact, place")
        for _, group in groupby(rows, key=itemgetter(0)):
            yield [Waiting(*row) for row in group]

    def send(self, line: Sequence[str], learnt: Iterable[tuple[str, int, bytes]]) -> None:
        """Note a line that is to go out, and what is to be remembered then: contact, partition, value."""
        self._database.execute("INSERT INTO outgoing VALUES (?)", (orjson.dumps(line),))
        for each in learnt:
            self._database.execute("INSERT INTO learnt VALUES (?, ?, ?)", each)

    def outgoing(self) -> Iterator[Sequence[str]]:
        """The lines, in the order they were noted in."""
        for (line,) in self._database.execute("SELECT line FROM outgoing ORDER BY rowid"):
            yield orjson.loads(line)

    def learnt(self) -> Iterator[list[tuple[str, int, bytes]]]:
        """What is to be remembered, some at a time."""
        rows = self._database.execute("SELECT * FROM learnt ORDER BY rowid")
        while found := rows.fetchmany(AT_ONCE):
            yield found

    def begin(self) -> None:
        """Forget what an earlier run would have done."""
        self._database.execute("DELETE FROM outgoing")
        self._database.execute("DELETE FROM learnt")

    def close(self) -> None:
        """Forget everything, for good."""
        self._database.close()
