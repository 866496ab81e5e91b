"""`python -m schemas` writes the checked-in JSON Schema files anew from the models."""

import json
from pathlib import Path

from schemas import control, erasures, events, journal, privacy, receipts, replays

FOLDER = Path(__file__).parent / "json"


def files() -> dict[str, str]:
    """File name to content, for every model that crosses a topic as JSON."""
    schemas = {
        "event": events.json_schema(),
        "command": control.json_schema(),
        "privacy-request": privacy.request_schema(),
        "privacy-result": privacy.result_schema(),
        "erasure": erasures.json_schema(),
        "letter-fate": replays.json_schema(),
        "journal-entry": journal.json_schema(),
        "receipt": receipts.json_schema(),
    }
    return {
        f"{name}.schema.json": json.dumps(schema, indent=2, ensure_ascii=False) + "\n"
        for name, schema in schemas.items()
    }


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name, content in files().items():
        (FOLDER / name).write_text(content, encoding="utf-8")
