"""`python -m schemas` writes the checked-in JSON Schema files anew from the models."""

import json
from pathlib import Path

from schemas import events

FOLDER = Path(__file__).parent / "json"


def files() -> dict[str, str]:
    """File name to content, for every model that crosses a topic as JSON."""
    return {"event.schema.json": json.dumps(events.json_schema(), indent=2, ensure_ascii=False) + "\n"}


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name, content in files().items():
        (FOLDER / name).write_text(content, encoding="utf-8")
