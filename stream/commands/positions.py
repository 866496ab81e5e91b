"""How each destination is doing, in the shape of `/state.json`: asked of a running server, or read off Kafka."""

from collections.abc import Sequence
from typing import Any

from schemas.control import Command
from stream.core.offsets import restore
from stream.errors import UserError
from stream.http import CertificateRefused, NotSent, Unanswered
from stream.http.settings import HttpSettings, open_transport
from stream.kafka.admin import Admin, BrokerUnavailable, Partition
from stream.kafka.settings import SourceSettings
from stream.settings import Settings, topics_read
from stream.telemetry.settings import ServerSettings
from stream.topics import control

SECONDS = 3.0  # that a server may take to answer
ANYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - addresses to listen on, and how to call them

State = dict[str, Any]


async def from_server(settings: Settings) -> State | None:
    """What the server of this configuration says; None where none answers, or one of another configuration does."""
    url = address(settings.server)
    if url is None:
        return None
    token = settings.server.token.get_secret_value() if settings.server.token else ""
    headers = [("Authorization", f"Bearer {token}")] if token else []
    # httpx, whichever is configured: a process that ends right after a call by pyreqwest may be aborted by its threads.
    transport = open_transport(HttpSettings(transport="httpx", timeout=SECONDS))
    try:
        response = await transport.send("GET", f"{url}/state.json", headers=headers, body=None, timeout=SECONDS)
    except (NotSent, Unanswered, CertificateRefused):
        return None
    finally:
        await transport.close()
    found = response.json() if response.status == 200 else None
    destinations = found.get("destinations") if isinstance(found, dict) else None
    ours = isinstance(destinations, dict) and destinations.keys() <= settings.destinations.keys()
    return {"destinations": destinations, "source": "server"} if ours else None


def address(server: ServerSettings) -> str | None:
    """Where a server of these settings can be reached; None where it has no port that is known beforehand."""
    if not server.port:
        return None
    host = ANYWHERE.get(server.host, server.host)
    return f"http://{f'[{host}]' if ':' in host else host}:{server.port}"


async def from_kafka(settings: Settings) -> State:
    """What the groups have committed. Raises UserError where the broker does not answer or a topic is missing.

    What only a member knows is null, and its state is `unknown`, unless an operator has paused it.
    """
    async with Admin(settings.kafka) as admin:
        enabled = {name: each for name, each in settings.destinations.items() if each.enabled}
        counts = await admin.partitions({topic for each in enabled.values() for topic in topics_read(settings, each)})
        partitions = [(topic, number) for topic, count in counts.items() for number in range(count)]
        ends = await admin.end_offsets(partitions)
        begins = await admin.begin_offsets(partitions)
        commands = await _commands(settings)
        found = {}
        for name, destination in enabled.items():
            own = [partition for partition in partitions if partition[0] in topics_read(settings, destination)]
            committed = await admin.group_offsets(settings.source.group_of(name), own)
            seen = [_seen(p, committed.get(p), begins[p], ends[p], settings.source) for p in own]
            found[name] = _destination(seen, commands.get(name))
    return {"destinations": found, "source": "kafka"}


async def _commands(settings: Settings) -> control.Commands:
    try:
        return await control.current(settings.kafka, settings.control.topic)
    except BrokerUnavailable:
        raise
    except UserError:  # no such topic: nobody has ever paused anything
        return {}


def _seen(
    partition: Partition, committed: tuple[int, str] | None, begin: int, end: int, source: SourceSettings
) -> tuple[State, int]:
    """A partition as Kafka knows it, and how many of its offsets below the end are not settled."""
    start = begin if source.start == "earliest" else end
    tracker = restore(*partition, *(committed or (start, "")))
    above = tracker.settled_above
    holding = {"offset": tracker.position, "reason": "not settled at the last commit"} if above else None
    lag = max(0, end - tracker.position)
    topic, number = partition
    state = {"topic": topic, "partition": number, "position": tracker.position, "end": end, "lag": lag}
    return state | {"holding": holding}, max(0, lag - above)


def _destination(seen: Sequence[tuple[State, int]], command: Command | None) -> State:
    paused = command is not None and command.action == "pause"
    return {
        "state": "paused" if paused else "unknown",
        "reason": (command.reason or "an operator paused it") if paused and command else None,
        "since": command.at.isoformat(timespec="seconds") if paused and command else None,
        "lag": sum(state["lag"] for state, _ in seen),
        "pending": sum(unsettled for _, unsettled in seen),
        "in_flight": None,
        "concurrency": None,
        "partitions": [state for state, _ in seen],
    }
