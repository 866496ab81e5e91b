"""`crmstream preview`: the requests that would be sent, in the shape that design section 10 fixes."""

import io
import json
from pathlib import Path
from typing import Any

import pytest

from stream.cli import run
from stream.errors import Exit
from tests.unit.configurations import DESTINATIONS, KAFKA, SMALLEST, SOURCE, written

URL = "https://api.attio.com/v2/objects/people/records?matching_attribute=email_addresses"
KEYS = ["destination", "event", "line", "outcome", "reason", "notes", "method", "url", "body"]
TIME = "2026-06-06T10:30:00.000Z"
ADA = {"email": " Ada@Example.com", "first_name": "Ada", "last_name": "Lovelace"}
TRAITS = ADA | {"phone": "+1 555 867 5309", "job_title": "Senior Developer"}


def event(kind: str = "identify", traits: dict[str, Any] = ADA, **parts: Any) -> str:
    return json.dumps({"type": kind, "timestamp": TIME, "traits": traits} | parts)


class Previews:
    """The command in a folder with a configuration."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self._folder = folder
        self._capsys = capsys
        self.code = -1

    def __call__(self, *lines: str | bytes, config: str = SMALLEST) -> list[dict[str, Any]]:
        """What it prints of a file with these lines."""
        file = self._folder / "events.jsonl"
        file.write_bytes(b"".join((line.encode() if isinstance(line, str) else line) + b"\n" for line in lines))
        return self.of(str(file), config)

    def of(self, file: str, config: str = SMALLEST) -> list[dict[str, Any]]:
        self.code = run(["preview", "-c", str(written(self._folder, config)), file])
        return [json.loads(line) for line in self._capsys.readouterr().out.splitlines()]


@pytest.fixture
def preview(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Previews:
    return Previews(tmp_path, capsys)


def test_a_sign_up_is_shown_as_attio_documents_it(preview: Previews) -> None:
    """Seed 003, Event Mapping: the first sample, with the email trimmed and in lower case."""
    [shown] = preview(event("track", TRAITS, event="Signed Up", properties={"method": "email"}))

    values = {
        "email_addresses": [{"email_address": "ada@example.com"}],
        "name": [{"first_name": "Ada", "last_name": "Lovelace", "full_name": "Ada Lovelace"}],
        "phone_numbers": [{"original_phone_number": "+15558675309"}],
        "job_title": [{"value": "Senior Developer"}],
    }
    assert {
        "destination": "attio",
        "event": "Signed Up",
        "line": 1,
        "outcome": "send",
        "reason": None,
        "notes": [],
        "method": "PUT",
        "url": URL,
        "body": {"data": {"values": values}},
    } == shown
    assert KEYS == list(shown)


def test_a_lead_is_shown_with_its_source(preview: Previews) -> None:
    """Seed 003, Event Mapping: the second sample."""
    properties = {"lead_source": "Pricing page demo request"}
    email = {"email": "ada@example.com"}

    [shown] = preview(event("track", email, event="Lead Generated", properties=properties))

    assert {
        "data": {
            "values": {
                "email_addresses": [{"email_address": "ada@example.com"}],
                "description": [{"value": "Pricing page demo request"}],
            }
        }
    } == shown["body"]


@pytest.mark.parametrize(
    "line, name, outcome, reason",
    [
        (event("track", event="Product Viewed"), "Product Viewed", "filtered", "not_this_event"),
        (event(traits={"first_name": "Ada"}), "Identified", "filtered", "no_identity"),
        (event("page"), None, "filtered", "not_this_event"),
        ('{"type": "identify", "traits": {', None, "rejected", "undecodable"),
        (b'{"type": "identify", "traits": {"email": "\xff"}}', None, "rejected", "undecodable"),
        (event("screen"), None, "rejected", "undecodable"),
        ("[]", None, "rejected", "undecodable"),
    ],
)
def test_what_is_not_sent_says_why(
    line: str | bytes, name: str | None, outcome: str, reason: str, preview: Previews
) -> None:
    """In the same shape, with nulls for the request; the command is fine."""
    assert [
        {"destination": "attio", "event": name, "line": 1, "outcome": outcome, "reason": reason}
        | {"notes": [], "method": None, "url": None, "body": None}
    ] == preview(line)
    assert Exit.OK == preview.code


def test_lines_are_numbered_as_in_the_file(preview: Previews) -> None:
    """Blank ones are passed over and counted."""
    assert [1, 4] == [shown["line"] for shown in preview(event(), "", "  ", event())]


def test_traits_are_remembered_within_the_file(preview: Previews) -> None:
    """Seed 003: identify, then a bare track; a track before it, or in another file, has nothing."""
    signed_up = event("track", {}, event="Signed Up", userId="u-123")

    shown = preview(signed_up, event(userId="u-123"), signed_up)

    assert ["no_identity", None, None] == [line["reason"] for line in shown]
    assert shown[1]["body"] == shown[2]["body"]
    assert ["no_identity"] == [line["reason"] for line in preview(signed_up)]


def test_the_two_calls_of_a_seed_give_its_request(preview: Previews) -> None:
    """Seed 000, Event Mapping: datafly.identify("u-123", {...}), then datafly.track("Signed Up"), word for word."""
    destination = "destinations:\n  splio: {type: splio_contacts, api_key: s3cret, default_list_id: newsletter}\n"
    jane = {"email": "jane@example.com", "first_name": "Jane", "last_name": "Doe", "phone": "+33612345678"}
    context = {"locale": "en-GB", "consent": {"canonical": {"marketing": True}}}
    common = {"userId": "u-123", "timestamp": "2026-06-06T10:30:00.000Z", "context": context}
    identify = {"type": "identify", "traits": jane | {"city": "Paris"}} | common
    track = {"type": "track", "event": "Signed Up"} | common

    _, shown = preview(json.dumps(identify), json.dumps(track), config=KAFKA + SOURCE + destination)

    assert {
        "email": "jane@example.com",
        "firstname": "Jane",
        "lastname": "Doe",
        "cellphone": "+33612345678",
        "language": "en",
        "creation_date": "2026-06-06T10:30:00Z",
        "lists": [{"id": "newsletter"}],
        "custom_fields": [{"id": "city", "value": "Paris"}],
    } == shown["body"]


def test_remembering_can_be_switched_off(preview: Previews) -> None:
    """An event then has the traits it brings."""
    config = SMALLEST.replace("source:\n", "source:\n  remember_traits: false\n")

    shown = preview(event(userId="u-123"), event("track", {}, event="Signed Up", userId="u-123"), config=config)

    assert [None, "no_identity"] == [line["reason"] for line in shown]


def test_each_enabled_destination_has_a_line(preview: Previews) -> None:
    """In the file's order, for each event."""
    config = SMALLEST + "  off: {type: attio, api_key: x, enabled: false}\n  more: {type: attio, api_key: x}\n"

    shown = preview(event(), event(), config=config)

    assert [(1, "attio"), (1, "more"), (2, "attio"), (2, "more")] == [
        (one["line"], one["destination"]) for one in shown
    ]


def test_a_call_that_always_comes_first_has_a_line_of_its_own(preview: Previews) -> None:
    """Attio is asked for the person's phones before one is sent only where there is none."""
    shown = preview(event(traits=TRAITS), config=SMALLEST + "    phone_mode: only_if_empty\n")

    assert ["POST", "PUT"] == [one["method"] for one in shown]
    assert [1, 1] == [one["line"] for one in shown]


def test_the_urls_follow_the_configuration(preview: Previews) -> None:
    """A path that is the vendor's own counts once."""
    [shown] = preview(event(), config=SMALLEST + "    base_url: http://127.0.0.1:9/v2/\n")

    assert "http://127.0.0.1:9/v2/objects/people/records?matching_attribute=email_addresses" == shown["url"]


def test_notes_are_shown(preview: Previews) -> None:
    """A phone number that cannot be completed is left out."""
    [shown] = preview(event(traits=ADA | {"phone": "06 12 34 56 78"}))

    assert ("send", ["phone_dropped"]) == (shown["outcome"], shown["notes"])


def test_events_that_are_too_old_are_shown_as_expired(preview: Previews) -> None:
    """By their own time, as at a call."""
    [shown] = preview(event(timestamp="2020-01-01T00:00:00Z"), config=SMALLEST + "    max_age: 1h\n")

    assert ("filtered", "expired") == (shown["outcome"], shown["reason"])


def test_a_secret_in_a_body_is_hidden(preview: Previews) -> None:
    """The configured key is never printed, whatever brings it there."""
    [shown] = preview(event(traits=ADA | {"job_title": "s3cret"}))

    assert [{"value": "***"}] == shown["body"]["data"]["values"]["job_title"]


def test_standard_input_is_read(preview: Previews, monkeypatch: pytest.MonkeyPatch) -> None:
    """As `-`."""
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(event().encode())))

    assert ["send"] == [shown["outcome"] for shown in preview.of("-")]


@pytest.mark.parametrize("file", ["missing.jsonl", "."])
def test_a_file_that_cannot_be_read_is_told(file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit 2, nothing on stdout."""
    assert Exit.BAD_FILE == run(["preview", "-c", str(written(tmp_path, SMALLEST)), str(tmp_path / file)])
    out, err = capsys.readouterr()
    assert "" == out
    assert "cannot be read" in err


def test_a_configuration_without_enabled_destinations_is_told(preview: Previews) -> None:
    """Exit 2: there is nothing to show."""
    config = SMALLEST.replace(DESTINATIONS, "destinations:\n  attio: {type: attio, api_key: x, enabled: false}\n")

    assert [] == preview(event(), config=config)
    assert Exit.BAD_FILE == preview.code
