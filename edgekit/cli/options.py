"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click

from edgekit.cli.output import Settings
from edgekit.terms import Idle, Task, members

F = TypeVar("F", bound=Callable[..., Any])


def given(options: Mapping[str, Any]) -> dict[str, Any]:
    """Keep the options that were typed: for the others the library's own defaults stand."""
    return {name: value for name, value in options.items() if value is not None}


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
        is_eager=True,
        expose_value=False,
        help="Show what workers print, and tracebacks.",
        callback=_remember_debug,
    )(function)


def session_options(function: F) -> F:
    """Add how a session runs: `--provider`, `--threads` and `--idle`."""
    for option in (
        click.option(
            "--idle",
            type=click.Choice(members(Idle)),
            help="What threads do between calls: burn a core, spin for 200 µs, or sleep."
            "  [default: brief]",
        ),
        click.option(
            "--threads",
            type=click.IntRange(min=1),
            metavar="N",
            help="Threads for one call.  [default: all]",
        ),
        click.option(
            "--provider",
            metavar="NAME",
            help="The execution provider to run on; there is no fallback.  [default: cpu]",
        ),
    ):
        function = option(function)
    return function


def source_options(function: F) -> F:
    """Add what a TARGET's library needs to know: `--task`, `--pretrained` and `--weights`."""
    for option in (
        click.option(
            "--weights",
            type=click.Path(path_type=Path),
            metavar="FILE.safetensors",
            help="Load these weights into the module.",
        ),
        click.option(
            "--pretrained",
            is_flag=True,
            help="Load the weights that timm or the hub publishes for the name.",
        ),
        click.option(
            "--task",
            type=click.Choice(members(Task)),
            metavar="TASK",
            help="What an hf: checkpoint is for; left out, what it was saved as.",
        ),
    ):
        function = option(function)
    return function


def _remember_debug(ctx: click.Context, _parameter: click.Parameter, value: bool) -> None:
    ctx.ensure_object(Settings).debug = value
