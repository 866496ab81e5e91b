"""The `kafka` and `source` blocks of the configuration: where the broker is, and what is read from it.

How a connection is made of them is `stream.kafka.security`.
"""

import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, SecretStr, field_validator, model_validator

from stream.core.strict import Strict
from stream.core.units import Duration, Size

INSTANCE = r"^[a-zA-Z0-9._-]{1,240}$"
TOPIC = r"^[a-zA-Z0-9._-]{1,249}$"
SERVER = re.compile(r"(\[[0-9a-fA-F:.]+\]|[^\s:/,\[\]]+)(:[0-9]{1,5})?")

Topic = Annotated[str, Field(pattern=TOPIC)]


def servers(given: Any) -> Any:
    """A list of `host:port` of a list or of a text with commas; raises ValueError that shows the form."""
    parts = [part.strip() for part in given.split(",")] if isinstance(given, str) else given
    for number, part in enumerate(parts if isinstance(parts, list) else [], start=1):
        if isinstance(part, str) and not SERVER.fullmatch(part):
            raise ValueError(f"server {number} of {len(parts)} is not host:port")
    return parts


Servers = Annotated[list[str], BeforeValidator(servers, json_schema_input_type=str | list[str]), Field(min_length=1)]


class SecuritySettings(Strict):
    """How to reach a broker that is not open to everyone."""

    protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT", description="whether the connection is encrypted (SSL) and whether we log in (SASL)"
    )
    mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] | None = Field(
        None, description="how the password is shown to the broker; with a SASL protocol"
    )
    username: str | None = Field(None, description="with a SASL protocol")
    password: SecretStr | None = Field(None, description="with a SASL protocol; write ${KAFKA_PASSWORD}")
    ca_file: Path | None = Field(
        None, description="PEM file of who signed the broker's certificate; null: the system's"
    )
    cert_file: Path | None = Field(None, description="PEM file of our own certificate, where the broker asks for one")
    key_file: Path | None = Field(None, description="PEM file of the key to cert_file, without a passphrase")

    @model_validator(mode="after")
    def _complete(self) -> "SecuritySettings":
        login = {"mechanism": self.mechanism, "username": self.username, "password": self.password}
        if self.protocol.startswith("SASL"):
            if missing := [name for name, value in login.items() if value is None]:
                raise ValueError(f"protocol {self.protocol} needs {' and '.join(missing)}")
        elif given := [name for name, value in login.items() if value is not None]:
            raise ValueError(f"{' and '.join(given)} would not be used: protocol {self.protocol} does not log in")
        files = [name for name in ("ca_file", "cert_file", "key_file") if getattr(self, name) is not None]
        if files and not self.protocol.endswith("SSL"):
            raise ValueError(f"{' and '.join(files)} would not be used: protocol {self.protocol} is not encrypted")
        if self.key_file and not self.cert_file:
            raise ValueError("key_file needs cert_file")
        return self


class KafkaSettings(Strict):
    """The broker, and how we are its client."""

    bootstrap_servers: Servers = Field(description="host:port of some brokers: a list, or a text with commas")
    client_id: str = Field("crmstream", min_length=1, description="how the broker's logs name us")
    session_timeout: Duration = Field(10.0, ge=6, le=1800, description="a killed member is replaced after this")
    group_instance_id: str | None = Field(
        None,
        pattern=INSTANCE,
        description="static membership: does not leave on stop; another for each process, workers add -0, -1, … to it",
    )
    create_topics: bool = Field(True, description="make our own topics where they are missing")
    security: SecuritySettings | None = Field(None, description="encryption and login, where the broker asks for them")


class SourceSettings(Strict):
    """What is read, and how far ahead of the commit."""

    topics: list[Topic] = Field(min_length=1, description="where the events are")
    group: str = Field("crmstream", pattern=TOPIC, description="a destination's group id is <group>.<destination name>")
    start: Literal["earliest", "latest"] = Field("earliest", description="where to start without a committed position")
    format: Literal["json"] = Field("json", description="how events are encoded")
    dialect: Literal["datafly", "segment"] = Field("datafly", description="segment: trait names in camelCase")
    remember_traits: bool = Field(True, description="traits of an identify fill later events that lack them")
    window: int = Field(10_000, ge=1, le=23_600, description="span of offsets above the position, per partition")
    buffer: int = Field(8000, ge=1, description="unsettled messages of a pipeline, all partitions together")
    buffer_bytes: Size = Field(64 * 1024**2, ge=1, description="the same in bytes")
    commit_every: Duration = Field(0.25, gt=0, description="time between two commits")
    drain: Duration = Field(20.0, ge=3, lt=60, description="how long a rebalance or a stop waits for what is in flight")

    @field_validator("topics")
    @classmethod
    def _distinct(cls, topics: list[str]) -> list[str]:
        if len(set(topics)) < len(topics):
            raise ValueError("a topic is there twice")
        return topics

    def group_of(self, destination: str) -> str:
        """The consumer group of the destination of this name."""
        return f"{self.group}.{destination}"
