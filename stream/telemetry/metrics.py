"""Every metric, declared once with a sentence. Nothing here decides anything."""

from prometheus_client import CollectorRegistry, Gauge

from stream.telemetry.counting import Count, Counts, Histogram

REGISTRY = CollectorRegistry(auto_describe=True)
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
DELAYS = (0.01, 0.05, 0.1, 0.5, 1, 5, 15, 60, 300, 900, 3600, 14400, 86400)

EVENTS = Counts("crmstream_events", "Events settled, by outcome.", ["destination", "outcome"], registry=REGISTRY)
REQUESTS = Counts(
    "crmstream_requests", "HTTP requests, by status or kind of failure.", ["destination", "status"], registry=REGISTRY
)
REQUEST_SECONDS = Histogram(
    "crmstream_request_seconds", "Time of one HTTP request.", ["destination"], buckets=SECONDS, registry=REGISTRY
)
DELIVERY_SECONDS = Histogram(
    "crmstream_delivery_seconds",
    "Time from the record's timestamp to its delivery.",
    ["destination"],
    buckets=DELAYS,
    registry=REGISTRY,
)
LAG = Gauge(
    "crmstream_lag", "Offsets from the position to the end.", ["destination", "topic", "partition"], registry=REGISTRY
)
PENDING = Gauge("crmstream_pending", "Messages read and not settled.", ["destination"], registry=REGISTRY)
IN_FLIGHT = Gauge("crmstream_in_flight", "Calls in flight.", ["destination"], registry=REGISTRY)
CONCURRENCY = Gauge("crmstream_concurrency", "Calls that may be in flight.", ["destination"], registry=REGISTRY)
OLDEST_PENDING = Histogram(
    "crmstream_oldest_pending_seconds",
    "Age of the oldest unsettled event, sampled every second.",
    ["destination"],
    buckets=DELAYS,
    registry=REGISTRY,
)
STATE = Gauge(
    "crmstream_destination_state", "1 for the state the destination is in.", ["destination", "state"], registry=REGISTRY
)
COMMITS = Counts("crmstream_commits", "Commits of positions, by result.", ["destination", "result"], registry=REGISTRY)


class Meters:
    """One destination's metrics, looked up once: the hot path only adds."""

    def __init__(self, destination: str) -> None:
        self.delivered = EVENTS.labels(destination, "delivered")
        self.coalesced = EVENTS.labels(destination, "coalesced")
        self.filtered = EVENTS.labels(destination, "filtered")
        self.dead_lettered = EVENTS.labels(destination, "dead_lettered")
        self.request_seconds = REQUEST_SECONDS.labels(destination)
        self.delivery_seconds = DELIVERY_SECONDS.labels(destination)
        self.oldest_pending = OLDEST_PENDING.labels(destination)
        self.commits_ok = COMMITS.labels(destination, "ok")
        self.commits_failed = COMMITS.labels(destination, "failed")
        self._destination = destination
        self._requests: dict[str, Count] = {}

    def request(self, status: str, seconds: float) -> None:
        """One HTTP request is over; *status* is the code, or how it failed."""
        counter = self._requests.get(status)
        if counter is None:
            counter = self._requests[status] = REQUESTS.labels(self._destination, status)
        counter.inc()
        self.request_seconds.observe(seconds)
