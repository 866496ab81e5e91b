"""What the vendor alone can take: requests as the program sends them, from a client that does nothing else.

python -m benchmarks.bare PORT REQUESTS IN_FLIGHT
"""

import argparse
import asyncio
from typing import cast

import orjson
import uvloop

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
HEAD = (
    "PUT /v2/objects/people/records?matching_attribute=email_addresses HTTP/1.1\r\n"
    "authorization: Bearer benchmark\r\ncontent-type: application/json\r\naccept: */*\r\n"
    f"user-agent: crmstream\r\nhost: 127.0.0.1\r\ncontent-length: {len(BODY)}\r\n\r\n"
)
REQUEST = HEAD.encode() + BODY


class Caller(asyncio.Protocol):
    """One connection with one request in flight, like the program's: what is pipelined would cost the vendor less."""

    def __init__(self, remaining: list[int], done: asyncio.Event) -> None:
        self.remaining = remaining
        self.done = done
        self.received = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport; `call` begins when all are connected."""
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Call again when the answer is complete."""
        self.received += len(data)
        if self.received == len(ACCEPTED):
            self.received = 0
            self.remaining[1] -= 1
            self.call()

    def call(self) -> None:
        """Send one more, while there are any."""
        if self.remaining[0]:
            self.remaining[0] -= 1
            self.transport.write(REQUEST)
        elif not self.remaining[1]:
            self.done.set()


async def load(port: int, requests: int, in_flight: int) -> None:
    """Send *requests*, *in_flight* at a time, and return when all are answered."""
    loop = asyncio.get_running_loop()
    remaining, done = [requests, requests], asyncio.Event()  # not sent, not answered
    callers = []
    for _ in range(in_flight):
        _, caller = await loop.create_connection(lambda: Caller(remaining, done), "127.0.0.1", port)
        callers.append(caller)
    for caller in callers:
        caller.call()
    async with asyncio.timeout(120):
        await done.wait()
    for caller in callers:
        caller.transport.close()


def main() -> None:
    """Load the vendor. How fast it was is for its own clock to say."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bare", description="Loads the vendor, nothing else.")
    for name in ("port", "requests", "in_flight"):
        parser.add_argument(name, type=int)
    given = parser.parse_args()
    uvloop.run(load(given.port, given.requests, given.in_flight))


if __name__ == "__main__":
    main()
