"""What Splio's answers mean beyond the cases: bodies that are not Splio's, tokens in any form, how long they last."""

import base64

import orjson
import pytest
from pydantic import SecretStr

from stream.core.outcomes import Blocked, Outcome, Rejected, Retry, Throttled
from stream.destinations.splio_contacts import tokens
from stream.destinations.splio_contacts.verdicts import is_taken, problems, verdict
from stream.http import BODY_LIMIT
from stream.http.responses import Answer, wait_asked
from stream.http.tokens import RenewableToken, StaticToken
from tests.destinations.splio_contacts.universe import answer, error

NOW = 1_780_741_800.0
HOUR = 3600.0


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>Bad gateway</html>",
        b"\xff\xfe",
        b"[1]",
        b"7",
        b'""',
        b'{"errors": 7}',
        b'{"errors": []}',
        b'{"errors": [7, null, []]}',
        b'{"errors": {}}',
        b'{"errors": {"email": null, "id": {"error": 7}}}',
        b'{"errors": [{"error_key": 7, "error": null, "error_description": ["x"]}]}',
        b'{"message": ["x"]}',
    ],
)
@pytest.mark.parametrize("status", [302, 400, 401, 404, 409, 429, 500])
def test_no_body_upsets_the_verdict(status: int, body: bytes) -> None:
    """What stands between us and Splio may answer anything."""
    found = verdict(answer(status, body), NOW)

    assert status == found.status  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "status,outcome",
    [(302, Blocked), (402, Blocked), (407, Blocked), (413, Rejected), (418, Rejected), (423, Retry), (425, Retry)],
)
def test_statuses_outside_the_table_follow_the_common_rules(status: int, outcome: type[Outcome]) -> None:
    """Design 8 and destinations 0.2; a redirect means that the host is wrong."""
    assert isinstance(verdict(answer(status, b""), NOW), outcome)


def test_each_of_the_four_shapes_is_read() -> None:
    """Destinations 2.6: a list, a bare text, a message, an object."""
    told = {"error_key": "email", "error": "wrong_email", "error_description": "Bad"}

    shapes = [{"errors": [told]}, "Expired", {"message": "Too many"}, {"errors": told}, {"errors": {"email": "Bad"}}]

    assert ["email: wrong_email Bad", "Expired", "Too many", "email: wrong_email Bad", "email: Bad"] == [
        str(problems(answer(400, shape))[0]) for shape in shapes
    ]


def test_a_contact_is_taken_only_where_splio_says_so_with_400() -> None:
    """Key `id`, "already exists" (destinations 2.6)."""
    assert is_taken(error("id", "wrong_value", "Contact with unique key x already exists"))
    assert not is_taken(error("id", "wrong_value", "Contact with unique key x already exists", status=500))
    assert not is_taken(error("email", "wrong_email", "The email given should have the right format"))


def test_the_detail_names_the_place_and_hides_the_person() -> None:
    """Splio's words are kept, addresses and numbers are not."""
    found = verdict(error("cellphone", "wrong_value", "No: +33612345678 of jane@example.com"), NOW)

    assert Rejected("400 cellphone: wrong_value No: [digits] of [email]", 400) == found


def test_an_answer_too_long_to_be_read_whole_is_a_delivery() -> None:
    """Repeating would not help."""
    assert "Delivered" == type(verdict(answer(201, b'{"x": "' + b"x" * BODY_LIMIT), NOW)).__name__


@pytest.mark.parametrize(
    "headers,wait",
    [
        ({"rateLimit_reset": "7"}, 7.0),
        ({"rateLimit_reset": "0"}, 0.25),
        ({"rateLimit_reset": "86400"}, 300.0),
        ({"rateLimit_reset": "7", "Retry_After": "3"}, 7.0),
        ({"rateLimit_reset": "soon", "Retry_After": "3"}, 3.0),
        ({}, None),
    ],
)
def test_a_throttle_waits_as_its_headers_say(headers: dict[str, str], wait: float | None) -> None:
    """Destinations 2.8, within the bounds of any wait."""
    response = answer(429, {"message": "API rate limit exceeded"}, **headers)
    found = verdict(response, NOW)

    assert isinstance(found, Throttled)
    assert (wait, wait) == (found.after, wait_asked(response, NOW))


@pytest.mark.parametrize(
    "content,token",
    [
        ({"token": "a.b.c"}, "a.b.c"),
        ("a.b.c", "a.b.c"),
        (b"a.b.c\n", "a.b.c"),
        (b"<html>Sign in.</html>", None),
        ({"token": ""}, None),
        ({"token": 7}, None),
        ({"token": "a\nb"}, None),
        ([], None),
        (b"", None),
    ],
)
def test_a_token_is_found_in_any_of_its_forms(content: object, token: str | None) -> None:
    """Destinations 2.3: an object, a JSON text, bare text with two dots."""
    assert token == tokens.minted(answer(200, content))


def test_a_refusal_holds_no_token() -> None:
    """A wrong key is a 400."""
    assert tokens.minted(answer(400, {"token": "a.b.c"})) is None


@pytest.mark.parametrize(
    "life,used",
    [
        (None, 50 * 60),  # it does not say
        (HOUR, 50 * 60),
        (24 * HOUR, 50 * 60),
        (40 * 60, 35 * 60),  # 5 minutes before its own end
        (120, 60),  # short: not at once, or each call would ask for one
        (-60, 50 * 60),  # ended by our clock, which then is wrong
    ],
)
def test_a_token_is_renewed_ahead_of_its_end(life: float | None, used: float) -> None:
    """At 50 minutes, or 5 before its own end (destinations 2.3)."""
    assert used == tokens.renew_at(jwt(None if life is None else NOW + life), NOW) - NOW


def test_a_given_token_is_used_until_its_own_end() -> None:
    """Then the key mints one; without a key there is nothing to renew it with (design 5)."""
    key, ended, good = SecretStr("k"), SecretStr(jwt(NOW - 10 * 365 * 24 * HOUR)), SecretStr("opaque")

    renewable = tokens.token_of(key, ended)
    assert isinstance(renewable, RenewableToken)
    assert renewable.current() is None
    assert StaticToken("opaque") == tokens.token_of(None, good)
    given = tokens.token_of(key, good)
    assert isinstance(given, RenewableToken)
    assert "opaque" == given.current()


def jwt(expiry: float | None) -> str:
    """A token that says when it ends."""
    claims = {} if expiry is None else {"exp": expiry}
    return f"e30.{base64.urlsafe_b64encode(orjson.dumps(claims)).decode().rstrip('=')}.sig"


def test_no_answer_is_shown_whole() -> None:
    """A body may hold personal data."""
    assert "jane" not in repr(Answer(200, b'{"email": "jane@example.com"}', lambda _: None))
