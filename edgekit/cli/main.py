"""The `edgekit` command, and the one place where errors become sentences and exit codes.

0 right, 1 a failure that edgekit answers for, 2 bad usage, 3 a gate that said no, 70 a bug in
edgekit, 130 interrupted.
"""

from __future__ import annotations

import importlib
import pkgutil
import signal
import sys
import traceback
from types import FrameType
from typing import NoReturn

import click

import edgekit
from edgekit.cli import commands, output
from edgekit.errors import BadValue, EdgekitError, GateFailed, UnknownName

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

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command:
        names = self.list_commands(ctx)
        if cmd_name not in names:
            raise UnknownName(kind="command", asked=cmd_name, available=names)
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
    output.prepare_streams()
    signal.signal(signal.SIGTERM, _ended)
    code = run(sys.argv[1:])
    if code == INTERRUPTED:
        # A second Ctrl-C while the interpreter goes down would print a traceback after all.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.exit(code)


def _ended(signum: int, _frame: FrameType | None) -> NoReturn:
    """End as at Ctrl-C: what lies in scratch folders goes, and workers end."""
    signal.signal(signum, signal.SIG_IGN)
    raise KeyboardInterrupt


def run(arguments: list[str]) -> int:
    """Run the command line and return its exit code."""
    settings = output.Settings()
    try:
        _refuse_undecodable(arguments)
        code = cli.main(arguments, prog_name="edgekit", standalone_mode=False, obj=settings)
        return code if isinstance(code, int) else 0
    except click.exceptions.Exit as error:
        return error.exit_code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        return _interrupted()
    except SystemExit:
        # What click makes of a reader that has seen enough of a help text.
        return 0
    except Exception as error:
        if _of_an_interrupt(error):
            return _interrupted()
        if isinstance(error, EdgekitError):
            return _failed(error, debug=settings.debug)
        return _failed_unforeseen(error, debug=settings.debug)


def _interrupted() -> int:
    output.say_error("Interrupted; nothing was left half-written.")
    return INTERRUPTED


def _of_an_interrupt(error: BaseException | None) -> bool:
    """Tell whether Ctrl-C is behind an error: one that comes while a library is imported is an
    ImportError by the time it gets here."""
    while error is not None:
        if isinstance(error, KeyboardInterrupt):
            return True
        error = error.__cause__ or error.__context__
    return False


def _refuse_undecodable(arguments: list[str]) -> None:
    """Refuse names that are no text here: no worker, file or table could hold them."""
    for argument in arguments:
        try:
            argument.encode()
        except UnicodeEncodeError:
            raise BadValue(
                what="an argument",
                asked=ascii(argument),
                expected="text in UTF-8: rename the file, or set the locale (LC_ALL=C.UTF-8)",
            ) from None


def _failed(error: EdgekitError, *, debug: bool) -> int:
    if debug:
        traceback.print_exc()
    begin = "The gate said no" if isinstance(error, GateFailed) else "Error"
    output.say_error(f"{begin}: {error}")
    return error.exit_code


def _failed_unforeseen(error: Exception, *, debug: bool) -> int:
    from edgekit import cache, installed
    from edgekit.storage import as_storage_error

    known = installed.missing_extra(error) or as_storage_error(error)
    if known is not None:
        return _failed(known, debug=debug)
    if debug:
        traceback.print_exc()
    report = cache.store_report("bug", "".join(traceback.format_exception(error)))
    output.say_error(
        f"This is a bug in edgekit: {_in_one_line(error)}. "
        + (f"The traceback is in {report}. " if report else "Run it again with --debug. ")
        + "Please report it."
    )
    return BUG


def _in_one_line(error: Exception) -> str:
    """Name an exception. One that came out of a worker is the worker's whole traceback, whose
    last line says what our own first one would.
    """
    from edgekit.workers import WorkerFault

    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if isinstance(error, WorkerFault) and lines:
        return lines[-1][:200].rstrip(".")
    said = f": {lines[0][:200]}" if lines else ""
    return f"{type(error).__name__}{said}".rstrip(".")
