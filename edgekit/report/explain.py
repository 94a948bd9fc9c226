"""What `edgekit explain` prints."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from rich.console import Console

from edgekit import machine
from edgekit.measure.roofline.limits import Limit, Peaks
from edgekit.measure.slowness.values import Explained, ExplainedNode, LeftInFloat, VariantExplained
from edgekit.report.figures import MISSING, count, digits, size, times
from edgekit.report.tables import Column, print_table, shown

_ENOUGH = 3
_WIDE = 1.5
"""An interval whose ends differ by more leaves it open which of two is the faster."""
_BESIDE = 0.2
"""Which share of a run beside its nodes is worth a line."""
_BOUND = {"compute": "computing", "memory": "memory"}


def explained(console: Console, found: Explained, *, path: str = "", top: int = 8) -> None:
    """Print how near to its limit every variant is, why those are slow that are, and their nodes.

    Args:
        console: where to.
        found: what was measured.
        path: where the package is, which the next command is about; its name unless given.
        top: how many nodes of each are shown.
    """
    conditions = [
        found.package,
        machine.summary(found.machine),
        f"{found.peaks.provider}, {count(found.peaks.threads, 'thread')}",
        *(f"{name} {n}" for name, n in found.sizes.items()),
    ]
    console.print(" · ".join(map(shown, conditions)), style="bold")
    variants = found.variants
    print_table(
        console,
        [
            Column("", [shown(one.label) for one in variants], left=True),
            Column("p50 ms", [digits(one.p50_ms) for one in variants]),
            Column("against its parent", [_against(one) for one in variants], left=True),
            Column("operations", [_millions(one.limit.operations) for one in variants]),
            Column("bytes", [size(one.limit.bytes) for one in variants]),
            Column("limit ms", [_limit_ms(one.limit) for one in variants]),
            Column("of the limit", [_reached(one.limit) for one in variants]),
            Column("bound by", [_BOUND[one.limit.bound] for one in variants], left=True),
        ],
    )
    console.print(_peaks(found.peaks), style="dim")
    for one in variants:
        console.print()
        _print_variant(console, one, path=path or found.package, top=top)
    for note in found.notes:
        console.print(f"Note: {shown(note)}.")


def _print_variant(console: Console, one: VariantExplained, *, path: str, top: int) -> None:
    console.print(f"[bold]{shown(one.label)}[/]  {_headline(one)}")
    for reason in one.reasons:
        console.print(f"  • {shown(reason.sentence)}", soft_wrap=True)
    if one.reasons and one.gained_us > 0:
        console.print(f"  • Other nodes gain {_time(one.gained_us)}.")
    if one.leave is not None:
        _print_leave(console, one.leave, path)
    if one.untold:
        console.print(f"Of its nodes nothing can be told: {shown(one.untold)}.")
        return
    if one.limit.uncounted:
        console.print(
            f"Not in the limit, for want of a formula or sizes: {_some(one.limit.uncounted)}."
        )
    _print_beside(console, one)
    nodes = one.top_nodes[:top]
    print_table(
        console,
        [
            Column("node", [shown(node.name) for node in nodes], left=True),
            Column("operator", [shown(node.operator) for node in nodes], left=True),
            Column("of", [shown(node.of) if node.of else MISSING for node in nodes], left=True),
            Column("µs", [digits(node.us) for node in nodes]),
            Column("GOP/s", [MISSING if n.gops is None else digits(n.gops) for n in nodes]),
            Column("of its limit", [_share(node) for node in nodes]),
            Column("bound by", [_BOUND[n.bound] if n.bound else MISSING for n in nodes], left=True),
        ],
    )
    if len(one.top_nodes) > top:
        rest = sum(node.us for node in one.top_nodes[top:])
        console.print(
            f"… and {len(one.top_nodes) - top} more, {_time(rest)}: "
            f"--top {len(one.top_nodes)}, or --json"
        )


def _print_beside(console: Console, one: VariantExplained) -> None:
    """Say where a run takes much longer than its nodes, whose shares then say little of it."""
    inside = sum(node.us for node in one.top_nodes)
    beside = 1e3 * one.p50_ms - inside
    if one.top_nodes and beside > _BESIDE * 1e3 * one.p50_ms:
        console.print(
            f"Its nodes take {_time(inside)} of {_time(1e3 * one.p50_ms)}: the rest passes beside "
            "them, in calls, or because others kept the machine busy while it was timed."
        )


def _print_leave(console: Console, leave: LeftInFloat, path: str) -> None:
    nodes = count(len(leave.nodes), "node")
    console.print(
        f"  → By their times {nodes} would take {_time(leave.us)} less in float, conversions "
        f"around them counted. Nothing was run{': try it' if leave.options else ''}.",
        soft_wrap=True,
    )
    if leave.options:
        command = f"edgekit quantize {shlex.quote(path)} {leave.options}"
        console.print(f"    {shown(command)}", soft_wrap=True)


def _headline(one: VariantExplained) -> str:
    if one.parent is None or one.speedup is None or one.parent_ms is None:
        return f"{digits(one.p50_ms)} ms"
    difference = 1e3 * (one.p50_ms - one.parent_ms)
    if one.slower:
        how = f"is slower than {shown(one.parent)}"
    elif one.speedup.low > 1:
        how = f"is faster than {shown(one.parent)}"
    elif one.speedup.high > _WIDE * one.speedup.low:
        how = f"may be slower or faster than {shown(one.parent)}, time it again on a quiet machine"
    elif one.reasons and difference > 0:
        how = f"seems slower than {shown(one.parent)}, though the interval holds 1"
    else:
        how = f"is as fast as {shown(one.parent)}, as far as can be told"
    if not one.reasons:
        return f"{how}, by {times(one.speedup)}."
    sign = "more" if difference > 0 else "less"
    # The ratio is that of rounds side by side, the difference that of all rounds' p50s.
    agree = (difference > 0) == (one.speedup.value < 1)
    medians = "" if agree else "by their p50s, "
    return f"{how}, by {times(one.speedup)}: {medians}{_time(abs(difference))} {sign} a run."


def _against(one: VariantExplained) -> str:
    if one.speedup is None:
        return MISSING
    return f"{times(one.speedup)} of {shown(one.parent or '')}"


def _reached(limit: Limit) -> str:
    return f"{100 * limit.share:.0f} %" if limit.limit_ms else MISSING


def _limit_ms(limit: Limit) -> str:
    return digits(limit.limit_ms) if limit.limit_ms else MISSING


def _share(node: ExplainedNode) -> str:
    return MISSING if node.share is None else f"{100 * node.share:.0f} %"


def _peaks(peaks: Peaks) -> str:
    now = ""
    if peaks.slowed:
        now = f" ({digits(peaks.float_now_gflops or 0.0)} now)"

    def rate(value: float | None, unit: str) -> str:
        return f"{digits(value)} {unit}" if value is not None else "not measurable"

    where = " (in caches)" if peaks.cached else ""
    return (
        f"The limit is what the model's own nodes take at this machine's peaks, the slower of "
        f"computing and memory each: float32 {rate(peaks.float_gflops, 'GFLOP/s')}{now}, int8 "
        f"{rate(peaks.int8_gops, 'GOP/s')}, {rate(peaks.copy_gb_s, 'GB/s')} at the model's "
        f"{size(peaks.copy_bytes)}{where}, {rate(peaks.memory_gb_s, 'GB/s')} from main memory. "
        f"Measured: {shown(peaks.how)}."
    )


def _some(names: Sequence[str]) -> str:
    listed = [shown(name) for name in names[:_ENOUGH]]
    if len(names) > _ENOUGH:
        listed.append(f"{len(names) - _ENOUGH} more")
    return ", ".join(listed)


def _millions(operations: int) -> str:
    if operations >= 1e9:
        return f"{digits(operations / 1e9)} G"
    return f"{digits(operations / 1e6)} M"


def _time(us: float) -> str:
    return f"{digits(us / 1000)} ms" if abs(us) >= 1000 else f"{digits(us)} µs"
