"""What Attio's answers mean: a row per line of destinations 5.4, then answers that are not Attio's."""

from typing import Any

import orjson
import pytest

from stream.core.outcomes import Blocked, Delivered, Outcome, Rejected, Retry, Throttled
from stream.destinations.attio import verdicts
from stream.destinations.attio.verdicts import verdict
from stream.http import BODY_LIMIT
from stream.http.responses import Answer

NOW = 1_684_852_920.0  # Tue, 23 May 2023 14:42:00 GMT
RECORD = {
    "data": {
        "id": {"workspace_id": "w", "object_id": "o", "record_id": "bf071e1f-6035-429d-b874-d83ea64ea13b"},
        "created_at": "2026-06-06T10:30:00.061281000Z",
        "web_url": "https://app.attio.com/…",
        "values": {},
    }
}


def answer(status: int, content: object, **headers: str) -> Answer:
    """An answer of Attio's."""
    body = content if isinstance(content, bytes) else orjson.dumps(content)
    return Answer(status, body, {name.replace("_", "-"): value for name, value in headers.items()}.get)


def error(status: int, code: str, message: str = "Something was wrong.", **more: Any) -> Answer:
    """Attio's form of an error."""
    return answer(
        status, {"status_code": status, "type": "invalid_request_error", "code": code, "message": message, **more}
    )


def test_a_record_in_the_answer_is_a_delivery() -> None:
    """Created or updated look the same, and are."""
    assert Delivered() == verdict(answer(200, RECORD), NOW)


@pytest.mark.parametrize(
    "body",
    [
        orjson.dumps(RECORD, option=orjson.OPT_INDENT_2),
        orjson.dumps(RECORD, option=orjson.OPT_APPEND_NEWLINE),
        b'{"data":{"values":{},"id":{"record_id":"r","object_id":"o","workspace_id":"w"}}}',
        b'{"data":{"id":{"record_id":"r"}},"more":[]}',
    ],
)
def test_a_record_is_found_however_it_is_written(body: bytes) -> None:
    """JSON in another order or with spaces is the same answer."""
    assert Delivered() == verdict(answer(200, body), NOW)


@pytest.mark.parametrize(
    "status,code,outcome",
    [
        (400, "value_not_found", Blocked),
        (400, "merge_in_progress", Retry),
        (400, "validation_type", Rejected),
        (400, "missing_value", Rejected),
        (400, "immutable_value", Rejected),
        (400, "multiple_match_results", Rejected),
        (409, "multiple_match_results", Rejected),
        (401, "unauthorized", Blocked),
        (403, "unauthorized", Blocked),
        (403, "auth_error", Blocked),
        (404, "not_found", Blocked),
        (404, "merge_in_progress", Retry),
        (409, "concurrent_write_conflict", Retry),
        (409, "uniqueness_conflict", Rejected),
        (413, "content_too_large", Rejected),
        (400, "quota_exceeded", Blocked),
        (403, "billing_error", Blocked),
        (429, "quota_exceeded", Blocked),
        (429, "rate_limit_exceeded", Throttled),
        (408, "", Retry),
        (500, "internal_error", Retry),
        (502, "", Retry),
        (503, "", Retry),
        (504, "", Retry),
    ],
)
def test_each_answer_in_the_table_has_its_outcome(status: int, code: str, outcome: type[Outcome]) -> None:
    """The rows of destinations 5.4."""
    found = verdict(error(status, code), NOW)

    assert isinstance(found, outcome)
    assert status == found.status  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "status,outcome",
    [(302, Blocked), (402, Blocked), (407, Blocked), (418, Rejected), (423, Retry), (425, Retry), (501, Retry)],
)
def test_statuses_outside_the_table_follow_the_common_rules(status: int, outcome: type[Outcome]) -> None:
    """Design 8 and destinations 0.2; a redirect means that the host is wrong."""
    assert isinstance(verdict(answer(status, b""), NOW), outcome)


def test_a_throttle_waits_until_the_date_that_attio_names() -> None:
    """The sample of destinations 5.4, one second before its date by Attio's own clock."""
    throttled = verdict(
        answer(
            429,
            {
                "status_code": 429,
                "type": "rate_limit_error",
                "code": "rate_limit_exceeded",
                "message": "Rate limit exceeded, please try again later",
            },
            retry_after="Tue, 23 May 2023 14:42:01 GMT",
            date="Tue, 23 May 2023 14:42:00 GMT",
        ),
        NOW + 3600,
    )

    assert isinstance(throttled, Throttled)
    assert 1.0 == throttled.after


@pytest.mark.parametrize(
    "response,hint",
    [
        (error(401, "unauthorized"), verdicts.NEW_KEY),
        (error(403, "unauthorized"), verdicts.SCOPES),
        (error(400, "value_not_found"), verdicts.SLUG),
        (error(400, "billing_error"), verdicts.PLAN),
        (error(404, "not_found"), verdicts.HOST),
        (answer(301, b""), verdicts.HOST),
    ],
)
def test_what_is_blocked_says_what_to_do(response: Answer, hint: str) -> None:
    """Somebody has to act, so the outcome tells them how."""
    blocked = verdict(response, NOW)

    assert isinstance(blocked, Blocked)
    assert hint == blocked.hint


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>Sign in to the guest network</html>",
        b"[]",
        b"null",
        b'{"data": []}',
        b'{"data": {"id": "x"}}',
        orjson.dumps(RECORD)[:-1],
        orjson.dumps(RECORD).replace(b"bf071e1f-6035-429d-b874-d83ea64ea13b", b""),
        orjson.dumps({"echo": orjson.dumps(RECORD).decode(), "x": {}}),
    ],
)
def test_a_success_without_a_record_is_no_delivery(body: bytes) -> None:
    """A captive proxy answers 200 as well, and Attio got nothing."""
    assert Retry("200 without a record", 200) == verdict(answer(200, body), NOW)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>Bad gateway</html>",
        b"\xff\xfe",
        b"[1]",
        b'"text"',
        b"7",
        b'{"code": 7, "message": ["x"], "validation_errors": "x"}',
        b'{"message": "x", "validation_errors": [1, {"path": 2}, {"path": [null], "message": {}}]}',
    ],
)
@pytest.mark.parametrize("status", [302, 400, 401, 404, 409, 429, 500])
def test_no_body_upsets_the_verdict(status: int, body: bytes) -> None:
    """What stands between us and Attio may answer anything."""
    found = verdict(answer(status, body), NOW)

    assert status == found.status  # type: ignore[union-attr]


def test_the_detail_names_the_place_and_hides_the_person() -> None:
    """Attio's words are kept, addresses and numbers are not."""
    found = verdict(
        error(
            400,
            "validation_type",
            'An invalid value was passed to attribute with slug "phone_numbers".',
            validation_errors=[
                {"path": ["original_phone_number"], "message": "Invalid: +15558675309 of ada@example.com"}
            ],
        ),
        NOW,
    )

    assert isinstance(found, Rejected)
    assert (
        '400 validation_type An invalid value was passed to attribute with slug "phone_numbers". '
        "(original_phone_number: Invalid: [digits] of [email])"
    ) == found.detail


def test_a_body_that_is_not_attios_is_not_repeated() -> None:
    """A proxy may echo the request, in a form that masking does not know."""
    found = verdict(answer(403, b"<html>Blocked: Ada Lovelace</html>"), NOW)

    assert isinstance(found, Blocked)
    assert "403 without Attio's explanation" == found.detail


def test_an_answer_too_long_to_be_read_whole_is_a_delivery() -> None:
    """Attio answers with the whole person, and a text may have 10 MB (destinations 5.2); repeating would not help."""
    assert Delivered() == verdict(answer(200, b'{"data": {"values": {"name": "' + b"x" * BODY_LIMIT), NOW)
