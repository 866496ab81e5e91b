"""Transforms: every example in the list, and what the examples do not show."""

import random
import re
import subprocess
import sys
from typing import Any

import phonenumbers
import pytest

from schemas.events import Event
from stream.mapping import compile_expression
from stream.transforms import TRANSFORMS, listing
from stream.transforms.definition import IGNORED, MISSING
from stream.transforms.phone import DROPPED, PLANS

SAMPLES_PER_PLAN = 50


def transformed(value: object, call: str) -> object:
    """What `properties.x | call` makes of a value."""
    expression = compile_expression(f"properties.x | {call}", place="test")
    return expression.evaluate(Event("identify", properties={"x": value}))


@pytest.mark.parametrize("name", sorted(TRANSFORMS))
def test_every_example_is_true(name: str) -> None:
    """`crmstream transforms` shows nothing that does not work, and shows the transform it stands beside."""
    given, call, result = TRANSFORMS[name].example

    assert result == transformed(given, call)
    assert re.match(r"\w+", call)[0] == name  # type: ignore[index]


def test_the_list_has_everything_by_name() -> None:
    """A line each: how it is written, a sentence, an example."""
    lines = listing()

    assert sorted(TRANSFORMS) == [line.signature.partition("(")[0] for line in lines]
    assert all(line.sentence.endswith(".") for line in lines)
    [language] = [line for line in lines if line.signature == "language"]
    assert "'en-GB' | language  gives  'en'" == language.example


@pytest.mark.parametrize("value", [7, 7.5, True, ["Ada"], {"a": "Ada"}])
@pytest.mark.parametrize(
    "call", ["trim", "lower", "title", "truncate(3)", "sha256", "e164", "country", "language", "split"]
)
def test_a_text_transform_ignores_what_is_no_text(call: str, value: object) -> None:
    """The field is absent, with the note `field_ignored`."""
    assert IGNORED is transformed(value, call)


@pytest.mark.parametrize(
    "value,call,result",
    [
        ("d'artagnan", "title", "D'Artagnan"),
        ("ADA'S TEAM", "title", "Ada's Team"),
        ("éloïse", "title", "Éloïse"),
        ("abcdef", "truncate(3)", "abc"),
        ("ab cdef", "truncate(3)", "ab"),
        ("a,,b, ", "split", ["a", "b"]),
        ("a b", "split(' ')", ["a", "b"]),
        (["a", 1, 2.5], "join", "a,1,2.5"),
        (["a", "b"], "join('')", "ab"),
        (["a", "b"], "item(-1)", "b"),
        ("12-34", "replace('-', '')", "1234"),
        (True, "text", "true"),
        (0, "text", "0"),
    ],
)
def test_texts_and_lists(value: object, call: str, result: object) -> None:
    """Names, parts and pieces."""
    assert result == transformed(value, call)


@pytest.mark.parametrize(
    "value,call", [(["a"], "item(1)"), (["a", ""], "item(1)"), (",", "split"), ("--", "replace('-', '')")]
)
def test_nothing_left_is_missing(value: object, call: str) -> None:
    """No note: nothing was wrong."""
    assert MISSING is transformed(value, call)


@pytest.mark.parametrize("value,call", [([{"a": 1}], "join"), ([None], "join"), ("a", "join")])
def test_only_texts_and_numbers_are_joined(value: object, call: str) -> None:
    """Anything else would show as Python writes it."""
    assert IGNORED is transformed(value, call)


@pytest.mark.parametrize(
    "value,call,result",
    [
        ("+1 555 867 5309", "e164", "+15558675309"),  # the Attio seed's own number, possible but not valid
        ("+33612345678", "e164", "+33612345678"),
        ("+33 (0)6 12 34 56 78", "e164", "+33612345678"),
        ("+330612345678", "e164", "+33612345678"),
        ("06 12 34 56 78", "e164('FR')", "+33612345678"),
        ("06 12 34 56 78", "e164('fr')", "+33612345678"),
        ("0033 6 12 34 56 78", "e164('FR')", "+33612345678"),
        ("(555) 867-5309", "e164('US')", "+15558675309"),
        ("+44 20 7946 0018", "e164('FR')", "+442079460018"),
        ("  +1 555 867 5309 ext. 12", "e164", "+15558675309"),
    ],
)
def test_possible_numbers_are_normalised(value: str, call: str, result: str) -> None:
    """With a country code, or with the region of those without."""
    assert result == transformed(value, call)


@pytest.mark.parametrize(
    "value,call",
    [
        ("06 12 34 56 78", "e164"),
        ("unknown", "e164('FR')"),
        ("+1 555", "e164"),
        ("867-5309", "e164('US')"),
        ("+999 123 456 789", "e164"),
        ("+331122334455", "e164"),
        ("+", "e164"),
        ("1" * 10_000, "e164('FR')"),
    ],
)
def test_other_numbers_are_dropped(value: str, call: str) -> None:
    """Without a region, not a number, too short or long, possible only within its area."""
    assert DROPPED is transformed(value, call)


@pytest.mark.parametrize("plan", PLANS)
def test_numbers_recognised_at_sight_are_what_the_library_says(plan: str) -> None:
    """Each plan's shape is possible, and already its own E.164 form."""
    dice = random.Random(plan)
    for _ in range(SAMPLES_PER_PLAN):
        number = "+" + drawn(plan, dice)
        parsed = phonenumbers.parse(number)

        assert phonenumbers.ValidationResult.IS_POSSIBLE == phonenumbers.is_possible_number_with_reason(parsed)
        assert number == phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164)


def drawn(plan: str, dice: random.Random) -> str:
    """Digits that a plan's pattern matches."""
    digits = ""
    for kind, times in re.findall(r"(\\d|\[[^]]+\]|\d)(?:\{([\d,]+)\})?", plan):
        least, _, most = (times or "1").partition(",")
        allowed = [digit for digit in "0123456789" if re.fullmatch(kind, digit)]
        digits += "".join(dice.choices(allowed, k=dice.randint(int(least), int(most or least))))
    assert re.fullmatch(plan, digits)
    return digits


def test_the_phone_library_is_not_imported_before_it_is_needed() -> None:
    """It takes longer to import than all the mapping."""
    code = "import sys, stream.mapping; sys.exit('phonenumbers' in sys.modules)"

    assert 0 == subprocess.run([sys.executable, "-c", code], check=False).returncode


@pytest.mark.parametrize(
    "value,call,result",
    [
        ("en", "language", "en"),
        ("FR_fr.UTF-8", "language", "fr"),
        ("zh-Hant-TW", "language", "zh"),
        ("fr", "country", "FR"),
        ("united kingdom", "country", "GB"),
        ("Côte d'Ivoire", "country", "CI"),
        ("USA", "country", "US"),
    ],
)
def test_languages_and_countries(value: str, call: str, result: str) -> None:
    """Two letters each."""
    assert result == transformed(value, call)


@pytest.mark.parametrize(
    "value,call", [("english", "language"), ("e", "language"), ("Atlantis", "country"), ("XX", "country")]
)
def test_unknown_languages_and_countries_are_ignored(value: str, call: str) -> None:
    """A guess would be wrong data."""
    assert IGNORED is transformed(value, call)


@pytest.mark.parametrize(
    "value,call,result",
    [
        (" 12 ", "number", 12),
        ("-0.5", "number", -0.5),
        (12.5, "number", 12.5),
        (12.0, "integer", 12),
        ("12.0", "integer", 12),
        (0, "integer", 0),
        ("1234.5", "money", "1234.50"),
        (3, "money", "3.00"),
    ],
)
def test_numbers(value: object, call: str, result: object) -> None:
    """From numbers and from text."""
    found = transformed(value, call)

    assert (type(result), result) == (type(found), found)


@pytest.mark.parametrize(
    "value,call",
    [
        ("12,50", "number"),
        ("1e5", "number"),
        ("1_000", "number"),
        ("٣", "number"),
        (True, "number"),
        ("9" * 5000, "number"),
        ("9" * 20, "number"),
        (12.5, "integer"),
        (1e300, "integer"),
        ("x", "money"),
    ],
)
def test_what_is_no_number_is_ignored(value: object, call: str) -> None:
    """So is one that no vendor could read."""
    assert IGNORED is transformed(value, call)


@pytest.mark.parametrize(
    "value,call,result",
    [
        ("2026-06-06T12:30:00+02:00", "iso", "2026-06-06T10:30:00Z"),
        ("1985-03-12", "date", "1985-03-12"),
        ("1985-03-12", "iso", "1985-03-12T00:00:00Z"),
        (0, "date", "1970-01-01"),
        ("0985-03-12", "date('%d.%m.%Y')", "12.03.0985"),
        (1780741800, "date('%Y-%m-%d %H:%M:%S')", "2026-06-06 10:30:00"),
        (-0.5, "unix", -1),
    ],
)
def test_points_in_time(value: object, call: str, result: object) -> None:
    """Seconds or ISO 8601, always told in UTC."""
    assert result == transformed(value, call)


@pytest.mark.parametrize("value", ["tomorrow", 1e300, -1e300, "0001-01-01T00:00:00+14:00", True])
@pytest.mark.parametrize("call", ["iso", "date", "unix"])
def test_what_is_no_point_in_time_is_ignored(value: object, call: str) -> None:
    """Nor one beyond the calendar."""
    assert IGNORED is transformed(value, call)


@pytest.mark.parametrize(
    "value,call,result",
    [
        (None, "exists", False),
        (" ", "exists", False),
        (0, "exists", True),
        (False, "exists", True),
        ("pro", "is('pro')", True),
        ("pro", "is('Pro')", False),
        (None, "is('pro')", False),
        (True, "is(true)", True),
        (1, "is(true)", False),
        (1.0, "is(1)", True),
        ("team", "in('pro', 'team')", True),
        (None, "in('pro')", False),
        (2, "in(1, 2.0)", True),
    ],
)
def test_conditions_say_true_or_false(value: object, call: str, result: bool) -> None:
    """Also of what is absent."""
    assert result is transformed(value, call)


@pytest.mark.parametrize("value,result", [(None, "x"), ("", "x"), (0, 0), (False, False), ("a", "a")])
def test_a_default_stands_in_for_what_is_absent(value: object, result: Any) -> None:
    """And for nothing else."""
    assert result == transformed(value, "default('x')")


def test_a_default_stands_in_for_what_was_ignored() -> None:
    """The field has a value then, so there is nothing to note."""
    assert "x" == transformed(7, "trim | default('x')")
