"""Results as tables of plain text, for Markdown, HTML and notebooks."""

from __future__ import annotations

from collections.abc import Sequence

from edgekit import machine as machines
from edgekit.machine import Machine
from edgekit.measure.compare import Compared
from edgekit.measure.results import BenchReport, Quality
from edgekit.measure.slowness.values import Explained
from edgekit.metrics import Estimate
from edgekit.quantize.making import Quantized
from edgekit.quantize.searching.ranking import Row, Sensitivity
from edgekit.report import bench
from edgekit.report.candidates import Candidate, of_tuned
from edgekit.report.figures import MISSING, digits, share, size, times
from edgekit.report.kept import drop
from edgekit.report.plain import Grid, grid
from edgekit.runtime.explanation import Explanation
from edgekit.tune.results import Tuned


def bench_grid(report: BenchReport) -> Grid:
    """List what a bench measured, a row a candidate."""
    return grid(bench.columns(report))


def tuned_grid(tuned: Tuned) -> Grid:
    """List what tuning timed, a row a candidate, the fastest first, the chosen one above all."""
    timed = [one for one in of_tuned(tuned) if one.p50_ms is not None]
    timed.sort(key=lambda one: (one.outcome != "chosen", one.p50_ms.value if one.p50_ms else 0.0))
    return candidates_grid(timed)


def candidates_grid(candidates: Sequence[Candidate]) -> Grid:
    """List candidates with what each took and kept; columns of which nothing is known are left
    out."""
    qualities = [one.quality for one in candidates]
    columns: list[tuple[str, list[str], bool]] = [
        ("", [one.label for one in candidates], True),
        ("p50 ms", [_digits(one.p50_ms) for one in candidates], False),
        (
            "speedup [95 %]",
            [times(one.speedup) if one.speedup else MISSING for one in candidates],
            False,
        ),
        ("accuracy [95 %]", [share(q.accuracy) if q else MISSING for q in qualities], False),
        ("drop (at most)", [drop(q.drop) if q else MISSING for q in qualities], False),
        ("agreement [95 %]", [share(q.agreement) if q else MISSING for q in qualities], False),
        ("cosine (at least)", [_cosine(q) for q in qualities], False),
        (
            "size",
            [MISSING if one.size_bytes is None else size(one.size_bytes) for one in candidates],
            False,
        ),
        ("", [one.outcome or "" for one in candidates], True),
    ]
    kept = [
        (title, cells, words)
        for title, cells, words in columns
        if any(cell not in ("", MISSING) for cell in cells)
    ]
    return _grid(kept)


def rejected_grid(tuned: Tuned) -> Grid:
    """List what wasn't chosen, and why."""
    others = [one for one in tuned.tried if one.outcome != "chosen"]
    return _grid(
        [
            ("candidate", [one.label for one in others], True),
            ("what became of it", [one.outcome for one in others], True),
            ("why", [one.reason for one in others], True),
        ]
    )


def sensitivity_grid(found: Sensitivity, *, top: int = 20) -> Grid:
    """List the nodes or groups that cost most, each quantized alone."""
    rows = found.rows[:top]
    return _grid(
        [
            (found.by, [row.name for row in rows], True),
            ("operator", [operators(row) for row in rows], True),
            ("SQNR dB", [_sqnr(row) for row in rows], False),
            ("of the loss", [_percent(row.share) for row in rows], False),
            ("in float", [_cost(row) for row in rows], False),
        ]
    )


def reasons_grid(explained: Explained) -> Grid:
    """List why variants are as slow as they are, a row a reason."""
    found = [(one, reason) for one in explained.variants for reason in one.reasons]
    return _grid(
        [
            ("variant", [one.label for one, _ in found], True),
            ("reason", [reason.sentence for _, reason in found], True),
            ("time", [_us(reason.us) for _, reason in found], False),
        ]
    )


def limits_grid(explained: Explained) -> Grid:
    """List how near each variant comes to the machine's limit."""
    variants = explained.variants
    return _grid(
        [
            ("variant", [one.label for one in variants], True),
            ("p50 ms", [digits(one.p50_ms) for one in variants], False),
            ("limit ms", [digits(one.limit.limit_ms) for one in variants], False),
            ("of the limit", [_percent(one.limit.share) for one in variants], False),
            ("bound by", [one.limit.bound for one in variants], True),
            ("10⁶ operations", [digits(one.limit.operations / 1e6) for one in variants], False),
            ("bytes", [size(one.limit.bytes) for one in variants], False),
        ]
    )


def compared_grid(done: Compared) -> Grid:
    """List how far apart two models' outputs are."""
    found = list(done.outputs.values())
    return _grid(
        [
            ("output", list(done.outputs), True),
            (
                "max abs error",
                [MISSING if c is None else f"{c.max_abs_error:.1e}" for c in found],
                False,
            ),
            ("lowest cosine", [MISSING if c is None else f"{c.cosine:.7f}" for c in found], False),
        ]
    )


def quantized_grid(done: Quantized) -> Grid:
    """List what a new variant of fewer bits is, and what it kept."""
    quality = done.quality
    return _grid(
        [
            ("variant", [done.variant.name], True),
            ("made from", [done.variant.parent or MISSING], True),
            ("scheme", [done.variant.recipe.scheme if done.variant.recipe else MISSING], True),
            ("size", [size(done.size_bytes)], False),
            ("accuracy [95 %]", [share(quality.accuracy) if quality else MISSING], False),
            ("drop (at most)", [drop(quality.drop) if quality else MISSING], False),
            ("agreement [95 %]", [share(quality.agreement) if quality else MISSING], False),
            ("cosine (at least)", [_cosine(quality)], False),
        ]
    )


def explanation_grid(found: Explanation) -> Grid:
    """List which variant a loaded model runs, how, and why."""
    rows = {
        "package": found.package,
        "variant": found.choice.variant,
        "provider": found.provider,
        "computes in": found.computes or "",
        "threads": str(found.threads),
        "idle threads": found.choice.session.idle,
        "why": found.choice.reason,
        "elsewhere": found.elsewhere,
    }
    return pairs(rows)


def environment_grid(machine: Machine) -> Grid:
    """List what machine was measured, and the versions that decide numbers."""
    gpu = f"{machine.gpu}, driver {machine.driver}" if machine.gpu else "none"
    quota = "" if machine.quota is None else f", of which {machine.quota:g} may be busy"
    return pairs(
        {
            "processor": machine.cpu,
            "instruction sets": ", ".join(machine.isa) or "unknown",
            "cores": f"{machine.cores}{quota}",
            "memory": f"{machine.memory_mb:,} MiB" if machine.memory_mb else "unknown",
            "frequency governor": machine.governor or "unknown",
            "GPU": gpu,
            "system": f"{machine.os}, {machine.arch}",
            "Python": machine.python,
            **machine.versions,
            "machine key": machines.speed_key(machine),
        }
    )


def pairs(facts: dict[str, str]) -> Grid:
    """List facts by name; one of which nothing is said is left out."""
    said = {name: fact for name, fact in facts.items() if fact}
    return _grid([("", list(said), True), ("", list(said.values()), True)])


def operators(row: Row) -> str:
    """Name the operators of a node or a group."""
    if len(row.nodes) == 1:
        return next(iter(row.operators))
    return ", ".join(f"{n} {operator}" for operator, n in row.operators.items())


def _grid(columns: Sequence[tuple[str, Sequence[str], bool]]) -> Grid:
    return Grid(
        tuple(title for title, _, _ in columns),
        tuple(zip(*(cells for _, cells, _ in columns), strict=True)),
        tuple(words for _, _, words in columns),
    )


def _digits(estimate: Estimate | None) -> str:
    return MISSING if estimate is None else digits(estimate.value)


def _cosine(quality: Quality | None) -> str:
    if quality is None or quality.cosine is None:
        return MISSING
    return f"{quality.cosine.value:.5f} ({quality.cosine.low:.5f})"


def _percent(value: float | None) -> str:
    return MISSING if value is None else f"{100 * value:.1f} %"


def _sqnr(row: Row) -> str:
    if row.noise is None:
        return MISSING
    return "exact" if row.noise.sqnr_db is None else f"{row.noise.sqnr_db:.1f}"


def _us(us: float | None) -> str:
    if us is None:
        return MISSING
    return f"{us / 1000:.2f} ms" if abs(us) >= 1000 else f"{digits(us)} µs"


def _cost(row: Row) -> str:
    if row.cost_us is None or row.cost_share is None:
        return MISSING
    return f"{row.cost_us:+.1f} µs ({100 * row.cost_share:+.1f} %)"
