"""What `edgekit sensitivity` prints."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from rich.console import Console

from edgekit.providers.targets import described
from edgekit.quantize.searching.evaluation import Noise
from edgekit.quantize.searching.ranking import Row, Sensitivity
from edgekit.report.figures import MISSING, count, digits
from edgekit.report.tables import Column, print_table, shown

_ENOUGH = 8
"""How many names a sentence lists; the command below it has them all."""


def ranked(
    console: Console,
    path: str,
    found: Sensitivity,
    *,
    top: int = 20,
    again: Sequence[str] = (),
) -> None:
    """Print the rows that cost most, who carries the loss, and what to type next.

    Args:
        console: where to.
        path: the package, as it was named.
        found: what was measured.
        top: how many rows are shown.
        again: options that the next command needs as well.
    """
    made_up = ", made up" if found.synthetic and "made-up" not in found.dataset else ""
    console.print(
        f"[bold]{shown(path)}[/]  {shown(found.variant)} in {found.scheme} for "
        f"{shown(described(found.target))}: {count(found.nodes, 'node')}, each {found.by} alone "
        f"over {found.cases:,} {shown(found.dataset)}{made_up}"
    )
    console.print(f"All of them together: {_noise(found.whole)}.{_speed(found)}")
    rows = found.rows[:top]
    print_table(
        console,
        [
            Column("", [str(place) for place in range(1, len(rows) + 1)]),
            Column(found.by, [shown(row.name) for row in rows], left=True),
            Column("operator", [_operators(row) for row in rows], left=True),
            Column("SQNR dB", [_measured(row) for row in rows]),
            Column("cosine", [f"{row.noise.cosine:.6f}" if row.noise else "" for row in rows]),
            Column("estimate dB", [_estimated(row) for row in rows]),
            Column("of the loss", [_share(row.share) for row in rows]),
            Column("in float", [_cost(row) for row in rows]),
        ],
    )
    if len(found.rows) > top:
        console.print(f"… and {len(found.rows) - top} more: --top {len(found.rows)}, or --json")
    console.print(
        "SQNR: at the model's output, that one alone quantized. Estimate: at its own output. "
        "In float: how much longer a run takes with it left in float, by a profile of the nodes; "
        f"{MISSING} where that can't be told apart.",
        style="dim",
    )
    for note in found.notes:
        console.print(f"Note: {shown(note)}.")
    _conclude(console, path, found, again)


def _conclude(console: Console, path: str, found: Sensitivity, again: Sequence[str]) -> None:
    """Say which rows carry the loss, what is left without them, and what to type next."""
    options = " ".join(["--scheme", found.scheme, *again])
    carriers = [row for row in found.rows if row.name in found.carriers]
    if not carriers or found.without is None:
        none = not any(row.noise and row.noise.nsr for row in found.rows)
        console.print(
            "Quantizing them loses nothing here."
            if none
            else f"The loss is spread: no few {found.by}s carry it."
        )
        command = f"edgekit quantize {shlex.quote(path)} {options}"
    else:
        share = sum(row.share or 0.0 for row in carriers)
        names = [shown(row.name) for row in carriers[:_ENOUGH]]
        names += [f"{len(carriers) - _ENOUGH} more"] if len(carriers) > _ENOUGH else []
        console.print(
            f"{_in_words(names)} {'carries' if len(carriers) == 1 else 'carry'} "
            f"{100 * share:.0f} % of the loss. With "
            f"{'it' if len(carriers) == 1 else 'them'} in float: {_noise(found.without)}"
            f"{_price(carriers, found)}."
        )
        nodes = [node for row in carriers for node in row.nodes]
        kept = " ".join(f"--keep-float {shlex.quote(node)}" for node in nodes)
        command = f"edgekit quantize {shlex.quote(path)} {options} {kept}"
    console.print(f"Next: {shown(command)}", soft_wrap=True)


def _in_words(names: Sequence[str]) -> str:
    *others, last = names
    return f"{', '.join(others)} and {last}" if others else last


def _noise(noise: Noise) -> str:
    if noise.sqnr_db is None:
        return "the float variant's answers exactly"
    return f"SQNR {noise.sqnr_db:.1f} dB, cosine {noise.cosine:.6f} to the float variant's answers"


def _speed(found: Sensitivity) -> str:
    if found.float_us is None or found.quantized_us is None:
        return ""
    return (
        f" Nodes take {_time(found.float_us)} a run in float, "
        f"{_time(found.quantized_us)} quantized."
    )


def _price(carriers: Sequence[Row], found: Sensitivity) -> str:
    """Say what those that carry the loss cost in float, as far as that is known of each."""
    known = [row.cost_us for row in carriers if row.cost_us is not None]
    if len(known) < len(carriers) or not found.quantized_us:
        return ""
    share = sum(known) / found.quantized_us
    return f", for {_change(sum(known))} a run ({100 * share:+.1f} %)"


def _operators(row: Row) -> str:
    if len(row.nodes) == 1:
        return shown(next(iter(row.operators)))
    return shown(", ".join(f"{n} {operator}" for operator, n in row.operators.items()))


def _measured(row: Row) -> str:
    if row.noise is None:
        return MISSING
    return "exact" if row.noise.sqnr_db is None else f"{row.noise.sqnr_db:.1f}"


def _estimated(row: Row) -> str:
    if not row.local_known:
        return MISSING
    return "exact" if row.local_sqnr_db is None else f"{row.local_sqnr_db:.1f}"


def _share(share: float | None) -> str:
    return MISSING if share is None else f"{100 * share:.1f} %"


def _cost(row: Row) -> str:
    if row.cost_us is None or row.cost_share is None:
        return MISSING
    return f"{_change(row.cost_us)} ({100 * row.cost_share:+.1f} %)"


def _time(us: float) -> str:
    return f"{digits(us / 1000)} ms" if abs(us) >= 1000 else f"{digits(us)} µs"


def _change(us: float) -> str:
    if abs(us) >= 1000:
        return f"{us / 1000:+.2f} ms"
    return f"{us:+.0f} µs" if abs(us) >= 100 else f"{us:+.1f} µs"
