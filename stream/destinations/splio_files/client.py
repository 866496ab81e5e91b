"""Splio contacts over SFTP: a file of changed rows, written aside and renamed once it is whole (destinations 4)."""

import re
import secrets
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from itertools import chain, islice
from pathlib import Path

import orjson
from asyncssh import SFTPClient

from stream.core.outcomes import DELIVERED, Blocked, Outcome, Refused, Rejected, Retry
from stream.core.records import Batch, Fields
from stream.destinations.base import Check, Runs
from stream.destinations.splio_contacts.tokens import token_of
from stream.destinations.splio_files import fields, sftp
from stream.destinations.splio_files.columns import STANDARD, columns_of, fingerprint, rules_of
from stream.destinations.splio_files.fields import NoFields
from stream.destinations.splio_files.files import FileNames, hidden, written
from stream.destinations.splio_files.settings import SplioFilesSettings
from stream.http import NotSent, Request
from stream.http.client import Client
from stream.http.tokens import Token
from stream.mapping import Mapped, load_preset

EMAIL = re.compile(r"[^\s@;,\"'<>]+@[^\s@;,\"'<>]+\.[^\s@;,\"'<>.]+")
UNKNOWN = "correct the column, or let it be created as one of `custom_attributes`"
EMAIL_LIMIT = 100  # characters


class SplioFiles(Runs):
    """Files of contacts for one universe."""

    type = "splio_files"
    refusals = frozenset({401, 403})
    settings: SplioFilesSettings

    def __init__(self, settings: SplioFilesSettings, http: Client) -> None:
        super().__init__(settings, http)
        sftp.read_keys(settings)
        rules = rules_of(settings, load_preset(Path(__file__).parent / "preset.yaml"), "splio_files")
        self._columns = columns_of(settings, rules)
        self._fingerprint = fingerprint(settings, rules)
        self._names = FileNames(settings.universe, settings.wanted_subsequence)
        self._attributes = [column for column in self._columns if column not in STANDARD]
        self._attributes_there = not self._attributes or settings.api_key is None

    @classmethod
    def token(cls, settings: SplioFilesSettings) -> Token | None:
        """Of the Data API, which is asked for attributes where there is a key."""
        return token_of(settings.api_key, None) if settings.api_key else None

    @property
    def columns(self) -> Sequence[str]:
        """Of the preset, then those that the settings add."""
        return self._columns

    @property
    def fingerprint(self) -> str:
        """Of the columns and what fills them."""
        return self._fingerprint

    def key(self, fields: Fields) -> str:
        """The email address. Raises Refused for what is none: Splio would refuse the row, and tell nobody."""
        email = str(fields["email"])
        if len(email) > EMAIL_LIMIT or not EMAIL.fullmatch(email):
            raise Refused(Rejected("the email address is malformed or longer than 100 characters"))
        return email

    def encode(self, fields: Fields) -> bytes:
        """The row's texts by column."""
        return orjson.dumps(fields)

    def replayed(self, mapped: Mapped) -> Mapped:
        """Without the subscriptions, which may have been taken back since; a row says nothing of what it leaves out."""
        return Mapped({name: text for name, text in mapped.fields.items() if name != "subscriptions"}, mapped.notes)

    def requests(self, batch: Batch) -> Sequence[Request]:
        """The rows, and the folder that their file will be in."""
        return [Request("SFTP", self.settings.address, message.body) for message in batch]

    async def upload(self, rows: Iterable[Sequence[str]], *, proceed: Callable[[], None]) -> Outcome:
        """Write as many files as the rows need, each under a hidden name, then rename them in their order."""
        try:
            await self._create_attributes()
            async with sftp.logged_in(self.settings) as session:
                await self._sweep(session)
                names: list[str] = []
                try:
                    for part in parts(rows, self.settings.max_rows):
                        names.append(next(self._names))
                        await sftp.write(session, self._path(hidden(names[-1])), written(self._columns, part))
                    proceed()
                except BaseException:
                    await sftp.clear(session, [self._path(hidden(name)) for name in names])
                    raise
                for name in names:
                    await session.rename(self._path(hidden(name)), self._path(name))
        except sftp.FAILURES as error:
            return sftp.meaning(error, self.settings)
        except NoFields as error:
            return error.outcome
        return DELIVERED

    async def check(self) -> AsyncIterator[Check]:
        """Log in, list the folder, write and delete a hidden file, look the attributes up (destinations 4.6)."""
        where = f"{self.settings.host}:{self.settings.port}"
        try:
            async with sftp.logged_in(self.settings) as session:
                yield Check("login", True, f"{self.settings.universe} at {where}")
                found = await session.listdir(self.settings.folder)
                yield Check("folder", True, f"{self.settings.folder} holds {len(found)} entries")
                probe = self._path(f".crmstream-check-{secrets.token_hex(4)}")
                await sftp.write(session, probe, [b"check\n"])
                await session.rename(probe, f"{probe}-renamed")
                await session.remove(f"{probe}-renamed")
                yield Check("write", True, "a hidden file can be written, renamed and deleted")
        except sftp.FAILURES as error:
            outcome = sftp.meaning(error, self.settings)
            if isinstance(outcome, Retry):
                raise NotSent(outcome.detail) from error
            yield Check("sftp", False, outcome.detail, outcome.hint)
            return
        for reminder in self.settings.reminders:
            yield Check("imports", None, reminder)
        async for check in self._check_attributes():
            yield check

    async def _check_attributes(self) -> AsyncIterator[Check]:
        if not self._attributes:
            return
        if self.settings.api_key is None:
            text = f"not looked up, there is no api_key; you said they exist: {', '.join(self._attributes)}"
            yield Check("attributes", None, text)
            return
        try:
            absent = await fields.missing(self.http, self._attributes)
        except NoFields as error:
            if isinstance(error.outcome, Retry):
                raise NotSent(error.outcome.detail) from error
            yield Check("attributes", False, error.outcome.detail, fields.HINT)
            return
        for column in self._attributes:
            if column not in absent:
                yield Check(f"attribute {column}", True, "found")
            elif column in self.settings.custom_attributes:
                yield Check(f"attribute {column}", True, f"not there yet: `run` creates it as {self._type(column)}")
            else:
                yield Check(f"attribute {column}", False, "unknown in this universe", UNKNOWN)

    async def _create_attributes(self) -> None:
        """Before the first file: an unknown column would cost all of it. Raises NoFields."""
        if self._attributes_there:
            return
        absent = await fields.missing(self.http, self._attributes)
        if foreign := [column for column in absent if column not in self.settings.custom_attributes]:
            raise NoFields(Blocked(f"unknown in this universe: {', '.join(foreign)}", hint=UNKNOWN))
        await fields.create(self.http, {column: self._type(column) for column in absent}, time.time())
        self._attributes_there = True

    async def _sweep(self, session: SFTPClient) -> None:
        """Remove the hidden files of uploads that were cut off: our own, and those that nobody can still be writing."""
        found = [str(name) for name in await session.listdir(self.settings.folder)]
        await sftp.clear(session, [self._path(name) for name in found if self._names.is_left_over(name)])

    def _type(self, column: str) -> str:
        given = self.settings.custom_attributes[column]
        return "text" if isinstance(given, str) else given.type

    def _path(self, name: str) -> str:
        return f"{self.settings.folder.rstrip('/')}/{name}"


def parts(rows: Iterable[Sequence[str]], size: int) -> Iterator[Iterator[Sequence[str]]]:
    """The rows, so many at a time; each part is read to its end before the next."""
    left = iter(rows)
    for first in left:
        yield chain([first], islice(left, size - 1))
