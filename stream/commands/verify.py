"""`crmstream verify`: whether each offset ended in one counted outcome, and where not.

Where the evidence comes from is in `evidence.py`, what follows from it in `stream.core.balance`.
"""

import json
from collections.abc import Iterator, Sequence
from math import inf
from typing import TYPE_CHECKING, Annotated, Any

import typer

from schemas.times import moment, rfc3339
from stream.commands import CONFIG, ConfigFile, warn
from stream.errors import Exit, UserError

if TYPE_CHECKING:
    from stream.commands.evidence import Gathered, Place
    from stream.core.balance import Balance, Uneven
    from stream.settings import Settings

HINTS = {
    "moved": "another tool or consumer committed for group {group}, which only crmstream may; to deliver what was "
    "passed over, stop its members and set the position back to the first of these offsets",
    "gone": "Kafka drops a group's positions when the topic or the group is deleted, and when the group was away for "
    "longer than the broker's offsets.retention.minutes",
    "lost": "the topic's retention is shorter than a delivery may take: make it longer; `run --accept-loss` goes on "
    "without what is gone",
    "letters": "{dead} must keep what it has (cleanup.policy=delete, retention.ms=-1): {gone:,} records are gone from "
    "its beginning",
    "counters": "another tool committed for group {group}, with the metadata of another commit",
    "anew": "the topic was made anew, or the broker lost the end of its log",
}
"""What to do, by the cause of an unevenness."""

FORM = "such as 2026-06-06T10:30Z; UTC without a zone"


def verify(
    config: ConfigFile = CONFIG,
    since: Annotated[
        str | None, typer.Option("--from", metavar="T", help=f"From the last receipt before a time {FORM}.")
    ] = None,
    until: Annotated[
        str | None, typer.Option("--to", metavar="T", help="To the first receipt after such a time; else to now.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="A JSON object a line, one for each partition.")] = False,
) -> int:
    """Show that each offset ended in one counted outcome or is pending; exit code 4 where it did not."""
    import asyncio

    from stream.commands.evidence import gather
    from stream.core.balance import balance
    from stream.settings import load
    from stream.telemetry import logs

    settings = load(config)
    first, last = _moment(since, "--from"), _moment(until, "--to")
    if first is not None and last is not None and first > last:
        raise UserError("--from is after --to", exit_code=Exit.BAD_FILE)
    if settings.receipts is None and (since or until):
        raise UserError(
            "only receipts tell of a part of the past, and the file has no `receipts` block",
            "leave out --from and --to, or add `receipts: {topic: crm.receipts}`: `run` writes them from then on",
            Exit.BAD_FILE,
        )
    logs.configure(quiet=True)
    gathered = asyncio.run(gather(settings))
    for line in gathered.unseen:
        warn(line)
    balances = {place: balance(each, since=first, until=last) for place, each in gathered.evidence.items()}
    if as_json:
        for place, each in balances.items():
            typer.echo(json.dumps(_described(place, each, settings, gathered), ensure_ascii=False))
    else:
        for text in _table(balances):
            typer.echo(text)
    return _told(balances, settings, gathered, as_json=as_json)


def _told(balances: dict["Place", "Balance"], settings: "Settings", gathered: "Gathered", *, as_json: bool) -> Exit:
    """The exit code; the first uneven range is an error with what to do about it."""
    for place, each in balances.items():
        for uneven in each.uneven:
            text = f"not even: {place.destination}, {place.topic}/{place.partition}, {_range(uneven)}: {uneven.text}"
            raise UserError(text, _hint(uneven, place, settings, gathered), Exit.UNEVEN)
    if not as_json:
        pending = sum(each.pending or 0 for each in balances.values())
        typer.echo(
            f"The balance is even: {sum(each.offsets for each in balances.values()):,} offsets, {pending:,} pending."
        )
    return Exit.OK


def _range(uneven: "Uneven") -> str:
    if uneven.end > uneven.first:
        return f"offsets {uneven.first} to {uneven.end - 1}"
    return f"at offset {uneven.first}"


def _hint(uneven: "Uneven", place: "Place", settings: "Settings", gathered: "Gathered") -> str:
    return HINTS[uneven.cause].format(
        group=settings.source.group_of(place.destination),
        dead=settings.dead_letters.topic,
        gone=gathered.letters_gone,
    )


def _described(place: "Place", found: "Balance", settings: "Settings", gathered: "Gathered") -> dict[str, Any]:
    """A balance for tools. Ranges end before their `end`."""
    return {
        **place._asdict(),
        "first": found.first.position,
        "end": found.end,
        "from": _time(found.first.at),
        "to": _time(found.until),
        **_numbers(found),
        "even": found.even,
        "uneven": [
            {
                "cause": each.cause,
                "first": each.first,
                "end": each.end,
                "text": each.text,
                "hint": _hint(each, place, settings, gathered),
            }
            for each in found.uneven
        ],
    }


def _numbers(found: "Balance") -> dict[str, int | None]:
    from stream.core.offsets import OUTCOMES

    return {
        "offsets": found.offsets,
        **{word: found.totals.get(word, 0) for word in OUTCOMES},
        "pending": found.pending,
    }


def _table(balances: dict["Place", "Balance"]) -> Iterator[str]:
    """The same for people: a line for each partition."""
    rows = []
    for place, found in balances.items():
        numbers = ["" if number is None else f"{number:,}" for number in _numbers(found).values()]
        times = [text or "" for text in (_time(found.first.at), _time(found.until))]
        verdict = "even" if found.even else f"not even: {found.uneven[0].cause}"
        where = [place.destination, f"{place.topic}/{place.partition}", f"{found.first.position}-{found.end}"]
        rows.append([*where, *times, *numbers, verdict])
    numbered = list(_numbers(next(iter(balances.values()))))
    heads = ["destination", "partition", "range", "from", "to", *numbered, ""]
    shown = [n for n, head in enumerate(heads) if head not in ("from", "to") or any(row[n] for row in rows)]
    yield from _aligned([[row[n] for n in shown] for row in (heads, *rows)], right=set(numbered))


def _aligned(rows: Sequence[Sequence[str]], *, right: set[str]) -> Iterator[str]:
    """The rows with their columns below each other; those headed by a word of *right* are numbers."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [
            cell.rjust(width) if head in right else cell.ljust(width)
            for cell, width, head in zip(row, widths, rows[0], strict=True)
        ]
        yield "  ".join(cells).rstrip()


def _moment(text: str | None, option: str) -> float | None:
    """Seconds since the epoch. Raises UserError that shows the form."""
    if text is None:
        return None
    try:
        return moment(text)
    except ValueError:
        raise UserError(f"{option}: {text!r} is not a time {FORM}", exit_code=Exit.BAD_FILE) from None


def _time(seconds: float | None) -> str | None:
    return None if seconds is None or seconds == inf else rfc3339(seconds)
