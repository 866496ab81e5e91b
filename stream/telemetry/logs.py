"""Logs: events with fields, on stderr."""

import logging
import sys

import structlog


def configure(*, quiet: bool = False) -> None:
    """Structured lines on stderr. *quiet*: errors only."""
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL if quiet else logging.WARNING)
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR if quiet else logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
