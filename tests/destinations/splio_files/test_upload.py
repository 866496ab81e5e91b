"""A file's way to Splio: hidden until it is whole, refused or cut off in each way that destinations 4.5 names."""

from pathlib import Path
from typing import Any

import asyncssh
import pytest

from stream.core.outcomes import DELIVERED, Blocked, Outcome, Retry
from stream.destinations.splio_files.sandbox import SplioFilesSandbox
from stream.http import Request
from stream.http.tokens import TokenRefused
from tests.destinations.splio_files.drop import HOST_KEY, JANE, contacts, drop

MAX = ("max@example.com", "Max", "", "", "")


async def test_a_file_has_one_line_for_each_row() -> None:
    """The header bare, what there is in quotes, the rest empty (destinations 4.4)."""
    async with drop() as there:
        assert DELIVERED == await there.upload(JANE, MAX)

        assert (
            "email;firstname;lastname;cellphone;language\n"
            '"jane@example.com";"Jane";"Doe";"0033612345678";"en"\n'
            '"max@example.com";"Max";;;\n'
        ) == there.content


@pytest.mark.parametrize("insert, subsequence", [(True, "crm"), (False, "crmupd")])
async def test_inserting_picks_the_subsequence(*, insert: bool, subsequence: str) -> None:
    """Which import takes the file decides what Splio does with new contacts (destinations 4.2)."""
    async with drop(insert=insert) as there:
        await there.upload(JANE)

        [name] = there.visible
        assert name.startswith(f"sandbox_contacts_{subsequence}_20")
        assert insert == bool(there.sandbox.people())


async def test_a_run_is_split_at_the_limit() -> None:
    """199,999 rows and a header are 200,000 lines; the files' names are in the rows' order."""
    async with drop() as there:
        assert DELIVERED == await there.upload(*contacts(200_001))

        files = [there.sandbox.content(name).splitlines() for name in there.visible]
        assert [200_000, 3] == [len(lines) for lines in files]
        assert '"contact-0@example.com";;;;' == files[0][1]
        assert 200_001 == len(there.sandbox.people())


async def test_nothing_is_visible_before_all_of_it_is_there() -> None:
    """Every file of a run is written before the first gets its name."""
    async with drop(max_rows=1) as there:
        seen: list[list[str]] = []

        def proceed() -> None:
            seen.append(there.visible)
            assert 2 == len(there.sandbox.files)

        assert DELIVERED == await there.files.upload(iter([JANE, MAX]), proceed=proceed)
        assert [[]] == seen
        assert 2 == len(there.visible)


async def test_a_run_that_is_given_up_leaves_nothing() -> None:
    """The member may have been replaced."""

    class GivenUp(Exception):
        pass

    def proceed() -> None:
        raise GivenUp

    async with drop() as there:
        with pytest.raises(GivenUp):
            await there.files.upload(iter([JANE]), proceed=proceed)

        assert [] == there.sandbox.files


FAULTS: list[tuple[dict[str, object], type[Outcome], str]] = [
    ({"down": True}, Retry, "cannot be reached"),
    ({"cut_after": 10}, Retry, ""),
    ({"free_bytes": 10}, Retry, "No space left"),
    ({"loses_bytes": True}, Retry, "lost bytes"),
    ({"wrong_password": True}, Blocked, "refused the login of sandbox"),
    ({"forbidden": True}, Blocked, "permits no such thing in /imports"),
    ({"no_folder": True}, Blocked, "has no folder /imports"),
]


@pytest.mark.parametrize("fault, kind, words", FAULTS, ids=[next(iter(fault)) for fault, _, _ in FAULTS])
async def test_a_fault_means_what_its_table_says(fault: dict[str, object], kind: type[Outcome], words: str) -> None:
    """RETRY or CONFIG (destinations 4.5); nothing appears, and once it is over the run goes out."""
    async with drop() as there:
        there.sandbox.faults = there.sandbox.faults_model.model_validate(fault)
        outcome = await there.upload(JANE)

        assert isinstance(outcome, Retry | Blocked)
        assert kind is type(outcome)
        assert words in outcome.detail
        assert there.sandbox.password not in repr(outcome)
        assert [] == there.visible
        there.sandbox.faults = there.sandbox.faults_model()
        assert DELIVERED == await there.upload(JANE)
        assert 1 == len(there.sandbox.files)  # what was cut off is cleared away


async def test_another_host_key_is_never_accepted() -> None:
    """Nor is the password shown to whoever has it."""
    async with drop(host_key=HOST_KEY) as there:
        outcome = await there.upload(JANE)

    assert isinstance(outcome, Blocked)
    assert "host key" in outcome.detail
    assert "support" in outcome.hint


@pytest.mark.parametrize("form", ["fingerprint", "key", "known_hosts"])
async def test_a_pinned_host_key_may_be_given_in_three_ways(form: str, tmp_path: Path) -> None:
    """As people have it."""
    sandbox = SplioFilesSandbox()
    public = sandbox.host_key.export_public_key().decode()
    known = tmp_path / "known_hosts"
    known.write_text(f"* {public}")
    ways: dict[str, dict[str, Any]] = {
        "fingerprint": {},
        "key": {"host_key": f"sftp.splio.com {public}"},
        "known_hosts": {"host_key": None, "known_hosts": str(known)},
    }

    async with drop(sandbox, **ways[form]) as there:
        assert DELIVERED == await there.upload(JANE)


async def test_a_private_key_opens_the_door_too(tmp_path: Path) -> None:
    """Instead of a password."""
    key = asyncssh.generate_private_key("ssh-ed25519")
    key.write_private_key(str(tmp_path / "key"))
    sandbox = SplioFilesSandbox()
    sandbox.authorized_keys.append(key.convert_to_public())

    async with drop(sandbox, password=None, private_key_file=str(tmp_path / "key")) as there:
        assert DELIVERED == await there.upload(JANE)


async def test_what_others_left_behind_is_cleared_away_the_day_after() -> None:
    """A member that was killed cannot do it; one that is still writing must not be disturbed."""
    async with drop() as there:
        folder = there.sandbox.root / "imports"
        for name in (".sandbox_contacts_crm_20200101_1a.csv", ".sandbox_contacts_crm_29991231_1a.csv", ".other.csv"):
            (folder / name).write_bytes(b"half")
        await there.upload(JANE)

        hidden = [name for name in there.sandbox.files if name.startswith(".")]
        assert [".other.csv", ".sandbox_contacts_crm_29991231_1a.csv"] == hidden


async def test_missing_attributes_are_created_once() -> None:
    """Before the first file of a process: for an unknown column Splio skips all of it."""
    async with drop(
        custom_attributes={"tier": "traits.tier", "score": {"expression": "traits.n", "type": "int"}}
    ) as there:
        await there.upload((*JANE, "gold", "1"))
        await there.upload((*JANE, "gold", "2"))

        posted = [entry.json()["body"] for entry in there.sandbox.log if entry.target == "/data/fields"]
        assert [
            {"scope": "contacts", "name": "tier", "type": "text"},
            {"scope": "contacts", "name": "score", "type": "int"},
        ] == posted
        assert [""] * 2 == [report.skipped for report in there.sandbox.importer.reports]


async def test_no_file_goes_out_with_a_column_that_splio_lacks() -> None:
    """An attribute that was said to be there is not created, and not sent."""
    async with drop(attributes={"teir": "traits.tier"}) as there:
        outcome = await there.upload((*JANE, "gold"))

        assert isinstance(outcome, Blocked)
        assert "teir" in outcome.detail
        assert [] == there.sandbox.files


@pytest.mark.parametrize("status, kind", [(500, Retry), (403, Blocked), (404, Blocked)])
async def test_the_data_apis_refusals_keep_their_meaning(status: int, kind: type[Outcome]) -> None:
    """What may pass is tried again, what needs a person blocks."""
    async with drop(custom_attributes=["tier"]) as there:
        failing = {"fail": [{"status": status, "calls": "all", "times": None}]}
        await there.files.http.send(Request("GET", "/ping"))  # a token is there
        there.sandbox.faults = there.sandbox.faults_model.model_validate(failing)
        try:
            outcome = await there.upload((*JANE, "gold"))
        except TokenRefused:
            outcome = Blocked("")

    assert kind is type(outcome)
