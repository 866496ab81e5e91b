"""Deletion requests, in front of the stand-in: by id, verified, and noted as an erasure before the vendor is asked."""

import asyncio

from schemas.privacy import PrivacyResult
from stream.core.outcomes import Blocked, Delivered, Outcome, Retry, Throttled, Unfinished
from stream.core.records import Message
from stream.destinations.customerio.deletion import PAUSES
from stream.destinations.customerio.sandbox import CustomerioFaults
from stream.destinations.sandbox import Failure
from tests.destinations.customerio.account import JANE, SENT_AT, Account, account, request

WELL = CustomerioFaults(lingers=0)
FOR_EVER = CustomerioFaults(lingers=3600)


async def until_answered(there: Account, message: Message) -> tuple[list[Outcome], PrivacyResult]:
    """All outcomes up to the answer, and the answer; the time between calls does not pass."""
    outcomes: list[Outcome] = []
    while not there.desk.results:
        outcomes.append(await there.send(message))
    return outcomes, there.desk.results[0]


async def test_a_person_is_found_removed_and_looked_for_again() -> None:
    """By `cio_` and the id, percent-encoded; a 200 proves nothing, so the lookup decides (destinations 6.4)."""
    async with account() as there:
        there.sandbox.faults = WELL
        jane = there.sandbox.holds.add(JANE)

        outcomes, result = await until_answered(there, request("deletion"))

        assert [Unfinished(1.0), Delivered()] == outcomes
        assert ("deletion", "completed", 1, None) == (result.kind, result.status, result.records_found, result.data)
        lookup = "GET /v1/customers?email=jane%40example.com"
        assert [lookup, f"DELETE /api/v1/customers/cio_{jane.cio_id}", lookup] == there.called()
        assert [] == there.sandbox.people()
        assert ["find", "delete", "verify"] == [step.step for step in result.steps]
        assert jane.cio_id == result.steps[1].cio_id


async def test_every_profile_of_the_address_is_removed() -> None:
    """There may be several; others are left alone."""
    async with account() as there:
        there.sandbox.faults = WELL
        for _ in range(3):
            there.sandbox.holds.add(JANE)
        there.sandbox.holds.add("ada@example.com")

        _, result = await until_answered(there, request("deletion"))

        assert ("completed", 3) == (result.status, result.records_found)
        assert ["ada@example.com"] == [person["email"] for person in there.sandbox.people()]


async def test_nobody_whose_id_looks_like_the_address_is_removed() -> None:
    """Track takes plain text for an id: it would be somebody else."""
    async with account() as there:
        there.sandbox.faults = WELL
        there.sandbox.holds.add("ada@example.com", id=JANE)
        there.sandbox.holds.add(JANE)

        await until_answered(there, request("deletion"))

        assert ["ada@example.com"] == [person["email"] for person in there.sandbox.people()]


async def test_suppression_keeps_the_person_from_coming_back() -> None:
    """`erasure: suppress`: a POST, and no DELETE besides."""
    async with account(erasure="suppress") as there:
        there.sandbox.faults = WELL
        jane = there.sandbox.holds.add(JANE)

        _, result = await until_answered(there, request("deletion"))

        assert "completed" == result.status
        assert [f"POST /api/v1/customers/cio_{jane.cio_id}/suppress"] == there.called("/api/")
        assert {JANE, jane.id} == there.sandbox.holds.suppressed


async def test_nobody_found_is_an_answer() -> None:
    """Nothing is removed, and there is nothing to verify."""
    async with account() as there:
        outcomes, result = await until_answered(there, request("deletion"))

        assert [Delivered()] == outcomes
        assert ("no_records", 0) == (result.status, result.records_found)
        assert 1 == len(there.sandbox.log)


async def test_whoever_is_still_visible_after_a_minute_is_unverified() -> None:
    """Five looks over sixty seconds, then `partial`."""
    async with account() as there:
        there.sandbox.faults = FOR_EVER
        there.sandbox.holds.add(JANE)

        outcomes, result = await until_answered(there, request("deletion"))

        assert 60 == sum(PAUSES)
        assert [*map(Unfinished, PAUSES), Delivered()] == outcomes
        assert ("partial", "unverified", 1) == (result.status, result.detail, result.records_found)
        assert 1 + 5 == len(there.called("email="))
        assert 1 == len(there.called("/api/"))


async def test_whoever_came_back_meanwhile_is_removed_as_well() -> None:
    """A late identify makes a new profile of the same address."""
    async with account() as there:
        there.sandbox.faults = WELL
        there.sandbox.holds.add(JANE)
        message = request("deletion")
        await there.send(message)
        there.sandbox.holds.add(JANE)

        _, result = await until_answered(there, message)

        assert ("completed", 2) == (result.status, result.records_found)
        assert [] == there.sandbox.people()


async def test_without_track_credentials_it_is_not_configured() -> None:
    """At once and aloud, and nobody is looked up; the erasure holds here all the same."""
    async with account(site_id=None, tracking_api_key=None) as there:
        there.sandbox.holds.add(JANE)

        outcomes, result = await until_answered(there, request("deletion"))

        assert [Delivered()] == outcomes
        assert "not_configured" == result.status
        assert "site_id" in str(result.detail)
        assert [] == there.sandbox.log
        assert [JANE] == [email for email, _, _ in there.desk.erasures]


async def test_the_erasure_is_written_once_and_before_the_vendor_is_asked() -> None:
    """For what happened up to the request's own time in its topic: the same however often it is read."""
    async with account() as there:
        there.sandbox.holds.add(JANE)
        there.sandbox.faults = CustomerioFaults(fail=[Failure(status=503, times=2)], lingers=0)

        await until_answered(there, request("deletion"))

        assert [(JANE, SENT_AT, 0)] == there.desk.erasures


async def test_a_request_that_comes_again_after_a_restart_does_not_deny_what_it_did() -> None:
    """Nobody is found any more, since the first time removed them."""
    async with account() as there:
        there.sandbox.faults = WELL
        there.sandbox.holds.add(JANE)
        await there.send(request("deletion"))

        _, result = await until_answered(there, request("deletion"))

        assert ("no_records", 0) == (result.status, result.records_found)
        assert "begun before" in str(result.detail)


async def test_an_access_erases_nobody() -> None:
    """Only deletions do."""
    async with account() as there:
        await there.send(request("access"))

        assert [] == there.desk.erasures


async def test_one_profile_that_fails_is_tried_again_alone() -> None:
    """What was removed is not removed again."""
    async with account() as there:
        there.sandbox.faults = WELL
        for _ in range(2):
            there.sandbox.holds.add(JANE)
        message = request("deletion")
        await there.send(message, seconds=1)
        there.sandbox.faults = CustomerioFaults(fail=[Failure(status=500, times=1)], lingers=0)

        outcomes, result = await until_answered(there, message)

        assert [Retry, Unfinished, Delivered] == [type(outcome) for outcome in outcomes]
        assert ("completed", 2) == (result.status, result.records_found)
        assert 3 == len(there.called("/api/"))


async def test_one_profile_that_is_refused_makes_the_answer_partial() -> None:
    """A deletion is complete only when every profile succeeded."""
    async with account() as there:
        there.sandbox.faults = WELL
        for _ in range(2):
            there.sandbox.holds.add(JANE)
        message = request("deletion")
        await there.send(message, seconds=1)
        there.sandbox.faults = CustomerioFaults(fail=[Failure(status=400, message="malformed", times=1)], lingers=0)

        _, result = await until_answered(there, message)

        assert ("partial", 2) == (result.status, result.records_found)
        assert "1 of 2 profiles not removed: 400 malformed" == result.detail


async def test_a_deletion_that_is_given_up_says_how_far_it_came() -> None:
    """Nothing removed: failed. Removed and not yet looked for again: partial."""
    async with account() as there:
        there.sandbox.holds.add(JANE)
        message = request("deletion")
        await there.send(message, seconds=1)
        await there.customerio.buried(message, "exhausted", "503 busy")
        await there.send(message, seconds=1)
        await there.customerio.buried(message, "exhausted", "503 busy")

    assert [("failed", "1 of 1 profiles not removed: 503 busy"), ("partial", "unverified: 503 busy")] == [
        (result.status, result.detail) for result in there.desk.results
    ]


async def test_a_track_key_that_is_refused_blocks() -> None:
    """And the hint speaks of that key."""
    async with account() as there:
        there.sandbox.holds.add(JANE)
        there.sandbox.faults = CustomerioFaults(track_revoked=True)

        blocked = await there.send(request("deletion"))

        assert isinstance(blocked, Blocked)
        assert "tracking_api_key" in blocked.hint


async def test_a_throttled_deletion_is_not_counted_as_done() -> None:
    """429 on Track."""
    async with account() as there:
        there.sandbox.holds.add(JANE)
        message = request("deletion")
        await there.send(message, seconds=1)
        there.sandbox.faults = CustomerioFaults(throttle_next=1, lingers=0, silent=True)

        assert isinstance(await there.send(message), Throttled)
        assert [] == there.sandbox.accepted
        await asyncio.sleep(1.0)
        _, result = await until_answered(there, message)
        assert "completed" == result.status


async def test_whoever_is_gone_already_is_looked_for_all_the_same() -> None:
    """No 404 is documented for a removal; one counts for nothing until nobody is found."""
    async with account() as there:
        there.sandbox.holds.add(JANE)
        message = request("deletion")
        await there.send(message, seconds=1)
        there.sandbox.faults = CustomerioFaults(fail=[Failure(status=404, times=1)], lingers=0)

        _, result = await until_answered(there, message)

        assert ("partial", "unverified") == (result.status, result.detail)
