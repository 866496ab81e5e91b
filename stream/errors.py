"""Errors that a user can act on. Anything else that escapes is a bug and keeps its traceback."""

from enum import IntEnum


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
