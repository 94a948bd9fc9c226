"""What `benchmarks.gpu` is to show, and whether it does."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import msgspec

from benchmarks.gpu_values import EngineStarts, Results, Unit, key
from benchmarks.gpu_ways import label, named
from edgekit.measure import statistics
from edgekit.metrics import Estimate

WITHIN = 1.3
"""How many times as long as PyTorch's best CUDA with graphs may take."""

BEYOND_READING_MS = 1000.0
"""How much longer than reading what is kept a second start may take, with its first answer."""

Standing = Literal["passed", "failed", "undecided", "not measured"]

_COMPILED, _TENSORRT, _GRAPHS = (
    named(name) for name in ("compiled-fp16", "tensorrt-fp16", "fp16-graphs")
)


class Verdict(msgspec.Struct, frozen=True):
    """A goal for one model: what was to be reached, whether it was, and the figure or the lack."""

    goal: str
    model: str
    standing: Standing
    says: str


def verdicts(results: Results, models: Iterable[str], *, provider: str = "cuda") -> list[Verdict]:
    """Judge every goal for every model, on the worse end of its interval where there is one."""
    found = []
    best = label(_COMPILED, provider)
    for model in models:
        unit = results.units.get(key(model, 1, "device"))
        missing = results.problems.get(model, "not run yet")
        for way, least in ((_TENSORRT, 1.0), (_GRAPHS, 1 / WITHIN)):
            name = label(way, provider)
            bar = "as fast as" if least == 1 else f"within {WITHIN:g} times of"
            goal = f"{name} {bar} {best}, batch 1"
            found.append(_at_least(goal, model, least, unit, (best, name), missing))
        found.append(_second_start(model, results.engines.get(model, missing)))
    return found


def _at_least(
    goal: str, model: str, least: float, unit: Unit | None, rows: tuple[str, str], missing: str
) -> Verdict:
    measured = {m.label: m for m in unit.bench.measurements} if unit and unit.bench else {}
    for row in rows:
        if row not in measured:
            why = unit.left_out.get(row, missing) if unit else missing
            return Verdict(goal, model, "not measured", f"{row}: {why}" if unit else why)
    theirs, ours = ([start.rounds for start in measured[row].starts] for row in rows)
    ratio = statistics.speedup(theirs, ours)
    return Verdict(goal, model, _judged(ratio, least), _in_words(ratio))


def _judged(ratio: Estimate, least: float) -> Standing:
    if ratio.low >= least:
        return "passed"
    return "failed" if ratio.high < least else "undecided"


def _in_words(ratio: Estimate) -> str:
    return f"×{ratio.value:.3g} [{ratio.low:.3g}, {ratio.high:.3g}]"


def _second_start(model: str, engine: EngineStarts | str) -> Verdict:
    goal = f"second start of TensorRT within {BEYOND_READING_MS / 1e3:g} s of reading the engine"
    if isinstance(engine, str):
        return Verdict(goal, model, "not measured", engine)
    second_ms = engine.second.load_ms + engine.second.first_call_ms
    first_ms = engine.first.load_ms + engine.first.first_call_ms
    passed = second_ms <= engine.read_ms + BEYOND_READING_MS
    says = (
        f"{second_ms:,.0f} ms, reading takes {engine.read_ms:,.0f} ms "
        f"(the first start {first_ms:,.0f} ms)"
    )
    return Verdict(goal, model, "passed" if passed else "failed", says)
