"""Records in our own topics that somebody else has written, or that were cut off: read, or passed over."""

from collections.abc import Callable
from datetime import UTC, datetime
from random import Random
from typing import Any

import orjson
from pydantic import ValidationError

from schemas.dead_letters import DeadLetter
from schemas.erasures import Erasure
from schemas.privacy import PrivacyResult
from schemas.reasons import REASONS
from schemas.times import rfc3339
from stream.core.offsets import OffsetTracker
from stream.core.outcomes import Filtered, Rejected
from stream.topics import control, dead_letters, journal, receipts, replays, state, users
from stream.topics.erasures import Erasures
from stream.topics.parts import Assembly
from stream.topics.privacy import Requests
from tests.fuzz.events import NOW, header, timestamp
from tests.fuzz.target import Target, unshown
from tests.fuzz.values import SHOWN, mutated, some_bytes, written
from tests.unit.partition import LogRecord

AT = "2026-06-06T10:30:00Z"
STEP = {"step": "find", "at": AT, "endpoint": "GET /v1/customers", "status": 200}
PROFILE = {"cio_id": "a3", "messages": [{"id": 1}], "attributes": {"a": 1}}
GOOD: tuple[dict[str, Any], ...] = (
    {"action": "pause", "at": AT, "reason": "because"},
    {"erased_at": AT, "lifted_at": "2026-07-06T10:30:00+02:00"},
    {"word": "intent", "offset": 3, "rule": "a", "at": AT, "vendor": {"campaign_id": "c", "todo": 1}},
    {"word": "replayed", "at": AT, "replay": "attio/events/0/3#1"},
    {
        "destination": "attio",
        "topic": "events",
        "partition": 0,
        "position": 3,
        "at": AT,
        "settled_above": 0,
        "totals": dict.fromkeys(
            ("delivered", "coalesced", "filtered", "dead_lettered", "absent", "lost_to_retention"), 1
        ),
    },
    {"request_id": "q-1", "kind": "deletion", "identity": {"email": "jane@example.com"}, "requested_at": AT},
    {
        "request_id": "q-1",
        "destination": "cio",
        "kind": "access",
        "status": "completed",
        "records_found": 1,
        "data": {"profiles": [PROFILE]},
        "steps": [STEP],
        "part": 1,
        "parts": 2,
    },
    {"traits": {"email": "jane@example.com"}, "since": 1.0, "user": None, "person": "ab"},
)
FIELDS = tuple({name for each in GOOD for name in each} | {"email", "profiles", "cio_id", "", "delivered"})
KEYS = (b"", b"attio", b"crmstream.attio/events/0", b"00ff", b"zz", b"attio/events/0/3", b"\xff", b"traits/ab")
LETTER = DeadLetter("attio", "events", 0, 3, "rejected", "400 no", 1, NOW, 400).headers()


def draw(random: Random) -> LogRecord:
    """A record that may lie in any of our topics."""
    value: Any = random.choice(GOOD)
    for _ in range(random.choice((0, 1, 1, 2))):
        value = mutated(random, value, FIELDS)
    content = None if random.random() < 0.02 else written(random, value)
    headers: list[tuple[str, Any]] = [header(random) for _ in range(random.choice((0, 0, 1, 2)))]
    if random.random() < 0.4:
        headers += LETTER
        place = random.randrange(len(headers))
        if random.random() < 0.8:
            wrong = (
                None,
                b"",
                b"-1",
                b"9" * 5000,
                b"\xff",
                b"9999-12-31T23:59:59-14:00",
                b"0001-01-01",
                some_bytes(random),
            )
            headers[place] = (headers[place][0], random.choice(wrong))
    if random.random() < 0.2:
        offset = random.choice((None, b"-1", b"--1", b"12", b"", b"9" * 19, b"9" * 5000))
        headers += [(state.OFFSET, offset), (state.TAG, random.choice((None, b"tag")))]
    key = random.choice((None, *KEYS, some_bytes(random)))
    return LogRecord(random.choice((0, 7)), content, tuple(headers), timestamp(random), key, topic="ours")


def is_read_or_passed_over(record: LogRecord) -> None:
    """By every reader there is: none raises, and what each makes of it can be worked with."""
    for read in READERS:
        read(record)


def _command(record: LogRecord) -> None:
    known: control.Commands = {}
    control._hear(record, known)
    assert not any(len(command.reason) > 10**6 for command in known.values())


class _Topic:
    def __init__(self) -> None:
        self.written = 0

    async def send(self, topic: str, *, key: bytes | None, value: bytes | None) -> int:
        self.written += 1
        return 0


def _erasure(record: LogRecord) -> None:
    erasures = Erasures(_Topic(), topic="erasures", key=b"k", lift_on_consent=True)
    person = (record.key or b"").decode(errors="replace")
    erasures.known[person] = Erasure(erased_at=datetime.fromtimestamp(NOW, UTC))
    erasures.hear(record)
    erasures.erased([person], NOW)


def _word(record: LogRecord) -> None:
    page = journal.Page()
    journal._hear(record, page)
    assert len(page) <= 1


def _fate(record: LogRecord) -> None:
    known: replays.Fates = {}
    replays.hear(record, known)
    numbers = replays.Numbers(known.values())
    letter = dead_letters._letter(record)
    if letter is not None:
        assert numbers.next(letter).number >= 1
        replays.rows(letter, numbers.next(letter), at=datetime.fromtimestamp(NOW, UTC), topic="replays")
        replays.restored(letter, record)


def _letter(record: LogRecord) -> None:
    letter = dead_letters._letter(record)
    if letter is not None:
        assert letter.about.fingerprint
        assert letter.origin
        assert letter.origin_offset >= 0
        assert all(map(rfc3339, (letter.about.first_failed_at, letter.buried_at, letter.written_at / 1000)))


def _receipt(record: LogRecord) -> None:
    point = receipts._point(record.value)
    assert point is None or point.position >= 0


def _request(record: LogRecord) -> None:
    made = Requests("cio", key=lambda fields: str(fields["email"]), encode=orjson.dumps)(
        record, OffsetTracker("ours", 0, 0)
    )
    if isinstance(made, Filtered | Rejected):
        assert made.reason in REASONS
        unshown([getattr(made, "detail", "")], *SHOWN)
    else:
        assert made.key


def _result(record: LogRecord) -> None:
    try:
        part = PrivacyResult.model_validate_json(record.value or b"")
    except ValidationError:
        return
    assembly = Assembly()
    assembly.add(part)
    assembly.add(part.model_copy(update={"part": 2}))


def _entry(record: LogRecord) -> None:
    entry = state._entry(record)
    if entry is not None:
        assert abs(entry.offset) < 2**63
        known = users.read(entry.value)
        assert type(known.traits) is dict


READERS: tuple[Callable[[LogRecord], None], ...] = (
    _command,
    _erasure,
    _word,
    _fate,
    _letter,
    _receipt,
    _request,
    _result,
    _entry,
)

TARGETS = [Target("records of our topics", draw, is_read_or_passed_over, share=3)]
