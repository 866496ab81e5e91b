"""Logs: events with fields, on stderr; lines for people on a terminal, JSON elsewhere. Personal data is masked."""

import logging
import sys
from collections.abc import MutableMapping
from functools import partial
from typing import Any

import structlog

from schemas.masking import mask
from stream.errors import kind_and_place

LOUD = ("aiokafka", "asyncssh", "httpx", "httpcore", "uvicorn", "asyncio")
"""Libraries whose complaints we repeat only from ERROR on: what they retry is shown by our own state and metrics."""

FOREIGN = {"error", "reason", "detail"}
"""Fields that may repeat what a vendor, a broker or an event said."""


def configure(*, quiet: bool = False, worker: int | None = None) -> None:
    """Send everything to stderr. *quiet*: only errors, for commands that show progress of their own.

    *worker*: which of several this process is; each line says so.
    """
    shared: list[Any] = [
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        masked,
        without_traceback,
        *(() if worker is None else (partial(said_by, worker),)),
    ]
    people = sys.stderr.isatty()
    last: Any = structlog.dev.ConsoleRenderer() if people else structlog.processors.JSONRenderer()
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR if quiet else logging.INFO),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, last],
            foreign_pre_chain=shared,
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.INFO)
    for name in LOUD:
        logging.getLogger(name).setLevel(logging.CRITICAL if quiet else logging.ERROR)


def said_by(worker: int, _logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Which of several processes says it."""
    event["worker"] = worker
    return event


def masked(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """What others said without email addresses, phone numbers and tokens; our own words and numbers stay readable."""
    theirs = {"event"} if event.get("_from_structlog") is False else set()  # a library's message
    for name in (FOREIGN | theirs) & event.keys():
        event[name] = mask(str(event[name]))
    return event


def without_traceback(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """In the place of a traceback what was raised and where: its text and its variables may hold anything."""
    given = event.pop("exc_info", None)
    raised = sys.exception() if given is True else given[1] if isinstance(given, tuple) else given
    if isinstance(raised, BaseException):
        event["raised"] = kind_and_place(raised)
    return event
