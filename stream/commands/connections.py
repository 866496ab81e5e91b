"""The connection test, line by line: broker, topics, how the records are keyed, then each destination's own checks."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from dataclasses import dataclass

import orjson

from stream.core.records import Record
from stream.destinations.base import Check, DestinationSettings
from stream.errors import Exit, UserError
from stream.http import CertificateRefused, NotSent, Unanswered
from stream.http.settings import HttpSettings
from stream.http.tokens import TokenRefused
from stream.kafka.admin import Admin, BrokerUnavailable
from stream.kafka.reader import reading
from stream.opening import open_destination
from stream.settings import Settings, topics_read
from stream.topics.names import erasures

KAFKA = "kafka"  # stands where other lines name the destination
SAMPLE = 500  # of the newest records of each partition
SECONDS = 30.0  # that a destination's test, or a sample, may take


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the test. *destination* is `kafka` for what all have in common."""

    destination: str
    check: Check


async def connections(settings: Settings) -> AsyncIterator[Line]:
    """Every line; what is refused keeps nothing else from being tested, but for what depends on it."""
    async for check in _kafka(settings):
        yield Line(KAFKA, check)
    for name, destination in settings.destinations.items():
        if not destination.enabled:
            yield Line(name, Check("connection", None, "not enabled"))
            continue
        for check in await _destination(destination, settings.http):
            yield Line(name, check)


async def _kafka(settings: Settings) -> AsyncIterator[Check]:
    servers = ", ".join(settings.kafka.bootstrap_servers)
    try:
        async with Admin(settings.kafka) as admin:
            yield Check("broker", True, servers)
            for topic in settings.source.topics:
                async for check in _source(admin, settings, topic):
                    yield check
            for topic in _requests(settings):
                yield (await _there(admin, topic))[0]
            for topic in _ours(settings):
                yield await _own(admin, topic, create=settings.kafka.create_topics)
    except BrokerUnavailable as error:
        yield Check("broker", False, error.text, error.hint)


async def _source(admin: Admin, settings: Settings, topic: str) -> AsyncIterator[Check]:
    check, count = await _there(admin, topic)
    yield check
    if count > 1:
        yield await _keys(settings, topic)


async def _there(admin: Admin, topic: str) -> tuple[Check, int]:
    """A topic that somebody else writes, and how many partitions it has."""
    try:
        count = (await admin.partitions([topic]))[topic]
    except BrokerUnavailable:
        raise
    except UserError as error:
        return Check(f"topic {topic}", False, error.text, error.hint), 0
    return Check(f"topic {topic}", True, f"{count} partitions" if count > 1 else "1 partition"), count


def _requests(settings: Settings) -> set[str]:
    """The topics, besides the source's, that enabled destinations read."""
    enabled = [destination for destination in settings.destinations.values() if destination.enabled]
    return {topic for each in enabled for topic in topics_read(settings, each)} - set(settings.source.topics)


def _ours(settings: Settings) -> list[str]:
    """The topics of our own that all destinations share."""
    topics = [settings.dead_letters.topic, settings.control.topic]
    if settings.receipts is not None:
        topics.append(settings.receipts.topic)
    if settings.privacy is not None and settings.privacy.requests in _requests(settings):
        topics += [settings.privacy.results, erasures(settings.privacy.requests)]
    return topics


async def _own(admin: Admin, topic: str, *, create: bool) -> Check:
    """A topic of our own, which may still be missing where we create it."""
    try:
        await admin.partitions([topic])
    except BrokerUnavailable:
        raise
    except UserError as error:
        if create:
            return Check(f"topic {topic}", None, "not there yet: `run` creates it")
        return Check(f"topic {topic}", False, error.text, "create it, or set `kafka.create_topics: true`")
    return Check(f"topic {topic}", True, "found")


async def _keys(settings: Settings, topic: str) -> Check:
    """Whether the newest records keep each contact in one partition: order holds within one only."""
    name = f"keys of {topic}"
    places: defaultdict[str, set[int]] = defaultdict(set)
    try:
        async with asyncio.timeout(SECONDS), reading(settings.kafka, topic) as reader:
            async for record in reader.newest(SAMPLE):
                if contact := contact_of(record):
                    places[contact].add(record.partition)
    except TimeoutError:
        return Check(name, None, f"the newest {SAMPLE} records of each partition were not read in {SECONDS:g} s")
    astray = sum(len(partitions) > 1 for partitions in places.values())
    if not places:
        return Check(name, None, "no events yet")
    if not astray:
        return Check(name, True, f"each of {len(places):,} contacts sampled is in one partition")
    text = f"{astray:,} of {len(places):,} contacts sampled are in several partitions: their order is not kept"
    return Check(name, True, text, "let the producer key records by userId, else anonymousId")


def contact_of(record: Record) -> str | None:
    """Whom an event is about, as far as one can tell without a mapping."""
    try:
        event = orjson.loads(record.value or b"")
    except orjson.JSONDecodeError:
        return None
    if not isinstance(event, dict):
        return None
    traits = event.get("traits")
    email = traits.get("email") if isinstance(traits, dict) else None
    candidates = (event.get("userId"), event.get("anonymousId"), email)
    return next((found for found in candidates if isinstance(found, str) and found), None)


async def _destination(settings: DestinationSettings, http: HttpSettings) -> list[Check]:
    """Its own checks, or those before the vendor could not be reached and why."""
    checks: list[Check] = []
    # httpx, whichever is configured: a process that ends right after a call by pyreqwest may be aborted by its threads.
    http = http.model_copy(update={"transport": "httpx"})
    try:
        async with asyncio.timeout(SECONDS), open_destination(settings, http) as calls:
            async for check in calls.check():
                checks.append(check)  # noqa: PERF401 - what was found before a failure counts
    except Exception as error:
        checks.append(_refused(error, settings))
    return checks


def _refused(error: Exception, settings: DestinationSettings) -> Check:
    match error:
        case UserError(exit_code=Exit.BAD_FILE):
            raise error
        case UserError():
            return Check("connection", False, error.text, error.hint)
        case CertificateRefused():
            hint = "see base_url, http.ca_file and this machine's clock"
            return Check("connection", False, f"the certificate is not trusted: {error}", hint)
        case NotSent() | Unanswered() | TimeoutError():
            text = f"{settings.address}: {error or 'no answer in time'}"
            return Check("connection", False, text, "see base_url, http.proxy and the vendor's status page")
        case TokenRefused():
            return Check("token", False, str(error), "see the destination's keys in the file")
    return Check("connection", False, f"unexpected {type(error).__name__}", "what answers may not be this vendor's API")
