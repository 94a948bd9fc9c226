"""Where output goes: results to stdout, progress and remarks to stderr."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

UNBOUND = 10_000
"""Columns of an output that goes to no terminal: nothing in it is wrapped or taken apart."""

log = logging.getLogger("edgekit")


@dataclass
class Settings:
    """What was said about the run itself; the root of click's context holds it."""

    debug: bool = False


def prepare_streams() -> None:
    """Make stdout and stderr bear everything: no character of ours or of a name's may fail there,
    nor may their being closed from the start.
    """
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: PTH123, SIM115 - for the whole run
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def print_json(value: Any) -> None:
    """Print a struct as JSON on stdout."""
    import msgspec

    try:
        click.echo(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())
    except BrokenPipeError:
        _silence_stdout()


def write_text(text: str, path: Path | None) -> None:
    """Write text to a file, which is replaced, or to stdout where none is named.

    Raises:
        StorageError: the file can't be written.
    """
    if path is None:
        try:
            click.echo(text, nl=False)
        except BrokenPipeError:
            _silence_stdout()
        return
    from edgekit.errors import StorageError
    from edgekit.storage import as_storage_error

    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        known = as_storage_error(error, path=path)
        raise known or StorageError(path=str(path), problem=str(error)) from error


def say_error(sentence: str) -> None:
    """Print one red line on stderr, control characters made visible; a closed stderr is no
    failure.
    """
    from edgekit.report.text import printable

    colour = None if os.environ.get("NO_COLOR") else "red"
    with contextlib.suppress(BrokenPipeError):
        click.secho(printable(sentence), fg=colour, err=True)


def console() -> Console:
    """Return a console for stdout. It honours NO_COLOR, and COLUMNS where there is no terminal.

    A reader that has seen enough silences it, and the command goes on to its exit code: of a
    `check … | head` that is still the verdict.
    """
    return _console(stderr=False)


def _console(*, stderr: bool) -> Console:
    from rich.console import Console

    class Quiet(Console):
        def on_broken_pipe(self) -> None:
            self.quiet = True
            if not self.stderr:
                _silence_stdout()

    stream = sys.stderr if stderr else sys.stdout
    columns = os.environ.get("COLUMNS", "")
    # 0 is what a terminal without a size says: nothing at all would be shown on it.
    width = int(columns) if columns.isdecimal() else 0
    if not width and not stream.isatty():
        width = UNBOUND
    return Quiet(stderr=stderr, highlight=False, emoji=False, width=width or None)


@contextlib.contextmanager
def progress(what: str) -> Iterator[Callable[[int, int], None]]:
    """Show on stderr what is being done, with a bar where stderr is a terminal.

    Yields a function that takes how much is done and how much there is. What the library logs
    meanwhile becomes the line that is shown, or a line each where there is no terminal. A record
    whose `progress` is (done, total), such as each epoch of a training, has a bar of its own until
    all is done.
    """
    debug = click.get_current_context().find_object(Settings)
    shown = _Shown(what)
    log.addHandler(shown)
    before = log.level
    log.setLevel(logging.DEBUG if debug is not None and debug.debug else logging.INFO)
    try:
        with shown:
            yield shown.step
    finally:
        log.setLevel(before)
        log.removeHandler(shown)


class _Shown(logging.Handler):
    """The progress line on a terminal, or plain lines elsewhere."""

    def __init__(self, what: str) -> None:
        super().__init__()
        self._what = what
        self._bar: Progress | None = None
        self._task: Any = None
        self._within: Any = None
        self._warned: set[str] = set()

    def __enter__(self) -> _Shown:
        if sys.stderr.isatty():
            from rich.progress import (
                BarColumn,
                Progress,
                SpinnerColumn,
                TextColumn,
                TimeElapsedColumn,
            )

            self._bar = Progress(
                SpinnerColumn(),
                TextColumn("{task.description}", markup=False),
                BarColumn(),
                TimeElapsedColumn(),
                console=_console(stderr=True),
                transient=True,
            )
            self._bar.start()
            self._task = self._bar.add_task(self._what, total=None)
        else:
            _say(self._what)
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def step(self, done: int, total: int) -> None:
        if self._bar is not None:
            self._bar.update(self._task, completed=done, total=total)

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        progress: tuple[int, int] | None = getattr(record, "progress", None)
        if record.levelno == logging.WARNING:
            # Every worker that loads one model warns of the same.
            if text not in self._warned:
                self._warned.add(text)
                _say(text)
        elif self._bar is None or record.levelno != logging.INFO:
            _say(text)
        elif progress is not None:
            self._step_within(self._bar, text, *progress)
        else:
            self._bar.update(self._task, description=text)

    def _step_within(self, bar: Progress, text: str, done: int, total: int) -> None:
        if self._within is None:
            self._within = bar.add_task(text)
        bar.update(self._within, description=text, completed=done, total=total)
        if done >= total:
            bar.remove_task(self._within)
            self._within = None


def _say(text: str) -> None:
    # Whoever read the progress may go; what is being done goes on.
    with contextlib.suppress(BrokenPipeError):
        click.echo(text, err=True)


def _silence_stdout() -> None:
    with contextlib.suppress(OSError):  # a stream that is no file, as in a notebook
        descriptor = os.open(os.devnull, os.O_WRONLY)
        os.dup2(descriptor, sys.stdout.fileno())
        os.close(descriptor)
