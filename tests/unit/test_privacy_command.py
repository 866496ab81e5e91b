"""`crmstream privacy` and what else the command line says of requests, as far as it needs no broker."""

import json
import re
from pathlib import Path

import pytest

from stream.cli import run
from stream.commands.init import configuration
from stream.errors import Exit
from stream.settings import load
from tests.unit.configurations import DESTINATIONS, KAFKA, SMALLEST, SOURCE, written

CUSTOMERIO = "  cio: {type: customerio, app_api_key: s3cret}\n"
PRIVACY = "privacy: {requests: crm.requests, results: crm.results, key: long-secret}\n"


@pytest.mark.parametrize("command", ["access", "delete"])
@pytest.mark.parametrize(
    "text, email, exit_code, said",
    [
        (SMALLEST, "grace@example.com", Exit.BAD_FILE, "has no `privacy` block"),
        (SMALLEST + PRIVACY, "grace@example.com", Exit.FAILURE, "no destination of the file answers privacy requests"),
        (SMALLEST + CUSTOMERIO + PRIVACY, "grace", Exit.BAD_FILE, "that is no email address"),
        (SMALLEST + CUSTOMERIO + PRIVACY, "", Exit.BAD_FILE, "that is no email address"),
    ],
)
def test_what_cannot_be_asked_is_told(
    command: str,
    text: str,
    email: str,
    exit_code: Exit,
    said: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """On stderr, with what to do, and without repeating whom it is about."""
    assert exit_code == run(["privacy", command, email, "-c", str(written(tmp_path, text))])

    out, err = capsys.readouterr()
    assert "" == out
    assert said in err
    assert "grace" not in err


def test_init_for_customerio_switches_the_privacy_block_on(tmp_path: Path) -> None:
    """It loads as it stands, with what it names in the environment."""
    text = configuration(["customerio"])

    settings = load(written(tmp_path, text), dict.fromkeys(re.findall(r"\$\{([A-Z_]+)\}", text), "secret"))

    assert ["customerio"] == list(settings.destinations)
    assert settings.privacy
    assert "crm.privacy-requests" == settings.privacy.requests
    assert not [line for line in text.splitlines() if re.match(r" +#?(events|fields|consent|max_age):", line)]


def test_preview_leaves_out_whom_no_event_is_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Events are shown for the other destinations."""
    config = written(tmp_path, KAFKA + SOURCE + DESTINATIONS + CUSTOMERIO + PRIVACY)
    events = tmp_path / "events.jsonl"
    events.write_text('{"type": "identify", "traits": {"email": "jane@example.com"}}\n')

    assert Exit.OK == run(["preview", str(events), "-c", str(config)])
    assert ["attio"] == [json.loads(line)["destination"] for line in capsys.readouterr().out.splitlines()]
