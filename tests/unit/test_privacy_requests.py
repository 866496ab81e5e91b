"""Requests for access and deletion as they come out of their topic, and the names of erased persons."""

import hashlib
import hmac

import orjson
import pytest

from schemas.erasures import Erasure, person
from schemas.privacy import PrivacyRequest
from stream.core.offsets import OffsetTracker
from stream.core.outcomes import Filtered, Rejected
from stream.core.records import Message
from stream.topics.privacy import Requests, decode
from tests.unit.partition import LogRecord

REQUEST = {
    "request_id": "r-1",
    "kind": "access",
    "identity": {"email": " Jane@Example.com "},
    "requested_at": "2026-06-06T10:30:00Z",
}
TRACKER = OffsetTracker("requests", 0, 0)


def made(value: bytes | None, **headers: bytes) -> object:
    """What becomes of a record."""
    requests = Requests("cio", key=lambda fields: str(fields["email"]).lower(), encode=orjson.dumps)
    return requests(LogRecord(value=value, headers=tuple(headers.items())), TRACKER)


def test_a_request_becomes_a_message() -> None:
    """The fields of a privacy destination; the address without what a form may leave around it."""
    message = made(orjson.dumps(REQUEST | {"note": "other keys are tolerated"}))

    assert isinstance(message, Message)
    assert {"request_id": "r-1", "kind": "access", "email": "Jane@Example.com"} == message.fields
    assert ("jane@example.com", "r-1") == (message.key, message.message_id)
    assert 1_780_741_800 == message.event_time


@pytest.mark.parametrize(
    "changes, wrong",
    [
        ({"request_id": ""}, "request_id"),
        ({"request_id": 7}, "request_id"),
        ({"kind": "forget"}, "kind"),
        ({"identity": {}}, "identity.email"),
        ({"identity": {"email": "jane"}}, "identity.email"),
        ({"identity": {"email": ["jane@example.com"]}}, "identity.email"),
        ({"identity": None, "kind": None}, "identity, kind"),
        ({"requested_at": "yesterday"}, "requested_at"),
        ({"requested_at": "2026-06-06T10:30:00"}, "requested_at"),
    ],
)
def test_what_is_no_request_goes_to_the_dead_letters(changes: dict[str, object], wrong: str) -> None:
    """The detail names the parts and shows nothing of them."""
    assert Rejected(f"not a privacy request: {wrong}", reason="undecodable") == decode(orjson.dumps(REQUEST | changes))


@pytest.mark.parametrize("value", [b"", b"{", b"\xff", b'{"request_id": '])
def test_what_is_no_json_goes_to_the_dead_letters(value: bytes) -> None:
    """Whatever it is."""
    assert Rejected("not a privacy request: JSON", reason="undecodable") == decode(value)


def test_a_tombstone_is_no_request() -> None:
    """Compacted topics have them."""
    assert Filtered("tombstone") == made(None)


@pytest.mark.parametrize("addressee, taken", [(b"cio", True), (b"other", False)])
def test_a_replay_is_for_one_destination(addressee: bytes, taken: bool) -> None:
    """Others have answered already."""
    became = made(orjson.dumps(REQUEST), **{"crmstream.destination": addressee})

    assert taken == isinstance(became, Message)
    assert taken or became == Filtered("other_replay")


def test_a_request_survives_the_topic() -> None:
    """As `crmstream privacy` writes it."""
    request = PrivacyRequest.model_validate(REQUEST)

    assert request == decode(request.model_dump_json().encode())


def test_a_person_is_named_by_a_keyed_hash_of_one_spelling() -> None:
    """HMAC-SHA256 in hexadecimal; without the key nobody can tell who it is."""
    wanted = hmac.new(b"secret", b"jane@example.com", hashlib.sha256).hexdigest()

    assert wanted == person(b"secret", "jane@example.com") == person(b"secret", " Jane@EXAMPLE.com\n")
    assert wanted != person(b"other", "jane@example.com")


def test_an_erasure_stands_until_it_is_lifted() -> None:
    """Its two times, the second null at first."""
    erasure = Erasure.model_validate_json(b'{"erased_at": "2026-06-06T10:30:00Z"}')

    assert b'{"erased_at":"2026-06-06T10:30:00Z","lifted_at":null}' == erasure.model_dump_json().encode()
