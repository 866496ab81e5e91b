"""A loopback stand-in for Attio that is fast and keeps what arrived. Its rules and shapes are the sandbox's affair.

    python -m benchmarks.vendor [--latency MS] [--jitter MS]

It prints its port, serves until its standard input ends, then prints what arrived as JSON.
"""

import argparse
import asyncio
import gc
import random
import re
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import cast

import orjson
import uvloop

IDS = {
    "workspace_id": "5e9c2a0e-6b0e-4d0b-9d60-0f5a3f6f2c11",
    "object_id": "9d4b2f7a-1c52-4a36-8f0e-2b7f7b1b7d22",
    "record_id": "bf071e1f-6035-429d-b874-d83ea64ea13b",
}
RECORD = {
    "id": IDS,
    "created_at": "2026-06-06T10:30:01.061281000Z",
    "web_url": f"https://app.attio.com/sandbox/person/{IDS['record_id']}",
    "values": {
        "email_addresses": [{"email_address": "contact.00000@example.com"}],
        "name": [{"first_name": "Ada", "last_name": "Example", "full_name": "Ada Example"}],
        "phone_numbers": [{"original_phone_number": "+15558675309"}],
        "job_title": [{"value": "0"}],
    },
}
SELF = {
    "active": True,
    "scope": "record_permission:read-write object_configuration:read",
    "workspace_name": "Benchmark",
}
SLUGS = ("name", "email_addresses", "phone_numbers", "job_title", "description")
ATTRIBUTES = [{"api_slug": slug, "type": "text", "is_archived": False, "is_writable": True} for slug in SLUGS]

LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


def answer(status: str, content: object) -> bytes:
    """A whole HTTP response."""
    body = orjson.dumps(content)
    head = f"HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


ACCEPTED = answer("200 OK", {"data": RECORD})
ANSWERS = {
    b"GET /v2/self": answer("200 OK", SELF),
    b"GET /v2/objects/people/attributes": answer("200 OK", {"data": ATTRIBUTES}),
}
NOT_FOUND = answer("404 Not Found", {"status_code": 404, "code": "not_found", "message": "Not a path of a benchmark."})
ASSERT = b"PUT /v2/objects/people/records"


@dataclass(frozen=True, slots=True)
class Arrived:
    """What reached the vendor, by its own clock and its own reading of the bodies."""

    count: int
    distinct: int
    highest: int  # of the sequence numbers, which start at 0; -1: none
    out_of_order: int  # arrivals with a lower number than one of the same contact before
    overlapping: int  # arrivals while an earlier one of the same contact was not answered yet
    seconds: float  # from the first arrival to the last answer
    latency_ms: float  # mean time from arrival to answer
    in_flight: int  # at most
    connections: int  # at most
    cpu_seconds: float  # of this process since the first arrival

    @property
    def rate(self) -> float:
        """Deliveries a second."""
        return self.count / self.seconds if self.seconds else 0.0


class Desk:
    """All connections together: what arrived, and when each was answered."""

    def __init__(self, latency: float, jitter: float) -> None:
        self.latency = latency
        self.jitter = jitter
        self.bodies: list[bytes] = []
        self.arrived: list[float] = []
        self.answered: list[float] = []
        self.pending = self.most_pending = 0
        self.open = self.most_open = 0
        self.kinds: dict[bytes, tuple[int, bytes | None]] = {}  # by head, as a client's heads are few
        self.cpu_before = 0.0

    def kind(self, head: bytes) -> tuple[int, bytes | None]:
        """The length of the body that follows *head*, and the answer: None for an assert, which may take time."""
        length = int(found[1]) if (found := LENGTH.search(head)) else 0
        path = head.partition(b" HTTP/")[0].partition(b"?")[0]
        self.kinds[head] = known = length, None if path == ASSERT else ANSWERS.get(path, NOT_FOUND)
        return known

    def judged(self) -> Arrived:
        """What arrived, looked at only now: reading bodies takes time that the program should have."""
        cpu = time.process_time() - self.cpu_before if self.arrived else 0.0
        contacts = [contact_and_number(body) for body in self.bodies]
        return Arrived(
            count=len(contacts),
            distinct=len({number for _, number in contacts}),
            highest=max((number for _, number in contacts), default=-1),
            out_of_order=out_of_order(contacts),
            overlapping=overlapping([contact for contact, _ in contacts], self.arrived, self.answered),
            seconds=max(self.answered) - self.arrived[0] if self.arrived else 0.0,
            latency_ms=1000 * (fmean(self.answered) - fmean(self.arrived)) if self.arrived else 0.0,
            in_flight=self.most_pending,
            connections=self.most_open,
            cpu_seconds=cpu,
        )


class Connection(asyncio.Protocol):
    """One connection. Parses as little as HTTP/1.1 with keep-alive allows."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Count it."""
        self.transport = cast("asyncio.Transport", transport)
        self.loop = asyncio.get_running_loop()
        self.desk.open += 1
        self.desk.most_open = max(self.desk.most_open, self.desk.open)

    def connection_lost(self, _error: Exception | None) -> None:
        """It no longer counts."""
        self.desk.open -= 1

    def data_received(self, data: bytes) -> None:
        """Take what is complete, keep the rest."""
        if self.rest:
            data, self.rest = self.rest + data, b""
        while (end := data.find(b"\r\n\r\n")) >= 0:
            head = data[:end]
            length, answer = self.desk.kinds.get(head) or self.desk.kind(head)
            start = end + 4
            if len(data) < start + length:
                break
            if answer is None:
                self.take(data[start : start + length])
            else:
                self.transport.write(answer)
            data = data[start + length :]
        self.rest = data

    def take(self, body: bytes) -> None:
        """Keep an assert's body and answer it in time."""
        desk = self.desk
        number = len(desk.bodies)
        if not number:
            desk.cpu_before = time.process_time()
        desk.bodies.append(body)
        desk.arrived.append(time.perf_counter())
        desk.answered.append(float("inf"))
        desk.pending += 1
        if desk.pending > desk.most_pending:
            desk.most_pending = desk.pending
        if desk.latency:
            self.loop.call_later(desk.latency + desk.jitter * random.uniform(-1, 1), self.accept, number)
        else:
            self.accept(number)

    def accept(self, number: int) -> None:
        """Answer the assert."""
        if not self.transport.is_closing():  # a client may be stopped
            self.transport.write(ACCEPTED)
        self.desk.answered[number] = time.perf_counter()
        self.desk.pending -= 1


def contact_and_number(body: bytes) -> tuple[str, int]:
    """Whose body it is, and the event's sequence number, which `load` hides in the job title."""
    values = orjson.loads(body)["data"]["values"]
    return values["email_addresses"][0]["email_address"], int(values["job_title"][0]["value"])


def out_of_order(contacts: Sequence[tuple[str, int]]) -> int:
    """How many came after a later one of the same contact."""
    last: dict[str, int] = {}
    late = 0
    for contact, number in contacts:
        late += number < last.get(contact, -1)
        last[contact] = max(number, last.get(contact, -1))
    return late


def overlapping(contacts: Sequence[str], arrived: Sequence[float], answered: Sequence[float]) -> int:
    """How many came while an earlier one of the same contact was in flight: order by luck only."""
    until: dict[str, float] = {}
    early = 0
    for contact, start, end in zip(contacts, arrived, answered, strict=True):
        early += start < until.get(contact, 0.0)
        until[contact] = max(end, until.get(contact, 0.0))
    return early


async def serve(desk: Desk) -> None:
    """Print the port, serve until standard input ends."""
    loop = asyncio.get_running_loop()
    over = asyncio.Event()
    loop.add_reader(sys.stdin.fileno(), over.set)
    async with await loop.create_server(lambda: Connection(desk), "127.0.0.1", 0, backlog=2048) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await over.wait()


def main() -> None:
    """Serve, then say what arrived."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.vendor", description="A fast stand-in for Attio.")
    parser.add_argument("--latency", type=float, default=0, metavar="MS")
    parser.add_argument("--jitter", type=float, default=0, metavar="MS", help="uniform, to both sides")
    given = parser.parse_args()
    gc.disable()  # it keeps everything anyway
    desk = Desk(given.latency / 1000, given.jitter / 1000)
    uvloop.run(serve(desk))
    sys.stdout.buffer.write(orjson.dumps(asdict(desk.judged())) + b"\n")


if __name__ == "__main__":
    main()
