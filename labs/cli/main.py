"""Entry point of `plateau`: the verbs, and errors as one line with the right exit code."""

from __future__ import annotations

import errno
import os
import signal
import sys
from types import FrameType

import typer

from labs import __version__
from labs.cli import (
    breaking,
    catalogue,
    cohort,
    contest,
    copies,
    dossier,
    environment,
    grading,
    proving,
    provisioning,
    referential,
    rubric,
    work,
)
from labs.errors import EnvironmentLackError, PlateauError

INTERRUPTED = 130
FULL = (errno.ENOSPC, errno.EDQUOT)
FREE = "; free some space: plateau image prune, or files of others (plateau down deletes the candidates' work)"

app = typer.Typer(
    name="plateau",
    rich_markup_mode=None,  # plain help needs no rich: it must appear at once
    help="Hands-on infrastructure labs on real virtual machines, graded from outside.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=True,
)
for module in (
    environment,
    catalogue,
    provisioning,
    cohort,
    work,
    breaking,
    grading,
    proving,
    referential,
    rubric,
    dossier,
    contest,
    copies,
):
    module.register(app)


@app.callback(invoke_without_command=True)
def _version(
    context: typer.Context, version: bool = typer.Option(False, "--version", help="Print the version.")
) -> None:
    if version:
        typer.echo(f"plateau {__version__}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
        raise typer.Exit(2)


# Typer carries its own copy of click and names only some of its exceptions: the common base is this one's parent.
UsageError: type[typer.BadParameter] = typer.BadParameter.__mro__[1]


def main() -> None:
    """Run the command line; every error a user can cause ends as one line on standard error."""
    for polite in (signal.SIGTERM, signal.SIGHUP):  # the second when its terminal is closed, unless under nohup(1)
        if signal.getsignal(polite) is not signal.SIG_IGN:
            signal.signal(polite, _interrupt)
    try:
        status = app(standalone_mode=False)
        if status == INTERRUPTED:
            sys.stderr.write("plateau: interrupted; run the same command again to go on\n")
        sys.exit(status)
    except UsageError as problem:
        message = problem.format_message()
        if "\n" in message:  # a group named without a verb: its help
            problem.show()
        else:
            sys.stderr.write(f"plateau: {message.rstrip('.')}; see {_path(problem)} --help\n")
        sys.exit(problem.exit_code)
    except PlateauError as problem:
        from labs.cli.output import err

        err.print(f"[red]plateau:[/] {_escaped(str(problem))}", soft_wrap=True)
        sys.exit(problem.exit_code)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except OSError as problem:
        if problem.filename is None and problem.errno not in FULL:
            raise
        place = f"{problem.filename}: " if problem.filename else ""
        way_out = FREE if problem.errno in FULL else ""
        sys.stderr.write(f"plateau: {place}{problem.strerror}{way_out}\n")
        sys.exit(EnvironmentLackError.exit_code)


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    """Whoever ends us politely gets what Ctrl-C gets: nothing half done, nothing left running."""
    raise KeyboardInterrupt


def _path(problem: typer.BadParameter) -> str:
    return problem.ctx.command_path if problem.ctx else "plateau"


def _escaped(text: str) -> str:
    from labs.cli.output import plain

    return plain(text)
