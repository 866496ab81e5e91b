"""Requests to our own server: whatever the path, the query and the headers are, it answers, and never with 500."""

from dataclasses import dataclass
from functools import cache
from random import Random
from typing import Any
from urllib.parse import unquote

from stream.telemetry.server import application
from stream.telemetry.settings import ServerSettings
from stream.telemetry.state import DestinationState, PartitionState
from tests.fuzz.target import Target, awaited
from tests.fuzz.values import some_bytes, text

TOKEN = "t0psecret"
PATHS = (
    "/",
    "/health/live",
    "/health/ready",
    "/metrics",
    "/state.json",
    "/health",
    "//state.json",
    "/state.json/",
    "/%00",
)
NAMES = (b"host", b"authorization", b"accept", b"content-length", b"cookie", b"origin", b"range", b"x-forwarded-host")
VALUES = (
    b"",
    b"127.0.0.1:8080",
    b"[::1]:8080",
    b"localhost",
    b"evil.example.com",
    b"[",
    b":",
    b"Bearer t0psecret",
    b"Bearer",
    b"\xff",
)


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as the server's library hands it over."""

    method: str
    path: str
    query: bytes
    headers: tuple[tuple[bytes, bytes], ...]

    @property
    def shows_the_token(self) -> bool:
        """Whether it may see more than the probes."""
        return TOKEN in unquote(self.query.decode("latin-1")) or any(
            TOKEN.encode() in value for _, value in self.headers
        )


def draw(random: Random) -> Asked:
    """Any request; its headers are what a library lets through: names in lower case, values without line breaks."""
    path = random.choice(PATHS) if random.random() < 0.7 else "/" + text(random)
    query = random.choice(
        (b"", b"token=", b"token=t0psecret", b"token=%FF%00", b"token=\xc3\xa9&token=", some_bytes(random))
    )
    headers = tuple((random.choice(NAMES), _value(random)) for _ in range(random.choice((0, 1, 2, 5))))
    return Asked(random.choice(("GET", "GET", "HEAD", "POST", "OPTIONS", "X")), path, query, headers)


def _value(random: Random) -> bytes:
    value = random.choice(VALUES) if random.random() < 0.7 else some_bytes(random)
    return bytes(byte for byte in value if byte not in b"\r\n\0")


@cache
def _application() -> Any:
    partition = PartitionState("events", 0, 3, 5, 2, None)
    state = DestinationState(
        state="blocked",
        reason="no",
        since="2026-06-06T10:30:00Z",
        assigned=True,
        lag=2,
        pending=1,
        in_flight=0,
        concurrency=4,
        oldest_pending_seconds=0.0,
        seconds_since_turn=0.0,
        partitions=(partition,),
    )
    return application(ServerSettings.model_validate({"token": TOKEN, "port": "0"}), lambda: {"attio": state})


def is_answered(asked: Asked) -> None:
    """With a status below 500, or 503 by a probe; nothing but the probes without the token."""
    status, body = awaited(_ask(asked))
    assert 200 <= status < 500 or status == 503
    if not asked.shows_the_token:
        assert status != 200 or asked.path in ("/health/live", "/health/ready"), asked.path
    assert TOKEN.encode() not in body


async def _ask(asked: Asked) -> tuple[int, bytes]:
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "scheme": "http",
        "root_path": "",
        "method": asked.method,
        "path": asked.path,
        "raw_path": asked.path.encode("utf-8", "replace"),
        "query_string": asked.query,
        "headers": list(asked.headers),
        "server": ("127.0.0.1", 8080),
        "client": ("127.0.0.1", 1),
    }
    await _application()(scope, receive, send)
    return sent[0]["status"], b"".join(message.get("body", b"") for message in sent)


TARGETS = [Target("requests to the server", draw, is_answered)]
