"""`crmstream privacy`: submits a request for access or deletion, and shows what became of it.

Who answers is `crmstream run`; how requests and answers cross their topics is `stream.topics.privacy`.
"""

import sys
from contextlib import aclosing
from typing import TYPE_CHECKING, Annotated

import typer

from stream.commands import CONFIG, ConfigFile, warn
from stream.errors import Exit, UserError

if TYPE_CHECKING:
    from schemas.privacy import Kind, PrivacyRequest, PrivacyResult
    from stream.settings import Settings
    from stream.settings.model import PrivacySettings

privacy = typer.Typer(help="Ask what the vendors hold of a person, or have it removed.")

Email = Annotated[str, typer.Argument(metavar="EMAIL", help="Whom it is about.")]
Wait = Annotated[bool, typer.Option("--wait", help="Show the result, once `crmstream run` has answered.")]

FINE = {"completed", "no_records"}


@privacy.command()
def access(email: Email, config: ConfigFile = CONFIG, wait: Wait = False) -> int:
    """Collect all that is held of a person."""
    return _submit("access", email, config, wait=wait)


@privacy.command()
def delete(email: Email, config: ConfigFile = CONFIG, wait: Wait = False) -> int:
    """Remove a person from the vendors, and deliver nothing of theirs from now on."""
    return _submit("deletion", email, config, wait=wait)


def _submit(kind: "Kind", email: str, config: ConfigFile, *, wait: bool) -> int:
    import asyncio

    from stream.settings import load
    from stream.telemetry import logs

    settings = load(config)
    if settings.privacy is None:
        raise UserError(f"{config} has no `privacy` block", "it says where requests go", Exit.BAD_FILE)
    request = _request(kind, email)
    answering = _answering(settings)
    logs.configure(quiet=True)
    return asyncio.run(_ask(settings, settings.privacy, request, answering if wait else set()))


def _request(kind: "Kind", email: str) -> "PrivacyRequest":
    from datetime import UTC, datetime
    from uuid import uuid4

    from pydantic import ValidationError

    from schemas.privacy import Identity, PrivacyRequest

    try:
        identity = Identity(email=email)
    except ValidationError:
        raise UserError("that is no email address", "it looks like jane@example.com", Exit.BAD_FILE) from None
    now = datetime.now(UTC).replace(microsecond=0)
    return PrivacyRequest(request_id=str(uuid4()), kind=kind, identity=identity, requested_at=now)


def _answering(settings: "Settings") -> set[str]:
    """The destinations that will answer. Raises UserError where none is enabled."""
    from stream.destinations import REGISTRY

    names = {
        name
        for name, destination in settings.destinations.items()
        if destination.enabled and REGISTRY[destination.type].calls.reads == "privacy_requests"
    }
    if not names:
        raise UserError("no destination of the file answers privacy requests", "add one of type customerio")
    return names


async def _ask(settings: "Settings", topics: "PrivacySettings", request: "PrivacyRequest", answering: set[str]) -> Exit:
    """Submit the request; with *answering*, show what each of these destinations says."""
    from stream.kafka.admin import Admin
    from stream.kafka.producer import Producer
    from stream.topics.privacy import results, submit

    async with Admin(settings.kafka) as admin:
        partitions = (await admin.partitions([topics.requests]))[topics.requests]
        create = settings.kafka.create_topics
        await admin.ensure(topics.results, partitions=partitions, compacted=False, create=create)
    async with Producer(settings.kafka) as producer:
        if not answering:
            await submit(producer, topics.requests, request)
            typer.echo(request.model_dump_json(exclude={"identity"}))
            return Exit.OK
        answers = results(settings.kafka, topics.results, request.request_id)
        async with aclosing(answers):
            await anext(answers)  # from here on none can be missed
            await submit(producer, topics.requests, request)
            warn(
                f"request {request.request_id} is written; waiting for `crmstream run` to answer (Ctrl-C ends the wait)"
            )
            exit_code = Exit.OK
            while answering:
                result = await anext(answers)
                if result is not None and result.destination in answering:
                    answering.remove(result.destination)
                    _show(result)
                    exit_code = max(exit_code, Exit.OK if result.status in FINE else Exit.FAILURE)
            return exit_code


def _show(result: "PrivacyResult") -> None:
    from stream.topics.parts import encoded

    sys.stdout.write(encoded(result).decode() + "\n")
    sys.stdout.flush()
