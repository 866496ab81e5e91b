"""The functions that mappings are made of. Each is pure and total; `TRANSFORMS` has them all by name."""

from dataclasses import dataclass

from stream.transforms import choice, country, identity, language, numbers, phone, text, time
from stream.transforms.definition import Transform, literal

TRANSFORMS: dict[str, Transform] = {
    found.name: found
    for module in (text, choice, identity, phone, language, country, time, numbers)
    for found in vars(module).values()
    if isinstance(found, Transform)
}


@dataclass(frozen=True, slots=True)
class Listed:
    """One line of `crmstream transforms`."""

    signature: str
    sentence: str
    example: str


def listing() -> list[Listed]:
    """What there is, by name, to be read by people."""
    return [
        Listed(transform.signature, transform.sentence, _example(*transform.example))
        for _, transform in sorted(TRANSFORMS.items())
    ]


def _example(given: object, call: str, result: object) -> str:
    shown = "(nothing)" if given is None else given if type(given) is list else literal(given)
    return f"{shown} | {call}  gives  {result if type(result) is list else literal(result)}"
