"""What a configuration may say of an Acme destination. The mapping is in `preset.yaml`."""

from typing import Literal

from pydantic import Field, SecretStr

from stream.core.units import Rate
from stream.destinations.base import DestinationSettings
from stream.destinations.values import WebAddress


class AcmeSettings(DestinationSettings):
    """An Acme account, which the key belongs to."""

    type: Literal["acme"] = Field("acme", description="Acme")
    api_key: SecretStr = Field(description="API key that may write contacts")
    base_url: WebAddress = Field("https://api.example.com", description="Acme's address")
    rate_limit: Rate | None = Field(10.0, description="HTTP requests of the whole group")
    concurrency: int = Field(8, ge=1, description="calls in flight at most")
