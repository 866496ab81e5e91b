"""What counts as a vendor's word for success: destinations 5.4, 2.6, 3.3, 6.5, read again and not from the clients."""

import re
from collections.abc import Callable
from typing import Any

from stream.http.responses import Answer


def _attio(said: list[Answer], _: int, __: Any) -> bool:
    return 200 <= said[-1].status < 300


def _contacts(said: list[Answer], delivered: int, destination: Any) -> bool:
    good = [each for each in said if 200 <= each.status < 300]
    if not destination.settings.bulk:
        return good[-1:] == said[-1:]
    items = [item for each in good if isinstance(found := each.json(), dict) for item in _list(found.get("items"))]
    taken = [item for item in items if isinstance(item, dict) and _is_success(item.get("code"))]
    return delivered <= len(taken) or (delivered == 1 and bool(good))


def _texts(said: list[Answer], _: int, __: Any) -> bool:
    found = said[-1].json()
    if not isinstance(found, dict):
        return False
    words = [each.strip().lower() for name in ("status", "name") if isinstance(each := found.get(name), str) and each]
    word, code = words[0] if words else "", str(found.get("code")).strip()
    if not re.fullmatch(r"\d{1,19}", code):
        code = str(said[-1].status) if words else ""  # without a word of Splio's it is somebody else's answer
    return word == "ok" or (code == "200" and word not in ("blocked", "error"))


def _privacy(said: list[Answer], _: int, destination: Any) -> bool:
    """One answer; that all was read or removed takes a list of people with status 2xx."""
    [result] = destination.desk.answers
    lists = [each for each in said if 200 <= each.status < 300 and isinstance(each.json(), dict)]
    found = any("results" in each.json() for each in lists)
    return found or result.status in ("failed", "not_configured")


TAKEN: dict[str, Callable[[list[Answer], int, Any], bool]] = {
    "attio": _attio,
    "splio_contacts": _contacts,
    "splio_sms": _texts,
    "customerio": _privacy,
}


def _is_success(code: object) -> bool:
    return type(code) is int and 200 <= code < 300


def _list(found: Any) -> list[Any]:
    return found if isinstance(found, list) else []
