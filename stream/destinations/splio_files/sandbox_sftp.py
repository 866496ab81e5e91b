"""The SFTP side of the stand-in for Splio's files: a login, its rights, and what can go wrong with it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from posixpath import normpath
from typing import Any, Protocol

import asyncssh

FOLDER = "/imports"
STALL_SECONDS = 0.1  # between two looks whether the fault is over


class Drop(Protocol):
    """What the server asks of the stand-in."""

    password: str
    authorized_keys: list[asyncssh.SSHKey]
    logins: list[str]

    @property
    def sftp_faults(self) -> "SftpFaults": ...
    def login(self, name: str) -> bool:
        """Whether there is such a login."""

    def appeared(self, name: str, content: Callable[[], bytes]) -> None:
        """A file has appeared in the folder."""


class SftpFaults(Protocol):
    """See `SplioFilesFaults`."""

    down: bool
    wrong_password: bool
    forbidden: bool
    no_folder: bool
    free_bytes: int | None
    cut_after: int | None
    stalls_after: int | None
    loses_bytes: bool


class Login(asyncssh.SSHServer):
    """Who is let in."""

    def __init__(self, drop: Drop) -> None:
        self._drop = drop

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        """Nobody, while the stand-in is down."""
        if self._drop.sftp_faults.down:
            conn.abort()

    def begin_auth(self, username: str) -> bool:  # noqa: ARG002
        """Everybody proves who they are."""
        return True

    def password_auth_supported(self) -> bool:
        """As Splio hands them out."""
        return True

    def validate_password(self, username: str, password: str) -> bool:
        """The one there is."""
        self._drop.logins.append("password")
        right = self._drop.login(username) and password == self._drop.password
        return right and not self._drop.sftp_faults.wrong_password

    def public_key_auth_supported(self) -> bool:
        """Where a key was left with Splio."""
        return True

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        """Those that were."""
        self._drop.logins.append("key")
        known = [each.public_data for each in self._drop.authorized_keys]
        return self._drop.login(username) and key.public_data in known and not self._drop.sftp_faults.wrong_password


class Files(asyncssh.SFTPServer):
    """The login's files: everything may be read, only what is in the folder may be written."""

    def __init__(self, chan: asyncssh.SSHServerChannel[bytes], drop: Drop, root: Path) -> None:
        super().__init__(chan, chroot=str(root).encode())
        self._drop = drop
        self._root = root
        self._written: dict[int, bytes] = {}  # paths of files that are open for writing
        self._bytes = 0

    def open(self, path: bytes, pflags: int, attrs: asyncssh.SFTPAttrs) -> object:
        """A file."""
        writes = bool(pflags & asyncssh.FXF_WRITE)
        if writes:
            self._may_change(path)
        file = super().open(path, pflags, attrs)
        if writes:
            self._written[id(file)] = path
        return file

    async def write(self, file_obj: Any, offset: int, data: bytes) -> int:
        """Some of its bytes, as far as the disk and the line last."""
        faults = self._drop.sftp_faults
        self._bytes += len(data)
        if faults.cut_after is not None and self._bytes > faults.cut_after:
            self.channel.get_connection().abort()
            raise asyncssh.SFTPConnectionLost("cut")
        while (stall := self._drop.sftp_faults.stalls_after) is not None and self._bytes > stall:  # noqa: ASYNC110
            await asyncio.sleep(STALL_SECONDS)
        if faults.free_bytes is not None and self._bytes > faults.free_bytes:
            raise asyncssh.SFTPNoSpaceOnFilesystem("No space left on device")
        if faults.loses_bytes:
            return len(data)
        return int(super().write(file_obj, offset, data))  # type: ignore[arg-type]

    async def close(self, file_obj: object) -> None:
        """Its end: one that is not hidden is taken as it is."""
        path = self._written.pop(id(file_obj), None)
        file_obj.close()  # type: ignore[attr-defined]
        if path is not None:
            self._appeared(path)

    def rename(self, oldpath: bytes, newpath: bytes, flags: int = 0) -> None:  # noqa: ARG002
        """Another name; one that is taken stays with who has it."""
        self._may_change(oldpath)
        self._may_change(newpath)
        if Path(self.map_path(newpath).decode()).exists():
            raise asyncssh.SFTPFailure("there is such a file")
        super().rename(oldpath, newpath)
        self._appeared(newpath)

    def remove(self, path: bytes) -> None:
        """No more of it."""
        self._may_change(path)
        super().remove(path)

    def _may_change(self, path: bytes) -> None:
        faults = self._drop.sftp_faults
        if faults.no_folder:
            raise asyncssh.SFTPNoSuchFile("No such file")
        if faults.forbidden or not normpath(path.decode()).startswith(f"{FOLDER}/"):
            raise asyncssh.SFTPPermissionDenied("Permission denied")

    def _appeared(self, path: bytes) -> None:
        name = path.decode().rpartition("/")[2]
        if not name.startswith("."):
            self._drop.appeared(name, Path(self.map_path(path).decode()).read_bytes)


@asynccontextmanager
async def serving(drop: Drop, root: Path, host_key: asyncssh.SSHKey, host: str) -> AsyncIterator[int]:
    """The port, while it is served."""
    server = await asyncssh.listen(
        host,
        0,
        server_factory=lambda: Login(drop),
        sftp_factory=lambda chan: Files(chan, drop, root),
        server_host_keys=[host_key],
        config=None,
    )
    async with server:
        yield server.get_port()
