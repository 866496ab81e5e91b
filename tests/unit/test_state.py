"""The file of one partition's state: what it keeps, and when it is made anew."""

import os
import resource
import sqlite3
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from stream.errors import UserError
from stream.topics.state import STEP, Part
from stream.topics.state_file import Entry, StateFile

ADA, BOB = b"user:ada", b"user:bob"


def opened(folder: Path, whose: str = "crm/0") -> StateFile:
    """The partition's file, as a member finds or makes it."""
    return StateFile(folder / "group" / "events-0.sqlite", whose=whose)


def holding(folder: Path, *changes: tuple[bytes, Entry | None], position: int = 10) -> StateFile:
    """A file that these changes went into."""
    file = opened(folder)
    file.apply(changes, position=position, stamp=99)
    return file


def test_what_was_applied_is_there_after_a_restart(tmp_path: Path) -> None:
    """With its offset, its tag, and how far the changelog was read."""
    holding(tmp_path, (ADA, Entry(b"1", 5, b"tag"))).close()

    file = opened(tmp_path)

    assert Entry(b"1", 5, b"tag") == file.get(ADA)
    assert file.get(BOB) is None
    assert (10, 99) == (file.position, file.stamp)
    file.close()


def test_what_was_applied_is_there_after_a_crash(tmp_path: Path) -> None:
    """A file that was not closed is looked through, and kept where it is sound."""
    crashed = holding(tmp_path, (ADA, Entry(b"1", 5)))

    file = opened(tmp_path)

    assert Entry(b"1", 5) == file.get(ADA)
    file.close()
    crashed.close()


def test_a_file_that_another_wrote_since_is_written_all_the_same(tmp_path: Path) -> None:
    """A member that was suspended while another took over its partition: it must not fail by what it looked up."""
    file = holding(tmp_path, (ADA, Entry(b"1", 5)))
    other = opened(tmp_path)
    assert Entry(b"1", 5) == file.get(ADA)
    other.apply([(ADA, Entry(b"2", 6))], position=11, stamp=100)

    file.apply([(BOB, Entry(b"3", 7))], position=12, stamp=101)

    assert (Entry(b"2", 6), Entry(b"3", 7)) == (file.get(ADA), file.get(BOB))
    file.close()
    other.close()


@pytest.mark.parametrize("offset, left", [(4, b"old"), (5, b"new"), (6, b"new")])
def test_no_earlier_record_replaces_an_entry(tmp_path: Path, offset: int, left: bytes) -> None:
    """A changelog may say things late; of the same record the last word holds."""
    file = holding(tmp_path, (ADA, Entry(b"old", 5)))

    file.apply([(ADA, Entry(b"new", offset))], position=11, stamp=100)

    entry = file.get(ADA)
    assert entry is not None
    assert left == entry.value
    file.close()


def test_entries_are_found_by_their_tag_while_they_have_it(tmp_path: Path) -> None:
    """A person's entries are found without knowing their keys."""
    file = holding(
        tmp_path, (ADA, Entry(b"1", 1, b"one")), (BOB, Entry(b"2", 2, b"one")), (b"user:eve", Entry(b"3", 3))
    )

    file.apply([(BOB, Entry(b"3", 3, b"other"))], position=11, stamp=100)

    assert [ADA] == file.tagged(b"one")
    assert [b"user:eve"] == file.untagged(b"user:")
    file.close()


def test_the_oldest_are_those_not_written_for_longest(tmp_path: Path) -> None:
    """Of the keys that begin so; they are counted likewise."""
    file = holding(
        tmp_path, (b"row:1", Entry(b"", 0)), (ADA, Entry(b"", 9)), (BOB, Entry(b"", 3)), (b"user;", Entry(b"", 1))
    )

    assert [BOB, ADA] == file.oldest(b"user:", 5)
    assert [BOB] == file.oldest(b"user:", 1)
    assert 2 == file.count(b"user:")
    file.close()


def test_all_entries_are_walked_through_while_they_change(tmp_path: Path) -> None:
    """By their keys, each once, also where there are many."""
    keys = [b"user:%05d" % number for number in range(2500)]
    file = holding(tmp_path, *((key, Entry(b"", 1)) for key in keys))

    seen = []
    for key, _ in file.items(b"user:"):
        seen.append(key)
        if len(seen) == 10:
            file.apply([(keys[0], None)], position=11, stamp=100)

    assert keys == seen
    file.close()


def test_a_file_is_brought_on_in_steps_while_more_comes(tmp_path: Path) -> None:
    """Until the last of them it says that it knows no more than before; what came meanwhile is in it, or waits."""
    part = Part(("events", 0), opened(tmp_path))
    part.reached([(b"user:%03d" % number, Entry(b"old", number)) for number in range(2 * STEP + 1)], 900, 1)

    steps = part.steps()
    next(steps)
    assert (STEP, 0) == (part.file.count(b"user:"), part.file.position)
    part.reached([(b"user:000", Entry(b"new", 901)), (b"user:400", Entry(b"new", 902))], 902, 2)
    assert 2 == len([*steps])

    assert (2 * STEP + 1, 900, 1) == (part.file.count(b"user:"), part.file.position, part.file.stamp)
    assert [b"new", b"new"] == [entry.value for entry in map(part.get, (b"user:000", b"user:400")) if entry]
    assert [b"user:000"] == [*part.unfiled]
    part.file.close()


def test_what_one_has_written_the_other_passes_over(tmp_path: Path) -> None:
    """A file is brought on at once where all of it is asked for, also in the midst of its steps."""
    part = Part(("events", 0), opened(tmp_path))
    part.reached([(b"user:%03d" % number, Entry(b"old", number)) for number in range(2 * STEP)], 900, 1)

    steps = part.steps()
    next(steps)
    part.put_away()
    assert (900, {}) == (part.file.position, part.unfiled)

    assert [None] == [*steps]
    assert (2 * STEP, 900) == (part.file.count(b"user:"), part.file.position)
    part.file.close()


def test_a_damaged_file_is_made_anew(tmp_path: Path) -> None:
    """What was in it comes back from the changelog."""
    file = holding(tmp_path, (ADA, Entry(b"1", 5)))
    file.close()
    path = tmp_path / "group" / "events-0.sqlite"
    path.write_bytes(b"not a database" * 1000)

    file = opened(tmp_path)

    assert file.get(ADA) is None
    assert 0 == file.position
    file.close()


def test_a_file_of_another_changelog_or_layout_is_made_anew(tmp_path: Path) -> None:
    """Names say whose it is, a number how its tables look."""
    holding(tmp_path, (ADA, Entry(b"1", 5))).close()
    other = opened(tmp_path, whose="crm.other/0")
    assert other.get(ADA) is None
    other.apply([(ADA, Entry(b"1", 5))], position=1, stamp=1)
    other.close()
    connection = sqlite3.connect(tmp_path / "group" / "events-0.sqlite")
    connection.execute("PRAGMA user_version = 99")
    connection.close()

    file = opened(tmp_path, whose="crm.other/0")

    assert file.get(ADA) is None
    file.close()


def test_offsets_beyond_the_sources_end_are_of_another_source(tmp_path: Path) -> None:
    """It was made anew: any of its records may replace what is there."""
    file = holding(tmp_path, (ADA, Entry(b"old", 500)), (BOB, Entry(b"old", 3)))

    assert not file.date_back(501)
    assert file.date_back(500)

    file.apply([(ADA, Entry(b"new", 0)), (BOB, Entry(b"new", 0))], position=11, stamp=100)
    assert Entry(b"new", 0) == file.get(ADA) == file.get(BOB)
    file.close()


def test_a_full_disk_is_said_and_takes_nothing_back(tmp_path: Path) -> None:
    """What did not fit is not there, what was there is, and there is a word on the folder."""
    file = holding(tmp_path, (ADA, Entry(b"1", 5)))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64 * 1024, before[1]))  # no file grows beyond it
    try:
        with pytest.raises(UserError, match=r"cannot write state to .*events-0\.sqlite.*see state\.folder"):
            file.apply([(b"%d" % n, Entry(b"x" * 1000, 6)) for n in range(200)], position=11, stamp=100)
        file.close()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)

    file = opened(tmp_path)
    assert Entry(b"1", 5) == file.get(ADA)
    assert (None, 10) == (file.get(b"0"), file.position)
    file.close()


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    """With the key of the configuration that names it."""
    (tmp_path / "group").write_bytes(b"a file, not a folder")

    with pytest.raises(UserError, match="cannot keep state in") as caught:
        opened(tmp_path)

    assert "see state.folder" == caught.value.hint


@pytest.fixture(params=[0o000, 0o077], ids=["umask 000", "umask 077"])
def _umask(request: pytest.FixtureRequest) -> Iterator[None]:
    before = os.umask(request.param)
    yield
    os.umask(before)


def modes(folder: Path) -> dict[str, int]:
    """The modes of all that is in it, by the names."""
    return {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.rglob("*")}


@pytest.mark.usefixtures("_umask")
def test_what_is_remembered_is_for_our_own_user_alone(tmp_path: Path) -> None:
    """Folders and files, those beside the database too, whatever the umask."""
    file = holding(tmp_path / "state", (ADA, Entry(b"1", 5)))

    name = "events-0.sqlite"
    files = dict.fromkeys((name, f"{name}-wal", f"{name}-shm"), 0o600)
    assert files | {"group": 0o700, "state": 0o700} == modes(tmp_path)
    file.close()


def test_files_that_others_could_read_are_closed_to_them(tmp_path: Path) -> None:
    """Those of an earlier version, or copied; a folder that was there stays as its owner wants it."""
    shared = tmp_path / "group"
    shared.mkdir(0o755)
    before = holding(tmp_path, (ADA, Entry(b"1", 5)))  # still open: what is beside the database stays
    for path in shared.iterdir():
        path.chmod(0o666)

    file = opened(tmp_path)

    assert file.get(ADA) == Entry(b"1", 5)
    assert {0o600} == set(modes(shared).values())
    assert 0o755 == modes(tmp_path)["group"]
    file.close()
    before.close()
