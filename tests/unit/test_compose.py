"""The compose file and its configuration fit each other and the rest of the checkout."""

from pathlib import Path

import pytest
import yaml

from stream.settings import load

ROOT = Path(__file__).parents[2]
SERVICES = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
CONFIG = ROOT / "deploy/crmstream.yaml"


def test_its_configuration_leads_to_the_other_services(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the variables that compose sets, each address is a service's."""
    for name, value in SERVICES["crmstream"]["environment"].items():
        monkeypatch.setenv(name, value)

    settings = load(CONFIG)

    assert ["kafka:19092"] == settings.kafka.bootstrap_servers
    assert "http://sandbox:8090" == settings.destinations["attio"].base_url
    assert "INSIDE://kafka:19092" in SERVICES["kafka"]["environment"]["KAFKA_ADVERTISED_LISTENERS"]
    assert SERVICES["sandbox"]["command"].endswith("--port 8090")


def test_its_configuration_also_serves_commands_on_this_machine() -> None:
    """Without any variable it leads to the ports that compose publishes."""
    settings = load(CONFIG)

    assert ["localhost:9092"] == settings.kafka.bootstrap_servers
    assert "http://localhost:8090" == settings.destinations["attio"].base_url


def test_it_creates_the_source_topics() -> None:
    """Sources are never created by crmstream itself."""
    assert all(f"--topic {topic} " in SERVICES["topics"]["command"] for topic in load(CONFIG).source.topics)


def test_its_broker_is_the_one_that_can_be_built_offline() -> None:
    """`kafka-image` builds the very tag that compose names."""
    script = (ROOT / "tests/infrastructure/kafka-image").read_text()
    name, _, version = SERVICES["kafka"]["image"].partition(":")

    assert f"{name}:$KAFKA_VERSION" in script
    assert f"KAFKA_VERSION=${{KAFKA_VERSION:-{version}}}" in script
