"""A vendor behind TLS, whose certificate can be changed for one that nobody should trust."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import trustme

SIZE = 64 * 1024  # bytes that are passed on at a time


class Terminator:
    """Ends TLS in front of a plain server, with a right certificate or a wrong one."""

    def __init__(self, folder: Path) -> None:
        authority = trustme.CA()
        self.authority = folder / "authority.pem"  # what its callers trust
        authority.cert_pem.write_to_path(self.authority)
        self._right, self._wrong = (_context(each.issue_cert("127.0.0.1")) for each in (authority, trustme.CA()))
        self._shown = self._right
        self._right.sni_callback = self._show  # it is called where no name is asked for, too
        self._open: set[asyncio.StreamWriter] = set()
        self.greeted = 0  # connections that were offered the wrong one

    def change(self, *, right: bool) -> None:
        """Show the other certificate from now on; where it is the wrong one, the connections that there are end."""
        self._shown = self._right if right else self._wrong
        if not right:
            self._hang_up()

    @asynccontextmanager
    async def before(self, url: str) -> AsyncIterator[str]:
        """The address at which the plain server at *url* is reached by TLS."""

        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await self._pass_on(url, reader, writer)

        server = await asyncio.start_server(connected, "127.0.0.1", 0, ssl=self._right)
        try:
            yield f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        finally:
            server.close()
            self._hang_up()

    def _show(self, socket: ssl.SSLObject, *_: object) -> None:
        self.greeted += self._shown is self._wrong
        socket.context = self._shown

    def _hang_up(self) -> None:
        for writer in list(self._open):
            writer.transport.abort()

    async def _pass_on(self, url: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._shown is self._wrong:  # its greeting began before the change
            writer.transport.abort()
            return
        where = urlsplit(url)
        self._open.add(writer)
        with suppress(OSError, ssl.SSLError):
            behind_reader, behind = await asyncio.open_connection(where.hostname, where.port)
            self._open.add(behind)
            both = [asyncio.ensure_future(_copy(reader, behind)), asyncio.ensure_future(_copy(behind_reader, writer))]
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)  # either end ends it
            for each in both:
                each.cancel()
            await asyncio.wait(both)
            behind.transport.abort()
            self._open.discard(behind)
        writer.transport.abort()
        self._open.discard(writer)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError, ssl.SSLError):
        while received := await reader.read(SIZE):
            writer.write(received)
            await writer.drain()


def _context(certificate: trustme.LeafCert) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    return context
