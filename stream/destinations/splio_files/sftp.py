"""Splio's SFTP server: logging in, writing, and what its refusals mean (destinations 4.3 and 4.5)."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

import asyncssh

from schemas.masking import mask
from stream.core.outcomes import Blocked, Retry
from stream.errors import Exit, UserError

if TYPE_CHECKING:
    from stream.destinations.splio_files.settings import SplioFilesSettings

CONNECT_SECONDS, LOGIN_SECONDS = 5.0, 8.0
KEEPALIVE_SECONDS = 10  # without a sign of life; the third time ends the connection
CLEAR_SECONDS = 5.0  # that removing what is half written may take

NO_SHA1 = "-*sha1*"  # of what asyncssh would offer otherwise
HOST_KEYS: dict[str, Sequence[str]] = {
    "ssh-ed25519": ["ssh-ed25519"],
    "ecdsa-sha2-nistp256": ["ecdsa-sha2-nistp256"],
    "ecdsa-sha2-nistp384": ["ecdsa-sha2-nistp384"],
    "ecdsa-sha2-nistp521": ["ecdsa-sha2-nistp521"],
    "ssh-rsa": ["rsa-sha2-256", "rsa-sha2-512"],
}
"""Kinds of keys, and how a server may sign with each."""

LOGIN = (
    "look at `universe` and `password` (or `private_key_file`): Splio shows a password once, support makes a new one"
)
HOST_KEY = "ask Splio's support whether the server's key has changed before you change `host_key` or `known_hosts`"
ALGORITHMS = "ask Splio's support what the server offers: what needs SHA-1 or an older cipher is not taken"
FOLDER = "look at `folder`: the login must be allowed to write, rename and delete in it"

REFUSED = (asyncssh.SFTPPermissionDenied, asyncssh.SFTPWriteProtect)
MISSING = (asyncssh.SFTPNoSuchFile, asyncssh.SFTPNoSuchPath, asyncssh.SFTPNotADirectory)
FULL = (asyncssh.SFTPNoSpaceOnFilesystem, asyncssh.SFTPQuotaExceeded)
FAILURES = (OSError, asyncssh.Error, TimeoutError)
"""What may be raised by anything here, for `meaning` to translate."""


class Incomplete(OSError):
    """What lies on the server is not as long as what was written."""


class PinnedHost(asyncssh.SSHClient):
    """Trusts one host key, known by its fingerprint or whole."""

    def __init__(self, host_key: str) -> None:
        self._host_key = host_key

    def validate_host_public_key(self, host: str, addr: str, port: int, key: asyncssh.SSHKey) -> bool:  # noqa: ARG002
        """Whether it is the one."""
        if self._host_key.startswith("SHA256:"):
            return key.get_fingerprint() == self._host_key
        return key.public_data == asyncssh.import_public_key(self._host_key).public_data


@asynccontextmanager
async def logged_in(settings: "SplioFilesSettings") -> AsyncIterator[asyncssh.SFTPClient]:
    """A session. Raises one of FAILURES; before the host key is found to be the right one nobody learns a secret."""
    async with await _connected(settings) as connection, connection.start_sftp_client() as sftp:
        yield sftp


async def _connected(settings: "SplioFilesSettings") -> asyncssh.SSHClientConnection:
    """Asks for one kind of host key after the other: a server shows one of those it has, and only one can be pinned."""
    refusal: asyncssh.DisconnectError = asyncssh.KeyExchangeFailed("")
    for algorithms in _host_keys(settings):
        try:
            return await _connect(settings, algorithms)
        except asyncssh.KeyExchangeFailed:  # it has no key of this kind, or it and we have nothing in common
            continue
        except asyncssh.HostKeyNotVerifiable as error:
            refusal = error
    raise refusal


def _host_keys(settings: "SplioFilesSettings") -> Iterable[Sequence[str] | None]:
    """The algorithms to ask for, kind by kind; None: those of the keys in `known_hosts`."""
    pinned = settings.host_key
    if not pinned:
        return [None]
    if pinned.startswith("SHA256:"):
        return HOST_KEYS.values()
    kind = pinned.split()[0]
    return [HOST_KEYS.get(kind, [kind])]


async def _connect(settings: "SplioFilesSettings", algorithms: Sequence[str] | None) -> asyncssh.SSHClientConnection:
    """A connection that is logged in; nothing of the user's own SSH configuration plays a part."""
    pinned = settings.host_key
    return await asyncssh.connect(
        settings.host,
        settings.port,
        username=settings.universe,
        password=settings.password.get_secret_value() if settings.password else None,
        client_keys=[str(settings.private_key_file)] if settings.private_key_file else None,
        known_hosts=([], [], []) if pinned else str(settings.known_hosts),
        client_factory=(lambda: PinnedHost(pinned)) if pinned else asyncssh.SSHClient,
        server_host_key_algs=algorithms or (),
        kex_algs=NO_SHA1,
        mac_algs=NO_SHA1,
        gss_host=None,
        config=None,
        agent_path=None,
        connect_timeout=CONNECT_SECONDS,
        login_timeout=LOGIN_SECONDS,
        keepalive_interval=KEEPALIVE_SECONDS,
    )


async def write(sftp: asyncssh.SFTPClient, path: str, chunks: Iterable[bytes]) -> None:
    """Write a file whole. Raises Incomplete where the server has less or more than that."""
    size = 0
    async with sftp.open(path, "wb") as file:
        for chunk in chunks:
            await file.write(chunk)
            size += len(chunk)
    found = (await sftp.stat(path)).size
    if found != size:
        raise Incomplete(f"{size} bytes were written, {found} are there")


async def clear(sftp: asyncssh.SFTPClient, paths: Iterable[str]) -> None:
    """Remove what is half written, as far as that is still possible."""
    with suppress(*FAILURES):
        async with asyncio.timeout(CLEAR_SECONDS):
            for path in paths:
                await sftp.remove(path)


def meaning(error: Exception, settings: "SplioFilesSettings") -> Retry | Blocked:
    """What one of FAILURES means for the destination; *settings* say where, without secrets."""
    where = f"{settings.host}:{settings.port}"
    match error:
        case asyncssh.PermissionDenied():
            return Blocked(f"{where} refused the login of {settings.universe}", hint=LOGIN)
        case asyncssh.HostKeyNotVerifiable():
            return Blocked(f"{where} showed another host key than the one that is pinned", hint=HOST_KEY)
        case asyncssh.KeyExchangeFailed():
            return Blocked(f"{where} and we have no algorithm in common", hint=ALGORITHMS)
        case asyncssh.SFTPError() if isinstance(error, REFUSED):
            return Blocked(f"{where} permits no such thing in {settings.folder}", hint=FOLDER)
        case asyncssh.SFTPError() if isinstance(error, MISSING):
            return Blocked(f"{where} has no folder {settings.folder}", hint=FOLDER)
        case asyncssh.SFTPError() if isinstance(error, FULL):
            return Retry(f"{where} has no space left in {settings.folder}: ask Splio to make some")
        case Incomplete():
            return Retry(f"{where} lost bytes of a file: {error}")
        case TimeoutError():
            return Retry(f"{where} did not answer in time")
        case OSError():
            return Retry(f"{where} cannot be reached: {error.strerror or type(error).__name__}")
    return Retry(mask(f"{where}: {type(error).__name__} {error}"))


def read_keys(settings: "SplioFilesSettings") -> None:
    """Read the files that the settings name. Raises UserError for one that cannot be used."""
    try:
        if settings.private_key_file:
            asyncssh.read_private_key(str(settings.private_key_file))
        if settings.known_hosts:
            asyncssh.read_known_hosts(str(settings.known_hosts))
        if settings.host_key and not settings.host_key.startswith("SHA256:"):
            asyncssh.import_public_key(settings.host_key)
    except OSError as error:
        text = f"cannot read {error.filename}: {error.strerror}"
        raise UserError(text, "see private_key_file and known_hosts", Exit.BAD_FILE) from None
    except (asyncssh.KeyImportError, asyncssh.KeyEncryptionError, ValueError) as error:
        text = f"splio_files: a key cannot be used: {error}"
        raise UserError(text, "see private_key_file, known_hosts and host_key", Exit.BAD_FILE) from None
