"""What operators write into mappings, and the functions that are called by it."""

from copy import deepcopy
from dataclasses import dataclass
from random import Random
from typing import Any

import orjson

from schemas.events import Event
from stream.errors import Exit, UserError
from stream.mapping import Expression, compile_expression
from stream.mapping.expressions import ROOTS
from stream.transforms import TRANSFORMS
from stream.transforms.definition import Absent, literal
from tests.fuzz.target import Target, frozen
from tests.fuzz.values import broken, json_object, json_value, scalar, text

NAMES = ("email", "first_name", "a b", "x", "0", "items", "it's", "")
TOKENS = (
    *(
        b"traits",
        b"properties",
        b"config",
        b"timestamp",
        b".",
        b".'a b'",
        b".0",
        b"'",
        b"''",
        b"'x'",
        b"??",
        b"|",
        b"(",
    ),
    *(b")", b",", b" ", b"\n", b"-1", b"2.5", b"true", b"\x00", b'"', "é".encode(), "٣".encode(), b"$", b"9" * 30),
    *(f"| {name}".encode() for name in TRANSFORMS),
)


@dataclass(frozen=True, slots=True)
class Written:
    """An expression's text, and what is found where its paths lead."""

    text: str
    content: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Applied:
    """A transform, a value and arguments."""

    name: str
    value: Any
    arguments: tuple[Any, ...]


def expression(random: Random) -> str:
    """By the grammar, with transforms that are called as they may be, or nearly."""
    terms = " ?? ".join(term(random) for _ in range(random.choice((1, 1, 1, 2, 3))))
    return terms + "".join(f" | {call(random)}" for _ in range(random.choice((0, 1, 1, 2, 4))))


def term(random: Random) -> str:
    """A path or a value."""
    if random.random() < 0.3:
        value = random.choice((text(random), random.randint(-5, 10**6), 2.5, True, False))
        return literal(value)
    root = random.choice(ROOTS)
    if root not in ("traits", "properties", "context", "config"):
        return root
    return root + "".join(random.choice((f".{key(random)}", f".{key(random)}", ".0", "")) for _ in range(2))


def key(random: Random) -> str:
    name = random.choice(NAMES)
    return name if name.isidentifier() else literal(name)


def call(random: Random) -> str:
    """A transform; its arguments are mostly of the kinds it takes."""
    transform = random.choice(list(TRANSFORMS.values()))
    count = len(transform.arguments) + random.choice((0, 0, 0, 0, 1, -1))
    arguments = ", ".join(
        argument(random, transform.argument(i).kind if transform.arguments else str) for i in range(count)
    )
    return f"{transform.name}({arguments})" if arguments else transform.name


def argument(random: Random, kind: type) -> str:
    if random.random() < 0.2:
        return term(random)
    if kind is int:
        return str(random.choice((0, 1, -1, 3, 10**9)))
    return literal(random.choice((",", "-", "FR", "%Y-%m-%d", "%j%%", "%Q", "é", "", text(random))))


def draw_written(random: Random) -> Written:
    found = expression(random)
    if random.random() < 0.4:
        found = broken(random, found.encode(), TOKENS).decode("utf-8", "replace")
    return Written(found, json_object(random, NAMES))


def compiles_or_complains(given: Written) -> None:
    """A complaint has its place and a caret within the text; what compiles is total, pure and fit to be sent."""
    compiled = _compiled(given)
    if isinstance(compiled, UserError):
        _complains(compiled)
        return
    event = Event("track", "A", "u", None, 1.78e9, None, *(given.content,) * 3, (), given.content)
    before = frozen(given.content)
    value = compiled.evaluate(event)
    fit(value)
    assert repr(value) == repr(compiled.evaluate(event))
    assert before == frozen(given.content)
    assert not compiled.condition or type(value) is bool


def _compiled(given: Written) -> Expression | UserError:
    try:
        return compile_expression(given.text, place="fields.a", config=given.content)
    except UserError as error:
        return error


def _complains(error: UserError) -> None:
    said, shown, caret = error.text.rsplit("\n", 2)
    assert Exit.BAD_FILE == error.exit_code
    assert said.startswith("fields.a: ")
    assert "^" == caret.strip()
    assert len(caret) <= len(shown) + 1
    assert (said + shown + error.hint).isprintable()


def fit(value: object) -> None:
    """Absent, or JSON that is neither null nor blank nor empty."""
    if not isinstance(value, Absent):
        assert orjson.dumps(value)
        assert value not in (None, "", [], {})
        assert not (isinstance(value, str) and value.isspace())


def draw_applied(random: Random) -> Applied:
    transform = random.choice(list(TRANSFORMS.values()))
    count = random.choice((0, 1, 1, 2))
    return Applied(transform.name, json_value(random), tuple(scalar(random) for _ in range(count)))


def is_pure(given: Applied) -> None:
    """A transform never raises, changes nothing that it is given, and says the same again."""
    value, arguments = deepcopy(given.value), deepcopy(given.arguments)
    made = TRANSFORMS[given.name](value, *arguments)
    fit(made)
    assert repr(made) == repr(TRANSFORMS[given.name](value, *arguments))
    assert repr((given.value, given.arguments)) == repr((value, arguments))


TARGETS = [
    Target("expressions", draw_written, compiles_or_complains, share=3),
    Target(
        "expression bytes",
        lambda random: broken(random, expression(random).encode(), TOKENS),
        lambda raw: compiles_or_complains(Written(raw.decode("utf-8", "replace"), {"email": "a", "x": [1, {}]})),
        raw=True,
    ),
    Target("transforms", draw_applied, is_pure, share=3),
]
