"""Logs: events with fields, on stderr; lines for people on a terminal, JSON elsewhere. Personal data is masked."""

import logging
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog

from schemas.masking import mask

LOUD = ("aiokafka", "asyncssh", "httpx", "httpcore", "uvicorn", "asyncio")
"""Libraries whose complaints we repeat only from ERROR on: what they retry is shown by our own state and metrics."""

FOREIGN = {"error", "reason", "detail"}
"""Fields that may repeat what a vendor, a broker or an event said."""


def configure(*, quiet: bool = False) -> None:
    """Send everything to stderr. *quiet*: only errors, for commands that show progress of their own."""
    shared: list[Any] = [
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        masked,
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


def masked(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """What others said without email addresses, phone numbers and tokens; our own words and numbers stay readable."""
    for name in FOREIGN & event.keys():
        event[name] = mask(str(event[name]))
    return event
