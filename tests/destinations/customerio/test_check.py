"""The connection test: region, workspace, each permission, access and deletion apart (destinations 6.8)."""

import pytest

from stream.destinations.customerio.sandbox import CustomerioFaults, CustomerioSandbox
from stream.destinations.sandbox import Failure
from stream.http import Unanswered
from tests.destinations.customerio.account import account

ALL = {
    "region": True,
    "workspace": True,
    "people": True,
    "attributes": True,
    "segments": True,
    "messages": True,
    "activities": True,
    "access": True,
    "deletion": True,
}


async def test_all_that_is_needed_is_looked_at() -> None:
    """In this order; nobody is read: an unknown person is a 404, which passes."""
    async with account(CustomerioSandbox()) as there:
        checks = await there.checks()

        assert ALL == {name: check.ok for name, check in checks.items()}
        assert ("Sandbox", "ready", "ready") == tuple(checks[name].text for name in ("workspace", "access", "deletion"))
        assert [200, 200, 404, 404, 404, 404, 200] == [entry.status for entry in there.sandbox.log]


async def test_without_track_credentials_deletion_is_not_configured() -> None:
    """Said apart from access, and no refusal: they are optional (seed 004)."""
    async with account(site_id=None, tracking_api_key=None) as there:
        checks = await there.checks()

    assert ("access", True, "ready") == (checks["access"].name, checks["access"].ok, checks["access"].text)
    assert (None, "not configured") == (checks["deletion"].ok, checks["deletion"].text)
    assert "site_id" in checks["deletion"].hint


@pytest.mark.parametrize(
    "faults, refused",
    [
        (CustomerioFaults(revoked=True), ["workspace"]),
        (CustomerioFaults(elsewhere=True), ["people", "attributes", "segments", "messages", "activities", "access"]),
        (CustomerioFaults(lost_permissions=["customers"]), ["people", "access"]),
        (CustomerioFaults(lost_permissions=["attributes"]), ["attributes", "access"]),
        (CustomerioFaults(lost_permissions=["segments"]), ["segments", "access"]),
        (CustomerioFaults(lost_permissions=["messages"]), ["messages", "access"]),
        (CustomerioFaults(lost_permissions=["activities"]), ["activities", "access"]),
        (CustomerioFaults(track_revoked=True), ["deletion"]),
        (CustomerioFaults(other_workspace=True), ["deletion"]),
    ],
)
async def test_what_is_missing_is_refused(faults: CustomerioFaults, refused: list[str]) -> None:
    """Each with what to do: the connection is refused if permissions are missing (seed 004)."""
    async with account() as there:
        there.sandbox.faults = faults
        checks = await there.checks()

    assert refused == [name for name, check in checks.items() if check.ok is False]
    assert all(checks[name].hint for name in refused)


async def test_keys_of_two_workspaces_are_told_apart_only_where_the_app_key_shows_its_own() -> None:
    """Without that permission the workspaces are not compared, and nothing is refused."""
    async with account() as there:
        there.sandbox.faults = CustomerioFaults(lost_permissions=["workspaces"], other_workspace=True)
        checks = await there.checks()

    assert (None, "not shown") == (checks["workspace"].ok, checks["workspace"].text)
    assert [] == [name for name, check in checks.items() if check.ok is False]


async def test_a_busy_vendor_says_nothing_about_the_keys() -> None:
    """The test is then inconclusive, not failed."""
    async with account() as there:
        there.sandbox.faults = CustomerioFaults(fail=[Failure(status=503)])

        with pytest.raises(Unanswered):
            await there.checks()
