"""What crosses a topic: schemas on file, reason words, headers of dead letters."""

import re
from dataclasses import replace

import pytest

from schemas.__main__ import FOLDER, files
from schemas.dead_letters import DeadLetter
from schemas.reasons import NOTES, REASONS

LETTER = DeadLetter(
    destination="attio",
    topic="crm.events",
    partition=3,
    offset=41,
    reason="rejected",
    detail='invalid value "[email]" for email_addresses, attempt 1',
    attempts=2,
    first_failed_at=1780741800.25,
    status=400,
)


def test_the_schema_files_are_those_of_the_models() -> None:
    """`python -m schemas` has been run since the models changed."""
    on_file = {path.name: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.json")}

    assert files() == on_file


@pytest.mark.parametrize("word", [*REASONS, *NOTES])
def test_every_word_explains_itself(word: str) -> None:
    """A word of lower-case letters, a sentence, and what to do."""
    sentence, advice = (REASONS | NOTES)[word]

    assert re.fullmatch(r"[a-z_]+", word)
    assert sentence.endswith(".")
    assert advice.endswith(".")


def test_a_dead_letter_carries_the_headers_of_kafka_connect_and_ours() -> None:
    """Names as in section 7 of the design; all values are bytes."""
    assert {
        "__connect.errors.topic": b"crm.events",
        "__connect.errors.partition": b"3",
        "__connect.errors.offset": b"41",
        "__connect.errors.connector.name": b"attio",
        "__connect.errors.stage": b"TASK_PUT",
        "__connect.errors.exception.class.name": b"crmstream.rejected",
        "__connect.errors.exception.message": b'invalid value "[email]" for email_addresses, attempt 1',
        "crmstream.destination": b"attio",
        "crmstream.reason": b"rejected",
        "crmstream.detail": b'invalid value "[email]" for email_addresses, attempt 1',
        "crmstream.status": b"400",
        "crmstream.attempts": b"2",
        "crmstream.first_failed_at": b"2026-06-06T10:30:00.250Z",
        "crmstream.fingerprint": LETTER.fingerprint.encode(),
    } == dict(LETTER.headers())


@pytest.mark.parametrize(
    "letter", [LETTER, replace(LETTER, status=None), replace(LETTER, reason="undecodable", detail="é…", attempts=0)]
)
def test_a_dead_letter_survives_the_topic(letter: DeadLetter) -> None:
    """Headers read back give the same letter, whatever else is among them."""
    assert letter == DeadLetter.from_headers([("traceparent", b"\xff"), *letter.headers(), ("empty", None)])


def test_an_undecodable_record_failed_at_the_converter() -> None:
    """Tools made for Kafka Connect see the stage they know."""
    headers = dict(replace(LETTER, reason="undecodable").headers())

    assert b"VALUE_CONVERTER" == headers["__connect.errors.stage"]


@pytest.mark.parametrize("name", ["crmstream.reason", "__connect.errors.offset"])
def test_a_record_without_our_headers_is_no_letter(name: str) -> None:
    """The error names the header."""
    with pytest.raises(ValueError, match=f"no header {name}"):
        DeadLetter.from_headers([header for header in LETTER.headers() if header[0] != name])


def test_an_unreadable_header_is_not_shown() -> None:
    """Somebody else's bytes may be anything."""
    broken = [(name, b"ada@example.com" if name == "crmstream.attempts" else value) for name, value in LETTER.headers()]

    with pytest.raises(ValueError, match="a header is unreadable"):
        DeadLetter.from_headers(broken)


def test_failures_that_differ_in_numbers_and_quotes_share_a_fingerprint() -> None:
    """They are one group to look at."""
    other = replace(LETTER, offset=99, detail='invalid value "+33" for email_addresses, attempt 27')

    assert other.fingerprint == LETTER.fingerprint


@pytest.mark.parametrize(
    "other",
    [
        replace(LETTER, destination="splio"),
        replace(LETTER, reason="exhausted"),
        replace(LETTER, detail="invalid value for name"),
    ],
)
def test_other_failures_have_other_fingerprints(other: DeadLetter) -> None:
    """Destination, reason and wording tell groups apart."""
    assert other.fingerprint != LETTER.fingerprint


def test_a_letter_is_identified_by_destination_and_coordinates() -> None:
    """What tools de-duplicate by."""
    assert "attio/crm.events/3/41" == LETTER.identity
