"""The search for the fewest nodes: on made-up costs, counting every look."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgekit.quantize.searching.groups import NodeGroup
from edgekit.quantize.searching.search import LIMIT, Found, Score, search
from edgekit.terms import Ruling

NODES = [f"n{index}" for index in range(200)]
GROUPS = [NodeGroup(f"g{at}", tuple(NODES[at : at + 14])) for at in range(0, 200, 14)]


class Model:
    """A model whose nodes cost something each when they aren't float; what it was asked for."""

    def __init__(self, costs: Mapping[str, float], *, budget: float) -> None:
        self.costs = costs
        self.budget = budget
        self.asked: list[frozenset[str]] = []

    def __call__(self, keep: frozenset[str]) -> Score:
        self.asked.append(keep)
        cost = sum(cost for name, cost in self.costs.items() if name not in keep)
        return Score("passed" if cost <= self.budget else "failed", -cost)


def searched(model: Model, suspicion: Mapping[str, float] | None = None) -> Found:
    suspect = None if suspicion is None else lambda: suspicion
    return search(NODES, model, groups=GROUPS, suspect=suspect)


def guilty_model(names: Sequence[str]) -> Model:
    return Model(dict.fromkeys(names, 1.0), budget=0.5)


def estimates(names: Sequence[str], seed: int) -> dict[str, float]:
    """Suspect the guilty about fifteen times as much as the others, give or take a factor of e."""
    generator = random.Random(seed)
    return {
        name: (5.3 if name in names else 0.3) * generator.lognormvariate(0, 1) for name in NODES
    }


def test_the_answer_was_itself_looked_at_and_passed() -> None:
    model = guilty_model(["n3", "n77", "n150"])
    found = searched(model)
    assert found.passed
    assert frozenset(found.keep_float) in model.asked
    assert found.score == Score("passed", 0.0)
    assert found.trials[-1].score.ruling in ("passed", "failed")
    assert [frozenset(trial.keep_float) for trial in found.trials] == model.asked


@settings(deadline=None, max_examples=60)
@given(
    st.sets(st.sampled_from(NODES), max_size=12),
    st.one_of(st.none(), st.integers(0, 1000)),
)
def test_any_set_of_guilty_nodes_is_left_in_float_within_the_limit(
    names: set[str], seed: int | None
) -> None:
    model = guilty_model(sorted(names))
    found = searched(model, None if seed is None else estimates(sorted(names), seed))
    assert len(model.asked) == found.evaluations <= LIMIT
    assert len(set(model.asked)) == len(model.asked)  # nothing is looked at twice
    assert found.passed
    assert names <= set(found.keep_float)


@settings(deadline=None, max_examples=60)
@given(st.sets(st.sampled_from(NODES), min_size=1, max_size=2))
def test_one_or_two_scattered_nodes_are_found_exactly_without_any_estimate(
    names: set[str],
) -> None:
    assert set(searched(guilty_model(sorted(names))).keep_float) == names


@settings(deadline=None, max_examples=60)
@given(st.sets(st.sampled_from(NODES), min_size=1, max_size=3), st.integers(0, 1000))
def test_three_scattered_nodes_are_found_by_fair_estimates_with_hardly_another(
    names: set[str], seed: int
) -> None:
    found = searched(guilty_model(sorted(names)), estimates(sorted(names), seed))
    assert names <= set(found.keep_float)
    assert len(found.keep_float) <= len(names) + 4


@pytest.mark.parametrize("group", [0, 5, 14])
def test_a_guilty_block_is_found_without_any_estimate(group: int) -> None:
    names = GROUPS[group].nodes
    found = searched(guilty_model(names))
    assert set(found.keep_float) == set(names)


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10_000), st.sampled_from([0.05, 0.2, 0.5]))
def test_noise_that_adds_up_is_brought_under_the_budget_with_not_many_nodes_more(
    seed: int, share: float
) -> None:
    generator = random.Random(seed)
    costs = {name: generator.lognormvariate(0, 2) for name in NODES}
    model = Model(costs, budget=share * sum(costs.values()))
    fewest, left = 0, sum(costs.values())
    for cost in sorted(costs.values(), reverse=True):
        if left > model.budget:
            fewest, left = fewest + 1, left - cost
    found = searched(model, {n: c * generator.lognormvariate(0, 0.5) for n, c in costs.items()})
    assert found.passed
    assert found.evaluations <= LIMIT
    assert len(found.keep_float) <= 1.5 * fewest + 5


def test_where_everything_is_guilty_nothing_but_everything_in_float_passes() -> None:
    found = searched(guilty_model(NODES))
    assert (found.passed, len(found.keep_float)) == (True, 200)
    assert found.evaluations <= LIMIT


def test_a_model_that_passes_as_it_is_costs_one_look_and_no_estimate() -> None:
    model = guilty_model([])
    found = search(NODES, model, suspect=_never)
    assert (found.keep_float, found.evaluations, found.passed) == ((), 1, True)
    assert found.why == "no node has to stay in float"


def test_a_float_model_that_fails_ends_the_search_at_once() -> None:
    model = Model({"n0": 1.0}, budget=-1.0)
    found = search(NODES, model, suspect=_never)
    assert (found.passed, found.evaluations) == (False, 2)
    assert found.why == "with every node in float it doesn't pass either"
    assert found.score.value == 0.0  # the best that was seen


def test_undecided_passes_only_where_that_is_accepted() -> None:
    def evaluate(keep: frozenset[str]) -> Score:
        ruling: Ruling = "passed" if {"n1", "n2"} <= keep else "undecided" if keep else "failed"
        return Score(ruling)

    nodes = NODES[:8]
    assert set(search(nodes, evaluate).keep_float) == {"n1", "n2"}
    assert len(search(nodes, evaluate, undecided="accept").keep_float) == 1


def test_quality_that_jumps_about_never_ends_with_a_set_that_failed() -> None:
    for seed in range(50):
        generator = random.Random(seed)
        seen: dict[frozenset[str], Score] = {}

        def evaluate(
            keep: frozenset[str],
            generator: random.Random = generator,
            seen: dict[frozenset[str], Score] = seen,
        ) -> Score:
            noise = generator.gauss(0, 0.1)
            good = len(keep & {"n5", "n50", "n55", "n190"}) / 4 + noise
            seen[keep] = Score("passed" if good > 0.6 else "failed", good)
            return seen[keep]

        found = search(NODES, evaluate, groups=GROUPS)
        assert len(seen) <= LIMIT
        assert seen[frozenset(found.keep_float)] == found.score
        assert found.passed == (found.score.ruling == "passed")


@pytest.mark.parametrize("limit", [2, 5, 9])
def test_a_lower_limit_is_kept(limit: int) -> None:
    model = guilty_model(["n20", "n120"])
    found = search(NODES, model, groups=GROUPS, limit=limit)
    assert len(model.asked) <= limit
    assert found.passed
    assert found.why == f"the limit of {limit} looks at the whole model was reached"


def test_nodes_without_a_group_are_looked_at_too() -> None:
    found = search(NODES[:30], guilty_model(["n29"]), groups=[NodeGroup("g", tuple(NODES[:14]))])
    assert found.keep_float == ("n29",)


def test_there_may_be_no_nodes_at_all() -> None:
    found = search([], lambda _keep: Score("failed", said="too far off"))
    assert (found.passed, found.evaluations, found.score.said) == (False, 1, "too far off")


def _never() -> Mapping[str, float]:
    raise AssertionError("nobody had to be suspected")
