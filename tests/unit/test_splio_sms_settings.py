"""What the configuration of a Splio Trigger SMS destination accepts, and where its mistakes are told."""

from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from pydantic import ValidationError

from stream.destinations.splio_sms.settings import QuietHours
from stream.settings import mapping_of
from tests.destinations.splio_sms.universe import RULE, settings_of
from tests.unit.configurations import KAFKA, SOURCE, loaded, refused

TEXTS = """destinations:
  texts:
    type: splio_sms
    universe: acme
    key: s3cret
    rules:
      - {event: Signed Up, message: 6tJglf8zd}
"""


def test_the_defaults_are_those_of_the_contract() -> None:
    """Design 5, both tables."""
    settings = settings_of(rate_limit=5.0)
    [rule] = settings.rules

    assert ("https://s3s.fr", "PUT", "park", 3600.0, None, None) == (
        settings.base_url,
        settings.method,
        settings.on_unknown,
        settings.max_age,
        settings.quiet_hours,
        settings.default_region,
    )
    assert (5.0, 4, 1, "key") == (
        type(settings).model_fields["rate_limit"].default,
        settings.concurrency,
        settings.batch.items,
        settings.ordering,
    )
    assert ("traits.phone", None, None, {}, False) == (
        rule.to,
        rule.opcode,
        rule.category,
        rule.fields,
        rule.transactional,
    )


@pytest.mark.parametrize("path", ["", "/", "/api", "/api/triggersms", "/api/triggersms/", "/api/triggersms/nph-4.pl"])
def test_the_seeds_full_path_is_tolerated_in_the_address(path: str) -> None:
    """Seed 001 names the base URL with it (design 5)."""
    assert "https://sms.example.com" == settings_of(base_url=f"https://sms.example.com{path}").base_url


def test_keys_and_the_test_number_are_not_shown() -> None:
    """Settings end up in logs and on screens."""
    shown = repr(settings_of(data_api_key="data-s3cret", test_number="+33698765432"))

    assert not [secret for secret in ("my_api_key", "data-s3cret", "98765432") if secret in shown]


def test_a_key_copied_with_its_line_end_works() -> None:
    """Files and clipboards add one."""
    assert "secret" == settings_of(key=" secret\n").key.get_secret_value()


@pytest.mark.parametrize(
    "changes",
    [
        {"rules": []},
        {"rules": [RULE, RULE]},
        {"rules": [{"event": "Signed Up", "message": "6tJglf8z"}]},
        {"rules": [{"event": "Signed Up", "message": "6tJglf8z!"}]},
        {"rules": [RULE | {"fields": {"cellphone": "traits.phone"}}]},
        {"rules": [RULE | {"fields": {"customer field": "traits.phone"}}]},
        {"fields": {"cellphone": "traits.phone"}},
        {"events": ["Logged In"]},
        {"batch": {"items": 2}},
        {"coalesce": True},
        {"method": "GET"},
        {"on_unknown": "ignore"},
        {"key": ""},
        {"universe": ""},
        {"default_region": "France"},
        {"test_number": "06 12 34 56 78"},
        {"quiet_hours": {"from": "21:00", "to": "21:00", "timezone": "Europe/Paris"}},
        {"quiet_hours": {"from": "9:00", "to": "21:00", "timezone": "Europe/Paris"}},
        {"quiet_hours": {"from": "21:00", "to": "24:00", "timezone": "Europe/Paris"}},
        {"quiet_hours": {"from": "21:00", "to": "08:00", "timezone": "Europe/Pari"}},
        {"quiet_hours": {"from": "21:00", "to": "08:00", "timezone": "../etc"}},
        {"quiet_hours": {"from": "21:00", "to": "08:00", "timezone": ""}},
        {"quiet_hours": {"from": "21:00", "to": "08:00"}},
    ],
)
def test_what_cannot_work_is_refused(changes: dict[str, Any]) -> None:
    """Rather at the start than at the first event."""
    with pytest.raises(ValidationError):
        settings_of(**changes)


@pytest.mark.parametrize(
    "added, told",
    [
        ("      - {event: Signed Up, message: 7uKhmg9ae}\n", "'Signed Up' has two rules"),
        ("      - {event: Ordered, mesage: 7uKhmg9ae}\n", "did you mean message?"),
        ("      - {event: Ordered, message: 7uKhmg9ae, to: phone}\n", "destinations.texts.rules[1].to"),
        ("      - {event: Ordered, message: 7uKhmg9ae, to: traits.phone | e16}\n", "did you mean e164?"),
        (
            "      - {event: Ordered, message: 7uKhmg9ae, fields: {c0: order}}\n",
            "destinations.texts.rules[1].fields.c0",
        ),
        (
            "      - {event: Ordered, message: 7uKhmg9ae, fields: {c0: null}}\n",
            "destinations.texts.rules[1].fields.c0: there is no such field",
        ),
        ("    fields: {c0: order}\n", "destinations.texts.fields.c0"),
        ("    consent: {firstnam: marketing}\n", "did you mean firstname?"),
        ("    quiet_hours: {frm: '21:00', to: '08:00', timezone: UTC}\n", "did you mean from?"),
    ],
)
def test_a_mistake_is_told_with_its_place(added: str, told: str, tmp_path: Path) -> None:
    """So that one finds it in the file."""
    assert told in refused(tmp_path, KAFKA + SOURCE + TEXTS + added)


def test_rules_and_quiet_hours_are_read_from_a_file(tmp_path: Path) -> None:
    """Times stay what was written (design 10)."""
    quiet = "    quiet_hours: {from: 21:00, to: 08:00, timezone: Europe/Paris}\n"

    settings = loaded(tmp_path, KAFKA + SOURCE + TEXTS + quiet).destinations["texts"].model_dump()

    assert {"start": "21:00", "to": "08:00", "timezone": "Europe/Paris"} == settings["quiet_hours"]


def test_a_rule_may_remove_a_field_that_all_others_have() -> None:
    """And consent asked for a field is asked where the field is."""
    settings = settings_of(
        rules=[RULE | {"fields": {"c0": None}}, {"event": "Ordered", "message": "7uKhmg9ae"}],
        fields={"c0": "traits.plan"},
        consent={"c0": "personalization"},
    )

    assert {"phone", "first_name", "last_name", "plan"} == mapping_of("texts", settings).traits


def quiet(start: str, to: str, at: str, timezone: str = "Europe/Paris") -> bool:
    """Whether it is quiet at a local time."""
    hours = QuietHours.model_validate({"from": start, "to": to, "timezone": timezone})
    return hours.cover(datetime.fromisoformat(at).replace(tzinfo=ZoneInfo("Europe/Paris")).timestamp())


@pytest.mark.parametrize(
    "at, expected",
    [
        ("2026-06-06T20:59:59", False),
        ("2026-06-06T21:00:00", True),
        ("2026-06-06T23:59:59", True),
        ("2026-06-07T00:00:00", True),
        ("2026-06-07T07:59:59", True),
        ("2026-06-07T08:00:00", False),
        ("2026-12-06T20:59:59", False),  # winter: another offset, the same clock
        ("2026-12-06T21:00:00", True),
    ],
)
def test_quiet_hours_may_go_over_midnight(at: str, expected: bool) -> None:
    """From the first minute on, up to the last: design 5's own example."""
    assert expected is quiet("21:00", "08:00", at)


@pytest.mark.parametrize("at, expected", [("2026-06-06T11:59:59", False), ("2026-06-06T12:30:00", True)])
def test_quiet_hours_may_be_within_a_day(at: str, expected: bool) -> None:
    """A lunch break."""
    assert expected is quiet("12:00", "14:00", at)


def test_quiet_hours_are_those_of_their_time_zone() -> None:
    """21:30 in Paris is 15:30 in New York."""
    assert quiet("21:00", "08:00", "2026-06-06T21:30:00")
    assert not quiet("21:00", "08:00", "2026-06-06T21:30:00", "America/New_York")
