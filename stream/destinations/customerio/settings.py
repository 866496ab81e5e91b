"""What a configuration may say of a Customer.io destination. Where its hosts are is decided in `hosts.py`."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from stream.core.strict import Strict
from stream.core.units import Concurrency, Duration, Rate
from stream.destinations.base import DestinationSettings
from stream.destinations.privacy import NoEvents
from stream.destinations.values import Key, WebAddress
from stream.mapping import Preset

US = "https://api.customer.io"


@dataclass(frozen=True, slots=True)
class Hosts:
    """Addresses without a path. *track* is empty where there are no credentials for it."""

    app: str
    track: str


REGIONS = {
    "us": Hosts(US, "https://track.customer.io"),
    "eu": Hosts("https://api-eu.customer.io", "https://track-eu.customer.io"),
}


def _bare_host(url: str) -> str:
    """Paths are ours: what was copied with its `/v1`, `/api/v1` or `/api/v2` works too."""
    return re.sub(r"(/api)?(/v[12])?/*$", "", url)


Host = Annotated[WebAddress, AfterValidator(_bare_host)]


class CustomerioRates(Strict):
    """HTTP requests of the whole group to each of the two APIs."""

    app: Rate | None = Field(7.0, description="App API; it takes 10 a second")
    track: Rate | None = Field(80.0, description="Track API; it takes 100 a second")


def _for_each(given: Any) -> Any:
    """One rate, or null for no limit, is meant for both."""
    return given if isinstance(given, Mapping | CustomerioRates) else {"app": given, "track": given}


Rates = Annotated[CustomerioRates, BeforeValidator(_for_each, json_schema_input_type=CustomerioRates | Rate | None)]


class CustomerioSettings(DestinationSettings):
    """A Customer.io workspace, which the keys belong to."""

    unused = frozenset({"events", "fields", "consent", "coalesce", "max_age", "ordering"})

    type: Literal["customerio"] = Field("customerio", description="Customer.io, for privacy requests")
    app_api_key: Key = Field(description="App API key of the workspace")
    site_id: Key | None = Field(None, description="of a Tracking API key; with it, needed for deletion")
    tracking_api_key: Key | None = Field(None, description="Tracking API key of the same workspace")
    region: Literal["auto", "us", "eu"] = Field("auto", description="where the account is; auto: asked of Customer.io")
    base_url: Host = Field(US, description="one address for both APIs, such as a stand-in's; app_url and track_url win")
    app_url: Host | None = Field(None, description="App API's address, where `region` does not say it")
    track_url: Host | None = Field(None, description="Track API's address, where `region` does not say it")
    erasure: Literal["delete", "suppress"] = Field(
        "delete", description="suppress: also keeps the person from being added again, until unsuppressed"
    )
    history: Duration = Field(17_520 * 3600.0, gt=0, description="how far back messages are read")
    rate_limit: Rates = Field(  # type: ignore[assignment] # two APIs, two limits
        CustomerioRates(), description="HTTP requests of the whole group", examples=[{"app": "7/s", "track": "80/s"}]
    )
    concurrency: Concurrency = Field(4, description="requests answered at once at most")

    @property
    def rates(self) -> Mapping[str, float | None]:
        """The App API's first: each answer begins there."""
        return {"app": self.rate_limit.app, "track": self.rate_limit.track}

    @property
    def addresses(self) -> Sequence[str]:
        """Those of the region, of both where it is still to be asked, and what the file names."""
        regions = [hosts for region, hosts in REGIONS.items() if self.region in ("auto", region)]
        chosen = {self.app_url, self.track_url}
        named = [url for url in super().addresses if url != US or url in chosen]
        return [*named, *(url for hosts in regions for url in (hosts.app, hosts.track))]

    def mapping(self, preset: Preset, *, config: Mapping[str, object], place: str) -> NoEvents:  # noqa: ARG002
        """Events are not for it."""
        return NoEvents()

    @model_validator(mode="after")
    def _in_pairs(self) -> "CustomerioSettings":
        if (self.site_id is None) != (self.tracking_api_key is None):
            raise ValueError("site_id and tracking_api_key go together")
        return self

    @model_validator(mode="after")
    def _no_events(self) -> "CustomerioSettings":
        for key in sorted(self.unused):
            if getattr(self, key) != DestinationSettings.model_fields[key].default:
                raise ValueError(f"{key} is about events, and this destination answers privacy requests: leave it out")
        if self.batch.items != 1:
            raise ValueError("batch.items must be 1: each request is answered by itself")
        return self
