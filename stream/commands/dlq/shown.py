"""How letters are shown: counted by what is wrong with them, or one by one with masked bodies."""

import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from schemas.masking import mask
from schemas.reasons import REASONS
from schemas.times import rfc3339

if TYPE_CHECKING:
    from schemas.replays import Fate
    from stream.topics.dead_letters import Letter

SHOWN = {"type", "event", "messageId"}  # of an event; who it is about stays hidden: a user's id may be an address
HIDDEN = "***"
LENGTHS = {"d": 86_400, "h": 3600, "min": 60}  # of ages, in seconds


@dataclass(slots=True)
class Group:
    """Letters with the same destination, reason and kind of failure. Times are seconds since the epoch."""

    newest: "Letter"
    oldest_at: float
    count: int = 0
    replayed: int = 0
    discarded: int = 0

    def add(self, letter: "Letter", fate: "Fate | None") -> None:
        """Count a letter, and what was done with it."""
        self.count += 1
        self.replayed += fate is not None and fate.word == "replayed"
        self.discarded += fate is not None and fate.word == "discarded"
        self.oldest_at = min(self.oldest_at, letter.buried_at)
        self.newest = max(self.newest, letter, key=lambda each: each.buried_at)


def counted(group: Group) -> dict[str, Any]:
    """A group as JSON."""
    about = group.newest.about
    return {
        "destination": about.destination,
        "reason": about.reason,
        "fingerprint": about.fingerprint,
        "count": group.count,
        "replayed": group.replayed,
        "discarded": group.discarded,
        "oldest": rfc3339(group.oldest_at),
        "newest": rfc3339(group.newest.buried_at),
        "detail": about.detail,
    }


def summary(group: Group) -> str:
    """The same for people, with what to do about it."""
    about, now = group.newest.about, time.time()
    ages = dict.fromkeys([_age(now - group.oldest_at), _age(now - group.newest.buried_at)])
    done = "".join(
        f", {count:,} {word}" for word, count in (("replayed", group.replayed), ("discarded", group.discarded)) if count
    )
    word = REASONS.get(about.reason)
    kind = f"{about.destination}  {about.reason}  {about.fingerprint}"
    return "\n".join(
        [
            f"{kind}  {group.count:,}{done}  ({' to '.join(ages)} ago)",
            f"  {about.detail}",
            *([f"  {word.sentence} {word.advice}"] if word else []),
        ]
    )


def described(letter: "Letter", fate: "Fate | None", *, unmasked: bool = False) -> dict[str, Any]:
    """A letter as JSON; *unmasked*: with all it says of people."""
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
        "first_failed_at": rfc3339(about.first_failed_at),
        "buried_at": rfc3339(letter.buried_at),
        "key": plain(letter.key) if unmasked or letter.key is None else HIDDEN,
        "value": plain(letter.value) if unmasked else masked_body(letter.value),
        "value_sha256": letter.value_sha256,
        "fate": None if fate is None else fate.model_dump(mode="json"),
    }


def page(letter: dict[str, Any]) -> str:
    """The same for people."""
    value, fate = letter["value"], letter["fate"]
    body = f"left out for its size, sha256 {letter['value_sha256']}" if letter["value_sha256"] else line(value)
    place = f"{letter['topic']}/{letter['partition']} at {letter['offset']}"
    tries = f"counted attempts {letter['attempts']}, first failed {letter['first_failed_at']}"
    because = f": {fate['because']}" if fate and fate["because"] else ""
    return "\n".join(
        [
            f"{letter['destination']}  {place}  {letter['reason']}  {letter['fingerprint']}",
            f"  {letter['detail']}",
            f"  {tries}, buried {letter['buried_at']}",
            *([f"  {fate['word']} {fate['at']}{because}"] if fate else []),
            *([f"  key {letter['key']}"] if letter["key"] not in (None, HIDDEN) else []),
            f"  {body}",
        ]
    )


def plain(found: bytes | None) -> Any:
    """Bytes as JSON, else as text; what is no text is escaped."""
    if found is None:
        return None
    try:
        return json.loads(found)
    except (ValueError, RecursionError):
        return found.decode(errors="backslashreplace")


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


def line(value: Any) -> str:
    """JSON on one line."""
    return json.dumps(value, ensure_ascii=False)


def _masked(value: Any) -> Any:
    if isinstance(value, dict):
        return {mask(name): _masked(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_masked(each) for each in value]
    return value if value is None or isinstance(value, bool) else HIDDEN


def _age(seconds: float) -> str:
    for unit, length in LENGTHS.items():
        if seconds >= length:
            return f"{seconds / length:.0f} {unit}"
    return "less than 1 min"
