"""The destination in front of the stand-in, over HTTP."""

import asyncio

import pytest

from stream.core.outcomes import Blocked, Delivered, Rejected, Retry, Throttled
from stream.destinations.attio.sandbox import AttioFaults, AttioSandbox
from stream.destinations.sandbox import Failure
from stream.http import NotSent, Unanswered
from tests.destinations.attio.workspace import KEY, Workspace, workspace

PHONES = "phone_numbers"


def values(there: Workspace, slug: str) -> list[object]:
    """What the only person has in an attribute."""
    [person] = there.sandbox.people()
    found: list[object] = person["values"].get(slug, [])
    return found


async def test_a_person_arrives() -> None:
    """The whole way, with the key."""
    async with workspace() as there:
        assert Delivered() == await there.deliver(first_name="Ada", last_name="Lovelace", phone="+15558675309")

        assert [{"first_name": "Ada", "last_name": "Lovelace", "full_name": "Ada Lovelace"}] == values(there, "name")


async def test_overwriting_replaces_the_numbers_of_a_person() -> None:
    """What the seed does, and what `phone_mode` is for (destinations 5.3)."""
    async with workspace() as there:
        await there.deliver(phone="+15558675309")
        await there.deliver(phone="+33612345678")

        assert [{"original_phone_number": "+33612345678"}] == values(there, PHONES)


async def test_a_phone_fills_a_gap_and_nothing_else() -> None:
    """only_if_empty: the first number stays, the rest of the second event is delivered."""
    async with workspace(phone_mode="only_if_empty") as there:
        await there.deliver(phone="+15558675309")
        assert Delivered() == await there.deliver(phone="+33612345678", job_title="Countess")

        assert [{"original_phone_number": "+15558675309"}] == values(there, PHONES)
        assert [{"value": "Countess"}] == values(there, "job_title")


async def test_without_a_phone_nothing_is_read_first() -> None:
    """only_if_empty costs a second call only where there is something to decide."""
    async with workspace(phone_mode="only_if_empty") as there:
        await there.deliver(job_title="Countess")

        assert ["PUT /v2/objects/people/records"] == there.called()


async def test_a_failed_read_sends_nothing() -> None:
    """A person whose numbers are not known is left alone until they are."""
    async with workspace(phone_mode="only_if_empty") as there:
        there.sandbox.faults = AttioFaults(fail=[Failure(status=503, calls="all")])

        assert isinstance(await there.deliver(phone="+15558675309"), Retry)
        assert not there.sandbox.accepted


async def test_a_read_that_lists_nobody_it_should_is_tried_again() -> None:
    """only_if_empty: a page with status 200 says nothing about the person."""
    async with workspace(phone_mode="only_if_empty") as there:
        there.sandbox.faults = AttioFaults(fail=[Failure(status=200, calls="all")])

        assert Retry("200 without a list of people", 200) == await there.deliver(phone="+15558675309")


async def test_an_email_that_attio_refuses_is_rejected() -> None:
    """The vendor judges, not we."""
    async with workspace() as there:
        assert isinstance(await there.deliver(email="ada"), Rejected)


@pytest.mark.parametrize(
    "faults",
    [
        AttioFaults(revoked=True),
        AttioFaults(lost_scopes=["record_permission:read-write"]),
        AttioFaults(renamed={"job_title": "role"}),
    ],
)
async def test_what_would_fail_for_everyone_blocks(faults: AttioFaults) -> None:
    """Credentials, scopes and slugs need a person, and nothing is buried meanwhile."""
    async with workspace() as there:
        there.sandbox.faults = faults

        assert isinstance(await there.deliver(job_title="Countess"), Blocked)


async def test_a_throttle_is_waited_out_as_attio_says() -> None:
    """A date of whole seconds, measured against the answer's own."""
    async with workspace() as there:
        there.sandbox.faults = AttioFaults(throttle_next=1, retry_after=2)

        throttled = await there.deliver()

        assert isinstance(throttled, Throttled)
        assert throttled.after is not None
        assert 2 <= throttled.after <= 3


@pytest.mark.parametrize("cut,accepted", [("cut", 0), ("cut_after", 1)])
async def test_a_cut_connection_leaves_the_fate_unknown(cut: str, accepted: int) -> None:
    """The caller cannot tell the two apart; that is the point."""
    async with workspace() as there:
        there.sandbox.faults = AttioFaults.model_validate({"fail": [{"status": cut}]})

        with pytest.raises(Unanswered):
            await there.deliver()

        assert 1 == len(there.sandbox.log)
        assert accepted == len(there.sandbox.accepted)


async def test_the_connection_test_names_what_it_looked_at() -> None:
    """Key and workspace, both scopes, each attribute that the mapping writes (destinations 5.6)."""
    sandbox = AttioSandbox(token=KEY, attributes={"role": "text"})
    async with workspace(sandbox, fields={"job_title": None, "role": "traits.job_title"}) as there:
        checks = await there.checks()

    assert {
        "token": True,
        "scope record_permission:read-write": True,
        "scope object_configuration:read": True,
        "attribute email_addresses": True,
        "attribute name": True,
        "attribute phone_numbers": True,
        "attribute description": True,
        "attribute role": True,
    } == {name: check.ok for name, check in checks.items()}
    assert "workspace Sandbox" == checks["token"].text


@pytest.mark.parametrize(
    "faults,refused",
    [
        (AttioFaults(revoked=True), ["token"]),
        (AttioFaults(lost_scopes=["record_permission:read-write"]), ["scope record_permission:read-write"]),
        (
            AttioFaults(lost_scopes=["object_configuration:read"]),
            ["scope object_configuration:read", "attributes"],
        ),
        (
            AttioFaults(renamed={"description": "about", "phone_numbers": ""}),
            ["attribute phone_numbers", "attribute description"],
        ),
    ],
)
async def test_the_connection_test_finds_what_is_missing(faults: AttioFaults, refused: list[str]) -> None:
    """Each with what to do about it."""
    async with workspace() as there:
        there.sandbox.faults = faults
        checks = await there.checks()

    assert refused == [name for name, check in checks.items() if check.ok is False]
    assert all(checks[name].hint for name in refused)


async def test_an_attribute_on_a_later_page_is_found() -> None:
    """A workspace may have hundreds."""
    sandbox = AttioSandbox(token=KEY, attributes={f"custom_{number}": "text" for number in range(250)})
    async with workspace(sandbox, fields={"custom_249": "traits.plan", "custom_250": "traits.plan"}) as there:
        checks = await there.checks()

    assert checks["attribute custom_249"].ok
    assert checks["attribute custom_250"].ok is False


async def test_a_busy_attio_says_nothing_about_the_key() -> None:
    """The connection test is then inconclusive, not failed."""
    async with workspace() as there:
        there.sandbox.faults = AttioFaults(fail=[Failure(status=503, calls="all")])

        with pytest.raises(Unanswered):
            await there.checks()


async def test_another_server_than_attio_is_refused() -> None:
    """A page with status 200 is no answer."""
    async with workspace() as there:
        there.sandbox.faults = AttioFaults(fail=[Failure(status=200, calls="all")])

        checks = await there.checks()

    assert ["token"] == list(checks)
    assert checks["token"].ok is False
    assert "base_url" in checks["token"].hint


async def test_a_refused_connection_is_not_sent() -> None:
    """The stand-in's door is closed, so nothing can have happened."""
    async with workspace() as there:
        there.sandbox.faults = AttioFaults(down=True)
        await asyncio.sleep(0.05)  # the door closes at one of the loop's next turns

        with pytest.raises(NotSent):
            await there.deliver()
