"""How Splio's importer reads contacts files, for its stand-in: what it skips whole, and what becomes of each row.

All rules are destinations 4.4's. The real one reports by email, hours later; this one at once.
"""

import csv
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from stream.destinations.splio_files.columns import LANGUAGES, STANDARD

LINES = 200_000
LIMITS = {"email": 100, "customer_key": 100, "lastname": 255, "firstname": 255, "cellphone": 30}


class Skipped(Exception):
    """The whole file is left out."""


@dataclass(slots=True)
class Report:
    """What became of one file. *skipped*: why none of it was read."""

    name: str
    skipped: str = ""
    inserted: int = 0
    updated: int = 0
    unknown: int = 0  # contacts that an import that only updates passes over
    refused: list[str] = field(default_factory=list)  # rows, by the reason


@dataclass(slots=True)
class Importer:
    """The contacts of a universe, by email address, and the imports that its configuration declares."""

    universe: str
    subsequences: dict[str, bool]  # to whether contacts may be inserted
    attributes: dict[int, str] = field(default_factory=dict)  # ids to names
    contacts: dict[str, dict[str, str]] = field(default_factory=dict)
    reports: list[Report] = field(default_factory=list)

    def read(self, name: str, content: bytes) -> Iterator[dict[str, str]]:
        """Import a file; gives each row that was taken."""
        report = Report(name)
        names = {earlier.name for earlier in self.reports}
        self.reports.append(report)
        try:
            inserts = self._import_of(name, names)
            rows = list(self._rows(content))
        except Skipped as reason:
            report.skipped = str(reason)
            return
        for row in rows:
            if problem := problem_of(row):
                report.refused.append(problem)
            elif row["email"] not in self.contacts and not inserts:
                report.unknown += 1
            else:
                report.updated += row["email"] in self.contacts
                report.inserted += row["email"] not in self.contacts
                contact = self.contacts.setdefault(row["email"], {})
                contact.update({column: value for column, value in row.items() if value})
                yield row

    def _import_of(self, name: str, earlier: set[str]) -> bool:
        """Whether the import that the file is for inserts contacts."""
        if name in earlier:
            raise Skipped("a file of this name was there before")
        match = re.fullmatch(rf"{self.universe}_contacts_([A-Za-z0-9-]+)_\d{{8}}_[A-Za-z0-9]+\.csv", name)
        if match is None or match[1] not in self.subsequences:
            raise Skipped("no import takes a file of this name")
        return self.subsequences[match[1]]

    def _rows(self, content: bytes) -> Iterator[dict[str, str]]:
        if content.startswith(b"\xef\xbb\xbf"):
            raise Skipped("a byte order mark")
        try:
            lines = content.decode().splitlines()
        except UnicodeDecodeError:
            raise Skipped("not UTF-8") from None
        if not content.endswith(b"\n") or not lines:
            raise Skipped("it ends within a line")
        if len(lines) > LINES:
            raise Skipped(f"more than {LINES} lines")
        header, *rows = _parsed(lines)
        known = STANDARD | set(self.attributes.values()) | {f"c{number}" for number in self.attributes}
        if unknown := [column for column in header if column not in known]:
            raise Skipped(f"unknown columns: {', '.join(unknown)}")
        if len(set(header)) != len(header) or "email" not in header:
            raise Skipped("a column is there twice, or email is not")
        for row in rows:
            if len(row) != len(header):
                raise Skipped("a row is not as long as the header")
            yield dict(zip(header, row, strict=True))


def problem_of(row: dict[str, str]) -> str:
    """Why a row is refused; empty where it is taken."""
    if not re.fullmatch(r"[^@\s]+@[^@\s]+\.[^@\s]+", row["email"]) or row["email"] != row["email"].lower():
        return "email is malformed"
    if long := [column for column, limit in LIMITS.items() if len(row.get(column, "")) > limit]:
        return f"{long[0]} is too long"
    return "unknown language" if row.get("language") and row["language"] not in LANGUAGES else ""


def _parsed(lines: Iterable[str]) -> list[list[str]]:
    """Line by line: no value may hold the end of one."""
    try:
        return [next(csv.reader([line], delimiter=";", strict=True)) for line in lines]
    except (csv.Error, StopIteration):
        raise Skipped("a line is no CSV, or a value has several lines") from None
