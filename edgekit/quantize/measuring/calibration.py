"""How far the values of a float model go on real cases: the ranges that integers must span.

The smallest and largest numbers are found inside the graph (`edgekit.quantize.measuring.probing`),
and for a range that leaves the rarest out their histograms are made in a second pass, in the
process that runs the model (`edgekit.runtime.folding`), so many values at a time that their numbers
stay within `PORTION_BYTES`. What is kept doesn't grow with the cases.

Numbers that no integer range could span are left out: infinities, NaN, and what masks put in
(float32's lowest, or -10000 in front of a Softmax).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from onnx import TensorProto

from edgekit.errors import BadValue
from edgekit.quantize.elements import read_typed
from edgekit.quantize.floats.masks import behind_softmax
from edgekit.quantize.measuring.histograms import BINS, Histogram, entropy_range, percentile_range
from edgekit.quantize.measuring.probing import Probe, known_values
from edgekit.quantize.measuring.watching import Watch
from edgekit.runtime.folding import Fold
from edgekit.tensors import Feed
from edgekit.terms import CalibrationMethod

PERCENTILE = 99.99
"""How many per cent of a value's numbers the method of that name keeps."""

PORTION_BYTES = 1 << 26
"""How much the numbers of all values take of which histograms are made at once."""

HUGE = 1e30
"""From here on a number is a mask's, or came of one."""

MASKED = -9000.0
"""In front of a Softmax what is as low as this is a mask's: often it adds -10000."""

_BYTES = 4


class Range(msgspec.Struct, frozen=True):
    """The smallest and the largest number to span, as met: zero need not be between them."""

    low: float
    high: float


class Observed(msgspec.Struct, frozen=True):
    """The range of each value, over how many cases, and what the user must know of them."""

    ranges: dict[str, Range]
    cases: int
    notes: tuple[str, ...] = ()


def observe(
    model: Path,
    feeds: Callable[[], Iterable[Feed]],
    values: Collection[str],
    *,
    method: CalibrationMethod = "minmax",
    percentile: float = PERCENTILE,
    symmetric: bool = False,
    scratch: Path,
    wall_s: float,
    progress: Callable[[int, int], None] | None = None,
) -> Observed:
    """Run a float model over feeds and read off the range of each value.

    Args:
        model: the .onnx file, external data beside it.
        feeds: starts a pass over what goes in, the same each time; there are several.
        values: names of float32 values of the main graph, inputs among them.
        method: all that was met, all but the rarest numbers, or what tells the most in 8 bits.
        percentile: with the method of that name, how many per cent of the numbers are kept; half
            of the others is dropped on each side.
        symmetric: the integers' zero point is 0, which "entropy" must know.
        scratch: a folder for the models that are run; nothing is left there.
        wall_s: how long loading, or a single run, may take.
        progress: called with the runs done and the runs in all, as far as that is known.

    Returns:
        A range for every value: (0, 0) for one that was never there, or has no finite number.

    Raises:
        BadValue: there are no feeds, or no such percentile.
        UnknownName: there is no such float32 value in the main graph.
        InputError: a feed doesn't fit the model.
        ModelFileError, RunFailed, WorkerError: it can't be read or run.
    """
    if not 50 < percentile <= 100:
        raise BadValue(
            what="percentile", asked=f"{percentile:g}", expected="more than 50, and at most 100"
        )
    typed = read_typed(model)
    names = known_values(typed, values)
    with Watch(model, scratch=scratch, wall_s=wall_s, progress=progress) as watch:
        extremes, odd = _extremes(typed, feeds, names, watch=watch)
        cases = watch.cases
        ranges = {name: Range(low, high) for name, (low, high, _) in extremes.items()}
        if method != "minmax":
            for histograms in _histograms(typed, feeds, extremes, watch=watch):
                for name, histogram in histograms.items():
                    low, high = (
                        percentile_range(histogram, percentile)
                        if method == "percentile"
                        else entropy_range(histogram, symmetric=symmetric)
                    )
                    ranges[name] = Range(low, high)
    return Observed(ranges, cases, _notes(odd))


def _extremes(
    typed: Any, feeds: Callable[[], Iterable[Feed]], names: list[str], *, watch: Watch
) -> tuple[dict[str, tuple[float, float, int]], list[str]]:
    """Find the smallest and largest number of each value, and how many numbers it has at most.

    Returns also the values of which something was left out that no mask explains.
    """
    masks = behind_softmax(typed.graph)
    found: dict[str, tuple[float, float, int]] = {}
    plain = [name for name in names if name not in masks]
    careful = [name for name in names if name in masks]
    odd: list[str] = []
    if plain:
        for name, (low, high, size, whole) in _met(
            typed, feeds, plain, watch, filters=None
        ).items():
            found[name] = (low, high, size)
            # A sum is infinite or NaN if any of its terms is.
            if not np.isfinite(whole) or low <= -HUGE or high >= HUGE:
                odd.append(name)
    if odd or careful:
        floors = {name: MASKED if name in masks else -HUGE for name in (*odd, *careful)}
        again = _met(typed, feeds, list(floors), watch, filters=floors)
        found.update({name: (low, high, size) for name, (low, high, size, _) in again.items()})
    return {name: (*_span(*found[name][:2]), found[name][2]) for name in names}, odd


def _met(
    typed: Any,
    feeds: Callable[[], Iterable[Feed]],
    names: list[str],
    watch: Watch,
    *,
    filters: dict[str, float] | None,
) -> dict[str, tuple[float, float, int, float]]:
    """Run once for the smallest, the largest, the size and the sum of values.

    With `filters` only numbers above that of each and below HUGE count, and the sum is none.
    """
    probe = Probe(typed)
    folds: dict[str, Fold] = {}
    asked: dict[str, tuple[str, str, str, str]] = {}
    for name in names:
        flat = probe.flat(name)
        low, high = flat, flat
        if filters is not None:
            floor = probe.constant(np.array(filters[name], np.float32))
            ceiling = probe.constant(np.array(HUGE, np.float32))
            inside = probe.node(
                "And", probe.node("Greater", flat, floor), probe.node("Less", flat, ceiling)
            )
            low = probe.node("Where", inside, flat, probe.constant(np.array(np.inf, np.float32)))
            high = probe.node("Where", inside, flat, probe.constant(np.array(-np.inf, np.float32)))
        answers = (
            probe.answer(probe.reduced("ReduceMin", low, 0)),
            probe.answer(probe.reduced("ReduceMax", high, 0)),
            probe.answer(probe.node("Size", name), dtype=TensorProto.INT64),
            "" if filters else probe.answer(probe.reduced("ReduceSum", flat, 0)),
        )
        folds |= {answers[0]: Fold("min"), answers[1]: Fold("max"), answers[2]: Fold("max")}
        if answers[3]:
            folds[answers[3]] = Fold("sum")
        asked[name] = answers
    kept = watch.run(probe, feeds, folds=folds)
    return {
        name: (
            float(kept[answers[0]]),
            float(kept[answers[1]]),
            int(kept[answers[2]]),
            float(kept[answers[3]]) if answers[3] else 0.0,
        )
        for name, answers in asked.items()
    }


def _histograms(
    typed: Any,
    feeds: Callable[[], Iterable[Feed]],
    extremes: dict[str, tuple[float, float, int]],
    *,
    watch: Watch,
) -> Iterator[dict[str, Histogram]]:
    """Count the numbers of each value in bins, as many values in a pass as are small together."""
    portions: list[list[str]] = []
    room = 0
    for name, (low, high, size) in extremes.items():
        if not _divisible(low, high):
            continue
        if not portions or size * _BYTES > room:
            portions.append([])
            room = PORTION_BYTES
        portions[-1].append(name)
        room -= size * _BYTES
    for passed, portion in enumerate(portions):
        probe = Probe(typed)
        answers = {}
        for name in portion:
            low, high, _ = extremes[name]
            numbers = probe.answer(probe.flat(name), f"numbers of {name}")
            answers[numbers] = Fold("histogram", low, high, BINS)
        kept = watch.run(probe, feeds, folds=answers, more=len(portions) - passed - 1)
        yield {
            name: Histogram(fold.low, fold.high, kept[answer])
            for name, (answer, fold) in zip(portion, answers.items(), strict=True)
        }


def _divisible(low: float, high: float) -> bool:
    """Tell whether float32 can tell the bins of a range apart."""
    with np.errstate(over="ignore", divide="ignore"):
        return high > low and bool(np.isfinite(np.float32(BINS) / np.float32(high - low)))


def _span(low: float, high: float) -> tuple[float, float]:
    """Make a range of what was met; where nothing was, that of zero."""
    return (low, high) if low <= high and np.isfinite([low, high]).all() else (0.0, 0.0)


def _notes(odd: list[str]) -> tuple[str, ...]:
    if not odd:
        return ()
    named = ", ".join(odd[:3]) + (f" and {len(odd) - 3} more" if len(odd) > 3 else "")
    return (
        f"infinities, NaN or numbers beyond {HUGE:.0e} were met in {named}, and left out of "
        f"{'its range' if len(odd) == 1 else 'their ranges'}",
    )
