"""Python written out of expressions once, so that an event costs no more calls than a mapping by hand would."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from schemas.events import Event

INDENT = "    "


@dataclass(slots=True)
class Code:
    """Lines of a function of `event`, and the objects that they name."""

    lines: list[str] = field(default_factory=list)
    objects: dict[str, Any] = field(default_factory=dict)

    def add(self, *lines: str) -> None:
        """Go on with these lines."""
        self.lines += lines

    def include(self, other: "Code", *, under: str = "") -> None:
        """Go on with what the other does, or with that *under* a condition."""
        if under:
            self.lines.append(under)
        self.lines += [INDENT + line for line in other.lines] if under else other.lines
        self.objects |= other.objects

    def name(self, thing: object) -> str:
        """What the lines may call the thing; other code that names it calls it the same."""
        name = f"_{id(thing):x}"
        self.objects[name] = thing
        return name

    def function(self, result: str) -> Callable[[Event], Any]:
        """All of it as a function that gives the *result*."""
        lines = ["def function(event):", *(INDENT + line for line in self.lines), f"{INDENT}return {result}"]
        names = dict(self.objects)
        exec("\n".join(lines), names)  # noqa: S102 - what users wrote is in it only as literals and objects
        made: Callable[[Event], Any] = names["function"]
        return made
