"""What the client adds to a transport: addresses, tokens, rate limit, deadline, and one observation a request."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from stream.core.limits import RateLimit
from stream.errors import UserError
from stream.http import CertificateRefused, NotSent, Request, Response, Unanswered
from stream.http.client import Address, Client
from stream.http.responses import Answer
from stream.http.tokens import Minted, RenewableToken, Send, StaticToken, Token, TokenRefused

ASSERT = Request("PUT", "/v2/people", b"{}")
MINT = Request("POST", "/authenticate", b'{"api_key": "example"}')


@dataclass(frozen=True, slots=True)
class Sent:
    """One call as the transport got it."""

    method: str
    url: str
    headers: dict[str, str]
    body: bytes | None
    timeout: float
    at: float

    @property
    def token(self) -> str | None:
        return self.headers.get("Authorization", "").removeprefix("Bearer ") or None


@dataclass
class Wire:
    """A transport that answers by a function, after a turn of the loop, as a network would."""

    answer: Callable[[Sent], int | Exception] = lambda _: 200
    sent: list[Sent] = field(default_factory=list)
    body: bytes = b""

    async def send(
        self, method: str, url: str, *, headers: list[tuple[str, str]], body: bytes | None, timeout: float
    ) -> Response:
        assert len(dict(headers)) == len(headers)
        call = Sent(method, url, dict(headers), body, timeout, time.monotonic())
        self.sent.append(call)
        await asyncio.sleep(0.01)
        answer = self.answer(call)
        if isinstance(answer, Exception):
            raise answer
        return Answer(answer, self.body, lambda _: None)

    async def close(self) -> None: ...


class Turns:
    """A limiter with a fixed wait that counts."""

    def __init__(self, wait: float = 0.0) -> None:
        self.wait, self.taken = wait, 0

    def reserve(self, _: float, /) -> float:
        self.taken += 1
        return self.wait

    def cancel(self) -> None:
        self.taken -= 1


def client(wire: Wire, token: Token | None = None, **given: Any) -> Client:
    given = {"limiter": RateLimit(None), "timeout": 10.0, "observe": lambda _status, _seconds: None, **given}
    return Client(wire, "https://api.example.com/", token, **given)


def minting(*values: str, renew_at: float = float("inf")) -> RenewableToken:
    """A token that takes these values, one after the other."""
    left = iter(values)

    async def mint(send: Send) -> Minted:
        response = await send(MINT)
        if response.status != 200:
            raise TokenRefused(response)
        return Minted(next(left), renew_at)

    return RenewableToken(mint)


def accepting(*tokens: str, refusal: int = 401) -> Callable[[Sent], int]:
    """A vendor to whom only these tokens are good."""
    return lambda sent: 200 if sent.token in (*tokens, None) else refusal


async def test_a_request_goes_out_with_what_belongs_to_it() -> None:
    """Address, token, type of the body and the request's own headers."""
    wire = Wire()

    await client(wire, StaticToken("example")).send(Request("PUT", "/v2/people", b"{}", headers=(("X-Mode", "1"),)))

    [sent] = wire.sent
    assert ("PUT", "https://api.example.com/v2/people", b"{}") == (sent.method, sent.url, sent.body)
    assert {"X-Mode": "1", "Content-Type": "application/json", "Authorization": "Bearer example"} == sent.headers


async def test_without_a_body_or_a_token_there_are_no_headers_for_them() -> None:
    """A form's fields may hold the key, as Splio's text messages do."""
    wire = Wire()

    await client(wire).send(Request("GET", "/v2/self"))

    assert {} == wire.sent[0].headers


async def test_a_vendor_may_want_another_authorization() -> None:
    """Customer.io's Track API takes Basic."""
    wire = Wire()

    await client(wire, StaticToken("c2l0ZTprZXk="), authorize="Basic {}".format).send(ASSERT)

    assert "Basic c2l0ZTprZXk=" == wire.sent[0].headers["Authorization"]


async def test_an_answer_that_repeats_a_secret_does_not_show_it() -> None:
    """An error may quote the request; its text goes to logs and dead letters."""
    wire = Wire(lambda _: 400, body=b'{"message": "invalid key open-sesame"}')

    response = await client(wire, secrets=["open-sesame"]).send(ASSERT)

    assert {"message": "invalid key ***"} == response.json()


@pytest.mark.parametrize(
    "spelling", [rb"open/sesame+1=", rb"open\/sesame+1=", b"open%2Fsesame%2B1%3D", b"open/sesame%2B1%3D"]
)
async def test_a_secret_is_hidden_however_an_answer_spells_it(spelling: bytes) -> None:
    """PHP escapes slashes in JSON; a form or an address is percent-encoded."""
    wire = Wire(lambda _: 400, body=b'{"message": "invalid key ' + spelling + b'"}')

    response = await client(wire, secrets=["open/sesame+1="]).send(ASSERT)

    assert {"message": "invalid key ***"} == response.json()


@pytest.mark.parametrize(
    "base_url, path, url",
    [
        ("https://api.attio.com", "/v2/self", "https://api.attio.com/v2/self"),
        ("https://api.attio.com/", "/v2/self", "https://api.attio.com/v2/self"),
        ("https://api.attio.com/v2/", "/v2/self", "https://api.attio.com/v2/self"),
        ("https://api.attio.com/v2", "/v2", "https://api.attio.com/v2"),
        ("https://api.attio.com/v2", "/v2?limit=1", "https://api.attio.com/v2?limit=1"),
        ("https://api.attio.com/v2", "/v20/self", "https://api.attio.com/v2/v20/self"),
        ("https://gate.example.com/attio/v2", "/v2/self", "https://gate.example.com/attio/v2/self"),
        ("https://gate.example.com/attio", "/v2/self", "https://gate.example.com/attio/v2/self"),
        ("https://s3s.fr/api/forward.php", "/api/forward.php", "https://s3s.fr/api/forward.php"),
        ("https://track.customer.io/api/v1", "/api/v1/customers/7", "https://track.customer.io/api/v1/customers/7"),
        ("http://127.0.0.1:8080", "/v2/self", "http://127.0.0.1:8080/v2/self"),
        ("https://api.attio.com", "//elsewhere.example.com/v2", "https://api.attio.com//elsewhere.example.com/v2"),
    ],
)
def test_an_address_tolerates_the_vendors_own_path(base_url: str, path: str, url: str) -> None:
    """What base_url and path both name counts once; a slash at the end does not matter."""
    assert url == Address(base_url).of(path)


async def test_a_whole_url_goes_to_where_the_configuration_says() -> None:
    """Such as the other one of Customer.io's two APIs."""
    wire = Wire()

    await client(wire, addresses=["https://track.example.com/"]).send(
        Request("GET", "https://track.example.com/api/v1")
    )

    assert ["https://track.example.com/api/v1"] == [sent.url for sent in wire.sent]


@pytest.mark.parametrize(
    "url",
    [
        "https://elsewhere.example.com/v2",
        "http://track.example.com/v2",
        "https://track.example.com.elsewhere.example.com/v2",
        "https://track.example.com:8443/v2",
        "https://track.example.com@elsewhere.example.com/v2",
        "https://elsewhere.example.com\\@track.example.com/v2",
        "https:/\\elsewhere.example.com/v2",
        "\\\\elsewhere.example.com/v2",
        "@elsewhere.example.com/v2",
        ".elsewhere.example.com/v2",
        "",
    ],
)
async def test_nothing_is_sent_to_another_host(url: str) -> None:
    """Whatever an answer names: no turn is used up, and the error repeats nothing of it."""
    wire, turns = Wire(), Turns()

    with pytest.raises(NotSent, match="another host") as refused:
        await client(wire, addresses=["https://track.example.com"], limiter=turns).send(Request("GET", url))

    assert "elsewhere" not in str(refused.value)
    assert ([], 0) == (wire.sent, turns.taken)


async def test_requests_wait_for_the_rate_limit() -> None:
    """Seen from the vendor's side."""
    wire = Wire()
    there = client(wire, limiter=RateLimit(100, time.monotonic()))

    await asyncio.gather(*(there.send(ASSERT) for _ in range(20)))

    assert 0.13 < wire.sent[-1].at - wire.sent[0].at < 0.5


async def test_a_request_waits_for_the_limit_that_it_names() -> None:
    """A vendor may count its calls by kind; one that names none counts against the first."""
    wire, first, other = Wire(), Turns(wait=0.0), Turns(wait=0.0)
    there = client(wire, limiter=first, others={"contacts": first, "other": other})

    await there.send(replace(ASSERT, limit="other"))
    await there.send(replace(ASSERT, limit="contacts"))
    await there.send(ASSERT)

    assert (2, 1) == (first.taken, other.taken)


async def test_a_wait_that_does_not_fit_the_deadline_is_not_sent_and_given_back() -> None:
    """The call could not be over in time; the next may take its turn."""
    wire, turns = Wire(), Turns(wait=5.0)

    with pytest.raises(NotSent, match="no time left before the deadline"):
        await client(wire, limiter=turns).send(ASSERT, deadline=time.monotonic() + 4)

    assert ([], 0) == (wire.sent, turns.taken)


async def test_a_call_cancelled_while_it_waits_gives_its_turn_back() -> None:
    """It has not been sent and will not be."""
    wire, turns = Wire(), Turns(wait=60.0)
    waiting = asyncio.ensure_future(client(wire, limiter=turns).send(ASSERT))
    await asyncio.sleep(0.01)

    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)

    assert ([], 0) == (wire.sent, turns.taken)


@pytest.mark.parametrize("deadline, timeout", [(float("inf"), 10.0), (103.0, 3.0), (111.0, 10.0)])
async def test_a_call_gets_what_is_left_before_the_deadline(deadline: float, timeout: float) -> None:
    """The timeout, or less."""
    wire = Wire()

    await client(wire, clock=lambda: 100.0).send(ASSERT, deadline)

    assert timeout == wire.sent[0].timeout


@pytest.mark.parametrize("deadline", [100.0, 99.0])
async def test_after_the_deadline_nothing_is_sent(deadline: float) -> None:
    """Nor is a turn used up."""
    wire, turns = Wire(), Turns()

    with pytest.raises(NotSent, match="no time left before the deadline"):
        await client(wire, limiter=turns, clock=lambda: 100.0).send(ASSERT, deadline)

    assert ([], 0) == (wire.sent, turns.taken)


async def test_a_token_is_minted_when_first_needed_and_kept() -> None:
    """One request for it, whoever asks."""
    wire = Wire(accepting("first"))
    there = client(wire, minting("first"))

    await asyncio.gather(*(there.send(ASSERT) for _ in range(32)))
    await there.send(ASSERT)

    assert ["/authenticate"] + ["/v2/people"] * 33 == [
        sent.url.removeprefix("https://api.example.com") for sent in wire.sent
    ]


async def test_a_refused_token_is_renewed_once_for_all_who_wait_and_each_call_resent_once() -> None:
    """32 refusals, one renewal, 32 resends with the new value and the same body."""
    wire = Wire(accepting("second"))
    there = client(wire, minting("first", "second"))

    responses = await asyncio.gather(*(there.send(ASSERT) for _ in range(32)))

    assert {200} == {response.status for response in responses}
    assert [None] + ["first"] * 32 + [None] + ["second"] * 32 == [sent.token for sent in wire.sent]
    assert {ASSERT.body, MINT.body} == {sent.body for sent in wire.sent}


async def test_a_call_refused_again_returns_the_refusal() -> None:
    """The destination judges it; nothing is sent a third time."""
    wire = Wire(accepting("none of them"))

    response = await client(wire, minting("first", "second")).send(ASSERT)

    assert 401 == response.status
    assert [None, "first", None, "second"] == [sent.token for sent in wire.sent]


async def test_a_token_that_cannot_be_renewed_is_not_sent_again() -> None:
    """The refusal comes back as it is."""
    wire = Wire(accepting("another"))

    response = await client(wire, StaticToken("example")).send(ASSERT)

    assert (401, 1) == (response.status, len(wire.sent))


async def test_a_vendor_may_refuse_tokens_with_another_status() -> None:
    """Splio groups 403 with 401; elsewhere 403 says that a scope is missing."""
    for refusals, calls in ((frozenset({401, 403}), 4), (frozenset({401}), 2)):
        wire = Wire(accepting("second", refusal=403))
        await client(wire, minting("first", "second"), refusals=refusals).send(ASSERT)

        assert calls == len(wire.sent)


async def test_renewals_and_resends_take_turns_too() -> None:
    """The vendor's limit counts every request."""
    wire, turns = Wire(accepting("second")), Turns()

    await client(wire, minting("first", "second"), limiter=turns).send(ASSERT)

    assert 4 == len(wire.sent) == turns.taken


async def test_a_refused_mint_is_shared_and_leaves_all_calls_unsent() -> None:
    """A wrong key is no verdict on an event: the answer comes as TokenRefused, for the destination to judge."""
    wire = Wire(lambda _: 400)
    there = client(wire, minting())

    failures = await asyncio.gather(*(there.send(ASSERT) for _ in range(32)), return_exceptions=True)

    assert [400] * 32 == [failure.response.status for failure in failures if isinstance(failure, TokenRefused)]
    assert [MINT.body] == [sent.body for sent in wire.sent]


async def test_after_a_refused_mint_the_next_call_tries_again() -> None:
    """The vendor may have been put right meanwhile."""
    wire = Wire(lambda _: 503)
    there = client(wire, minting("first"))
    with pytest.raises(TokenRefused):
        await there.send(ASSERT)

    wire.answer = accepting("first")

    assert 200 == (await there.send(ASSERT)).status


async def test_an_unanswered_mint_means_that_the_call_was_not_sent() -> None:
    """What may have reached the vendor is the request for a token, which does no harm."""
    wire = Wire(lambda sent: 200 if sent.token else Unanswered("operation timed out"))

    with pytest.raises(NotSent, match="request for a token"):
        await client(wire, minting("first")).send(ASSERT)


async def test_waiting_for_a_token_ends_at_the_deadline() -> None:
    """Whoever asks the vendor for it may have more time."""
    wire = Wire()
    never: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def mint(_: Send) -> Minted:
        await never
        return Minted("never")

    there = client(wire, RenewableToken(mint))
    patient = asyncio.ensure_future(there.send(ASSERT))
    await asyncio.sleep(0)

    with pytest.raises(NotSent, match="no time left before the deadline"):
        await there.send(ASSERT, deadline=time.monotonic() + 0.05)

    assert not patient.done()
    patient.cancel()
    await asyncio.gather(patient, return_exceptions=True)


async def test_each_request_is_observed_once() -> None:
    """Renewals and resends too, by status or by what was raised."""
    seen: list[str] = []
    raised = [NotSent("refused"), Unanswered("reset"), CertificateRefused("expired")]
    wire = Wire(lambda sent: (401 if sent.token == "first" else 200) if not raised else raised.pop(0))
    there = client(wire, minting("first", "second"), observe=lambda status, _: seen.append(status))

    for _ in range(3):
        with pytest.raises((NotSent, CertificateRefused)):
            await there.send(ASSERT)
    await there.send(ASSERT)

    assert ["not_sent", "unanswered", "certificate", "200", "401", "200", "200"] == seen


async def test_the_seconds_observed_do_not_count_the_wait_for_a_turn() -> None:
    """They tell how the vendor does."""
    seen: list[float] = []

    there = client(Wire(), limiter=Turns(wait=0.2), observe=lambda _, seconds: seen.append(seconds))
    await there.send(ASSERT)

    assert 0.005 < seen[0] < 0.15


async def test_a_token_that_no_header_can_hold_is_not_repeated() -> None:
    """A key pasted with its line break is the user's error; libraries would print it."""
    with pytest.raises(UserError) as refused:
        await client(Wire(), StaticToken("sk-example\n")).send(ASSERT)

    assert "sk-example" not in str(refused.value)


def test_tokens_are_not_shown() -> None:
    """Neither by themselves nor by what holds them."""
    for holder in (StaticToken("sk-example"), Minted("sk-example"), minting("sk-example")):
        assert "sk-example" not in repr(holder)
    assert "sk-example" not in repr(client(Wire(), StaticToken("sk-example")))
