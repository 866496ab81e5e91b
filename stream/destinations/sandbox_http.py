"""A small HTTP/1.1 server for stand-ins. Not for the internet, and not for ours: the probes have a real one.

Written for what ASGI has no words for, cutting a connection before or after the work is done, and for being cheap
enough to share a core with what it tests: an answer costs no task.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus
from typing import cast
from urllib.parse import parse_qsl, unquote

import orjson

HEAD_LIMIT = 32 * 1024  # bytes of a request's line and headers
BODY_LIMIT = 16 * 1024 * 1024  # bytes


@dataclass(slots=True)
class Arrival:
    """A request, complete. *at* is seconds since the epoch; header names are in lower case."""

    method: str
    target: str  # as sent
    headers: dict[str, str]
    body: bytes
    at: float
    path: str = field(init=False)
    query: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        self.path, self.query = _target(self.target)


@dataclass(slots=True)
class Answer:
    """What goes back after *delay* seconds, *answered* being called; with *cut* the connection ends without a word."""

    status: int
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()
    content_type: str = "application/json"
    delay: float = 0.0
    cut: bool = False
    answered: Callable[[], None] | None = None

    @classmethod
    def json(cls, status: int, content: object, *headers: tuple[str, str]) -> "Answer":
        """An answer with *content* as JSON."""
        return cls(status, orjson.dumps(content), headers)


Handle = Callable[[Arrival], Answer]


class Malformed(Exception):
    """Not a request this server reads; the status says which way."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class Connection(asyncio.Protocol):
    """One client's connection: a request at a time, in order."""

    def __init__(self, handle: Handle, connections: set["Connection"]) -> None:
        self._handle = handle
        self._connections = connections
        self._received = bytearray()
        self._transport: asyncio.Transport | None = None
        self._pending: asyncio.TimerHandle | None = None  # an answer that waits for its delay
        self._last = False  # whether the client wants no more than this answer

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._connections.add(self)

    def connection_lost(self, _: Exception | None) -> None:
        self._connections.discard(self)
        self._transport = None
        if self._pending is not None:
            self._pending.cancel()

    def data_received(self, data: bytes) -> None:
        self._received += data
        if self._pending is None:
            self._proceed()

    def close(self) -> None:
        """End it; what is written already still goes out."""
        if self._pending is not None:
            self._pending.cancel()
        if self._transport is not None:
            self._transport.close()

    def _proceed(self) -> None:
        """Answer what has arrived completely."""
        while self._transport is not None and self._pending is None:
            try:
                arrival = _take(self._received)
            except Malformed as fault:
                self._last = True
                self._answer(Answer(fault.status))
                return
            if arrival is None:
                return
            self._last = arrival.headers.get("connection", "").lower() == "close"
            answer = self._handle(arrival)
            if answer.delay > 0:
                self._pending = asyncio.get_running_loop().call_later(answer.delay, self._answer_late, answer)
            else:
                self._answer(answer)

    def _answer_late(self, answer: Answer) -> None:
        self._pending = None
        self._answer(answer)
        self._proceed()

    def _answer(self, answer: Answer) -> None:
        if self._transport is None:
            return
        if answer.answered is not None:
            answer.answered()
        if answer.cut:
            self._transport.abort()
            self._transport = None
            return
        self._transport.write(_written(answer, self._last))
        if self._last:
            self._transport.close()
            self._transport = None


def _take(received: bytearray) -> Arrival | None:
    """The first request in *received*, which loses it; None while it is incomplete. Raises Malformed."""
    end = received.find(b"\r\n\r\n")
    if end < 0 or end > HEAD_LIMIT:
        if len(received) > HEAD_LIMIT:
            raise Malformed(431)
        return None
    line, *lines = received[:end].decode("latin-1").split("\r\n")
    words = line.split(" ")
    if len(words) != 3 or not words[2].startswith("HTTP/1."):
        raise Malformed(400)
    headers = {name.lower(): value.strip() for name, _, value in (header.partition(":") for header in lines)}
    if "transfer-encoding" in headers:
        raise Malformed(411)
    length = headers.get("content-length", "0")
    if not length.isdecimal():
        raise Malformed(400)
    size = int(length)
    if size > BODY_LIMIT:
        raise Malformed(413)
    start = end + 4
    if len(received) < start + size:
        return None
    body = bytes(received[start : start + size])
    del received[: start + size]
    return Arrival(words[0], words[1], headers, body, time.time())


def _written(answer: Answer, last: bool) -> bytes:
    lines = [
        _status_line(answer.status),
        f"date: {_date(int(time.time()))}",
        f"content-type: {answer.content_type}",
        f"content-length: {len(answer.body)}",
        *(f"{name}: {value}" for name, value in answer.headers),
    ]
    if last:
        lines.append("connection: close")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + answer.body


@lru_cache(maxsize=1024)
def _target(target: str) -> tuple[str, dict[str, str]]:
    """The path and the parameters; nobody changes them."""
    path, _, query = target.partition("?")
    return unquote(path), dict(parse_qsl(query, keep_blank_values=True))


@lru_cache(maxsize=64)
def _status_line(status: int) -> str:
    known = status in HTTPStatus._value2member_map_
    return f"HTTP/1.1 {status} {HTTPStatus(status).phrase if known else 'Unknown'}"


@lru_cache(maxsize=2)
def _date(second: int) -> str:
    return formatdate(second, usegmt=True)
