"""Probes, metrics and state, over real HTTP."""

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from stream.errors import UserError
from stream.telemetry.server import serve
from stream.telemetry.settings import ServerSettings
from stream.telemetry.state import DestinationState, Holding, PartitionState


def destination(state: str = "running", **changes: Any) -> DestinationState:
    given: dict[str, Any] = {
        "state": state,
        "reason": None,
        "since": "2026-06-06T10:30:00+00:00",
        "assigned": True,
        "lag": 7,
        "pending": 3,
        "in_flight": 2,
        "concurrency": 32,
        "oldest_pending_seconds": 1.5,
        "seconds_since_turn": 0.1,
        "partitions": (PartitionState("crm.events", 0, 5, 12, 7, Holding(5, "503")),),
    }
    return DestinationState(**given | changes)


@asynccontextmanager
async def serving(token: str | None = None, **destinations: DestinationState) -> AsyncIterator[httpx.AsyncClient]:
    settings = ServerSettings(port=0, token=SecretStr(token) if token else None)
    async with (
        serve(settings, lambda: destinations) as address,
        httpx.AsyncClient(base_url=address, trust_env=False) as client,
    ):
        yield client


async def test_it_lives_while_its_pipelines_turn() -> None:
    """Design section 10, probes."""
    async with serving(attio=destination()) as client:
        answer = await client.get("/health/live")

    assert (200, {"status": "live"}) == (answer.status_code, answer.json())


async def test_it_is_dead_when_a_pipeline_has_not_turned_for_thirty_seconds() -> None:
    """Whoever watches restarts it then."""
    async with serving(attio=destination(seconds_since_turn=31.0)) as client:
        answer = await client.get("/health/live")

    assert 503 == answer.status_code


@pytest.mark.parametrize("state", ["running", "throttled", "suspended"])
async def test_what_ends_by_itself_is_ready(state: str) -> None:
    """A vendor's bad day is nobody's page."""
    async with serving(attio=destination(state)) as client:
        answer = await client.get("/health/ready")

    expected = {"ready": True, "destinations": {"attio": {"ready": True, "state": state, "reason": None}}}
    assert (200, expected) == (answer.status_code, answer.json())


@pytest.mark.parametrize("state", ["blocked", "paused", "draining"])
async def test_what_needs_somebody_is_not_ready_and_says_why(state: str) -> None:
    """The reason is for whoever was paged."""
    async with serving(attio=destination(state, reason="make a new key"), other=destination()) as client:
        answer = await client.get("/health/ready")

    assert 503 == answer.status_code
    assert {"ready": False, "state": state, "reason": "make a new key"} == answer.json()["destinations"]["attio"]
    assert answer.json()["destinations"]["other"]["ready"]


async def test_a_member_without_partitions_is_ready_once_it_was_told_so() -> None:
    """Others hold them all; before the first assignment it is not."""
    async with serving(idle=destination(partitions=()), new=destination("unassigned", assigned=False)) as client:
        answer = await client.get("/health/ready")

    assert {"idle": True, "new": False} == {name: each["ready"] for name, each in answer.json()["destinations"].items()}


async def test_the_state_has_the_fields_of_the_contract() -> None:
    """Design section 10, `status --json`."""
    async with serving(attio=destination("blocked", reason="why")) as client:
        answer = await client.get("/state.json")

    place = {"topic": "crm.events", "partition": 0, "position": 5, "end": 12, "lag": 7}
    assert {
        "source": "server",
        "destinations": {
            "attio": {
                "state": "blocked",
                "reason": "why",
                "since": "2026-06-06T10:30:00+00:00",
                "lag": 7,
                "pending": 3,
                "in_flight": 2,
                "concurrency": 32,
                "partitions": [place | {"holding": {"offset": 5, "reason": "503"}}],
            }
        },
    } == answer.json()


async def test_metrics_are_read_off_the_state_when_asked_for() -> None:
    """The names are the contract's."""
    async with serving(attio=destination("throttled")) as client:
        text = (await client.get("/metrics")).text

    assert 'crmstream_lag{destination="attio",partition="0",topic="crm.events"} 7.0' in text
    assert 'crmstream_destination_state{destination="attio",state="throttled"} 1.0' in text
    assert 'crmstream_destination_state{destination="attio",state="running"} 0.0' in text
    for name in ("events_total", "requests_total", "request_seconds", "delivery_seconds", "commits_total"):
        assert f"# TYPE crmstream_{name.removesuffix('_total')}" in text


@pytest.mark.parametrize("path", ["/metrics", "/state.json"])
async def test_a_token_guards_all_but_the_probes(path: str) -> None:
    """As Bearer or as ?token=."""
    async with serving("a-token", attio=destination()) as client:
        refused = await client.get(path)
        wrong = await client.get(path, headers={"Authorization": "Bearer another"})
        bearer = await client.get(path, headers={"Authorization": "Bearer a-token"})
        query = await client.get(path, params={"token": "a-token"})
        probe = await client.get("/health/ready")

    assert [401, 401, 200, 200, 200] == [each.status_code for each in (refused, wrong, bearer, query, probe)]


async def test_a_port_in_use_is_one_plain_line() -> None:
    """Known before anything is read."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]

        with pytest.raises(UserError, match=f"cannot serve on 127.0.0.1:{port}"):
            async with serve(ServerSettings(port=port), dict):
                pass
