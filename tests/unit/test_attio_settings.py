"""What the configuration of an Attio destination accepts."""

import pytest
from pydantic import ValidationError

from stream.core.records import Fields
from tests.destinations.attio.workspace import destination_of, settings_of


def test_the_defaults_are_those_of_the_contract() -> None:
    """Design 5, the table of defaults."""
    settings = settings_of()

    assert ("https://api.attio.com", 20.0, 32, 1, "key", "overwrite", None) == (
        settings.base_url,
        settings.rate_limit,
        settings.concurrency,
        settings.batch.items,
        settings.ordering,
        settings.phone_mode,
        settings.default_region,
    )


@pytest.mark.parametrize(
    "given",
    [
        "https://crm.example.com",
        "https://crm.example.com/",
        "https://crm.example.com/v2",
        "https://crm.example.com/v2/",
    ],
)
def test_the_vendors_own_path_is_tolerated_in_the_address(given: str) -> None:
    """People copy addresses from documentation."""
    assert "https://crm.example.com" == settings_of(base_url=given).base_url


def test_the_key_is_not_shown() -> None:
    """Settings end up in logs and on screens."""
    assert "attio-test-key" not in repr(settings_of())


def test_a_key_copied_with_its_line_end_works() -> None:
    """Files and clipboards add one."""
    assert "secret" == settings_of(api_key=" secret\n").api_key.get_secret_value()


@pytest.mark.parametrize("key", ["", "two words", "clé", "a\nb"])
def test_a_key_that_no_header_can_hold_is_refused_unseen(key: str) -> None:
    """The complaint does not repeat it."""
    with pytest.raises(ValidationError) as refused:
        settings_of(api_key=key)

    assert not key or key not in str(refused.value)


@pytest.mark.parametrize(
    "changes",
    [
        {"batch": {"items": 2}},
        {"fields": {"email_addresses": "traits.email"}},
        {"fields": {"phone_numbers": "traits.phone"}},
        {"fields": {"email": None}},
        {"default_region": "France"},
        {"phone_mode": "sometimes"},
    ],
)
def test_what_attio_cannot_do_is_refused(changes: dict[str, object]) -> None:
    """Rather at the start than at the first event."""
    with pytest.raises(ValidationError):
        settings_of(**changes)


def test_a_newer_name_replaces_all_of_an_older_one() -> None:
    """Merged updates leave the person as the two would in order; an assert always carries all three parts."""
    older: Fields = {"email": "ada@example.com", "name": "Ada Byron", "job_title": "Poet"}
    newer: Fields = {"email": "ada@example.com", "first_name": "Ada", "last_name": "Lovelace"}

    merged = destination_of(settings_of()).merged(older, newer)

    assert {
        "email": "ada@example.com",
        "job_title": "Poet",
        "first_name": "Ada",
        "last_name": "Lovelace",
    } == merged


def test_the_older_of_two_phones_fills_the_gap() -> None:
    """With only_if_empty the first one sent would have been kept."""
    older: Fields = {"email": "ada@example.com", "phone": "+15558675309"}
    newer: Fields = {"email": "ada@example.com", "phone": "+33612345678"}

    assert older == destination_of(settings_of(phone_mode="only_if_empty")).merged(older, newer)
    assert newer == destination_of(settings_of()).merged(older, newer)
