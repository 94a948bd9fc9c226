from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from edgekit.errors import BadValue, EdgekitError, OriginalUnavailable, WorkerDied, WorkerTimeout
from edgekit.measure import bench
from edgekit.measure.bench import QUIET_S, Timings, time_candidates
from edgekit.measure.plan import Candidate, Plan
from edgekit.package.values import Tolerance
from edgekit.tensors import Case, Dataset, Dim, RunFacts, Signature, TensorSpec
from edgekit.workers import Call, Opened, Timed, WorkerFault

QUICK = Plan(starts=2, rounds=2, turn_s=0.001, warm_up_s=0.0)
SIGNATURE = Signature(
    (TensorSpec("x", "float32", (Dim("batch"), 4)),),
    (TensorSpec("y", "float32", (Dim("batch"), 3)),),
)


class Workshop:
    """Stands in for `Worker`: notes what is asked of whom, and does what a test plans.

    `turns` are the timed ones, with their begin and end, and `beside` who stood at each.

    `durations_ns` is how long a candidate's calls take, `answers` what it answers to a feed, and
    `accidents` what it raises when it is asked to do a thing for the n-th time ("open", "run").
    """

    def __init__(self) -> None:
        self.turns: list[tuple[str, float, float]] = []
        self.beside: list[set[str]] = []
        self.standing: set[str] = set()
        self.asked: list[tuple[str, str]] = []
        self.durations_ns: dict[str, int] = {}
        self.answers: dict[str, Callable[[Any], dict[str, Any]]] = {}
        self.accidents: dict[tuple[str, str, int], Exception] = {}
        self.calls: list[tuple[str, int]] = []

    def make(
        self, what: str, *, wall_s: float, environment: Mapping[str, str] | None = None
    ) -> _Stand:
        return _Stand(self, what)


class _Stand:
    def __init__(self, shop: Workshop, label: str) -> None:
        self.shop, self.label = shop, label
        shop.standing.add(label)

    def __enter__(self) -> _Stand:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.shop.standing.discard(self.label)

    def open(self, call: Call) -> Opened:
        self._ask("open")
        return Opened(SIGNATURE, RunFacts(self.label, "fp32", 1), 1.0, 2.0)

    def run(self, feed: Any, *, calls: int = 1, warm_ups: int = 0) -> Timed:
        begun = time.monotonic()
        self._ask("run")
        duration = self.shop.durations_ns.get(self.label, 1000)
        answer = self.shop.answers.get(self.label, lambda feed: {"y": feed["x"][:, :3]})(feed)
        if calls > 1 and warm_ups == 3:
            self.shop.turns.append((self.label, begun, time.monotonic()))
            self.shop.beside.append(set(self.shop.standing))
            self.shop.calls.append((self.label, calls))
        return Timed([duration] * calls, [2 * duration] * warm_ups, answer if calls else {})

    def peak_mb(self) -> float | None:
        return 10.0

    def _ask(self, what: str) -> None:
        assert self.label in self.shop.standing
        self.shop.asked.append((self.label, what))
        accident = self.shop.accidents.get(
            (self.label, what, self.shop.asked.count((self.label, what)))
        )
        if accident is not None:
            raise accident


@pytest.fixture
def workshop(monkeypatch: pytest.MonkeyPatch) -> Workshop:
    shop = Workshop()
    monkeypatch.setattr(bench, "Worker", shop.make)
    monkeypatch.setattr(bench, "QUIET_S", 0.0)
    return shop


def named(label: str, **facts: Any) -> Candidate:
    return Candidate(label, Call("edgekit.runtime.runner:open_variant"), **facts)


def feed(rows: int = 2) -> dict[str, Any]:
    return {"x": np.arange(rows * 4, dtype=np.float32).reshape(rows, 4)}


DIED = WorkerDied(what="b", how="was killed by SIGKILL")
AT_ONCE = Plan(starts=3, rounds=3)


def run(
    candidates: list[Candidate], plan: Plan = AT_ONCE, **options: Any
) -> tuple[Timings, list[tuple[int, int]]]:
    steps: list[tuple[int, int]] = []
    options.setdefault("progress", lambda done, total: steps.append((done, total)))
    return time_candidates(candidates, feed(), plan=plan, **options), steps


def cases(count: int, *, outputs: bool = False) -> Dataset:
    made = [Case(feed(1), {"y": feed(1)["x"][:, :3]} if outputs else None, 2)] * count
    return Dataset("digits", "test", "0" * 64, count, lambda: iter(made))


def test_every_start_opens_afresh_and_every_round_has_a_turn_of_each(workshop: Workshop) -> None:
    done, _ = run([named("a"), named("b")])
    assert workshop.asked.count(("a", "open")) == workshop.asked.count(("b", "open")) == 3
    for measured in done.measurements:
        assert [len(start.rounds) for start in measured.starts] == [3, 3, 3]
    assert sorted(label for label, _, _ in workshop.turns) == ["a"] * 9 + ["b"] * 9
    for round_ in range(9):
        assert {label for label, _, _ in workshop.turns[2 * round_ : 2 * round_ + 2]} == {"a", "b"}
    assert not workshop.standing


@pytest.mark.parametrize(("enough_from", "starts"), [(1, 2), (3, 3), (9, 5)])
def test_a_bench_ends_early_where_the_starts_that_are_done_will_do(
    enough_from: int, starts: int, workshop: Workshop
) -> None:
    plan = Plan(starts=5, rounds=1, turn_s=0.001, warm_up_s=0.0)

    def enough() -> bool:
        return workshop.asked.count(("a", "open")) >= enough_from

    done, _ = run([named("a"), named("b")], plan, enough=enough)
    assert [len(measured.starts) for measured in done.measurements] == [starts, starts]


def test_default_plan_is_five_starts_of_four_rounds() -> None:
    assert (Plan().starts, Plan().rounds) == (5, 4)


def test_turns_are_in_an_order_that_the_seed_decides(workshop: Workshop) -> None:
    def order(seed: int) -> list[str]:
        workshop.turns.clear()
        run([named("a"), named("b"), named("c")], Plan(starts=2, rounds=4, seed=seed))
        return [label for label, _, _ in workshop.turns]

    first = order(1)
    assert order(1) == first
    assert len({tuple(first[i : i + 3]) for i in range(0, 24, 3)}) > 2
    assert order(2) != first


def test_others_are_quiet_before_a_turn(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench, "QUIET_S", QUIET_S)
    run([named("a"), named("b")])
    for before, after in pairwise(workshop.turns):
        assert after[1] - before[2] >= QUIET_S >= 0.03


def test_warm_ups_are_kept_apart(workshop: Workshop) -> None:
    workshop.durations_ns = {"a": 50_000}
    done, _ = run([named("a")], Plan(starts=2, rounds=2, warm_up_s=0.001))
    start = done.measurements[0].starts[0]
    assert {ns for round_ in start.rounds for ns in round_} == {50_000}
    # 2 + 3 to settle, 1 ms of them, and 3 before each of the two turns.
    assert len(start.warm_up_ns) == 5 + 20 + 2 * 3


@pytest.mark.parametrize(
    ("duration_ns", "calls"), [(10, 2000), (1_000_000, 100), (10_000_000_000, 5)]
)
def test_calls_of_a_turn_fill_its_time_within_bounds(
    duration_ns: int, calls: int, workshop: Workshop
) -> None:
    workshop.durations_ns = {"a": duration_ns}
    run([named("a")], Plan(starts=2, rounds=1, turn_s=0.1))
    assert workshop.calls == [("a", calls)] * 2


def test_progress_counts_every_turn_to_the_end(workshop: Workshop) -> None:
    _, steps = run([named("a"), named("b")])
    assert steps == [(turn, 18) for turn in range(1, 19)]


@pytest.mark.parametrize(("what", "nth"), [("open", 1), ("open", 3), ("run", 1), ("run", 9)])
def test_a_candidate_that_dies_ends_the_bench_and_leaves_no_worker(
    what: str, nth: int, workshop: Workshop
) -> None:
    workshop.accidents = {("b", what, nth): DIED}
    with pytest.raises(WorkerDied):
        run([named("a"), named("b")])
    assert not workshop.standing


@pytest.mark.parametrize(("what", "nth"), [("open", 1), ("open", 3), ("run", 1), ("run", 9)])
@pytest.mark.parametrize(
    "accident",
    [DIED, WorkerTimeout(what="b", limit_s=1), WorkerFault("Traceback\n  x\nRuntimeError: no")],
)
def test_an_optional_candidate_that_fails_is_left_out_with_its_reason(
    what: str, nth: int, accident: Exception, workshop: Workshop
) -> None:
    workshop.accidents = {("b", what, nth): accident}
    done, steps = run([named("a"), named("b", optional=True), named("c")])
    assert [measured.label for measured in done.measurements] == ["a", "c"]
    assert all(len(start.rounds) == 3 for m in done.measurements for start in m.starts)
    reason = "RuntimeError: no" if isinstance(accident, WorkerFault) else str(accident)
    assert [(left.label, left.reason) for left in done.left_out] == [("b", reason)]
    assert steps[-1][0] == steps[-1][1]
    assert [done for done, _ in steps] == list(range(1, len(steps) + 1))


def test_the_worker_of_a_candidate_that_is_left_out_is_ended_at_once(workshop: Workshop) -> None:
    workshop.accidents = {("b", "open", 1): DIED}
    run([named("a"), named("b", optional=True)])
    assert workshop.beside == [{"a"}] * 9


def test_the_next_candidate_is_the_baseline_when_the_first_is_left_out(workshop: Workshop) -> None:
    workshop.answers = {"a": lambda feed: {"y": feed["x"][:, :3] + 100}}
    workshop.accidents = {("a", "run", 9): DIED}
    tolerance = {"y": Tolerance(1e-6, 0.0)}
    done, _ = run([named("a", optional=True), named("b"), named("c", tolerance=tolerance)])
    third = done.measurements[1]
    assert (third.label, third.mismatch) == ("c", "")
    assert third.against_original["y"].max_abs_error == 0


def test_a_bench_of_which_everything_is_left_out_says_why(workshop: Workshop) -> None:
    workshop.accidents = {("a", "open", 1): DIED, ("b", "run", 2): DIED}
    with pytest.raises(OriginalUnavailable, match=r"Nothing is left to time.*SIGKILL.*SIGKILL"):
        run([named("a", optional=True), named("b", optional=True)])
    assert not workshop.standing


@pytest.mark.parametrize(
    ("candidates", "plan"),
    [
        ([], AT_ONCE),
        ([named("a"), named("a")], AT_ONCE),
        ([named("a")], Plan(starts=1)),
        ([named("a")], Plan(rounds=0)),
    ],
)
def test_a_bench_that_can_give_no_figures_is_refused(
    candidates: list[Candidate], plan: Plan, workshop: Workshop
) -> None:
    with pytest.raises(BadValue):
        run(candidates, plan)
    assert not workshop.asked


def test_outputs_of_timed_runs_are_held_to_the_baselines(workshop: Workshop) -> None:
    workshop.answers = {
        "near": lambda feed: {"y": feed["x"][:, :3] + np.float32(0.015)},
        "off": lambda feed: {"y": feed["x"][:, :3] + np.float32(0.03)},
        "free": lambda feed: {"y": feed["x"][:, :3] + np.float32(5)},
        "other": lambda feed: {"z": feed["x"][:, :3]},
        "shape": lambda feed: {"y": feed["x"][:, :2]},
    }
    tolerance = {"y": Tolerance(0.01, 0.0)}
    done, _ = run(
        [
            named("a"),
            named("near", tolerance=tolerance),
            named("off", tolerance=tolerance),
            named("free"),
            named("other"),
            named("shape"),
        ],
        Plan(starts=2, rounds=1),
    )
    found = {m.label: m for m in done.measurements}
    assert found["near"].mismatch == ""
    assert found["off"].mismatch.startswith("y: 6 of 6 elements are out of tolerance")
    assert found["free"].mismatch == ""
    assert found["free"].against_original["y"].max_abs_error == pytest.approx(5)
    assert found["other"].mismatch == found["shape"].mismatch == "y is missing or has another shape"


def test_an_original_with_other_answers_than_recorded_is_left_out(workshop: Workshop) -> None:
    workshop.answers = {"old": lambda feed: {"y": feed["x"][:, :3] * 1.1}}
    recorded = Case(feed(), {"y": feed()["x"][:, :3]})
    done, _ = run(
        [named("old", optional=True), named("original", optional=True), named("variant")],
        Plan(starts=2, rounds=1),
        recorded=recorded,
    )
    assert [m.label for m in done.measurements] == ["original", "variant"]
    assert "doesn't give the answers that the package recorded" in done.left_out[0].reason


def test_an_original_with_other_outputs_than_recorded_is_left_out(workshop: Workshop) -> None:
    workshop.answers = {"old": lambda feed: {"z": feed["x"]}}
    done, _ = run(
        [named("old", optional=True), named("variant")],
        Plan(starts=2, rounds=1),
        recorded=Case(feed(), {"y": feed()["x"][:, :3]}),
    )
    assert "y: is missing" in done.left_out[0].reason


def test_quality_is_measured_against_labels_and_the_original(workshop: Workshop) -> None:
    # Class 2 is the largest of a row, and the label; the second candidate names class 0.
    workshop.answers = {"wrong": lambda feed: {"y": -feed["x"][:, :3]}}
    done, _ = run(
        [named("original", optional=True), named("wrong")],
        Plan(starts=2, rounds=1),
        evaluation=cases(7),
        metric="top1",
    )
    right, wrong = (m.quality for m in done.measurements)
    assert right is not None
    assert wrong is not None
    assert right.accuracy is not None
    assert wrong.accuracy is not None
    assert wrong.agreement is not None
    assert (right.accuracy.value, right.accuracy.n, right.agreement) == (1.0, 7, None)
    assert (wrong.accuracy.value, wrong.agreement.value, wrong.cases) == (0.0, 0.0, 7)


def test_recorded_answers_stand_for_the_original_that_did_not_run(workshop: Workshop) -> None:
    workshop.answers = {"first": lambda feed: {"y": -feed["x"][:, :3]}}
    done, _ = run(
        [named("first"), named("second")],
        Plan(starts=2, rounds=1),
        evaluation=cases(5, outputs=True),
        metric="top1",
    )
    agreements = [m.quality.agreement for m in done.measurements if m.quality]
    assert [a.value for a in agreements if a] == [0.0, 1.0]


def test_evaluation_runs_once_in_all(workshop: Workshop) -> None:
    plan = Plan(starts=2, rounds=1)
    run([named("a")], plan)
    without = len(workshop.asked)
    workshop.asked.clear()
    run([named("a")], plan, evaluation=cases(11))
    assert len(workshop.asked) == without + 11


def test_real_workers_are_timed_and_none_is_left(
    tiny_onnx: Callable[..., Path], opens: Callable[..., Candidate]
) -> None:
    model = tiny_onnx()
    done = time_candidates(
        [opens(model, label="one"), opens(model, label="two")], feed(3), plan=QUICK
    )
    for measured in done.measurements:
        assert measured.facts.provider == "cpu"
        assert measured.facts.threads == 1
        counts = {len(round_) for start in measured.starts for round_ in start.rounds}
        assert len(counts) == 1  # the same number of calls in all rounds
        for start in measured.starts:
            assert min(start.import_ms, start.load_ms, start.first_call_ms) > 0
            assert min(ns for round_ in start.rounds for ns in round_) > 0
            assert start.peak_mb is None or 20 < start.peak_mb < 2000
    assert done.measurements[1].against_original["y"].max_abs_error == 0
    assert psutil.Process().children(recursive=True) == []


def test_a_real_worker_that_fails_leaves_none_behind(
    tiny_onnx: Callable[..., Path], opens: Callable[..., Candidate], tmp_path: Path
) -> None:
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"no model")
    good = opens(tiny_onnx(), label="good")
    with pytest.raises(EdgekitError, match=r"broken\.onnx"):
        time_candidates([good, opens(broken, label="broken")], feed(), plan=QUICK)
    assert psutil.Process().children(recursive=True) == []


def drawn(*shape: int, dtype: str = "float32") -> Callable[[Any], dict[str, Any]]:
    """Answer with other numbers at every call."""
    generator = np.random.default_rng(0)
    return lambda _: {"y": generator.standard_normal(shape).astype(dtype)}


HELD = {"y": Tolerance(0.0, 0.0)}


def test_random_answers_are_compared_by_shape_alone(workshop: Workshop) -> None:
    workshop.answers = {label: drawn(2, 3) for label in ("original", "variant")}
    done, _ = run(
        [named("original", optional=True, tolerance=HELD), named("variant", tolerance=HELD)],
        recorded=Case(feed(), drawn(2, 3)({})),
        evaluation=cases(3),
        metric="top1",
        random={"y"},
    )
    assert done.left_out == []
    for measured in done.measurements:
        assert (measured.mismatch, measured.against_original) == ("", {})
        assert measured.quality is not None
        assert (measured.quality.closeness, measured.quality.accuracy) == (None, None)


@pytest.mark.parametrize("other", [drawn(2, 4), drawn(2, 3, dtype="float64")])
def test_random_answers_of_another_form_are_told(
    other: Callable[[Any], dict[str, Any]], workshop: Workshop
) -> None:
    workshop.answers = {"a": drawn(2, 3), "b": other}
    done, _ = run([named("a", tolerance=HELD), named("b", tolerance=HELD)], random={"y"})
    assert done.measurements[0].mismatch == ""
    assert done.measurements[1].mismatch.startswith("y")
    recorded = Case(feed(), drawn(2, 3)({}))
    done, _ = run([named("b", optional=True), named("a")], recorded=recorded, random={"y"})
    assert [left.label for left in done.left_out] == ["b"]
    assert "doesn't give the answers that the package recorded" in done.left_out[0].reason


def test_without_an_original_answers_are_held_to_the_recorded_ones(workshop: Workshop) -> None:
    recorded = Case(feed(1), {"y": feed(1)["x"][:, :3] + 1})
    tolerance = {"y": Tolerance(1e-3, 0.0)}
    timings, _ = run([named("a", tolerance=tolerance), named("b")], recorded=recorded)
    assert "3 of 3 elements are out of tolerance" in timings.measurements[0].mismatch
    assert timings.measurements[1].mismatch == ""
    recorded = Case(feed(1), {"y": feed(1)["x"][:, :3]})
    timings, _ = run([named("a", tolerance=tolerance)], recorded=recorded)
    assert timings.measurements[0].mismatch == ""
    assert timings.measurements[0].against_original["y"].max_abs_error == 0
