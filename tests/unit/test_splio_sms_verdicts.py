"""What Splio's answers to a text mean: seed 001's samples, a row per line of destinations 3.3, then what is neither."""

from typing import Any

import orjson
import pytest

from stream.core.outcomes import Blocked, Delivered, Outcome, Rejected, Throttled, Unknown
from stream.destinations.splio_sms import verdicts
from stream.destinations.splio_sms.verdicts import Reply, read
from stream.http.responses import Answer

NOW = 1_780_000_000.0
TAKEN = (  # seed 001, Examples of response, word for word
    b'{"status":"ok","result":{"done":1,"inserted":"1","campaign_id":"6tJglf8zd","todo":1},"message"\n:"ok","code":200}'
)
REFUSED = b'{"status":"error","message":"invalid key for this universe","code":400}'  # likewise


def answer(status: int, content: object) -> Answer:
    """An answer of Splio's, or of something in between."""
    body = content if isinstance(content, bytes) else orjson.dumps(content)
    return Answer(status, body, lambda _: None)


def verdict(status: int, content: object, numbers: int = 1) -> Outcome:
    """What became of a text to so many numbers."""
    response = answer(status, content)
    return verdicts.verdict(response, read(response), numbers=numbers, now=NOW)


def taken(**result: Any) -> dict[str, Any]:
    """Splio's ok."""
    counts = {"todo": 1, "done": 1, "inserted": "1", "campaign_id": "6tJglf8zd"}
    return {"status": "ok", "message": "ok", "code": 200, "result": counts | result}


def error(message: str, code: int = 400) -> dict[str, Any]:
    """Splio's error, as its sample has it."""
    return {"status": "error", "message": message, "code": code}


def prose(code: int, name: str, description: str) -> dict[str, Any]:
    """Splio's answer, as its prose has it (seed 001, Error Codes & Responses)."""
    return {"code": code, "name": name, "description": description}


def test_the_seeds_sample_of_a_taken_text_is_a_delivery() -> None:
    """With the counts, of which one is text, and the campaign."""
    outcome = verdict(200, TAKEN)
    assert Delivered() == outcome
    assert isinstance(outcome, Delivered)
    assert {"campaign_id": "6tJglf8zd", "todo": 1, "done": 1, "inserted": 1} == dict(outcome.facts)
    assert Reply("ok", 200, "200 ok", True, "", 1, 1, 1, "6tJglf8zd") == read(answer(200, TAKEN))


def test_the_seeds_sample_of_a_text_to_two_is_a_delivery() -> None:
    """Seed 001, Examples: the last response."""
    assert Delivered() == verdict(200, taken(todo=2, done=2, inserted="2"), numbers=2)


@pytest.mark.parametrize("status", [200, 400])
def test_the_seeds_sample_of_a_wrong_key_blocks(status: int) -> None:
    """Whatever the status line says (destinations 3.3)."""
    assert Blocked("400 invalid key for this universe", 400, verdicts.NEW_KEY) == verdict(status, REFUSED)


@pytest.mark.parametrize(
    "result, numbers, outcome",
    [
        ({"done": 0, "inserted": "0"}, 1, Rejected("200 invalid number", 200)),
        ({"todo": 3, "done": 2, "inserted": "2"}, 3, Delivered(("sms_invalid_numbers",))),
        ({"todo": 3, "done": 0, "inserted": "0"}, 3, Rejected("200 none of 3 numbers is valid", 200)),
        ({"todo": 2, "done": 2, "inserted": "1"}, 2, Delivered(("sms_inserted_fewer",))),
        ({"inserted": "0"}, 1, Delivered(("sms_inserted_fewer",))),
        ({"todo": 3, "done": 2, "inserted": "1"}, 3, Delivered(("sms_invalid_numbers", "sms_inserted_fewer"))),
        ({"todo": 1, "done": 1, "inserted": "1"}, 2, Delivered(("sms_invalid_numbers",))),
        ({"todo": None, "done": None, "inserted": None}, 1, Delivered()),
    ],
)
def test_the_counts_tell_what_became_of_the_numbers(result: dict[str, Any], numbers: int, outcome: Outcome) -> None:
    """Destinations 3.3, the rows of 200 ok."""
    assert outcome == verdict(200, taken(**result), numbers)


@pytest.mark.parametrize("content", [{"status": "ok", "code": 200}, {"status": "ok", "result": []}])
def test_an_ok_without_counts_is_a_delivery(content: dict[str, Any]) -> None:
    """Splio took it: a second text would be the worse mistake."""
    assert Delivered() == verdict(200, content)


@pytest.mark.parametrize(
    "status, content",
    [
        (200, {"status": "blocked", "message": "insufficient credit", "code": 200}),
        (200, prose(200, "blocked", "insufficient credit")),
        (400, {"status": "Blocked", "code": 400}),
    ],
)
def test_blocked_means_that_there_is_no_credit(status: int, content: dict[str, Any]) -> None:
    """Seed 001, Response list; the word decides before the codes."""
    outcome = verdict(status, content)

    assert isinstance(outcome, Blocked)
    assert verdicts.CREDIT == outcome.hint


@pytest.mark.parametrize(
    "message, outcome, hint",
    [
        ("invalid key for this universe", Blocked, verdicts.NEW_KEY),
        ("invalid universe", Blocked, verdicts.NEW_KEY),
        ("invalid message id", Blocked, verdicts.DESIGN),
        ("message 6tJglf8zd not found", Blocked, verdicts.DESIGN),
        ("insufficient credit", Blocked, verdicts.CREDIT),
        ("incorrect/missing parameters", Rejected, ""),
        ("invalid JSON", Rejected, ""),
    ],
)
@pytest.mark.parametrize("status", [200, 400])
def test_each_400_of_the_table_has_its_outcome(status: int, message: str, outcome: type[Outcome], hint: str) -> None:
    """Destinations 3.3, in both shapes and with either status line."""
    for content in (error(message), prose(400, "Bad Request", message)):
        found = verdict(status, content)

        assert isinstance(found, outcome)
        assert hint == getattr(found, "hint", "")
        assert f"400 {message}" == getattr(found, "detail", "")


@pytest.mark.parametrize(
    "status, outcome",
    [
        (500, Unknown),
        (502, Unknown),
        (503, Unknown),
        (504, Unknown),
        (408, Unknown),
        (425, Unknown),
        (429, Throttled),
        (401, Blocked),
        (402, Blocked),
        (403, Blocked),
        (404, Blocked),
        (405, Blocked),
        (407, Blocked),
        (302, Blocked),
        (422, Rejected),
    ],
)
def test_other_codes_have_their_outcome(status: int, outcome: type[Outcome]) -> None:
    """Destinations 3.3 and 0.2: what may have happened is never tried again."""
    assert isinstance(verdict(status, error("Something is broken", status)), outcome)


def test_the_word_counts_before_the_code_and_the_code_before_the_status_line() -> None:
    """Destinations 3.3."""
    assert Delivered() == verdict(500, taken())
    assert Delivered() == verdict(200, taken() | {"code": 400})
    assert isinstance(verdict(200, error("Something is broken", 500)), Unknown)
    assert isinstance(verdict(500, prose(400, "Bad Request", "invalid universe")), Blocked)
    assert Delivered() == verdict(200, prose(200, "OK", "message queued"))
    assert isinstance(verdict(200, error("no", 200)), Rejected)
    assert isinstance(verdict(400, {"status": "error", "code": "400", "message": "invalid universe"}), Blocked)


@pytest.mark.parametrize(
    "status, outcome",
    [(200, Unknown), (204, Unknown), (301, Blocked), (400, Blocked), (403, Blocked), (404, Blocked), (502, Unknown)],
)
@pytest.mark.parametrize("content", [b"<html>Sign in, jane@example.com</html>", b"", b"[]", b"{}", b"null"])
def test_an_answer_that_is_not_splios_delivers_nothing(content: bytes, status: int, outcome: type[Outcome]) -> None:
    """A page with status 200 may stand before the real thing or instead of it: the fate is unknown."""
    found = verdict(status, content)

    assert isinstance(found, outcome)
    assert f"{status} without Splio's explanation" == getattr(found, "detail", "")


@pytest.mark.parametrize(
    "message",
    [
        "bad number +33 6 12 34 56 78",
        'invalid JSON in rcpts: [{"firstname": "Jane", "cellphone": "+33612345678"}]',
        '{"firstname": "Jane"} is no recipient',
        "missing in universe=acme&key=hushhush&rcpts=%5B%7B%22firstname%22%3A%22Jane%22",
        "cannot read %5B%7B%22firstname%22%3A%22Jane",
    ],
)
def test_what_splio_repeats_of_a_request_is_not_shown(message: str) -> None:
    """Numbers, names and the key."""
    detail = read(answer(400, error(message))).text

    assert not [part for part in ("Jane", "612345678", "34 56", "hushhush") if part in detail]
    assert detail.startswith("400")


def test_what_is_no_campaign_is_not_kept() -> None:
    """It goes to the log."""
    assert read(answer(200, taken(campaign_id="to +33612345678"))).campaign_id is None
