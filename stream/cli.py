"""The command line: which commands there are, and how an error is told. What a command does is in `stream.commands`."""

import os
import sys
import traceback
from collections.abc import Sequence
from typing import Annotated

import typer

from stream.commands.check import check
from stream.commands.demo import demo
from stream.commands.dlq import dlq
from stream.commands.init import init
from stream.commands.pause import pause, resume
from stream.commands.preview import preview
from stream.commands.privacy import privacy
from stream.commands.produce import produce
from stream.commands.run import run as run_command
from stream.commands.sandbox import sandbox
from stream.commands.schema import schema
from stream.commands.status import status
from stream.commands.transforms import transforms
from stream.commands.verify import verify
from stream.commands.version import version
from stream.errors import Exit, UserError, causes

app = typer.Typer(
    name="crmstream",
    help="Delivers customer events from Kafka to CRM and messaging vendors.",
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

delivering = (demo, init, check, preview, run_command, produce, status, verify, pause, resume)
for command in (*delivering, sandbox, schema, transforms, version):
    app.command()(command)
app.add_typer(dlq, name="dlq")
app.add_typer(privacy, name="privacy")


@app.callback()
def options(
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks. Anywhere in the line.")] = False,
) -> None:
    """Delivers customer events from Kafka to CRM and messaging vendors, and can prove that it lost nothing."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command and leave with its exit code."""
    given = sys.argv[1:] if arguments is None else arguments
    command = [each for each in given if each != "--debug"]
    sys.exit(run(command or ["--help"], debug="--debug" in given))


def run(arguments: Sequence[str], *, debug: bool = False, program: typer.Typer = app) -> int:
    """The exit code of one command. Errors are told on stderr: a line, then what to do."""
    try:
        code = program(arguments, prog_name="crmstream", standalone_mode=False)
        sys.stdout.flush()
    except BrokenPipeError:  # whoever read our output has enough, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.FAILURE
    except typer.Abort:
        return Exit.FAILURE
    except typer.TyperException as error:
        return _tell(UserError(error.format_message(), _usage(error), Exit.BAD_FILE))
    except Exception as error:
        if debug:
            traceback.print_exception(error)
        return max(_tell(each) for each in causes(error))
    return code if isinstance(code, int) else Exit.OK


def _usage(error: typer.TyperException) -> str:
    context = getattr(error, "ctx", None)
    return f"`{context.command_path if context else 'crmstream'} --help` shows what there is"


def _tell(error: UserError) -> int:
    """Say what is wrong and what to do; the exit code it asks for."""
    print(f"crmstream: {error.text}", file=sys.stderr)  # noqa: T201
    if error.hint:
        print(f"  {error.hint}", file=sys.stderr)  # noqa: T201
    return error.exit_code
