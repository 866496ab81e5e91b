"""Reads a configuration file: YAML whose scalars stay text, with `${…}` filled in and every place remembered.

What the values mean is the models' business (`stream.settings.model`).
"""

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import yaml

from stream.errors import Exit, UserError

Steps: TypeAlias = tuple[str | int, ...]
"""The way from the root to a value: keys and list indices."""

MOST_BYTES = 1024 * 1024  # of a file, and of one that ${file:…} names
MOST_VALUES = 50_000  # aliases written out: a few lines of them can stand for billions
MOST_STEPS = 32  # blocks within blocks

SPECIAL = {"true": True, "false": False, "null": None}
REFERENCE = re.compile(
    r"\$\$\{"  # the escape of a literal `${`
    r"|\$\{(?:file:(?P<file>[^}]+?)|(?P<name>[A-Za-z_][A-Za-z0-9_]*))(?::-(?P<default>[^}]*))?\}"
    r"|\$\{"  # anything else that starts like one
)


class Mark(NamedTuple):
    """A place in the file, counted from 1."""

    line: int
    column: int


class Mistake(NamedTuple):
    """Something wrong in the file, said without repeating what a variable or file held."""

    mark: Mark
    text: str


@dataclass(slots=True)
class Document:
    """A file as nested dicts, lists, text, booleans and None, with the place of each of its keys and values."""

    name: str
    tree: Any = None
    keys: dict[Steps, Mark] = field(default_factory=dict)
    values: dict[Steps, Mark] = field(default_factory=dict)
    unset: dict[Steps, str] = field(default_factory=dict)  # left out because empty, with the text that says so
    nulls: set[Steps] = field(default_factory=set)  # what is `null`
    filled: set[Steps] = field(default_factory=set)  # scalars that hold text from outside the file: never shown
    mistakes: list[Mistake] = field(default_factory=list)

    def mark(self, steps: Steps, *, key: bool = False) -> Mark:
        """Where *steps* is in the file; the nearest place around it where it is not there."""
        for end in range(len(steps), -1, -1):
            here = steps[:end]
            if found := (self.keys.get(here) if key or end < len(steps) else None) or self.values.get(here):
                return found
        return Mark(1, 1)


def dotted(steps: Steps) -> str:
    """`destinations.attio.events[0]`."""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps).removeprefix(".")


def read_yaml(path: Path, environ: Mapping[str, str] = os.environ) -> Document:
    """The document in *path*; raises UserError where it cannot be read or is not YAML.

    Mistakes that leave the rest readable (a missing variable, a key given twice) are collected in it.
    """
    text = _text(path)
    document = Document(str(path))
    try:
        root = yaml.compose(text, Loader=yaml.BaseLoader)
    except yaml.YAMLError as error:
        raise _broken(str(path), text, error) from None
    except RecursionError:
        raise UserError(f"{path}: blocks within blocks without end", exit_code=Exit.BAD_FILE) from None
    except (ValueError, OverflowError):  # PyYAML's own, of `"\UFFFFFFFF"` or a `%YAML` with a version without end
        much = f"{path}: a `\\U…` that is no character, or a `%YAML` that is no version"
        raise UserError(much, "leave it out", Exit.BAD_FILE) from None
    if root is None:
        raise UserError(f"{path}: the file is empty", "`crmstream init` writes one to start from", Exit.BAD_FILE)
    _Reading(document, path.parent, environ).root(root)
    return document


def _text(path: Path) -> str:
    try:
        content = _read(path)
        if len(content) > MOST_BYTES:
            raise UserError(f"{path}: larger than 1 MiB: this is no configuration", exit_code=Exit.BAD_FILE)
        return content.decode("utf-8-sig")
    except FileNotFoundError:
        raise UserError(f"{path}: no such file", "`crmstream init` writes one to start from", Exit.BAD_FILE) from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}", exit_code=Exit.BAD_FILE) from None
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise UserError(f"{path}:{line}: the file is not UTF-8", "save it as UTF-8", Exit.BAD_FILE) from None


def _read(path: Path) -> bytes:
    """At most a byte more than is allowed: a device or a pipe may never end."""
    with path.open("rb") as file:
        return file.read(MOST_BYTES + 1)


class _Reading:
    """One walk over the nodes of one file."""

    def __init__(self, document: Document, folder: Path, environ: Mapping[str, str]) -> None:
        self.document = document
        self.folder = folder
        self.environ = environ
        self.open: set[int] = set()  # ids of the nodes around this one: an alias to one of them never ends

    def root(self, node: yaml.Node) -> None:
        if not isinstance(node, yaml.MappingNode):
            self._mistake(node, "the file must be a block of keys, like `kafka:`")
            self.document.tree = {}
        else:
            self.document.tree = self._value(node, ())

    def _value(self, node: yaml.Node, steps: Steps) -> Any:
        self.document.values[steps] = _mark(node)
        if len(self.document.values) > MOST_VALUES:
            much = f"{self.document.name}: its aliases (`*…`) stand for more than {MOST_VALUES:,} values"
            raise UserError(much, "write out what is meant", Exit.BAD_FILE)
        if len(steps) > MOST_STEPS:
            self._mistake(node, f"{dotted(steps[:2])}… has blocks within blocks, more than {MOST_STEPS} deep")
            return None
        if not node.tag.startswith("tag:yaml.org,2002:") or node.tag.rpartition(":")[2] not in ("str", "seq", "map"):
            self._mistake(node, f"{dotted(steps)} has a YAML tag (`!…`), which means nothing here: quote text with `!`")
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, steps)
        if id(node) in self.open:
            self._mistake(node, f"{dotted(steps)} is an alias (`*…`) of something around it")
            return None
        self.open.add(id(node))
        try:
            if isinstance(node, yaml.MappingNode):
                return dict(self._pairs(node, steps))
            return self._items(node, steps)
        finally:
            self.open.discard(id(node))

    def _pairs(self, node: yaml.MappingNode, steps: Steps) -> Iterator[tuple[str, Any]]:
        seen: dict[str, int] = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode) or not _is_text(key.value):
                self._mistake(key, f"{dotted(steps)}: a key must be plain text")
                continue
            here = (*steps, key.value)
            if key.value in seen:
                self._mistake(key, f"{dotted(here)} is given twice, first on line {seen[key.value]}")
                continue
            seen[key.value] = _mark(key).line
            self.document.keys[here] = _mark(key)
            if node.flow_style and _is_blank(value):
                self._mistake(key, f"{dotted(here)} has no value (text with a comma needs quotes)")
                self.document.unset[here] = "has no value"
                continue
            read = self._value(value, here)
            if here not in self.document.unset:
                yield key.value, read

    def _items(self, node: yaml.Node, steps: Steps) -> list[Any]:
        """The list without its empty items; the places are those of what is left."""
        items: list[Any] = []
        for item in node.value:
            here = (*steps, len(items))
            read = self._value(item, here)
            if self.document.unset.pop(here, None) is None:
                items.append(read)
        return items

    def _scalar(self, node: yaml.ScalarNode, steps: Steps) -> Any:
        plain = node.style is None
        if plain and node.value in SPECIAL:
            if SPECIAL[node.value] is None:
                self.document.nulls.add(steps)
            return SPECIAL[node.value]
        if plain and not node.value:
            self.document.unset[steps] = "is empty"
            return None
        if not _is_text(node.value):
            self._mistake(node, f"{dotted(steps)} holds half of a character (`\\ud800` to `\\udfff`): write it whole")
            return None
        if "${" not in node.value:
            return node.value
        self.document.filled.add(steps)
        mistakes = len(self.document.mistakes)
        text = REFERENCE.sub(lambda match: self._filled(match, node, steps), node.value)
        if not _is_text(text):
            self._mistake(node, f"{dotted(steps)}: what the environment has for it is not UTF-8")
        if mistakes != len(self.document.mistakes):
            self.document.unset[steps] = ""
        elif not text:
            self.document.unset[steps] = f"is empty: nothing is in {node.value}"
        return text

    def _filled(self, match: re.Match[str], node: yaml.ScalarNode, steps: Steps) -> str:
        """What stands for one `${…}`; a mistake is noted where nothing does."""
        if match[0] == "$${":
            return "${"
        found = None
        if name := match["name"]:
            found = self.environ.get(name)
            complaint = f"the environment variable {name} is not set (a default is written ${{{name}:-default}})"
        elif file := match["file"]:
            found, complaint = self._contents(file)
        else:
            complaint = "a `${` that is not ${NAME}, ${NAME:-default} or ${file:PATH}: write `$${` for the text itself"
        if match["default"] is not None:
            return found or match["default"]
        if found is None:
            self._mistake(node, f"{dotted(steps)}: {complaint}")
        return found or ""

    def _contents(self, file: str) -> tuple[str | None, str]:
        try:
            content = _read(self.folder / file)
            if len(content) > MOST_BYTES:
                return None, f"the file {file} is larger than 1 MiB"
            return content.decode("utf-8").rstrip("\r\n"), ""
        except OSError as error:
            return None, f"the file {file} cannot be read: {error.strerror}"
        except ValueError:
            return None, f"the file {file} is not UTF-8"

    def _mistake(self, node: yaml.Node, text: str) -> None:
        self.document.mistakes.append(Mistake(_mark(node), text))


def _mark(node: yaml.Node) -> Mark:
    return Mark(node.start_mark.line + 1, node.start_mark.column + 1)


def _is_text(text: str) -> bool:
    """Whether it can be written: half of a pair that stands for one character (a lone surrogate) cannot."""
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _is_blank(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and node.style is None and not node.value


PLAINER = {  # how PyYAML's words start, and ours
    "found character '\\t'": ("a tab where YAML wants spaces", "indent with spaces, never with tabs"),
    "mapping values are not allowed": ("a `:` that YAML does not expect here", ""),
    "expected <block end>": ("this line does not line up with the block above it, or follows a value in quotes", ""),
    "could not find expected ':'": ("a key without its `:`", ""),
    "expected a comment or a line break": ("text after `|` or `>`, which start a block of lines", ""),
    "found unexpected end of stream": ("a quote or bracket that is never closed", ""),
    "but found another document": ("a second document (`---`): one file holds one", "remove everything from `---` on"),
    "found undefined alias": ("an alias (`*…`) of nothing", ""),
    "unacceptable character": ("a control character, which YAML does not allow", "remove it"),
}
QUOTE = (
    "put quotes around text that holds `??`, a comma, `#`, `: ` or `{` (inside [ ] and { } also around ${…}), "
    "or starts with one of @ ` % * & ! |"
)


def _broken(name: str, text: str, error: yaml.YAMLError) -> UserError:
    """What PyYAML found, in plainer words where we have them."""
    if isinstance(error, yaml.reader.ReaderError):
        before = text[: error.position]
        line, column = before.count("\n") + 1, error.position - (before.rfind("\n") + 1) + 1
        problem = "unacceptable character"
    else:
        mark = getattr(error, "problem_mark", None)
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        problem = getattr(error, "problem", None) or "not YAML"
    for start, (plainer, hint) in PLAINER.items():
        if problem.startswith(start):
            return UserError(f"{name}:{line}:{column}: {plainer}", hint or QUOTE, Exit.BAD_FILE)
    return UserError(f"{name}:{line}:{column}: {problem}", QUOTE, Exit.BAD_FILE)
