"""Results in parts: no larger than asked, and the same when put together again."""

from datetime import UTC, datetime
from random import Random
from typing import Any

import pytest

from schemas.privacy import PrivacyResult, Step
from stream.topics.parts import Assembly, encoded, merged, split

AT = datetime(2026, 6, 6, 10, 30, tzinfo=UTC)


def result(profiles: list[dict[str, Any]] | None = None, steps: int = 0) -> PrivacyResult:
    """A result with these profiles."""
    data = None if profiles is None else {"identifier": {"email": "jane@example.com"}, "profiles": profiles}
    made = tuple(Step(step="messages", at=AT, endpoint="GET /v1/x", status=200, count=n) for n in range(steps))
    return PrivacyResult(
        request_id="r-1", destination="cio", kind="access", status="completed", records_found=2, data=data, steps=made
    )


def profile(cio_id: str, messages: int) -> dict[str, Any]:
    """A profile with so many messages."""
    return {
        "cio_id": cio_id,
        "email": "jane@example.com",
        "unsubscribed": False,
        "attributes": {f"attribute_{n}": "x" * 50 for n in range(10)},
        "segments": [],
        "devices": {},
        "messages": [{"id": f"{cio_id}-{n}", "subject": "é" * 20} for n in range(messages)],
    }


def test_a_result_that_fits_is_one_record() -> None:
    """Without `part` and `parts`."""
    whole = result([profile("a1", 3)])

    assert [whole] == split(whole, 100_000)


@pytest.mark.parametrize("limit", [1_500, 3_000, 6_000])
def test_parts_fit_and_make_the_whole_again(limit: int) -> None:
    """Each is a result by itself, and says which of how many it is."""
    whole = result([profile("a1", 40), profile("a2", 0), profile("a3", 25)], steps=12)

    parts = split(whole, limit)

    assert len(parts) > 1
    assert max(len(encoded(part)) for part in parts) <= limit
    assert [(n + 1, len(parts)) for n in range(len(parts))] == [(part.part, part.parts) for part in parts]
    assert {("r-1", "cio", "completed", 2)} == {(p.request_id, p.destination, p.status, p.records_found) for p in parts}
    assert whole == merged(parts)


def test_any_data_comes_back_as_it_was() -> None:
    """Two hundred made at random."""
    random = Random(7)
    for _ in range(200):
        whole = result(
            [profile(f"a{n}", random.randrange(30)) for n in range(random.randrange(4))], random.randrange(9)
        )
        assert whole == merged(split(whole, random.randrange(1_000, 9_000)))


def test_what_cannot_be_divided_is_a_part_by_itself() -> None:
    """One attribute of a megabyte."""
    huge = {"cio_id": "a1", "attributes": {"small": "x", "huge": "x" * 10_000, "other": "x"}}

    parts = split(result([huge]), 2_000)

    assert [10_000 < len(encoded(part)) for part in parts] == [False, True, False]
    assert result([huge]) == merged(parts)


def test_an_assembly_gives_the_whole_with_its_last_part() -> None:
    """Results of one record pass through."""
    whole = result([profile("a1", 40)])
    parts, assembly = split(whole, 2_000), Assembly()

    assert whole == assembly.add(whole)
    assert [None] * (len(parts) - 1) + [whole] == [assembly.add(part) for part in parts]


def test_an_answer_that_was_cut_off_is_taken_from_its_new_beginning() -> None:
    """A member dies within its parts; the next one writes all of them, perhaps in other sizes."""
    whole = result([profile("a1", 40)])
    assembly = Assembly()
    for part in split(whole, 2_000)[:3]:
        assert assembly.add(part) is None

    again = [assembly.add(part) for part in split(whole, 3_000)]

    assert whole == again[-1]
    assert [None] == list(dict.fromkeys(again[:-1]))


def test_parts_of_two_destinations_are_kept_apart() -> None:
    """Two workspaces answer one request, in turns."""
    whole = result([profile("a1", 40)])
    other = whole.model_copy(update={"destination": "other"})
    assembly = Assembly()

    pairs = zip(split(whole, 2_000), split(other, 2_000), strict=True)
    added = [found for pair in pairs for part in pair if (found := assembly.add(part))]

    assert [whole, other] == added
