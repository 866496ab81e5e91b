"""The list of mutants stays honest: what it names is there. `./dev mutants` plants them."""

import pytest

from tests.mutants import ROOT, Mutant, mutants


@pytest.mark.parametrize("mutant", mutants(), ids=lambda mutant: mutant.name)
def test_a_mutant_can_be_planted(mutant: Mutant) -> None:
    """Its old text is in its file exactly once, and its tests exist."""
    assert 1 == mutant.occurrences(ROOT)
    assert mutant.old != mutant.new
    for test in mutant.tests:
        path, _, name = test.partition("::")
        assert f"def {name.partition('[')[0]}(" in (ROOT / path).read_text(encoding="utf-8")


def test_names_are_told_apart() -> None:
    """`--only` chooses by them."""
    names = [mutant.name for mutant in mutants()]

    assert len({*names}) == len(names) >= 25
