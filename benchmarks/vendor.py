"""A loopback stand-in for Attio that is fast and keeps what arrived. Its rules and shapes are the sandbox's affair.

    python -m benchmarks.vendor [--latency MS] [--jitter MS] [--refuse EMAIL] [--tls FOLDER [--http2]] [--log FILE]

It prints its port, and how many calls it has taken for each line on its standard input. When that ends, it stops and
prints what arrived as JSON.
"""

import argparse
import asyncio
import gc
import os
import re
import ssl
import sys
from dataclasses import asdict
from pathlib import Path
from typing import ClassVar, cast

import orjson
import uvloop

from benchmarks.desk import ASSERT, CONTENTS, FAILURE, RECORD, UNKNOWN, Desk
from benchmarks.http2 import Http2

LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


def answer(status: str, content: object) -> bytes:
    """A whole HTTP response."""
    body = orjson.dumps(content)
    head = f"HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


ACCEPTED = answer("200 OK", RECORD)
REFUSED = answer("500 Internal Server Error", FAILURE)
NOT_FOUND = answer("404 Not Found", UNKNOWN)
ANSWERS = {path: answer("200 OK", content) for path, content in CONTENTS.items()}


class Http1(asyncio.Protocol):
    """One connection. Parses as little as HTTP/1.1 with keep-alive allows."""

    kinds: ClassVar[dict[bytes, tuple[int, bytes | None]]] = {}  # by head, as a client's heads are few

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Count it."""
        self.transport = cast("asyncio.Transport", transport)
        self.desk.connections += 1

    def data_received(self, data: bytes) -> None:
        """Take what is complete, keep the rest."""
        if self.rest:
            data, self.rest = self.rest + data, b""
        while (end := data.find(b"\r\n\r\n")) >= 0:
            head = data[:end]
            length, answer = self.kinds.get(head) or self.kind(head)
            start = end + 4
            if len(data) < start + length:
                break
            if answer is None:
                self.desk.take(data[start : start + length], self.reply)
            else:
                self.transport.write(answer)
            data = data[start + length :]
        self.rest = data

    def kind(self, head: bytes) -> tuple[int, bytes | None]:
        """The length of the body that follows *head*, and the answer: None for an assert, which the desk takes."""
        length = int(found[1]) if (found := LENGTH.search(head)) else 0
        path = head.partition(b" HTTP/")[0].partition(b"?")[0]
        self.kinds[head] = known = length, None if path == ASSERT else ANSWERS.get(path, NOT_FOUND)
        return known

    def reply(self, accepted: bool) -> None:
        """Answer an assert; its client may be gone."""
        if not self.transport.is_closing():
            self.transport.write(ACCEPTED if accepted else REFUSED)


class Negotiated(asyncio.Protocol):
    """One connection under TLS, before it is known what is spoken on it."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Hand over to what client and vendor agreed on (ALPN)."""
        self.transport = cast("asyncio.Transport", transport)
        protocol: asyncio.Protocol = Http1(self.desk)
        if self.transport.get_extra_info("ssl_object").selected_alpn_protocol() == "h2":
            protocol = Http2(self.desk)
        self.transport.set_protocol(protocol)
        protocol.connection_made(self.transport)


def context(folder: Path, *, http2: bool) -> ssl.SSLContext:
    """TLS as vendors serve it, with the certificate in *folder*."""
    made = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    made.load_cert_chain(folder / "server.pem")
    made.set_alpn_protocols(["h2", "http/1.1"] if http2 else ["http/1.1"])
    return made


async def serve(desk: Desk, tls: ssl.SSLContext | None) -> None:
    """Print the port, serve until standard input ends."""
    loop = asyncio.get_running_loop()
    over = asyncio.Event()

    def asked() -> None:
        if os.read(sys.stdin.fileno(), 4096):
            print(len(desk.bodies), flush=True)
        else:
            over.set()

    loop.add_reader(sys.stdin.fileno(), asked)
    protocol = Negotiated if tls else Http1
    async with await loop.create_server(lambda: protocol(desk), "127.0.0.1", 0, backlog=2048, ssl=tls) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await over.wait()
        loop.remove_reader(sys.stdin.fileno())


def main() -> None:
    """Serve, then say what arrived."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.vendor", description="A fast stand-in for Attio.")
    parser.add_argument("--latency", type=float, default=0, metavar="MS")
    parser.add_argument("--jitter", type=float, default=0, metavar="MS", help="uniform, to both sides")
    parser.add_argument("--refuse", metavar="EMAIL", help="answer 500 to whatever is about this contact")
    parser.add_argument("--tls", type=Path, metavar="FOLDER", help="serve HTTPS with the server.pem in there")
    parser.add_argument("--http2", action="store_true", help="offer HTTP/2 before HTTP/1.1")
    parser.add_argument("--log", type=Path, metavar="FILE", help="write each arrival there")
    given = parser.parse_args()
    gc.disable()  # it keeps everything anyway
    desk = Desk(given.latency / 1000, given.jitter / 1000, given.refuse)
    uvloop.run(serve(desk, context(given.tls, http2=given.http2) if given.tls else None))
    arrived, log = desk.closed()
    if given.log:
        given.log.write_bytes(log.dumps())
    sys.stdout.buffer.write(orjson.dumps(asdict(arrived)) + b"\n")


if __name__ == "__main__":
    main()
