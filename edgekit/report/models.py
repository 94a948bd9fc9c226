"""What `edgekit models` prints."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console

from edgekit.report.documents import ModelParameter, ReferenceModel
from edgekit.report.tables import Column, print_table, shown


def listed(console: Console, models: Sequence[ReferenceModel]) -> None:
    """Print a line a model: its name, what it is, and its parameters with their defaults."""
    print_table(
        console,
        [
            Column("model", [shown(model.name) for model in models], left=True),
            Column("what it is", [shown(model.summary) for model in models], left=True),
            Column(
                "-p PARAMETER=DEFAULT",
                [shown(", ".join(map(_in_words, model.parameters))) for model in models],
                left=True,
            ),
        ],
    )


def _in_words(parameter: ModelParameter) -> str:
    """Write `cell=lstm (or tanh, gru)`."""
    default = "…" if parameter.default is None else parameter.default
    others = [choice for choice in parameter.choices if choice != parameter.default]
    return f"{parameter.name}={default}" + (f" (or {', '.join(others)})" if others else "")
