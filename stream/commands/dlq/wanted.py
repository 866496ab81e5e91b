"""Which letters a command is about: the options that all commands on dead letters share."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from schemas.reasons import REASONS
from schemas.times import moment
from stream.commands import known
from stream.errors import Exit, UserError

if TYPE_CHECKING:
    from stream.topics.dead_letters import Letter

Destination = Annotated[str | None, typer.Option(metavar="NAME", help="Only of this destination.")]
Reason = Annotated[str | None, typer.Option(metavar="WORD", help="Only with this reason.")]
Fingerprint = Annotated[str | None, typer.Option(metavar="HEX", help="Only failures of this kind; `ls` shows it.")]
From = Annotated[str | None, typer.Option("--from", metavar="TIME", help="Only those buried at this time or later.")]
To = Annotated[str | None, typer.Option("--to", metavar="TIME", help="Only those buried before this time.")]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What was asked for. Times of burial are in seconds since the epoch; *before* is not included."""

    destination: str | None = None
    reason: str | None = None
    fingerprint: str | None = None
    since: float = float("-inf")
    before: float = float("inf")

    @classmethod
    def of(
        cls, destination: str | None, reason: str | None, fingerprint: str | None, since: str | None, before: str | None
    ) -> "Wanted":
        """What these options ask for. Raises UserError for a reason or a time that there is not."""
        if reason is not None:
            known(reason, REASONS, "reason")
        chosen = cls(destination, reason, fingerprint)
        return cls(
            destination,
            reason,
            fingerprint,
            chosen.since if since is None else _time(since),
            chosen.before if before is None else _time(before),
        )

    @property
    def is_everything(self) -> bool:
        """Whether no option narrows it."""
        return self == Wanted()

    def fits(self, letter: "Letter") -> bool:
        """Whether the letter is meant."""
        asked = (self.destination, self.reason, self.fingerprint)
        said = (letter.about.destination, letter.about.reason, letter.about.fingerprint)
        return self.since <= letter.buried_at < self.before and all(
            want in (None, have) for want, have in zip(asked, said, strict=True)
        )


def _time(text: str) -> float:
    """Seconds since the epoch. Raises UserError that shows the form."""
    try:
        return moment(text)
    except ValueError:
        raise UserError(
            f"{text!r} is no time", "it looks like 2026-06-06 or 2026-06-06T10:30:00Z", Exit.BAD_FILE
        ) from None
