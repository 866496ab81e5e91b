"""Keys of the contract that this version does not carry out yet, and refuses rather than ignores.

A line goes away with the change that makes it true.
"""

from collections.abc import Iterator
from typing import Any

from stream.settings.yaml_text import Document, Steps


def refused(document: Document) -> Iterator[tuple[Steps, str]]:
    """Each value that asks for what is not there yet, with what to say after its name."""
    source = _block(document.tree, "source")
    if source.get("format") in ("avro", "protobuf"):
        yield ("source", "format"), f": {source['format']} is not supported yet: only json is"
    if "schema_registry" in source:
        yield ("source", "schema_registry"), " is not supported yet: only json events are read"


def _block(tree: Any, *steps: str) -> dict[str, Any]:
    for step in steps:
        tree = tree.get(step) if isinstance(tree, dict) else None
    return tree if isinstance(tree, dict) else {}
