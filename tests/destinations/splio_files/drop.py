"""What the tests of Splio's files arrange with: settings, rows, the destination in front of its stand-in."""

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from stream.core.outcomes import Outcome
from stream.destinations.base import Check
from stream.destinations.sandbox import serve
from stream.destinations.splio_files.client import SplioFiles
from stream.destinations.splio_files.sandbox import SplioFilesSandbox
from stream.destinations.splio_files.settings import SplioFilesSettings
from stream.http.settings import HttpSettings
from stream.opening import open_destination

HOST_KEY = "SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU"
JANE = ("jane@example.com", "Jane", "Doe", "0033612345678", "en")


def settings_of(**changes: Any) -> SplioFilesSettings:
    """Settings as a configuration file gives them; None takes a key away."""
    given = {"type": "splio_files", "universe": "acme", "password": "secret-word", "host_key": HOST_KEY, **changes}
    return SplioFilesSettings.model_validate({key: each for key, each in given.items() if each is not None})


@dataclass(slots=True)
class Drop:
    """The destination and whom it faces."""

    files: SplioFiles
    sandbox: SplioFilesSandbox

    async def upload(self, *rows: Sequence[str]) -> Outcome:
        """What became of a run with these rows."""
        return await self.files.upload(iter(rows), proceed=lambda: None)

    async def checks(self) -> list[Check]:
        """The connection test's lines."""
        return [check async for check in self.files.check()]

    @property
    def visible(self) -> list[str]:
        """Names of files that an import would take."""
        return [name for name in self.sandbox.files if not name.startswith(".")]

    @property
    def content(self) -> str:
        """The only file's."""
        [name] = self.visible
        return self.sandbox.content(name)


@asynccontextmanager
async def drop(sandbox: SplioFilesSandbox | None = None, **changes: Any) -> AsyncIterator[Drop]:
    """The destination in front of a stand-in; *changes* are to the settings that reach it, None removes one."""
    sandbox = sandbox or SplioFilesSandbox()
    async with serve(sandbox) as url:
        given = {"type": "splio_files", **sandbox.settings(url), **changes}
        settings = SplioFilesSettings.model_validate({key: each for key, each in given.items() if each is not None})
        async with open_destination(settings, HttpSettings(transport="httpx")) as files:
            assert isinstance(files, SplioFiles)
            yield Drop(files, sandbox)


def contacts(count: int) -> Iterable[tuple[str, ...]]:
    """So many rows, each of a contact of its own."""
    return ((f"contact-{number}@example.com", "", "", "", "") for number in range(count))
