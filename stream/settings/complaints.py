"""What a model found wrong, in plain words and with the place in the file. Nothing secret is ever repeated."""

from collections.abc import Iterator
from difflib import get_close_matches
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from stream.core.units import written
from stream.destinations import REGISTRY
from stream.kafka.settings import TOPIC
from stream.settings.model import NAME, Settings
from stream.settings.yaml_text import Document, Mistake, Steps, dotted

PLAIN = {
    "model_type": "must be a block of keys",
    "model_attributes_type": "must be a block of keys",
    "dict_type": "must be a block of keys",
    "list_type": "must be a list, like [a, b]",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_parsing_size": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "path_type": "must be the path of a file",
    "string_type": "must be text",
    "too_short": "must not be empty",
    "string_too_short": "must not be empty",
}
BOUNDS = {
    "greater_than": ("above", "gt"),
    "greater_than_equal": ("at least", "ge"),
    "less_than": ("below", "lt"),
    "less_than_equal": ("at most", "le"),
}
LETTERS = "letters, digits, `.`, `_` and `-`"
ECHO = 60  # characters of a value that may be repeated


def complaints(document: Document, error: ValidationError) -> Iterator[Mistake]:
    """One mistake for each thing that is wrong, but for what only follows from a mistake already noted."""
    for found in error.errors(include_url=False):
        steps = _steps(document, found)
        gone = [left_out for left_out in document.unset if left_out[:-1] == steps]
        if document.unset.get(steps) == "" or (found["type"] == "too_short" and gone):
            continue
        block = found["type"] in ("missing", "value_error") and isinstance(found["input"], dict)
        about_key = block or found["type"] == "extra_forbidden" or found["loc"][-1:] == ("[key]",)
        yield Mistake(document.mark(steps, key=about_key), dotted(steps) + _words(document, steps, found))


def _steps(document: Document, found: ErrorDetails) -> Steps:
    """The way to what is wrong, as the file has it: without pydantic's own steps (kinds of a union, keys)."""
    known: Steps = ()
    for step in found["loc"]:
        if (*known, step) in document.values or (*known, step) in document.keys:
            known = (*known, step)
    if found["type"] == "missing" and known[-1:] != found["loc"][-1:]:
        known = (*known, found["loc"][-1])
    return (*known, place) if (place := found.get("ctx", {}).get("place")) else known


def _words(document: Document, steps: Steps, found: ErrorDetails) -> str:
    """What is said after the name of the key."""
    kind, context = found["type"], found.get("ctx", {})
    if found["loc"][-1:] == ("[key]",):
        return f" is not a name: use {LETTERS}"
    if kind in ("missing", "no_type"):
        why = f", but {document.unset[steps]}" if document.unset.get(steps) else ""
        return f" is required{why}" + (f": one of {', '.join(context['known'])}" if kind == "no_type" else "")
    if kind == "extra_forbidden":
        return f" is not a known key{_nearest(str(steps[-1]), _known(document, steps[:-1]))}"
    if kind == "unknown":
        return f" is not known{_nearest(context['given'], context['known'])}"
    return _about_value(kind, context, found, _shown(document, steps, found["input"]))


def _about_value(kind: str, context: dict[str, Any], found: ErrorDetails, shown: str) -> str:
    given, instead = found["input"], f", not {shown}" if shown else ""
    if kind in BOUNDS:
        word, name = BOUNDS[kind]
        bound = written(context[name]) if isinstance(given, float) else context[name]  # all floats are durations
        return f" must be {word} {bound}"
    if kind == "string_pattern_mismatch":
        form = context["pattern"]
        return f" must be made of {LETTERS}" if form in (NAME, TOPIC) else f" must match {form}"
    if kind == "literal_error":
        return f" must be {context['expected']}{instead}"
    if kind == "string_type" and isinstance(given, bool):
        return f" must be text: put quotes around {shown or 'it'}"
    if kind in PLAIN:
        return f" {PLAIN[kind]}{instead}"
    text = str(context.get("error", found["msg"]))
    if not shown and str(given):  # others' words may repeat what was given
        text = text.replace(repr(given), "it")
        text = "it is not valid" if str(given) in text else text
    return f": {text}"


def _shown(document: Document, steps: Steps, given: Any) -> str:
    """The value as it may be repeated; empty where it came from outside the file, is secret, or is not a scalar."""
    if steps in document.filled or is_secret(document, steps):
        return ""
    if given is None or isinstance(given, bool):
        return str({True: "true", False: "false", None: "null"}[given])
    return repr(given) if isinstance(given, str) and 0 < len(given) <= ECHO else ""


def is_secret(document: Document, steps: Steps) -> bool:
    """Whether the models say that the key at *steps* holds a secret."""
    field = _field(document, steps)
    return field is not None and "Secret" in repr(field)


def _nearest(word: str, known: list[str]) -> str:
    if near := get_close_matches(word, known, n=1, cutoff=0.6):
        return f": did you mean {near[0]}?"
    return f": known here are {', '.join(known)}" if known else ""


def _known(document: Document, steps: Steps) -> list[str]:
    model = _model(document, steps)
    return [field.alias or name for name, field in model.model_fields.items()] if model else []


def _field(document: Document, steps: Steps) -> Any:
    """What the models say of the key at *steps*; None where it is not theirs."""
    model = _model(document, steps[:-1]) if steps else None
    return model.model_fields.get(str(steps[-1])) if model else None


def _model(document: Document, steps: Steps) -> type[BaseModel] | None:
    """The model of the block at *steps*."""
    model: type[BaseModel] | None = Settings
    rest = list(steps)
    if rest[:1] == ["destinations"] and len(rest) > 1:
        given = document.tree["destinations"].get(rest[1])
        kind = given.get("type") if isinstance(given, dict) else None
        model, rest = (REGISTRY[str(kind)].settings if kind in REGISTRY else None), rest[2:]
    for step in rest:
        if isinstance(step, int):  # an item of a list, whose model is that of the list's key
            continue
        field = model.model_fields.get(str(step)) if model else None
        model = _block_of(field.annotation) if field else None
    return model


def _block_of(annotation: Any) -> type[BaseModel] | None:
    """The model in `Model`, `Model | None`, `Annotated[Model, …]`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(filter(None, map(_block_of, get_args(annotation))), None)
