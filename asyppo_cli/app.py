"""The root of the command line: mounts the commands, and turns what goes wrong into one line and an exit code.

Commands are imported when they are called and not before, so that help and completion answer at once.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable
from typing import Annotated, Any

import typer
from typer.core import TyperGroup
from typer.exceptions import TyperException

from asyppo_cli.family import Family
from asyppo_cli.openmp import yield_cores

# Name, and what the root's help says of it; each lives in a module of its name in ``commands``.
COMMANDS = {
    "train": "Train a policy with its critics, and watch it learn.",
    "plan": "Say what memory and work a run needs, before it starts.",
    "doctor": "See what is installed and works here, and what to do where not.",
    "sweep": "Run grids, searches and the paper's studies, and compare.",
    "eval": "Score models on benchmarks, and see where they differ.",
    "runs": "List, show and compare runs.",
    "analyze": "See why a run learns, from a single token to a whole sweep.",
    "config": "Show and explain the configuration.",
    "warmstart": "Train a model on worked traces, a base to start from.",
}
EXAMPLES = {
    "asyppo train": "learn arithmetic, here and now",
    "asyppo train algorithm=grpo seed=2": "the same without critics",
    "asyppo train critic_count=4 mask_pct=0.15": "presets or numbers",
    "asyppo runs ls": "what has been trained",
    "asyppo config describe mask_pct": "what a setting means",
}
DEBUG = "ASYPPO_DEBUG"


class Stopped(TyperException):
    """Ctrl-C, with what to say about it."""

    exit_code = 130


class Commands(Family):
    """The root."""

    package = "asyppo_cli.commands"
    known = COMMANDS
    examples = EXAMPLES
    program = "asyppo"
    usage = ("COMMAND [ARGUMENTS]...",)

    def invoke(self, ctx: Any) -> Any:
        """As usual, but Ctrl-C says what it has done: Typer would leave without a word."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as error:
            raise Stopped(str(error) or "stopped") from error

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """As usual; a family of commands called without one shows its help."""
        name, command, rest = super().resolve_command(ctx, args)
        bare = isinstance(command, TyperGroup) and not rest and not ctx.resilient_parsing
        return name, command, ["--help"] if bare else rest

    def options(self, ctx: Any) -> list[tuple[str, str]]:
        """What can be asked of every command."""
        records = (parameter.get_help_record(ctx) for parameter in self.get_params(ctx))
        return [(names, " ".join(text.split())) for names, text in filter(None, records)]


root = typer.Typer(
    cls=Commands,
    # Typer's own panels would import every command.
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def show_version(wanted: bool) -> None:
    """Print the version and stop."""
    if wanted:
        from importlib.metadata import version

        print(f"asyppo {version('asyppo')}")
        raise typer.Exit


@root.callback(invoke_without_command=True)
def asyppo(
    ctx: typer.Context,
    _version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=show_version, is_eager=True)
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
) -> None:
    """Asymmetric PPO: a large policy, several small critics, and experiments with both."""
    if debug:
        os.environ[DEBUG] = "1"
    if ctx.invoked_subcommand is None:
        print(ctx.get_help())


def main() -> None:
    """Entry point of the console script. Exit codes: 0 done, 1 failed, 2 usage, 130 stopped at once."""
    open_missing_streams()
    # Before anything loads torch; what is started from here inherits it.
    yield_cores()
    # Wherever it stands, --debug is meant for the root.
    arguments = [argument for argument in sys.argv[1:] if argument != "--debug"]
    if len(arguments) < len(sys.argv) - 1:
        os.environ[DEBUG] = "1"
    sys.exit(guarded(lambda: run(arguments)))


def open_missing_streams() -> None:
    """Started without stdin, stdout or stderr, a program would take its own files for them."""
    for number, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        if getattr(sys, name) is None:
            descriptor = os.open(os.devnull, os.O_RDWR)
            if descriptor != number:
                os.dup2(descriptor, number)
                os.close(descriptor)
            setattr(sys, name, os.fdopen(number, mode, encoding="utf-8"))


def run(arguments: list[str]) -> int:
    """Run one command line; returns its exit code."""
    try:
        outcome = typer.main.get_command(root).main(arguments, prog_name="asyppo", standalone_mode=False)
    except TyperException as error:
        explain_setting(getattr(error, "option_name", None), arguments)
        raise
    return outcome if isinstance(outcome, int) else 0


def explain_setting(option: str | None, arguments: list[str]) -> None:
    """ValueError if an option that does not exist is a setting written with dashes."""
    from asyppo_cli.config.completion import complete_key

    name = (option or "").lstrip("-")
    if name and name in [key.rstrip("=") for key in complete_key(name)]:
        word = next((word for word in arguments if word.startswith(f"{option}=")), f"{option}=VALUE").lstrip("-")
        raise ValueError(f"{option}: a setting is written without dashes: {word}")


def guarded(work: Callable[[], int]) -> int:
    """Do the work; an error becomes one line and an exit code, or a traceback if asked for."""
    try:
        return work()
    except KeyboardInterrupt:
        return fail("stopped", 130)
    except Exception as error:
        if os.environ.get(DEBUG):
            raise
        code = exit_code(error)
        if code is None:
            raise
        return fail(one_line(error), code)


def exit_code(error: Exception) -> int | None:
    """2 for a mistake of the user, 1 for what went wrong on the way, None for a fault of ours: that shows itself."""
    if isinstance(error, TyperException):
        return error.exit_code
    if isinstance(error, ValueError):
        return 2
    return 1 if isinstance(error, OSError | RuntimeError) else None


def one_line(error: Exception) -> str:
    """The message without line breaks; of the operating system's, where and what instead of numbers."""
    text = error.format_message() if hasattr(error, "format_message") else str(error)
    if isinstance(error, OSError) and error.strerror:
        remedy = ": make room on the disk" if error.errno in (errno.ENOSPC, errno.EDQUOT) else ""
        text = (f"{error.filename}: " if error.filename else "") + error.strerror + remedy
    return " ".join(text.split()) or type(error).__name__


def fail(message: str, code: int) -> int:
    """One red line."""
    from asyppo_cli import console

    console.error(message)
    return code
