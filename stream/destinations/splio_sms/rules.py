"""Which event leads to which text, and from an event to its recipients. How they are sent is in `client.py`."""

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from schemas.events import Event
from stream.core.outcomes import Filtered
from stream.core.strict import Strict
from stream.errors import Exit, UserError
from stream.mapping import (
    EVERYTHING,
    FILTERED_EVENT,
    FILTERED_IDENTITY,
    Expression,
    Mapped,
    Maps,
    Preset,
    Routed,
    compile_expression,
    compile_mapping,
)
from stream.mapping.expressions import did_you_mean
from stream.transforms.definition import Absent, present
from stream.transforms.phone import DROPPED, e164

NUMBER = "cellphone"
FIELD = re.compile(r"[A-Za-z][A-Za-z0-9_]*", re.ASCII)
PERMISSION = "marketing"
"""The consent that a text needs: Splio sends to whoever is named, subscribed or not (destinations 3.2)."""


def _of_a_recipient(fields: dict[str, Any]) -> dict[str, Any]:
    """Names as Splio has them: its own fields, and customer fields by number."""
    if NUMBER in fields:
        raise ValueError(f"{NUMBER} is not a field: a rule's `to` says where the number is")
    for name in fields:
        if not FIELD.fullmatch(name):
            raise ValueError(f"{name!r} is not a field of Splio's, such as firstname or c0")
    return fields


RecipientFields = Annotated[dict[str, Any], AfterValidator(_of_a_recipient)]


class Rule(Strict):
    """The text that one event leads to."""

    event: str = Field(min_length=1, description="name of the event; an identify call is the event Identified")
    message: str = Field(pattern=r"^[A-Za-z0-9]{9}$", description="id of the design in Splio: nine letters and digits")
    to: str = Field("traits.phone", description="expression of the number, or of a list: each gets one text an event")
    opcode: str | list[Any] | dict[str, Any] | None = Field(
        None, description="Splio's operation code: text is sent as it is, a list or block as JSON"
    )
    category: str | None = Field(None, description="Splio's category of the campaign")
    fields: RecipientFields = Field({}, description="expressions: change or add fields for this rule; null removes one")
    transactional: bool = Field(False, description="true: sent without marketing consent")


def compile_rules(
    rules: Sequence[Rule],
    preset: Preset,
    *,
    events: Collection[str] | None,
    fields: Mapping[str, object],
    consent: Mapping[str, str],
    region: str | None,
    config: Mapping[str, object],
    place: str,
) -> Routed:
    """A mapping for each rule, of its event; where there are *events*, only for these.

    *fields* and *consent* hold for all rules, *region* for all numbers. Raises UserError with the place of what is
    wrong.
    """
    compile_mapping(preset, events=[rule.event for rule in rules], fields=fields, config=config, place=place)
    _check_consent(
        consent, {EVERYTHING, *preset.fields, *fields, *(name for rule in rules for name in rule.fields)}, place
    )
    recipients = {}
    for number, rule in enumerate(rules):
        here = f"{place}.rules[{number}]"
        changes = {
            name: change
            for name, change in {**fields, **rule.fields}.items()
            if change is not None or name in preset.fields or name not in fields
        }
        filled = {EVERYTHING, *preset.fields, *changes} - {name for name, change in changes.items() if change is None}
        recipients[rule.event] = Recipients(
            rule,
            compile_expression(rule.to, place=f"{here}.to", config=config),
            compile_mapping(
                preset,
                events=[rule.event],
                fields=changes,
                consent={name: category for name, category in consent.items() if name in filled},
                needs=() if rule.transactional else (PERMISSION,),
                config=config,
                place=here,
            ),
            region,
        )
    return Routed({event: each for event, each in recipients.items() if events is None or event in events})


def _check_consent(consent: Mapping[str, str], known: Collection[str], place: str) -> None:
    """A misspelt name would let a field go without its consent."""
    for name in consent:
        if name not in known:
            near = did_you_mean(name, list(known))
            raise UserError(f"{place}.consent.{name}: there is no such field{near}", exit_code=Exit.BAD_FILE)


class Recipients:
    """One rule's mapping: `rule`, the name of its event, and `rcpts`, each number once and as Splio takes them.

    What `to` finds is a number, an object with a `cellphone` and fields of its own, or a list of these.
    """

    def __init__(self, rule: Rule, to: Expression, fields: Maps, region: str | None) -> None:
        self.traits = to.traits | fields.traits
        self._event = rule.event
        self._to = to.evaluate
        self._fields = fields
        self._region = region

    def takes(self, event: Event) -> bool:
        """Whether it is the rule's."""
        return event.event == self._event

    def map(self, event: Event) -> Mapped | Filtered:
        """The recipients; filtered as `no_identity` where no number can be used, then as `no_consent`."""
        if not self.takes(event):
            return FILTERED_EVENT
        numbers, notes = self._numbers(self._to(event))
        if not numbers:
            return FILTERED_IDENTITY
        mapped = self._fields.map(event)
        if isinstance(mapped, Filtered):
            return mapped
        shared = _texts(mapped.fields, notes)
        rcpts = [{NUMBER: number} | shared | _texts(own, notes) for number, own in numbers.items()]
        return Mapped({"rule": self._event, "rcpts": rcpts}, tuple(dict.fromkeys((*mapped.notes, *notes))))

    def _numbers(self, found: object) -> tuple[dict[str, dict[str, object]], list[str]]:
        """Each number with the fields of its own, the first of several winning, and notes on what was left out."""
        numbers: dict[str, dict[str, object]] = {}
        notes: list[str] = []
        for each in found if isinstance(found, list) else [found]:
            own = dict(each) if isinstance(each, dict) else {NUMBER: each}
            number = own.pop(NUMBER, None)
            usable = e164.function(number, self._region) if isinstance(number, str) else DROPPED
            if isinstance(usable, str):
                numbers.setdefault(usable, own)
            else:
                notes.append(DROPPED.note)
        return numbers, notes


def _texts(fields: Mapping[str, object], notes: list[str]) -> dict[str, str]:
    """The fields as text, which all of Splio's are; *notes* gains a word for one that is none."""
    texts = {}
    for name, value in fields.items():
        if isinstance(present(value), Absent):
            continue
        if isinstance(value, bool):
            texts[name] = str(value).lower()
        elif isinstance(value, str | int | float) and FIELD.fullmatch(name):
            texts[name] = str(value)
        else:
            notes.append("field_ignored")
    return texts
