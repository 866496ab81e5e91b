"""From an event as it stands in the topic to the calls Attio gets. Each case cites what it is typed from."""

import time
from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml

from stream.core.outcomes import Filtered, Rejected
from stream.decoding import decode
from stream.destinations import REGISTRY
from stream.http import Request
from stream.mapping import Mapped
from stream.settings.mappings import mapping_of
from tests.destinations.attio.workspace import batch_of, destination_of, settings_of

CASES = Path(__file__).parent / "cases"
ASSERT = {"method": "PUT", "path": "/v2/objects/people/records?matching_attribute=email_addresses"}


def cases() -> list[Any]:
    """Every file of the folder, named by it."""
    return [
        pytest.param(yaml.safe_load(file.read_text(encoding="utf-8")), id=file.stem)
        for file in sorted(CASES.glob("*.yaml"))
    ]


@pytest.mark.parametrize("case", cases())
async def test_an_event_becomes_the_calls_its_case_says(case: dict[str, Any]) -> None:
    """Decoded, mapped and encoded, the event gives the expected requests, or the expected reason for none."""
    known = {"source", "settings", "event", "first", "sends", "filtered", "rejected", "notes"}
    assert set(case) <= known

    became = calls(case["event"].encode(), case.get("settings", {}))

    assert expected(case) == became


def calls(event: bytes, changes: dict[str, Any]) -> dict[str, Any]:
    """What becomes of an event, in the words of the cases."""
    settings = settings_of(**changes)
    decoded = decode(event, 0, time.time())
    if isinstance(decoded, Rejected):
        return {"rejected": decoded.reason}
    assert not isinstance(decoded, Filtered)
    mapped = mapping_of("attio", settings).map(decoded)
    if not isinstance(mapped, Mapped):
        return {"filtered": mapped.reason}
    attio = destination_of(settings)
    notes = [note for note in mapped.notes if note != "timestamp_replaced"]  # the cases carry no timestamp
    return {"requests": [shown(request) for request in attio.requests(batch_of(attio, mapped.fields))], "notes": notes}


def expected(case: dict[str, Any]) -> dict[str, Any]:
    """What a case wants, in the same words."""
    for outcome in ("rejected", "filtered"):
        if outcome in case:
            return {outcome: case[outcome]}
    wanted = [case["first"]] if "first" in case else []
    wanted = [ASSERT | call | {"body": orjson.loads(call["body"])} for call in [*wanted, case["sends"]]]
    return {"requests": wanted, "notes": case.get("notes", [])}


def shown(request: Request) -> dict[str, Any]:
    """A request in the words of the cases."""
    assert request.body is not None
    return {"method": request.method, "path": request.path, "body": orjson.loads(request.body)}


def test_the_registry_finds_all_parts() -> None:
    """One line is all that the rest of the program needs to know of a destination."""
    attio = REGISTRY["attio"]

    assert ("AttioSettings", "Attio", "AttioSandbox") == tuple(
        getattr(part, "__name__", "") for part in (attio.settings, attio.calls, attio.sandbox)
    )
    assert attio.preset.is_file()
