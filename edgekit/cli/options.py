"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from edgekit.cli.output import Settings
from edgekit.terms import Idle, Task, Undecided, members

if TYPE_CHECKING:
    from edgekit.budgets import Budget
    from edgekit.package.values import SessionChoice
    from edgekit.runtime.said import Said

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
    """Add how a session runs: the provider with its options, `--threads`, `--idle`, `--strict`."""
    for option in (
        click.option(
            "--strict", is_flag=True, help="Refuse a model with nodes on another provider."
        ),
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
        provider_options,
        click.option(
            "--provider",
            metavar="NAME",
            help="The execution provider to run on, without a fallback; 'best' takes the best that "
            "can be used.  [default: cpu]",
        ),
    ):
        function = option(function)
    return function


def provider_options(function: F) -> F:
    """Add what belongs to one provider: `--provider-option` and `--provider-library`."""
    for option in (
        click.option(
            "--provider-library",
            "library",
            type=click.Path(path_type=Path),
            callback=lambda _ctx, _parameter, path: path and str(path.expanduser().absolute()),
            metavar="FILE",
            help="The library of a plug-in provider; --provider is the name that it registers.",
        ),
        click.option(
            "--provider-option",
            "provider_options",
            multiple=True,
            metavar="NAME=VALUE",
            help="An option of the provider's own; repeat for more.",
        ),
    ):
        function = option(function)
    return function


def seconds(_ctx: click.Context, parameter: click.Parameter, text: str | None) -> float | None:
    """Read a time as people type it: `90`, `120s`, `2m`, `1.5h`.

    Raises:
        BadValue: it is something else, or not above 0.
    """
    if text is None:
        return None
    import re

    found = re.fullmatch(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*([smh]?)\s*", text.lower())
    value = float(found[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[found[2]] if found else 0.0
    if value <= 0:
        from edgekit.errors import BadValue

        raise BadValue(
            what=parameter.opts[-1], asked=repr(text), expected="a time above 0: 120s, 2m, 90"
        )
    return value


def named_values(texts: Sequence[str], *, option: str) -> dict[str, str]:
    """Split `NAME=VALUE` texts.

    Raises:
        BadValue: one isn't of that form, or a name comes twice.
    """
    named: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name or name in named:
            from edgekit.errors import BadValue

            raise BadValue(what=option, asked=repr(text), expected="NAME=VALUE, each name once")
        named[name] = value
    return named


def session_choice(
    provider: str | None,
    provider_options: Sequence[str],
    *,
    threads: int | None,
    idle: Idle | None,
) -> SessionChoice:
    """Make the choice that was typed; the library's defaults stand for what wasn't."""
    from edgekit.package.values import SessionChoice

    return SessionChoice(
        **given(
            {
                "provider": provider,
                "provider_options": named_values(provider_options, option="--provider-option")
                or None,
                "threads": threads,
                "idle": idle,
            }
        )
    )


def said(
    provider: str | None,
    provider_options: Sequence[str],
    *,
    threads: int | None,
    idle: Idle | None,
    library: str | None,
) -> Said:
    """Tell what was typed from what wasn't, for a variant that comes with a session of its own."""
    from edgekit.package.values import TUNED
    from edgekit.runtime.said import Said

    options = named_values(provider_options, option="--provider-option")
    return Said(TUNED, provider, threads, idle, options, library)


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


def data_options(function: F) -> F:
    """Add whose cases count: `--eval-data` and `--calib-data`, in place of the package's own."""
    for option in (
        click.option(
            "--calib-data",
            "calib_data",
            metavar="SOURCE",
            help="Cases of the training side, to calibrate with: as --eval-data, in place of the "
            "model's own.",
        ),
        click.option(
            "--eval-data",
            "eval_data",
            metavar="SOURCE",
            help="Held-out cases to measure accuracy on, in place of the model's own: an .npz, a "
            "folder of .npy or .npz, a .parquet, or FILE.py:FACTORY.",
        ),
    ):
        function = option(function)
    return function


def synthetic_option(function: F) -> F:
    """Add `--synthetic`: made-up values where there are no real ones, marked wherever they go."""
    return click.option(
        "--synthetic",
        is_flag=True,
        help="Take made-up values where there are no real ones; what comes of them is marked.",
    )(function)


def budget_options(function: F) -> F:
    """Add what may be lost: `--max-drop`, `--min-agreement`, `--min-cosine`, `--undecided`."""
    for option in (
        click.option(
            "--undecided",
            type=click.Choice(members(Undecided)),
            help="What becomes of a candidate on which the cases don't decide.  [default: reject]",
        ),
        click.option(
            "--min-cosine",
            metavar="COSINE",
            help="What the cosine to the original's answers must be in the mean: 0.999.",
        ),
        click.option(
            "--min-agreement",
            metavar="SHARE",
            help="How many classes must stay the original's: 99%.",
        ),
        click.option(
            "--max-drop",
            metavar="POINTS",
            help="How much accuracy may be lost, in percentage points: 0.5pp.",
        ),
    ):
        function = option(function)
    return function


def budgets_of(
    max_drop: str | None, min_agreement: str | None, min_cosine: str | None
) -> list[Budget]:
    """Read the budgets that were typed.

    Raises:
        BadValue: one isn't of its form; says what to type.
    """
    from edgekit import budgets

    found = []
    if max_drop is not None:
        found.append(budgets.parse_drop(max_drop))
    if min_agreement is not None:
        found.append(budgets.parse_agreement(min_agreement))
    if min_cosine is not None:
        found.append(budgets.parse_cosine(min_cosine))
    return found


def _remember_debug(ctx: click.Context, _parameter: click.Parameter, value: bool) -> None:
    ctx.ensure_object(Settings).debug = value
