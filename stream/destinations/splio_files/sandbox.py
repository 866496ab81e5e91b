"""A stand-in for a universe that takes files: an SFTP server, an importer, and the Data API's part about attributes."""

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from html import escape
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

import asyncssh
import orjson
from pydantic import Field

from stream.destinations.sandbox import Entry
from stream.destinations.sandbox_http import Answer, Arrival
from stream.destinations.splio_contacts.sandbox import SplioContactsFaults, SplioContactsSandbox
from stream.destinations.splio_files.imports import Importer
from stream.destinations.splio_files.sandbox_sftp import FOLDER, serving

UNIVERSE = "sandbox"
PASSWORD = "splio-sandbox-password"  # noqa: S105 - of the stand-in
SHOWN = 200  # contacts on the page


class SplioFilesFaults(SplioContactsFaults):
    """What can be wrong with the SFTP server besides."""

    wrong_password: bool = Field(False, description="the login is refused")
    forbidden: bool = Field(False, description="nothing may be written in the folder")
    no_folder: bool = Field(False, description="the folder is gone")
    free_bytes: int | None = Field(None, ge=0, description="so many bytes fit on the disk")
    cut_after: int | None = Field(None, ge=0, description="a session ends after so many bytes were written")
    stalls_after: int | None = Field(None, ge=0, description="nothing is answered after so many bytes were written")
    loses_bytes: bool = Field(False, description="what is written does not stay")


class SplioFilesSandbox(SplioContactsSandbox):
    """One universe with a login, its imports and its attributes (ids to names)."""

    faults_model = SplioFilesFaults

    def __init__(self, password: str = PASSWORD, attributes: dict[int, str] | None = None) -> None:
        self.password = password
        self.authorized_keys: list[asyncssh.SSHKey] = []
        self.logins: list[str] = []  # what somebody has shown to be let in, each time: a password, a key
        self.host_key = asyncssh.generate_private_key("ssh-ed25519")
        self.port = 0  # of the SFTP server
        self.root = Path()  # of its files, while it is served
        self._folder: TemporaryDirectory[str] | None = None
        self._doors = 0
        self._attributes = {1: "civility"} if attributes is None else attributes
        self.importer = self._importer()
        super().__init__()

    def reset(self) -> None:
        """As new; files stay where they are."""
        super().reset()
        self.importer = self._importer()

    def settings(self, url: str) -> dict[str, Any]:
        """The keys that reach it: of the SFTP server, and of the Data API at *url*."""
        host = url.partition("://")[2].rpartition(":")[0].strip("[]")
        return {
            "base_url": url,
            "host": host,
            "port": self.port,
            "host_key": self.host_key.get_fingerprint(),
            **self.credentials,
        }

    @asynccontextmanager
    async def beside(self, host: str) -> AsyncIterator[None]:
        """The SFTP server; where it is served at several addresses, one for each, of the same files."""
        if self._folder is None:
            self._folder = TemporaryDirectory(prefix="splio-files-")
            self.root = Path(self._folder.name)
            (self.root / FOLDER.strip("/")).mkdir()
        self._doors += 1
        try:
            async with serving(self, self.root, self.host_key, host) as self.port:
                yield
        finally:
            self._doors -= 1
            if not self._doors:
                self._folder.cleanup()
                self._folder = None

    @property
    def credentials(self) -> dict[str, str]:
        """The login, and the key for the attributes."""
        return {"universe": UNIVERSE, "password": self.password, "api_key": self.api_key}

    @property
    def sftp_faults(self) -> SplioFilesFaults:
        """What is wrong now."""
        return cast("SplioFilesFaults", self.faults)

    @property
    def files(self) -> list[str]:
        """Names in the folder, the hidden ones too, in order."""
        return sorted(path.name for path in (self.root / FOLDER.strip("/")).iterdir())

    def content(self, name: str) -> str:
        """A file in the folder."""
        return (self.root / FOLDER.strip("/") / name).read_bytes().decode()

    def login(self, name: str) -> bool:
        """Whether there is such a login: the universe's."""
        return name == UNIVERSE

    def appeared(self, name: str, content: Callable[[], bytes]) -> None:
        """A file has appeared: it is imported, and each row that is taken is a write of the log."""
        for row in self.importer.read(name, content()):
            self.log.append(Entry(len(self.log) + 1, time.time(), "IMPORT", name, orjson.dumps(row), 200))
            self.accept()

    def answer(self, arrival: Arrival) -> Answer:
        """The Data API's, with the attributes."""
        answer = super().answer(arrival)
        if arrival.method == "POST" and arrival.path == "/data/fields" and answer.status == 404:
            return self._create_attribute(arrival)
        if arrival.method == "GET" and arrival.path == "/data/fields/contacts" and answer.status == 200:
            elements = [{"id": each, "name": name} for each, name in self.importer.attributes.items()]
            size, number = int(arrival.query.get("per_page", "50")), int(arrival.query.get("page_number", "1"))
            page = elements[(number - 1) * size : number * size]
            return Answer.json(200, {"count_element": len(elements), "elements": page})
        return answer

    def people(self) -> list[dict[str, Any]]:
        """The contacts that were imported."""
        return [{"email": email} | contact for email, contact in self.importer.contacts.items()]

    def page(self) -> str:
        """The imports, then the newest contacts, as HTML tables."""
        imports = "".join(
            f"<tr><td>{escape(report.name)}</td><td>{report.inserted}</td><td>{report.updated}</td>"
            f"<td>{len(report.refused)}</td><td>{escape(report.skipped)}</td></tr>"
            for report in reversed(self.importer.reports)
        )
        people = self.people()
        columns = list(dict.fromkeys(column for person in people for column in person))
        rows = "".join(
            "<tr>" + "".join(f"<td>{escape(person.get(column, ''))}</td>" for column in columns) + "</tr>"
            for person in reversed(people[-SHOWN:])
        )
        head = "".join(f"<th>{escape(column)}</th>" for column in columns)
        return (
            "<!doctype html><html lang=en><meta charset=utf-8><title>Splio files stand-in</title>"
            "<style>body{font:15px/1.5 system-ui;margin:2rem}td,th{text-align:left;padding:.2rem 1rem .2rem 0}</style>"
            f"<h1>{len(people)} contacts</h1>"
            "<table><thead><tr><th>file</th><th>inserted</th><th>updated</th><th>refused</th><th>skipped</th></tr></thead>"
            f"<tbody>{imports}</tbody></table>"
            f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></html>"
        )

    def _create_attribute(self, arrival: Arrival) -> Answer:
        try:
            given = orjson.loads(arrival.body)
            name, kind = given["name"], given["type"]
        except (orjson.JSONDecodeError, KeyError, TypeError):
            return self.error(400, "wrong_value", "The request was malformed.")
        if given.get("scope") != "contacts" or kind not in ("text", "int", "double", "date"):
            return self.error(400, "wrong_value", "The request was malformed.")
        number = max(self.importer.attributes, default=0) + 1
        self.importer.attributes[number] = name
        return Answer.json(201, {"id": number, "name": name, "data_type": kind})

    def _importer(self) -> Importer:
        return Importer(UNIVERSE, {"crm": True, "crmupd": False}, dict(self._attributes))
