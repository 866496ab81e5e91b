"""What the configuration of Splio contacts accepts, and what it makes of the preset."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from stream.errors import UserError
from stream.settings import mapping_of
from tests.destinations.splio_contacts.universe import KEY, settings_of
from tests.unit.configurations import KAFKA, SOURCE, loaded, refused

CITIES = {"city": "city", "company": "company", "country": "country"}
BLOCK = KAFKA + SOURCE + "destinations:\n  splio:\n    type: splio_contacts\n"


def test_the_defaults_are_those_of_the_contract() -> None:
    """Design 5, the keys of the type and the table of defaults."""
    settings = settings_of()

    assert ("https://api.splio.com", {"contacts": 15.0, "other": 8.0}, 16, 1, "key", False) == (
        settings.base_url,
        settings.rates,
        settings.concurrency,
        settings.batch.items,
        settings.ordering,
        settings.coalesce,
    )
    assert (None, None, CITIES, "email", "update", False, True, "iso", "auto", None) == (
        settings.default_list_id,
        settings.default_language,
        settings.custom_fields,
        settings.unique_key,
        settings.on_existing,
        settings.bulk,
        settings.subscribe,
        settings.creation_date_format,
        settings.ids_as_numbers,
        settings.default_region,
    )


@pytest.mark.parametrize(
    "batch,expected",
    [(None, (1000, 0.2)), ({"items": 50}, (50, 0.2)), ({"linger": "1s"}, (1000, 1.0))],
)
def test_bulk_gathers_a_thousand_for_a_fifth_of_a_second(
    batch: dict[str, Any] | None, expected: tuple[int, float]
) -> None:
    """Design 5, the table of defaults; each may be changed alone."""
    settings = settings_of(bulk=True, **({"batch": batch} if batch else {}))

    assert expected == (settings.batch.items, settings.batch.linger)


@pytest.mark.parametrize(
    "limit,rates",
    [
        (None, {"contacts": None, "other": None}),
        ({"contacts": "20/s"}, {"contacts": 20.0, "other": 8.0}),
        ({"contacts": None, "other": "60/m"}, {"contacts": None, "other": 1.0}),
    ],
)
def test_both_limits_are_set_apart(limit: object, rates: dict[str, float | None]) -> None:
    """Null lifts one, or both (design 5)."""
    assert rates == settings_of(rate_limit=limit).rates
    assert "contacts" == next(iter(settings_of(rate_limit=limit).rates))  # calls are paced by it


@pytest.mark.parametrize(
    "given",
    [
        "https://crm.example.com",
        "https://crm.example.com/",
        "https://crm.example.com/data/contacts",
        "https://crm.example.com/authenticate/",
    ],
)
def test_the_vendors_own_path_is_tolerated_in_the_address(given: str) -> None:
    """People copy addresses from documentation."""
    assert "https://crm.example.com" == settings_of(base_url=given).base_url


def test_neither_key_nor_token_is_shown() -> None:
    """Settings end up in logs and on screens."""
    assert not {KEY, "a.b.c"} & set(repr(settings_of(token="a.b.c")).split("'"))


@pytest.mark.parametrize(
    "changes,said",
    [
        ({"api_key": None}, "api_key or token is required"),
        ({"api_key": "two words"}, "one word"),
        ({"batch": {"items": 2}}, "1, or bulk: true"),
        ({"batch": {"items": 1001}, "bulk": True}, "at most 1000"),
        ({"fields": {"lists": "traits.lists"}}, "default_list_id"),
        ({"fields": {"custom_fields": "traits.custom"}}, "custom_fields"),
        ({"fields": {"email": None}}, "unique_key"),
        ({"default_region": "France"}, "two letters"),
        ({"default_language": "French"}, "two letters"),
        ({"default_list_id": " "}, "null for none"),
        ({"coalesce": True, "on_existing": "reject"}, "choose one"),
        ({"unique_key": {"field": "city", "from": "x"}}, "custom_fields.city"),
        ({"ids_as_numbers": True}, "'city' is no number"),
        ({"unique_key": "name"}, "unique_key"),
    ],
)
def test_what_splio_cannot_do_is_refused(changes: dict[str, Any], said: str) -> None:
    """Rather at the start than at the first event, and with what to do."""
    with pytest.raises(ValidationError, match=said):
        settings_of(**changes)


@pytest.mark.parametrize(
    "line,said",
    [
        ("", "api_key or token is required"),
        ("    api_key: x\n    rate_limit: 15/s\n", "destinations.splio.rate_limit must be a block of keys"),
        ("    api_key: x\n    rate_limit: {contact: 1/s}\n", "contact is not a known key: did you mean contacts?"),
        ("    api_key: x\n    ids_as_numbers: maybe\n", "must be 'auto', True or False"),
    ],
)
def test_a_mistake_is_told_with_its_place(tmp_path: Path, line: str, said: str) -> None:
    """As anywhere in the file."""
    assert said in refused(tmp_path, BLOCK + line)


def test_a_file_gives_what_it_says(tmp_path: Path) -> None:
    """The keys as design 5 writes them."""
    text = "    token: a.b.c\n    unique_key: {field: c0, from: traits.customer_id}\n    default_list_id: 25\n"

    settings = loaded(tmp_path, BLOCK + text + "    bulk: true\n    rate_limit: null\n").destinations["splio"]

    assert 1000 == settings.batch.items
    assert {"traits.customer_id"} == {settings.unique_key.source}  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "custom,place",
    [
        ({"city": "city |"}, "destinations.splio.custom_fields.city: "),
        ({"city": "city | uper"}, "did you mean upper?"),
        ({"city": "trait.city"}, "no path starts with trait, did you mean traits?"),
    ],
)
def test_a_wrong_expression_is_told_with_its_place(custom: dict[str, str], place: str) -> None:
    """And with a caret, as any expression."""
    with pytest.raises(UserError) as error:
        mapping_of("splio", settings_of(custom_fields=custom))

    assert place in error.value.text


def test_what_is_remembered_of_a_contact_is_what_the_mapping_reads() -> None:
    """Custom fields and the unique key included (design 7, State)."""
    settings = settings_of(
        custom_fields={"1": "address.city ?? town"}, unique_key={"field": "0", "from": "customer_id"}
    )

    assert {"email", "phone", "first_name", "last_name", "address", "town", "customer_id"} == mapping_of(
        "splio", settings
    ).traits
