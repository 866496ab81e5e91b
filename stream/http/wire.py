"""One HTTP/1.1 connection: a call written, its answer heard. Which connection carries which call is `direct`'s."""

import asyncio
from dataclasses import dataclass
from functools import partial
from typing import Any

import httptools

from stream.http import BODY_LIMIT, NotSent, Response, Unanswered
from stream.http.responses import Answer, among

OVERHEAD = 128 * 1024  # bytes of an answer besides its body: its head, interim answers included, and trailers
FRAMING = 8  # bytes besides for each of the body, which chunks of a single one take
UNUSED = 1.0  # seconds that a new connection waits for the call that it was made for
NEVER = float("inf")

LOST = "the connection was lost before the answer was complete"


class Unwritten(NotSent):
    """The connection was closed before anything of the request was written."""

    def __init__(self) -> None:
        super().__init__("the connection was closed before anything was sent")


@dataclass(slots=True, eq=False)
class Call:
    """A request as it is written, when its answer is due, and that answer.

    *bodiless*: the answer has no body, whatever its head says.
    """

    request: bytes
    expires: float
    bodiless: bool
    answer: "asyncio.Future[Response]"
    written: bool = False  # something of it


class Connection(asyncio.Protocol):
    """A connection, which carries one call at a time. httptools says what it hears by the methods named `on_…`."""

    def __init__(self, everyone: set["Connection"], waiting: list["Connection"], keep: float) -> None:
        """*everyone*: where it is entered while it is open; *waiting*: where, between calls, for *keep* seconds."""
        self.expires = NEVER  # when it must have an answer, or a call
        self._everyone = everyone
        self._waiting = waiting
        self._keep = keep
        self._loop = asyncio.get_running_loop()
        self._transport: Any = None
        self._parser: Any = None
        self._call: Call | None = None
        self._forget()

    def _forget(self) -> None:
        """Be ready for an answer."""
        self._status = self._heard = self._length = 0
        self._headers: list[tuple[bytes, bytes]] = []
        self._body: list[bytes] = []
        self._complete = self._again = False
        self._more = False  # there is something on the wire that is not the answer's, or not wanted

    def usable(self, now: float) -> bool:
        """Whether a call may go over it."""
        return self.expires > now and not self._transport.is_closing()

    def take(self, call: Call) -> None:
        """Carry *call*, which is written next."""
        self.expires = call.expires
        self._call = call

    def write(self) -> None:
        """Send the request, if its answer is still waited for."""
        call = self._call
        if call is None or call.answer.done():
            return
        if self._transport.is_closing():
            self.end()
        else:
            call.written = True
            self._transport.write(call.request)

    def leave(self, call: Call) -> None:
        """Nobody waits for its answer any more: what would still come of it must be no other call's."""
        if self._call is call:
            self.end()

    def end(self, why: str = LOST) -> None:
        """Let go of it at once; a call on it has no answer."""
        call, self._call = self._call, None
        if call is not None and not call.answer.done():
            call.answer.set_exception(Unanswered(why) if call.written else Unwritten())
        if self._transport is not None:
            self._transport.abort()

    # What asyncio says

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._parser = httptools.HttpResponseParser(self)
        self.expires = self._loop.time() + UNUSED
        self._everyone.add(self)

    def data_received(self, data: bytes) -> None:
        if self._call is None or self._call.answer.done() or not self._call.written:
            self.end()  # nobody waits, or nobody has asked
            return
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            if not self._complete:
                self.end("the answer is cut off, or is not HTTP")
                return
            self._more = True
        self._heard += len(data)
        if self._complete:
            self._finish(self._call)
        elif self._heard > OVERHEAD + FRAMING * self._length:
            self.end("the answer's head is too large")

    def connection_lost(self, exc: Exception | None) -> None:
        self._everyone.discard(self)
        if exc is None and self._call is not None and self._until_closed():
            self._finish(self._call)
        self.end()
        self._parser = None  # which holds us

    # What httptools says

    def on_message_begin(self) -> None:
        self._more = self._complete  # an answer that nobody asked for

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._status:  # else of a trailer, or of what nobody asked for
            self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        if not self._more:
            self._status = self._parser.get_status_code()
            self._complete = self._more = self._status >= 200 and self._call is not None and self._call.bodiless

    def on_body(self, part: bytes) -> None:
        if not self._complete:
            self._body.append(part)
            self._length += len(part)
            self._complete = self._more = self._length > BODY_LIMIT

    def on_message_complete(self) -> None:
        if self._complete:
            return
        if self._status < 200:
            self._status = 0  # an interim answer (RFC 9110, 15.2)
            self._headers.clear()
        else:
            self._complete = True
            self._again = self._parser.should_keep_alive()

    # An answer

    def _until_closed(self) -> bool:
        """Whether it ends with the connection (RFC 9112, 6.3)."""
        names = {name.lower() for name, _ in self._headers}
        return self._status >= 200 and names.isdisjoint((b"content-length", b"transfer-encoding"))

    def _finish(self, call: Call) -> None:
        """Hand the answer over, and wait for the next call if the connection may carry one."""
        self._call = None
        body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        found = Answer(self._status, body[:BODY_LIMIT], partial(among, self._headers))
        again = self._again and self._keep and not self._more and not self._transport.get_write_buffer_size()
        self._forget()
        if again:
            self.expires = self._loop.time() + self._keep
            self._waiting.append(self)
        else:
            self._transport.abort()
        if not call.answer.done():
            call.answer.set_result(found)
