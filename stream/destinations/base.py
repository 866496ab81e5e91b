"""What a destination is. A new one is a folder beside this file and a line in `REGISTRY`."""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, Field, SecretStr

from stream.core.outcomes import Outcome
from stream.core.records import Batch, Fields, Message
from stream.core.strict import Strict
from stream.core.units import Concurrency, Duration, Rate, Size
from stream.destinations.values import WebAddress
from stream.http import Request
from stream.http.client import Client
from stream.http.tokens import Token
from stream.mapping import Mapped, Maps, Preset, compile_mapping

CONCURRENCY = "calls in flight at most; adaptive or {adaptive: 64}: found by measuring"


class RetrySettings(Strict):
    """Back-off of one key: delay n is uniform in [½, 1] x min(max, base x 2ⁿ⁻¹)."""

    base: Duration = Field(0.5, gt=0, description="first delay")
    max: Duration = Field(60.0, gt=0, description="longest delay; probes are never further apart either")
    attempts: int = Field(10, ge=1, description="counted attempts after which a message is buried as `exhausted`")
    give_up_after: Duration | None = Field(None, description="bury a message that has failed for so long; null: never")


class BatchSettings(Strict):
    """Bounds of one vendor call."""

    items: int = Field(1, ge=1, description="messages in one call at most")
    bytes: Size = Field(1024 * 1024, description="size of one call's body at most")
    linger: Duration = Field(0.0, description="how long a call waits to fill up")


class DestinationSettings(Strict):
    """The keys every destination has."""

    unused: ClassVar[frozenset[str]] = frozenset()  # those that mean nothing to this one, and stay at their defaults

    type: str = Field(description="which vendor: a name of `crmstream version`'s list")
    base_url: WebAddress = Field(description="the vendor's address; a trailing slash or its own path is tolerated")
    events: list[str] | None = Field(
        None,
        description="names of the events to deliver; replaces the preset's list",
        examples=[["Identified", "Signed Up"]],
    )
    fields: dict[str, Any] = Field(
        {},
        description="expressions: change or add fields of the preset; null removes one",
        examples=[{"job_title": "traits.title | trim"}],
    )
    consent: dict[str, str] = Field(
        {},
        description='{field or "*": category}: needs context.consent.canonical.<category> to be true',
        examples=[{"*": "marketing"}],
    )
    concurrency: Concurrency = Field(1, description=CONCURRENCY)
    rate_limit: Rate | None = Field(None, description="HTTP requests of the whole group; null: none")
    quota: str | None = Field(
        None, min_length=1, description="any name: destinations of the same one share one rate_limit"
    )
    batch: BatchSettings = Field(BatchSettings(), description="bounds of one vendor call")
    ordering: Literal["key", "none"] = Field("key", description="key: one contact's events never overtake each other")
    coalesce: bool = Field(False, description="merge consecutive updates that wait for one contact")
    retry: RetrySettings = Field(RetrySettings(), description="back-off after a failure that may pass")
    max_age: Duration | None = Field(None, description="older events are filtered as expired")
    enabled: bool = Field(True, description="false: this destination is left out")

    @property
    def address(self) -> str:
        """Where messages go, for people."""
        return self.base_url

    @property
    def addresses(self) -> Sequence[str]:
        """Where calls may go: what keys ending in `_url` say. Nothing is sent elsewhere, whatever an answer names."""
        return [value for key, value in self if key.endswith("_url") and value]

    @property
    def reminders(self) -> Sequence[str]:
        """What no connection test can find out, and `check` says each time."""
        return ()

    @property
    def rates(self) -> Mapping[str, float | None]:
        """The vendor's limits by name, in requests a second; the first is the one that new calls are paced by."""
        return {"": self.rate_limit}

    def mapping(self, preset: Preset, *, config: Mapping[str, object], place: str) -> Maps:
        """The preset as these settings change it; see `compile_mapping` for the rest."""
        return compile_mapping(
            preset, events=self.events, fields=self.fields, consent=self.consent, config=config, place=place
        )


def secrets(settings: BaseModel) -> Iterator[str]:
    """Each secret in the settings, at any depth."""
    for _, value in settings:
        if isinstance(value, SecretStr):
            yield value.get_secret_value()
        elif isinstance(value, BaseModel):
            yield from secrets(value)


class RunSettings(DestinationSettings):
    """What every destination that takes files has besides."""

    every: Duration = Field(900.0, gt=0, description="how long a change waits for its file at most")
    max_rows: int = Field(ge=1, description="changed contacts with which a file goes out at once, and in it at most")


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the connection test. *ok* None: skipped. *text* and *hint* hold no secret and no personal data."""

    name: str
    ok: bool | None
    text: str
    hint: str = ""


class Destination(ABC):
    """What `Calls` and `Runs` have in common: whom a message is about, what it becomes, whether the vendor is ready."""

    type: ClassVar[str]
    repeatable: ClassVar[bool] = True  # whether the same call twice leaves the vendor as one would
    refusals: ClassVar[frozenset[int]] = frozenset({401})  # the statuses by which the vendor refuses a token
    reads: ClassVar[Literal["events", "privacy_requests"]] = "events"

    def __init__(self, settings: Any, http: Client) -> None:
        self.settings = settings
        self.http = http

    @classmethod
    def token(cls, settings: Any) -> Token | None:  # noqa: ARG003
        """What the client shows the vendor with each request; None where the body itself says who calls."""
        return None

    @abstractmethod
    def key(self, fields: Fields) -> str:
        """The contact as the vendor knows it: messages of one key stay in order. Never empty.

        Raises Refused where the vendor could only reject the message.
        """

    @abstractmethod
    def encode(self, fields: Fields) -> bytes:
        """The message's share of a request body; made once, when the message is mapped."""

    def replayed(self, mapped: Mapped) -> Mapped:
        """What is left of an event's fields where it comes again from the dead letters: it may be long ago.

        What a contact may have taken back since then, such as a subscription, must not be done again.
        """
        return mapped

    def gate(self, message: Message, now: float) -> str | None:  # noqa: ARG002
        """Why the message must not be sent now, as a filter's reason; judged immediately before each call.

        *now* is seconds since the epoch.
        """
        return None

    @abstractmethod
    def requests(self, batch: Batch) -> Sequence[Request]:
        """The calls that surely follow for this batch; `preview` shows them."""

    @abstractmethod
    def check(self) -> AsyncIterator[Check]:
        """The connection test, line by line. Raises like `send` where the vendor cannot be reached."""


class Calls(Destination):
    """A destination that is called with batches of messages.

    Subclasses hold no state that outlives a call, but for what `http` keeps (connections, tokens).
    """

    at_once: ClassVar[int | None] = None  # messages read and not settled at most, where each may grow; None: no bound
    coalesces: ClassVar[bool] = False  # whether consecutive upserts may be merged, where the settings ask for it

    def merged(self, older: Fields, newer: Fields) -> Fields:
        """The fields of one message that leaves the vendor as the two would, sent in order."""
        return older | newer

    def intent(self, message: Message) -> str:  # noqa: ARG002
        """Which of the calls that its event may lead to the message is for, such as a rule's name; not personal.

        Asked where calls must not be repeated: with the event's id it names the call in the journal.
        """
        return ""

    async def buried(self, message: Message, reason: str, detail: str) -> None:
        """One of its messages is about to become a dead letter."""

    @abstractmethod
    async def send(self, batch: Batch) -> Sequence[Outcome]:
        """One outcome for each message of the batch, in its order.

        Raises NotSent, Unanswered or CertificateRefused where no answer came: delivery knows what each means.
        """


class Runs(Destination):
    """A destination that takes files: the rows of many messages are collected and go out together, run by run.

    What `encode` gives is the row as a JSON object of texts; a later row of the same contact fills in what it brings.
    """

    @property
    @abstractmethod
    def columns(self) -> Sequence[str]:
        """Of a row, in the order of a file: what else a row holds is not compared and not sent."""

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """Of what a row's values are made by: where it changes, rows sent before say nothing about rows sent now."""

    @abstractmethod
    async def upload(self, rows: Iterable[Sequence[str]], *, proceed: Callable[[], None]) -> Outcome:
        """Put rows (values in the order of `columns`; at least one) where the vendor takes them; what came of it.

        All or nothing, as far as the vendor sees: *proceed* is called when only the last step is left, and raises where
        it must not be taken. What it raises, and *rows* too, passes through once what was written is cleared away.
        """
