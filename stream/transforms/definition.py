"""What a transform is: a pure, total function with arguments, a sentence, an example. The functions are beside it."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, get_args, get_origin, get_type_hints


@dataclass(frozen=True, slots=True)
class Absent:
    """No value, and the word of `schemas.reasons.NOTES` that says why, where that is worth a note."""

    note: str


MISSING = Absent("")
IGNORED = Absent("field_ignored")  # a value of the wrong type

TEXT = (str,)
LIST = (list,)
ANYTHING = None


def present(value: object) -> object:
    """The value, or MISSING for what no field may hold: null, blank text, an empty list or object."""
    if type(value) is str:
        return value if value and not value.isspace() else MISSING
    return MISSING if value is None or value == [] or value == {} else value


@dataclass(frozen=True, slots=True)
class Rule:
    """What an argument must fulfil; *wanted* says it in words."""

    holds: Callable[[Any], bool]
    wanted: str


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument of a transform. *kind* is `object` where any literal will do."""

    name: str
    kind: type
    required: bool
    default: object
    repeated: bool
    rule: Rule | None

    def accepts(self, value: object) -> bool:
        """Whether the transform can work with this value."""
        return (self.kind is object or type(value) is self.kind) and (self.rule is None or self.rule.holds(value))

    @property
    def wanted(self) -> str:
        """What it accepts, in words."""
        return (
            self.rule.wanted
            if self.rule
            else {str: "a text in quotes", int: "a whole number"}.get(self.kind, "a value")
        )

    @property
    def written(self) -> str:
        """Its part of a signature."""
        if self.repeated:
            return f"{self.name}, …"
        return self.name if self.default is None else f"{self.name} = {literal(self.default)}"


@dataclass(frozen=True, slots=True)
class Transform:
    """A function usable in mappings. *takes* are the exact types it works on; ANYTHING includes an absent value."""

    name: str
    function: Callable[..., object]
    takes: tuple[type, ...] | None
    condition: bool
    arguments: tuple[Argument, ...]
    sentence: str
    example: tuple[object, str, object]  # given, the call as written in a mapping, what it makes of it

    def __call__(self, value: object, *arguments: object) -> object:
        """What becomes of a value: IGNORED where it or an argument is of the wrong type, MISSING if nothing is left."""
        if self.takes is not ANYTHING:
            if type(value) is Absent:
                return value
            if type(value) not in self.takes:
                return IGNORED
        if not self.countable(len(arguments)):
            return IGNORED
        if not all(self.argument(i).accepts(given) for i, given in enumerate(arguments)):
            return IGNORED
        return present(self.function(value, *arguments))

    def countable(self, count: int) -> bool:
        """Whether it can be called with so many arguments."""
        most = float("inf") if self.arguments and self.arguments[-1].repeated else len(self.arguments)
        return sum(argument.required for argument in self.arguments) <= count <= most

    def argument(self, index: int) -> Argument:
        """The argument at a place; the last one may be repeated."""
        return self.arguments[min(index, len(self.arguments) - 1)]

    @property
    def signature(self) -> str:
        """How it is written, `split(separator = ',')`."""
        parts = [argument.written for argument in self.arguments]
        return f"{self.name}({', '.join(parts)})" if parts else self.name


def transform(
    *, takes: tuple[type, ...] | None, example: tuple[object, str, object], name: str = "", condition: bool = False
) -> Callable[[Callable[..., object]], Transform]:
    """Make a transform of a function: its parameters after the first are the arguments, its docstring the sentence."""

    def make(function: Callable[..., object]) -> Transform:
        hints = get_type_hints(function, include_extras=True)
        _, *parameters = inspect.signature(function).parameters.values()
        return Transform(
            name or function.__name__,
            function,
            takes,
            condition,
            tuple(_argument(parameter, hints[parameter.name]) for parameter in parameters),
            (function.__doc__ or "").partition("\n")[0],
            example,
        )

    return make


def literal(value: object) -> str:
    """The value as one writes it in an expression."""
    if type(value) is str:
        return "'" + value.replace("'", "''") + "'"
    return str(value).lower() if type(value) is bool else str(value)


def _argument(parameter: inspect.Parameter, hint: Any) -> Argument:
    rules: list[Rule] = []
    if get_origin(hint) is Annotated:
        hint, *rules = get_args(hint)
    kind = next((part for part in get_args(hint) if part is not type(None)), hint)  # `str | None` takes a text
    repeated = parameter.kind is parameter.VAR_POSITIONAL
    required = parameter.default is parameter.empty
    return Argument(
        parameter.name, kind, required, None if required else parameter.default, repeated, rules[0] if rules else None
    )
