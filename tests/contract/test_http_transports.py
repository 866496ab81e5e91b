"""Every transport against vendors that misbehave: what they raise, what arrives, and what never does."""

import asyncio
import datetime
import gzip
import logging
import socket
import ssl
import time
import traceback
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, ExitStack, contextmanager
from pathlib import Path
from random import Random
from typing import Any, Literal, TypeAlias

import pytest
import trustme

from stream.errors import UserError
from stream.http import BODY_LIMIT, CertificateRefused, NotSent, Response, Transport, Unanswered
from stream.http.reqwest import ReqwestTransport
from stream.http.settings import HttpSettings, open_transport
from tests.contract.vendor import (
    Behaviour,
    answers,
    closes,
    drips,
    drips_headers,
    floods,
    floods_headers,
    hangs,
    informs,
    resets,
    says,
    vendor,
)
from tests.old_tls import agreeing_to

Open: TypeAlias = Callable[..., Transport]
Kind: TypeAlias = Literal["fast", "reqwest", "httpx"]
SECRET = "sk-example-0000"
PERSON = "ada%40example.com"
PARTIAL = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"
CUT_CHUNK = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"


@pytest.fixture(params=["fast", "reqwest", "httpx"])
def kind(request: pytest.FixtureRequest) -> Kind:
    """Which transport."""
    chosen: Kind = request.param
    return chosen


@pytest.fixture
async def opened(kind: Kind) -> AsyncIterator[Open]:
    """`opened(timeout=1, …)` gives the transport that such a configuration asks for."""
    async with AsyncExitStack() as stack:

        def open_one(*, keep_alive: bool = True, **settings: Any) -> Transport:
            transport: Transport
            if kind == "reqwest":  # which is for what the other fast one does not do
                transport = ReqwestTransport(HttpSettings(**settings).connections(keep_alive=keep_alive))
            else:
                transport = open_transport(HttpSettings(transport=kind, **settings), keep_alive=keep_alive)
            stack.push_async_callback(transport.close)
            return transport

        yield open_one


@pytest.fixture
async def transport(opened: Open) -> Transport:
    """The transport as it comes, but that it gives up connecting after half a second."""
    return opened(timeout=1)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """An authority that nobody trusts yet."""
    return trustme.CA()


@pytest.fixture
async def trusting(opened: Open, authority: trustme.CA, tmp_path: Path) -> Transport:
    """A transport that trusts the authority, which stands second in its file."""
    bundle = tmp_path / "bundle.pem"
    bundle.write_bytes(trustme.CA().cert_pem.bytes() + authority.cert_pem.bytes())
    return opened(timeout=2, ca_file=bundle)


def call(
    transport: Transport, url: str, method: str = "PUT", body: bytes | None = b"{}", timeout: float = 5
) -> Awaitable[Response]:
    headers = [("Authorization", f"Bearer {SECRET}"), ("Content-Type", "application/json")]
    return transport.send(method, url, headers=headers, body=body, timeout=timeout)


def serving(certificate: trustme.LeafCert) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    certificate.configure_cert(context)
    return context


def free_port() -> int:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        return int(unused.getsockname()[1])


@contextmanager
def deaf_port() -> Iterator[int]:
    """A port that takes no connection and refuses none: its queue is full."""
    with ExitStack() as stack:
        listening = stack.enter_context(socket.socket())
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        for _ in range(3):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listening.getsockname())
        yield listening.getsockname()[1]


async def test_an_answer_comes_back_whole(transport: Transport) -> None:
    """Status, body, JSON, and headers whatever their case."""
    async with vendor(answers(201, b'{"id": 7}', b"X-Request-Id: abc")) as there:
        response = await call(transport, f"{there.url}/v2/people")

    assert (201, b'{"id": 7}', {"id": 7}) == (response.status, response.body, response.json())
    assert "abc" == response.header("x-request-id") == response.header("X-REQUEST-ID")
    assert response.header("retry-after") is None


async def test_a_request_arrives_as_it_was_given(transport: Transport) -> None:
    """Method, path, query, headers and body."""
    async with vendor(answers()) as there:
        await call(transport, f"{there.url}/v2/people?email={PERSON}", "PATCH", b'{"a": 1}')

    [arrival] = there.arrivals
    assert ("PATCH", f"/v2/people?email={PERSON}", b'{"a": 1}') == (arrival.method, arrival.target, arrival.body)
    assert f"Bearer {SECRET}" == arrival.headers["authorization"]
    assert "application/json" == arrival.headers["content-type"]
    assert arrival.headers["user-agent"].startswith("crmstream/")


async def test_a_post_without_a_body_says_so(transport: Transport) -> None:
    """Some vendors answer 411 to a POST without Content-Length."""
    async with vendor(answers()) as there:
        for body in (b"", None):
            await call(transport, there.url, "POST", body)

    assert ["0", "0"] == [arrival.headers["content-length"] for arrival in there.arrivals]


@pytest.mark.parametrize("status", [204, 301, 401, 404, 429, 500, 503])
async def test_every_status_is_an_answer(transport: Transport, status: int) -> None:
    """Nothing is raised for what a vendor says, and nothing sent twice."""
    async with vendor(answers(status, b"")) as there:
        response = await call(transport, there.url)

    assert (status, b"", None) == (response.status, response.body, response.json())
    assert 1 == len(there.arrivals)


@pytest.mark.parametrize("behaviour", [hangs, drips, drips_headers, informs])
async def test_a_call_is_over_within_its_timeout(transport: Transport, behaviour: Behaviour) -> None:
    """The timeout is a total: bytes that keep coming do not extend it."""
    async with vendor(behaviour) as there:
        started = time.monotonic()
        with pytest.raises(Unanswered):
            await call(transport, there.url, timeout=0.3)

    assert 0.25 < time.monotonic() - started < 1
    assert 1 == len(there.arrivals)


@pytest.mark.parametrize("method", ["PUT", "POST", "GET", "DELETE"])
@pytest.mark.parametrize(
    "behaviour",
    [
        says(b"", then=resets),
        says(b"", then=closes),
        says(PARTIAL, then=resets),
        says(PARTIAL, then=closes),
        says(CUT_CHUNK, then=closes),
        says(b"HTTP/1.1 200", then=closes),
        says(b"SSH-2.0-OpenSSH_9.2\r\n\r\n", then=closes),
    ],
    ids=["reset", "closed", "reset in body", "cut body", "cut chunks", "cut head", "not http"],
)
async def test_no_complete_answer_is_unanswered_and_not_resent(
    transport: Transport, behaviour: Behaviour, method: str
) -> None:
    """The vendor got it, once, and may have acted on it."""
    async with vendor(behaviour) as there:
        with pytest.raises(Unanswered):
            await call(transport, there.url, method)

    assert 1 == len(there.arrivals)


async def test_a_refused_connection_is_not_sent(transport: Transport) -> None:
    """Nobody listens."""
    with pytest.raises(NotSent, match="refused"):
        await call(transport, f"http://127.0.0.1:{free_port()}")


async def test_a_connection_that_is_never_made_is_not_sent(transport: Transport) -> None:
    """It is given up before the call's own timeout, so that it is told from an answer that never came."""
    with deaf_port() as port, pytest.raises(NotSent):
        await call(transport, f"http://127.0.0.1:{port}")


async def test_an_unknown_host_is_not_sent(transport: Transport) -> None:
    """RFC 6761 reserves `.invalid`."""
    with pytest.raises(NotSent):
        await call(transport, "http://vendor.invalid")


async def test_a_tls_handshake_that_fails_is_not_sent(transport: Transport) -> None:
    """What answers is not TLS."""
    async with vendor(answers()) as there:
        with pytest.raises(NotSent):
            await call(transport, there.url.replace("http:", "https:"))

    assert [] == there.arrivals


async def test_a_certificate_of_an_unknown_authority_is_refused(transport: Transport, authority: trustme.CA) -> None:
    """Nothing is sent to whoever that is."""
    async with vendor(answers(), serving(authority.issue_cert("127.0.0.1"))) as there:
        with pytest.raises(CertificateRefused):
            await call(transport, there.url)

    assert [] == there.arrivals


async def test_a_certificate_of_another_host_is_refused(trusting: Transport, authority: trustme.CA) -> None:
    """The authority is trusted, the name is wrong."""
    async with vendor(answers(), serving(authority.issue_cert("other.example.com"))) as there:
        with pytest.raises(CertificateRefused):
            await call(trusting, there.url)


async def test_an_expired_certificate_is_refused(trusting: Transport, authority: trustme.CA) -> None:
    """The authority is trusted, the time is over."""
    past = [datetime.datetime(year, 1, 1, tzinfo=datetime.UTC) for year in (2019, 2020)]
    expired = authority.issue_cert("127.0.0.1", not_before=past[0], not_after=past[1])
    async with vendor(answers(), serving(expired)) as there:
        with pytest.raises(CertificateRefused, match="expired"):
            await call(trusting, there.url)


async def test_old_encryption_is_refused(trusting: Transport, authority: trustme.CA) -> None:
    """TLS 1.1, which another client agrees to here: whoever lies between must not talk us down to it."""
    theirs = serving(authority.issue_cert("127.0.0.1"))
    agreeing_to(ssl.TLSVersion.TLSv1_1, theirs)
    willing = ssl.create_default_context(cadata=authority.cert_pem.bytes().decode())
    agreeing_to(ssl.TLSVersion.TLSv1_1, willing)

    async with vendor(answers(), theirs) as there:
        with pytest.raises(NotSent, match="handshake"):
            await call(trusting, there.url)
        assert [] == there.arrivals

        _, writer = await asyncio.open_connection("127.0.0.1", there.port, ssl=willing)
        assert "TLSv1.1" == writer.get_extra_info("ssl_object").version()
        writer.close()


async def test_a_handshake_without_end_is_not_sent(transport: Transport) -> None:
    """Somebody takes the connection and says nothing."""
    async with vendor(hangs) as there:
        with pytest.raises(NotSent):
            await call(transport, there.url.replace("http:", "https:"))


async def test_authorities_of_a_file_are_trusted(trusting: Transport, authority: trustme.CA) -> None:
    """All of the file's, not only the first."""
    async with vendor(answers(), serving(authority.issue_cert("127.0.0.1"))) as there:
        assert 200 == (await call(trusting, there.url)).status


async def test_a_client_certificate_is_shown(opened: Open, authority: trustme.CA, tmp_path: Path) -> None:
    """A vendor that asks for one gets ours."""
    ours = authority.issue_cert("crmstream.example.com")
    files = {name: tmp_path / f"{name}.pem" for name in ("ca_file", "cert_file", "key_file")}
    authority.cert_pem.write_to_path(files["ca_file"])
    ours.cert_chain_pems[0].write_to_path(files["cert_file"])
    ours.private_key_pem.write_to_path(files["key_file"])
    asking = serving(authority.issue_cert("127.0.0.1"))
    asking.verify_mode = ssl.CERT_REQUIRED
    authority.configure_trust(asking)

    async with vendor(answers(), asking) as there:
        assert 200 == (await call(opened(timeout=2, **files), there.url)).status
        with pytest.raises((NotSent, Unanswered)):
            await call(opened(timeout=2, ca_file=files["ca_file"]), there.url)


async def test_a_file_without_certificates_is_an_error_of_the_user(opened: Open, tmp_path: Path) -> None:
    """Said at start, not at the first call."""
    (empty := tmp_path / "empty.pem").write_text("hello")

    for file in (empty, tmp_path / "missing.pem"):
        with pytest.raises(UserError, match="ca_file"):
            opened(ca_file=file)


async def test_a_key_that_is_none_is_an_error_of_the_user(opened: Open, tmp_path: Path) -> None:
    """The same for our own certificate."""
    (empty := tmp_path / "empty.pem").write_text("hello")

    with pytest.raises(UserError, match="cert_file"):
        opened(cert_file=empty, key_file=empty)


async def test_a_body_without_end_is_read_to_the_limit(transport: Transport) -> None:
    """The rest is left on the wire, and that connection is not used again."""
    async with vendor(floods) as there:
        bodies = [(await call(transport, there.url)).body for _ in range(2)]

    assert [BODY_LIMIT] * 2 == [*map(len, bodies)]
    assert 2 == there.connections
    assert 2 * 16 * BODY_LIMIT > there.written  # what buffers on the way have taken besides


async def test_a_head_without_end_is_not_read_for_ever(transport: Transport) -> None:
    """Half a megabyte at most: what is no answer yet is no answer."""
    async with vendor(floods_headers) as there:
        with pytest.raises(Unanswered, match=r"head is too large|is not HTTP"):
            await call(transport, there.url)

    assert 16 * BODY_LIMIT > there.written  # what buffers on the way have taken besides


async def test_a_body_is_not_unpacked(transport: Transport) -> None:
    """A few bytes could become more than the memory holds; none is asked for."""
    packed = gzip.compress(b"0" * 10_000_000)
    async with vendor(answers(200, packed, b"Content-Encoding: gzip")) as there:
        response = await call(transport, there.url)

    assert packed == response.body
    assert "gzip" not in there.arrivals[0].headers.get("accept-encoding", "")


async def test_an_answer_may_end_with_its_connection(transport: Transport) -> None:
    """It says no length (RFC 9112, 6.3)."""
    async with vendor(says(b"HTTP/1.1 200 OK\r\n\r\n{}", then=closes)) as there:
        response = await call(transport, there.url)

    assert (200, b"{}") == (response.status, response.body)


async def test_an_answer_to_head_has_no_body(transport: Transport) -> None:
    """Whatever length it names."""
    async with vendor(says(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", then=lambda _: None)) as there:
        responses = [await call(transport, there.url, "HEAD", None, timeout=1) for _ in range(2)]

    assert [(200, b"")] * 2 == [(response.status, response.body) for response in responses]


async def test_interim_answers_are_passed_over(transport: Transport) -> None:
    """What they say is not the answer's."""
    early = b"HTTP/1.1 103 Early Hints\r\nX-Word: early\r\n\r\n"
    async with vendor(says(early + b"HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\n{}", then=closes)) as there:
        response = await call(transport, there.url)

    assert (201, b"{}", None) == (response.status, response.body, response.header("x-word"))


async def test_a_redirect_is_not_followed(transport: Transport) -> None:
    """Credentials go nowhere but where the configuration says."""
    async with vendor(answers()) as elsewhere:
        location = f"Location: {elsewhere.url}/v2".encode()
        async with vendor(answers(307, b"", location)) as there:
            response = await call(transport, there.url)

    assert (307, f"{elsewhere.url}/v2") == (response.status, response.header("location"))
    assert 0 == elsewhere.connections


async def test_cookies_are_not_sent_back(transport: Transport) -> None:
    """Calls do not depend on each other."""
    async with vendor(answers(200, b"{}", b"Set-Cookie: session=1")) as there:
        for _ in range(2):
            await call(transport, there.url)

    assert [False, False] == ["cookie" in arrival.headers for arrival in there.arrivals]


async def test_connections_are_used_again(transport: Transport) -> None:
    """One connection carries calls that follow each other."""
    async with vendor(answers()) as there:
        for _ in range(20):
            await call(transport, there.url)

    assert (20, 1) == (len(there.arrivals), there.connections)


async def test_connections_are_not_kept_where_calls_must_not_be_repeated(opened: Open) -> None:
    """An idle connection that the vendor closed meanwhile would make a call of unknown fate."""
    transport = opened(keep_alive=False)
    async with vendor(answers()) as there:
        for _ in range(20):
            await call(transport, there.url)

    assert (20, 20) == (len(there.arrivals), there.connections)


async def test_calls_do_not_wait_for_each_other(transport: Transport) -> None:
    """The senders are the bound: there is no queue in here from which something is sent later."""
    async with vendor(hangs) as there:
        calls = [call(transport, there.url, timeout=1) for _ in range(150)]
        results = await asyncio.gather(*calls, return_exceptions=True)

    assert {Unanswered} == {type(result) for result in results}
    assert 150 == len(there.arrivals)


async def test_an_unreadable_header_counts_as_absent(transport: Transport) -> None:
    """It is not worth an answer."""
    async with vendor(answers(200, b"{}", b"X-Odd: \xe9\xff", b"X-Even: 2")) as there:
        response = await call(transport, there.url)

    assert (None, "2") == (response.header("x-odd"), response.header("x-even"))


async def test_the_environments_proxy_is_not_used(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """Customer data goes where the configuration says."""
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy", "HTTPS_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")

    async with vendor(answers()) as there:
        assert 200 == (await call(opened(), there.url)).status


async def test_the_configured_proxy_is_used(opened: Open) -> None:
    """With its login."""
    async with vendor(answers(200, b"{}")) as proxy:
        through = proxy.url.replace("//", "//user:word@")
        await call(opened(proxy=through), "http://vendor.example.com/v2/people")

    [arrival] = proxy.arrivals
    assert "http://vendor.example.com/v2/people" == arrival.target
    assert "Basic dXNlcjp3b3Jk" == arrival.headers["proxy-authorization"]


async def test_what_a_proxy_does_not_let_through_is_not_sent(opened: Open) -> None:
    """It refused the tunnel, or is not there."""
    async with vendor(answers(403, b"")) as proxy:
        with pytest.raises(NotSent):
            await call(opened(proxy=proxy.url), "https://vendor.example.com")

    with pytest.raises(NotSent):
        await call(opened(proxy=f"http://127.0.0.1:{free_port()}"), "http://vendor.example.com")


@pytest.mark.parametrize("ending", [resets, closes])
async def test_a_put_on_a_connection_that_is_cut_is_never_resent(
    transport: Transport, ending: Callable[[Any], None]
) -> None:
    """Every other call finds a kept connection that dies under it: some would send a PUT again by themselves."""
    turn = 0

    async def every_other(wire: Any) -> None:
        nonlocal turn
        turn += 1
        await (says(b"", then=ending) if turn % 2 == 0 else answers())(wire)

    fates: Counter[type] = Counter()
    async with vendor(every_other) as there:
        for number in range(400):
            try:
                fates[type(await call(transport, f"{there.url}/{number}"))] += 1
            except Unanswered:
                fates[Unanswered] += 1

    assert 200 == fates[Unanswered]
    assert [f"/{number}" for number in range(400)] == [arrival.target for arrival in there.arrivals]


async def test_a_connection_closed_while_idle_does_not_make_a_call_arrive_twice(transport: Transport) -> None:
    """The vendor closes after each answer without saying so; what was not taken may go over a new connection."""

    async def answer_and_close(wire: Any) -> None:
        await answers()(wire)
        closes(wire)

    answered = 0
    async with vendor(answer_and_close) as there:
        for number in range(200):
            try:
                await call(transport, f"{there.url}/{number}")
                answered += 1
            except Unanswered:
                pass

    times = Counter(arrival.target for arrival in there.arrivals)
    assert {1} == set(times.values())
    assert answered == len(there.arrivals)


async def test_a_cancelled_call_arrives_once_at_most_and_never_late(transport: Transport) -> None:
    """Cancelling may leave a call under way; its timeout still bounds it, and the transport works on."""
    async with vendor(hangs) as there:
        calls = [asyncio.ensure_future(call(transport, f"{there.url}/{n}", timeout=0.5)) for n in range(100)]
        await asyncio.sleep(0.005)
        for one in calls:
            one.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        await asyncio.sleep(0.6)
        by_then = len(there.arrivals)
        await asyncio.sleep(0.3)

        assert {True} == {one.cancelled() for one in calls}
        assert by_then == len(there.arrivals)
        assert 1 >= max(Counter(arrival.target for arrival in there.arrivals).values(), default=0)
        with pytest.raises(Unanswered):
            await call(transport, there.url, timeout=0.1)


async def test_a_cancel_that_meets_the_answer_is_not_lost(transport: Transport) -> None:
    """Whoever is told to end ends: a task that went on would never be told again."""
    moments = Random(1)
    async with vendor(answers()) as there:
        ended = Counter[bool]()
        for _ in range(100):
            calls = [asyncio.ensure_future(call(transport, there.url)) for _ in range(10)]
            for one in calls:
                await asyncio.sleep(moments.uniform(0, 0.001))
                if one.cancel():
                    await asyncio.wait([one])
                    ended[one.cancelled()] += 1
            await asyncio.gather(*calls, return_exceptions=True)

        assert ended[True] > 0
        assert 0 == ended[False]


@pytest.mark.parametrize(
    "behaviour", [hangs, says(b"", then=resets), says(b"garbage\r\n\r\n", then=closes), says(PARTIAL, then=closes)]
)
async def test_a_failure_names_neither_secrets_nor_people(
    transport: Transport, behaviour: Behaviour, caplog: pytest.LogCaptureFixture
) -> None:
    """Not in its text, not in what a traceback or a log shows of it."""
    caplog.set_level(logging.DEBUG)
    async with vendor(behaviour) as there:
        target = f"{there.url}/v2/people?email={PERSON}&key={SECRET}"
        for url in (target, target.replace(str(there.port), str(free_port()))):
            with pytest.raises((NotSent, Unanswered)) as failure:
                await call(transport, url, body=SECRET.encode(), timeout=0.2)

            shown = "".join(traceback.format_exception(failure.value)) + repr(failure.value)
            assert SECRET not in shown
            assert PERSON not in shown
            assert failure.value.__cause__ is failure.value.__context__ is None
    assert SECRET not in caplog.text
    assert PERSON not in caplog.text


async def test_calls_are_not_logged(transport: Transport, caplog: pytest.LogCaptureFixture) -> None:
    """Addresses name people; what is worth logging is logged by those who know the event."""
    caplog.set_level(logging.DEBUG)
    async with vendor(answers()) as there:
        await call(transport, f"{there.url}/v2/people?email={PERSON}")

    assert PERSON not in caplog.text
    assert SECRET not in caplog.text


def test_a_proxy_is_an_address_and_its_login_is_not_shown() -> None:
    """Neither in errors nor where settings are printed."""
    with pytest.raises(ValueError, match="must be an address") as refused:
        HttpSettings(proxy=f"//user:{SECRET}@proxy.example.com")

    assert SECRET not in str(refused.value)
    assert SECRET not in repr(HttpSettings(proxy=f"http://user:{SECRET}@proxy.example.com:3128"))
