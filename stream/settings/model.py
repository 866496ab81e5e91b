"""The whole configuration as values: what each block may hold. How a file becomes one is `stream.settings.loading`."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, SecretStr, SerializeAsAny
from pydantic_core import PydanticCustomError

from stream.core.strict import Strict
from stream.core.units import Share, ShareOf, written, written_rate
from stream.destinations import REGISTRY
from stream.destinations.base import DestinationSettings
from stream.http.settings import HttpSettings
from stream.kafka.settings import KafkaSettings, SourceSettings, Topic
from stream.telemetry.settings import ServerSettings

NAME = r"^[a-zA-Z0-9._-]+$"


class DeadLetterSettings(Strict):
    """Where messages go that can never be delivered, and how many of them are too many."""

    topic: Topic = Field("crm.dead-letters", description="topic of our own")
    stop_above: Share | None = Field(
        ShareOf(50, 1000),
        description="pause when this share of the last verdicts was buried; null: never",
    )


class ReceiptSettings(Strict):
    """The balance for `verify`."""

    topic: Topic = Field(description="topic of our own")


class PrivacySettings(Strict):
    """Requests for access and deletion; a customerio destination needs this block and reads only its requests."""

    requests: Topic = Field(description="where the requests are")
    results: Topic = Field(description="topic of our own, for what became of them")
    key: SecretStr | None = Field(None, description="keys the hashes of erased persons")
    lift_on_consent: bool = Field(True, description="a later identify with consent ends an erasure")


class StateSettings(Strict):
    """What is remembered between runs; rebuilt from compacted topics when lost."""

    folder: Path = Field(Path(".crmstream"), description="where the SQLite files are")


class ControlSettings(Strict):
    """Operators' pause and resume."""

    topic: Topic = Field("crm.control", description="topic of our own")


def of_its_type(given: Any) -> Any:
    """The settings of one destination, by the model that its type has in REGISTRY."""
    if not isinstance(given, dict):
        raise PydanticCustomError("dict_type", "must be a block of keys")
    name = given.get("type")
    if not isinstance(name, str) or name not in REGISTRY:
        kind = "unknown" if "type" in given else "no_type"
        raise PydanticCustomError(kind, "no such type", {"place": "type", "given": str(name), "known": list(REGISTRY)})
    return REGISTRY[name].settings.model_validate(given)


OfItsType = Annotated[SerializeAsAny[DestinationSettings], BeforeValidator(of_its_type)]


class Settings(Strict):
    """One configuration file."""

    kafka: KafkaSettings = Field(description="the broker, and how we are its client")
    source: SourceSettings = Field(description="what is read")
    dead_letters: DeadLetterSettings = Field(DeadLetterSettings(), description="what can never be delivered")
    receipts: ReceiptSettings | None = Field(None, description="the balance for `verify`; null: none")
    privacy: PrivacySettings | None = Field(None, description="requests for access and deletion; null: none")
    state: StateSettings = Field(StateSettings(), description="what is remembered between runs")
    control: ControlSettings = Field(ControlSettings(), description="operators' pause and resume")
    server: ServerSettings = Field(ServerSettings(), description="probes, metrics and state")
    http: HttpSettings = Field(HttpSettings(), description="how vendors are called")
    destinations: dict[Annotated[str, Field(pattern=NAME)], OfItsType] = Field(
        min_length=1, description="where events go, by any name; used in metrics, headers and the group id"
    )


def contradictions(settings: Settings) -> Iterator[tuple[tuple[str, ...], str]]:
    """What is right by itself and wrong beside the rest: the key's way from the root, and what is wrong."""
    limit = settings.kafka.session_timeout / 4
    if settings.source.commit_every > limit:
        yield (
            ("source", "commit_every"),
            f"must be at most {written(limit)}, a quarter of kafka.session_timeout",
        )
    read = dict.fromkeys(settings.source.topics, "source.topics")
    for steps, topic in own_topics(settings):
        if topic in read:
            yield steps, f"must be a topic of its own, and {read[topic]} has it too"
        read[topic] = ".".join(steps)
    yield from _unlike(settings.destinations)
    for name, destination in settings.destinations.items():
        if not destination.enabled or REGISTRY[destination.type].calls.reads == "events":
            continue
        if settings.privacy is None:
            yield ("destinations", name), "answers privacy requests: it needs the `privacy` block"
        elif settings.privacy.key is None:
            yield ("privacy", "key"), f"is required by destinations.{name}: any long secret, such as 32 random bytes"


def _unlike(destinations: Mapping[str, DestinationSettings]) -> Iterator[tuple[tuple[str, ...], str]]:
    """Destinations that share a quota without having the same limits, or without having any."""
    first: dict[str, str] = {}
    for name, destination in destinations.items():
        quota = destination.quota
        if quota is None or not destination.enabled:
            continue
        other = first.setdefault(quota, name)
        rates, others = destination.rates, destinations[other].rates
        if not any(rates.values()):
            yield ("destinations", name, "quota"), "shares nothing out: it needs a rate_limit"
        elif rates.keys() != others.keys():
            yield ("destinations", name, "quota"), f"cannot be shared with destinations.{other}: other kinds of limits"
        elif rates != others:
            same = f"rate_limit must be {_limits(others)} as there, not {_limits(rates)}"
            yield ("destinations", name, "quota"), f"is shared with destinations.{other}: {same}"


def _limits(rates: Mapping[str, float | None]) -> str:
    """Rates as people write them."""
    shown = {name: "null" if rate is None else written_rate(rate) for name, rate in rates.items()}
    return shown[""] if "" in shown else "{" + ", ".join(f"{name}: {rate}" for name, rate in shown.items()) + "}"


def topics_read(settings: Settings, destination: DestinationSettings) -> list[str]:
    """The topics whose records are for *destination*."""
    if settings.privacy and REGISTRY[destination.type].calls.reads == "privacy_requests":
        return [settings.privacy.requests]
    return settings.source.topics


def own_topics(settings: Settings) -> Iterator[tuple[tuple[str, ...], str]]:
    """Each topic besides the source's: the key that names it, and its name."""
    yield ("dead_letters", "topic"), settings.dead_letters.topic
    yield ("control", "topic"), settings.control.topic
    if settings.receipts:
        yield ("receipts", "topic"), settings.receipts.topic
    if settings.privacy:
        yield ("privacy", "requests"), settings.privacy.requests
        yield ("privacy", "results"), settings.privacy.results
