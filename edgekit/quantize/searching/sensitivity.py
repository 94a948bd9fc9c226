"""Which nodes of a model lose most when they are quantized, and what leaving them in float costs.

Each node, or group of nodes, is quantized alone, all others float, and the model that is so written
is run: its SQNR at the model's output is what that node costs. Beside it stands the estimate that
takes no run of the model a node (`edgekit.quantize.searching.local_noise`), by which the most
suspect are measured first.
"""

from __future__ import annotations

import itertools
import logging
import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from edgekit import machine, providers
from edgekit.errors import BadValue
from edgekit.measure.parents import float_parent
from edgekit.measure.ways import How
from edgekit.package import reading
from edgekit.package.values import PORTABLE
from edgekit.providers.targets import misfit
from edgekit.quantize import scheme as schemes
from edgekit.quantize.elements import label, read_typed
from edgekit.quantize.feeding import Given, given_data
from edgekit.quantize.scheme import Made, Work, Write, measured_in_place
from edgekit.quantize.searching.alone import Alone
from edgekit.quantize.searching.evaluation import Evaluation, Noise
from edgekit.quantize.searching.groups import NodeGroup, groups_of
from edgekit.quantize.searching.keeping import keep_sensitivity
from edgekit.quantize.searching.local_noise import local_noise, rounding_of
from edgekit.quantize.searching.node_costs import NodeCosts, node_costs
from edgekit.quantize.searching.ranking import Row, Sensitivity, carriers_of, estimate, ranked
from edgekit.quantize.targets import resolve
from edgekit.tensors import Case, Dataset, random_outputs
from edgekit.terms import Grain, Scheme

log = logging.getLogger("edgekit")

_HERE = "cpu"

Progress = Callable[[int, int], None]


def sensitivity(
    package: str | os.PathLike[str],
    *,
    scheme: Scheme = "int8-static",
    target: str | None = None,
    variant: str = PORTABLE,
    calib_data: str | None = None,
    synthetic: bool = False,
    cases: int = 8,
    by: Grain = "node",
    wall_s: float = 600.0,
    progress: Progress | None = None,
) -> Sensitivity:
    """Rank the nodes of a variant by what quantizing each alone costs at the model's output.

    What is found is kept beside the package, for `edgekit report`.

    Args:
        package: the package's folder.
        scheme: how it would be quantized, see `edgekit.terms.Scheme`.
        target: what it would be made for, see `edgekit.quantize.targets`; the scheme's own default.
        variant: the float32 variant; the first one unless given.
        calib_data: where real values to measure come from, see `edgekit.data.open_data`; the
            package's own calibration cases unless given, else its reference cases.
        synthetic: measure made-up values where there are no real ones and the scheme needs some.
        cases: how many of these are run for each node.
        by: each node alone, or each group of nodes that belong together.
        wall_s: how long the nodes may be measured in all; what is left then has its estimate
            alone. Loading a model, or a single run, may take as long, too.
        progress: called with what is done and what there is to do, of one step after the other.

    Raises:
        UnknownName: no such scheme, target or variant.
        BadValue: the variant isn't float32, nothing in it can be quantized, the target can't take
            the scheme, or there are no cases, or none that fit.
        ModelFileError, RunFailed, WorkerError: it can't be run.
        NotFound, CorruptPackage, HashMismatch: the package can't be read.
        MissingExtra: `onnx` is not installed.
    """
    path = Path(package)
    info = schemes.find(scheme)
    made_for = resolve(target, info)
    packed, parent = float_parent(path, variant, what=f"what {scheme} is made from")
    graph = reading.graph_of(packed, parent)
    data = given_data(
        path,
        packed,
        parent,
        info=info,
        calib_data=calib_data,
        eval_data=None,
        synthetic=synthetic,
    )
    few = _first(path, data, cases)
    with tempfile.TemporaryDirectory(prefix="edgekit-") as folder:
        work = Work(
            model=path / parent.model,
            scratch=Path(folder),
            feeds=data.feeds,
            cases=data.cases,
            target=made_for,
            rules=providers.find(made_for.provider).quant_rules(info.name, made_for),
            calibration=data.calibration,
            wall_s=wall_s,
            progress=progress,
        )
        log.info("measuring what %s's values are", parent.name)
        write = info.prepare(work)
        with Evaluation(
            work.model,
            few,
            scratch=work.scratch,
            metric=packed.metric,
            output=graph.signature.outputs[0].name,
            random=random_outputs(graph.signature),
            wall_s=wall_s,
        ) as evaluation:
            found = _measured(write, evaluation, work, few, scheme=scheme, by=by)
    ranking = Sensitivity(
        package=packed.name,
        variant=parent.name,
        scheme=scheme,
        target=made_for,
        by=by,
        rows=found.rows,
        whole=found.whole,
        nodes=len(found.made.nodes),
        kept=found.made.kept,
        carriers=found.carriers,
        without=found.without,
        float_us=found.costs.float_us if found.costs else None,
        quantized_us=found.costs.quantized_us if found.costs else None,
        cases=few.cases,
        dataset=few.name,
        calibrated_on=found.made.cases,
        synthetic=data.synthetic,
        notes=found.notes,
    )
    keep_sensitivity(path, packed, ranking)
    return ranking


class _Measured(msgspec.Struct, frozen=True):
    made: Made
    rows: tuple[Row, ...]
    whole: Noise
    carriers: tuple[str, ...]
    without: Noise | None
    costs: NodeCosts | None
    notes: tuple[str, ...]


def _measured(
    write: Write,
    evaluation: Evaluation,
    work: Work,
    few: Dataset,
    *,
    scheme: Scheme,
    by: Grain,
) -> _Measured:
    """Quantize everything, each unit alone, and everything but those that carry the loss."""
    path = work.scratch / "whole.onnx"
    made = write(path, ())
    whole = evaluation.noise(measured_in_place(made, work.target.provider) or path)
    typed = read_typed(work.model)
    operators = {label(node): str(node.op_type) for node in typed.graph.node}
    log.info("estimating the noise of %d nodes", len(made.nodes))
    estimates = local_noise(
        work.model,
        (case.feed for case in few.open()),
        made.nodes,
        rounding=rounding_of(scheme, work.rules),
        scratch=work.scratch,
        wall_s=work.wall_s,
        progress=work.progress,
    )
    units = tuple(NodeGroup(node, (node,)) for node in made.nodes)
    if by == "group":
        units = groups_of(typed, made.nodes)
    costs, untimed = _costs(path, work, few, typed, made.nodes)
    alone = Alone(write, evaluation, nodes=made.nodes, target=work.target, scratch=work.scratch)
    log.info("quantizing each of %d %ss alone", len(units), by)
    suspects = sorted(units, key=lambda unit: -estimate(unit, estimates)[0])
    noises = alone.each(suspects, wall_s=work.wall_s, progress=work.progress)
    rows = ranked(units, noises, estimates=estimates, operators=operators, costs=costs)
    carriers = carriers_of(rows)
    blamed = {node for row in rows if row.name in carriers for node in row.nodes}
    late = len(units) - len(noises)
    return _Measured(
        made=made,
        rows=rows,
        whole=whole,
        carriers=carriers,
        without=alone.noise(set(made.nodes) - blamed) if carriers else None,
        costs=costs,
        notes=(
            *made.notes,
            *([untimed] if untimed else []),
            *([_unmeasured(late, by, work.wall_s)] if late else []),
        ),
    )


def _costs(
    quantized: Path, work: Work, few: Dataset, typed: Any, nodes: Sequence[str]
) -> tuple[NodeCosts | None, str]:
    """Time the nodes where the target is this machine; say why not where it isn't."""
    here = machine.describe()
    other = misfit(work.target, arch=here.arch, isa=here.isa)
    if work.target.provider != _HERE:
        other = f"it is made for {work.target.provider}, and nodes are timed on the CPU alone"
    if other:
        return None, f"what nodes left in float cost in time isn't known: {other}"
    log.info("timing the nodes")
    feed = next(iter(few.open())).feed
    found = node_costs(
        work.model,
        quantized,
        feed=feed,
        model=typed,
        nodes=nodes,
        scratch=work.scratch,
        how=How(),
        wall_s=work.wall_s,
    )
    return found, ""


def _first(path: Path, data: Given, cases: int) -> Dataset:
    """Take the first few of the values that a scheme looks at as cases to run."""
    if cases < 1:
        raise BadValue(what="the number of cases", asked=str(cases), expected="1 or more")
    if data.calibration is None:
        raise BadValue(
            what="what nodes are measured on",
            asked=f"{path}, which has no cases",
            expected="real inputs: --calib-data",
        )
    return Dataset(
        name=data.calibration.dataset,
        split="train",
        sha256="",
        cases=min(cases, data.cases),
        open=lambda: (Case(dict(feed)) for feed in itertools.islice(data.feeds(), cases)),
        synthetic=data.synthetic,
    )


def _unmeasured(late: int, by: Grain, wall_s: float) -> str:
    return (
        f"{late} {by}{'s were' if late > 1 else ' was'} not measured within {wall_s:g} s: those "
        "with the lowest estimates, which stand in their place"
    )
