"""Logs hold no personal data, and are JSON where nobody looks on."""

import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from stream.telemetry import logs


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    levels = {name: logging.getLogger(name).level for name in logs.LOUD}
    yield
    root.handlers, root.level = handlers, level
    for name, before in levels.items():
        logging.getLogger(name).setLevel(before)
    structlog.reset_defaults()


def test_a_line_is_json_with_fields(capsys: pytest.CaptureFixture[str]) -> None:
    """For machines that collect it."""
    logs.configure()

    structlog.get_logger().info("assigned", destination="attio", partitions=6)

    line = json.loads(capsys.readouterr().err)
    assert ("assigned", "info", "attio", 6) == (line["event"], line["level"], line["destination"], line["partitions"])


def test_what_others_said_is_masked(capsys: pytest.CaptureFixture[str]) -> None:
    """A vendor may repeat an address; the log does not."""
    logs.configure()

    structlog.get_logger().warning("refused", reason="jane@example.com has +33612345678")

    text = capsys.readouterr().err
    assert "jane" not in text
    assert "12345678" not in text


def test_libraries_are_quiet_and_their_errors_are_not_lost(capsys: pytest.CaptureFixture[str]) -> None:
    """What aiokafka retries is shown by our own state; what it cannot mend is told."""
    logs.configure()

    logging.getLogger("aiokafka.client").warning("retrying")
    logging.getLogger("aiokafka.client").error("gave up")

    lines = [json.loads(line)["event"] for line in capsys.readouterr().err.splitlines()]
    assert ["gave up"] == lines


def test_quiet_leaves_errors_only(capsys: pytest.CaptureFixture[str]) -> None:
    """For commands that show progress of their own."""
    logs.configure(quiet=True)

    structlog.get_logger().info("assigned")
    structlog.get_logger().error("broken")

    assert ["broken"] == [json.loads(line)["event"] for line in capsys.readouterr().err.splitlines()]


def test_a_traceback_is_told_by_kind_and_place(capsys: pytest.CaptureFixture[str]) -> None:
    """What was raised may repeat a person or a secret; a library's own message is masked."""
    logs.configure()

    try:
        dict[str, str]()["jane@example.com and hushhush"]
    except KeyError:
        logging.getLogger("uvicorn.error").exception("failed for jane@example.com")
        structlog.get_logger().exception("failed")

    text = capsys.readouterr().err
    told = [json.loads(line) for line in text.splitlines()]
    assert ["failed for [email]", "failed"] == [line["event"] for line in told]
    assert all(line["raised"].startswith("KeyError at test_logs.py:") for line in told)
    assert not any(word in text for word in ("jane", "hushhush", "Traceback"))
