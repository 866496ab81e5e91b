"""What a configuration of Splio's files may say, and what it is told where it may not."""

from typing import Any

import pytest
from pydantic import ValidationError

from stream.destinations import REGISTRY
from stream.destinations.splio_files.columns import columns_of, fingerprint, rules_of
from stream.destinations.splio_files.settings import SplioFilesSettings
from stream.errors import UserError
from stream.mapping import load_preset
from tests.destinations.splio_files.drop import HOST_KEY, settings_of

PRESET = load_preset(REGISTRY["splio_files"].preset)

FINGERPRINT = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU"


def columns(**changes: Any) -> tuple[str, ...]:
    settings = settings_of(**changes)
    return columns_of(settings, rules_of(settings, PRESET, "destinations.files"))


def made_by(**changes: Any) -> str:
    settings = settings_of(**changes)
    return fingerprint(settings, rules_of(settings, PRESET, "destinations.files"))


def test_the_defaults_are_the_documents() -> None:
    """Design 5, the table's row."""
    settings = settings_of()

    assert ("sftp.splio.com", 22, "/imports", True, 900.0, 199_999, "00") == (
        settings.host,
        settings.port,
        settings.folder,
        settings.insert,
        settings.every,
        settings.max_rows,
        settings.phone_format,
    )
    assert ("crm", "crmupd") == (settings.subsequence.insert, settings.subsequence.update)
    assert "sftp://sftp.splio.com/imports" == settings.address


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"password": None}, "password or private_key_file is required"),
        ({"private_key_file": "key"}, "password or private_key_file is required, one of them"),
        ({"host_key": None}, "ssh-keyscan sftp.splio.com"),
        ({"known_hosts": "known"}, "one of them"),
        ({"host_key": "ssh-ed25519"}, "ssh-keyscan"),
        ({"host_key": "not a key"}, "ssh-keyscan"),
        ({"host_key": "SHA256:abc"}, "ssh-keyscan"),
        ({"custom_attributes": ["tier"]}, "fields_exist"),
        ({"custom_attributes": ["tier", "tier"], "fields_exist": True}, "tier is there twice"),
        ({"custom_attributes": {"a;b": "traits.a"}, "fields_exist": True}, "cannot be a column"),
        ({"attributes": {'a"b': "traits.a"}}, "cannot be a column"),
        ({"custom_attributes": {"a": {"expression": "traits.a", "type": "bool"}}, "fields_exist": True}, "date"),
        ({"fields": {"email": None}}, "email cannot be removed"),
        ({"max_rows": 200_000}, "199999"),
        ({"max_rows": 0}, "1"),
        ({"folder": "imports"}, "folder"),
        ({"universe": "acme corp"}, "universe"),
        ({"subsequence": {"insert": "crm_1"}}, "insert"),
        ({"default_region": "France"}, "two letters"),
        ({"concurrency": 2}, "must be 1"),
        ({"password": " "}, "blank"),
        ({"evry": "1h"}, "evry"),
    ],
)
def test_a_mistake_is_told(changes: dict[str, Any], words: str) -> None:
    """With what to do, and without what is secret."""
    given = {"type": "splio_files", "universe": "acme", "password": "secret-word", "host_key": HOST_KEY, **changes}
    with pytest.raises(ValidationError) as raised:
        SplioFilesSettings.model_validate({key: value for key, value in given.items() if value is not None})

    assert words in str(raised.value)
    assert "secret-word" not in str(raised.value)


@pytest.mark.parametrize(
    "given, kept",
    [
        (f"SHA256:{FINGERPRINT}", f"SHA256:{FINGERPRINT}"),
        (f"{FINGERPRINT}=", f"SHA256:{FINGERPRINT}"),
        ("ssh-ed25519 AAAAC3Nz comment", "ssh-ed25519 AAAAC3Nz"),
        ("[sftp.splio.com]:22 ecdsa-sha2-nistp256 AAAAE2Vj", "ecdsa-sha2-nistp256 AAAAE2Vj"),
    ],
)
def test_a_host_key_is_taken_as_it_is_copied(given: str, kept: str) -> None:
    """From ssh-keyscan, ssh-keygen -l or a known_hosts file."""
    assert kept == settings_of(host_key=given).host_key


def test_a_list_of_custom_attributes_is_of_traits_of_the_same_name() -> None:
    """Seed 002: the field has the same name on both sides."""
    settings = settings_of(custom_attributes=["tier", "Code postal"], fields_exist=True)

    assert {"tier": "traits.'tier'", "Code postal": "traits.'Code postal'"} == settings.custom_attributes


def test_the_columns_are_the_presets_and_then_what_is_added() -> None:
    """In the order of the file; the email first."""
    assert ("email", "firstname", "lastname", "cellphone", "language", "c1", "tier") == columns(
        attributes={"c1": "traits.a"}, custom_attributes=["tier"], fields_exist=True
    )
    assert ("email", "firstname", "lastname", "language", "c9") == columns(fields={"cellphone": None, "c9": "traits.b"})


@pytest.mark.parametrize(
    "changes",
    [
        {"attributes": {"firstname": "traits.name"}},
        {"attributes": {"c1": "traits.a"}, "custom_attributes": ["c1"], "fields_exist": True},
        {"fields": {"c1": "traits.a"}, "custom_attributes": ["c1"], "fields_exist": True},
    ],
)
def test_a_column_that_is_there_twice_is_an_error(changes: dict[str, Any]) -> None:
    """That names the place."""
    with pytest.raises(UserError, match=r"destinations\.files\.(custom_)?attributes\.\w+: the column is there already"):
        columns(**changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"attributes": {"c1": "traits.a"}},
        {"fields": {"firstname": "traits.name"}},
        {"fields": {"cellphone": None}},
        {"phone_format": "plus"},
        {"default_region": "FR"},
        {"consent": {"cellphone": "marketing"}},
    ],
)
def test_what_makes_other_values_is_another_mapping(changes: dict[str, Any]) -> None:
    """So that everybody is sent again (destinations 4.2)."""
    assert made_by() != made_by(**changes)


@pytest.mark.parametrize(
    "changes", [{"insert": False}, {"every": "1h"}, {"segment": "traits.a | exists"}, {"port": 2022}]
)
def test_what_makes_the_same_values_is_the_same_mapping(changes: dict[str, Any]) -> None:
    """Nobody is sent again for it."""
    assert made_by() == made_by(**changes)


def test_a_segment_is_a_condition() -> None:
    """An expression of another kind would let everybody in, or nobody."""
    with pytest.raises(UserError, match="segment: it is no condition"):
        settings_of(segment="traits.tier").mapping(PRESET, config={}, place="destinations.files")


def test_a_wrong_expression_is_told_with_its_place() -> None:
    """Where it was written."""
    with pytest.raises(UserError, match=r"destinations\.files\.attributes\.c1"):
        settings_of(attributes={"c1": "trait.a"}).mapping(PRESET, config={}, place="destinations.files")
