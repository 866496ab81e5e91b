"""From a file to `Settings`, or to one error that names everything wrong in it."""

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from stream.errors import Exit, UserError
from stream.settings.complaints import complaints, is_secret
from stream.settings.later import refused
from stream.settings.mappings import mapping_of
from stream.settings.model import Settings, contradictions
from stream.settings.yaml_text import Document, Mistake, dotted, read_yaml

Model = TypeVar("Model", bound=BaseModel)


def load(path: Path, environ: Mapping[str, str] = os.environ) -> Settings:
    """The settings in *path*, with the files they name found from its folder.

    Raises UserError (BAD_FILE) with a line `file:line:column: what is wrong` for each mistake.
    """
    return examine(path, environ)[0]


def examine(path: Path, environ: Mapping[str, str] = os.environ) -> tuple[Settings, list[str]]:
    """Like `load`, and the places of secrets that stand in the file itself, as `file:line:column: key`."""
    document = read_yaml(path, environ)
    mistakes = [*document.mistakes, *_left_empty(document)]
    for steps, text in refused(document):
        mistakes.append(Mistake(document.mark(steps), dotted(steps) + text))
        document.unset[steps] = ""  # said: what the model says of it would only repeat it
    try:
        settings = Settings.model_validate(document.tree)
    except ValidationError as error:
        raise _error(document, [*mistakes, *complaints(document, error)]) from None
    mistakes += [Mistake(document.mark(steps), f"{dotted(steps)} {text}") for steps, text in contradictions(settings)]
    mistakes += _in_mappings(document, settings)
    if mistakes:
        raise _error(document, mistakes)
    return _found_from(path.absolute().parent, settings), list(_written_secrets(document))


def _written_secrets(document: Document) -> Iterator[str]:
    """Places of secrets that came neither from the environment nor from a file of their own."""
    others = document.filled | document.nulls | document.unset.keys()
    for steps, at in document.values.items():
        if steps not in others and is_secret(document, steps):
            yield f"{document.name}:{at.line}:{at.column}: {dotted(steps)}"


def _left_empty(document: Document) -> Iterator[Mistake]:
    """A destination without any key: its name would vanish like any other empty key."""
    for steps, why in document.unset.items():
        if why and steps[0] == "destinations" and len(steps) == 2:
            yield Mistake(document.mark(steps, key=True), f"{dotted(steps)} {why}")


def _in_mappings(document: Document, settings: Settings) -> Iterator[Mistake]:
    """The first wrong expression of each destination; its text begins with its place, and may show a caret."""
    for name, destination in settings.destinations.items():
        try:
            mapping_of(name, destination)
        except UserError as error:
            places = [steps for steps in document.keys if error.text.startswith(dotted(steps))]
            steps = max(places, key=len, default=())
            secret = steps in document.filled
            yield Mistake(document.mark(steps), f"{dotted(steps)}: is wrong once filled in" if secret else error.text)


def _error(document: Document, mistakes: Iterable[Mistake]) -> UserError:
    lines = [f"{document.name}:{at.line}:{at.column}: {text}" for at, text in sorted(set(mistakes))]
    return UserError("\n".join(lines), "`crmstream schema` describes every key", Exit.BAD_FILE)


def _found_from(folder: Path, model: Model) -> Model:
    """*model* with its relative paths, at any depth, made absolute: they are meant from where the file is."""
    changed = {name: moved for name, value in model if (moved := _moved(folder, value)) is not value}
    copy = model.model_copy(update=changed)
    copy.model_fields_set.intersection_update(model.model_fields_set)  # a moved default was not given by anyone
    return copy


def _moved(folder: Path, value: object) -> object:
    if isinstance(value, Path):
        return folder / value
    if isinstance(value, BaseModel):
        return _found_from(folder, value)
    if isinstance(value, dict):
        return {name: _moved(folder, each) for name, each in value.items()}
    return value
