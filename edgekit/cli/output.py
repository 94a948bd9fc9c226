"""Where output goes: results to stdout, progress and remarks to stderr."""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

WIDE = 160
"""Columns of a table that doesn't go to a terminal, so that no cell is broken."""

log = logging.getLogger("edgekit")


def print_json(value: Any) -> None:
    """Print a struct as JSON on stdout."""
    import msgspec

    click.echo(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())


def console(*, stderr: bool = False) -> Console:
    """Return a console for stdout, or for stderr; it honours NO_COLOR and a redirected stream."""
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    return Console(
        stderr=stderr, highlight=False, width=None if stream.isatty() else WIDE, soft_wrap=False
    )


@contextlib.contextmanager
def progress(what: str) -> Iterator[Callable[[int, int], None]]:
    """Show on stderr what is being done, with a bar where stderr is a terminal.

    Yields a function that takes how much is done and how much there is. What the library logs
    meanwhile becomes the line that is shown, or a line each where there is no terminal.
    """
    shown = _Shown(what)
    log.addHandler(shown)
    before = log.level
    log.setLevel(logging.DEBUG if "--debug" in sys.argv else logging.INFO)
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
                TextColumn("{task.description}"),
                BarColumn(),
                TimeElapsedColumn(),
                console=console(stderr=True),
                transient=True,
            )
            self._bar.start()
            self._task = self._bar.add_task(self._what, total=None)
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def step(self, done: int, total: int) -> None:
        if self._bar is not None:
            self._bar.update(self._task, completed=done, total=total)

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if self._bar is None or record.levelno != logging.INFO:
            click.echo(text, err=True)
        else:
            self._bar.update(self._task, description=text)
