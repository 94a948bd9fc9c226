"""Find the fewest nodes to leave in float so that a model holds its accuracy budget.

Every look at the whole model costs a pass over the evaluation cases, so they are counted, and none
is spent on what is known. The search goes from what is suspected to what is proven:

1. everything in the new precision, and everything in float: the ends;
2. where cheap local estimates set some nodes apart, the first few by their estimates;
3. of what is left whole groups of nodes; then halving inside the guilty ones.

Of a list of suspects the shortest beginning that must stay in float is found by halving; its last
one is guilty, since without it the budget isn't held; then the same with those before it, until
the guilty ones alone are enough: k · log2(n / k) looks and a few more. (The binary form of
QuickXplain, Junker, "Preferred explanations and relaxations for over-constrained problems", AAAI
2004.) Measured quality is noisy, and a node more in float may make it worse; so the answer is never
concluded but always a set of nodes that was itself looked at and held.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TypeAlias

import msgspec

from edgekit.quantize.searching.groups import NodeGroup
from edgekit.terms import Ruling, Undecided

LIMIT = 25
"""How many times the whole model may be looked at."""

_FEW = 12
"""Up to how many suspects are looked at one by one, without their groups."""

_PATIENCE = 3
"""After how many guilty ones in a row all the rest is taken to be guilty."""

_EVEN = 0.5
"""How much of the suspicion is spread evenly: an estimate may be wrong."""

_ENOUGH = 0.6
"""How likely it is taken to be that what was found guilty already is all."""


class Score(msgspec.Struct, frozen=True):
    """What was seen of a whole model: what the budget says of it, and how good it is.

    Of two models that the budget says the same of the one with the larger `value` is better.
    `said` is the verdict in words.
    """

    ruling: Ruling
    value: float = 0.0
    said: str = ""


class Trial(msgspec.Struct, frozen=True):
    """A look at the whole model with some nodes in float."""

    keep_float: tuple[str, ...]
    score: Score


class Found(msgspec.Struct, frozen=True):
    """What a search found.

    `keep_float` are the fewest nodes that were seen to be enough, where `passed`; otherwise those
    with which the model was best. `trials` are all the looks that were taken, in order; `why` says
    how the search ended.
    """

    keep_float: tuple[str, ...]
    passed: bool
    score: Score
    trials: tuple[Trial, ...]
    why: str

    @property
    def evaluations(self) -> int:
        """How many times the whole model was looked at."""
        return len(self.trials)


Evaluate: TypeAlias = Callable[[frozenset[str]], Score]
"""Look at the whole model with these nodes in float."""


def search(
    nodes: Sequence[str],
    evaluate: Evaluate,
    *,
    groups: Sequence[NodeGroup] = (),
    suspect: Callable[[], Mapping[str, float]] | None = None,
    limit: int = LIMIT,
    undecided: Undecided = "reject",
) -> Found:
    """Find the fewest of some nodes that must stay in float for the model to pass.

    Args:
        nodes: those that may stay in float.
        evaluate: looks at the whole model with the given nodes in float, all others not.
        groups: which of them belong together; those in none are groups of their own.
        suspect: says how much noise each is estimated to add; those that aren't named, none. It
            is called where nodes have to stay in float, and not before.
        limit: how many times `evaluate` may be called; 2 or more.
        undecided: whether a model on which the cases don't decide passes.
    """
    trials = _Trials(nodes, evaluate, limit=limit, accepted=undecided == "accept")
    everything = frozenset(nodes)
    if trials.passes(frozenset()):
        return trials.found("no node has to stay in float")
    if not everything or not trials.passes(everything):
        return trials.found("with every node in float it doesn't pass either")
    noise = suspect() if suspect is not None else {}
    ranked = sorted(nodes, key=lambda name: -noise.get(name, 0.0))
    try:
        base: frozenset[str] = frozenset()
        rest = ranked
        if _says_something(ranked, noise):
            # The estimates are right, or right enough: the last one that is needed is known.
            n = trials.shortest(base, _one_by_one(ranked, noise))
            base, rest = frozenset(ranked[n - 1 : n]), ranked[: n - 1]
        if len(rest) > _FEW:
            _group_by_group(base, rest, groups, noise, trials)
        else:
            trials.narrow(base, _one_by_one(rest, noise))
        _give_back(ranked, trials)
    except _LimitReached:
        return trials.found(f"the limit of {limit} looks at the whole model was reached")
    return trials.found("none of these nodes can be given back")


_Unit: TypeAlias = tuple[frozenset[str], float]
"""Nodes that are tried together, and the noise that they are estimated to add."""


def _one_by_one(names: Sequence[str], noise: Mapping[str, float]) -> list[_Unit]:
    return [(frozenset([name]), noise.get(name, 0.0)) for name in names]


def _says_something(ranked: Sequence[str], noise: Mapping[str, float]) -> bool:
    """Tell whether the estimates set some nodes apart: half the noise comes from a quarter."""
    noises = [noise.get(name, 0.0) for name in ranked]
    return sum(noises[: len(noises) // 4]) > sum(noises) / 2


def _group_by_group(
    base: frozenset[str],
    ranked: Sequence[str],
    groups: Sequence[NodeGroup],
    noise: Mapping[str, float],
    trials: _Trials,
) -> None:
    """Find the guilty groups, and then the guilty nodes inside each, those of the others kept."""
    known = set(ranked)
    members = [known.intersection(group.nodes) for group in groups]
    loose = known.difference(*members)
    sets = [frozenset(inside) for inside in (*members, *({name} for name in loose)) if inside]
    units = [(inside, sum(noise.get(name, 0.0) for name in inside)) for inside in sets]
    rank = {name: index for index, name in enumerate(ranked)}

    def first(inside: frozenset[str]) -> int:
        return min(rank[name] for name in inside)

    units.sort(key=lambda unit: (-unit[1], first(unit[0])))
    guilty = trials.narrow(base, units)
    # The largest first: most is to be gained there, should the looks run out.
    for inside in sorted(guilty, key=lambda inside: (-len(inside), first(inside))):
        others = trials.best - inside
        trials.narrow(others, _one_by_one(sorted(inside, key=rank.__getitem__), noise))


def _give_back(ranked: Sequence[str], trials: _Trials) -> None:
    """Try each node that was kept without which the model wasn't seen to fail, least suspect first.

    Where one node more in float never makes a model worse, there is nothing left to try.
    """
    for name in reversed(ranked):
        if name in trials.best and not trials.known_to_fail(trials.best - {name}):
            trials.passes(trials.best - {name})


class _LimitReached(Exception):
    """There are no looks left."""


class _Trials:
    """The looks that were taken, and the smallest set of nodes that was enough.

    Attributes:
        best: the fewest nodes that were enough so far; all of them until some were.
    """

    def __init__(
        self, nodes: Sequence[str], evaluate: Evaluate, *, limit: int, accepted: bool
    ) -> None:
        self._order = list(nodes)
        self._evaluate = evaluate
        self._limit = limit
        self._accepted = ("passed", "undecided") if accepted else ("passed",)
        self._seen: dict[frozenset[str], Score] = {}
        self.best = frozenset(nodes)

    def passes(self, keep: frozenset[str]) -> bool:
        """Look at the model with these nodes in float, or remember what was seen then."""
        if keep not in self._seen:
            if len(self._seen) >= self._limit:
                raise _LimitReached
            self._seen[keep] = self._evaluate(keep)
        passed = self._seen[keep].ruling in self._accepted
        if passed and len(keep) < len(self.best):
            self.best = keep
        return passed

    def known_to_fail(self, keep: frozenset[str]) -> bool:
        """Tell whether the model failed with these and perhaps more nodes in float."""
        return any(
            keep <= other and score.ruling not in self._accepted
            for other, score in self._seen.items()
        )

    def narrow(self, fixed: frozenset[str], units: Sequence[_Unit]) -> list[frozenset[str]]:
        """Find which units must stay in float beside `fixed`, given that all of them are enough.

        Args:
            fixed: nodes that stay in float in any case.
            units: what is to be narrowed, the most suspected first.
        """
        guilty: list[frozenset[str]] = []
        kept = fixed
        rest = list(units)
        in_a_row = 0
        while rest and in_a_row < _PATIENCE:
            n = self.shortest(kept, rest, first_last=in_a_row > 0)
            if not n:
                return guilty
            in_a_row = in_a_row + 1 if n == len(rest) else 0
            guilty.append(rest[n - 1][0])
            kept |= rest[n - 1][0]
            rest = rest[: n - 1]
        return guilty + [inside for inside, _ in rest]

    def shortest(
        self, kept: frozenset[str], units: Sequence[_Unit], *, first_last: bool = False
    ) -> int:
        """Count the first units that are enough beside `kept`; all of them are known to be.

        The counts are halved by how likely each is, by the noise that is suspected of its units.
        `first_last` tries first whether the last one must stay: where many are guilty they come one
        after the other.
        """
        total = sum(noise for _, noise in units)
        weights = [_ENOUGH]
        for _, noise in units:
            suspected = noise / total if total else 1 / len(units)
            weights.append(_EVEN / len(units) + (1 - _EVEN) * suspected)
        low, high = int(self.known_to_fail(kept)), len(units)
        while low < high:
            middle = high - 1 if first_last else _median(weights, low, high)
            first_last = False
            keep = kept.union(*(inside for inside, _ in units[:middle]))
            if not self.known_to_fail(keep) and self.passes(keep):
                high = middle
            else:
                low = middle + 1
        return high

    def found(self, why: str) -> Found:
        """Sum up: the fewest nodes that were enough, or else those with which it was best."""
        accepted = [k for k, score in self._seen.items() if score.ruling in self._accepted]
        if accepted:
            keep = min(accepted, key=lambda k: (len(k), -self._seen[k].value))
        else:
            keep = max(self._seen, key=lambda k: (self._seen[k].value, -len(k)))
        return Found(
            keep_float=self._named(keep),
            passed=bool(accepted),
            score=self._seen[keep],
            trials=tuple(Trial(self._named(k), score) for k, score in self._seen.items()),
            why=why,
        )

    def _named(self, keep: Collection[str]) -> tuple[str, ...]:
        return tuple(name for name in self._order if name in keep)


def _median(weights: Sequence[float], low: int, high: int) -> int:
    """Find the count in low..high-1 up to which about half the weight of low..high lies."""
    half = sum(weights[low : high + 1]) / 2
    reached = 0.0
    for count in range(low, high):
        reached += weights[count]
        if reached >= half:
            return count
    return high - 1
