"""What the server refuses before any route is asked, what every answer says, and when a connection is cut.

Who may read what is `server`'s.
"""

import asyncio
from ipaddress import ip_address

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

SAID = {
    # its own scripts, styles, pictures and calls; nothing inline, nobody else's, in nobody's frame
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",  # an address may hold ?token=
    "Cache-Control": "no-store",
}
"""Headers of every answer. There are none of CORS: no page of another origin can read an answer."""

READS = ("GET", "HEAD")
MOST_HEADERS = 16 * 1024  # bytes of a request's first line and headers

log = structlog.get_logger()


class Guard:
    """The application inside, for requests that only read; where *loopback*, only for those that name this machine.

    A page of somebody's site whose name its owner makes resolve to 127.0.0.1 (DNS rebinding) still sends that name.
    Elsewhere the token guards, and a probe may name any address.
    """

    def __init__(self, inside: ASGIApp, *, loopback: bool) -> None:
        self._inside = inside
        self._loopback = loopback

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request. What fails inside is answered by 500 and logged by its kind and place."""

        async def saying(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(SAID)
            await send(message)

        try:
            await (self._refusal(scope) or self._inside)(scope, receive, saying)
        except Exception:
            log.exception("answer_failed", path=scope["path"])

    def _refusal(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        if self._loopback and not names_this_machine(headers.get("host", "localhost")):  # no browser leaves it out
            return _refused(421, "this server is for its own machine: call it localhost, or see server.host")
        if scope["method"] not in READS:
            return _refused(405, "there is nothing to change here", Allow=", ".join(READS))
        if headers.get("content-length", "0") != "0" or "transfer-encoding" in headers:
            return _refused(413, "no request here has a body")
        return None


def names_this_machine(host: str) -> bool:
    """Whether a Host header is localhost or a loopback address, with any port."""
    name = host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return name.lower() == "localhost"


def _refused(status: int, why: str, **headers: str) -> Response:
    """The connection ends with it: what else was sent on it is not read."""
    return JSONResponse({"error": why}, status, headers={"Connection": "close", **headers})


class Connection(H11Protocol):
    """One of at most *most* connections, with *seconds* for each answer to be asked for, made and taken.

    Whoever opens connections and says nothing, or reads nothing, keeps neither a file descriptor nor memory.
    """

    most = 100
    seconds = 10.0
    _end: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin, or end at once where there are too many."""
        super().connection_made(transport)
        if len(self.connections) > self.most:
            transport.abort()
        else:
            self._give_time()

    def on_response_complete(self) -> None:
        """The time for the next one begins, in which this one must also have been read."""
        super().on_response_complete()
        self._give_time()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is left to be cut."""
        if self._end is not None:
            self._end.cancel()
        super().connection_lost(exc)

    def _give_time(self) -> None:
        if self._end is not None:
            self._end.cancel()
        self._end = self.loop.call_later(self.seconds, self.transport.abort)
