"""`crmstream dlq`: dead letters, counted or shown, and what an operator can do with them: replay or discard."""

import sys
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TYPE_CHECKING, Annotated

import typer

from stream.commands import CONFIG, ConfigFile, known, warn
from stream.commands.dlq.shown import Group, counted, described, line, page, summary
from stream.commands.dlq.wanted import Destination, Fingerprint, From, Reason, To, Wanted
from stream.errors import Exit, UserError

if TYPE_CHECKING:
    from pathlib import Path

    from schemas.replays import Fate
    from stream.commands.dlq.plan import Result
    from stream.settings import Settings
    from stream.topics.dead_letters import Letter

dlq = typer.Typer(help="Show dead letters, which will not be delivered, and why; replay or discard them.")

Json = Annotated[bool, typer.Option("--json", help="A JSON object a line.")]
Discarded = Annotated[bool, typer.Option("--all", help="Also those that were discarded.")]
All = Annotated[bool, typer.Option("--all", help="All of them; needed where no other option says which.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")]
Force = Annotated[bool, typer.Option("--force", help="Also those that a later event supersedes.")]
Again = Annotated[bool, typer.Option("--again", help="Also those that were replayed or discarded before.")]
Unmask = Annotated[bool, typer.Option("--unmask", help="With all that the letters say of people; asks first.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]
Because = Annotated[str, typer.Option(metavar="TEXT", help="Why; remembered, and shown by `show --all`.")]


@dlq.command()
def ls(
    config: ConfigFile = CONFIG,
    destination: Destination = None,
    reason: Reason = None,
    fingerprint: Fingerprint = None,
    since: From = None,
    before: To = None,
    everything: Discarded = False,
    as_json: Json = False,
) -> None:
    """Count the letters by destination, reason and kind of failure."""
    import asyncio

    wanted = Wanted.of(destination, reason, fingerprint, since, before)

    async def count() -> None:
        groups: dict[tuple[str, str, str], Group] = {}
        async with aclosing(_letters(config, wanted, discarded=everything)) as letters:
            async for letter, fate in letters:
                about = letter.about
                place = (about.destination, about.reason, about.fingerprint)
                groups.setdefault(place, Group(letter, letter.buried_at)).add(letter, fate)
        for _, group in sorted(groups.items(), key=lambda item: (item[0][0], -item[1].count, item[0])):
            typer.echo(line(counted(group)) if as_json else summary(group))

    asyncio.run(count())


@dlq.command()
def show(
    config: ConfigFile = CONFIG,
    destination: Destination = None,
    reason: Reason = None,
    fingerprint: Fingerprint = None,
    since: From = None,
    before: To = None,
    everything: Discarded = False,
    unmask: Unmask = False,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Show the letters one by one. Their bodies keep their shape; what they say of people is masked."""
    import asyncio

    wanted = Wanted.of(destination, reason, fingerprint, since, before)
    if unmask and not yes:
        _confirm("Show what the letters say of people?")

    async def print_each() -> None:
        async with aclosing(_letters(config, wanted, discarded=everything)) as letters:
            async for letter, fate in letters:
                found = described(letter, fate, unmasked=unmask)
                typer.echo(line(found) if as_json else page(found))

    asyncio.run(print_each())


@dlq.command()
def replay(
    config: ConfigFile = CONFIG,
    everything: All = False,
    destination: Destination = None,
    reason: Reason = None,
    fingerprint: Fingerprint = None,
    since: From = None,
    before: To = None,
    force: Force = False,
    again: Again = False,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> int:
    """Write letters back to the source topic, for their destination alone; `crmstream run` delivers them."""
    wanted = _chosen(everything, Wanted.of(destination, reason, fingerprint, since, before))
    settings = _settings(config, destination)
    import asyncio

    from stream.commands.dlq.plan import IMPOSSIBLE, Consent
    from stream.commands.dlq.replaying import replay as write

    result = asyncio.run(write(settings, wanted, Consent(force=force, again=again), dry_run=dry_run))
    for text in _told(result, dry_run=dry_run, as_json=as_json):
        typer.echo(text)
    for identity in result.gone:
        warn(f"{identity}: its value is no more in the source topic, retention has removed it; discard the letter")
    if result.unseen:
        warn(
            f"of {result.unseen:,} letters the source no longer holds what came next:"
            " nobody can tell whether a later event superseded them"
        )
    return Exit.FAILURE if IMPOSSIBLE & result.skipped.keys() else Exit.OK


@dlq.command()
def discard(
    config: ConfigFile = CONFIG,
    everything: All = False,
    destination: Destination = None,
    reason: Reason = None,
    fingerprint: Fingerprint = None,
    since: From = None,
    before: To = None,
    because: Because = "",
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Give letters up: `ls` and `show` leave them out, and `replay` does."""
    import asyncio

    from schemas.masking import mask

    wanted = _chosen(everything, Wanted.of(destination, reason, fingerprint, since, before))
    settings = _settings(config, None)
    from stream.commands.dlq.replaying import discard as give_up

    count = asyncio.run(give_up(settings, wanted, mask(because), dry_run=dry_run))
    if as_json:
        typer.echo(line({"discarded": count, "dry_run": dry_run}))
    else:
        typer.echo(f"{_letters_of(count)} {'would be ' * dry_run}discarded")


async def _letters(
    config: "Path", wanted: Wanted, *, discarded: bool
) -> AsyncGenerator[tuple["Letter", "Fate | None"], None]:
    from stream.topics import names
    from stream.topics.dead_letters import letters
    from stream.topics.replays import fates

    settings = _settings(config, None)
    topic = settings.dead_letters.topic
    known_fates = await fates(settings.kafka, names.replays(topic))
    async with aclosing(letters(settings.kafka, topic)) as found:
        async for letter in found:
            fate = known_fates.get(letter.about.identity)
            if wanted.fits(letter) and (discarded or fate is None or fate.word != "discarded"):
                yield letter, fate


def _settings(config: "Path", destination: str | None) -> "Settings":
    """The file's settings, with errors alone logged. Raises UserError where it has no such *destination*."""
    from stream.settings import load
    from stream.telemetry import logs

    settings = load(config)
    if destination is not None:
        known(destination, settings.destinations, "destination")
    logs.configure(quiet=True)
    return settings


def _chosen(everything: bool, wanted: Wanted) -> Wanted:
    """*wanted*, where somebody said what. Raises UserError where nobody did."""
    if wanted.is_everything and not everything:
        hint = "give --all, or --destination, --reason, --fingerprint, --from or --to; `--dry-run` shows what they mean"
        raise UserError("which letters?", hint, Exit.BAD_FILE)
    return wanted


def _confirm(question: str) -> None:
    """Return where a person at a terminal says yes."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise UserError("personal data is shown only to who confirms it", "give --yes as well", Exit.BAD_FILE)
    typer.confirm(question, abort=True, err=True)


def _told(result: "Result", *, dry_run: bool, as_json: bool) -> list[str]:
    """What became of the letters, for people or as JSON."""
    from stream.commands.dlq.plan import ADVICE

    count = result.replayed.total()
    if as_json:
        skipped = {word.value: number for word, number in sorted(result.skipped.items())}
        return [line({"replayed": count, "skipped": skipped, "dry_run": dry_run})]
    topics = ", ".join(sorted(result.replayed))
    what = "would be replayed" if dry_run else "replayed"
    return [
        f"{_letters_of(count)} {what}{f' to {topics}' if topics else ''}",
        *(f"{number:,} skipped: {ADVICE[word]}" for word, number in sorted(result.skipped.items())),
    ]


def _letters_of(count: int) -> str:
    return "1 letter" if count == 1 else f"{count:,} letters"
