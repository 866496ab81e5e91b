"""The stand-in's side of an HTTP/2 connection."""

import asyncio
from functools import partial
from typing import cast

import hpack
import orjson

from benchmarks.desk import ASSERT, CONTENTS, FAILURE, RECORD, UNKNOWN, Desk
from benchmarks.frames import (
    ACK,
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    OPENING,
    PADDED,
    PING,
    PREFACE,
    PRIORITY,
    SETTINGS,
    block,
    frame,
    frames,
)


def answer(status: str, content: object) -> tuple[bytes, bytes]:
    """The payloads of a response's two frames."""
    body = orjson.dumps(content)
    head = {":status": status, "content-type": "application/json", "content-length": str(len(body))}
    return block(head), body


ACCEPTED, REFUSED, NOT_FOUND = answer("200", RECORD), answer("500", FAILURE), answer("404", UNKNOWN)
ANSWERS = {path: answer("200", content) for path, content in CONTENTS.items()}


class Http2(asyncio.Protocol):
    """One connection of the stand-in."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.rest = b""
        self.greeted = False
        self.bodies: dict[int, bytes] = {}  # of the asserts that are on their way in, by stream
        self.decoder = hpack.Decoder()
        self.asserts: dict[bytes, bool] = {}  # known heads: an assert's or not

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Count it and begin."""
        self.transport = cast("asyncio.Transport", transport)
        self.desk.connections += 1
        self.desk.http2 += 1
        self.transport.write(OPENING)

    def data_received(self, data: bytes) -> None:
        """Take what is complete, keep the rest."""
        data = self.rest + data
        if not self.greeted:
            if len(data) < len(PREFACE):
                self.rest = data
                return
            assert data.startswith(PREFACE)
            self.greeted, data = True, data[len(PREFACE) :]
        end = 0
        for kind, flags, stream, payload, end in frames(data):  # noqa: B007
            if kind == DATA:
                self.body(stream, flags, payload)
            elif kind == HEADERS:
                self.head(stream, flags, payload)
            elif kind in (SETTINGS, PING) and not flags & ACK:
                self.transport.write(frame(kind, ACK, 0, payload if kind == PING else b""))
        self.rest = data[end:]

    def head(self, stream: int, flags: int, payload: bytes) -> None:
        """An assert's body follows; anything else is answered."""
        assert flags & END_HEADERS
        assert not flags & (PADDED | PRIORITY), "no client of ours sends these"
        if self.asserts.get(payload):
            self.bodies[stream] = b""
            return
        told = dict(self.decoder.decode(payload, raw=True))
        path = told[b":method"] + b" " + told[b":path"].partition(b"?")[0]
        if self.decoder.header_table_size == 0:  # what came before our settings were known may mean another thing later
            self.asserts[payload] = path == ASSERT
        if path == ASSERT:
            self.bodies[stream] = b""
        else:
            self.write(stream, ANSWERS.get(path, NOT_FOUND))

    def body(self, stream: int, flags: int, payload: bytes) -> None:
        """Part of an assert's body, or its last."""
        assert not flags & PADDED
        body = self.bodies.pop(stream) + payload
        if flags & END_STREAM:
            self.desk.take(body, partial(self.reply, stream))
        else:
            self.bodies[stream] = body

    def reply(self, stream: int, accepted: bool) -> None:
        """Answer an assert."""
        self.write(stream, ACCEPTED if accepted else REFUSED)

    def write(self, stream: int, answer: tuple[bytes, bytes]) -> None:
        """Both frames; the client may be gone."""
        if not self.transport.is_closing():
            head, body = answer
            self.transport.write(frame(HEADERS, END_HEADERS, stream, head) + frame(DATA, END_STREAM, stream, body))
