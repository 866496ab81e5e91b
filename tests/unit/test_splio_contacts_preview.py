"""`crmstream preview` of the seed's sample, fed alone to a fresh preview (issue 4)."""

import json
from pathlib import Path

import pytest

from stream.cli import run
from stream.errors import Exit
from tests.unit.configurations import KAFKA, SOURCE, written

CONFIG = (
    KAFKA
    + SOURCE
    + "destinations:\n  splio: {type: splio_contacts, api_key: s3cret-key-of-a-universe, default_list_id: newsletter}\n"
)
EVENT = {
    "type": "track",
    "event": "Signed Up",
    "userId": "u-123",
    "timestamp": "2026-06-06T10:30:00.000Z",
    "traits": {
        "email": "jane@example.com",
        "first_name": "Jane",
        "last_name": "Doe",
        "phone": "+33612345678",
        "city": "Paris",
    },
    "context": {"locale": "en-GB", "consent": {"canonical": {"marketing": True}}},
}
SAMPLE = """
{
  "email": "jane@example.com",
  "firstname": "Jane",
  "lastname": "Doe",
  "cellphone": "+33612345678",
  "language": "en",
  "creation_date": "2026-06-06T10:30:00Z",
  "lists": [{ "id": "newsletter" }],
  "custom_fields": [{ "id": "city", "value": "Paris" }]
}
"""


def test_a_sign_up_is_shown_as_the_seed_has_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Seed 000, Event Mapping: the sample of what is delivered, word for word."""
    events = tmp_path / "events.jsonl"
    events.write_text(json.dumps(EVENT) + "\n")

    assert Exit.OK == run(["preview", "-c", str(written(tmp_path, CONFIG)), str(events)])

    out = capsys.readouterr().out
    assert {
        "destination": "splio",
        "event": "Signed Up",
        "line": 1,
        "outcome": "send",
        "reason": None,
        "notes": [],
        "method": "POST",
        "url": "https://api.splio.com/data/contacts",
        "body": json.loads(SAMPLE),
    } == json.loads(out)
    assert "s3cret" not in out
