"""Which values a variant is made with, and on which it is judged."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from edgekit import data
from edgekit.fixed_sizes import fitting_dataset
from edgekit.package.cases import open_cases
from edgekit.package.reading import graph_of
from edgekit.package.values import Calibration, Package, Variant
from edgekit.quantize.scheme import SchemeInfo
from edgekit.tensors import Dataset, Feed


class Given(msgspec.Struct, frozen=True):
    """Values to make a variant with, a new pass at every call, and cases to judge it on.

    `evaluation` is None where the package's own cases judge; `synthetic` says that the values were
    made up, and `repeated` that many of the cases that judge repeat others.
    """

    feeds: Callable[[], Iterator[Feed]]
    cases: int
    calibration: Calibration | None
    evaluation: Dataset | None
    synthetic: bool
    repeated: str = ""


def given_data(
    path: Path,
    package: Package,
    parent: Variant,
    *,
    info: SchemeInfo,
    calib_data: str | None,
    eval_data: str | None,
    synthetic: bool,
) -> Given:
    """Open and check what a scheme is to look at, before anything long starts.

    It is what was asked for, else the package's calibration cases. Without either a scheme that
    needs values gets made-up ones, if that is allowed, and one that only profits gets the package's
    reference cases.

    Raises:
        BadValue: data are missing, don't fit the model, or are those that it is judged on.
        InputError, NotFound, CorruptPackage, FactoryFailed, MissingExtra: they can't be read.
    """
    graph = graph_of(package, parent)
    signature = graph.signature
    evaluation = None
    if eval_data is not None:
        evaluation = data.open_data(eval_data, signature, split="test", metric=package.metric)
    if calib_data is not None:
        calibration: Dataset | None = data.open_data(calib_data, signature, split="train")
    else:
        calibration = data.package_data(path, package, graph, split="train")
    reference = open_cases(path, package, graph.reference) if graph.reference else None
    if calibration is None and info.needs_data:
        if not synthetic:
            raise data.without_data(str(path), what=info.name)
        like = [case.feed for case in reference.open()] if reference else []
        calibration = data.synthetic(signature, like=like)
    judged_on = evaluation or data.package_data(path, package, graph, split="test")
    if calibration is not None and judged_on is not None:
        data.refuse_overlap(calibration, judged_on, signature=signature)
    looked_at = calibration or reference
    if looked_at is not None:
        looked_at = fitting_dataset(looked_at, signature, parent.sizes)
    repeated = data.repeats_note(judged_on) if judged_on is not None else ""

    def feeds() -> Iterator[Feed]:
        for case in looked_at.open() if looked_at is not None else ():
            yield case.feed

    if looked_at is None:
        return Given(feeds, 0, None, evaluation, synthetic=False, repeated=repeated)
    return Given(
        feeds=feeds,
        cases=looked_at.cases,
        calibration=Calibration(
            dataset=looked_at.name,
            cases=looked_at.cases,
            # Of reference cases, which are there to be looked at, nothing need be proven.
            rows=data.rows_of(looked_at, signature) if calibration is not None else (),
            synthetic=looked_at.synthetic,
        ),
        evaluation=evaluation,
        synthetic=looked_at.synthetic,
        repeated=repeated,
    )
