"""What the server refuses, what every answer says, and what a client that stalls costs: over real sockets."""

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import httpx
import pytest
from pydantic import SecretStr, ValidationError
from structlog.testing import capture_logs

from stream.telemetry.guard import Connection, names_this_machine
from stream.telemetry.server import Snapshots, serve
from stream.telemetry.settings import ServerSettings
from stream.telemetry.state import DestinationState

PATHS = ("/health/live", "/health/ready", "/metrics", "/state.json")
EVERYWHERE = "0.0.0.0"  # noqa: S104 - as an address to listen on
TOKEN = "t0ken/+=~"


class Hasty(Connection):
    """Little time, few connections."""

    most = 3
    seconds = 0.5


@asynccontextmanager
async def serving(
    *,
    host: str = "127.0.0.1",
    token: str | None = None,
    snapshots: Snapshots = dict,
    connection: type[Connection] = Connection,
) -> AsyncIterator[httpx.AsyncClient]:
    settings = ServerSettings(host=host, port=0, token=SecretStr(token) if token else None)
    async with (
        serve(settings, snapshots, connection=connection) as address,
        httpx.AsyncClient(base_url=address.replace(EVERYWHERE, "127.0.0.1"), trust_env=False) as client,
    ):
        yield client


async def said(client: httpx.AsyncClient, sent: bytes) -> bytes:
    """All that the server answers to these bytes, until it ends the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", client.base_url.port)
    writer.write(sent)
    try:
        return await asyncio.wait_for(reader.read(), 20)
    except ConnectionError:
        return b""
    finally:
        writer.close()


@pytest.mark.parametrize("path", PATHS)
async def test_another_sites_name_is_refused_on_loopback(path: str) -> None:
    """A page whose name was made to resolve to this machine (DNS rebinding) reads nothing, not even a probe."""
    async with serving() as client:
        statuses = [
            (await client.get(path, headers={"Host": host})).status_code
            for host in ("evil.example.com", "localhost.example.com:8080", "127.0.0.1.example.com", "10.0.0.7", "")
        ]

    assert [421] * 5 == statuses


@pytest.mark.parametrize(
    "host,ours",
    [
        ("localhost", True),
        ("LocalHost:8080", True),
        ("127.0.0.1:1", True),
        ("127.8.8.8", True),
        ("[::1]:8080", True),
        ("[::1]", True),
        ("::1", False),
        ("[fe80::1]", False),
        ("localhost.", False),
        ("[localhost]x", True),  # no name resolves like that
        ("0.0.0.0", False),  # noqa: S104
        ("crm.example.com", False),
    ],
)
def test_this_machine_is_told_from_others(host: str, ours: bool) -> None:
    """By localhost and the loopback addresses, with any port."""
    assert ours is names_this_machine(host)


async def test_elsewhere_a_probe_may_name_any_address() -> None:
    """A kubelet names the pod's address. The token guards the rest."""
    async with serving(host=EVERYWHERE, token=TOKEN) as client:
        probe = await client.get("/health/live", headers={"Host": "10.0.0.7:8080"})
        state = await client.get("/state.json", headers={"Host": "10.0.0.7:8080"})

    assert (200, 401) == (probe.status_code, state.status_code)


async def test_every_answer_keeps_browsers_at_a_distance() -> None:
    """A strict policy, nothing kept or sniffed, no referrer, no origin let in, and not what software answers."""
    async with serving(token=TOKEN) as client:
        origin = {"Origin": "https://evil.example.com"}
        answers = [await client.get(path, headers=origin) for path in (*PATHS, "/nowhere", "/metrics/")]
        answers.append(await client.post("/metrics", headers=origin))
        answers.append(await client.get("/metrics", headers=origin | {"Host": "evil.example.com"}))

    assert [200, 503, 401, 401, 404, 404, 405, 421] == [answer.status_code for answer in answers]
    for answer in answers:
        policy = answer.headers["content-security-policy"]
        assert {"default-src 'none'", "frame-ancestors 'none'", "script-src 'self'"} <= set(policy.split("; "))
        assert "unsafe" not in policy
        assert ["nosniff", "no-referrer", "no-store", "same-origin"] == [
            answer.headers[name]
            for name in (
                "x-content-type-options",
                "referrer-policy",
                "cache-control",
                "cross-origin-resource-policy",
            )
        ]
        assert not [name for name in answer.headers if name.startswith("access-control-")]
        assert "server" not in answer.headers


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "BREW"])
async def test_nothing_can_be_changed(method: str) -> None:
    """Nor is a preflight answered."""
    async with serving() as client:
        answer = await client.request(method, "/state.json")

    assert (405, "GET, HEAD") == (answer.status_code, answer.headers["allow"])


@pytest.mark.parametrize("head", [b"Content-Length: 1000000000000", b"Transfer-Encoding: chunked"])
async def test_a_body_is_refused_unread(head: bytes) -> None:
    """The connection ends there."""
    async with serving() as client:
        answer = await said(client, b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n" + head + b"\r\n\r\n")

    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"\r\nconnection: close\r\n" in answer.lower()


@pytest.mark.parametrize("filling", [b"X: " + b"x" * 20_000, b"X: y\r\n" * 3500, b"\0\r\n\r\n"])
async def test_headers_are_bounded(filling: bytes) -> None:
    """Long ones, many ones, and what is none: refused, and the connection ends."""
    async with serving() as client:
        answer = await said(client, b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n" + filling)

    assert answer.startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nX: ",
        b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\nGET",
    ],
    ids=["nothing", "half a request", "half of a second one"],
)
async def test_a_connection_that_stalls_is_cut(sent: bytes) -> None:
    """It keeps no file descriptor for longer than an answer may take."""
    async with serving(connection=Hasty) as client:
        answer = await said(client, sent)

    assert (b"HTTP/1.1 200 " in answer) == sent.startswith(b"GET /health")


async def test_an_answer_that_nobody_reads_is_given_up() -> None:
    """A stuck scraper that asks again and again and reads nothing is cut while the answers pile up."""
    async with serving(connection=Hasty) as client:
        _, writer = await asyncio.open_connection("127.0.0.1", client.base_url.port, limit=1)

        async def ask() -> None:
            while True:
                writer.write(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n" * 100)
                await writer.drain()

        try:
            with pytest.raises(ConnectionError):
                await asyncio.wait_for(ask(), 20)
        finally:
            writer.transport.abort()


async def test_connections_are_bounded() -> None:
    """What is too many is cut at once, and there is room again when the others' time is over."""
    async with serving(connection=Hasty) as client:
        port = client.base_url.port
        silent = [await asyncio.open_connection("127.0.0.1", port) for _ in range(Hasty.most)]
        refused = await said(client, b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n")
        for reader, writer in silent:
            with pytest.raises(ConnectionError):
                await asyncio.wait_for(_all(reader), 20)
            writer.close()
        later = await client.get("/health/live")

    assert (b"", 200) == (refused, later.status_code)


@pytest.mark.parametrize(
    "given",
    [
        {"headers": {"Authorization": f"Bearer {TOKEN}x"}},
        {"headers": {"Authorization": f"Bearer {TOKEN[:-1]}"}},
        {"headers": {"Authorization": b"Bearer \xff\xfe\x80"}},
        {"headers": {"Authorization": "Bearer " + "x" * 10_000}},
        {"headers": {"Authorization": f"Basic {TOKEN}"}},
        {"headers": {"Authorization": "Bearer"}},
        {"params": {"token": ""}},
        {"params": {"token": "\U0001f600"}},
        {"params": "token=%ff%fe%ed%a0%80"},
    ],
)
async def test_whatever_is_no_token_is_refused(given: Mapping[str, object]) -> None:
    """Of any length, in any letters, without a fault of ours."""
    async with serving(token=TOKEN) as client:
        answer = await client.get("/state.json", **given)  # type: ignore[arg-type]

    assert (401, "Bearer") == (answer.status_code, answer.headers["www-authenticate"])


@pytest.mark.parametrize("token", ["with space", "línea", "tab\t", "\udcff", "new\nline"])
def test_a_token_is_one_that_a_header_can_hold(token: str) -> None:
    """Else nobody could ever show it. It is not repeated."""
    with pytest.raises(ValidationError, match="letters, digits and signs") as caught:
        ServerSettings(token=SecretStr(token))

    assert token not in str(caught.value)


async def test_an_address_with_a_token_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    """Also where libraries tell everything."""
    for name in ("", "uvicorn", "uvicorn.access", "uvicorn.error"):
        caplog.set_level(logging.DEBUG, name)
    async with serving(token="s3cret-token") as client:
        refused = await client.get("/state.json", params={"token": "another-token"})
        answer = await said(client, b"GET /state.json?token=s3cret-token HTTP/1.0\r\n\r\n")

    assert (401, True) == (refused.status_code, answer.startswith(b"HTTP/1.1 200 "))
    assert [] == [
        record for record in caplog.records if record.name.startswith("uvicorn") and "token" in record.getMessage()
    ]


async def test_a_fault_inside_shows_nothing_of_itself() -> None:
    """500 without a word; what the log says of it is `test_logs`'s."""

    def broken() -> dict[str, DestinationState]:
        raise ValueError("jane of example.com and the key hushhush")

    with capture_logs() as told:
        async with serving(snapshots=broken) as client:
            answer = await client.get("/state.json")

    assert (500, "Internal Server Error") == (answer.status_code, answer.text)
    assert ["answer_failed"] == [line["event"] for line in told if line["log_level"] == "error"]


async def _all(reader: asyncio.StreamReader) -> bytes:
    """Until the end; raises ConnectionError where it was cut."""
    found = await reader.read()
    if not found:
        raise ConnectionResetError
    return found
