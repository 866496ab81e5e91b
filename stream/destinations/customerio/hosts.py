"""Which of Customer.io's hosts an account is at (destinations 6.2).

A wrong one is a fault of compliance, not of comfort: nothing personal is sent before the region is known, and nothing
at all to where a redirect points.
"""

import base64
import time

from stream.core.outcomes import Blocked, Rejected, Retry, Throttled
from stream.destinations.customerio.settings import REGIONS, US, CustomerioSettings, Hosts
from stream.destinations.customerio.verdicts import HOST, KEY, Api, refusal, unexpected
from stream.http import Request, Response
from stream.http.client import Client

REGION = "/api/v1/accounts/region"
WORKSPACES = "/v1/workspaces"


class Directory:
    """The account's hosts: as configured, else as Customer.io says, asked once."""

    def __init__(self, settings: CustomerioSettings, http: Client) -> None:
        self._http = http
        self._app_key = f"Bearer {settings.app_api_key.get_secret_value()}"
        self.can_delete = settings.site_id is not None
        self._basic = ""
        if settings.site_id and settings.tracking_api_key:
            pair = f"{settings.site_id.get_secret_value()}:{settings.tracking_api_key.get_secret_value()}"
            self._basic = f"Basic {base64.b64encode(pair.encode()).decode()}"
        both = settings.base_url if settings.base_url != US else ""
        self._app, self._track = settings.app_url or both, settings.track_url or both
        self.known: Hosts | None = None
        if settings.region != "auto":
            self._settle(REGIONS[settings.region])
        elif self._app and (self._track or not self.can_delete):
            self.known = Hosts(self._app, self._track)

    def app(self, method: str, url: str) -> Request:
        """A request to the App API."""
        return Request(method, url, headers=(("Authorization", self._app_key),), limit="app")

    def track(self, method: str, url: str) -> Request:
        """A request to the Track API."""
        return Request(method, url, headers=(("Authorization", self._basic),), limit="track")

    async def hosts(self, deadline: float = float("inf")) -> Hosts | Retry | Throttled | Blocked:
        """The hosts, or why they are not known yet. Raises like `Client.send`."""
        if self.known is not None:
            return self.known
        found = await (self._ask_track(deadline) if self.can_delete else self._try_both(deadline))
        return self._settle(REGIONS[found]) if isinstance(found, str) else found

    def _settle(self, region: Hosts) -> Hosts:
        self.known = Hosts(self._app or region.app, self._track or region.track)
        return self.known

    async def _ask_track(self, deadline: float) -> str | Retry | Throttled | Blocked:
        """Either Track host knows the region of an account by its credentials."""
        at = self._track or REGIONS["us"].track
        response = await self._http.send(self.track("GET", at + REGION), deadline=deadline)
        if response.status != 200:
            return _refusal(response, "track")
        found = response.json()
        region = found.get("region") if isinstance(found, dict) else None
        return region if isinstance(region, str) and region in REGIONS else unexpected(response, "a region")

    async def _try_both(self, deadline: float) -> str | Retry | Throttled | Blocked:
        """Without Track credentials: the App host that knows the key. What is asked is not about anybody."""
        forbidden = []
        for region, hosts in REGIONS.items():
            response = await self._http.send(self.app("GET", hosts.app + WORKSPACES), deadline=deadline)
            if response.status == 200:
                return region
            outcome = _refusal(response, "app")
            if not isinstance(outcome, Blocked):
                return outcome
            if response.status == 403:  # a key that is known there, and may not see workspaces
                forbidden.append(region)
        if len(forbidden) == 1:
            return forbidden[0]
        return Blocked("neither region's host knows the App API key", 401, f"{KEY}, or set `region`")


def _refusal(response: Response, api: Api) -> Retry | Throttled | Blocked:
    """Why no host is known. What is refused for good here is nobody's request: somebody must act."""
    outcome = refusal(response, api, time.time())
    return Blocked(outcome.detail, outcome.status, HOST) if isinstance(outcome, Rejected) else outcome
