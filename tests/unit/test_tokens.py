"""When a token is minted, for whom, and how often."""

import asyncio
import base64

import pytest

from stream.http import Request, Response
from stream.http.tokens import Minted, RenewableToken, Send, jwt_expiry


class Mint:
    """A vendor's counter for tokens: first, second, …; each takes a turn of the loop."""

    def __init__(self, lasting: float = float("inf")) -> None:
        self.asked, self.lasting = 0, lasting
        self.failures: list[Exception] = []

    async def __call__(self, _: Send) -> Minted:
        self.asked += 1
        number = self.asked
        await asyncio.sleep(0.01)
        if self.failures:
            raise self.failures.pop(0)
        return Minted(f"token-{number}", self.lasting)


async def nowhere(_: Request) -> Response:
    raise AssertionError("these mints ask nobody")


async def test_a_token_is_renewed_ahead_of_its_end() -> None:
    """From `renew_at` on it is not current."""
    now = 1000.0
    token = RenewableToken(Mint(lasting=1500.0), clock=lambda: now)
    assert "token-1" == await token.renew(None, nowhere)

    now = 1499.0
    assert "token-1" == token.current()
    now = 1500.0
    assert token.current() is None


async def test_a_given_token_is_used_before_one_is_minted() -> None:
    """Splio users may have both a token and a key."""
    token = RenewableToken(mint := Mint(), initial=Minted("given"))

    assert ("given", 0) == (token.current(), mint.asked)


async def test_all_who_wait_share_one_renewal() -> None:
    """However many saw the refusal."""
    token = RenewableToken(mint := Mint(), initial=Minted("given"))

    assert {"token-1"} == set(await asyncio.gather(*(token.renew("given", nowhere) for _ in range(50))))
    assert 1 == mint.asked


async def test_a_refusal_of_an_older_token_asks_for_nothing() -> None:
    """Its call started before the renewal and came back after it."""
    token = RenewableToken(mint := Mint(), initial=Minted("given"))
    await token.renew("given", nowhere)

    assert "token-1" == await token.renew("given", nowhere)
    assert 1 == mint.asked


async def test_all_who_wait_share_one_failure() -> None:
    """A vendor that is down is not asked once for each call."""
    token = RenewableToken(mint := Mint())
    mint.failures = [ValueError("down")]

    failures = await asyncio.gather(*(token.renew(None, nowhere) for _ in range(50)), return_exceptions=True)

    assert (50, 1) == (sum(isinstance(failure, ValueError) for failure in failures), mint.asked)
    assert "token-2" == await token.renew(None, nowhere)


@pytest.mark.parametrize("failed_before", [False, True])
async def test_a_cancelled_renewal_is_taken_over_by_the_next_who_waits(failed_before: bool) -> None:
    """The deadline of one call is not that of another."""
    token = RenewableToken(mint := Mint())
    if failed_before:
        mint.failures = [ValueError("down")]
        with pytest.raises(ValueError, match="down"):
            await token.renew(None, nowhere)
    first, *others = [asyncio.ensure_future(token.renew(None, nowhere)) for _ in range(5)]
    await asyncio.sleep(0)

    first.cancel()

    assert 1 == len(set(await asyncio.gather(*others)))
    assert 2 + failed_before == mint.asked


def jwt(claims: bytes) -> str:
    return ".".join(["e30", base64.urlsafe_b64encode(claims).decode().rstrip("="), "c2lnbmF0dXJl"])


@pytest.mark.parametrize(
    "value, expiry",
    [
        (jwt(b'{"exp": 1700000000}'), 1700000000.0),
        (jwt(b'{"exp": 1700000000.5, "universe": "example"}'), 1700000000.5),
        (jwt(b'{"exp": "soon"}'), None),
        (jwt(b'{"exp": true}'), None),
        (jwt(b"{}"), None),
        (jwt(b"[]"), None),
        (jwt(b"not json"), None),
        ("a.b.c", None),
        ("a.é.c", None),
        ("sk-example", None),
        ("", None),
    ],
)
def test_a_json_web_token_may_say_when_it_ends(value: str, expiry: float | None) -> None:
    """`exp` is a number of seconds since the epoch (RFC 7519, 4.1.4); whatever else is given, nothing is raised."""
    assert expiry == jwt_expiry(value)
