"""Whatever a producer or an operator writes: transforms are total, expressions compile or say what is wrong."""

from typing import Any

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.events import Event
from schemas.masking import LIMIT, mask
from stream.core.outcomes import Filtered, Rejected
from stream.decoding import decode
from stream.errors import UserError
from stream.mapping import Mapped, compile_expression, compile_mapping, read_preset
from stream.transforms import TRANSFORMS
from stream.transforms.definition import Absent

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
TEXTS = st.sampled_from(["+33 6 12 34 56 78", "en-GB", "2026-06-06T10:30:00Z", "France", "12.50", "a;b"]) | st.text()
PIECES = st.sampled_from(
    [
        *TRANSFORMS,
        "traits",
        "properties",
        "config",
        ".",
        ".'a b'",
        ".0",
        "'",
        "''",
        "'x'",
        "??",
        "|",
        "(",
        ")",
        ",",
        " ",
        "\n",
        "-1",
        "2.5",
        "true",
    ]
)
EXPRESSIONS = st.text(max_size=40) | st.lists(PIECES, max_size=12).map("".join)


def fit_to_send(value: object) -> bool:
    """Absent, or JSON that is neither null nor blank nor empty."""
    if isinstance(value, Absent):
        return True
    orjson.dumps(value)
    return value not in (None, "", [], {}) and not (isinstance(value, str) and value.isspace())


@settings(deadline=None)
@given(st.sampled_from(sorted(TRANSFORMS)), JSON | TEXTS, st.lists(JSON | TEXTS, max_size=2))
def test_transforms_are_total(name: str, value: Any, arguments: list[Any]) -> None:
    """Any value with any arguments gives something fit to send, or nothing."""
    assert fit_to_send(TRANSFORMS[name](value, *arguments))


@settings(deadline=None)
@given(EXPRESSIONS, st.dictionaries(st.sampled_from(["a b", "x", "email"]), JSON | TEXTS))
def test_an_expression_compiles_or_says_what_is_wrong(text: str, content: dict[str, Any]) -> None:
    """Never another exception; what compiles works on any event."""
    try:
        expression = compile_expression(text, place="test", config=content)
    except UserError:
        return

    assert fit_to_send(expression.evaluate(Event("track", "x", traits=content, properties=content, context=content)))


@settings(deadline=None)
@given(JSON, JSON, JSON, st.sampled_from(["datafly", "segment"]))
def test_any_json_is_decoded_and_mapped(traits: Any, context: Any, timestamp: Any, dialect: Any) -> None:
    """Every record comes to an end that is counted."""
    envelope = {"type": "identify", "traits": traits, "context": context, "timestamp": timestamp}
    preset = read_preset(
        {"events": ["Identified"], "fields": {"all": "traits", "first": "traits.a ?? context.a | trim"}}, place="p"
    )
    event = decode(orjson.dumps(envelope), 0, 1.8e9, dialect)

    if isinstance(event, Event):
        mapped = compile_mapping(preset).map(event)
        assert isinstance(mapped, Mapped)
        assert all(fit_to_send(value) for value in mapped.fields.values())
    else:
        assert isinstance(event, Rejected)


@given(st.binary())
def test_any_bytes_are_decoded(value: bytes) -> None:
    """An event or a refusal."""
    assert isinstance(decode(value, 0, 1.8e9, "datafly"), Event | Filtered | Rejected)


@given(st.text(max_size=800))
def test_any_text_is_masked(text: str) -> None:
    """One line of bounded length, fit for a header."""
    masked = mask(text)

    assert len(masked) <= LIMIT
    assert masked.isprintable()
