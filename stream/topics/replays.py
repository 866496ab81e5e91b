"""Replays: what is written for a dead letter that is to be delivered after all, and what was done with which letter.

A replay and the note of it are one transaction: an interrupted `replay` leaves both or neither, and running it again
repeats nothing. Were the note written first, a crash would lose the replay; were it written last, repeat it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from hashlib import sha256

import structlog
from pydantic import ValidationError

from schemas.replays import ADDRESSEE, REPLAY, WRITTEN_AT, Fate, ReplayId
from stream.core.records import Record
from stream.kafka.admin import Admin
from stream.kafka.atomic import Row
from stream.kafka.reader import reading
from stream.kafka.settings import KafkaSettings
from stream.topics.dead_letters import Letter, original

log = structlog.get_logger()

Fates = dict[str, Fate]
"""A letter's identity to what was done with it. One that is not there lies where it was buried."""


async def fates(settings: KafkaSettings, topic: str) -> Fates:
    """What was done with which letter; nothing where there is no such topic yet."""
    async with Admin(settings) as admin:
        if not await admin.has(topic):
            return {}
    found: Fates = {}
    async with reading(settings, topic) as reader:
        async for record in reader.what_is_there():
            hear(record, found)
    return found


def hear(record: Record, known: Fates) -> None:
    """Take in a record of the topic. One that says nothing of a letter is passed over."""
    identity = (record.key or b"").decode(errors="replace")
    if record.value is None:
        known.pop(identity, None)
        return
    try:
        known[identity] = Fate.model_validate_json(record.value)
    except ValidationError:
        log.warning("not_a_letters_fate", topic=record.topic, offset=record.offset)


class Numbers:
    """Numbers replays: an event's next one is one more than any before, whichever of its letters that was for."""

    def __init__(self, known: Iterable[Fate]) -> None:
        self._highest: dict[str, int] = {}
        for fate in known:
            if fate.replay is not None and (replay := ReplayId.of([(REPLAY, fate.replay.encode())])) is not None:
                self._heard(replay)

    def next(self, letter: Letter) -> ReplayId:
        """The id of the letter's next replay."""
        if (came_by := ReplayId.of(letter.headers)) is not None:
            self._heard(came_by)
        replay = ReplayId(letter.origin, self._highest.get(letter.origin, 0) + 1)
        self._heard(replay)
        return replay

    def _heard(self, replay: ReplayId) -> None:
        self._highest[replay.identity] = max(replay.number, self._highest.get(replay.identity, 0))


def restored(letter: Letter, record: Record) -> Letter | None:
    """The letter with what was left out for its size, from *record*; None where that is not the one it was made of."""
    if sha256(record.value or b"").hexdigest() != letter.value_sha256:
        return None
    return replace(
        letter, key=record.key, value=record.value, headers=_with_replay_of(letter, record), value_sha256=None
    )


def rows(letter: Letter, replay: ReplayId, *, at: datetime, topic: str) -> Sequence[Row]:
    """The record in its source partition again, with its own key, value and headers; and the note of it in *topic*."""
    marks = {
        ADDRESSEE: letter.about.destination,
        REPLAY: str(replay),
        WRITTEN_AT: str(letter.written_at),
    }
    own = [(name, value) for name, value in letter.headers if name not in marks]
    value = b"" if letter.key is None and letter.value is None else letter.value  # nothing at all cannot be written
    headers = (*own, *((name, text.encode()) for name, text in marks.items()))
    again = Row(letter.about.topic, letter.key, value, headers, letter.about.partition)
    return again, note(letter, Fate(word="replayed", at=at, replay=str(replay)), topic=topic)


def note(letter: Letter, fate: Fate, *, topic: str) -> Row:
    """What is remembered of a letter."""
    return Row(topic, letter.about.identity.encode(), fate.model_dump_json().encode())


def _with_replay_of(letter: Letter, record: Record) -> list[tuple[str, bytes]]:
    """The record's own headers; and the letter's mark, as the record may be the event itself and the letter later."""
    own = [(name, value) for name, value in original(record.headers) if name != REPLAY]
    return own + [(name, value) for name, value in letter.headers if name == REPLAY]
