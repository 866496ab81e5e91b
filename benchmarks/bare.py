"""What the vendor alone can take: requests as the program sends them, from a client that does nothing else.

python -m benchmarks.bare PORT REQUESTS IN_FLIGHT [--tls FOLDER [--http2]]
"""

import argparse
import asyncio
import ssl
from pathlib import Path
from typing import cast

import orjson
import uvloop

from benchmarks.frames import (
    ACK,
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    OPENING,
    PREFACE,
    SETTINGS,
    block,
    frame,
    frames,
)
from benchmarks.vendor import ACCEPTED

BODY = orjson.dumps(
    {
        "data": {
            "values": {
                "email_addresses": [{"email_address": "contact.00000@example.com"}],
                "name": [{"first_name": "Ada", "last_name": "Example", "full_name": "Ada Example"}],
                "phone_numbers": [{"original_phone_number": "+15558675309"}],
                "job_title": [{"value": "0"}],
            }
        }
    }
)
PATH = "/v2/objects/people/records?matching_attribute=email_addresses"
FIELDS = {
    "authorization": "Bearer benchmark",
    "content-type": "application/json",
    "accept": "*/*",
    "user-agent": "crmstream",
    "content-length": str(len(BODY)),
}
LINES = "".join(f"{name}: {value}\r\n" for name, value in FIELDS.items())
REQUEST = f"PUT {PATH} HTTP/1.1\r\nhost: 127.0.0.1\r\n{LINES}\r\n".encode() + BODY


class Remaining:
    """How many requests are still to be sent and to be answered, all connections together."""

    def __init__(self, requests: int) -> None:
        self.unsent = self.unanswered = requests
        self.done = asyncio.Event()

    def answered(self) -> bool:
        """Count an answer; whether there is one more to send."""
        self.unanswered -= 1
        if not self.unanswered:
            self.done.set()
        return self.next()

    def next(self) -> bool:
        """Whether there is one more to send, which then counts as sent."""
        self.unsent -= 1
        return self.unsent >= 0


class Caller(asyncio.Protocol):
    """One connection with one request in flight, like the program's: what is pipelined would cost the vendor less."""

    def __init__(self, remaining: Remaining) -> None:
        self.remaining = remaining
        self.received = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport; `begin` is called when all are connected."""
        self.transport = cast("asyncio.Transport", transport)

    def begin(self) -> None:
        """Send the first."""
        if self.remaining.next():
            self.transport.write(REQUEST)

    def data_received(self, data: bytes) -> None:
        """Call again when the answer is complete."""
        self.received += len(data)
        if self.received == len(ACCEPTED):
            self.received = 0
            if self.remaining.answered():
                self.transport.write(REQUEST)


class Streams(Caller):
    """One connection by HTTP/2 with all requests in flight, like the program's."""

    def __init__(self, remaining: Remaining, in_flight: int) -> None:
        super().__init__(remaining)
        self.in_flight = in_flight
        self.stream = -1
        self.rest = b""
        self.head = block({":method": "PUT", ":scheme": "https", ":authority": "127.0.0.1", ":path": PATH} | FIELDS)

    def begin(self) -> None:
        """Send the first ones."""
        self.transport.write(PREFACE + OPENING)
        self.transport.write(b"".join(self.request() for _ in range(self.in_flight) if self.remaining.next()))

    def request(self) -> bytes:
        """The frames of one more."""
        self.stream += 2
        return frame(HEADERS, END_HEADERS, self.stream, self.head) + frame(DATA, END_STREAM, self.stream, BODY)

    def data_received(self, data: bytes) -> None:
        """Call again for each answer that is complete."""
        data = self.rest + data
        end = 0
        for kind, flags, _, _, end in frames(data):  # noqa: B007
            if kind == DATA and flags & END_STREAM and self.remaining.answered():
                self.transport.write(self.request())
            elif kind == SETTINGS and not flags & ACK:
                self.transport.write(frame(SETTINGS, ACK, 0))
        self.rest = data[end:]


async def load(port: int, requests: int, in_flight: int, tls: Path | None, *, http2: bool) -> None:
    """Send *requests*, *in_flight* at a time, and return when all are answered."""
    remaining = Remaining(requests)
    callers: list[Caller]
    context = ssl.create_default_context(cafile=tls / "ca.pem") if tls else None
    if context and http2:
        context.set_alpn_protocols(["h2"])
        callers = [Streams(remaining, in_flight)]
    else:
        callers = [Caller(remaining) for _ in range(in_flight)]
    loop = asyncio.get_running_loop()
    for caller in callers:
        await loop.create_connection(lambda caller=caller: caller, "127.0.0.1", port, ssl=context)
    for caller in callers:
        caller.begin()
    async with asyncio.timeout(120):
        await remaining.done.wait()
    for caller in callers:
        caller.transport.close()


def main() -> None:
    """Load the vendor. How fast it was is for its own clock to say."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bare", description="Loads the vendor, nothing else.")
    for name in ("port", "requests", "in_flight"):
        parser.add_argument(name, type=int)
    parser.add_argument("--tls", type=Path, metavar="FOLDER", help="by HTTPS, trusting the ca.pem in there")
    parser.add_argument("--http2", action="store_true", help="one connection, by HTTP/2")
    given = parser.parse_args()
    uvloop.run(load(given.port, given.requests, given.in_flight, given.tls, http2=given.http2))


if __name__ == "__main__":
    main()
