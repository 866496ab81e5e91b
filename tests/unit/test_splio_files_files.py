"""Names and bytes of Splio's contacts files (destinations 4.4)."""

import re
from collections.abc import Iterator

import pytest

from stream.destinations.splio_files.client import parts
from stream.destinations.splio_files.files import CHUNK, FileNames, cell, hidden, written

SIX_JUNE = 1_780_741_800.5  # 2026-06-06T10:30:00.5Z


def names(*times: float) -> Iterator[str]:
    """Names asked for at these times."""
    clock = iter(times)
    return iter(FileNames("acme", "crm", lambda: next(clock)))


def test_a_name_says_universe_scope_subsequence_and_date() -> None:
    """`{universe}_contacts_{subsequence}_{YYYYMMDD}_{unique}.csv`."""
    assert re.fullmatch(r"acme_contacts_crm_20260606_103000500000[0-9a-f]{6}\.csv", next(names(SIX_JUNE)))


def test_names_sort_in_their_order_and_never_repeat() -> None:
    """Neither at one moment, nor past midnight, nor when the clock is set back."""
    times = [SIX_JUNE, SIX_JUNE, SIX_JUNE + 86_400, SIX_JUNE + 10, SIX_JUNE - 3600]
    made = names(*times)
    found = [next(made) for _ in times]

    assert sorted(set(found)) == found


def test_members_make_names_of_their_own() -> None:
    """At the same moment too."""
    assert next(names(SIX_JUNE)) != next(names(SIX_JUNE))


def test_a_hidden_name_begins_with_a_dot() -> None:
    """No import takes such a one."""
    assert ".a.csv" == hidden("a.csv")


@pytest.mark.parametrize(
    "name, left",
    [
        (".acme_contacts_crm_20260604_1.csv", True),
        (".acme_contacts_crm_20260605_1.csv", False),
        ("acme_contacts_crm_20260604_1.csv", False),
        (".acme_contacts_crmupd_20260604_1.csv", False),
        (".acme_contacts_crm_x.csv", False),
    ],
)
def test_a_hidden_file_is_left_over_from_the_day_before_yesterday(name: str, left: bool) -> None:
    """No upload lasts that long; those of this process are told by their name."""
    made = FileNames("acme", "crm", lambda: SIX_JUNE)

    assert left == made.is_left_over(name)
    assert made.is_left_over(hidden(next(iter(made))))


@pytest.mark.parametrize(
    "value, written_as", [("", ""), ("Jane", '"Jane"'), ('a"b', '"a""b"'), ("a;b", '"a;b"'), (" ", '" "')]
)
def test_a_value_is_in_quotes_where_there_is_one(value: str, written_as: str) -> None:
    """An inner quote is doubled."""
    assert written_as == cell(value)


def test_a_file_comes_in_chunks() -> None:
    """However many rows there are, little of it is in memory."""
    rows = ([f"contact-{number}@example.com", "x" * 100] for number in range(20_000))
    chunks = list(written(("email", "n"), rows))

    assert max(map(len, chunks)) < 2 * CHUNK
    assert 20_001 == b"".join(chunks).count(b"\n")


def test_rows_are_parted_in_their_order() -> None:
    """The last part is what is left."""
    rows = [[str(number)] for number in range(5)]

    assert [[["0"], ["1"]], [["2"], ["3"]], [["4"]]] == [list(part) for part in parts(rows, 2)]
    assert [] == [list(part) for part in parts([], 2)]
