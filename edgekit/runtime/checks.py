"""Run the reference cases on this very machine and hold the answers against the original's."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import msgspec

from edgekit.errors import CorruptPackage
from edgekit.fixed_sizes import fitting
from edgekit.package.reading import graph_of
from edgekit.package.values import Package, Tolerance, Variant
from edgekit.tensors import BY_SHAPE, Array, Signature, dim_sizes, random_outputs
from edgekit.terms import Status


class CheckRow(msgspec.Struct, frozen=True):
    """One output of one reference case.

    `allowed` is the distance that the output's largest element may have, in the output's unit;
    `mismatch` says where the answer is off. A random output has no distance, as `note` says.
    """

    case: int
    sizes: dict[str, int]
    output: str
    max_abs_error: float | None
    cosine: float | None
    allowed: float | None
    status: Status
    mismatch: str = ""
    note: str = ""


class CheckReport(msgspec.Struct, frozen=True):
    """How far a model's answers on this machine lie from the recorded ones.

    `note` says where what the variant kept of the accuracy was measured, if not on such a machine.
    """

    package: str
    variant: str
    provider: str
    machine: str
    rows: tuple[CheckRow, ...]
    note: str = ""

    @property
    def passed(self) -> bool:
        """Whether every output of every case is within its tolerance."""
        return all(row.status == "passed" for row in self.rows)


class _Answers(Protocol):
    name: str
    signature: Signature
    facts: Any

    def __call__(self, feed: Any, /) -> Any: ...

    def named(self, answer: Any) -> dict[str, Array]: ...


def check_cases(
    model: _Answers, folder: Path, *, package: Package, variant: Variant, note: str = ""
) -> CheckReport:
    """Run every reference case of a variant's graph through `model`, which is that variant.

    `note` is for the report.

    Raises:
        CorruptPackage: there is no case, or one without an answer or a tolerance for each output.
        HashMismatch: the file of the cases is not the one that was packed.
    """
    # Imported here: an app that never checks itself should not pay for reading safetensors.
    from edgekit import machine
    from edgekit.package.cases import open_cases

    graph = graph_of(package, variant)
    assert graph.reference is not None
    tolerances: dict[str, Tolerance | None] = {e.output: e.tolerance for e in variant.closeness}
    tolerances.update(dict.fromkeys(random_outputs(graph.signature)))
    rows = []
    cases = open_cases(folder, package, graph.reference).open()
    if variant.sizes:
        cases = fitting(cases, graph.signature, variant.sizes)
    for index, case in enumerate(cases):
        got = model.named(model(case.feed))
        recorded = case.outputs or {}
        if not got.keys() == recorded.keys() <= tolerances.keys():
            raise CorruptPackage(
                path=str(folder),
                problem=f"its reference case {index} doesn't hold an answer and a tolerance for "
                f"each of the outputs {', '.join(got)}",
            )
        sizes = dim_sizes(model.signature, case.feed)
        rows += [
            _row(index, sizes, output, got[output], recorded[output], tolerances[output])
            for output in recorded
        ]
    if not rows:
        raise CorruptPackage(path=str(folder), problem="it has no reference case")
    return CheckReport(
        package=model.name,
        variant=variant.name,
        provider=model.facts.provider,
        machine=machine.summary(machine.describe()),
        rows=tuple(rows),
        note=note,
    )


def _row(
    case: int,
    sizes: dict[str, int],
    output: str,
    got: Array,
    expected: Array,
    tolerance: Tolerance | None,
) -> CheckRow:
    """Hold one output against the recorded one; by its shape and dtype without a tolerance."""
    from edgekit.metrics import closeness, largest, other_form, within

    if tolerance is None:
        off = other_form(got, expected)
        status: Status = "failed" if off else "passed"
        return CheckRow(case, sizes, output, None, None, None, status, off, BY_SHAPE)
    mismatch = within(got, expected, absolute=tolerance.absolute, relative=tolerance.relative)
    distance = closeness(got, expected)
    return CheckRow(
        case=case,
        sizes=sizes,
        output=output,
        max_abs_error=distance.max_abs_error,
        cosine=distance.cosine,
        allowed=tolerance.absolute + tolerance.relative * largest(expected),
        status="passed" if mismatch is None else "failed",
        mismatch="" if mismatch is None else str(mismatch),
    )
