"""A file's way to Splio: hidden until it is whole, refused or cut off in each way that destinations 4.5 names."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from typing import Any

import asyncssh
import pytest

from stream.core.outcomes import DELIVERED, Blocked, Outcome, Retry
from stream.destinations.splio_files.sandbox import SplioFilesSandbox
from stream.destinations.splio_files.sandbox_sftp import Login
from stream.destinations.splio_files.sftp import logged_in
from stream.http import Request
from stream.http.tokens import TokenRefused
from tests.destinations.splio_files.drop import JANE, contacts, drop, settings_of

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


FORMS = ["fingerprint", "key", "known_hosts"]


def pinning(key: asyncssh.SSHKey, form: str, folder: Path) -> dict[str, Any]:
    """The settings that trust a host key and no other, in one of the ways that people have it."""
    public = key.export_public_key().decode()
    if form == "known_hosts":
        (known := folder / "known_hosts").write_text(f"* {public}")
        return {"host_key": None, "known_hosts": str(known)}
    return {"host_key": key.get_fingerprint() if form == "fingerprint" else f"sftp.splio.com {public}"}


@pytest.mark.parametrize("form", FORMS)
async def test_another_host_key_is_never_accepted(form: str, tmp_path: Path) -> None:
    """The server's has changed: nobody logs in any more, so that the password is not shown to whoever has it."""
    sandbox = SplioFilesSandbox()
    pinned = pinning(sandbox.host_key, form, tmp_path)
    async with drop(sandbox, **pinned) as there:
        assert DELIVERED == await there.upload(JANE)
    sandbox.host_key = asyncssh.generate_private_key("ssh-ed25519")

    async with drop(sandbox, **pinned) as there:
        outcome = await there.upload(MAX)

    assert isinstance(outcome, Blocked)
    assert "host key" in outcome.detail
    assert "support" in outcome.hint
    assert ["password"] == sandbox.logins


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", ["ssh-ed25519", "ecdsa-sha2-nistp256", "ssh-rsa"])
async def test_one_of_a_servers_host_keys_is_enough(kind: str, form: str, tmp_path: Path) -> None:
    """A server has several and shows one: it is asked for the one that is pinned."""
    sandbox, keys = SplioFilesSandbox(), server_keys()
    async with listening(sandbox, server_host_keys=[*keys.values()], sftp_factory=True) as port:
        reached = {"host": "127.0.0.1", "port": port, **sandbox.credentials}
        async with logged_in(settings_of(**reached, **pinning(keys[kind], form, tmp_path))) as session:
            assert await session.exists("/")

    assert ["password"] == sandbox.logins


@cache
def server_keys() -> dict[str, asyncssh.SSHKey]:
    """One of each kind, as servers have them."""
    kinds = ("ssh-rsa", "ecdsa-sha2-nistp256", "ssh-ed25519")
    return {kind: asyncssh.generate_private_key(kind) for kind in kinds}


@pytest.mark.filterwarnings("ignore:Diffie-Hellman over finite fields")
@pytest.mark.parametrize(
    "weak",
    [{"kex_algs": ["diffie-hellman-group14-sha1"]}, {"mac_algs": ["hmac-sha1"], "encryption_algs": ["aes128-ctr"]}]
    + [{"encryption_algs": [name]} for name in ("3des-cbc", "aes128-cbc")],
    ids=lambda weak: next(iter(weak.values()))[0],
)
async def test_weak_algorithms_are_not_agreed_to(weak: dict[str, list[str]]) -> None:
    """Which another client agrees to here. The login is not shown."""
    sandbox = SplioFilesSandbox()
    async with listening(sandbox, server_host_keys=[sandbox.host_key], **weak) as port:
        async with drop(sandbox, port=port) as there:
            outcome = await there.upload(JANE)
        assert [] == sandbox.logins
        with pytest.raises(asyncssh.PermissionDenied):
            await asyncssh.connect("127.0.0.1", port, known_hosts=None, config=None, password="-", **weak)

    assert isinstance(outcome, Blocked)
    assert "no algorithm in common" in outcome.detail
    assert ["password"] == sandbox.logins


@asynccontextmanager
async def listening(sandbox: SplioFilesSandbox, **options: Any) -> AsyncIterator[int]:
    """Another server of the stand-in, with keys and algorithms of its own."""
    server = await asyncssh.listen("127.0.0.1", 0, server_factory=lambda: Login(sandbox), config=None, **options)
    async with server:
        yield server.get_port()


@pytest.mark.parametrize("form", FORMS)
async def test_a_pinned_host_key_may_be_given_in_three_ways(form: str, tmp_path: Path) -> None:
    """As people have it."""
    sandbox = SplioFilesSandbox()

    async with drop(sandbox, **pinning(sandbox.host_key, form, tmp_path)) as there:
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
