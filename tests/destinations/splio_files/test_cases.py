"""From an event as it stands in the topic to the file Splio gets and the contact it then holds. Each cites its source.

`source` · `settings`: keys besides those of the stand-in · `event` · `file`: its content · `holds`: the contact · or
`filtered` or `rejected`: the reason · `notes`
"""

import time
from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml

from stream.core.offsets import OffsetTracker
from stream.core.outcomes import DELIVERED, Filtered, Rejected
from stream.messages import Messages
from stream.settings import mapping_of
from tests.destinations.splio_files.drop import drop
from tests.unit.partition import LogRecord

CASES = Path(__file__).parent / "cases"
KEYS = {"source", "settings", "event", "file", "holds", "filtered", "rejected", "notes"}


def cases() -> list[Any]:
    """Every file of the folder, named by it."""
    return [
        pytest.param(yaml.safe_load(file.read_text(encoding="utf-8")), id=file.stem)
        for file in sorted(CASES.glob("*.yaml"))
    ]


@pytest.mark.parametrize("case", cases())
async def test_an_event_becomes_the_file_its_case_says(case: dict[str, Any]) -> None:
    """Its bytes, and the contact that the importer makes of it."""
    assert set(case) <= KEYS

    happened = await imported(case["event"], case.get("settings", {}))

    wanted = {key: case[key] for key in ("file", "holds", "filtered", "rejected") if key in case}
    assert wanted == {key: happened.get(key) for key in wanted}
    assert case.get("notes", []) == happened.get("notes", [])


async def imported(event: str, changes: dict[str, Any]) -> dict[str, Any]:
    """What becomes of an event, in the words of the cases."""
    async with drop(**changes) as there:
        mapping = mapping_of("splio_files", there.files.settings)
        make = Messages("splio_files", mapping=mapping, destination=there.files, dialect="datafly", wall=time.time)
        made = make(LogRecord(value=event.encode(), timestamp=int(time.time() * 1000)), OffsetTracker("events", 0, 0))
        if isinstance(made, Rejected):
            return {"rejected": made.reason}
        if isinstance(made, Filtered):
            return {"filtered": made.reason}
        row = orjson.loads(made.body)
        assert DELIVERED == await there.upload([row.get(column, "") for column in there.files.columns])
        [contact] = there.sandbox.people()
        notes = [note for note in made.notes if note != "timestamp_replaced"]
        return {"file": there.content, "holds": contact, "notes": notes}
