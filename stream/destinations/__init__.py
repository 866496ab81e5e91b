"""The destinations there are. What one is made of is `base.py`; each has a folder here and a line in `REGISTRY`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stream.destinations.base import Calls, DestinationSettings
    from stream.destinations.sandbox import Sandbox


@dataclass(frozen=True, slots=True)
class Registration:
    """The parts of one destination, each imported when it is asked for: a command pays only for what it uses."""

    folder: str
    prefix: str  # of the names of its classes

    @property
    def settings(self) -> "type[DestinationSettings]":
        """The model of its part of the configuration."""
        found: type[DestinationSettings] = self._part("settings", "Settings")
        return found

    @property
    def calls(self) -> "type[Calls]":
        """The client."""
        found: type[Calls] = self._part("client", "")
        return found

    @property
    def sandbox(self) -> "Callable[[], Sandbox]":
        """Makes a stand-in for the vendor; `stream.destinations.sandbox.serve` puts it on the network."""
        found: Callable[[], Sandbox] = self._part("sandbox", "Sandbox")
        return found

    @property
    def preset(self) -> Path:
        """The mapping it ships with."""
        return Path(__file__).parent / self.folder / "preset.yaml"

    def _part(self, module: str, suffix: str) -> Any:
        return getattr(import_module(f"{__name__}.{self.folder}.{module}"), f"{self.prefix}{suffix}")


REGISTRY: Mapping[str, Registration] = {
    "attio": Registration("attio", "Attio"),
    "splio_contacts": Registration("splio_contacts", "SplioContacts"),
    "customerio": Registration("customerio", "Customerio"),
    "splio_sms": Registration("splio_sms", "SplioSms"),
    "splio_files": Registration("splio_files", "SplioFiles"),
}
"""What a destination's `type` may be."""
