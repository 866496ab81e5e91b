"""What README shows is true: its configuration loads, its commands exist."""

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from stream.cli import app
from stream.settings import load

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


BLOCKS = re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)
REST = "kafka: {bootstrap_servers: localhost:9092}\nsource: {topics: [crm.events]}\ndestinations:\n"


@pytest.mark.parametrize("block", BLOCKS)
def test_its_configuration_loads(tmp_path: Path, block: str) -> None:
    """A block is a whole file, or what it says it is of one."""
    file = tmp_path / "crmstream.yaml"
    file.write_text(REST + block if block.startswith("# in destinations:") else block)

    settings = load(file, {"ATTIO_API_KEY": "a-key", "SPLIO_SMS_KEY": "another-key"})

    assert len(settings.destinations) == 1


def test_it_shows_configurations() -> None:
    """At least a whole one and a part."""
    assert len(BLOCKS) >= 2


@pytest.mark.parametrize("command", sorted(set(re.findall(r"`crmstream (\w+)", README))))
def test_each_command_it_names_exists(command: str) -> None:
    """Whoever copies a line from it gets an answer."""
    result = CliRunner().invoke(app, [command, "--help"])

    assert 0 == result.exit_code


@pytest.mark.parametrize("command", re.findall(r"\./dev (\w+)", README))
def test_each_dev_command_it_names_exists(command: str) -> None:
    """`./dev` lists it."""
    assert f"./dev {command}" in (ROOT / "dev").read_text(encoding="utf-8")
