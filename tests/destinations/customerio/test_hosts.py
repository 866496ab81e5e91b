"""Where an account is: found by asking, before anything personal is sent, and never by following a redirect."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from stream.core.outcomes import Blocked, Delivered, Outcome, Retry
from stream.core.records import Batch
from stream.destinations.customerio.client import Customerio
from stream.destinations.customerio.sandbox import CustomerioFaults, CustomerioSandbox
from stream.destinations.sandbox import Failure, serve
from stream.http.settings import HttpSettings, open_transport
from tests.destinations.customerio.account import JANE, Routed, destination_of, request, settings_of

APP = {"us": "https://api.customer.io", "eu": "https://api-eu.customer.io"}
TRACK = {"us": "https://track.customer.io", "eu": "https://track-eu.customer.io"}
NO_TRACK = {"site_id": None, "tracking_api_key": None}


@dataclass(slots=True)
class World:
    """Both regions: the account is in one, the other redirects, or does not know the key."""

    home: CustomerioSandbox
    abroad: CustomerioSandbox
    routed: Routed

    def customerio(self, **changes: Any) -> Customerio:
        """A destination that knows only what its settings say."""
        return destination_of(settings_of(**changes), self.routed)

    async def ask(self, customerio: Customerio, kind: str = "access") -> Outcome:
        """What became of one call."""
        [outcome] = await customerio.send(Batch([request(kind)]))
        return outcome

    @property
    def hosts(self) -> list[str]:
        """Who was called, in order, each once."""
        return list(dict.fromkeys(host for host, _ in self.routed.called))


@asynccontextmanager
async def world(region: str, *, redirects: bool = True) -> AsyncIterator[World]:
    """An account in this region; Track's hosts both know it, the App host of the other redirects or refuses."""
    home = CustomerioSandbox(region="us" if region == "us" else "eu", sample=False)
    abroad = CustomerioSandbox(region="eu" if region == "us" else "us", sample=False)
    home.holds.add(JANE)
    abroad.faults = CustomerioFaults(elsewhere=redirects, revoked=not redirects)
    other = "eu" if region == "us" else "us"
    async with AsyncExitStack() as exits:
        here, there = [await exits.enter_async_context(serve(each)) for each in (home, abroad)]
        transport = open_transport(HttpSettings())
        exits.push_async_callback(transport.close)
        routes = {APP[region]: here, TRACK["us"]: here, TRACK["eu"]: here, APP[other]: there}
        yield World(home, abroad, Routed(transport, routes))


@pytest.mark.parametrize("region", ["us", "eu"])
async def test_the_region_is_asked_of_track(region: str) -> None:
    """Either of its hosts knows; the person is then looked up at home only."""
    async with world(region) as there:
        assert isinstance(await there.ask(there.customerio()), Delivered)

        assert [TRACK["us"], APP[region]] == there.hosts
        assert [] == there.abroad.log


async def test_the_region_is_asked_once() -> None:
    """It does not change while a process runs."""
    async with world("eu") as there:
        customerio = there.customerio()
        for _ in range(3):
            await there.ask(customerio)

        assert 1 == len([entry for entry in there.home.log if "region" in entry.target])


@pytest.mark.parametrize("redirects", [True, False])
@pytest.mark.parametrize("region", ["us", "eu"])
async def test_without_track_credentials_the_app_host_that_knows_the_key_is_taken(region: str, redirects: bool) -> None:
    """The other one is asked for workspaces at most: nothing about anybody."""
    async with world(region, redirects=redirects) as there:
        assert isinstance(await there.ask(there.customerio(**NO_TRACK)), Delivered)

        assert {"/v1/workspaces"} >= {entry.target for entry in there.abroad.log}


async def test_a_key_that_may_not_see_workspaces_is_found_all_the_same() -> None:
    """403 is for a key that is known."""
    async with world("eu", redirects=False) as there:
        there.home.faults = CustomerioFaults(lost_permissions=["workspaces"])

        assert isinstance(await there.ask(there.customerio(**NO_TRACK)), Delivered)


async def test_a_key_that_nobody_knows_blocks() -> None:
    """With what to do."""
    async with world("us", redirects=False) as there:
        there.home.faults = CustomerioFaults(revoked=True)

        blocked = await there.ask(there.customerio(**NO_TRACK))

        assert isinstance(blocked, Blocked)
        assert "app_api_key" in blocked.hint


async def test_a_track_that_is_busy_is_asked_again() -> None:
    """The region is not guessed."""
    async with world("eu") as there:
        there.home.faults = CustomerioFaults(fail=[Failure(status=503, times=1)])
        customerio = there.customerio()

        assert isinstance(await there.ask(customerio), Retry)
        assert [TRACK["us"]] == there.hosts
        assert isinstance(await there.ask(customerio), Delivered)


async def test_a_configured_region_is_not_asked_for() -> None:
    """`region: eu`."""
    async with world("eu") as there:
        await there.ask(there.customerio(region="eu"))

        assert [APP["eu"]] == there.hosts


async def test_credentials_never_follow_a_redirect() -> None:
    """A wrong `region` blocks; the host it points to never sees the key."""
    async with world("eu") as there:
        blocked = await there.ask(there.customerio(region="us"))

        assert isinstance(blocked, Blocked)
        assert "region" in blocked.hint
        assert [APP["us"]] == there.hosts
        assert [] == there.home.log


async def test_addresses_win_over_the_region() -> None:
    """`app_url` and `track_url`, each by itself."""
    async with world("eu") as there:
        await there.ask(there.customerio(region="us", app_url=f"{APP['eu']}/v1/", track_url=TRACK["eu"]), "deletion")

        assert [APP["eu"], TRACK["eu"]] == there.hosts


async def test_one_address_for_both() -> None:
    """`base_url`, as a stand-in has it."""
    async with world("us") as there:
        there.routed.routes = {"http://stand-in:1": there.routed.routes[APP["us"]]}

        await there.ask(there.customerio(base_url="http://stand-in:1/"), "deletion")

        assert {"http://stand-in:1"} == set(there.hosts)


async def test_each_api_gets_its_own_credentials() -> None:
    """Bearer for the one, Basic for the other."""
    async with world("us") as there:
        await there.ask(there.customerio(), "deletion")

        shown = {host: authorization.split(" ")[0] for host, authorization in there.routed.called}
        assert {APP["us"]: "Bearer", TRACK["us"]: "Basic"} == shown


async def test_a_region_that_cannot_be_known_fails_the_connection_test() -> None:
    """Nothing else is asked."""
    async with world("us") as there:
        there.home.faults = CustomerioFaults(track_revoked=True)

        [check] = [check async for check in there.customerio().check()]

    assert ("region", False) == (check.name, check.ok)
    assert "tracking_api_key" in check.hint
