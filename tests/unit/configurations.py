"""Configuration files for tests: the smallest one, that one with a part of its own, and what is said of a bad one."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from stream.errors import Exit, UserError
from stream.settings import Settings, load

KAFKA = "kafka:\n  bootstrap_servers: localhost:9092\n"
SOURCE = "source:\n  topics: [crm.events]\n"
DESTINATIONS = "destinations:\n  attio:\n    type: attio\n    api_key: s3cret\n"
SMALLEST = KAFKA + SOURCE + DESTINATIONS


def loaded(folder: Path, text: str | bytes, **environ: str) -> Settings:
    """The settings of a file with this text."""
    return load(written(folder, text), environ)


def written(folder: Path, text: str | bytes) -> Path:
    """A file crmstream.yaml with this text."""
    path = folder / "crmstream.yaml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def refused(folder: Path, text: str | bytes, environ: Mapping[str, str] | None = None) -> str:
    """What is said of a file with this text, one mistake a line, each with its place and without the file's name."""
    with pytest.raises(UserError) as caught:
        load(written(folder, text), environ or {})
    assert Exit.BAD_FILE == caught.value.exit_code
    return caught.value.text.replace(f"{folder / 'crmstream.yaml'}:", "")
