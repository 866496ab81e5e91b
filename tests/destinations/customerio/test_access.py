"""Access requests, in front of the stand-in: all of it, however many pages, and only what failed is read again."""

import asyncio
import time
from itertools import pairwise

import pytest

from stream.core.outcomes import Blocked, Delivered, Outcome, Retry, Throttled, Unfinished
from stream.core.records import Message
from stream.destinations.customerio import access
from stream.destinations.customerio.sandbox import CustomerioFaults, CustomerioSandbox
from stream.destinations.sandbox import Failure
from stream.http import NotSent, Unanswered
from tests.destinations.customerio.account import JANE, SENT_AT, Account, account, request, targets

DAY = 86_400


def collections(there: Account) -> list[str]:
    """The collections that were asked for, in order."""
    return [target.rpartition("/")[2] for target in targets(there.called("id_type"))]


async def waited_out(there: Account, message: Message) -> Outcome:
    """What becomes of a message once it has paused as long as it must."""
    while isinstance(outcome := await there.send(message), Unfinished):  # noqa: ASYNC110 - the vendor sets no event
        await asyncio.sleep(outcome.after)
    return outcome


async def test_everything_of_a_person_is_collected() -> None:
    """Attributes, segments, messages of two years, activities (destinations 6.3)."""
    async with account() as there:
        jane = there.sandbox.holds.add(JANE, messages=700, activities=230, first_name="Jane")

        result = await there.answered(request())

        assert ("r-1", "cio", "access", "completed", 1) == (
            result.request_id,
            result.destination,
            result.kind,
            result.status,
            result.records_found,
        )
        assert result.data
        [profile] = result.data["profiles"]
        assert {"email": JANE} == result.data["identifier"]
        assert jane.cio_id == profile["cio_id"]
        assert "Jane" == profile["attributes"]["first_name"]
        assert jane.segments == profile["segments"]
        assert jane.messages == profile["messages"]
        assert jane.activities == profile["activities"]
        assert 30 == profile["coverage"]["activities_guaranteed_days"]


async def test_messages_older_than_the_history_are_not_read() -> None:
    """Windows walk back to it and no further; each has less than six months, which the vendor would cut."""
    async with account(history="9600h") as there:
        jane = there.sandbox.holds.add(JANE, messages=700)

        result = await there.answered(request())

        assert result.data
        [profile] = result.data["profiles"]
        cut = [message for message in jane.messages if message["created"] >= time.time() - 400 * DAY - 5]
        assert cut == profile["messages"]
        assert 0 < len(cut) < 700
        assert 3 == len(there.called("/messages"))


async def test_all_pages_are_read() -> None:
    """As many calls as pages of the vendor's largest size."""
    async with account() as there:
        there.sandbox.holds.add(JANE, messages=180, activities=250)

        await there.answered(request())

        assert 3 == len(there.called("/activities"))
        assert all("limit=100" in call for call in there.called("/activities"))


async def test_several_profiles_of_one_address_are_all_read() -> None:
    """The lookup may return several people."""
    async with account() as there:
        people = [there.sandbox.holds.add(JANE, messages=number, id=f"p{number}") for number in (1, 2)]

        result = await there.answered(request())

        assert result.data
        assert 2 == result.records_found == result.data["records_found"]
        assert [person.cio_id for person in people] == [each["cio_id"] for each in result.data["profiles"]]
        assert [1, 2] == [len(each["messages"]) for each in result.data["profiles"]]


async def test_nobody_found_is_an_answer() -> None:
    """OK_NOOP."""
    async with account() as there:
        result = await there.answered(request())

        assert ("no_records", 0, None) == (result.status, result.records_found, result.data)
        assert 1 == len(there.sandbox.log)


async def test_a_plus_is_encoded() -> None:
    """Unencoded it would be a space, and the vendor would silently find nobody."""
    async with account() as there:
        there.sandbox.holds.add("jane+news@example.com")

        result = await there.answered(request(email="jane+news@example.com"))

        assert "completed" == result.status
        assert ["GET /v1/customers?email=jane%2Bnews%40example.com"] == there.called("email=")


async def test_whoever_vanishes_meanwhile_is_no_failure() -> None:
    """404 on a collection: recorded, and on with the rest."""
    async with account() as there:
        person = there.sandbox.holds.add(JANE)
        there.sandbox.holds.remove(person, time.time() + 60)

        result = await there.answered(request())

        assert "completed" == result.status
        assert [404] * 4 == [step.status for step in result.steps if step.step != "find"]


async def test_the_steps_say_what_was_called_and_nothing_of_the_person() -> None:
    """An audit row for each vendor call: time, endpoint, status, count."""
    async with account() as there:
        there.sandbox.holds.add(JANE, activities=3)

        result = await there.answered(request())

        assert ["find", "attributes", "segments", *["messages"] * 5, "activities"] == [
            each.step for each in result.steps
        ]
        assert {200} == {step.status for step in result.steps}
        assert 3 == result.steps[-1].count
        assert "GET /v1/customers/{cio_id}/activities" == result.steps[-1].endpoint
        assert "jane" not in "".join(step.model_dump_json() for step in result.steps)


async def test_one_part_that_fails_leaves_the_others_alone_and_is_read_again_alone() -> None:
    """Partial failure: only the messages are asked for a second time."""
    async with account() as there:
        jane = there.sandbox.holds.add(JANE, messages=3, activities=3)
        message = request()
        there.sandbox.faults = CustomerioFaults(broken=["messages"])

        assert isinstance(await there.send(message), Retry)
        assert ["attributes", "segments", "messages", "activities"] == collections(there)
        assert [] == there.desk.results
        there.sandbox.faults = CustomerioFaults()
        there.sandbox.log.clear()
        result = await there.answered(message)

        assert {"messages"} == set(collections(there))
        assert "completed" == result.status
        assert result.data
        assert jane.messages == result.data["profiles"][0]["messages"]
        assert [500, 200] == [step.status for step in result.steps if step.step == "messages"][:2]


async def test_pages_that_were_read_are_not_read_again() -> None:
    """A failure within a collection goes on where it stopped."""
    async with account() as there:
        jane = there.sandbox.holds.add(JANE, activities=250)
        message = request()
        while not there.called("/activities"):
            await there.send(message, seconds=1)
        there.sandbox.faults = CustomerioFaults(fail=[Failure(status=503, times=1)])

        assert isinstance(await there.send(message), Retry)
        result = await there.answered(message)

        assert 1 + 1 + 2 == len(there.called("/activities"))
        assert result.data
        assert jane.activities == result.data["profiles"][0]["activities"]


async def test_a_part_that_is_refused_for_good_makes_the_answer_partial() -> None:
    """What was read is given, the part is named."""
    async with account() as there:
        there.sandbox.holds.add(JANE, messages=3, activities=3)
        there.sandbox.faults = CustomerioFaults(refusing=["activities"])

        result = await there.answered(request())

        assert "partial" == result.status
        assert result.detail
        assert result.detail.startswith("activities not read: 400 ")
        assert result.data
        assert 3 == len(result.data["profiles"][0]["messages"])


async def test_a_request_that_is_given_up_is_answered_with_what_was_read() -> None:
    """Before its dead letter is written."""
    async with account() as there:
        there.sandbox.holds.add(JANE, messages=3)
        message = request()
        there.sandbox.faults = CustomerioFaults(broken=["segments"])
        await there.send(message)

        await there.customerio.buried(message, "exhausted", "500 out of order")

        [result] = there.desk.results
        assert ("partial", "segments not read: 500 out of order") == (result.status, result.detail)
        assert result.data
        assert 3 == len(result.data["profiles"][0]["messages"])


async def test_a_request_that_is_given_up_before_anybody_was_found_has_failed() -> None:
    """Nothing was read."""
    async with account() as there:
        await there.customerio.buried(request(), "exhausted", "500 out of order")

    [result] = there.desk.results
    assert ("failed", "500 out of order", 0) == (result.status, result.detail, result.records_found)


async def test_a_lookup_that_is_refused_for_good_has_failed() -> None:
    """There is nothing to be partial about."""
    async with account() as there:
        there.sandbox.faults = CustomerioFaults(refusing=["customers"])

        result = await there.answered(request())

        assert "failed" == result.status


async def test_no_call_begins_where_time_is_nearly_up() -> None:
    """The request goes on with its next call, from where it was."""
    async with account() as there:
        there.sandbox.holds.add(JANE, messages=3)
        message = request()

        outcomes = [await there.send(message, seconds=1) for _ in range(9)]

        assert [Unfinished()] * 8 + [Delivered()] == outcomes
        assert 9 == len(there.sandbox.log)
        [result] = there.desk.results
        assert "completed" == result.status


@pytest.mark.parametrize("silent, allowed", [(False, (1.0, 2.0)), (True, (None,))])
async def test_a_throttle_stops_everything_and_loses_nothing(silent: bool, allowed: tuple[float | None, ...]) -> None:
    """429: a time where one is named; what was read stays read."""
    async with account() as there:
        there.sandbox.holds.add(JANE)
        message = request()
        await there.send(message, seconds=1)
        there.sandbox.faults = CustomerioFaults(throttle_next=1, retry_after=0.5, silent=silent)

        throttled = await there.send(message)

        assert isinstance(throttled, Throttled)
        assert throttled.after in allowed
        assert 2 == len(there.sandbox.log)
        assert isinstance(await waited_out(there, message), Delivered)
        assert 1 == len(there.called("email="))


async def test_a_throttle_stops_answers_that_are_under_way() -> None:
    """Each makes many calls: the next one of another answer would come before its time."""
    async with account() as there:
        there.sandbox.holds.add(JANE)
        one, other = request(), request(request_id="r-2")
        await there.send(other, seconds=1)
        there.sandbox.faults = CustomerioFaults(throttle_next=1, retry_after=0.1)
        await there.send(one)

        paused = await there.send(other)

        assert isinstance(paused, Unfinished)
        assert 0 < paused.after <= 2
        assert 2 == len(there.sandbox.log)


@pytest.mark.parametrize(
    "faults",
    [CustomerioFaults(revoked=True), CustomerioFaults(lost_permissions=["messages"]), CustomerioFaults(elsewhere=True)],
)
async def test_what_would_fail_for_everyone_blocks(faults: CustomerioFaults) -> None:
    """Key, permission, region: somebody must act; nothing is answered meanwhile."""
    async with account() as there:
        there.sandbox.holds.add(JANE)
        there.sandbox.faults = faults

        blocked = await there.send(request())

        assert isinstance(blocked, Blocked)
        assert blocked.hint
        assert [] == there.desk.results


@pytest.mark.parametrize("status", [408, 423, 425, 500, 502, 503, 504, 522, 524])
async def test_what_passes_is_tried_again(status: int) -> None:
    """Destinations 6.5."""
    async with account() as there:
        there.sandbox.faults = CustomerioFaults(fail=[Failure(status=status)])

        assert isinstance(await there.send(request()), Retry)


async def test_a_page_too_long_to_be_read_is_asked_for_in_halves() -> None:
    """The client reads a MiB of an answer; a thousand messages may be more."""
    async with account() as there:
        jane = there.sandbox.holds.add(JANE, messages=170)
        for message in jane.messages:
            message["subject"] = "x" * 20_000

        result = await there.answered(request())

        assert "completed" == result.status
        assert result.data
        assert jane.messages == result.data["profiles"][0]["messages"]


async def test_a_200_of_something_else_is_no_answer() -> None:
    """A proxy's page."""
    async with account() as there:
        there.sandbox.faults = CustomerioFaults(fail=[Failure(status=200)])

        assert Retry("200 without results", 200) == await there.send(request())


async def test_without_an_answer_the_part_is_tried_last_next_time() -> None:
    """A collection that always hangs must not keep the others from being read."""
    async with account() as there:
        there.sandbox.holds.add(JANE)
        message = request()
        await there.send(message, seconds=1)
        there.sandbox.faults = CustomerioFaults(fail=[Failure(status="cut", times=1)])
        with pytest.raises(Unanswered):
            await there.send(message)

        await there.send(message)

        assert ["attributes", "segments", *["messages"] * 5, "activities", "attributes"] == collections(there)
        [result] = there.desk.results
        assert "completed" == result.status
        assert "unanswered" in [step.status for step in result.steps]


async def test_a_vendor_that_cannot_be_reached_is_not_sent() -> None:
    """Delivery knows what it means."""
    async with account() as there:
        url = "http://127.0.0.1:9"
    async with account(CustomerioSandbox(), app_url=url) as there:
        with pytest.raises(NotSent):
            await there.send(request())


def test_windows_touch_and_cover_the_whole_history() -> None:
    """No second falls between two of them, and none is longer than the shortest six months."""
    work = access.Access(JANE, 2_000_000_000, 730 * DAY)
    windows = list(work._windows())

    assert 2_000_000_000 == windows[0][1]
    assert 2_000_000_000 - 730 * DAY == windows[-1][0]
    assert all(newer[0] == older[1] for newer, older in pairwise(windows))
    assert max(end - start for start, end in windows) <= 181 * DAY


def test_the_answer_says_from_when_on_messages_were_read() -> None:
    """A date, beside what the vendor guarantees of activities."""
    work = access.Access(JANE, SENT_AT, 10 * DAY)
    work.take(work.find(), {"results": [{"cio_id": "a1"}]})

    answer = work.answer("no time")

    assert answer.data
    coverage = {"messages_from": "2026-05-27", "activities_guaranteed_days": 30}
    assert coverage == answer.data["profiles"][0]["coverage"]
    assert "partial" == answer.status
