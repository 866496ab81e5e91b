"""The mapping of a configured destination: its preset with the changes that the configuration makes."""

from typing import Any

from pydantic import SecretBytes, SecretStr

from stream.destinations import REGISTRY
from stream.destinations.base import DestinationSettings
from stream.mapping import Maps, load_preset


def mapping_of(name: str, settings: DestinationSettings) -> Maps:
    """What turns events into the fields of destination *name*; raises UserError for an expression that is wrong."""
    return settings.mapping(
        load_preset(REGISTRY[settings.type].preset),
        config=_without_secrets(settings.model_dump()),
        place=f"destinations.{name}",
    )


def _without_secrets(value: Any) -> Any:
    """What `config` may show to an expression."""
    if isinstance(value, dict):
        return {
            key: _without_secrets(each) for key, each in value.items() if not isinstance(each, SecretStr | SecretBytes)
        }
    return value
