"""Probes, metrics and the state of each destination over HTTP. Reads snapshots; decides and changes nothing."""

import asyncio
import errno
import hmac
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import asdict
from typing import Any

import structlog
import uvicorn
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from stream.errors import UserError
from stream.telemetry import metrics
from stream.telemetry.guard import MOST_HEADERS, Connection, Guard
from stream.telemetry.settings import ServerSettings
from stream.telemetry.state import DestinationState

Snapshots = Callable[[], Mapping[str, DestinationState]]
Answer = Callable[[Request], Awaitable[Response]]

STILL = 30.0  # seconds without a turn of its loop after which a pipeline counts as dead
READY = {"running", "throttled", "suspended"}
STATES = ("running", "throttled", "suspended", "blocked", "paused", "draining")

log = structlog.get_logger()


@asynccontextmanager
async def serve(
    settings: ServerSettings,
    snapshots: Snapshots,
    *,
    registry: CollectorRegistry = metrics.REGISTRY,
    connection: type[Connection] = Connection,
) -> AsyncIterator[str]:
    """Its address, while it serves. Raises UserError where the port is taken."""
    assert settings.port is not None, "null means: do not call this"  # noqa: S101 - a bug, not a user's mistake
    listening = _bind(settings.host, settings.port)
    host, port = listening.getsockname()[:2]
    address = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    config = uvicorn.Config(
        application(settings, snapshots, registry),
        http=connection,
        h11_max_incomplete_event_size=MOST_HEADERS,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,  # addresses may hold ?token=
        server_header=False,
        proxy_headers=False,
    )
    server = _Server(config)
    async with asyncio.TaskGroup() as tasks:
        serving = tasks.create_task(server.serve(sockets=[listening]), name="server")
        log.info("serving", address=address)
        try:
            yield address
        finally:
            server.should_exit = True
            await asyncio.wait([serving], timeout=2)
            serving.cancel()


def application(
    settings: ServerSettings, snapshots: Snapshots, registry: CollectorRegistry = metrics.REGISTRY
) -> ASGIApp:
    """The routes behind their guard. Probes are open; the rest wants the token where one is set."""
    token = settings.token.get_secret_value().encode() if settings.token else b""

    def guarded(answer: Answer) -> Answer:
        async def checked(request: Request) -> Response:
            scheme, _, bearer = request.headers.get("authorization", "").partition(" ")
            given = bearer if scheme.lower() == "bearer" else request.query_params.get("token", "")
            if token and not hmac.compare_digest(given.encode(errors="replace"), token):
                why = {"error": "the token of server.token is needed, as Bearer or ?token="}
                return JSONResponse(why, 401, headers={"WWW-Authenticate": "Bearer"})
            return await answer(request)

        return checked

    async def live(_: Request) -> Response:
        still = [name for name, state in snapshots().items() if state.seconds_since_turn > STILL]
        return (
            JSONResponse({"status": "stuck", "destinations": still}, 503) if still else JSONResponse({"status": "live"})
        )

    async def ready(_: Request) -> Response:
        destinations = {
            name: {"ready": is_ready(state), "state": state.state, "reason": state.reason}
            for name, state in snapshots().items()
        }
        all_ready = bool(destinations) and all(each["ready"] for each in destinations.values())
        return JSONResponse({"ready": all_ready, "destinations": destinations}, 200 if all_ready else 503)

    async def measured(_: Request) -> Response:
        gauge(snapshots())
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    async def state(_: Request) -> Response:
        return JSONResponse({"destinations": described(snapshots()), "source": "server"})

    inside = Starlette(
        routes=[
            Route("/health/live", live),
            Route("/health/ready", ready),
            Route("/metrics", guarded(measured)),
            Route("/state.json", guarded(state)),
        ]
    )
    inside.router.redirect_slashes = False  # the redirect would go where the Host header says
    return Guard(inside, loopback=settings.loopback)


def is_ready(state: DestinationState) -> bool:
    """Whether it works, or will again without anyone's help. A member that no partition was left for is ready."""
    return state.assigned and state.state in READY


def described(snapshots: Mapping[str, DestinationState]) -> dict[str, Any]:
    """The destinations as `/state.json` and `crmstream status --json` show them."""
    return {
        name: {
            "state": state.state,
            "reason": state.reason,
            "since": state.since,
            "lag": state.lag,
            "pending": state.pending,
            "in_flight": state.in_flight,
            "concurrency": state.concurrency,
            "partitions": [asdict(partition) for partition in state.partitions],
        }
        for name, state in snapshots.items()
    }


def gauge(snapshots: Mapping[str, DestinationState]) -> None:
    """Bring the metrics that are read off a state up to date."""
    metrics.LAG.clear()  # partitions that were given up
    for name, state in snapshots.items():
        metrics.PENDING.labels(name).set(state.pending)
        metrics.IN_FLIGHT.labels(name).set(state.in_flight)
        metrics.CONCURRENCY.labels(name).set(state.concurrency)
        for word in STATES:
            metrics.STATE.labels(name, word).set(word == state.state)
        for partition in state.partitions:
            metrics.LAG.labels(name, partition.topic, str(partition.partition)).set(partition.lag)


def _bind(host: str, port: int) -> socket.socket:
    """A listening socket now, so that a taken port is known before anything is read."""
    listening: socket.socket | None = None
    try:
        [(family, kind, protocol, _, address), *_] = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        listening = socket.socket(family, kind, protocol)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(128)
    except OSError as error:
        if listening is not None:
            listening.close()
        hint = (
            "stop what uses it, or set server.port" if error.errno == errno.EADDRINUSE else "see server.host and port"
        )
        raise UserError(f"cannot serve on {host}:{port}: {error.strerror}", hint) from None
    listening.setblocking(False)
    return listening


class _Server(uvicorn.Server):
    """Signals are the command's own matter."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
