"""Calls by HTTP/2, against a vendor that misbehaves in it: what is raised, and how often a call arrives."""

import asyncio
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trustme

from benchmarks.desk import Desk
from benchmarks.frames import GOAWAY, MAX_CONCURRENT_STREAMS, RST_STREAM, SETTINGS, frame
from benchmarks.http2 import Http2
from benchmarks.vendor import Negotiated
from stream.http import Response, Transport, Unanswered
from stream.http.settings import HttpSettings, open_transport

PATH = "/v2/objects/people/records?matching_attribute=email_addresses"
BODY = b'{"data":{"values":{"email_addresses":[{"email_address":"ada@example.com"}],"job_title":[{"value":"0"}]}}}'
REFUSED_STREAM = 7


class Calls:
    """The transport, its vendor's address, and what reached it."""

    def __init__(self, desk: Desk, url: str, authority: Path) -> None:
        self.desk = desk
        self.url = url
        self.authority = authority

    @asynccontextmanager
    async def transport(
        self, *, keep_alive: bool = True, http2: bool = True, timeout: float = 10
    ) -> AsyncIterator[Transport]:
        """One that trusts the vendor. With a short *timeout* it soon asks for a sign of life."""
        settings = HttpSettings(http2=http2, timeout=timeout, ca_file=self.authority)
        transport = open_transport(settings, keep_alive=keep_alive)
        try:
            yield transport
        finally:
            await transport.close()

    def put(self, transport: Transport, timeout: float = 5) -> Awaitable[Response]:
        """Assert a person."""
        return transport.send("PUT", self.url + PATH, headers=[], body=BODY, timeout=timeout)


@asynccontextmanager
async def vendor(
    folder: Path, protocol: type[Http2 | Negotiated] = Negotiated, *, offers: str = "h2", latency: float = 0
) -> AsyncIterator[Calls]:
    """A vendor with a certificate of its own authority."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "ca.pem")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    context.set_alpn_protocols([offers])
    desk = Desk(latency, 0, None)
    loop = asyncio.get_running_loop()
    connections: list[Http2 | Negotiated] = []

    def connection() -> asyncio.Protocol:
        connections.append(protocol(desk))
        return connections[-1]

    async with await loop.create_server(connection, "127.0.0.1", 0, ssl=context) as server:
        yield Calls(desk, f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}", folder / "ca.pem")
        for each in connections:
            each.transport.abort()
        await asyncio.sleep(0.05)  # they close in the loop's next turns, and another test must not find them open


async def test_calls_share_a_connection(tmp_path: Path) -> None:
    """All in flight at once, on one connection."""
    async with vendor(tmp_path, latency=0.05) as calls, calls.transport() as transport:
        await calls.put(transport)
        answers = await asyncio.gather(*(calls.put(transport) for _ in range(50)))

    assert {200} == {answer.status for answer in answers}
    assert (1, 1, 50) == (calls.desk.connections, calls.desk.http2, calls.desk.most_pending)


@pytest.mark.parametrize(
    "offers,asked", [("http/1.1", {}), ("h2", {"http2": False}), ("h2", {"keep_alive": False})], ids=str
)
async def test_it_is_spoken_only_where_offered_asked_for_and_calls_may_be_repeated(
    tmp_path: Path, offers: str, asked: dict[str, bool]
) -> None:
    """Else the calls go by HTTP/1.1."""
    async with vendor(tmp_path, offers=offers) as calls, calls.transport(**asked) as transport:
        answer = await calls.put(transport)

    assert (200, 0) == (answer.status, calls.desk.http2)


class Cutting(Http2):
    """Cuts the connection when a call has arrived."""

    def reply(self, _stream: int, _accepted: bool) -> None:
        self.transport.abort()


async def test_a_call_on_a_connection_that_is_cut_is_unanswered_and_not_resent(tmp_path: Path) -> None:
    """The vendor got it, once, and may have acted on it."""
    async with vendor(tmp_path, Cutting) as calls, calls.transport() as transport:
        for _ in range(20):
            with pytest.raises(Unanswered):
                await calls.put(transport)

    assert 20 == len(calls.desk.bodies)


class Refusing(Http2):
    """Says of each call that nothing was done with it (RFC 9113, 8.7)."""

    def reply(self, stream: int, _accepted: bool) -> None:
        self.transport.write(frame(RST_STREAM, 0, stream, struct.pack(">I", REFUSED_STREAM)))


class Leaving(Http2):
    """Ends the connection gracefully, having processed none of its calls (RFC 9113, 6.8)."""

    def reply(self, _stream: int, _accepted: bool) -> None:
        self.transport.write(frame(GOAWAY, 0, 0, struct.pack(">II", 0, 0)))
        self.transport.close()


@pytest.mark.parametrize("protocol", [Refusing, Leaving])
async def test_what_the_vendor_says_it_did_not_take_is_sent_three_times_at_most(
    tmp_path: Path, protocol: type[Http2]
) -> None:
    """The library does that by itself; hence never for calls that must not be repeated."""
    async with vendor(tmp_path, protocol) as calls, calls.transport() as transport:
        with pytest.raises(Unanswered):
            await calls.put(transport)

    assert 1 <= len(calls.desk.bodies) <= 3


class Dead(Http2):
    """The first connection takes a call and falls silent for ever, as behind a router that forgot it."""

    def data_received(self, data: bytes) -> None:
        if self.desk.connections > 1 or not self.desk.bodies:
            super().data_received(data)

    def reply(self, stream: int, accepted: bool) -> None:
        if self.desk.connections > 1:
            super().reply(stream, accepted)


async def test_a_dead_connection_is_given_up(tmp_path: Path) -> None:
    """Calls would time out on it for ever: the vendor is asked for a sign of life."""
    async with vendor(tmp_path, Dead) as calls, calls.transport(timeout=2) as transport:
        with pytest.raises(Unanswered):
            await calls.put(transport)
        answer = await calls.put(transport)

    assert (200, 2) == (answer.status, calls.desk.connections)


async def test_what_waits_for_its_turn_is_not_sent_after_its_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A vendor allows so many calls on a connection; the others wait in the library, and are over in time."""
    monkeypatch.setattr(
        "benchmarks.http2.OPENING", frame(SETTINGS, 0, 0, struct.pack(">HI", MAX_CONCURRENT_STREAMS, 10))
    )
    async with vendor(tmp_path) as calls, calls.transport() as transport:
        await calls.put(transport)
        calls.desk.latency = 60
        waiting = [asyncio.ensure_future(calls.put(transport, 0.5)) for _ in range(30)]
        await asyncio.sleep(0.3)
        assert 10 == calls.desk.pending
        fates = await asyncio.gather(*waiting, return_exceptions=True)
        await asyncio.sleep(0.3)  # what was written in time is read
        arrived = len(calls.desk.bodies)
        await asyncio.sleep(0.5)

    assert {Unanswered} == {type(fate) for fate in fates}
    assert arrived == len(calls.desk.bodies)


def test_the_fallback_does_not_speak_it() -> None:
    """Said at start: nobody believes to have what is not there."""
    with pytest.raises(ValueError, match="http2 needs transport: fast"):
        HttpSettings(http2=True, transport="httpx")
