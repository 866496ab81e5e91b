"""From an event as it stands in the topic to the calls Splio gets and what it then holds. Each case cites its source.

A case runs before the stand-in, or, where it gives `answers`, before a vendor that answers just that.
"""

import time
from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml

from stream.core.outcomes import Filtered, Outcome, Rejected
from stream.decoding import decode
from stream.destinations import REGISTRY
from stream.destinations.splio_contacts.sandbox import SplioContactsSandbox
from stream.mapping import Mapped
from stream.settings.mappings import mapping_of
from tests.destinations.splio_contacts.universe import KEY, Script, answer, batch_of, destination_of, universe
from tests.destinations.splio_contacts.universe import settings_of as settings_with

CASES = Path(__file__).parent / "cases"
PARTS = {"source", "settings", "unique_key", "has", "event", "answers", "sends", "holds", "notes", "becomes", "after"}


def cases() -> list[Any]:
    """Every file of the folder, named by it."""
    return [
        pytest.param(yaml.safe_load(file.read_text(encoding="utf-8")), id=file.stem)
        for file in sorted(CASES.glob("*.yaml"))
    ]


@pytest.mark.parametrize("case", cases())
async def test_an_event_becomes_the_calls_its_case_says(case: dict[str, Any]) -> None:
    """Its calls in their order, what became of it, and the contact that Splio holds in the end."""
    assert set(case) <= PARTS

    happened = await (scripted(case) if "answers" in case else delivered(case))

    assert {part: case[part] for part in ("sends", "holds", "notes", "becomes", "after") if part in case} == {
        part: happened[part] for part in case if part in happened
    }
    assert "sends" in case or "filtered" in str(happened["becomes"])


async def delivered(case: dict[str, Any]) -> dict[str, Any]:
    """What happens before the stand-in."""
    sandbox = SplioContactsSandbox(KEY, unique_key=case.get("unique_key", "email"), fields=FIELDS)
    async with universe(sandbox, **case.get("settings", {})) as there:
        for contact in case.get("has", []):
            assert sandbox.universe.create(contact)
        mapped = fields_of(case, there.splio.settings)
        if not isinstance(mapped, Mapped):
            return said(mapped)
        batch = batch_of(there.splio, mapped.fields)
        previewed = there.splio.requests(batch)
        outcomes = await there.splio.send(batch)
        sent = [
            {"method": e.method, "path": e.target} | ({"body": orjson.loads(e.body)} if e.body else {})
            for e in there.calls
        ]
        assert [(e.method, e.path, e.body) for e in previewed] == [(e.method, e.target, e.body) for e in there.calls][
            :1
        ]
        return said(outcomes[0]) | {"sends": sent, "notes": notes(mapped), "holds": stored(sandbox)}


async def scripted(case: dict[str, Any]) -> dict[str, Any]:
    """What happens before a vendor with prepared answers."""
    answers = [answer(each["status"], each.get("body", b""), **each.get("headers", {})) for each in case["answers"]]
    script = Script(*answers)
    settings = settings_with(**case.get("settings", {}))
    splio = destination_of(settings, script)
    mapped = fields_of(case, settings)
    assert isinstance(mapped, Mapped)
    [outcome] = await splio.send(batch_of(splio, mapped.fields))
    return said(outcome) | {"sends": [str(call) for call in script.calls], "notes": notes(mapped)}


FIELDS: dict[int | str, str] = {"city": "text", "company": "text", "country": "text", 5: "int", "c0": "text", 0: "text"}


def fields_of(case: dict[str, Any], settings: Any) -> Mapped | Filtered:
    """The event, decoded and mapped."""
    decoded = decode(case["event"].encode(), 0, time.time())
    assert not isinstance(decoded, Filtered | Rejected)
    return mapping_of("splio", settings).map(decoded)


def said(outcome: Outcome) -> dict[str, Any]:
    """An outcome in the words of the cases."""
    word = type(outcome).__name__.lower()
    told = [str(getattr(outcome, name)) for name in ("reason", "detail", "hint") if getattr(outcome, name, "")]
    return {"becomes": ": ".join([word, *told]), "after": getattr(outcome, "after", None)}


def notes(mapped: Mapped) -> list[str]:
    """The notes, but for the one that only says that most cases carry no timestamp."""
    return [note for note in mapped.notes if note != "timestamp_replaced"]


def stored(sandbox: SplioContactsSandbox) -> dict[str, Any]:
    """The newest contact as Splio holds it, in the form in which it is created."""
    contact = sandbox.universe.contacts[-1]
    custom = [{"id": each, "value": value} for each, value in contact.custom.items()]
    lists = [{"id": each} for each in contact.lists]
    return contact.fields | ({"custom_fields": custom} if custom else {}) | ({"lists": lists} if lists else {})


def test_the_registry_finds_all_parts() -> None:
    """One line is all that the rest of the program needs to know of a destination."""
    splio = REGISTRY["splio_contacts"]

    assert ("SplioContactsSettings", "SplioContacts", "SplioContactsSandbox") == tuple(
        getattr(part, "__name__", "") for part in (splio.settings, splio.calls, splio.sandbox)
    )
    assert splio.preset.is_file()
