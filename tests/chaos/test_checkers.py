"""The checkers together, on ledgers made by hand."""

from tests.chaos.checkers import Violation, judge
from tests.chaos.told import ADA, Told, well


def test_a_run_in_which_all_went_well_breaks_nothing() -> None:
    """Nothing is found where there is nothing."""
    assert [] == judge(well())


def test_many_violations_are_told_in_part() -> None:
    """Five of them, and how many more."""
    told = Told()
    for n in range(1, 1_009):
        told.write(ADA, n)

    lost = [each for each in judge(told) if each.checker == "lost"]

    assert (
        Violation(
            "lost", "attio: event 1 of ada@example.com (events/0 offset 0) was neither taken by the vendor nor buried"
        )
        == lost[0]
    )
    assert "and 1,003 more" == lost[-1].text


def test_a_large_ledger_breaks_nothing_either() -> None:
    """100,000 records, with commits that call some settled above their positions."""
    told = Told()
    for number in range(100_000):
        contact, n = f"contact-{number % 5_000}@example.com", number // 5_000 + 1
        told.write(contact, n)
        told.take(contact, n, at=number / 1_000)
    for second in range(1, 101):
        told.commit(1_000 * second - 500, at=second, above=range(1_000 * second - 400, 1_000 * second))
    told.commit(100_000, at=101.0)

    assert [] == judge(told)
