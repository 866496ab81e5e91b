"""From an event to a row's texts: which columns there are, and the form of each value (destinations 4.4)."""

import re
from collections.abc import Mapping
from hashlib import sha256
from typing import TYPE_CHECKING

import orjson

from schemas.events import Event
from stream.core.outcomes import Filtered
from stream.errors import Exit, UserError
from stream.mapping import Expression, FieldRule, Mapped, Maps, Preset, compile_expression, compile_mapping

if TYPE_CHECKING:
    from stream.destinations.splio_files.settings import SplioFilesSettings

ROWS = 199_999  # of one file: Splio takes 200,000 lines, and the header is one
STANDARD = frozenset(
    {"email", "customer_key", "lastname", "firstname", "language", "cellphone", "dateOfCreation", "subscriptions"}
)
"""The columns that every universe has; any other is an attribute of its own."""

LANGUAGES = frozenset(
    ("ar", "br", "ca", "cz", "de", "en", "es", "fr", "gr", "it", "ja", "kr", "nl", "pl", "ru", "tr", "zh")
)
"""Splio's own codes."""

OWN_CODES = {"cs": "cz", "el": "gr", "ko": "kr"}  # of languages that ISO 639 calls otherwise
BRAZIL = re.compile(r"pt[-_]br\b.*", re.DOTALL)
PHONE_LIMIT = 30
BREAKS = re.compile("[\x00-\x1f\x7f\x85\u2028\u2029]+")
NOT_IN_SEGMENT = Filtered("not_in_segment")
FIELD_IGNORED, PHONE_DROPPED = "field_ignored", "phone_dropped"


def rules_of(settings: "SplioFilesSettings", preset: Preset, place: str) -> dict[str, FieldRule]:
    """The columns of the preset and those the settings add, with what fills them unless `fields` says otherwise.

    Raises UserError with *place* for a column that is there twice.
    """
    rules = dict(preset.fields)
    for key, columns in ("attributes", settings.attributes), ("custom_attributes", settings.custom_attributes):
        for column, given in columns.items():
            if column in rules or column in settings.fields:
                text = f"{place}.{key}.{column}: the column is there already"
                raise UserError(text, "`fields` changes what a column of the preset holds", Exit.BAD_FILE)
            rules[column] = FieldRule(value=given if isinstance(given, str) else given.expression)
    return rules


def columns_of(settings: "SplioFilesSettings", rules: Mapping[str, FieldRule]) -> tuple[str, ...]:
    """The columns of a file, in their order."""
    removed = {name for name, change in settings.fields.items() if change is None}
    return tuple(name for name in dict.fromkeys([*rules, *settings.fields]) if name not in removed)


class RowMapping:
    """A mapping whose fields are a row's columns, each a text as it stands in a file."""

    __slots__ = ("_fields", "_phone", "_segment", "traits")

    def __init__(self, fields: Maps, *, segment: Expression | None, phone_format: str) -> None:
        self.traits = fields.traits | (segment.traits if segment else frozenset())
        self._fields = fields
        self._segment = segment
        self._phone = phone_format

    @classmethod
    def of(
        cls,
        settings: "SplioFilesSettings",
        preset: Preset,
        rules: dict[str, FieldRule],
        *,
        config: Mapping[str, object],
        place: str,
    ) -> "RowMapping":
        """The settings' own. Raises UserError with *place* for an expression that is wrong."""
        for key, columns in ("attributes", settings.attributes), ("custom_attributes", settings.custom_attributes):
            for column in columns:
                compile_expression(rules[column].value, place=f"{place}.{key}.{column}", config=config)
        fields = compile_mapping(
            preset.model_copy(update={"fields": preset.fields | rules}),
            events=settings.events,
            fields=settings.fields,
            consent=settings.consent,
            config=config,
            place=place,
        )
        segment = None
        if settings.segment is not None:
            segment = compile_expression(settings.segment, place=f"{place}.segment", config=config)
            if not segment.condition:
                text = f"{place}.segment: it is no condition"
                raise UserError(text, "end it in is(x), in(a, b) or exists", Exit.BAD_FILE)
        return cls(fields, segment=segment, phone_format=settings.phone_format)

    def takes(self, event: Event) -> bool:
        """Whether events of this name are for the destination."""
        return self._fields.takes(event)

    def map(self, event: Event) -> Mapped | Filtered:
        """The event's texts; filtered, after a mapping's own reasons, as `not_in_segment`."""
        mapped = self._fields.map(event)
        if isinstance(mapped, Filtered):
            return mapped
        if self._segment is not None and self._segment.evaluate(event) is not True:
            return NOT_IN_SEGMENT
        fields: dict[str, object] = {}
        notes = mapped.notes
        for column, value in mapped.fields.items():
            text, note = self._text(column, value)
            if text:
                fields[column] = text
            elif note not in notes:
                notes = (*notes, note)
        return Mapped(fields, notes)

    def _text(self, column: str, value: object) -> tuple[str, str]:
        """The value as it stands in a file, or nothing and the note that says why."""
        text = text_of(value)
        if column == "language":
            return language(text), FIELD_IGNORED
        if column == "cellphone":
            if self._phone == "00" and text.startswith("+"):
                text = "00" + text[1:]
            return (text, "") if len(text) <= PHONE_LIMIT else ("", PHONE_DROPPED)
        return text, FIELD_IGNORED


def text_of(value: object) -> str:
    """A text, a number, or true and false, on one line; nothing for what has no place in a cell."""
    if type(value) is str:
        return BREAKS.sub(" ", value).strip()
    if type(value) is bool:
        return str(value).lower()
    return str(value) if type(value) in (int, float) else ""


def language(locale: str) -> str:
    """Splio's code for a locale such as en-GB, or for one of its own codes; empty where it has none."""
    locale = locale.strip().lower()
    if BRAZIL.fullmatch(locale):
        return "br"
    code, *region = re.split(r"[-_.@]", locale, maxsplit=1)
    code = OWN_CODES.get(code, code)
    if code == "br" and region:  # Breton, not Brazil
        return ""
    return code if code in LANGUAGES else ""


def fingerprint(settings: "SplioFilesSettings", rules: Mapping[str, FieldRule]) -> str:
    """Of everything that makes a row's values: the columns, their expressions, the forms of values."""
    made_by = [
        columns_of(settings, rules),
        [[name, rule.value, rule.events] for name, rule in rules.items()],
        [sorted(settings.fields.items()), sorted(settings.consent.items())],
        [settings.phone_format, settings.default_region],
    ]
    return sha256(orjson.dumps(made_by)).hexdigest()[:16]
