"""Expressions compiled once, to Python from an event to a value. The functions they call are `stream.transforms`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, TypeAlias

from schemas.events import Event
from stream.errors import UserError
from stream.mapping.code import Code
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
    """A compiled expression. A *condition* always gives true or false. *traits*: the names of those it reads.

    *code* leaves in `value` what *evaluate* gives.
    """

    text: str
    code: Code
    evaluate: Evaluate
    condition: bool
    traits: frozenset[str] = frozenset()


def compile_expression(text: str, *, place: str, config: Mapping[str, object] | None = None) -> Expression:
    """The expression in *text*, which stands at *place*; paths under `config` are looked up once, in *config*.

    Raises UserError with the place, the text and a caret.
    """
    source = Source(text, place)
    parsed = parse(source)
    code = _first([_term(term, source, config or {}) for term in parsed.terms])
    condition = False
    for call in parsed.calls:
        transform = _transform(call, source)
        _apply(code, transform, call, source, config or {})
        condition = transform.condition
    arguments = (argument for call in parsed.calls for argument in call.arguments)
    return Expression(text, code, code.function("value"), condition, _traits([*parsed.terms, *arguments]))


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
    """A term with the same value for every event."""

    value: object

    @property
    def code(self) -> Code:
        """What leaves it in `value`."""
        code = Code()
        code.add(f"value = {code.name(self.value)}")
        return code


@dataclass(frozen=True, slots=True)
class Found:
    """A term that is looked for in each event."""

    code: Code


def _term(term: Term, source: Source, config: Mapping[str, object]) -> Constant | Found:
    if isinstance(term, Literal):
        return Constant(term.value)
    match term.root:
        case "config":
            return Constant(_within(dict(config), term.keys))
        case "traits":
            return Found(_trait(term.keys))
        case "properties" | "context" as root:
            return Found(_code(f"value = within(event.{root}, {term.keys!a})"))
        case root if root in WORDS:
            if term.keys:
                raise source.error(term.column, f"{root} is a single value and has no parts")
            return Found(_code(f"value = present(event.{WORDS[root]})"))
    raise _unknown_root(term, source)


def _unknown_root(term: Path, source: Source) -> UserError:
    near = did_you_mean(term.root, list(ROOTS))
    hint = "" if near else f"paths start with {', '.join(ROOTS)}; text is 'quoted'"
    return source.error(term.column, f"no path starts with {term.root}{near}", hint)


def _code(*lines: str) -> Code:
    """Such lines, which may name what is in NAMES."""
    return Code(list(lines), dict(NAMES))


def _trait(keys: tuple[str | int, ...]) -> Code:
    """Traits are the event's own, else those in its context, as bare tracks carry them, else remembered ones."""
    if len(keys) == 1 and type(keys[0]) is str:  # nearly all are, and nearly all are texts: that is looked at here
        name = ascii(keys[0])
        return _code(
            f"value = event.traits.get({name})",
            f"if {BLANK}:",
            f"    value = trait(event, {name}, value)",
        )
    return _code(f"value = nested_trait(event, {keys!a})")


def _one_trait(event: Event, name: str, value: object) -> object:
    """The trait, where the event's own *value* is blank or no text."""
    value = present(value)
    if value is MISSING:
        inner = event.context.get("traits")
        if type(inner) is dict:
            value = present(inner.get(name))
    if value is MISSING and event.remembered:
        value = present(event.remembered.get(name))
    return value


def _nested_trait(event: Event, keys: tuple[str | int, ...]) -> object:
    value = _within(event.traits, keys)
    if value is MISSING:
        value = _within(event.context, ("traits", *keys))
    if value is MISSING and keys:  # all traits together are those of the event
        value = _within(event.remembered, keys)
    return value


def _within(value: Any, keys: tuple[str | int, ...]) -> object:
    for key in keys:
        if type(key) is str and type(value) is dict:
            value = value.get(key)
        elif type(key) is int and type(value) is list and key < len(value):
            value = value[key]
        else:
            return MISSING
    return present(value)


def _first(terms: list[Constant | Found]) -> Code:
    """The first present value; blank literals count as missing like any other blank text."""
    first, *others = [Constant(present(term.value)) if isinstance(term, Constant) else term for term in terms]
    code = _code()
    code.include(first.code)
    for other in others:
        code.include(other.code, under="if value is MISSING:")
    return code


def _transform(call: Call, source: Source) -> Transform:
    if transform := TRANSFORMS.get(call.name):
        return transform
    near = did_you_mean(call.name, list(TRANSFORMS))
    raise source.error(call.column, f"no transform is called {call.name}{near}", "`crmstream transforms` lists them")


def _apply(code: Code, transform: Transform, call: Call, source: Source, config: Mapping[str, object]) -> None:
    """The transform after what comes before it, its arguments checked now where they are known now."""
    if not transform.countable(len(call.arguments)):
        raise source.error(call.column, f"it is written {transform.signature}", "`crmstream transforms` lists them")
    arguments = [_term(argument, source, config) for argument in call.arguments]
    known: list[object] = []
    for index, (argument, term) in enumerate(zip(arguments, call.arguments, strict=True)):
        if not isinstance(argument, Constant):
            code.add(f"value = {code.name(_late(transform, arguments))}(event, value)")
            return
        expected = transform.argument(index)
        if argument.value is MISSING and not expected.required:
            known.append(expected.default)  # a setting left out
        elif argument.value is MISSING or not expected.accepts(argument.value):
            raise source.error(term.column, f"{call.name} needs {expected.wanted} here")
        else:
            known.append(argument.value)
    _apply_now(
        code, transform.takes, f"{code.name(transform.function)}({', '.join(['value', *map(code.name, known)])})"
    )


def _apply_now(code: Code, takes: tuple[type, ...] | None, call: str) -> None:
    if takes is ANYTHING:
        code.add(f"value = present({call})")
        return
    taken = f"is {code.name(takes[0])}" if len(takes) == 1 else f"in {code.name(takes)}"
    code.add(
        f"if type(value) {taken}:",
        f"    value = {call}",
        f"    if {BLANK}:",
        "        value = present(value)",
        "elif type(value) is not Absent:",
        "    value = IGNORED",
    )


def _late(transform: Transform, arguments: list[Constant | Found]) -> Callable[[Event, object], object]:
    """The transform with arguments from the event: a missing one takes its default, else nothing comes of it."""
    evaluates: list[Evaluate] = [argument.code.function("value") for argument in arguments]

    def applied(event: Event, value: object) -> object:
        given: list[object] = []
        for index, evaluate in enumerate(evaluates):
            argument = evaluate(event)
            expected = transform.argument(index)
            if type(argument) is Absent:
                if expected.required:
                    return False if transform.condition else argument
                argument = expected.default
            given.append(argument)
        return transform(value, *given)

    return applied


BLANK = "type(value) is not str or not value or value.isspace()"
"""Whether the value needs a closer look: most are texts, and this costs a third of `present`."""

NAMES: dict[str, object] = {
    "Absent": Absent,
    "IGNORED": IGNORED,
    "MISSING": MISSING,
    "present": present,
    "within": _within,
    "trait": _one_trait,
    "nested_trait": _nested_trait,
}
