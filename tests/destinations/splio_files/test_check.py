"""The connection test (destinations 4.6), and what it says where it cannot know."""

import pytest

from stream.destinations.base import Check
from stream.http import NotSent
from tests.destinations.splio_files.drop import HOST_KEY, drop


def lines(checks: list[Check]) -> list[tuple[str, bool | None]]:
    return [(check.name, check.ok) for check in checks]


async def test_all_is_well() -> None:
    """Login, folder, a hidden file written, renamed and deleted; what SFTP does not tell is said (seed 002)."""
    async with drop(custom_attributes=["tier"]) as there:
        checks = await there.checks()

        assert [
            ("login", True),
            ("folder", True),
            ("write", True),
            ("imports", None),
            ("attribute tier", True),
        ] == lines(checks)
        assert "account manager" in checks[3].text
        assert "creates it as text" in checks[4].text
        assert [] == there.sandbox.files
        assert {1: "civility"} == there.sandbox.importer.attributes  # a test changes nothing


@pytest.mark.parametrize("insert, words", [(True, "crm may insert"), (False, "crmupd may update")])
async def test_the_reminder_names_the_import(*, insert: bool, words: str) -> None:
    """Insert and update are agreed with Splio, each by its sub-sequence."""
    async with drop(insert=insert) as there:
        [reminder] = there.files.settings.reminders

    assert words in reminder


@pytest.mark.parametrize("fault", ["wrong_password", "forbidden", "no_folder"])
async def test_what_needs_a_person_is_refused(fault: str) -> None:
    """With what to do."""
    async with drop() as there:
        there.sandbox.faults = there.sandbox.faults_model.model_validate({fault: True})
        last = (await there.checks())[-1]

    assert last.ok is False
    assert last.hint


async def test_another_host_key_is_refused() -> None:
    """Never accepted by itself."""
    async with drop(host_key=HOST_KEY) as there:
        assert [("sftp", False)] == lines(await there.checks())


async def test_a_server_that_is_away_says_nothing_about_the_settings() -> None:
    """So nothing is refused."""
    async with drop() as there:
        there.sandbox.faults = there.sandbox.faults_model(down=True)
        with pytest.raises(NotSent, match="cannot be reached"):
            await there.checks()


async def test_an_attribute_that_should_be_there_is_looked_up() -> None:
    """By its name, or as c and its id."""
    async with drop(attributes={"civility": "traits.a", "c1": "traits.b", "teir": "traits.tier"}) as there:
        found = lines(await there.checks())[-3:]

    assert [("attribute civility", True), ("attribute c1", True), ("attribute teir", False)] == found


async def test_without_a_key_attributes_are_the_operators_word() -> None:
    """Said each time."""
    async with drop(api_key=None, fields_exist=True, custom_attributes=["tier"]) as there:
        last = (await there.checks())[-1]

    assert ("attributes", None) == (last.name, last.ok)
    assert "tier" in last.text


async def test_a_wrong_data_api_key_is_refused() -> None:
    """As 400, which Splio answers (destinations 2.3)."""
    async with drop(api_key="wrong", custom_attributes=["tier"]) as there:
        with pytest.raises(Exception, match="request for a token"):
            await there.checks()
