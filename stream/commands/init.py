"""`crmstream init`: a commented configuration to start from, made of a template and the destinations' own models."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from stream.commands import CONFIG, known

TEMPLATE = Path(__file__).with_name("init.yaml")

Types = Annotated[list[str] | None, typer.Argument(metavar="[TYPE]...", help="Types of destination; without any: all.")]


def init(types: Types = None) -> None:
    """Write a crmstream.yaml to start from."""
    from stream.errors import UserError

    text = configuration(types or [])
    try:
        with CONFIG.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise UserError(f"{CONFIG} exists already", "move it away or edit it: init never overwrites") from None
    except OSError as error:
        raise UserError(f"{CONFIG} cannot be written: {error.strerror}") from None
    typer.echo(f"{CONFIG} written: set the variables it names, then run `crmstream check -c {CONFIG}`", err=True)


def configuration(types: list[str]) -> str:
    """The text of a configuration with these types of destination, or with all; UserError for an unknown one."""
    from stream.destinations import REGISTRY

    names = dict.fromkeys(known(name, REGISTRY, "type") for name in types or REGISTRY)
    text = TEMPLATE.read_text("utf-8")
    if any(REGISTRY[name].calls.reads == "privacy_requests" for name in names):
        text = _switched_on(text, "privacy")
    return text + "\n\n".join("\n".join(_destination(name)) for name in names) + "\n"


def _switched_on(text: str, block: str) -> str:
    """*text* with a block that is off by default."""
    off = re.compile(rf"^#{block}:.*\n(#  .*\n)+", re.MULTILINE)
    return off.sub(lambda match: re.sub("^#", "", match[0], flags=re.MULTILINE), text)


def _destination(name: str) -> Iterator[str]:
    """What the type requires, from the environment; then its other keys and those all share, at their defaults."""
    from stream.destinations import REGISTRY
    from stream.destinations.base import DestinationSettings
    from stream.settings import json_schema

    schema = json_schema()
    block = schema["$defs"][REGISTRY[name].settings.__name__]
    keys = block["properties"]
    off = {key for key in keys if "default" in keys[key] or ("examples" in keys[key] and key not in block["required"])}
    own = [key for key in keys if key not in DestinationSettings.model_fields]
    unused = REGISTRY[name].settings.unused
    yield f"  {name}: # any name; used in metrics, headers and the group id"
    yield f"    type: {name}"
    for key in own:
        if key not in off:
            yield f"    # {keys[key]['description']}"
            variable = f"${{{name.upper()}_{key.upper()}}}"
            given = _example(keys[key], schema["$defs"]) if "examples" in keys[key] else variable
            yield f"    {key}: {given}"
    for key in [*(key for key in own if key in off), *DestinationSettings.model_fields]:
        if key != "type" and key not in unused:
            yield f"    # {keys[key]['description']}"
            yield f"    #{key}: {_example(keys[key], schema['$defs'])}"


def _example(key: dict[str, Any], blocks: dict[str, Any]) -> str:
    """A value as YAML: the example, else the default, of a block in one line."""
    if "$ref" in key:
        parts = blocks[key["$ref"].rpartition("/")[2]]["properties"]
        return _yaml({name: part["default"] for name, part in parts.items()})
    return _yaml(key["examples"][0] if "examples" in key else key["default"])


def _yaml(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_yaml(key)}: {_yaml(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_yaml, value)) + "]"
    plain = isinstance(value, str) and re.fullmatch(r"[\w/][\w ./:%|()-]*", value) and ": " not in value
    return str(value) if plain else json.dumps(value, ensure_ascii=False)
