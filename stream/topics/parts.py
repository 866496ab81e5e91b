"""A privacy result in parts that fit a record each, and put together again. No I/O.

Each part is a result by itself, with some of the steps and some of what each profile holds: lists go on from part to
part, objects and all else are added up by their names.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from schemas.privacy import Json, PrivacyResult, Step

ROOM = 64  # bytes of a piece that are not its value: names, the profile it belongs to, commas


@dataclass(frozen=True, slots=True)
class Piece:
    """What is never divided: a step, or one entry of a profile. Adding all pieces up gives the whole."""

    step: Step | None = None
    profile: str = ""  # its cio_id
    entry: Json | None = None  # one name of the profile; a list has one element, an object one name

    @property
    def size(self) -> int:
        """Bytes it takes at most."""
        value = self.entry if self.step is None else self.step.model_dump(mode="json", exclude_none=True)
        return len(orjson.dumps(value)) + ROOM


def encoded(result: PrivacyResult) -> bytes:
    """The record's value; what a result has nothing to say about is left out."""
    return orjson.dumps(result.model_dump(mode="json", exclude_none=True))


def split(result: PrivacyResult, limit: int) -> list[PrivacyResult]:
    """*result* by itself where its JSON has at most *limit* bytes, else its parts.

    A part is larger only where a single piece is.
    """
    if len(encoded(result)) <= limit:
        return [result]
    shares: list[list[Piece]] = [[]]
    envelope = room = limit - len(encoded(_with(result, [])))
    for piece in _pieces(result):
        if piece.size > room and shares[-1]:
            shares.append([])
            room = envelope
        shares[-1].append(piece)
        room -= piece.size
    count = len(shares)
    return [
        _with(result, share).model_copy(update={"part": number, "parts": count})
        for number, share in enumerate(shares, start=1)
    ]


def merged(parts: Sequence[PrivacyResult]) -> PrivacyResult:
    """The whole of all its parts, in their order."""
    pieces = [piece for part in parts for piece in _pieces(part)]
    return _with(parts[0], pieces).model_copy(update={"part": None, "parts": None})


class Assembly:
    """Parts as they come in, of several destinations' results to one request."""

    def __init__(self) -> None:
        self._parts: dict[str, list[PrivacyResult]] = {}

    def add(self, result: PrivacyResult) -> PrivacyResult | None:
        """The whole, where this was the last of its parts. A first part begins anew: the answer is written again."""
        if result.part is None or result.parts is None:
            return result
        parts = self._parts.setdefault(result.destination, [])
        if result.part == 1:
            parts.clear()
        if result.part == len(parts) + 1:
            parts.append(result)
        return merged(parts) if len(parts) == result.parts else None


def _pieces(result: PrivacyResult) -> Iterator[Piece]:
    yield from (Piece(step=step) for step in result.steps)
    for profile in _profiles(result.data):
        for name, value in profile.items():
            for entry in _entries(value):
                yield Piece(profile=profile["cio_id"], entry={name: entry})


def _profiles(data: Json | None) -> list[Json]:
    """Those of an access; none where others wrote the data."""
    found = (data or {}).get("profiles")
    listed = found if isinstance(found, list) else []
    return [each for each in listed if isinstance(each, dict) and isinstance(each.get("cio_id"), str)]


def _entries(value: Any) -> Iterable[Any]:
    """The value in the smallest values that add up to it."""
    if isinstance(value, list) and value:
        return ([each] for each in value)
    if isinstance(value, dict) and value:
        return ({name: each} for name, each in value.items())
    return [value]


def _with(result: PrivacyResult, pieces: Iterable[Piece]) -> PrivacyResult:
    """*result* with nothing but these pieces in it."""
    steps, profiles = [], dict[str, Json]()
    for piece in pieces:
        if piece.step is not None:
            steps.append(piece.step)
        for name, value in (piece.entry or {}).items():
            _add(profiles.setdefault(piece.profile, {"cio_id": piece.profile}), name, value)
    data = None if result.data is None else result.data | {"profiles": list(profiles.values())}
    return result.model_copy(update={"data": data, "steps": tuple(steps)})


def _add(profile: Json, name: str, value: Any) -> None:
    known = profile.get(name)
    if isinstance(known, list) and isinstance(value, list):
        known.extend(value)
    elif isinstance(known, dict) and isinstance(value, dict):
        known.update(value)
    else:
        profile[name] = value
