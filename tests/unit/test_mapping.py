"""Mappings: a preset, what the configuration changes in it, and what becomes of events."""

from pathlib import Path
from typing import Any

import pytest

from schemas.events import Event
from stream.core.outcomes import Filtered
from stream.errors import Exit, UserError
from stream.mapping import Mapped, Mapping, Preset, compile_mapping, load_preset, read_preset

PRESET = """
events: [Identified, Signed Up, Lead Generated]
identity: [email, phone]
fields:
  email: traits.email | trim | lower
  phone: traits.phone | e164(config.default_region)
  first_name: traits.first_name | trim
  source: {value: properties.lead_source, events: [Lead Generated]}
  version: 2
  active: true
"""


def preset(tmp_path: Path, text: str = PRESET) -> Preset:
    path = tmp_path / "preset.yaml"
    path.write_text(text, encoding="utf-8")
    return load_preset(path)


@pytest.fixture
def shipped(tmp_path: Path) -> Preset:
    return preset(tmp_path)


def event(name: str = "Signed Up", /, *, consent: Any = None, notes: tuple[str, ...] = (), **traits: Any) -> Event:
    context = {} if consent is None else {"consent": {"canonical": consent}}
    return Event("track", name, traits=traits, properties={"lead_source": "Pricing page"}, context=context, notes=notes)


def fields(mapping: Mapping, event: Event) -> dict[str, object]:
    found = mapping.map(event)
    assert isinstance(found, Mapped), found
    return found.fields


def complaint(shipped: Preset, **changes: Any) -> UserError:
    with pytest.raises(UserError) as caught:
        compile_mapping(shipped, place="destinations.attio", **changes)
    assert Exit.BAD_FILE == caught.value.exit_code
    return caught.value


def test_an_event_becomes_flat_fields(shipped: Preset) -> None:
    """Only those that have a value; literals are typed as written."""
    mapping = compile_mapping(shipped)

    assert Mapped(
        {"email": "ada@example.com", "phone": "+15558675309", "version": 2, "active": True}, notes=()
    ) == mapping.map(event(email=" Ada@Example.com ", phone="+1 555 867 5309", first_name=""))


def test_a_field_may_be_for_some_events_only(shipped: Preset) -> None:
    """Others are delivered without it."""
    mapping = compile_mapping(shipped)

    assert "Pricing page" == fields(mapping, event("Lead Generated", email="ada@example.com"))["source"]
    assert "source" not in fields(mapping, event("Signed Up", email="ada@example.com"))


def test_only_listed_events_are_taken(shipped: Preset) -> None:
    """By exact name; pages and groups, which have none, never."""
    mapping = compile_mapping(shipped)

    assert mapping.takes(event("Signed Up"))
    for other in (event("signed up"), event("Order Completed"), Event("page"), Event("group")):
        assert not mapping.takes(other)
        assert Filtered("not_this_event") == mapping.map(other)


def test_the_configured_events_replace_the_presets(shipped: Preset) -> None:
    """Also by ones that the preset does not know."""
    mapping = compile_mapping(shipped, events=["Order Completed"])

    assert mapping.takes(event("Order Completed"))
    assert not mapping.takes(event("Signed Up"))


@pytest.mark.parametrize(
    "traits", [{}, {"email": " "}, {"email": 42}, {"email": ["ada@example.com"]}, {"phone": "0612"}]
)
def test_an_event_without_identity_is_filtered(shipped: Preset, traits: dict[str, Any]) -> None:
    """Missing, blank, of the wrong type, or a phone that cannot be one."""
    assert Filtered("no_identity") == compile_mapping(shipped).map(event(**traits))


def test_one_identity_is_enough(shipped: Preset) -> None:
    """Any of those the preset names."""
    assert "email" not in fields(compile_mapping(shipped), event(phone="+33612345678"))


def test_a_preset_may_ask_for_no_identity() -> None:
    """Then every event of a listed name is mapped."""
    nameless = read_preset({"events": ["Signed Up"], "fields": {"id": "userId"}}, place="preset.yaml")

    assert {} == fields(compile_mapping(nameless), event())


def test_notes_tell_what_was_left_out(shipped: Preset) -> None:
    """After the event's own, each once, in the order of the fields."""
    mapping = compile_mapping(shipped, fields={"last_name": "traits.last_name | trim"})
    found = mapping.map(
        event(email="ada@example.com", phone="unknown", first_name=7, last_name=[1], notes=("timestamp_replaced",))
    )

    assert isinstance(found, Mapped)
    assert ("timestamp_replaced", "phone_dropped", "field_ignored") == found.notes


def test_the_configuration_changes_adds_and_removes_fields(shipped: Preset) -> None:
    """An expression or one with its events; null removes."""
    mapping = compile_mapping(
        shipped,
        fields={
            "first_name": "traits.nick",
            "role": {"value": "traits.role | trim", "events": ["Signed Up"]},
            "phone": None,
            "version": 3,
        },
    )
    found = fields(mapping, event(email="ada@example.com", nick="Ada", role="Dev ", phone="+33612345678"))

    assert {"email": "ada@example.com", "first_name": "Ada", "version": 3, "active": True, "role": "Dev"} == found


def test_settings_reach_expressions(shipped: Preset) -> None:
    """Here the region of numbers without country code."""
    mapping = compile_mapping(shipped, config={"default_region": "FR"})

    assert "+33612345678" == fields(mapping, event(phone="06 12 34 56 78"))["phone"]


GRANTED: dict[str, Any] = {"marketing": True, "analytics": False}


@pytest.mark.parametrize(
    "consent", [None, {}, {"marketing": None}, {"marketing": "true"}, {"marketing": 1}, "marketing", True]
)
def test_an_event_without_the_consent_it_needs_is_filtered(shipped: Preset, consent: Any) -> None:
    """Only exactly true grants (fact sheet, section 1.3)."""
    mapping = compile_mapping(shipped, consent={"*": "marketing"})

    assert Filtered("no_consent") == mapping.map(event(email="ada@example.com", consent=consent))


def test_a_flat_consent_is_none(shipped: Preset) -> None:
    """Booleans beside `canonical` are not ours to read."""
    mapping = compile_mapping(shipped, consent={"*": "marketing"})
    flat = Event("track", "Signed Up", traits={"email": "ada@example.com"}, context={"consent": {"marketing": True}})

    assert Filtered("no_consent") == mapping.map(flat)


def test_a_granted_consent_lets_the_event_through(shipped: Preset) -> None:
    """Other categories do not matter."""
    mapping = compile_mapping(shipped, consent={"*": "marketing"})

    assert fields(mapping, event(email="ada@example.com", consent=GRANTED))


def test_a_field_may_need_a_consent_of_its_own(shipped: Preset) -> None:
    """Without it the rest is delivered, with a note; where there is no value there is no note."""
    mapping = compile_mapping(shipped, consent={"phone": "analytics", "email": "marketing"})

    assert Mapped({"email": "ada@example.com", "version": 2, "active": True}, ("field_no_consent",)) == mapping.map(
        event(email="ada@example.com", phone="+33612345678", consent=GRANTED)
    )
    assert Mapped({"email": "ada@example.com", "version": 2, "active": True}, ()) == mapping.map(
        event(email="ada@example.com", consent=GRANTED)
    )


def test_filters_are_judged_in_order(shipped: Preset) -> None:
    """Not this event, then no identity, then no consent."""
    mapping = compile_mapping(shipped, consent={"*": "marketing"})

    assert Filtered("not_this_event") == mapping.map(event("Order Completed"))
    assert Filtered("no_identity") == mapping.map(event())
    assert Filtered("no_consent") == mapping.map(event(email="ada@example.com"))


@pytest.mark.parametrize(
    "changes,text",
    [
        (
            {"fields": {"phon": None}},
            "destinations.attio.fields.phon: there is no such field to remove, did you mean phone?",
        ),
        ({"fields": {"email": None, "phone": None}}, "destinations.attio.fields: email or phone must stay"),
        (
            {"consent": {"fone": "marketing"}},
            "destinations.attio.consent.fone: there is no such field, did you mean phone?",
        ),
        ({"events": []}, "destinations.attio.events: needs the names of events"),
        ({"events": [" "]}, "destinations.attio.events: needs the names of events"),
        ({"fields": {"role": "traits.role | trin"}}, "destinations.attio.fields.role: no transform is called trin"),
        ({"fields": {"role": ["traits.role"]}}, "destinations.attio.fields.role.value: Input should be a valid string"),
        ({"fields": {"role": {"valu": "traits.role"}}}, "destinations.attio.fields.role.value: Field required"),
        (
            {"fields": {"role": {"value": "traits.role", "event": ["x"]}}},
            "destinations.attio.fields.role.event: Extra inputs are not permitted",
        ),
        ({"config": {"default_region": "XX"}}, "destinations.attio.fields.phone: e164 needs a country's two letters"),
    ],
)
def test_a_mistake_in_the_configuration_names_its_place(shipped: Preset, changes: dict[str, Any], text: str) -> None:
    """And the nearest name, where a name is wrong."""
    assert complaint(shipped, **changes).text.startswith(text)


@pytest.mark.parametrize(
    "text,message",
    [
        ("events: [Signed Up]\nfields: {email: traits.email ?? 'x'", "preset.yaml, line 2: "),
        ("events: [Signed Up]", "preset.yaml.fields: Field required"),
        ("events: [Signed Up]\nfields: {}\nidentities: [email]", "preset.yaml.identities: Extra inputs"),
        ("- events", "preset.yaml: "),
        ("", "preset.yaml: "),
        ("\x00", "preset.yaml"),
    ],
)
def test_a_mistake_in_a_preset_names_its_place(tmp_path: Path, text: str, message: str) -> None:
    """The file's name and the line or the key."""
    with pytest.raises(UserError) as caught:
        preset(tmp_path, text)

    assert caught.value.text.startswith(message)
    assert Exit.BAD_FILE == caught.value.exit_code


def test_a_preset_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """A missing file, here."""
    with pytest.raises(UserError, match=r"gone\.yaml cannot be read"):
        load_preset(tmp_path / "gone.yaml")


def test_identity_of_a_preset_must_be_among_its_fields() -> None:
    """Else every event would be filtered."""
    broken = Preset.model_validate(
        {"events": ["Signed Up"], "identity": ["emial"], "fields": {"email": "traits.email"}}
    )

    assert "emial must stay" in complaint(broken).text
