"""The JSON Schema of the configuration: what an editor says of a file must be what the file's reader says."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from stream.destinations import REGISTRY
from stream.settings import json_schema
from tests.unit.configurations import DESTINATIONS, KAFKA, SMALLEST, SOURCE

EXAMPLE = Path(__file__).parents[2] / "crmstream.example.yaml"
CONTRACT = Path(__file__).with_name("settings_contract.yaml")
SCHEMA = json_schema()
TYPES: dict[str, type | tuple[type, ...]] = {
    "object": dict,
    "array": list,
    "string": str,
    "integer": int,
    "number": (int, float),
    "null": type(None),
}


def complaints(value: Any, schema: dict[str, Any] | bool = SCHEMA, place: str = "") -> Iterator[str]:  # noqa: C901
    """The places at which *value* does not fit, by the keywords that the schema uses."""
    if isinstance(schema, bool):
        if not schema:
            yield place
        return
    if "$ref" in schema:
        yield from complaints(value, SCHEMA["$defs"][schema["$ref"].rpartition("/")[2]], place)
    if "anyOf" in schema and all(any(complaints(value, each, place)) for each in schema["anyOf"]):
        yield place
    for each in schema.get("allOf", []):
        if not any(complaints(value, each["if"], place)):
            yield from complaints(value, each["then"], place)
    if not fits(value, schema):
        yield place
    if isinstance(value, dict):
        properties = schema.get("properties", {})
        yield from (f"{place}.{key}" for key in schema.get("required", []) if key not in value)
        for key, each in value.items():
            yield from complaints(each, properties.get(key, schema.get("additionalProperties", True)), f"{place}.{key}")
            yield from complaints(key, schema.get("propertyNames", True), f"{place}.{key}")
    if isinstance(value, list):
        for each in value:
            yield from complaints(each, schema.get("items", True), f"{place}[]")


def fits(value: Any, schema: dict[str, Any]) -> bool:
    """Whether a value has the type, is one of the values and within the bounds."""
    types = [schema["type"]] if isinstance(schema.get("type"), str) else schema.get("type", [])
    return (
        (not types or any(is_a(value, each) for each in types))
        and ("const" not in schema or value == schema["const"])
        and ("enum" not in schema or value in schema["enum"])
        and (not isinstance(value, str) or re.search(schema.get("pattern", ""), value) is not None)
        and (not is_a(value, "number") or schema.get("minimum", value) <= value <= schema.get("maximum", value))
        and (
            not isinstance(value, dict | list)
            or len(value) >= max(schema.get(f"min{k}", 0) for k in ("Items", "Properties"))
        )
    )


def is_a(value: Any, name: str) -> bool:
    """JSON's types: true is no number."""
    if isinstance(value, bool) or name == "boolean":
        return isinstance(value, bool) and name == "boolean"
    return isinstance(value, TYPES[name])


@pytest.mark.parametrize("text", [SMALLEST, CONTRACT.read_text("utf-8"), EXAMPLE.read_text("utf-8")])
def test_what_loads_fits_the_schema(text: str) -> None:
    """The smallest file, the contract's and the example, as an editor reads them."""
    assert [] == list(complaints(yaml.safe_load(text)))


@pytest.mark.parametrize(
    "text, place",
    [
        (SMALLEST + "extra: 1\n", ".extra"),
        (KAFKA + "  sesion_timeout: 10s\n" + SOURCE + DESTINATIONS, ".kafka.sesion_timeout"),
        (KAFKA + SOURCE, ".destinations"),
        (KAFKA + SOURCE + "  window: 0\n" + DESTINATIONS, ".source.window"),
        (KAFKA + SOURCE + "  drain: 20\n" + DESTINATIONS, ".source.drain"),
        (SMALLEST + "    apikey: x\n", ".destinations.attio.apikey"),
        (SMALLEST + "    retry: {attempts: many}\n", ".destinations.attio.retry.attempts"),
        (KAFKA + SOURCE + "destinations: {attio: {type: attio}}\n", ".destinations.attio.api_key"),
        (KAFKA + SOURCE + "destinations: {attio: {type: atio}}\n", ".destinations.attio.type"),
        (SMALLEST.replace("  attio:", "  a b:"), ".destinations.a b"),
    ],
)
def test_what_is_refused_does_not_fit_the_schema(text: str, place: str) -> None:
    """At the same place."""
    assert [place] == list(complaints(yaml.safe_load(text)))


def test_a_variable_may_stand_in_for_any_scalar() -> None:
    """Numbers, choices and switches too."""
    text = SMALLEST + "    concurrency: ${N}\n    ordering: ${O}\n    enabled: ${E}\n    max_age: ${A}\n"

    assert [] == list(complaints(yaml.safe_load(text)))


def test_text_needs_no_quotes() -> None:
    """What YAML takes for a number is text here."""
    assert [] == list(complaints(yaml.safe_load(SMALLEST.replace("s3cret", "12345"))))


def test_every_key_is_described() -> None:
    """In every block and every destination."""
    blocks = {"": SCHEMA, **SCHEMA["$defs"]}

    assert [] == [
        f"{name}.{key}"
        for name, block in blocks.items()
        for key, rules in block.get("properties", {}).items()
        if not rules.get("description")
    ]
    assert {registration.settings.__name__ for registration in REGISTRY.values()} <= set(blocks)


def test_defaults_are_shown_as_they_are_written() -> None:
    """A default can be pasted into the file."""
    blocks = SCHEMA["$defs"]

    assert "10s" == blocks["KafkaSettings"]["properties"]["session_timeout"]["default"]
    assert "64MiB" == blocks["SourceSettings"]["properties"]["buffer_bytes"]["default"]
    assert "50% of 1000" == blocks["DeadLetterSettings"]["properties"]["stop_above"]["default"]
    assert "20/s" == blocks["AttioSettings"]["properties"]["rate_limit"]["default"]
