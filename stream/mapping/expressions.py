"""Expressions compiled once, to closures from an event to a value. The functions they call are `stream.transforms`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from operator import attrgetter
from typing import Any, TypeAlias

from schemas.events import Event
from stream.errors import UserError
from stream.mapping.grammar import Call, Literal, Path, Source, Term, parse
from stream.transforms import TRANSFORMS
from stream.transforms.definition import ANYTHING, IGNORED, MISSING, Absent, Transform, present

Evaluate: TypeAlias = Callable[[Event], object]
"""Gives a JSON value that is neither null nor blank nor empty, or an Absent that may carry a note."""

WORDS = {
    "type": "type",
    "event": "event",
    "userId": "user_id",
    "anonymousId": "anonymous_id",
    "timestamp": "timestamp",
    "messageId": "message_id",
}
OBJECTS = ("traits", "properties", "context", "config")
ROOTS = (*WORDS, *OBJECTS)


@dataclass(frozen=True, slots=True)
class Expression:
    """A compiled expression. A *condition* always gives true or false. *traits*: the names of those it reads."""

    text: str
    evaluate: Evaluate
    condition: bool
    traits: frozenset[str] = frozenset()


def compile_expression(text: str, *, place: str, config: Mapping[str, object] | None = None) -> Expression:
    """The expression in *text*, which stands at *place*; paths under `config` are looked up once, in *config*.

    Raises UserError with the place, the text and a caret.
    """
    source = Source(text, place)
    parsed = parse(source)
    evaluate = _first([_term(term, source, config or {}) for term in parsed.terms])
    condition = False
    for call in parsed.calls:
        transform = _transform(call, source)
        evaluate = _applied(transform, evaluate, call, source, config or {})
        condition = transform.condition
    arguments = (argument for call in parsed.calls for argument in call.arguments)
    return Expression(text, evaluate, condition, _traits([*parsed.terms, *arguments]))


def _traits(terms: list[Term]) -> frozenset[str]:
    """The names of the traits that are read, at their top level."""
    return frozenset(
        str(term.keys[0]) for term in terms if isinstance(term, Path) and term.root == "traits" and term.keys
    )


def did_you_mean(name: str, known: list[str]) -> str:
    """`, did you mean …?` where one of the known names is close, else nothing."""
    near = get_close_matches(name, known, 1)
    return f", did you mean {near[0]}?" if near else ""


@dataclass(frozen=True, slots=True)
class Constant:
    """Gives the same value for every event; in a class of its own so that it can be recognised while compiling."""

    value: object

    def __call__(self, event: Event) -> object:  # noqa: ARG002
        return self.value


def _term(term: Term, source: Source, config: Mapping[str, object]) -> Evaluate:
    if isinstance(term, Literal):
        return Constant(term.value)
    match term.root:
        case "config":
            return Constant(_within(dict(config), term.keys))
        case "traits":
            return _trait(term.keys)
        case "properties" | "context" as root:
            return _part(root, term.keys)
        case root if root in WORDS:
            if term.keys:
                raise source.error(term.column, f"{root} is a single value and has no parts")
            return _word(attrgetter(WORDS[root]))
    raise _unknown_root(term, source)


def _unknown_root(term: Path, source: Source) -> UserError:
    near = did_you_mean(term.root, list(ROOTS))
    hint = "" if near else f"paths start with {', '.join(ROOTS)}; text is 'quoted'"
    return source.error(term.column, f"no path starts with {term.root}{near}", hint)


def _word(read: Callable[[Event], object]) -> Evaluate:
    return lambda event: present(read(event))


def _trait(keys: tuple[str | int, ...]) -> Evaluate:
    """Traits are the event's own, else those in its context, as bare tracks carry them, else remembered ones."""
    if len(keys) == 1 and type(keys[0]) is str:
        name = keys[0]  # the common case, worth a quarter of a mapping's time

        def trait(event: Event) -> object:
            value = event.traits.get(name)
            if type(value) is str and value and not value.isspace():
                return value
            value = present(value)
            if value is MISSING:
                value = _within(event.context, ("traits", name))
            if value is MISSING and event.remembered:
                value = present(event.remembered.get(name))
            return value

        return trait

    def nested_trait(event: Event) -> object:
        value = _within(event.traits, keys)
        if value is MISSING:
            value = _within(event.context, ("traits", *keys))
        if value is MISSING and keys:  # all traits together are those of the event
            value = _within(event.remembered, keys)
        return value

    return nested_trait


def _part(root: str, keys: tuple[str | int, ...]) -> Evaluate:
    if root == "properties":
        return lambda event: _within(event.properties, keys)
    return lambda event: _within(event.context, keys)


def _within(value: Any, keys: tuple[str | int, ...]) -> object:
    for key in keys:
        if type(key) is str and type(value) is dict:
            value = value.get(key)
        elif type(key) is int and type(value) is list and key < len(value):
            value = value[key]
        else:
            return MISSING
    return present(value)


def _first(terms: list[Evaluate]) -> Evaluate:
    """The first present value; blank literals count as missing like any other blank text."""
    terms = [Constant(present(term.value)) if isinstance(term, Constant) else term for term in terms]
    if len(terms) == 1:
        return terms[0]
    if len(terms) == 2:
        one, other = terms

        def either(event: Event) -> object:
            value = one(event)
            return other(event) if value is MISSING else value

        return either

    def first(event: Event) -> object:
        for term in terms:
            if (value := term(event)) is not MISSING:
                return value
        return MISSING

    return first


def _transform(call: Call, source: Source) -> Transform:
    if transform := TRANSFORMS.get(call.name):
        return transform
    near = did_you_mean(call.name, list(TRANSFORMS))
    raise source.error(call.column, f"no transform is called {call.name}{near}", "`crmstream transforms` lists them")


def _applied(
    transform: Transform, before: Evaluate, call: Call, source: Source, config: Mapping[str, object]
) -> Evaluate:
    """The transform after what comes before it, its arguments checked now where they are known now."""
    if not transform.countable(len(call.arguments)):
        raise source.error(call.column, f"it is written {transform.signature}", "`crmstream transforms` lists them")
    arguments = [_term(argument, source, config) for argument in call.arguments]
    known: list[object] = []
    for index, (argument, term) in enumerate(zip(arguments, call.arguments, strict=True)):
        if not isinstance(argument, Constant):
            return _applied_late(transform, before, arguments)
        expected = transform.argument(index)
        if argument.value is MISSING and not expected.required:
            known.append(expected.default)  # a setting left out
        elif argument.value is MISSING or not expected.accepts(argument.value):
            raise source.error(term.column, f"{call.name} needs {expected.wanted} here")
        else:
            known.append(argument.value)
    return _applied_now(transform.takes, before, transform.bound(tuple(known)))


def _applied_now(takes: tuple[type, ...] | None, before: Evaluate, function: Callable[[object], object]) -> Evaluate:
    if takes is ANYTHING:
        return lambda event: present(function(before(event)))

    def step(event: Event) -> object:
        value = before(event)
        if type(value) not in takes:
            return value if type(value) is Absent else IGNORED
        value = function(value)
        return value if type(value) is str and value and not value.isspace() else present(value)

    return step


def _applied_late(transform: Transform, before: Evaluate, arguments: list[Evaluate]) -> Evaluate:
    """The transform with arguments from the event: a missing one takes its default, else nothing comes of it."""

    def step(event: Event) -> object:
        given: list[object] = []
        for index, argument in enumerate(arguments):
            value = argument(event)
            expected = transform.argument(index)
            if type(value) is Absent:
                if expected.required:
                    return False if transform.condition else value
                value = expected.default
            given.append(value)
        return transform(before(event), *given)

    return step
