"""Errors that a user can act on. Anything else that escapes is a bug and keeps its traceback."""

import traceback
from collections.abc import Iterator
from enum import IntEnum
from pathlib import Path


class Exit(IntEnum):
    """Exit codes of the command line."""

    OK = 0
    FAILURE = 1
    BAD_FILE = 2
    REFUSED = 3
    UNEVEN = 4


class UserError(Exception):
    """One plain line that says what is wrong and where, and a hint that says what to do.

    The text must hold no secret and no personal data: it is printed and logged as it stands.
    """

    def __init__(self, text: str, hint: str = "", exit_code: Exit = Exit.FAILURE) -> None:
        super().__init__(text)
        self.text = text
        self.hint = hint
        self.exit_code = exit_code

    def __str__(self) -> str:
        return f"{self.text} ({self.hint})" if self.hint else self.text


class Bug(UserError):
    """An error that no user can act on, told like one: what it was and where, without its text."""


def causes(error: BaseException) -> Iterator[UserError]:
    """What went wrong: a task group may have several errors, and one that no user can act on is a bug of ours."""
    if isinstance(error, BaseExceptionGroup):
        for each in error.exceptions:
            yield from causes(each)
    elif isinstance(error, UserError):
        yield error
    else:
        yield Bug(f"unexpected {kind_and_place(error)}", "a bug: `--debug` shows where it comes from")


def kind_and_place(error: BaseException) -> str:
    """What was raised and where, without its text, which may hold anything."""
    frames = traceback.extract_tb(error.__traceback__)
    return type(error).__name__ + (f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "")
