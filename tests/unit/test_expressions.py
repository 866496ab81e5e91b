"""Mapping expressions: the grammar of section 10 of the design, where paths lead, and errors that show the place."""

from typing import Any

import pytest

from schemas.events import Event
from stream.errors import Exit, UserError
from stream.mapping import compile_expression
from stream.transforms.definition import IGNORED, MISSING

EVENT = Event(
    "track",
    "Signed Up",
    user_id="u-123",
    anonymous_id="anon_a1b2c3",
    timestamp=1780741800.25,
    message_id="m-1",
    traits={"email": " Ada@Example.com ", "first_name": "Ada", "nick": " ", "none": None, "plan": "pro", "1st": "one"},
    properties={
        "items": [{"sku": "A-1"}, {"sku": "B-2"}],
        "total": 12.5,
        "free": False,
        "odd name": {"it's": "found"},
        "empty": [],
        "nothing": {},
        "0": "zero",
    },
    context={"locale": "en-GB", "traits": {"last_name": "Lovelace", "nick": "Countess", "address": {"city": "London"}}},
)
CONFIG = {"default_region": "FR", "language": None, "nested": {"n": 5}}


def value(text: str, event: Event = EVENT) -> object:
    return compile_expression(text, place="test", config=CONFIG).evaluate(event)


def complaint(text: str) -> UserError:
    with pytest.raises(UserError) as caught:
        compile_expression(text, place="destinations.attio.fields.job_title", config=CONFIG)
    assert Exit.BAD_FILE == caught.value.exit_code
    return caught.value


def pointed_at(text: str) -> str:
    """What stands above the caret, to the end of the expression."""
    _, shown, caret = complaint(text).text.split("\n")
    return shown[caret.index("^") :]


@pytest.mark.parametrize(
    "text,found",
    [
        ("type", "track"),
        ("event", "Signed Up"),
        ("userId", "u-123"),
        ("anonymousId", "anon_a1b2c3"),
        ("timestamp", 1780741800.25),
        ("messageId", "m-1"),
        ("traits.first_name", "Ada"),
        ("traits.1st", "one"),
        ("properties.items.1.sku", "B-2"),
        ("properties.'odd name'.'it''s'", "found"),
        ("properties.'0'", "zero"),
        ("properties.total", 12.5),
        ("properties.free", False),
        ("context.locale", "en-GB"),
        ("config.default_region", "FR"),
        ("config.nested.n", 5),
        ("properties.items.0", {"sku": "A-1"}),
    ],
)
def test_a_path_leads_to_a_value(text: str, found: object) -> None:
    """Names of objects, indexes of lists, quoted names for what is no word."""
    assert found == value(text)


@pytest.mark.parametrize(
    "text",
    [
        "traits.missing",
        "traits.none",
        "properties.items.2",
        "properties.items.sku",
        "properties.items.999999999.sku",
        "properties.total.cents",
        "properties.empty",
        "properties.nothing",
        "properties.0",
        "context.locale.0",
        "config.language",
        "config.unknown",
        "''",
        "'  '",
    ],
)
def test_what_is_not_there_is_missing(text: str) -> None:
    """Null, blank and empty count as not there; none of it is worth a note."""
    assert MISSING is value(text)


def test_traits_are_the_events_own_then_those_of_its_context() -> None:
    """Bare tracks carry traits in their context; a blank trait does not hide one there."""
    assert "Ada" == value("traits.first_name")
    assert "Lovelace" == value("traits.last_name")
    assert "Countess" == value("traits.nick")
    assert "London" == value("traits.address.city")


@pytest.mark.parametrize("context", [{}, {"traits": None}, {"traits": "Ada"}, {"traits": ["Ada"]}])
def test_a_context_without_traits_is_no_trouble(context: dict[str, Any]) -> None:
    """Nothing about a context is promised."""
    assert MISSING is value("traits.first_name", Event("identify", context=context))


@pytest.mark.parametrize(
    "text,found",
    [
        ("'it''s'", "it's"),
        ("42", 42),
        ("-1.5", -1.5),
        ("true", True),
        ("false", False),
        ("traits.missing ?? 'guest'", "guest"),
        ("traits.missing ?? traits.none ?? traits.first_name ?? 'guest'", "Ada"),
        ("properties.free ?? true", False),
        ("traits.email|trim|lower", "ada@example.com"),
        ("  traits.missing ?? traits.email  |  trim  |  lower  ", "ada@example.com"),
        ("traits.missing ?? 'Guest' | lower", "guest"),
        ("traits.email\n  | trim\n  | truncate( 3 )", "Ada"),
        ("properties.items.0.sku | prefix('sku: ') | suffix(', new')", "sku: A-1, new"),
        ("traits.plan | in('pro' , 'team')", True),
        ("trueish ?? 1".replace("trueish", "traits.true"), 1),
    ],
)
def test_expressions(text: str, found: object) -> None:
    """Literals, first of several, transforms on the whole chosen value; white space where one likes."""
    assert found == value(text)


def test_a_wrong_type_is_ignored_through_the_rest_of_the_chain() -> None:
    """Later transforms see no value, and the note survives them."""
    assert IGNORED is value("properties.items | trim | lower")


@pytest.mark.parametrize(
    "text,found",
    [
        ("'06 12 34 56 78' | e164(config.default_region)", "+33612345678"),
        ("'+1 555 867 5309' | e164(config.language)", "+15558675309"),
        ("traits.first_name | is(traits.first_name)", True),
        ("traits.first_name | is(traits.last_name)", False),
        ("traits.first_name | is(traits.missing)", False),
        ("traits.missing | default(traits.last_name)", "Lovelace"),
        ("traits.missing | default(traits.none)", MISSING),
        ("traits.first_name | prefix(traits.missing)", MISSING),
        ("traits.first_name | prefix(properties.total)", IGNORED),
        ("'a b' | split(traits.missing)", ["a b"]),
    ],
)
def test_arguments_may_be_paths(text: str, found: object) -> None:
    """A setting left out takes the default; from the event, what is missing or wrong leaves the field absent."""
    assert found == value(text)


@pytest.mark.parametrize(
    "text,condition", [("traits.plan | is('pro')", True), ("traits.plan", False), ("traits.plan | trim", False)]
)
def test_a_condition_is_told_from_a_value(text: str, condition: bool) -> None:
    """It ends in is, in or exists."""
    assert condition is compile_expression(text, place="test").condition


def test_an_error_shows_the_place_and_a_caret() -> None:
    """Three lines: what is wrong and where, the expression, the caret."""
    error = complaint("traits.title | trimm")

    assert [
        "destinations.attio.fields.job_title: no transform is called trimm, did you mean trim?",
        "  traits.title | trimm",
        "                 ^",
    ] == error.text.split("\n")
    assert "`crmstream transforms` lists them" == error.hint


@pytest.mark.parametrize(
    "text,message,column",
    [
        ("trait.email", "no path starts with trait, did you mean traits?", "trait.email"),
        ("email", "no path starts with email", "email"),
        ("event.name", "event is a single value and has no parts", "event.name"),
        ("", "the expression ends too early", ""),
        ("traits.email ??", "the expression ends too early", ""),
        ("traits.email ?? 'guest", "this text has no closing quote", "'guest"),
        ('traits.email ?? "guest"', "text is written in single quotes", '"guest"'),
        ("traits..email", "expected a name, an index or a text in quotes after the dot", ".email"),
        ("traits. email", "expected a name, an index or a text in quotes after the dot", " email"),
        ("traits.email trim", "expected ??, | or the end", "trim"),
        ("traits.email ? 'x'", "expected ??, | or the end", "? 'x'"),
        ("traits.email | ", "expected the name of a transform", ""),
        ("traits.email | truncate(3", "expected a comma or a closing parenthesis", ""),
        ("traits.email | in()", "expected a path, such as traits.email, or a value", ")"),
        ("traits.email | truncate", "it is written truncate(length)", "truncate"),
        ("traits.email | trim(1)", "it is written trim", "trim(1)"),
        ("traits.email | split(',', 1)", "it is written split(separator = ',')", "split(',', 1)"),
        ("traits.email | truncate('3')", "truncate needs a whole number above 0 here", "'3')"),
        ("traits.email | truncate(0)", "truncate needs a whole number above 0 here", "0)"),
        ("traits.email | prefix(1)", "prefix needs a text in quotes here", "1)"),
        ("traits.phone | e164('XX')", "e164 needs a country's two letters in quotes", "'XX')"),
        ("traits.phone | e164(config.nested.n)", "e164 needs a country's two letters in quotes", "config.nested.n)"),
        ("traits.phone | prefix(config.unknown)", "prefix needs a text in quotes here", "config.unknown)"),
        ("timestamp | date('%Q')", "date needs a format like '%Y-%m-%d %H:%M:%S' here", "'%Q')"),
        ("12monkeys", "this is not a number", "12monkeys"),
        ("9999999999999999999", "this is not a number", "9999999999999999999"),
        ("#", "expected a path, such as traits.email, or a value", "#"),
    ],
)
def test_errors_name_what_is_wrong_and_point_at_it(text: str, message: str, column: str) -> None:
    """The caret stands under the first character of the fault."""
    assert complaint(text).text.startswith(f"destinations.attio.fields.job_title: {message}")
    assert column == pointed_at(text)


def test_a_settings_value_is_not_shown() -> None:
    """The expression is, the value it leads to is not."""
    assert "5" not in str(complaint("traits.phone | e164(config.nested.n)").text)
