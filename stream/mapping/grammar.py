"""The grammar of mapping expressions: text to parts, or an error with a caret. What parts mean is `expressions`.

    expr  = first { "|" name [ "(" arg { "," arg } ")" ] } ;   first = term { "??" term }
    term  = path | string | number | true | false ;            path = word { "." ( word | index | string ) }

An argument is a term.
"""

import re
from dataclasses import dataclass
from typing import TypeAlias

from stream.errors import Exit, UserError

_SPACE = re.compile(r"\s*")
_WORD = re.compile(r"[^\W\d][\w$-]*")
_INDEX = re.compile(r"\d{1,9}(?![\w$-])")
_KEY = re.compile(r"[\w$-]+")
_NUMBER = re.compile(r"-?\d{1,18}(?:\.\d{1,18})?(?![\w.])", re.ASCII)
_TEXT = re.compile(r"'((?:[^']|'')*)'")

MOST_CALLS = 100  # more is a mistake, such as a file that was made by a program


@dataclass(frozen=True, slots=True)
class Path:
    """Where a value is found: the root, then names of objects and indexes of lists."""

    root: str
    keys: tuple[str | int, ...]
    column: int


@dataclass(frozen=True, slots=True)
class Literal:
    """A value written out."""

    value: str | int | float | bool
    column: int


Term: TypeAlias = Path | Literal


@dataclass(frozen=True, slots=True)
class Call:
    """A transform's name and what it is given."""

    name: str
    arguments: tuple[Term, ...]
    column: int


@dataclass(frozen=True, slots=True)
class Parsed:
    """An expression: the first of the terms that has a value, then the calls in order."""

    terms: tuple[Term, ...]
    calls: tuple[Call, ...]


@dataclass(frozen=True, slots=True)
class Source:
    """An expression's text and where it stands in the configuration."""

    text: str
    place: str

    def error(self, column: int, message: str, hint: str = "") -> UserError:
        """What is wrong at a column of the text, shown with a caret under it."""
        shown = "".join(character if character.isprintable() else " " for character in self.text)
        return UserError(f"{self.place}: {message}\n  {shown}\n  {' ' * column}^", hint, Exit.BAD_FILE)


def parse(source: Source) -> Parsed:
    """The parts of an expression. Raises UserError."""
    return _Reader(source).expression()


class _Reader:
    """Reads an expression from left to right; `column` is always behind what was read, and behind white space."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.column = 0
        self._match(_SPACE)

    def expression(self) -> Parsed:
        terms = [self._term()]
        while self._sign("??"):
            terms.append(self._term())
        calls = []
        while self._sign("|"):
            calls.append(self._call())
            if len(calls) > MOST_CALLS:
                raise self.source.error(calls[-1].column, f"more than {MOST_CALLS} transforms one after the other")
        if self.column < len(self.source.text):
            raise self._error("expected ??, | or the end")
        return Parsed(tuple(terms), tuple(calls))

    def _call(self) -> Call:
        column = self.column
        name = self._match(_WORD)
        if name is None:
            raise self._error("expected the name of a transform")
        self._match(_SPACE)
        arguments: list[Term] = []
        if self._sign("("):
            arguments.append(self._term())
            while self._sign(","):
                arguments.append(self._term())
            if not self._sign(")"):
                raise self._error("expected a comma or a closing parenthesis")
        return Call(name[0], tuple(arguments), column)

    def _term(self) -> Term:
        column = self.column
        term: Term
        if text := self._match(_TEXT):
            term = Literal(text[1].replace("''", "'"), column)
        elif number := self._match(_NUMBER):
            term = Literal(float(number[0]) if "." in number[0] else int(number[0]), column)
        elif word := self._match(_WORD):
            if word[0] in ("true", "false"):
                term = Literal(word[0] == "true", column)
            else:
                term = Path(word[0], tuple(self._keys()), column)
        else:
            raise self._no_term()
        self._match(_SPACE)
        return term

    def _keys(self) -> list[str | int]:
        keys: list[str | int] = []
        while self.source.text.startswith(".", self.column):
            self.column += 1
            if index := self._match(_INDEX):
                keys.append(int(index[0]))
            elif text := self._match(_TEXT):
                keys.append(text[1].replace("''", "'"))
            elif word := self._match(_KEY):
                keys.append(word[0])
            else:
                raise self._error("expected a name, an index or a text in quotes after the dot")
        return keys

    def _no_term(self) -> UserError:
        match self.source.text[self.column : self.column + 1]:
            case "'":
                return self._error("this text has no closing quote")
            case '"':
                return self._error("text is written in single quotes")
            case "":
                return self._error("the expression ends too early: expected a path or a value")
            case character if character.isdigit() or character == "-":
                return self._error("this is not a number; a name that looks so is quoted, 'like this'")
        return self._error("expected a path, such as traits.email, or a value")

    def _sign(self, sign: str) -> bool:
        found = self.source.text.startswith(sign, self.column)
        if found:
            self.column += len(sign)
            self._match(_SPACE)
        return found

    def _match(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        match = pattern.match(self.source.text, self.column)
        if match:
            self.column = match.end()
        return match

    def _error(self, message: str) -> UserError:
        return self.source.error(self.column, message)
