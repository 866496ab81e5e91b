"""The stand-in is as strict as Splio's importer (destinations 4.4)."""

from collections.abc import Callable
from typing import Any

import asyncssh
import pytest

from stream.destinations.splio_files.imports import Importer
from stream.destinations.splio_files.sftp import logged_in
from tests.destinations.splio_files.drop import drop

NAME = "acme_contacts_crm_20260606_1.csv"
ROW = 'email;firstname\n"jane@example.com";"Jane"\n'


def imported(content: str | bytes, name: str = NAME) -> Importer:
    """An importer that has read this."""
    importer = Importer("acme", {"crm": True, "crmupd": False}, {3: "tier"})
    list(importer.read(name, content.encode() if isinstance(content, str) else content))
    return importer


@pytest.mark.parametrize(
    "content, why",
    [
        (ROW.encode("utf-8-sig"), "byte order mark"),
        (ROW.encode("utf-16"), "not UTF-8"),
        (ROW[:-1], "within a line"),
        ("email\n" + "jane@example.com\n" * 200_000, "more than 200000 lines"),
        ("email;teir\njane@example.com;gold\n", "unknown columns: teir"),
        ("email;Firstname\njane@example.com;Jane\n", "unknown columns"),
        ("email;email\na@example.com;b@example.com\n", "twice"),
        ("firstname\nJane\n", "email is not"),
        ("email;firstname\njane@example.com\n", "as long as"),
        ('email;firstname\n"jane@example.com";"Ja\nne"\n', "several lines"),
    ],
)
def test_a_file_that_breaks_a_rule_is_skipped_whole(content: str | bytes, why: str) -> None:
    """And nobody is told but by its report."""
    importer = imported(content)

    assert why in importer.reports[0].skipped
    assert {} == importer.contacts


@pytest.mark.parametrize("name", ["acme_contacts_other_20260606_1.csv", "acme_orders_crm_20260606_1.csv", "x.csv"])
def test_a_file_of_another_name_is_nobodys(name: str) -> None:
    """The sub-sequence must be declared."""
    assert "no import" in imported(ROW, name).reports[0].skipped


def test_a_name_is_imported_once() -> None:
    """Whatever is in it."""
    importer = imported(ROW)
    list(importer.read(NAME, ROW.encode()))

    assert "was there before" in importer.reports[1].skipped


@pytest.mark.parametrize("row", ['"jane"', '"Jane@example.com"', '"' + "j" * 100 + '@example.com"'])
def test_a_bad_row_costs_only_itself(row: str) -> None:
    """The file continues."""
    importer = imported(f'email\n{row}\n"max@example.com"\n')

    assert ["max@example.com"] == list(importer.contacts)
    assert 1 == len(importer.reports[0].refused)


def test_an_import_that_only_updates_inserts_nobody() -> None:
    """Whoever Splio does not have is passed over (seed 002)."""
    importer = imported(ROW)
    list(importer.read(NAME.replace("crm_", "crmupd_"), ROW.replace("Jane", "Joan").encode() + b'"max@example.com";\n'))

    assert {"jane@example.com": {"email": "jane@example.com", "firstname": "Joan"}} == importer.contacts
    assert (0, 1, 1) == tuple(getattr(importer.reports[1], what) for what in ("inserted", "updated", "unknown"))


def test_attributes_go_by_name_or_number() -> None:
    """`c3` is the attribute of id 3."""
    assert {"tier": "gold"}.items() <= imported("email;tier\na@example.com;gold\n").contacts["a@example.com"].items()
    assert {"c3": "gold"}.items() <= imported("email;c3\na@example.com;gold\n").contacts["a@example.com"].items()


Act = Callable[[asyncssh.SFTPClient], Any]


async def _write(session: asyncssh.SFTPClient, path: str) -> None:
    async with session.open(path, "wb") as file:
        await file.write(b"half")


@pytest.mark.parametrize(
    "act",
    [
        lambda session: _write(session, "/elsewhere.csv"),
        lambda session: _write(session, "/imports/../elsewhere.csv"),
        lambda session: session.remove("/imports"),
        lambda session: session.rename("/imports", "/exports"),
    ],
)
async def test_the_login_may_write_in_its_folder_only(act: Act) -> None:
    """Splio restricts it to the folders that its processes made (destinations 4.3)."""
    async with drop() as there, logged_in(there.files.settings) as session:
        with pytest.raises(asyncssh.SFTPError):
            await act(session)


async def test_a_file_under_its_final_name_is_read_as_it_is() -> None:
    """Half of one, if that is what is there: why files are written under another name."""
    async with drop() as there, logged_in(there.files.settings) as session:
        await _write(session, "/imports/sandbox_contacts_crm_20260606_1.csv")

        assert "within a line" in there.sandbox.importer.reports[0].skipped


async def test_its_page_shows_what_it_holds() -> None:
    """The imports, and the contacts, with nothing of theirs taken for HTML."""
    async with drop() as there:
        await there.upload(("jane@example.com", "<b>", "", "", ""))
        page = there.sandbox.page()

    assert "jane@example.com" in page
    assert "&lt;b&gt;" in page
    assert "sandbox_contacts_crm_" in page
