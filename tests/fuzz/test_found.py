"""What the fuzzer found and was mended, each as the smallest input that showed it."""

from pathlib import Path
from typing import Any

import orjson
import pytest

from schemas.dead_letters import DeadLetter
from schemas.privacy import PrivacyResult
from schemas.replays import REPLAY, WRITTEN_AT, ReplayId
from schemas.times import rfc3339
from stream.core.outcomes import Unknown
from stream.core.records import written_at
from stream.core.units import duration
from stream.destinations.customerio.access import Access
from stream.destinations.customerio.work import profiles
from stream.destinations.splio_files.fields import missing
from stream.destinations.splio_sms.verdicts import read, verdict
from stream.errors import UserError
from stream.http.responses import Answer
from stream.mapping import compile_expression
from stream.topics import state
from stream.topics.parts import Assembly
from stream.topics.users import NOBODY
from stream.topics.users import read as remembered
from tests.fuzz.events import NOW, Arrival, becomes_a_message
from tests.fuzz.vendors import Case, holds
from tests.unit.configurations import SMALLEST, refused
from tests.unit.partition import LogRecord

CONSENTING = orjson.dumps(
    {
        "type": "identify",
        "traits": {"email": "jane@example.com"},
        "context": {"consent": {"canonical": {"marketing": True}}},
    }
)


def saying(value: Any, status: int = 200) -> Answer:
    return Answer(status, orjson.dumps(value), lambda _: None)


@pytest.mark.parametrize("name", [WRITTEN_AT, REPLAY, "crmstream.destination"])
def test_a_header_without_a_value_stops_nobody(name: str) -> None:
    """Kafka's headers may be null; whoever writes to the source topic may send ours."""
    headers: Any = ((name, None),)

    becomes_a_message(Arrival("attio", LogRecord(value=CONSENTING, headers=headers)))


@pytest.mark.parametrize("time", [253_402_300_800_000, 2**62])
def test_a_record_of_a_year_that_no_calendar_has_stops_nobody(time: int) -> None:
    """Its producer set the time; lifting an erasure by it was beyond a date."""
    assert -1 == written_at(LogRecord(timestamp=time))
    becomes_a_message(Arrival("attio", LogRecord(value=CONSENTING, timestamp=time)))


def test_a_time_that_no_calendar_has_is_shown_as_the_last_one() -> None:
    """`dlq show` of such a letter."""
    assert "9999-12-31T23:59:59.000Z" == rfc3339(2.0**60)


@pytest.mark.parametrize("replay", [b"a/b/0/1#" + b"9" * 5000, b"a/b/0/" + b"9" * 5000 + b"#1", "a/b/0/1#٣".encode()])
def test_a_replay_s_number_without_end_is_none(replay: bytes) -> None:
    """Python refuses to read more than 4,300 digits."""
    assert ReplayId.of([(REPLAY, replay)]) is None
    assert ReplayId.of([(REPLAY, None)]) is None


def test_a_letter_from_before_the_beginning_is_none() -> None:
    """Offsets count from 0."""
    headers = dict(DeadLetter("attio", "events", 0, 3, "rejected", "no", 1, NOW).headers())

    with pytest.raises(ValueError, match="unreadable"):
        DeadLetter.from_headers((headers | {"__connect.errors.offset": b"-1"}).items())


@pytest.mark.parametrize("offset", [None, b"--1", b"9" * 30, b""])
def test_an_entry_of_the_state_that_others_wrote_says_nothing(offset: Any) -> None:
    """Else whoever takes the partition over would fail for ever."""
    assert state._entry(LogRecord(value=b"x", headers=((state.OFFSET, offset),))) is None


@pytest.mark.parametrize("value", [b"x", b"[]", b"null", b'{"a":1}', b'{"traits":[]}', b'{"since":"a"}', b'{"user":1}'])
def test_traits_that_others_wrote_are_nobody_s(value: bytes) -> None:
    """The same."""
    assert NOBODY == remembered(value)


@pytest.mark.parametrize("data", [{"profiles": [{"a": 1}]}, {"profiles": [1]}, {"profiles": 1}])
def test_parts_of_a_result_that_others_wrote_are_put_together_all_the_same(data: Any) -> None:
    """`crmstream privacy --wait` goes on waiting for its own."""
    part = PrivacyResult(
        request_id="q", destination="cio", kind="access", status="completed", data=data, part=1, parts=1
    )

    assert Assembly().add(part) is not None


@pytest.mark.parametrize("cio_id", [[], {}, 1, "", None])
def test_a_person_without_an_id_that_is_text_is_none(cio_id: Any) -> None:
    """A list cannot even be looked up."""
    with pytest.raises(ValueError, match="cio_id"):
        profiles([{"cio_id": cio_id}])


@pytest.mark.parametrize("record_id", [[], {}])
def test_a_record_whose_id_is_no_id_is_kept(record_id: Any) -> None:
    """There is nothing to know it by, and it is the person's."""
    access = Access("jane@example.com", NOW, 86_400.0)
    access.take(access.find(), {"results": [{"cio_id": "a3"}]})
    call: Any = next(reading for reading in access._readings.values() if reading.name == "segments").call()

    assert 1 == access.take(call, {"segments": [{"id": record_id}]})


@pytest.mark.parametrize(
    "name, said",
    [
        ("customerio without track", {"workspaces": 400}),
        ("splio_contacts by token", {"user_id": {"phone": "+33612345678"}}),
        ("splio_sms resending", "no \ntoken"),
    ],
)
def test_a_strange_answer_to_the_connection_test_is_a_line(name: str, said: Any) -> None:
    """Neither an error of ours nor anybody's data."""
    fine = saying({"status": "ok", "code": 200})
    holds(Case(name, (*[fine] * 2, saying(said)) if "sms" in name else (saying(said),), True))


@pytest.mark.parametrize("count", ["many", [], {}, None, 10**9])
async def test_attributes_are_listed_whatever_their_count_is_said_to_be(count: Any) -> None:
    """A server that ignores the page's number is asked fifty times at most."""

    class Http:
        async def send(self, _: Any) -> Answer:
            return saying({"elements": [{"name": "tier"}], "count_element": count})

    http: Any = Http()
    assert ["city"] == await missing(http, ["tier", "city"])


@pytest.mark.parametrize("code", ["value_not_found", [], True, None])
def test_a_200_that_is_not_splio_s_is_no_text_sent(code: Any) -> None:
    """Others have a `code` too: what is in theirs is not Splio's word for success."""
    response = saying({"code": code, "type": "invalid_request_error"})

    assert isinstance(verdict(response, read(response), numbers=1, now=NOW), Unknown)


@pytest.mark.parametrize("scalar", ['"\\ud800"', '"\\UFFFFFFFF"'])
def test_text_that_cannot_be_written_is_a_mistake_in_the_file(tmp_path: Path, scalar: str) -> None:
    """As a key it would fail only when the first request is made."""
    assert "\\u" in refused(tmp_path, SMALLEST.replace("s3cret", scalar)).lower()


def test_a_version_of_yaml_without_end_is_a_mistake_in_the_file(tmp_path: Path) -> None:
    """PyYAML reads it as a number."""
    assert "%YAML" in refused(tmp_path, f"%YAML {'9' * 5000}.1\n---\n{SMALLEST}")


def test_bytes_of_the_environment_that_are_no_text_are_a_mistake(tmp_path: Path) -> None:
    """Without showing them."""
    said = refused(tmp_path, SMALLEST.replace("s3cret", "${KEY}"), {"KEY": "s3cret\udcff"})

    assert "not UTF-8" in said
    assert "s3cret" not in said


def test_transforms_without_end_are_a_mistake_in_the_file() -> None:
    """Each event would have come to nothing by them: Python bounds calls within calls."""
    with pytest.raises(UserError, match="more than 100 transforms"):
        compile_expression("traits.a" + " | trim" * 1000, place="fields.a")


def test_a_duration_that_no_calendar_has_is_a_mistake_in_the_file() -> None:
    """`history: 999999999d` was before the year 1, which was found out when somebody asked for access."""
    with pytest.raises(ValueError, match="hundred years"):
        duration("999999999d")
