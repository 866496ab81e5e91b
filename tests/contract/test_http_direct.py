"""What only our own transport can promise, or get wrong: how a request is spelled, when a connection is done."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import trustme

from stream.http import CertificateRefused, NotSent, Response
from stream.http.connections import Connections
from stream.http.direct import DirectTransport
from tests.contract.vendor import answers, closes, says, vendor

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


@pytest.fixture
async def transport() -> AsyncIterator[DirectTransport]:
    """As it comes, but for half a second that an idle connection is kept."""
    async with direct(Connections(idle=0.5)) as opened:
        yield opened


@asynccontextmanager
async def direct(connections: Connections) -> AsyncIterator[DirectTransport]:
    """The transport for these connections."""
    opened = DirectTransport(connections)
    try:
        yield opened
    finally:
        await opened.close()


async def put(transport: DirectTransport, url: str, *headers: tuple[str, str], timeout: float = 2) -> Response:
    return await transport.send("PUT", url, headers=[*headers], body=b"{}", timeout=timeout)


@pytest.mark.parametrize("value", ["a\r\nX-Other: b", "a\nb", "a\rb", "a\0b", "\N{LATIN SMALL LETTER E WITH ACUTE}"])
async def test_a_header_is_one_line(transport: DirectTransport, value: str) -> None:
    """What would become another header, or another request, is an error that does not repeat it."""
    async with vendor(answers()) as there:
        with pytest.raises(ValueError, match="no header can hold") as refused:
            await put(transport, there.url, ("X-Id", value))

    assert [] == there.arrivals
    assert value not in str(refused.value)


@pytest.mark.parametrize(
    "path,target",
    [
        ("", "/"),
        ("/v2", "/v2"),
        ("?page=2", "/?page=2"),
        ("/v2#part", "/v2"),
        ("/a b\r\nX-Other: c", "/a%20b%0D%0AX-Other:%20c"),
        ("/caf\N{LATIN SMALL LETTER E WITH ACUTE}?q=%40", "/caf%C3%A9?q=%40"),
    ],
)
async def test_a_target_is_one_word(transport: DirectTransport, path: str, target: str) -> None:
    """What would end it is encoded; what is encoded stays."""
    async with vendor(answers()) as there:
        await put(transport, there.url + path)

    assert [target] == [arrival.target for arrival in there.arrivals]


async def test_the_host_is_named_with_its_port(transport: DirectTransport) -> None:
    """Unless it is the scheme's own (RFC 9110, 7.2)."""
    async with vendor(answers()) as there:
        await put(transport, there.url.replace("127.0.0.1", "LocalHost"))

    assert [f"localhost:{there.port}"] == [arrival.headers["host"] for arrival in there.arrivals]


async def test_a_name_that_cannot_be_a_hosts_is_not_sent(transport: DirectTransport) -> None:
    """It can neither be looked up nor be called."""
    with pytest.raises(NotSent, match="address was not found"):
        await put(transport, f"http://{'x' * 64}.example.com")


async def test_an_idle_connection_is_let_go(transport: DirectTransport) -> None:
    """Before the vendor does, and without a call that finds it."""
    async with vendor(answers()) as there:
        await put(transport, there.url, timeout=0.1)
        assert 1 == len(transport._open)
        async with asyncio.timeout(5):
            while transport._open:  # noqa: ASYNC110 - nobody sets an event
                await asyncio.sleep(0.05)
        await put(transport, there.url)

    assert 2 == there.connections


async def test_what_a_vendor_says_unasked_ends_its_connection(transport: DirectTransport) -> None:
    """Such as that it has waited long enough: the next call must not take it for its answer."""

    async def behave(wire: Any) -> None:
        await wire.say(ANSWER)
        await asyncio.sleep(0.05)
        await wire.say(b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n")

    async with vendor(behave) as there:
        await put(transport, there.url)
        await asyncio.sleep(0.15)
        assert not transport._open
        assert 200 == (await put(transport, there.url)).status

    assert 2 == there.connections


async def test_what_nobody_asked_for_is_no_calls_answer(transport: DirectTransport) -> None:
    """A vendor that says more than it was asked is not heard any more."""
    first, second = ANSWER.replace(b"{}", b"01"), ANSWER.replace(b"{}", b"02")
    for surplus in (ANSWER, b"noise"):
        said = iter([first + surplus, second])

        async def behave(wire: Any, said: Iterator[bytes] = said) -> None:
            await wire.say(next(said))

        async with vendor(behave) as there:
            bodies = [(await put(transport, there.url)).body]
            await asyncio.sleep(0.05)
            bodies.append((await put(transport, there.url)).body)

        assert ([b"01", b"02"], 2) == (bodies, there.connections)


async def test_a_call_whose_connection_ends_before_it_is_written_goes_over_another(transport: DirectTransport) -> None:
    """Nothing of it was sent, so it does not arrive twice."""
    async with vendor(answers()) as there:
        await put(transport, there.url)
        [connection] = transport._open
        calling = asyncio.ensure_future(put(transport, there.url))
        asyncio.get_running_loop().call_soon(connection.end)
        assert 200 == (await calling).status

    assert (2, 2) == (len(there.arrivals), there.connections)


async def test_calls_that_are_not_kept_say_so() -> None:
    """The vendor may close at once."""
    async with vendor(answers()) as there, direct(Connections(keep_alive=False)) as transport:
        await put(transport, there.url)
        assert not transport._open

    assert ["close"] == [arrival.headers["connection"] for arrival in there.arrivals]


async def test_trailers_without_end_are_not_read_for_ever(transport: DirectTransport) -> None:
    """Nor do they say anything."""
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n"
    async with vendor(says(head + b"X-Late: 1\r\n\r\n", then=closes)) as there:
        assert (await put(transport, there.url)).header("x-late") is None
    async with vendor(says(head + b"X-Late: 1\r\n" * 100_000, then=closes)) as there:
        with pytest.raises(Exception, match="head is too large"):
            await put(transport, there.url)


async def test_timeouts_of_calls_do_not_depend_on_each_other(transport: DirectTransport) -> None:
    """One timer looks after all: a short call is over in its time, a long one has its own."""

    async def late(wire: Any) -> None:
        await asyncio.sleep(0.4)
        await wire.say(ANSWER)

    async with vendor(late) as there:
        long = asyncio.ensure_future(put(transport, there.url, timeout=5))
        await asyncio.sleep(0.05)
        with pytest.raises(Exception, match="in time"):
            await put(transport, there.url, timeout=0.1)
        assert not long.done()
        assert 200 == (await long).status


async def test_certificates_are_judged(tmp_path: Path) -> None:
    """In words for people, on this event loop too."""
    ours, theirs = trustme.CA(), trustme.CA()
    ours.cert_pem.write_to_path(tmp_path / "ca.pem")
    async with direct(Connections(ca_file=tmp_path / "ca.pem")) as transport:
        async with serving(ours.issue_cert("127.0.0.1")) as url:
            assert [200, 200] == [(await put(transport, url)).status for _ in range(2)]
            assert 1 == len(transport._open)
        for certificate in (theirs.issue_cert("127.0.0.1"), ours.issue_cert("other.example.com")):
            async with serving(certificate) as url:
                with pytest.raises(CertificateRefused, match="invalid peer certificate"):
                    await put(transport, url)


async def test_a_handshake_that_is_cut_is_not_sent(transport: DirectTransport) -> None:
    """Nobody has said what is wrong."""
    server = await asyncio.start_server(lambda _, writer: writer.transport.abort(), "127.0.0.1", 0)
    async with server:
        with pytest.raises(NotSent, match="handshake"):
            await put(transport, f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}")


@asynccontextmanager
async def serving(certificate: trustme.LeafCert) -> AsyncIterator[str]:
    """The address of a vendor with this certificate."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    certificate.configure_cert(context)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while await reader.readuntil(b"{}"):
                writer.write(ANSWER)
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context) as server:
        yield f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
