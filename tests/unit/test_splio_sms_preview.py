"""`crmstream preview` of texts: a form shown as an object, the recipients decoded, the key hidden (design 10)."""

import json
from pathlib import Path
from typing import Any

import pytest

from stream.cli import run
from tests.unit.configurations import KAFKA, SOURCE, written

TEXTS = """destinations:
  texts:
    type: splio_sms
    universe: my_universe_id
    key: my_api_key
    rules:
      - {event: Invited, message: 6tJglf8zd, to: properties.guests, opcode: O12345}
"""
JANE = {"firstname": "Jane", "cellphone": "+8618612345678", "c0": "123457", "lastname": "Doe"}
JOHN = {"firstname": "John", "cellphone": "+33612345678", "c0": "123456", "lastname": "Doe"}
GRANTED = {"consent": {"canonical": {"marketing": True}}}


def shown(guests: Any, folder: Path, capsys: pytest.CaptureFixture[str], **more: Any) -> dict[str, Any]:
    """What is printed of an invitation, had it happened now."""
    event = {"type": "track", "event": "Invited", "properties": {"guests": guests}, "context": GRANTED} | more
    file = folder / "events.jsonl"
    file.write_text(json.dumps(event))
    assert 0 == run(["preview", "-c", str(written(folder, KAFKA + SOURCE + TEXTS)), str(file)])
    [line] = capsys.readouterr().out.splitlines()
    found: dict[str, Any] = json.loads(line)
    return found


@pytest.mark.parametrize(
    "guests, rcpts",
    [
        ("+33612345678", [{"cellphone": "+33612345678"}]),
        (["+33612345678", "+8618612345678"], [{"cellphone": "+33612345678"}, {"cellphone": "+8618612345678"}]),
        ([JOHN, JANE], [JOHN, JANE]),
    ],
    ids=["single", "two", "two with fields"],
)
def test_the_seeds_samples_are_shown(
    guests: Any, rcpts: list[dict[str, str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Seed 001, Examples: the three samples of `rcpts`."""
    assert {
        "destination": "texts",
        "event": "Invited",
        "line": 1,
        "outcome": "send",
        "reason": None,
        "notes": ["timestamp_replaced"],
        "method": "PUT",
        "url": "https://s3s.fr/api/triggersms/nph-4.pl",
        "body": {
            "universe": "my_universe_id",
            "key": "***",
            "message": "6tJglf8zd",
            "rcpts": rcpts,
            "opcode": "O12345",
        },
    } == shown(guests, tmp_path, capsys)


def test_an_event_of_yesterday_is_shown_as_expired(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`max_age` is an hour unless the configuration says otherwise (destinations 3.4)."""
    found = shown("+33612345678", tmp_path, capsys, timestamp="2026-06-06T10:30:00.000Z")

    assert ("filtered", "expired") == (found["outcome"], found["reason"])
