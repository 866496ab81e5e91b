"""An event to a destination's flat fields, by its preset and what the configuration changes. Encoding is theirs."""

from collections.abc import Callable, Iterable, Sequence
from collections.abc import Mapping as Lookup
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from schemas.events import Event
from stream.core.outcomes import Filtered
from stream.core.records import Fields
from stream.errors import Exit, UserError
from stream.mapping.code import Code
from stream.mapping.expressions import Expression, compile_expression, did_you_mean
from stream.mapping.presets import FieldRule, Preset, load_preset, read_preset, read_rule
from stream.transforms.definition import Absent

__all__ = [
    "Expression",
    "FieldRule",
    "Mapped",
    "Mapping",
    "Maps",
    "Preset",
    "Routed",
    "compile_expression",
    "compile_mapping",
    "load_preset",
    "read_preset",
]

EVERYTHING = "*"
"""In `consent`: the whole event needs it, not one field."""

NO_CONSENT = Absent("field_no_consent")
FILTERED_EVENT = Filtered("not_this_event")
FILTERED_IDENTITY = Filtered("no_identity")
FILTERED_CONSENT = Filtered("no_consent")


@dataclass(slots=True)
class Mapped:
    """The fields of an event; none is null or empty. *notes* are the event's own and those of its fields."""

    fields: Fields
    notes: tuple[str, ...]


Plan: TypeAlias = Callable[[Event], Mapped | Filtered]


class Maps(Protocol):
    """What makes fields of a destination's events."""

    @property
    def traits(self) -> frozenset[str]:
        """The names of the traits that it reads."""

    def takes(self, event: Event) -> bool:
        """Whether events of this name are for the destination."""

    def map(self, event: Event) -> Mapped | Filtered:
        """The event's fields; filtered, in this order, as `not_this_event`, `no_identity` or `no_consent`."""


class Mapping:
    """One destination's mapping, compiled; `compile_mapping` makes it."""

    __slots__ = ("_plans", "traits")

    def __init__(self, plans: dict[str, Plan], traits: frozenset[str]) -> None:
        self.traits = traits
        self._plans = plans

    def takes(self, event: Event) -> bool:
        """Whether events of this name are for the destination."""
        return event.event in self._plans

    def map(self, event: Event) -> Mapped | Filtered:
        """The event's fields; filtered, in this order, as `not_this_event`, `no_identity` or `no_consent`."""
        plan = self._plans.get(event.event)
        return FILTERED_EVENT if plan is None else plan(event)


class Routed:
    """Several mappings, each for the events of one name."""

    __slots__ = ("_by_event", "traits")

    def __init__(self, by_event: Lookup[str, Maps]) -> None:
        self.traits = frozenset[str]().union(*(mapping.traits for mapping in by_event.values()))
        self._by_event = dict(by_event)

    def takes(self, event: Event) -> bool:
        """Whether there is a mapping for events of this name."""
        return event.event in self._by_event

    def map(self, event: Event) -> Mapped | Filtered:
        """What the event's own mapping makes of it."""
        mapping = self._by_event.get(event.event)
        return FILTERED_EVENT if mapping is None else mapping.map(event)


def granted(event: Event, category: str) -> bool:
    """Whether `context.consent.canonical` holds exactly true for the category: anything else is no consent."""
    consent = event.context.get("consent")
    canonical = consent.get("canonical") if type(consent) is dict else None
    return type(canonical) is dict and canonical.get(category) is True


def compile_mapping(
    preset: Preset,
    *,
    events: Iterable[str] | None = None,
    fields: Lookup[str, object] | None = None,
    consent: Lookup[str, str] | None = None,
    needs: Iterable[str] = (),
    config: Lookup[str, object] | None = None,
    place: str = "destinations",
) -> Mapping:
    """The preset with the configuration's changes.

    *events* replaces its list; *fields* changes or adds expressions, None removes one; *consent* is {field or "*":
    category}; *needs* are categories that the whole event needs besides; *config* is what paths under `config` see: the
    settings without secrets. Raises UserError with *place*.
    """
    consent = dict(consent or {})
    rules = _rules(preset, fields or {}, place)
    _check_names(preset, rules, consent, place)
    expressions = {
        name: compile_expression(rule.value, place=f"{place}.fields.{name}", config=config)
        for name, rule in rules.items()
    }
    traits = frozenset[str]().union(*(expression.traits for expression in expressions.values()))
    categories = (*needs, *([consent.pop(EVERYTHING)] if EVERYTHING in consent else ()))
    names = list(preset.events if events is None else events)
    if not names or not all(isinstance(name, str) and name.strip() for name in names):
        raise UserError(f"{place}.events: needs the names of events", "`enabled: false` stops it", Exit.BAD_FILE)
    filled = {event: tuple(name for name, rule in rules.items() if rule.fills(event)) for event in names}
    identity = tuple(name for name in preset.identity if name in rules)
    plans = {
        fields: _plan([(name, expressions[name], consent.get(name)) for name in fields], identity, categories)
        for fields in set(filled.values())
    }
    return Mapping({event: plans[filled[event]] for event in names}, traits)


def _rules(preset: Preset, changes: Lookup[str, object], place: str) -> dict[str, FieldRule]:
    rules = dict(preset.fields)
    for name, change in changes.items():
        if change is not None:
            rules[name] = read_rule(change, place=f"{place}.fields.{name}")
        elif rules.pop(name, None) is None:
            near = did_you_mean(name, list(rules))
            raise UserError(f"{place}.fields.{name}: there is no such field to remove{near}", exit_code=Exit.BAD_FILE)
    return rules


def _check_names(preset: Preset, rules: dict[str, FieldRule], consent: Lookup[str, str], place: str) -> None:
    """A misspelt name here would drop every event, or let a field go without its consent."""
    if preset.identity and not any(name in rules for name in preset.identity):
        names = " or ".join(preset.identity)
        raise UserError(f"{place}.fields: {names} must stay, it identifies the contact", exit_code=Exit.BAD_FILE)
    for name in consent:
        if name != EVERYTHING and name not in rules:
            near = did_you_mean(name, list(rules))
            raise UserError(f"{place}.consent.{name}: there is no such field{near}", exit_code=Exit.BAD_FILE)


def _plan(
    fields: Iterable[tuple[str, Expression, str | None]], identity: Sequence[str], categories: Sequence[str]
) -> Plan:
    """What fills these fields one after the other, some with consent to a category of their own; then judges them."""
    code = Code(["fields, notes = {}, event.notes"], dict(NAMES))
    for name, expression, category in fields:
        code.include(expression.code)
        if category is not None:
            code.add(
                f"if type(value) is not Absent and not granted(event, {category!a}):",
                "    value = NO_CONSENT",
            )
        code.add(
            "if type(value) is not Absent:",
            f"    fields[{name!a}] = value",
            "elif value.note and value.note not in notes:",
            "    notes = (*notes, value.note)",
        )
    if identity:
        code.add(
            f"if {' and '.join(f'{name!a} not in fields' for name in identity)}:",
            "    return FILTERED_IDENTITY",
        )
    for category in categories:
        code.add(
            f"if not granted(event, {category!a}):",
            "    return FILTERED_CONSENT",
        )
    return code.function("Mapped(fields, notes)")


NAMES = {
    "Absent": Absent,
    "FILTERED_CONSENT": FILTERED_CONSENT,
    "FILTERED_IDENTITY": FILTERED_IDENTITY,
    "Mapped": Mapped,
    "NO_CONSENT": NO_CONSENT,
    "granted": granted,
}
