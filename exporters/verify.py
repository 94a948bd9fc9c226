"""Hold an exported model against its original, an element at a time.

The bound is made from the original itself: it is run in its own precision and in double, and the
exported model may lie ten times as far from the double answer as the original does, or ten times
eight units in the last place of the output's largest value where the original is closer than that.
An element where the original is close by luck says little of its precision (of two errors that are
equally large on average, one is ten times the other in 6 of 100 elements), so the root mean square
of its errors in that output, over all that was compared so far, counts where that is larger.
A module that can't run in double is compared with its own answer instead: a hundred-thousandth of
the largest value (eight units in the last place, where the type is that coarse) and a thousandth of
the element.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import numpy as np
import torch

from edgekit.errors import FactoryFailed, RunFailed, VerificationFailed
from edgekit.metrics import Closeness, closeness, within
from edgekit.package.values import OutputCloseness, Tolerance, Verification
from edgekit.tensors import Array, Feed, Signature, TensorSpec, resize
from exporters.answers import answers
from exporters.arrays import to_numpy, to_torch
from exporters.original import Original
from exporters.sizes import drawn, in_words

FACTOR = 10.0
UNITS = 8.0
SHARE_OF_LARGEST = 1e-5
RELATIVE = 1e-3
RULE_DOUBLE = (
    "|exported - original in double| <= 10 x max(|original - original in double|, "
    "its root mean square so far, 8 eps x largest value)"
)
RULE_SINGLE = (
    "|exported - original| <= max(1e-5, 8 eps) x largest value + 1e-3 x |original|, because the "
    "module can't run in double"
)
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


class _Errors:
    """The original's own errors in one output, over everything that was tried so far."""

    def __init__(self) -> None:
        self._squares = 0.0
        self._elements = 0

    def add(self, errors: Array) -> float:
        """Take in the errors of one answer; return the root mean square of all so far."""
        self._squares += float(np.sum(np.square(errors)))
        self._elements += errors.size
        return float(np.sqrt(self._squares / self._elements))


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
    held = _Comparison(original, exported, signature, tolerance)
    tried = []
    for combination in sizes:
        tried.append(combination)
        resized = resize(signature, example, combination)
        draws = [drawn(signature, resized, seed=seed + draw) for draw in range(1, DRAWS + 1)]
        for feed in (resized, *draws):
            held.add(feed, where=in_words(combination))
    for index, case_feed in enumerate(real):
        held.add(case_feed, where=f"evaluation case {index}")
    verification = Verification(sizes=tuple(tried), draws=DRAWS, rule=held.rule())
    return held.closenesses(), verification


class _Comparison:
    """What exported model and original are compared by, and how far apart they came so far."""

    def __init__(
        self,
        original: Original,
        exported: Callable[[Feed], Mapping[str, Array]],
        signature: Signature,
        tolerance: float | None,
    ) -> None:
        self._original = original
        self._double = original.in_double()
        self._exported = exported
        self._specs = {spec.name: spec for spec in signature.outputs}
        self._tolerance = tolerance
        self._all_in_double = True
        self._worst: dict[str, _Worst] = {}
        self._errors: dict[str, _Errors] = {}

    def add(self, feed: Feed, *, where: str) -> None:
        """Compare the answers to one feed, and raise if any output is not the original's."""
        expected = answers(self._original, feed, where=where)
        precise = _in_double(self._double, feed)
        try:
            got = self._exported(feed)
        except RunFailed as error:
            raise VerificationFailed(
                output=", ".join(expected), sizes=where, problem=error.facts["problem"]
            ) from error
        for output, array in expected.items():
            exact = precise.get(output)
            if exact is not None and exact.shape != array.shape:
                exact = None
            self._all_in_double &= exact is not None or array.dtype.kind in "biu"
            errors = self._errors.setdefault(output, _Errors())
            reference, bound, told = _bound(array, exact, self._tolerance, errors)
            _hold(output, where, got.get(output), array, reference, bound, self._specs.get(output))
            self._worst.setdefault(output, _Worst()).add(closeness(got[output], reference), told)

    def closenesses(self) -> tuple[OutputCloseness, ...]:
        return tuple(entry.result(output) for output, entry in self._worst.items())

    def rule(self) -> str:
        if self._tolerance is not None:
            return f"|exported - original| <= {self._tolerance:g} x largest value (asked for)"
        return RULE_DOUBLE if self._all_in_double else RULE_SINGLE


def refuse_unsteady(original: Original, feed: Feed, first: Mapping[str, Array]) -> None:
    """Refuse an original that answers `feed` otherwise than it did the `first` time.

    Raises:
        FactoryFailed: it does.
    """
    for output, array in answers(original, feed).items():
        before = first[output]
        if array.shape != before.shape:
            problem = f"{output} has the shape {list(before.shape)} and then {list(array.shape)}"
        else:
            _, bound, _ = _bound(before, None, None, _Errors())
            mismatch = within(array, before, absolute=bound, relative=0.0)
            if mismatch is None:
                continue
            problem = f"{output}: {mismatch}"
        raise FactoryFailed(
            target="The original module",
            problem="answers the same input differently from call to call: it draws random "
            "numbers, or keeps something between calls, and an exported model can do neither "
            f"({problem})",
        )


def _in_double(double: Original | None, feed: Feed) -> dict[str, Array]:
    """Run the original in double; empty where it can't run so."""
    if double is None:
        return {}
    tensors = {
        name: tensor.double() if tensor.is_floating_point() else tensor
        for name, tensor in ((name, to_torch(array)) for name, array in feed.items())
    }
    try:
        return {name: to_numpy(t) for name, t in double(tensors).items()}
    except Exception:  # a module that fixes a type inside raises whatever its operators raise
        return {}


def _bound(
    array: Array, exact: Array | None, tolerance: float | None, errors: _Errors
) -> tuple[Array, Array | float, Tolerance]:
    """Choose what to compare with, and how far each element may be from it.

    `array` is the original's answer and `exact` its answer in double, if it has one; `errors` are
    its own in this output so far. Returns the
    reference, the bound of each element, and what a check on another device may allow.
    """
    if array.dtype.kind in "biu" or array.size == 0:
        return array, 0.0, Tolerance(0.0, 0.0)
    wide = array.astype(np.float64)
    finite = np.abs(wide[np.isfinite(wide)])
    largest = float(finite.max()) if finite.size else 0.0
    if exact is not None:
        # What overflows in the original's own precision must overflow in the exported model too.
        precise = exact.astype(np.float64)
        usable = np.isfinite(wide) & np.isfinite(precise)
        reference = np.where(usable, precise, wide)
    else:
        usable, reference = np.isfinite(wide), wide
    if tolerance is not None:
        return reference, tolerance * largest, Tolerance(tolerance * largest, 0.0)
    units = UNITS * _eps(array)
    size = np.where(usable, wide, 0.0)
    if exact is None:
        share = max(SHARE_OF_LARGEST, units)
        bound = share * largest + RELATIVE * np.abs(size)
        return reference, bound, Tolerance(share * largest, RELATIVE)
    own = np.abs(size - np.where(usable, reference, 0.0))
    typical = errors.add(own)
    bound = FACTOR * np.maximum(own, max(typical, units * largest))
    return reference, bound, Tolerance(float(np.max(bound)), 0.0)


def _eps(array: Array) -> float:
    if array.dtype.name == "bfloat16":
        return 2.0**-7
    return float(np.finfo(array.dtype).eps)


def _hold(
    output: str,
    where: str,
    got: Array | None,
    array: Array,
    reference: Array,
    bound: Array | float,
    spec: TensorSpec | None,
) -> None:
    def fail(problem: str) -> VerificationFailed:
        return VerificationFailed(output=output, sizes=where, problem=problem)

    if got is None:
        raise fail("it is missing")
    if got.shape != array.shape:
        raise fail(f"its shape is {list(got.shape)} and the original's is {list(array.shape)}")
    if got.dtype != array.dtype:
        raise fail(f"its type is {got.dtype.name} and the original's is {array.dtype.name}")
    for axis, dim in enumerate(spec.shape if spec is not None else ()):
        if isinstance(dim, int) and got.shape[axis] != dim:
            raise fail(f"axis {axis} is said to be {dim} at any size and is {got.shape[axis]}")
    mismatch = within(got, reference, absolute=bound, relative=0.0)
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
