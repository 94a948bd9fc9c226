"""Put nodes in order by what quantizing each alone costs, and name those that carry the loss."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import msgspec

from edgekit.metrics import UNBOUNDED
from edgekit.package.values import Target
from edgekit.quantize.searching.evaluation import Noise, in_db
from edgekit.shown import Shown
from edgekit.terms import Grain, Scheme

if TYPE_CHECKING:  # they read graphs, and a result is printed without `onnx`
    from edgekit.quantize.searching.groups import NodeGroup
    from edgekit.quantize.searching.node_costs import NodeCosts

CARRY = 0.8
"""Whose noise makes up this share of all carries the loss."""


class Row(msgspec.Struct, frozen=True):
    """A node or a group of nodes, and what quantizing it alone does to the model's answers.

    `noise` is None where it wasn't measured for want of time; `share` is its part of the noise of
    all that were. `local_sqnr_db` is the estimate from its own answer, the noise-to-signal ratios
    of a group's nodes added up: None where nothing is lost, or, as `local_known` says, where it
    isn't known. `cost_us` is how much longer one run takes with it in float, and `cost_share` that
    by the whole of the quantized model's nodes: None where a profile doesn't tell it apart.
    """

    name: str
    nodes: tuple[str, ...]
    operators: dict[str, int]
    noise: Noise | None
    share: float | None
    local_sqnr_db: float | None
    local_known: bool
    cost_us: float | None = None
    cost_share: float | None = None


def ranked(
    units: Sequence[NodeGroup],
    noises: Mapping[str, Noise],
    *,
    estimates: Mapping[str, float],
    operators: Mapping[str, str],
    costs: NodeCosts | None,
) -> tuple[Row, ...]:
    """Put together what is known of each unit: measured ones first, the costliest first.

    Args:
        units: nodes, or groups of them, in the order of the graph.
        noises: what was measured of each, by its name.
        estimates: the noise-to-signal ratio of each node's own answer.
        operators: the operator of each node.
        costs: what nodes take, where that could be timed.
    """
    total = sum(noise.nsr for noise in noises.values())

    def row(unit: NodeGroup) -> Row:
        noise = noises.get(unit.name)
        local, known = estimate(unit, estimates)
        times = [costs.cost_us(node) if costs else None for node in unit.nodes]
        cost = None if None in times else sum(time for time in times if time is not None)
        return Row(
            name=unit.name,
            nodes=unit.nodes,
            operators=dict(Counter(operators[node] for node in unit.nodes)),
            noise=noise,
            share=noise.nsr / total if noise is not None and total else None,
            local_sqnr_db=in_db(local),
            local_known=known,
            cost_us=cost,
            cost_share=cost / costs.quantized_us if cost is not None and costs else None,
        )

    order = {unit.name: index for index, unit in enumerate(units)}
    return tuple(
        sorted(
            map(row, units),
            key=lambda r: (
                r.noise is None,
                -(r.noise.nsr if r.noise else _estimate_of(r)),
                order[r.name],
            ),
        )
    )


def estimate(unit: NodeGroup, estimates: Mapping[str, float]) -> tuple[float, bool]:
    """Add up the estimates of a unit's nodes, and tell whether there is one for each."""
    known = [estimates[node] for node in unit.nodes if node in estimates]
    return min(sum(known), UNBOUNDED), len(known) == len(unit.nodes)


def _estimate_of(row: Row) -> float:
    return 0.0 if row.local_sqnr_db is None else 10 ** (-row.local_sqnr_db / 10)


def carriers_of(rows: Sequence[Row]) -> tuple[str, ...]:
    """Name the fewest rows that carry `CARRY` of the noise; none where that takes more than half.

    Args:
        rows: the costliest first.
    """
    shares = [row.share or 0.0 for row in rows]
    carried = 0.0
    for n, share in enumerate(shares, start=1):
        carried += share
        if carried >= CARRY:
            return tuple(row.name for row in rows[:n]) if 2 * n <= len(rows) else ()
    return ()


class Sensitivity(Shown, msgspec.Struct, frozen=True):
    """What quantizing each node of a variant costs, the costliest first.

    `whole` is the noise with all `nodes` quantized. `carriers` are the names of the fewest rows
    that carry `CARRY` of the noise, empty where that is more than half of them: then no few nodes
    are to blame; `without` is what is left of the noise with these left in float, by a run of that
    model. `float_us` and `quantized_us` are what all nodes take in a run; None where the target
    can't be timed here. `cases` were run, of `dataset`; `calibrated_on` were looked at for ranges.
    """

    package: str
    variant: str
    scheme: Scheme
    target: Target
    by: Grain
    rows: tuple[Row, ...]
    whole: Noise
    nodes: int
    kept: dict[str, str]
    carriers: tuple[str, ...]
    without: Noise | None
    float_us: float | None
    quantized_us: float | None
    cases: int
    dataset: str
    calibrated_on: int
    synthetic: bool
    notes: tuple[str, ...] = ()
