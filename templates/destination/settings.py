"""What a configuration may say of an Acme destination. The mapping is in `preset.yaml`."""

from typing import Literal

from pydantic import Field, SecretStr

from stream.core.units import Concurrency, Rate
from stream.destinations.base import CONCURRENCY, DestinationSettings
from stream.destinations.values import WebAddress


class AcmeSettings(DestinationSettings):
    """An Acme account, which the key belongs to."""

    type: Literal["acme"] = Field("acme", description="Acme")
    api_key: SecretStr = Field(description="API key that may write contacts")
    base_url: WebAddress = Field("https://api.example.com", description="Acme's address")
    rate_limit: Rate | None = Field(10.0, description="HTTP requests of the whole group")
    concurrency: Concurrency = Field(8, description=CONCURRENCY)
