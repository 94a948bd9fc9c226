"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from edgekit.terms import Idle, members

F = TypeVar("F", bound=Callable[..., Any])


def json_option(function: F) -> F:
    """Add `--json`: the result on stdout as JSON instead of a table."""
    return click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")(
        function
    )


def debug_option(function: F) -> F:
    """Add `--debug`: show what workers print, and tracebacks."""
    return click.option(
        "--debug",
        is_flag=True,
        expose_value=False,
        help="Show what workers print, and tracebacks.",
        callback=lambda _ctx, _param, value: value,
    )(function)


def session_options(function: F) -> F:
    """Add how a session runs: `--provider`, `--threads` and `--idle`."""
    for option in (
        click.option(
            "--idle",
            type=click.Choice(members(Idle)),
            default="brief",
            show_default=True,
            help="What threads do between calls: burn a core, spin for 200 µs, or sleep.",
        ),
        click.option(
            "--threads", type=click.IntRange(min=1), help="Threads for one call.  [default: all]"
        ),
        click.option(
            "--provider",
            default="cpu",
            show_default=True,
            help="The execution provider to run on; there is no fallback.",
        ),
    ):
        function = option(function)
    return function
