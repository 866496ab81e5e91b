"""The JSON Schema of the configuration, for editors and for `crmstream schema`."""

from typing import Any

from stream.core import units
from stream.destinations import REGISTRY
from stream.settings.model import NAME, Settings

REFERENCE = {"$ref": "#/$defs/Reference"}

Schema = dict[str, Any]


def json_schema() -> Schema:
    """The schema of a whole file; each destination's part depends on its `type`."""
    schema = Settings.model_json_schema()
    blocks = schema["$defs"]
    kinds = {}
    for name, registration in REGISTRY.items():
        kind = registration.settings.model_json_schema()
        blocks |= kind.pop("$defs", {})
        kind["properties"]["type"] = {"type": "string", "const": name, "description": "which vendor"}
        kind["required"] = ["type", *(key for key in kind.get("required", []) if key != "type")]
        blocks[kind["title"]] = kind
        kinds[name] = {"$ref": f"#/$defs/{kind['title']}"}
    del blocks["DestinationSettings"]
    schema["properties"]["destinations"] = {
        "description": schema["properties"]["destinations"]["description"],
        "type": "object",
        "minProperties": 1,
        "propertyNames": {"pattern": NAME},
        "additionalProperties": {
            "type": "object",
            "required": ["type"],
            "properties": {"type": {"enum": list(kinds)}},
            "allOf": [{"if": {"properties": {"type": {"const": name}}}, "then": kinds[name]} for name in kinds],
        },
    }
    schema |= _lenient(schema) | {"title": "crmstream configuration"}
    schema["$defs"] = {name: _lenient(block) for name, block in blocks.items()} | {
        "Reference": {
            "type": "string",
            "pattern": r"\$\{.+\}",
            "description": "filled in from outside",
        }
    }
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def _lenient(schema: Schema) -> Schema:
    """*schema* where text needs no quotes and `${…}` stands in for what is not text."""
    schema = {key: value for key, value in schema.items() if key not in ("title", "default")} | _default(schema)
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            schema[key] = _lenient(schema[key])
    if "properties" in schema:
        schema["properties"] = {name: _lenient(each) for name, each in schema["properties"].items()}
    if "anyOf" in schema:
        kinds = [kind for each in schema["anyOf"] for kind in _lenient(each).get("anyOf", [_lenient(each)])]
        return schema | {"anyOf": kinds}
    if schema.get("type") == "string" and not {"enum", "const", "pattern"} & set(schema):
        return schema | {"type": ["string", "number"]}
    if {"enum", "const", "pattern"} & set(schema) or schema.get("type") in ("integer", "number", "boolean"):
        about = {key: schema.pop(key) for key in ("description", "default") if key in schema}
        return about | {"anyOf": [schema, REFERENCE]}
    return schema


def _default(schema: Schema) -> Schema:
    """The default as people would write it; a block's is left out: its keys have their own."""
    if "default" not in schema:
        return {}
    default = schema["default"]
    form = next((each["pattern"] for each in [schema, *schema.get("anyOf", [])] if "pattern" in each), "").strip("^$")
    match form, default:
        case units.DURATION, float() | int():
            default = units.written(default)
        case units.SIZE, int():
            default = units.written_size(default)
        case units.RATE, float() | int():
            default = f"{default:g}/s"
        case units.SHARE, {"percent": percent, "of": of}:
            default = f"{percent:g}% of {of}"
        case _, {**keys} if keys:
            return {}
    return {"default": default}
