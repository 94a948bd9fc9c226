"""The `edgekit` command, and the one place where errors become sentences and exit codes.

0 right, 1 a failure that edgekit answers for, 2 bad usage, 3 a gate that said no, 70 a bug in
edgekit, 130 interrupted.
"""

from __future__ import annotations

import importlib
import os
import pkgutil
import sys
import traceback
from typing import NoReturn

import click

import edgekit
from edgekit.cli import commands
from edgekit.errors import EdgekitError

INTERRUPTED, BUG = 130, 70

_EPILOG = """\b
Examples:
  edgekit export cnn                         train, export and verify the reference CNN
  edgekit export net.py:make -o net.edgekit  export your own module
  edgekit check net.edgekit                  is it right on this machine?
  edgekit bench net.edgekit                  how fast, against the PyTorch original?
  edgekit doctor                             what can this machine run?"""


class _Commands(click.Group):
    """Finds a command by its file's name and imports it when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(module.name for module in pkgutil.iter_modules(commands.__path__))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.list_commands(ctx):
            return None
        module = importlib.import_module(f"{commands.__name__}.{cmd_name}")
        command: click.Command = module.command
        return command


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=_EPILOG,
)
@click.version_option(edgekit.__version__, prog_name="edgekit")
def cli() -> None:
    """Take PyTorch models to where compute is scarce, and show what that cost."""


def main() -> NoReturn:
    """Run the command line and exit; the console script."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run the command line and return its exit code."""
    try:
        code = cli.main(arguments, prog_name="edgekit", standalone_mode=False)
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except click.exceptions.Exit as error:
        return error.exit_code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("Interrupted; nothing was left half-written.", err=True)
        return INTERRUPTED
    except BrokenPipeError:
        # The reader of our output has seen enough. What is still buffered must not raise again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except EdgekitError as error:
        return _failed(error)
    except Exception as error:
        return _failed_unforeseen(error)


def _failed(error: EdgekitError) -> int:
    if _debugging():
        traceback.print_exc()
    click.secho(f"Error: {error}", fg=_red(), err=True)
    return error.exit_code


def _failed_unforeseen(error: Exception) -> int:
    from edgekit import cache, installed
    from edgekit.package.commit import as_storage_error

    known = installed.missing_extra(error) or as_storage_error(error)
    if known is not None:
        return _failed(known)
    if _debugging():
        traceback.print_exc()
    report = cache.store_report("bug", "".join(traceback.format_exception(error)))
    click.secho(
        f"This is a bug in edgekit: {type(error).__name__}: {_first_line(error)}. "
        + (f"The traceback is in {report}. " if report else "Run it again with --debug. ")
        + "Please report it.",
        fg=_red(),
        err=True,
    )
    return BUG


def _debugging() -> bool:
    return "--debug" in sys.argv or bool(os.environ.get("EDGEKIT_DEBUG"))


def _red() -> str | None:
    return None if os.environ.get("NO_COLOR") else "red"


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), "")[:200]
