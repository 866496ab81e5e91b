"""`crmstream dlq`: dead letters, counted by what is wrong with them, or one by one with masked bodies."""

import asyncio
import json
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from schemas.masking import mask
from schemas.reasons import REASONS
from stream.commands import CONFIG, ConfigFile, known

if TYPE_CHECKING:
    from pathlib import Path

    from stream.topics.dead_letters import Letter

dlq = typer.Typer(help="Show dead letters: what will not be delivered, and why.")

Destination = Annotated[str | None, typer.Option(metavar="NAME", help="Only of this destination.")]
Reason = Annotated[str | None, typer.Option(metavar="WORD", help="Only with this reason.")]
Fingerprint = Annotated[str | None, typer.Option(metavar="HEX", help="Only failures of this kind; `ls` shows it.")]
Json = Annotated[bool, typer.Option("--json", help="A JSON object a line.")]

SHOWN = {"type", "event", "messageId"}  # of an event; who it is about stays hidden: a user's id may be an address
HIDDEN = "***"
LENGTHS = {"d": 86_400, "h": 3600, "min": 60}  # of ages, in seconds


@dataclass(slots=True)
class Group:
    """Letters with the same destination, reason and kind of failure. Times are seconds since the epoch."""

    newest: "Letter"
    oldest_at: float
    count: int = 0


@dlq.command()
def ls(
    config: ConfigFile = CONFIG,
    destination: Destination = None,
    reason: Reason = None,
    fingerprint: Fingerprint = None,
    as_json: Json = False,
) -> None:
    """Count the letters by destination, reason and kind of failure."""
    wanted = _wanted(destination, reason, fingerprint)

    async def count() -> None:
        groups: dict[tuple[str, str, str], Group] = {}
        async with aclosing(_letters(config, wanted)) as letters:
            async for letter in letters:
                about = letter.about
                place = (about.destination, about.reason, about.fingerprint)
                group = groups.setdefault(place, Group(letter, letter.buried_at))
                group.count += 1
                group.oldest_at = min(group.oldest_at, letter.buried_at)
                group.newest = max(group.newest, letter, key=lambda each: each.buried_at)
        for _, group in sorted(groups.items(), key=lambda item: (item[0][0], -item[1].count, item[0])):
            typer.echo(_line(_counted(group)) if as_json else _summary(group))

    asyncio.run(count())


@dlq.command()
def show(
    config: ConfigFile = CONFIG,
    destination: Destination = None,
    reason: Reason = None,
    fingerprint: Fingerprint = None,
    as_json: Json = False,
) -> None:
    """Show the letters one by one. Their bodies keep their shape; what they say of people is masked."""
    wanted = _wanted(destination, reason, fingerprint)

    async def print_each() -> None:
        async with aclosing(_letters(config, wanted)) as letters:
            async for letter in letters:
                described = _described(letter)
                typer.echo(_line(described) if as_json else _page(described))

    asyncio.run(print_each())


def _wanted(destination: str | None, reason: str | None, fingerprint: str | None) -> dict[str, str]:
    """What the options ask for, by the name a letter has for it."""
    if reason is not None:
        known(reason, REASONS, "reason")
    given = {"destination": destination, "reason": reason, "fingerprint": fingerprint}
    return {name: value for name, value in given.items() if value is not None}


async def _letters(config: "Path", wanted: dict[str, str]) -> AsyncGenerator["Letter", None]:
    from stream.settings import load
    from stream.telemetry import logs
    from stream.topics.dead_letters import letters

    settings = load(config)
    logs.configure(quiet=True)
    async with aclosing(letters(settings.kafka, settings.dead_letters.topic)) as found:
        async for letter in found:
            if all(getattr(letter.about, name) == value for name, value in wanted.items()):
                yield letter


def _counted(group: Group) -> dict[str, Any]:
    about = group.newest.about
    return {
        "destination": about.destination,
        "reason": about.reason,
        "fingerprint": about.fingerprint,
        "count": group.count,
        "oldest": _rfc3339(group.oldest_at),
        "newest": _rfc3339(group.newest.buried_at),
        "detail": about.detail,
    }


def _summary(group: Group) -> str:
    """The same for people, with what to do about it."""
    about, now = group.newest.about, time.time()
    ages = dict.fromkeys([_age(now - group.oldest_at), _age(now - group.newest.buried_at)])
    word = REASONS.get(about.reason)
    return "\n".join(
        [
            f"{about.destination}  {about.reason}  {about.fingerprint}  {group.count:,}  ({' to '.join(ages)} ago)",
            f"  {about.detail}",
            *([f"  {word.sentence} {word.advice}"] if word else []),
        ]
    )


def _described(letter: "Letter") -> dict[str, Any]:
    about = letter.about
    return {
        "destination": about.destination,
        "topic": about.topic,
        "partition": about.partition,
        "offset": about.offset,
        "reason": about.reason,
        "detail": about.detail,
        "status": about.status,
        "attempts": about.attempts,
        "fingerprint": about.fingerprint,
        "first_failed_at": _rfc3339(about.first_failed_at),
        "buried_at": _rfc3339(letter.buried_at),
        "key": None if letter.key is None else HIDDEN,
        "value": masked_body(letter.value),
        "value_sha256": letter.value_sha256,
    }


def _page(letter: dict[str, Any]) -> str:
    """The same for people."""
    value = letter["value"]
    body = f"left out for its size, sha256 {letter['value_sha256']}" if letter["value_sha256"] else _line(value)
    place = f"{letter['topic']}/{letter['partition']} at {letter['offset']}"
    tries = f"counted attempts {letter['attempts']}, first failed {letter['first_failed_at']}"
    return (
        f"{letter['destination']}  {place}  {letter['reason']}  {letter['fingerprint']}\n"
        f"  {letter['detail']}\n"
        f"  {tries}, buried {letter['buried_at']}\n"
        f"  {body}"
    )


def masked_body(value: bytes | None) -> Any:
    """A record's value as JSON of the same shape without what it says of a person; a text where it is no JSON."""
    if value is None:
        return None
    try:
        found = json.loads(value)
    except (ValueError, RecursionError):
        return f"{len(value)} bytes that are not JSON"
    if not isinstance(found, dict):
        return _masked(found)
    return {
        mask(name): mask(each) if name in SHOWN and isinstance(each, str) else _masked(each)
        for name, each in found.items()
    }


def _masked(value: Any) -> Any:
    if isinstance(value, dict):
        return {mask(name): _masked(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_masked(each) for each in value]
    return value if value is None or isinstance(value, bool) else HIDDEN


def _line(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _rfc3339(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _age(seconds: float) -> str:
    for unit, length in LENGTHS.items():
        if seconds >= length:
            return f"{seconds / length:.0f} {unit}"
    return "less than 1 min"
