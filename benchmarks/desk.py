"""What the stand-in says and keeps, whichever protocol it is asked in."""

import asyncio
import random
import time
from collections.abc import Callable

from benchmarks.arrivals import Arrived, Log

IDS = {
    "workspace_id": "5e9c2a0e-6b0e-4d0b-9d60-0f5a3f6f2c11",
    "object_id": "9d4b2f7a-1c52-4a36-8f0e-2b7f7b1b7d22",
    "record_id": "bf071e1f-6035-429d-b874-d83ea64ea13b",
}
RECORD = {
    "data": {
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
}
FAILURE = {"status_code": 500, "type": "api_error", "code": "internal_error", "message": "Always, as was asked for."}
UNKNOWN = {"status_code": 404, "code": "not_found", "message": "Not a path of a benchmark."}
SELF = {
    "active": True,
    "scope": "record_permission:read-write object_configuration:read",
    "workspace_name": "Benchmark",
}
SLUGS = ("name", "email_addresses", "phone_numbers", "job_title", "description")
ATTRIBUTES = [{"api_slug": slug, "type": "text", "is_archived": False, "is_writable": True} for slug in SLUGS]

ASSERT = b"PUT /v2/objects/people/records"
CONTENTS: dict[bytes, object] = {  # what is said to all others
    b"GET /v2/self": SELF,
    b"GET /v2/objects/people/attributes": {"data": ATTRIBUTES},
}


class Desk:
    """All connections together: what arrived, and when each was answered."""

    def __init__(self, latency: float, jitter: float, refuse: str | None) -> None:
        self.latency = latency
        self.jitter = jitter
        self.refuse = refuse and f'"{refuse}"'.encode()
        self.bodies: list[bytes] = []
        self.arrived: list[float] = []
        self.answered: list[float] = []
        self.refused = 0
        self.pending = self.most_pending = 0
        self.connections = self.http2 = 0
        self.cpu_before = 0.0

    def take(self, body: bytes, reply: Callable[[bool], None]) -> None:
        """Keep an assert's body; *reply* says in time whether it is accepted."""
        self.pending += 1
        if self.pending > self.most_pending:
            self.most_pending = self.pending
        if self.refuse and self.refuse in body:
            number = -1
        else:
            number = len(self.bodies)
            if not number:
                self.cpu_before = time.process_time()
            self.bodies.append(body)
            self.arrived.append(time.perf_counter())
            self.answered.append(float("inf"))
        if self.latency:
            delay = self.latency + self.jitter * random.uniform(-1, 1)
            asyncio.get_running_loop().call_later(delay, self.settle, number, reply)
        else:
            self.settle(number, reply)

    def settle(self, number: int, reply: Callable[[bool], None]) -> None:
        """Answer the assert."""
        self.pending -= 1
        if number < 0:
            self.refused += 1
            reply(False)
        else:
            reply(True)
            self.answered[number] = time.perf_counter()

    def closed(self) -> tuple[Arrived, Log]:
        """What arrived, looked at only now: reading bodies takes time that the program should have."""
        cpu = time.process_time() - self.cpu_before if self.arrived else 0.0
        log = Log.read(self.bodies, self.arrived, self.answered)
        judged = log.judged(
            in_flight=self.most_pending,
            refused=self.refused,
            connections=self.connections,
            http2=self.http2,
            cpu_seconds=cpu,
        )
        return judged, log
