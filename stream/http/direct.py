"""Calls by HTTP/1.1 on connections of our own, the transport of the hot path.

What a library does besides (queues, redirects, cookies, resends, threads) costs several times as much as the call
itself, and hides what must be known here: whether anything of a request was written.
"""

import asyncio
import re
import socket
from typing import Any
from urllib.parse import quote, urlsplit

from aiohappyeyeballs import AddrInfoType, start_connection

from stream.http import CertificateRefused, NotSent, Response
from stream.http.connections import WITH_BODY, Connections, not_made
from stream.http.wire import NEVER, Call, Connection, Unwritten

SECOND_ADDRESS = 0.25  # seconds after which a host's next address is tried besides (RFC 8305, 5)

_URL = re.compile(r"(https?://[^/?#]+)([^#]*)")
_TARGET = "/:?@!$&'()*+,;=~-._[]%"  # what stands in a target as it is (RFC 3986, 3.3), and what is encoded already


class DirectTransport:
    """A `Transport`. A call whose task is cancelled ends with its connection."""

    def __init__(self, connections: Connections) -> None:
        self._settings = connections
        self._tls = connections.tls()
        self._tls.set_alpn_protocols(["http/1.1"])
        last = "" if connections.keep_alive else "Connection: close\r\n"
        self._agent = f"User-Agent: {connections.user_agent}\r\nAccept: */*\r\n{last}"
        self._loop = asyncio.get_running_loop()
        self._origins: dict[str, Origin] = {}
        self._open = set[Connection]()
        self._outbox: list[Connection] = []  # whose calls are written at the end of this turn
        self._alarm: asyncio.TimerHandle | None = None
        self._alarm_at = NEVER

    async def send(
        self, method: str, url: str, *, headers: list[tuple[str, str]], body: bytes | None, timeout: float
    ) -> Response:
        """The answer to one request, which is over (answered, failed or abandoned) within *timeout* seconds."""
        origin, target = self._split(url)
        length = f"Content-Length: {len(body or b'')}\r\n" if body or method in WITH_BODY else ""
        head = f"{method} {target} HTTP/1.1\r\nHost: {origin.host}\r\n{self._agent}{_lines(headers)}{length}\r\n"
        request = head.encode("ascii") + body if body else head.encode("ascii")
        now = self._loop.time()
        expires, bodiless = now + timeout, method == "HEAD"
        if connection := origin.idle(now):
            try:
                return await self._made(connection, request, expires, bodiless)
            except Unwritten:  # it had been closed meanwhile
                pass
        connection = await self._connected(origin, expires - self._loop.time())
        return await self._made(connection, request, expires, bodiless)

    async def _made(self, connection: Connection, request: bytes, expires: float, bodiless: bool) -> Response:
        """The answer to *request* over this connection."""
        call = Call(request, expires, bodiless, self._loop.create_future())
        connection.take(call)
        if expires < self._alarm_at:
            self._ring_at(expires)
        if not self._outbox:
            self._loop.call_soon(self._post)
        self._outbox.append(connection)
        try:
            return await call.answer
        finally:
            connection.leave(call)

    def _post(self) -> None:
        """Write what was asked in this turn of the event loop: to wake the vendor once costs less, here and there."""
        outbox, self._outbox = self._outbox, []
        for connection in outbox:
            connection.write()

    async def close(self) -> None:
        """Let go of the connections."""
        if self._alarm:
            self._alarm.cancel()
        for connection in [*self._open]:
            connection.end()
        while self._open:  # noqa: ASYNC110 - a matter of turns
            await asyncio.sleep(0)

    def _split(self, url: str) -> tuple["Origin", str]:
        """Where to, and what for there."""
        found = _URL.match(url)
        if found is None:
            raise ValueError("not an http or https address")
        where, target = found.groups()
        if not (target.isascii() and target.isprintable()) or " " in target:
            target = quote(target, safe=_TARGET)
        origin = self._origins.get(where)
        if origin is None:
            origin = self._origins[where] = Origin(where)
        return origin, target if target[:1] == "/" else f"/{target}"

    # Connections

    async def _connected(self, origin: "Origin", timeout: float) -> "Connection":
        """A new one. Raises NotSent or CertificateRefused, out here without a cause, which may name the address."""
        try:
            async with asyncio.timeout(min(timeout, self._settings.connect_timeout)):
                return await self._connect(origin)
        except TimeoutError:
            failure: NotSent | CertificateRefused = NotSent("connecting took too long")
        except (OSError, UnicodeError) as error:  # UnicodeError: of a host's name that cannot be one
            failure = _failure(error)
        raise failure

    async def _connect(self, origin: "Origin") -> "Connection":
        sock = await start_connection(await origin.addresses(), happy_eyeballs_delay=SECOND_ADDRESS)
        tls: dict[str, Any] = {"ssl": self._tls, "server_hostname": origin.name} if origin.tls else {}
        keep = self._settings.idle if self._settings.keep_alive else 0.0
        _, connection = await self._loop.create_connection(
            lambda: Connection(self._open, origin.waiting, keep), sock=sock, **tls
        )
        return connection

    # Time

    def _ring_at(self, time: float) -> None:
        """Look at the connections then: one timer for all calls, which mostly have equally long."""
        if self._alarm:
            self._alarm.cancel()
        self._alarm_at = time
        self._alarm = self._loop.call_at(time, self._ring)

    def _ring(self) -> None:
        now = self._loop.time()
        self._alarm, self._alarm_at = None, NEVER
        for connection in [*self._open]:
            if connection.expires <= now:
                connection.end("no answer in time")
        if self._open:
            self._ring_at(max(now, min(connection.expires for connection in self._open)))


class Origin:
    """Where calls go: scheme, host and port, and the connections there that wait for a call."""

    def __init__(self, address: str) -> None:
        parts = urlsplit(address)
        name = parts.hostname or ""
        self.name = name if name.isascii() else name.encode("idna").decode()
        self.tls = parts.scheme == "https"
        self.port = parts.port or (443 if self.tls else 80)
        host = f"[{self.name}]" if ":" in self.name else self.name
        self.host = host if self.port == (443 if self.tls else 80) else f"{host}:{self.port}"
        self.waiting: list[Connection] = []
        self._lookup: asyncio.Task[list[AddrInfoType]] | None = None

    def idle(self, now: float) -> "Connection | None":
        """The one that was used last, so that the others may end."""
        while self.waiting:
            connection = self.waiting.pop()
            if connection.usable(now):
                return connection
        return None

    async def addresses(self) -> list[AddrInfoType]:
        """Looked up once for all who ask meanwhile."""
        if self._lookup is None or self._lookup.done():
            loop = asyncio.get_running_loop()
            self._lookup = asyncio.ensure_future(
                loop.getaddrinfo(self.name, self.port, type=socket.SOCK_STREAM)  # type: ignore[arg-type]
            )
        return await asyncio.shield(self._lookup)


def _lines(headers: list[tuple[str, str]]) -> str:
    """The headers as they are sent. Raises ValueError for one that would be more than one line."""
    text = "".join([f"{name}: {value}\r\n" for name, value in headers])
    if text.count("\r") != len(headers) or text.count("\n") != len(headers) or "\0" in text or not text.isascii():
        raise ValueError("a header holds a line break or another character that no header can hold")
    return text


def _failure(error: OSError | UnicodeError) -> NotSent | CertificateRefused:
    if isinstance(error, socket.gaierror | UnicodeError):
        return NotSent("the host's address was not found")
    if isinstance(error, ConnectionError) and not error.errno:  # a socket's own errors have a number
        return NotSent("tls handshake failed: closed")
    return not_made(error)
