"""Hold an exported model against its original, an element at a time.

The bound is made from the original itself: it is run in its own precision and in double, and the
exported model may lie ten times as far from the double answer as the original does, or ten times
eight units in the last place of the output's largest value where the original is closer than that.
A module that can't run in double is compared with its own answer instead.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import torch

from edgekit.errors import FactoryFailed, VerificationFailed
from edgekit.metrics import Closeness, closeness, within
from edgekit.package.values import OutputCloseness, Tolerance, Verification
from edgekit.tensors import Array, Feed, Signature, resize
from exporters.original import Original, to_numpy, to_torch
from exporters.sizes import drawn, in_words

FACTOR = 10.0
UNITS = 8.0
SHARE_OF_LARGEST = 1e-5
RELATIVE = 1e-3
RULE_DOUBLE = (
    "|exported - original in double| <= 10 x max(|original - original in double|, "
    "8 eps x largest value)"
)
RULE_SINGLE = "|exported - original| <= 1e-5 x largest value + 1e-3 x |original|"
DRAWS = 2


class _Worst:
    """The furthest that one output was from the original, over everything that was tried."""

    def __init__(self) -> None:
        self.max_abs_error = 0.0
        self.max_rel_error = 0.0
        self.cosine = 1.0
        self.sqnr_db: float | None = None
        self.absolute = 0.0
        self.relative = 0.0

    def add(self, distance: Closeness, tolerance: Tolerance) -> None:
        self.max_abs_error = max(self.max_abs_error, distance.max_abs_error)
        self.max_rel_error = max(self.max_rel_error, distance.max_rel_error)
        self.cosine = min(self.cosine, distance.cosine)
        if distance.sqnr_db is not None:
            self.sqnr_db = min(self.sqnr_db or distance.sqnr_db, distance.sqnr_db)
        self.absolute = max(self.absolute, tolerance.absolute)
        self.relative = max(self.relative, tolerance.relative)

    def result(self, output: str) -> OutputCloseness:
        return OutputCloseness(
            output=output,
            max_abs_error=self.max_abs_error,
            max_rel_error=self.max_rel_error,
            cosine=self.cosine,
            sqnr_db=self.sqnr_db,
            tolerance=Tolerance(self.absolute, self.relative),
        )


def verify(
    original: Original,
    exported: Callable[[Feed], Mapping[str, Array]],
    signature: Signature,
    *,
    example: Feed,
    sizes: Iterable[dict[str, int]],
    real: Iterable[Feed] = (),
    tolerance: float | None = None,
    seed: int = 0,
) -> tuple[tuple[OutputCloseness, ...], Verification]:
    """Compare at every size combination on the example's values and on drawn ones, then on `real`.

    `tolerance` replaces the rule: a share of the output's largest absolute value.

    Raises:
        VerificationFailed: an output's shape or type differs, or an element lies outside the
            bound; names the output, the sizes and the difference.
        FactoryFailed: the original itself fails at a size inside its stated range.
    """
    double = original.in_double()
    worst: dict[str, _Worst] = {}
    tried = []
    rule = RULE_DOUBLE
    for combination in sizes:
        tried.append(combination)
        resized = resize(signature, example, combination)
        for draw in range(DRAWS):
            feed = resized if draw == 0 else drawn(signature, resized, seed=seed + draw)
            rule = _compare(original, double, exported, feed, combination, tolerance, worst, rule)
    for case_feed in real:
        rule = _compare(original, double, exported, case_feed, {}, tolerance, worst, rule)
    if tolerance is not None:
        rule = f"|exported - original| <= {tolerance:g} x largest value (asked for)"
    closenesses = tuple(entry.result(output) for output, entry in worst.items())
    return closenesses, Verification(sizes=tuple(tried), draws=DRAWS, rule=rule)


def _compare(
    original: Original,
    double: Original | None,
    exported: Callable[[Feed], Mapping[str, Array]],
    feed: Feed,
    sizes: Mapping[str, int],
    tolerance: float | None,
    worst: dict[str, _Worst],
    rule: str,
) -> str:
    where = in_words(sizes)
    expected = answers(original, feed, where=where)
    precise = _in_double(double, feed)
    got = exported(feed)
    for output, array in expected.items():
        reference = array if precise is None else precise.get(output, array)
        bound, told = _bound(array, reference, exact=precise is not None, tolerance=tolerance)
        _hold(output, where, got.get(output), array, reference, bound)
        worst.setdefault(output, _Worst()).add(closeness(got[output], reference), told)
    return rule if precise is not None else RULE_SINGLE


def answers(original: Original, feed: Feed, *, where: str) -> dict[str, Array]:
    """Run the original on a feed.

    Raises:
        FactoryFailed: it raises; the sentence says at which sizes.
    """
    tensors = {name: to_torch(array) for name, array in feed.items()}
    try:
        return {name: to_numpy(t) for name, t in original(tensors).items()}
    except Exception as error:  # the user's forward may raise anything
        raise FactoryFailed(
            target=f"The original module at {where}",
            problem=f"raised {type(error).__name__}: {' '.join(str(error).split())[:300]}. If it "
            "is not meant to run at that size, narrow the range: --dynamic INPUT=name:LOW..HIGH",
        ) from error


def _in_double(double: Original | None, feed: Feed) -> dict[str, Array] | None:
    if double is None:
        return None
    tensors = {
        name: tensor.double() if tensor.is_floating_point() else tensor
        for name, tensor in ((name, to_torch(array)) for name, array in feed.items())
    }
    try:
        return {name: to_numpy(t) for name, t in double(tensors).items()}
    except Exception:  # a module that fixes a type inside raises whatever its operators raise
        return None


def _bound(
    array: Array, reference: Array, *, exact: bool, tolerance: float | None
) -> tuple[Array | float, Tolerance]:
    """Return the allowed distance of each element, and what a check elsewhere may allow."""
    if array.dtype.kind in "biu" or array.size == 0:
        return 0.0, Tolerance(0.0, 0.0)
    wide, precise = array.astype(np.float64), reference.astype(np.float64)
    finite = np.abs(wide[np.isfinite(wide)])
    largest = float(finite.max()) if finite.size else 0.0
    if tolerance is not None:
        return tolerance * largest, Tolerance(tolerance * largest, 0.0)
    if not exact:
        bound = SHARE_OF_LARGEST * largest + RELATIVE * np.abs(wide)
        return bound, Tolerance(SHARE_OF_LARGEST * largest, RELATIVE)
    with np.errstate(invalid="ignore"):
        own = np.nan_to_num(np.abs(wide - precise), nan=0.0, posinf=0.0)
    bound = FACTOR * np.maximum(own, UNITS * _eps(array) * largest)
    return bound, Tolerance(float(np.max(bound)), 0.0)


def _eps(array: Array) -> float:
    if array.dtype.name == "bfloat16":
        return 2.0**-7
    return float(np.finfo(array.dtype).eps)


def _hold(
    output: str, where: str, got: Any, array: Array, reference: Array, bound: Array | float
) -> None:
    def fail(problem: str) -> VerificationFailed:
        return VerificationFailed(output=output, sizes=where, problem=problem)

    if got is None:
        raise fail("it is missing")
    if got.shape != array.shape:
        raise fail(f"its shape is {list(got.shape)} and the original's is {list(array.shape)}")
    if got.dtype != array.dtype:
        raise fail(f"its type is {got.dtype.name} and the original's is {array.dtype.name}")
    if array.dtype.kind in "biu":
        mismatch = within(got, array, absolute=0.0, relative=0.0)
    else:
        # What overflows in the original's own precision must overflow in the exported model too.
        own = array.astype(np.float64)
        held = np.where(np.isfinite(own), reference.astype(np.float64), own)
        mismatch = within(got, held, absolute=bound, relative=0.0)
    if mismatch is not None:
        allowed = bound if isinstance(bound, float) else float(bound[mismatch.index])
        raise fail(f"{mismatch} (allowed: {allowed:.3g})")


def torch_versions() -> dict[str, str]:
    """Name the versions that decide what an export looks like."""
    import onnx
    import onnxscript

    return {
        "onnx": onnx.__version__,
        "onnxscript": onnxscript.__version__,
        "torch": torch.__version__.partition("+")[0],
    }
