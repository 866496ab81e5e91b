"""Records that no producer should have written, through the whole path: each ends as the contract says."""

from collections import Counter
from dataclasses import dataclass
from random import Random

import orjson
import pytest

from tests.e2e.conftest import NewStage
from tests.e2e.members import DESTINATION, Stage, event
from tests.e2e.vendor import body_of
from tests.kafka.broker import Broker, Sent

KEY = b"key \xff\x00"  # any bytes
UNDECODABLE, REJECTED = "undecodable", "rejected"


@dataclass(frozen=True)
class Bad:
    """A record, and how it ends: `delivered`, `filtered`, or the reason of its dead letter."""

    what: str
    ends: str
    value: bytes | None
    key: bytes | None = KEY
    headers: tuple[tuple[str, bytes], ...] = ()

    @property
    def sent(self) -> Sent:
        return Sent(self.value, self.key, headers=self.headers)


def whose(name: str, **traits: object) -> bytes:
    return event(f"{name}@example.com", 1, **traits)


def at(name: str, timestamp: object) -> bytes:
    return orjson.dumps(orjson.loads(whose(name)) | {"timestamp": timestamp})


def emailed(email: object) -> bytes:
    return orjson.dumps({"type": "identify", "traits": {"email": email}})


MEGABYTE = 1_000_000
NOISE = Random(1).randbytes(MEGABYTE)  # does not get smaller by compression

RECORDS = [
    Bad("nothing", UNDECODABLE, b""),
    Bad("cut off", UNDECODABLE, b'{"type": "identify", "traits": {'),
    Bad("two objects", UNDECODABLE, b'{"type": "identify"} {}'),
    Bad("not a number", UNDECODABLE, b'{"type": "identify", "traits": {"score": NaN}}'),
    Bad("half a surrogate pair", UNDECODABLE, rb'{"type": "identify", "traits": {"first_name": "\ud800"}}'),
    Bad("not UTF-8", UNDECODABLE, b'{"type": "identify", "traits": {"email": "\xe9@example.com"}}'),
    Bad("UTF-16", UNDECODABLE, '{"type": "identify"}'.encode("utf-16")),
    Bad("a list", UNDECODABLE, b"[]"),
    Bad("a text", UNDECODABLE, b'"identify"'),
    Bad("null as JSON", UNDECODABLE, b"null"),
    Bad("deeply nested", UNDECODABLE, b'{"type": "identify", "traits": ' + b"[" * 5000 + b"]" * 5000 + b"}"),
    Bad("no type", UNDECODABLE, b'{"traits": {"email": "untyped@example.com"}}'),
    Bad("unknown type", UNDECODABLE, b'{"type": "alias"}'),
    Bad("type is a list", UNDECODABLE, b'{"type": ["identify"]}'),
    Bad("a track without a name", UNDECODABLE, b'{"type": "track"}'),
    Bad("a track with a number for a name", UNDECODABLE, b'{"type": "track", "event": 7}'),
    Bad("traits are a text", UNDECODABLE, b'{"type": "identify", "traits": "none"}'),
    Bad("properties are a list", UNDECODABLE, b'{"type": "identify", "properties": []}'),
    Bad("context is a number", UNDECODABLE, b'{"type": "identify", "context": 1}'),
    Bad("1 MB that is no JSON", UNDECODABLE, NOISE),
    Bad("a page", "filtered", b'{"type": "page", "name": "Pricing"}'),
    Bad("a group", "filtered", b'{"type": "group"}'),
    Bad("an unknown track", "filtered", b'{"type": "track", "event": "Cup Washed"}'),
    Bad("null value", "filtered", None),
    Bad("nothing but a type", "filtered", b'{"type": "identify"}'),
    Bad("email is a number", "filtered", emailed(42)),
    Bad("email is a list", "filtered", emailed(["list@example.com"])),
    Bad("email is null", "filtered", emailed(None)),
    Bad("email is true", "filtered", emailed(True)),
    Bad("email is blank", "filtered", emailed(" \t ")),
    Bad("for another destination", "filtered", whose("other"), headers=(("crmstream.destination", b"other"),)),
    Bad("email without @", REJECTED, emailed("nobody")),
    Bad("email with a space", REJECTED, emailed("two words@example.com")),
    Bad("for this destination", "delivered", whose("ours"), headers=(("crmstream.destination", DESTINATION.encode()),)),
    Bad("null key", "delivered", whose("null.key"), key=None),
    Bad("empty key", "delivered", whose("empty.key"), key=b""),
    Bad("name is a number", "delivered", whose("name", first_name=7, last_name=[], phone={"a": 1})),
    Bad("strange letters", "delivered", whose("letters", first_name="\x00\u202e\U0001f600")),
    Bad("no timestamp", "delivered", at("when", None)),
    Bad("timestamp is a number", "delivered", at("when", 1e308)),
    Bad("timestamp is no date", "delivered", at("when", "2026-02-30T25:61:00Z")),
    Bad("timestamp before computers", "delivered", at("when", "0001-01-01T00:00:00+23:59")),
    Bad("timestamp after us all", "delivered", at("when", "9999-12-31T23:59:59Z")),
    Bad("1 MB of properties", "delivered", whose("large")[:-1] + b',"properties":{"x":"' + b"x" * MEGABYTE + b'"}}'),
    Bad("400 KB for a name", "delivered", whose("large.name", first_name="x" * 400_000)),
    Bad("well", "delivered", whose("well")),
]
DELIVERED = [bad for bad in RECORDS if bad.ends == "delivered"]
BURIED = [bad for bad in RECORDS if bad.ends in (UNDECODABLE, REJECTED)]


@pytest.fixture
async def after(broker: Broker, stage: NewStage) -> Stage:
    """The stage after all these records have been through it, with a limit that so many burials do not reach."""
    here = await stage(broker)
    assert len(RECORDS) == await here.send(bad.sent for bad in RECORDS)
    await here.drain(dead_letters={"stop_above": None})
    return here


async def test_each_record_ends_as_the_contract_says(after: Stage) -> None:
    """The vendor has what could be delivered; the dead letters hold the rest byte by byte, with place and reason."""
    letters = {int(_text(letter, "__connect.errors.offset")): letter for letter in await after.letters()}
    assert len(letters) == len(await after.letters())
    buried = {RECORDS[offset].what: _text(letter, "crmstream.reason") for offset, letter in letters.items()}
    assert {bad.what: bad.ends for bad in BURIED} == buried
    for offset, letter in letters.items():
        bad = RECORDS[offset]
        assert (bad.key, bad.value) == (letter.key, letter.value), bad.what
        stage = "VALUE_CONVERTER" if bad.ends == UNDECODABLE else "TASK_PUT"
        assert stage == _text(letter, "__connect.errors.stage")

    ours = Counter(_email(bad) for bad in DELIVERED)
    assert ours == Counter(delivery.email for delivery in after.vendor.ledger)
    [named] = [body_of(entry) for entry in after.vendor.calls_for("name@example.com") if b'"name@' in entry.body]
    assert {"email_addresses", "job_title"} == named.keys()
    [strange] = after.vendor.calls_for("letters@example.com")
    assert [{"first_name": "\x00\u202e\U0001f600", "last_name": "", "full_name": "\x00\u202e\U0001f600"}] == body_of(
        strange
    )["name"]

    totals = (await after.committed())[0].totals
    ends = Counter(bad.ends for bad in RECORDS)
    assert (ends["delivered"], ends["filtered"], len(BURIED)) == (
        totals["delivered"],
        totals["filtered"],
        totals["dead_lettered"],
    )
    await after.assert_settled()


async def test_what_went_wrong_is_told_without_showing_it(after: Stage) -> None:
    """Neither the member's log nor a letter's own headers quote what a record held."""
    told = b"\n".join(
        value for letter in await after.letters() for name, value in letter.headers if name.startswith(("__c", "crm"))
    )
    [member] = after.members
    assert b"example.com" not in told
    assert "example.com" not in member.output


def _text(letter: object, name: str) -> str:
    value: bytes = dict(letter.headers)[name]  # type: ignore[attr-defined]
    return value.decode()


def _email(bad: Bad) -> str:
    email: str = orjson.loads(bad.value or b"")["traits"]["email"]
    return email
