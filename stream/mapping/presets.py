"""Presets: the mapping a destination ships with, as a YAML file that users can read and copy."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BeforeValidator, Field, ValidationError

from stream.core.strict import Strict
from stream.errors import Exit, UserError


def _expression(given: Any) -> Any:
    """Numbers, true and false are expressions too; YAML and Python hand them over as values."""
    return str(given).lower() if isinstance(given, bool | int | float) else given


ExpressionText = Annotated[str, BeforeValidator(_expression)]


class FieldRule(Strict):
    """A field, and the events it is filled for: None for all that the destination takes."""

    value: ExpressionText
    events: list[str] | None = None

    def fills(self, event: str) -> bool:
        """Whether events of this name have the field."""
        return self.events is None or event in self.events


def _rule(given: Any) -> Any:
    return given if isinstance(given, Mapping | FieldRule) else {"value": given}


class Preset(Strict):
    """Names of the events to take, the fields of which at least one identifies a contact, all fields."""

    events: list[str]
    identity: list[str] = Field([])
    fields: dict[str, Annotated[FieldRule, BeforeValidator(_rule)]]


def load_preset(path: Path) -> Preset:
    """The preset in a file. Raises UserError that names the file and the place in it."""
    try:
        # BaseLoader leaves every scalar the text that was written
        return read_preset(yaml.load(path.read_text(encoding="utf-8"), yaml.BaseLoader), place=path.name)  # noqa: S506
    except (OSError, UnicodeDecodeError):
        raise UserError(f"{path.name} cannot be read", exit_code=Exit.BAD_FILE) from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        hint = "expressions with ??, commas or # need quotes"
        raise UserError(f"{path.name}{line}: {getattr(error, 'problem', 'not YAML')}", hint, Exit.BAD_FILE) from None


def read_preset(content: object, *, place: str) -> Preset:
    """The preset in a parsed file. Raises UserError that names the place."""
    try:
        return Preset.model_validate(content)
    except ValidationError as error:
        raise _user_error(error, place) from None


def read_rule(content: object, *, place: str) -> FieldRule:
    """A field as the configuration has it, an expression or one with its events. Raises UserError with the place."""
    try:
        return FieldRule.model_validate(_rule(content))
    except ValidationError as error:
        raise _user_error(error, place) from None


def _user_error(error: ValidationError, place: str) -> UserError:
    """The first complaint; its place is a path, its text never shows the value."""
    first = error.errors(include_input=False, include_url=False)[0]
    where = ".".join([place, *map(str, first["loc"])])
    hint = "a field is an expression or {value: expression, events: [names]}" if "fields" in where else ""
    return UserError(f"{where}: {first['msg']}", hint, Exit.BAD_FILE)
