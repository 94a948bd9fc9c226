"""Run the reference cases on this very machine and hold the answers against the original's."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import msgspec

from edgekit.errors import CorruptPackage
from edgekit.package.values import Package, Tolerance
from edgekit.tensors import Array, Signature, dim_sizes
from edgekit.terms import Status


class CheckRow(msgspec.Struct, frozen=True):
    """One output of one reference case.

    `allowed` is the distance that the output's largest element may have, in the output's unit;
    `mismatch` says where the answer is off.
    """

    case: int
    sizes: dict[str, int]
    output: str
    max_abs_error: float
    cosine: float
    allowed: float
    status: Status
    mismatch: str = ""


class CheckReport(msgspec.Struct, frozen=True):
    """How far a model's answers on this machine lie from the recorded ones."""

    package: str
    variant: str
    provider: str
    machine: str
    rows: tuple[CheckRow, ...]

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


def check_cases(model: _Answers, folder: Path, package: Package, *, variant: str) -> CheckReport:
    """Run every reference case of `package` through `model`.

    Raises:
        CorruptPackage: there is no case, or one without an answer or a tolerance for each output.
        HashMismatch: the file of the cases is not the one that was packed.
    """
    # Imported here: an app that never checks itself should not pay for reading safetensors.
    from edgekit import machine
    from edgekit.metrics import closeness, largest, within
    from edgekit.package.cases import open_cases

    assert package.reference is not None
    tolerances = _tolerances(package, variant)
    rows = []
    for index, case in enumerate(open_cases(folder, package, package.reference).open()):
        got = model.named(model(case.feed))
        recorded = case.outputs or {}
        if not got.keys() == recorded.keys() <= tolerances.keys():
            raise CorruptPackage(
                path=str(folder),
                problem=f"its reference case {index} doesn't hold an answer and a tolerance for "
                f"each of the outputs {', '.join(got)}",
            )
        for output, expected in recorded.items():
            tolerance = tolerances[output]
            mismatch = within(
                got[output], expected, absolute=tolerance.absolute, relative=tolerance.relative
            )
            distance = closeness(got[output], expected)
            rows.append(
                CheckRow(
                    case=index,
                    sizes=dim_sizes(model.signature, case.feed),
                    output=output,
                    max_abs_error=distance.max_abs_error,
                    cosine=distance.cosine,
                    allowed=tolerance.absolute + tolerance.relative * largest(expected),
                    status="passed" if mismatch is None else "failed",
                    mismatch="" if mismatch is None else str(mismatch),
                )
            )
    if not rows:
        raise CorruptPackage(path=str(folder), problem="it has no reference case")
    return CheckReport(
        package=model.name,
        variant=variant,
        provider=model.facts.provider,
        machine=machine.summary(machine.describe()),
        rows=tuple(rows),
    )


def _tolerances(package: Package, variant: str) -> dict[str, Tolerance]:
    chosen = next(v for v in package.variants if v.name == variant)
    return {entry.output: entry.tolerance for entry in chosen.closeness}
