"""The stand-in itself: its rules, its log, and the faults one can order."""

import asyncio
import time
from email.utils import parsedate_to_datetime
from typing import Any

import orjson
import pytest

from stream.destinations.attio.sandbox import AttioFaults
from stream.destinations.sandbox import Failure
from stream.http import NotSent, Request, Response, Unanswered
from tests.destinations.attio.workspace import KEY, Workspace, workspace

ASSERT = "/v2/objects/people/records?matching_attribute=email_addresses"
EMAIL = [{"email_address": "ada@example.com"}]
NAME = {"first_name": "Ada", "last_name": "Lovelace", "full_name": "Ada Lovelace"}


async def call(
    there: Workspace, method: str, path: str, body: object = None, authorization: str | None = f"Bearer {KEY}"
) -> Response:
    """A call of the vendor's API, however wrong."""
    headers = [] if authorization is None else [("authorization", authorization)]
    sent = None if body is None else body if isinstance(body, bytes) else orjson.dumps(body)
    return await there.transport.send(method, there.url + path, headers=headers, body=sent, timeout=5.0)


async def put(there: Workspace, **values: object) -> Response:
    """An assert of these values."""
    return await call(there, "PUT", ASSERT, {"data": {"values": values}})


@pytest.mark.parametrize(
    "values,code",
    [
        ({"email_addresses": EMAIL, "nickname": [{"value": "Ada"}]}, "value_not_found"),
        ({"name": [NAME]}, "missing_value"),
        ({"email_addresses": []}, "missing_value"),
        ({"email_addresses": [{"email": "ada@example.com"}]}, "validation_type"),
        ({"email_addresses": [{"email_address": "ada"}]}, "validation_type"),
        ({"email_addresses": {"email_address": "ada@example.com"}}, "validation_type"),
        ({"email_addresses": EMAIL, "name": [{"first_name": "Ada"}]}, "validation_type"),
        ({"email_addresses": EMAIL, "name": ["Lovelace, Ada"]}, "validation_type"),
        ({"email_addresses": EMAIL, "phone_numbers": [{"original_phone_number": "06 12 34 56 78"}]}, "validation_type"),
        ({"email_addresses": EMAIL, "job_title": [{"value": 7}]}, "validation_type"),
        ({"email_addresses": EMAIL, "job_title": [{"value": None}]}, "validation_type"),
        ({"email_addresses": EMAIL, "job_title": [{"value": "a"}, {"value": "b"}]}, "validation_type"),
    ],
)
async def test_a_wrong_shape_is_refused(values: dict[str, object], code: str) -> None:
    """Strict, so that what passes here has a chance at the real one."""
    async with workspace() as there:
        response = await put(there, **values)

        assert (400, code) == (response.status, response.json()["code"])
        assert not there.sandbox.people()


async def test_an_unknown_slug_is_refused_in_attios_words() -> None:
    """Destinations 5.4."""
    async with workspace() as there:
        response = await put(there, email_addresses=EMAIL, nickname=[{"value": "Ada"}])

        assert 'Cannot find attribute with slug/ID "nickname".' == response.json()["message"]


@pytest.mark.parametrize("body", [b"", b"not json", b"[]", b'{"data": []}', b'{"data": {"values": 1}}'])
async def test_a_body_that_is_no_assert_is_refused(body: bytes) -> None:
    """Whatever it is."""
    async with workspace() as there:
        response = await call(there, "PUT", ASSERT, body)

        assert 400 == response.status


@pytest.mark.parametrize("matching", ["nickname", "", "name"])
async def test_only_a_unique_attribute_matches(matching: str) -> None:
    """Email addresses are the only one here."""
    async with workspace() as there:
        path = f"/v2/objects/people/records?matching_attribute={matching}"

        assert 400 == (await call(there, "PUT", path, {"data": {"values": {"email_addresses": EMAIL}}})).status


@pytest.mark.parametrize(
    "authorization,status", [(None, 401), ("Bearer other", 401), ("Basic other", 401), (f"Bearer {KEY}", 200)]
)
async def test_a_write_needs_the_token(authorization: str | None, status: int) -> None:
    """Destinations 5.4."""
    async with workspace() as there:
        response = await call(there, "PUT", ASSERT, {"data": {"values": {"email_addresses": EMAIL}}}, authorization)

        assert status == response.status


@pytest.mark.parametrize(
    "authorization,status,active", [(None, 400, None), ("Bearer other", 200, False), (f"Bearer {KEY}", 200, True)]
)
async def test_self_never_answers_401(authorization: str | None, status: int, active: bool | None) -> None:
    """Destinations 5.6."""
    async with workspace() as there:
        response = await call(there, "GET", "/v2/self", authorization=authorization)

        assert (status, active) == (response.status, response.json().get("active"))


async def test_a_person_keeps_emails_and_loses_phones() -> None:
    """The matching attribute grows; any other is what was sent last; what is not sent stays (destinations 5.3)."""
    first, second = {"original_phone_number": "+15558675309"}, {"original_phone_number": "+33612345678"}
    other = {"email_address": "countess@example.com"}
    async with workspace() as there:
        await put(there, email_addresses=EMAIL, phone_numbers=[first], name=[NAME])
        await put(there, email_addresses=[{"email_address": "ADA@example.com"}, other], phone_numbers=[second])
        await put(there, email_addresses=[other], job_title=[{"value": "Countess"}])
        [person] = there.sandbox.people()

    assert {
        "email_addresses": [*EMAIL, other],
        "phone_numbers": [second],
        "name": [NAME],
        "job_title": [{"value": "Countess"}],
    } == person["values"]


async def test_two_people_never_become_one() -> None:
    """Addresses of both in one call: a person has to merge them."""
    other = {"email_address": "countess@example.com"}
    async with workspace() as there:
        await put(there, email_addresses=EMAIL)
        await put(there, email_addresses=[other])

        assert "multiple_match_results" == (await put(there, email_addresses=[*EMAIL, other])).json()["code"]


async def test_the_log_holds_every_call_and_numbers_the_accepted_writes() -> None:
    """The vendor's side of a balance."""
    async with workspace() as there:
        before = time.time()
        await put(there, email_addresses=EMAIL)
        await put(there, email_addresses=[])
        await put(there, email_addresses=EMAIL)
        log = (await there.control("GET", "/_sandbox/log")).json()

    assert [(1, 200, 1), (2, 400, None), (3, 200, 2)] == [(e["number"], e["status"], e["sequence"]) for e in log]
    assert {"data": {"values": {"email_addresses": EMAIL}}} == log[0]["body"]
    assert before <= log[0]["at"] <= log[0]["answered"] <= log[1]["at"]


async def test_a_throttled_write_is_told_a_date_in_the_future() -> None:
    """`Retry-After` is an HTTP date, and the log remembers what was said."""
    async with workspace() as there:
        there.sandbox.faults = AttioFaults(throttle_next=1, retry_after=0.5)
        response = await put(there, email_addresses=EMAIL)
        [entry] = there.sandbox.log

        named = parsedate_to_datetime(response.header("retry-after") or "").timestamp()
        assert 429 == response.status
        assert entry.not_before == named > entry.at + 0.4
        assert 200 == (await put(there, email_addresses=EMAIL)).status


async def test_writes_above_the_rate_are_throttled() -> None:
    """Counted in seconds of the clock, as Attio names the next one."""
    async with workspace() as there:
        there.sandbox.faults = AttioFaults(throttle_above=2)
        answers = [await put(there, email_addresses=EMAIL) for _ in range(8)]

    seconds = [int(entry.at) for entry in there.sandbox.accepted]
    assert any(429 == answer.status for answer in answers)
    assert all(seconds.count(second) <= 2 for second in seconds)


async def test_failures_hit_the_contacts_they_name() -> None:
    """One poisoned contact among others."""
    async with workspace() as there:
        there.sandbox.faults = AttioFaults(fail=[Failure(status=500, contacts=["ada@example.com"], times=1)])
        other = [{"email_address": "grace@example.com"}]

        answers = [await put(there, email_addresses=each) for each in (other, EMAIL, EMAIL)]

        assert [200, 500, 200] == [answer.status for answer in answers]


async def test_a_share_of_failures_comes_out_the_same_for_a_seed() -> None:
    """A fault test can be repeated."""
    runs = []
    async with workspace() as there:
        for _ in range(2):
            there.sandbox.faults = AttioFaults(fail=[Failure(status=503, share=0.5)], seed=7)
            runs.append([(await put(there, email_addresses=EMAIL)).status for _ in range(20)])

    assert runs[0] == runs[1]
    assert {200, 503} == set(runs[0])


async def test_a_slow_vendor_answers_late_and_works_at_once() -> None:
    """So an abandoned call has happened."""
    async with workspace() as there:
        there.sandbox.faults = AttioFaults(latency=0.2)
        started = time.monotonic()
        await put(there, email_addresses=EMAIL)

        assert time.monotonic() - started >= 0.2
        [entry] = there.sandbox.accepted
        assert entry.answered is not None
        assert entry.answered - entry.at >= 0.19


async def test_an_outage_ends_by_itself_on_the_same_port() -> None:
    """Refused, then as before."""
    async with workspace() as there:
        await there.control("PUT", "/_sandbox/faults", b'{"down": true, "seconds": 1}')
        await asyncio.sleep(0.05)
        with pytest.raises(NotSent):
            await put(there, email_addresses=EMAIL)
        await asyncio.sleep(1.2)

        assert 200 == (await put(there, email_addresses=EMAIL)).status


async def test_a_cut_before_the_work_leaves_nobody() -> None:
    """The request was read, and that was all."""
    async with workspace() as there:
        there.sandbox.faults = AttioFaults(fail=[Failure(status="cut", times=1)])
        with pytest.raises(Unanswered):
            await put(there, email_addresses=EMAIL)

        assert not there.sandbox.people()
        assert 200 == (await put(there, email_addresses=EMAIL)).status


async def test_faults_can_be_ordered_over_the_network_and_are_validated() -> None:
    """PUT replaces all of them; what it does not know it refuses."""
    async with workspace() as there:
        ordered = await there.control("PUT", "/_sandbox/faults", b'{"revoked": true}')
        misspelt = await there.control("PUT", "/_sandbox/faults", b'{"revokd": true}')

        assert (200, 400) == (ordered.status, misspelt.status)
        assert 401 == (await put(there, email_addresses=EMAIL)).status
        assert 200 == (await there.control("PUT", "/_sandbox/faults", b"{}")).status
        assert 200 == (await put(there, email_addresses=EMAIL)).status


async def test_delete_makes_it_new() -> None:
    """People, log and faults."""
    async with workspace() as there:
        await put(there, email_addresses=EMAIL)
        there.sandbox.faults = AttioFaults(revoked=True)
        await there.control("DELETE", "/_sandbox")

        assert [] == (await there.control("GET", "/_sandbox/people")).json()
        assert [] == (await there.control("GET", "/_sandbox/log")).json()
        assert not (await there.control("GET", "/_sandbox/faults")).json()["revoked"]


async def test_the_page_shows_people_and_runs_nothing_of_theirs() -> None:
    """Whatever a contact calls himself."""
    name: dict[str, Any] = NAME | {"full_name": "<script>alert(1)</script>"}
    async with workspace() as there:
        await put(there, email_addresses=EMAIL, name=[name])
        page = (await there.control("GET", "/")).body.decode()

    assert "ada@example.com" in page
    assert "<script>" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page


async def test_raw_bytes_that_are_no_request_are_answered_and_hung_up_on() -> None:
    """A stand-in must not die of a stray connection."""
    async with workspace() as there:
        host, port = there.url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"hello\r\n\r\n")
        answered = await reader.read()
        writer.close()
        await writer.wait_closed()

    assert answered.startswith(b"HTTP/1.1 400 ")


async def test_a_request_in_pieces_is_put_together() -> None:
    """TCP has no messages."""
    request = b"GET /v2/self HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
    async with workspace() as there:
        host, port = there.url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        for piece in (request[:9], request[9:30], request[30:]):
            writer.write(piece)
            await asyncio.sleep(0.01)
        answered = await reader.read()
        writer.close()
        await writer.wait_closed()

    assert answered.startswith(b"HTTP/1.1 400 ")
    assert Request("GET", "/v2/self").path == there.sandbox.log[0].target
