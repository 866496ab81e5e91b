"""A vendor on loopback that answers as it is told, however badly, and remembers what arrived. No HTTP library in it."""

import asyncio
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TypeAlias

RESET_ON_CLOSE = struct.pack("ii", 1, 0)


@dataclass(frozen=True, slots=True)
class Arrival:
    """One request as it came in; names of headers in lower case."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes


@dataclass(slots=True)
class Vendor:
    """What a test looks at."""

    url: str
    connections: int = 0
    arrivals: list[Arrival] = field(default_factory=list)
    written: int = 0  # bytes that the other side, or what lies between, has taken

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.url.rpartition(":")[2])


class Wire:
    """One connection, as a behaviour sees it after a request has come in."""

    def __init__(self, vendor: Vendor, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._vendor, self._reader, self._writer = vendor, reader, writer
        self.open = True

    async def say(self, sent: bytes) -> None:
        """Send these bytes."""
        self._writer.write(sent)
        await self._writer.drain()
        self._vendor.written += len(sent)

    def reset(self) -> None:
        """Cut the connection as a crashed machine would."""
        sock = self._writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
        self._writer.transport.abort()
        self.open = False

    async def arrival(self) -> Arrival:
        """The next request; raises IncompleteReadError at the end of the connection."""
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head.rstrip().split("\r\n")
        method, target, _ = first.split(" ")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        return Arrival(method, target, headers, await self._reader.readexactly(int(headers.get("content-length", 0))))


Behaviour: TypeAlias = Callable[[Wire], Awaitable[None]]
"""What a vendor does with each request."""


@asynccontextmanager
async def vendor(behaviour: Behaviour, tls: ssl.SSLContext | None = None) -> AsyncIterator[Vendor]:
    """A vendor that treats each request by *behaviour*."""
    calls: set[asyncio.Task[None]] = set()
    here = Vendor("")

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        wire, connection = Wire(here, reader, writer), writer.transport
        try:
            if tls:
                await writer.start_tls(tls)
            while wire.open:
                here.arrivals.append(await wire.arrival())
                await behaviour(wire)
            writer.close()
        except (OSError, EOFError):
            pass
        finally:
            if not connection.is_closing():
                connection.abort()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        here.connections += 1
        calls.add(asyncio.ensure_future(serve(reader, writer)))

    server = await asyncio.start_server(connected, "127.0.0.1", 0, backlog=500)
    here.url = f"http{'s' if tls else ''}://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield here
    finally:
        server.close()
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        await asyncio.sleep(0.001)  # the loop lets go of the connections before a test may end it


def answers(status: int = 200, body: bytes = b"{}", *headers: bytes) -> Behaviour:
    """A proper answer."""
    head = [b"HTTP/1.1 %d Any" % status, b"Content-Length: %d" % len(body), *headers]

    async def behave(wire: Wire) -> None:
        await wire.say(b"\r\n".join(head) + b"\r\n\r\n" + body)

    return behave


def says(sent: bytes, *, then: Callable[[Wire], None]) -> Behaviour:
    """Just these bytes, and *then* one of the endings below."""

    async def behave(wire: Wire) -> None:
        if sent:
            await wire.say(sent)
        then(wire)

    return behave


def closes(wire: Wire) -> None:
    """The connection ends in good order."""
    wire.open = False


def resets(wire: Wire) -> None:
    """The connection is cut."""
    wire.reset()


async def hangs(_: Wire) -> None:
    """No answer ever."""
    await asyncio.sleep(3600)


async def drips(wire: Wire) -> None:
    """An answer that never stops arriving, byte by byte."""
    await wire.say(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    while True:
        await wire.say(b".")
        await asyncio.sleep(0.02)


async def drips_headers(wire: Wire) -> None:
    """A head that never ends, byte by byte."""
    await wire.say(b"HTTP/1.1 200 OK\r\nX-Slow: ")
    while True:
        await wire.say(b".")
        await asyncio.sleep(0.02)


async def informs(wire: Wire) -> None:
    """One interim answer after the other (RFC 9110, 15.2), and never the final one."""
    while True:
        await wire.say(b"HTTP/1.1 103 Early Hints\r\n\r\n")
        await asyncio.sleep(0.02)


async def floods_headers(wire: Wire) -> None:
    """A head without end, as fast as it is taken."""
    await wire.say(b"HTTP/1.1 200 OK\r\n")
    line = b"X-More: " + b"." * 8000 + b"\r\n"
    while True:
        await wire.say(line)


async def floods(wire: Wire) -> None:
    """A body without end, as fast as it is taken."""
    await wire.say(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    chunk = b"10000\r\n" + b"." * 65536 + b"\r\n"
    while True:
        await wire.say(chunk)
