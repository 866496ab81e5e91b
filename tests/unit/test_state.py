"""The file of one partition's state: what it keeps, and when it is made anew."""

import sqlite3
from pathlib import Path

import pytest

from stream.errors import UserError
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


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    """With the key of the configuration that names it."""
    (tmp_path / "group").write_bytes(b"a file, not a folder")

    with pytest.raises(UserError, match="cannot keep state in") as caught:
        opened(tmp_path)

    assert "see state.folder" == caught.value.hint
