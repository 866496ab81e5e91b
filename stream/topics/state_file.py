"""What is remembered of one source partition, in a SQLite file. How it gets there and stays true is `state`'s."""

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import structlog

from stream.errors import UserError

CACHE_KIB = 256  # of each file that is kept in memory: there may be many
LAYOUT = 1  # of the tables; a file of another one is made anew
FILE, FOLDER = 0o600, 0o700  # modes: what is remembered of people is for our own user alone
FILES = ("", "-wal", "-shm")  # ends of the names of what SQLite makes
TABLES = """
CREATE TABLE entries (key BLOB PRIMARY KEY, value BLOB NOT NULL, offset INTEGER NOT NULL, tag BLOB);
CREATE INDEX by_offset ON entries (offset);
CREATE INDEX by_tag ON entries (tag) WHERE tag IS NOT NULL;
CREATE TABLE about (whose TEXT, position INTEGER, stamp INTEGER, closed INTEGER);
"""
PUT = """
INSERT INTO entries VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE
SET value = excluded.value, offset = excluded.offset, tag = excluded.tag WHERE excluded.offset >= entries.offset
"""

log = structlog.get_logger()


@dataclass(slots=True)
class Entry:
    """What is remembered under a key. Nobody changes it: frozen, it would take several times as long to make.

    *offset*: of the source's record that wrote it; *tag*: what else finds it.
    """

    value: bytes
    offset: int
    tag: bytes | None = None


Changes = Iterable[tuple[bytes, Entry | None]]


class StateFile:
    """Entries by key, and how far the changelog was read into them.

    *position* is the changelog's next offset, *stamp* the time (ms) of the record before it: together they tell
    whether the changelog is still the one that the file was made of.
    """

    def __init__(self, path: Path, *, whose: str) -> None:
        """Open the file at *path*, made anew where it is missing, damaged or not *whose*. Raises UserError."""
        self._path = path
        self._whose = whose
        try:
            _make_folder(path.parent)
            self._connection = self._opened() or self._made()
        except (OSError, sqlite3.Error) as error:
            raise UserError(f"cannot keep state in {path}: {error}", "see state.folder") from error
        self.position: int
        self.stamp: int
        [(self.position, self.stamp)] = self._select("SELECT position, stamp FROM about")

    def __repr__(self) -> str:
        return f"<{self._path.name} at {self.position}>"

    def get(self, key: bytes) -> Entry | None:
        """What is there under *key*."""
        if not self._connection.in_transaction:
            self._select("BEGIN")  # until something is written: to lock the file takes as long as to look
        found = self._select("SELECT value, offset, tag FROM entries WHERE key = ?", key)
        return Entry(*found[0]) if found else None

    def tagged(self, tag: bytes) -> list[bytes]:
        """The keys of the entries with this tag."""
        return [key for (key,) in self._select("SELECT key FROM entries WHERE tag = ?", tag)]

    def untagged(self, prefix: bytes) -> list[bytes]:
        """The keys that begin with *prefix* and have no tag."""
        text = "SELECT key FROM entries WHERE key >= ? AND key < ? AND tag IS NULL"
        return [key for (key,) in self._select(text, prefix, _after(prefix))]

    def oldest(self, prefix: bytes, most: int) -> list[bytes]:
        """So many keys that begin with *prefix*, those first that were not written for longest."""
        text = "SELECT key FROM entries INDEXED BY by_offset WHERE key >= ? AND key < ? ORDER BY offset LIMIT ?"
        return [key for (key,) in self._select(text, prefix, _after(prefix), most)]

    def count(self, prefix: bytes) -> int:
        """How many keys begin with *prefix*."""
        text = "SELECT count(*) FROM entries WHERE key >= ? AND key < ?"
        return int(self._select(text, prefix, _after(prefix))[0][0])

    def newest(self) -> int:
        """The highest offset of an entry; -1 where there is none."""
        return int(self._select("SELECT coalesce(max(offset), -1) FROM entries")[0][0])

    def items(self, prefix: bytes) -> Iterator[tuple[bytes, Entry]]:
        """Every entry whose key begins with *prefix*, by key. The file may be written meanwhile."""
        text = "SELECT key, value, offset, tag FROM entries WHERE key >= ? AND key < ? ORDER BY key LIMIT 1000"
        first = prefix
        while found := self._select(text, first, _after(prefix)):
            for key, *entry in found:
                yield key, Entry(*entry)
            first = found[-1][0] + b"\0"

    def apply(self, changes: Changes, *, position: int, stamp: int) -> None:
        """Write all of it or nothing; None removes a key. An entry replaces none of a higher offset."""
        with self._transaction():
            for entries, group in groupby(changes, lambda change: change[1] is not None):
                if entries:
                    rows = ((key, entry.value, entry.offset, entry.tag) for key, entry in group if entry is not None)
                    self._connection.executemany(PUT, rows)
                else:
                    self._connection.executemany("DELETE FROM entries WHERE key = ?", ((key,) for key, _ in group))
            self._connection.execute("UPDATE about SET position = ?, stamp = ?", (position, stamp))
        self.position, self.stamp = position, stamp

    def clear(self) -> None:
        """Forget everything."""
        with self._transaction():
            self._connection.execute("DELETE FROM entries")
        self.apply((), position=0, stamp=0)

    def date_back(self, end: int) -> bool:
        """Let any record replace what is there, where entries are of offsets that the source has not reached yet.

        *end* is the source's. Then it was made anew, and their offsets mean nothing. Whether that was so.
        """
        if not self._select("SELECT 1 FROM entries WHERE offset >= ? LIMIT 1", end):
            return False
        with self._transaction():
            self._connection.execute("UPDATE entries SET offset = -1")
        return True

    def close(self) -> None:
        """All that was applied is in the file."""
        with suppress(UserError), self._transaction():  # on a full disk the next start has it looked through
            self._connection.execute("UPDATE about SET closed = 1")
        self._connection.close()

    def _opened(self) -> sqlite3.Connection | None:
        """The file that is there, if it is sound and ours."""
        if not self._path.exists():
            return None
        connection = self._connect()
        try:
            [(layout,)] = connection.execute("PRAGMA user_version")
            fine = layout == LAYOUT
            if fine:
                [(whose, closed)] = connection.execute("SELECT whose, closed FROM about")
                fine = whose == self._whose and (closed or list(connection.execute("PRAGMA quick_check")) == [("ok",)])
            if fine:
                with connection:
                    connection.execute("UPDATE about SET closed = 0")
                return connection
        except (sqlite3.DatabaseError, ValueError):
            pass
        connection.close()
        log.warning("state_file_made_anew", file=str(self._path))
        return None

    def _made(self) -> sqlite3.Connection:
        for file in self._files():
            file.unlink(missing_ok=True)
        connection = self._connect()
        with connection:
            connection.executescript(TABLES)
            connection.execute("INSERT INTO about VALUES (?, 0, 0, 0)", (self._whose,))
            connection.execute(f"PRAGMA user_version = {LAYOUT}")
        return connection

    def _connect(self) -> sqlite3.Connection:
        """Without a wait for the disk: what a crash of the machine takes from the file, the changelog gives back."""
        self._path.touch(FILE)
        for file in self._files():
            if file.exists():
                file.chmod(FILE)
        connection = sqlite3.connect(self._path)  # which makes the files beside it with the mode of the first
        try:
            connection.execute("PRAGMA synchronous = OFF")  # while one is made: what a crash leaves of it is made anew
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
        except sqlite3.DatabaseError:  # no such file: it is found out where it is read
            pass
        return connection

    def _files(self) -> list[Path]:
        return [self._path.with_name(self._path.name + end) for end in FILES]

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """All that is done in it, or nothing. Raises UserError where the disk does not take it."""
        try:
            self._connection.rollback()  # of what was only read: it is looked at as others may have left it
            with self._connection:
                yield
        except sqlite3.Error as error:
            hint = "is the disk full? what is missing in the file is read again from its topic; see state.folder"
            raise UserError(f"cannot write state to {self._path}: {error}", hint) from error

    def _select(self, text: str, *arguments: object) -> list[tuple[Any, ...]]:
        """Raises UserError for a damaged file: the next start makes it anew."""
        try:
            return self._connection.execute(text, arguments).fetchall()
        except sqlite3.Error as error:
            hint = "start again: it is rebuilt from its topic; see state.folder"
            raise UserError(f"cannot read state from {self._path}: {error}", hint) from error


def _after(prefix: bytes) -> bytes:
    """The first key after all those with *prefix*, whose last byte is not the highest."""
    return prefix[:-1] + bytes([prefix[-1] + 1])


def _make_folder(folder: Path) -> None:
    """Make it and what is missing above it, for us alone; what is there may be used by others and stays as it is."""
    if not folder.exists():
        _make_folder(folder.parent)
        folder.mkdir(FOLDER, exist_ok=True)
