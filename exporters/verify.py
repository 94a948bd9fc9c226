"""Hold an exported model against its original: shapes, types, and every element.

What a difference may be is in `exporters.bounds`.
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
from exporters.bounds import RULE_DOUBLE, RULE_SINGLE, Errors, bound_of
from exporters.original import Original
from exporters.sizes import HALVES, beyond, drawn, in_words, is_large

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
    ties: bool = True,
    tolerance: float | None = None,
    seed: int = 0,
) -> tuple[tuple[OutputCloseness, ...], Verification]:
    """Compare at every size combination on the example's values and on drawn ones, then on `real`.

    Inputs that are many times larger than the example take one draw: a size's values tell little
    more there, and a batch of 64 photographs costs seconds each time.
    Float inputs whose range nobody stated are also drawn from beyond the example's, where the
    original answers there. Outputs that the signature calls random are compared by shape and type.
    `ties` says whether values may be equal without the order of equal ones deciding an answer.
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
        large = is_large(resized, example)
        if not large:
            held.add(resized, where=in_words(combination))
        for draw in range(1, 2 if large else DRAWS + 1):
            feed = drawn(signature, resized, seed=seed + draw)
            held.add_drawn(feed, otherwise=resized, where=in_words(combination))
    for what, outside in beyond(signature, example, seed=seed):
        if what == HALVES and not ties:
            continue
        held.add_where_answered(outside, where=f"values {what}{_IF_NEVER}", ties=what == HALVES)
    for index, case_feed in enumerate(real):
        held.add(case_feed, where=f"evaluation case {index}")
    verification = Verification(sizes=tuple(tried), draws=DRAWS, rule=held.rule())
    return held.closenesses(), verification


_IF_NEVER = " (if inputs are never like that, state their range: Exportable(values=…))"


def _answers_to(original: Original, feed: Feed) -> bool:
    try:
        answers(original, feed)
    except FactoryFailed:
        return False
    return True


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
        self._stated = all(spec.values is not None for spec in signature.inputs)
        self._specs = {spec.name: spec for spec in signature.outputs}
        self._tolerance = tolerance
        self._all_in_double = True
        self._worst: dict[str, _Worst] = {}
        self._errors: dict[str, Errors] = {}

    def add_drawn(self, feed: Feed, *, otherwise: Feed, where: str) -> None:
        """Compare the answers to drawn values, which the original must answer if it said so; to
        `otherwise` where it didn't, and can't.
        """
        if self._stated or _answers_to(self._original, feed):
            self.add(feed, where=f"{where} on drawn values")
        else:
            self.add(otherwise, where=where)

    def add_where_answered(self, feed: Feed, *, where: str, ties: bool) -> None:
        """Compare the answers to a feed that the original may refuse, or give no number for.

        Where there are `ties` in the feed, whole numbers aren't compared: which of two equal
        scores comes first is nobody's promise. The distance is held to the bound, then forgotten.
        """
        try:
            expected = answers(self._original, feed)
        except FactoryFailed:
            return
        numbers = [name for name, array in expected.items() if array.dtype.kind not in "biu"]
        if all(np.isfinite(expected[name].astype(np.float64)).all() for name in numbers):
            self.add(feed, where=where, measured=False, whole=not ties)

    def add(self, feed: Feed, *, where: str, measured: bool = True, whole: bool = True) -> None:
        """Compare the answers to one feed, and raise if any output is not the original's.

        Without `whole` numbers, truths or indices: those outputs by shape and type alone.
        """
        expected = answers(self._original, feed, where=where)
        precise = _in_double(self._double, feed)
        try:
            got = self._exported(feed)
        except RunFailed as error:
            raise VerificationFailed(
                output=", ".join(expected), sizes=where, problem=error.facts["problem"]
            ) from error
        for output in got.keys() - expected.keys():
            raise VerificationFailed(
                output=output, sizes=where, problem="the original does not answer it there"
            )
        for output, array in expected.items():
            spec = self._specs.get(output)
            _hold_form(output, where, got.get(output), array, spec)
            if spec is not None and spec.random:
                continue
            if array.dtype.kind in "biu" and not whole:
                continue
            exact = precise.get(output)
            if exact is not None and exact.shape != array.shape:
                exact = None
            self._all_in_double &= exact is not None or array.dtype.kind in "biu"
            errors = self._errors.setdefault(output, Errors()) if measured else Errors()
            reference, bound, told = bound_of(
                array, exact, tolerance=self._tolerance, errors=errors
            )
            _hold(output, where, got[output], reference, bound)
            if measured:
                self._worst.setdefault(output, _Worst()).add(
                    closeness(got[output], reference), told
                )

    def closenesses(self) -> tuple[OutputCloseness, ...]:
        return tuple(entry.result(output) for output, entry in self._worst.items())

    def rule(self) -> str:
        if self._tolerance is not None:
            return f"|exported - original| <= {self._tolerance:g} x largest value (asked for)"
        return RULE_DOUBLE if self._all_in_double else RULE_SINGLE


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


def _hold_form(
    output: str, where: str, got: Array | None, array: Array, spec: TensorSpec | None
) -> None:
    problem = ""
    if got is None:
        problem = "it is missing"
    elif got.shape != array.shape:
        problem = f"its shape is {list(got.shape)} and the original's is {list(array.shape)}"
    elif got.dtype != array.dtype:
        problem = f"its type is {got.dtype.name} and the original's is {array.dtype.name}"
    else:
        for axis, dim in enumerate(spec.shape if spec is not None else ()):
            if isinstance(dim, int) and got.shape[axis] != dim:
                problem = f"axis {axis} is said to be {dim} at any size and is {got.shape[axis]}"
    if problem:
        raise VerificationFailed(output=output, sizes=where, problem=problem)


def _hold(output: str, where: str, got: Array, reference: Array, bound: Array | float) -> None:
    mismatch = within(got, reference, absolute=bound, relative=0.0)
    if mismatch is not None:
        allowed = bound if isinstance(bound, float) else float(bound[mismatch.index])
        raise VerificationFailed(
            output=output, sizes=where, problem=f"{mismatch} (allowed: {allowed:.3g})"
        )


def torch_versions() -> dict[str, str]:
    """Name the versions that decide what an export looks like."""
    import onnx
    import onnxscript

    return {
        "onnx": onnx.__version__,
        "onnxscript": onnxscript.__version__,
        "torch": torch.__version__.partition("+")[0],
    }
