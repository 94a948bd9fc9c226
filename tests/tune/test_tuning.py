"""A search keeps what it finds, goes on where it was, and hands over nothing that isn't right."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

import edgekit
from edgekit import machine, providers
from edgekit.budgets import Budget
from edgekit.errors import BadValue
from edgekit.measure import ways
from edgekit.measure.plan import Plan
from edgekit.measure.ways import How
from edgekit.package import choices, reading
from edgekit.tune import building, ending, halving, making, memory, outline, racing, setting, tune
from edgekit.tune.building import Built
from edgekit.tune.clock import TimeUp
from edgekit.tune.deciding import Decision
from edgekit.tune.racing import Track
from edgekit.tune.results import Tried, Tuned
from edgekit.tune.setting import Setting
from edgekit.tune.steps import Step
from edgekit.tune.ways import Way
from edgekit.workers import Call

LOOSE = (Budget("cosine", 0.9),)
CPU = providers.find("cpu")
Network = Callable[[], Path]
STATIC = Step("int8-static", "int8-static", "cpu", "it has 2 MatMul")


@pytest.fixture
def static_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a search make one variant, so that it is short."""
    monkeypatch.setattr(making, "worth_making", lambda parent, usable, **_: ([STATIC], []))


def by_label(done: Tuned) -> dict[str, Tried]:
    return {tried.label: tried for tried in done.tried}


def test_a_search_chooses_and_keeps_what_it_found(
    network: Network, quick: None, static_alone: None
) -> None:
    path = network()
    done = tune(path, providers=("cpu",), budgets=LOOSE)
    assert done.finished
    tried = by_label(done)
    assert tried["int8-static · cpu"].quality is not None
    chosen = [one for one in done.tried if one.outcome == "chosen"]
    assert len(chosen) == 1
    assert (chosen[0].variant, chosen[0].session) == (done.winner.variant, done.winner.session)
    assert chosen[0].speedup is None or chosen[0].speedup.low > 1
    package = reading.read(path)
    kept = choices.chosen_on(path, package, machine.speed_key(machine.describe()))
    assert kept is not None
    assert kept.winner.variant == done.winner.variant
    with edgekit.load(path) as model:
        assert model.explain().choice.variant == done.winner.variant
    assert memory.load(path, done.speed_key) == done
    wanted = {t.variant for t in done.tried if t.on_front} | {done.winner.variant, "net"}
    assert {variant.name for variant in package.variants} <= wanted | {"fp32"}


def test_a_search_that_was_done_is_not_done_again(
    network: Network, quick: None, static_alone: None
) -> None:
    path = network()
    first = tune(path, providers=("cpu",), budgets=LOOSE, keep_all=True)
    again = tune(path, providers=("cpu",), budgets=LOOSE)
    assert again.notes[0].startswith("found before on this machine")
    assert again.races == first.races
    assert "int8-static" in {v.name for v in reading.read(path).variants}
    strict = tune(path, providers=("cpu",), budgets=[Budget("cosine", 1.0)])
    assert strict.races != first.races, "another budget is another search"
    tried = {one.variant: one for one in strict.tried}
    assert tried["int8-static"].outcome in ("over budget", "undecided")
    assert strict.winner.variant == reading.read(path).variants[0].name


def test_an_interrupted_search_goes_on_where_it_was(
    network: Network, quick: None, static_alone: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = network()
    built: list[str] = []
    before = building.build

    def counted(folder: Path, step: Step, **options: object) -> Built:
        built.append(step.name)
        return before(folder, step, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(making, "build", counted)

    def interrupt(self: object, field: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(halving.Races, "_refine", interrupt)
        with pytest.raises(KeyboardInterrupt):
            tune(path, providers=("cpu",), budgets=LOOSE)
    left = memory.load(path, machine.speed_key(machine.describe()))
    assert left is not None
    assert not left.finished
    assert choices.machines(path) == []
    assert "int8-static · cpu" in by_label(left)
    done = tune(path, providers=("cpu",), budgets=LOOSE)
    assert built == ["int8-static"]
    assert done.finished
    assert "int8-static" in done.made


def test_a_search_that_was_interrupted_in_its_last_race_needs_that_alone(
    network: Network, quick: None, static_alone: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = network()
    raced: list[int] = []
    race = racing.race

    def counted(track: Track, ways: Sequence[Way], plan: Plan, **options: Any) -> racing.Race:
        raced.append(len(ways))
        return race(track, ways, plan, **options)

    def interrupt(self: object, field: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(racing, "race", counted)
    with monkeypatch.context() as patched:
        patched.setattr(halving.Races, "_last", interrupt)
        with pytest.raises(KeyboardInterrupt):
            tune(path, providers=("cpu",), budgets=LOOSE)
    left = memory.load(path, machine.speed_key(machine.describe()))
    assert left is not None
    raced.clear()
    done = tune(path, providers=("cpu",), budgets=LOOSE)
    assert len(raced) == 1
    assert done.races[: len(left.races)] == left.races
    assert by_label(done).keys() == by_label(left).keys()
    assert sum(tried.reused for tried in done.tried) == len(left.tried) - raced[0] - 1


def test_what_was_taken_out_is_not_made_again(
    network: Network, quick: None, static_alone: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both searches end without all that could be tried; the first took a variant out again."""
    path = network()
    later = Step("int8-dynamic", "int8-dynamic", "cpu", "it has 2 MatMul")
    monkeypatch.setattr(making, "worth_making", lambda parent, usable, **_: ([STATIC, later], []))
    monkeypatch.setattr(halving, "decision", lambda entrants, **_: Decision())
    monkeypatch.setattr(ending, "front", lambda points: frozenset())
    built: list[str] = []
    before = building.build

    def in_time(folder: Path, step: Step, **options: Any) -> Built:
        built.append(step.name)
        if step is later:
            raise TimeUp
        return before(folder, step, **options)

    monkeypatch.setattr(making, "build", in_time)
    first = tune(path, providers=("cpu",), budgets=LOOSE)
    assert built == ["int8-static", "int8-dynamic"]
    assert not first.finished
    assert by_label(first)["int8-dynamic · cpu"].reason == "time ran out while it was made"
    assert len(reading.read(path).variants) == 1
    plan = outline(path, providers=("cpu",), budgets=LOOSE)
    assert "int8-static" not in {one.variant for one in plan.planned}
    again = tune(path, providers=("cpu",), budgets=LOOSE)
    assert built[2:] == ["int8-dynamic"]
    row = by_label(again)["int8-static · cpu"]
    assert (row.outcome, row.reused) == (by_label(first)[row.label].outcome, True)


def test_time_that_is_over_in_a_race_leaves_the_last_one(
    network: Network, quick: None, static_alone: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    raced = halving.Races._raced

    def over(self: Any, ways: Sequence[Way], **options: Any) -> racing.Race:
        if not options:
            raise TimeUp
        return raced(self, ways, **options)

    monkeypatch.setattr(halving.Races, "_raced", over)
    path = network()
    done = tune(path, providers=("cpu",), budgets=LOOSE)
    assert not any("time ran out before the last race" in note for note in done.notes)
    assert done.races[-1].measurements[0].label == done.baseline
    assert len(done.races) == 2, "the first race, and the last"
    assert not done.finished
    assert any("other ways to run the fastest were not tried" in note for note in done.notes)


def test_time_that_is_over_before_the_last_race_takes_nothing_out(
    network: Network, quick: None, static_alone: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def over(self: object) -> None:
        raise TimeUp

    path = network()
    with monkeypatch.context() as patched:
        patched.setattr(halving.Races, "_first", over)
        done = tune(path, providers=("cpu",), budgets=LOOSE)
    assert not done.finished
    assert "int8-static" in {variant.name for variant in reading.read(path).variants}


def test_what_could_not_be_made_is_a_row_and_not_tried_again(
    network: Network, quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    impossible = Step("int8-static", "int8-static", "tensorrt-nowhere", "it has 2 MatMul")
    monkeypatch.setattr(
        making, "worth_making", lambda parent, usable, **_: ([impossible], ["a note"])
    )
    done = tune(network(), providers=("cpu",))
    tried = {one.variant: one for one in done.tried}["int8-static"]
    assert tried.outcome == "failed"
    assert "tensorrt-nowhere" in tried.reason
    assert "a note" in done.notes


def test_without_time_the_float_variant_stands(
    network: Network, quick: None, static_alone: None
) -> None:
    path = network()
    done = tune(path, providers=("cpu",), time_limit_s=0.01)
    assert not done.finished
    assert by_label(done)["int8-static · cpu"].outcome == "not tried"
    assert done.winner.variant == reading.read(path).variants[0].name
    with edgekit.load(path) as model:
        assert "nothing else was raced to the end" in str(model.explain())


def test_what_was_chosen_before_is_not_lost_for_want_of_time(
    network: Network, quick: None, static_alone: None
) -> None:
    path = network()
    tune(path, providers=("cpu",), budgets=LOOSE)
    key = machine.speed_key(machine.describe())
    before = choices.chosen_on(path, reading.read(path), key)
    assert before is not None
    again = tune(path, providers=("cpu",), budgets=LOOSE, fresh=True, time_limit_s=0.01)
    assert choices.chosen_on(path, reading.read(path), key) == before
    assert (again.winner.variant, again.winner.session) == (
        before.winner.variant,
        before.winner.session,
    )
    assert again.why.endswith("; chosen before, inside a cosine of at least 0.9")


def test_a_package_that_cannot_be_changed_is_searched_as_it_is(
    network: Network, quick: None, static_alone: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    from edgekit.errors import StorageError

    def refuse(folder: Path) -> None:
        raise StorageError(path=str(folder), problem="it is read-only")

    path = network()
    with monkeypatch.context() as patched:
        patched.setattr(making, "refuse_unlockable", refuse)
        done = tune(path, providers=("cpu",), budgets=LOOSE)
        assert any("only variants that exist are tried" in note for note in done.notes)
        assert {one.variant for one in done.tried} == {reading.read(path).variants[0].name}
        again = tune(path, providers=("cpu",), budgets=LOOSE)
        assert again.notes[0].startswith("found before on this machine")
    later = tune(path, providers=("cpu",), budgets=LOOSE)
    assert "int8-static" in {one.variant for one in later.tried}, "it can be changed now"


def test_what_can_not_be_kept_beside_the_package_is_kept_elsewhere_and_said(
    network: Network, quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(making, "worth_making", lambda parent, usable, **_: ([], []))
    path = network()
    (path / "measured").write_text("a file where a folder should be")
    done = tune(path, providers=("cpu",))
    assert any("nothing can be written beside the package" in note for note in done.notes)
    assert memory.load(path, done.speed_key) == done


def test_what_can_not_be_kept_anywhere_is_said(
    network: Network, quick: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(making, "worth_making", lambda parent, usable, **_: ([], []))
    path = network()
    (path / "measured").write_text("a file where a folder should be")
    (tmp_path / "no-folder").write_text("")
    monkeypatch.setenv("EDGEKIT_CACHE", str(tmp_path / "no-folder"))
    done = tune(path, providers=("cpu",))
    assert "what was chosen could not be kept: edgekit.load doesn't take it" in done.notes
    assert "what was found could not be kept: run again, the search begins anew" in done.notes


def test_numbers_of_a_provider_of_its_own_are_judged_each(
    network: Network,
    quick: None,
    openvino_library: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A plug-in for real: what it computes in short floats is no float32 with other threads."""
    call = ways.variant_call

    def by_library(path: Path, variant: str, how: How) -> Call:
        plugin = str(openvino_library) if how.session.provider == "openvino" else None
        return call(path, variant, How(how.session, plugin))

    openvino = providers.find("openvino", library=str(openvino_library))
    monkeypatch.setattr(racing, "variant_call", by_library)
    monkeypatch.setattr(setting, "usable_providers", lambda asked: (CPU, openvino))
    monkeypatch.setattr(making, "worth_making", lambda parent, usable, **_: ([], []))
    done = tune(network(), budgets=LOOSE)
    rows = [t for t in done.tried if t.session.provider == "openvino" and t.quality is not None]
    by_hint = {
        bool(tried.session.provider_options): tried.quality
        for tried in rows
        if tried.session.threads is None
    }
    assert False in by_hint
    assert "openvino" in {done.winner.session.provider, *done.by_provider}
    for tried in rows:
        assert tried.quality == by_hint[bool(tried.session.provider_options)]
    if True in by_hint:  # a processor that multiplies bfloat16
        assert by_hint[True] != by_hint[False]


def test_a_provider_that_is_listed_and_not_there_is_not_searched_on(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    """onnxruntime-gpu without a GPU lists CUDA."""
    import onnxruntime

    listed = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: listed)
    plan = outline(network())
    assert "cpu" in plan.providers
    assert "cuda" not in plan.providers
    assert "fp16" not in {planned.variant for planned in plan.planned}


def test_progress_and_steps_are_told(
    network: Network, quick: None, static_alone: None, caplog: pytest.LogCaptureFixture
) -> None:
    told: list[tuple[int, int]] = []
    with caplog.at_level(logging.INFO, logger="edgekit"):
        tune(network(), providers=("cpu",), progress=lambda n, of: told.append((n, of)))
    assert told
    assert "making int8-static (1 of 1: it has 2 MatMul)" in caplog.text
    assert "making variants takes about " in caplog.text


def test_a_package_without_held_out_cases_needs_the_word_synthetic(
    tiny_onnx: Callable[..., Path], tmp_path: Path, quick: None, static_alone: None
) -> None:
    from edgekit.measure.adopt import adopt

    path = tmp_path / "bare.edgekit"
    adopt(tiny_onnx(), path)
    with pytest.raises(BadValue, match="--eval-data"):
        tune(path)
    done = tune(path, synthetic=True, providers=("cpu",))
    assert any("made-up values" in note for note in done.notes)
    with pytest.raises(BadValue, match="edgekit export"):
        tune(tmp_path / "tiny.onnx")


def test_an_outline_makes_nothing(network: Network) -> None:
    path = network()
    before = sorted(entry.name for entry in path.iterdir())
    plan = outline(path, providers=("cpu",))
    assert sorted(entry.name for entry in path.iterdir()) == before
    names = {planned.variant: planned for planned in plan.planned}
    assert {"int8-static", "int8-dynamic", "optimized"} <= names.keys()
    assert not names["int8-static"].there
    assert plan.total_s > plan.build_s > 0
    assert names["int8-static-optimized"].only_after == "optimized"
    following = sum(one.make_s for one in plan.planned if one.only_after)
    assert plan.following_s == pytest.approx(following)
    assert plan.build_s == pytest.approx(sum(one.make_s for one in plan.planned) - following)
    assert plan.evaluation.startswith("360 ")


def test_a_variant_of_fixed_sizes_never_wins_unasked(network: Network) -> None:
    from edgekit.optimize import optimize
    from edgekit.package.slim import slim

    path = network()
    optimize(path, name="batch-1", passes=["sizes"], sizes={"n": 1})
    plan = outline(path, providers=("cpu",))
    assert "batch-1" not in {planned.variant for planned in plan.planned}
    assert "batch-1 isn't tried: it takes n 1 alone" in plan.notes
    slim(path, path.with_name("slim.edgekit"), variants=("batch-1",))
    with pytest.raises(BadValue, match=r"every variant takes some sizes alone \(n 1\)"):
        outline(path.with_name("slim.edgekit"), synthetic=True)


def test_the_default_budget_is_what_the_cases_allow(network: Network) -> None:
    plan = outline(network(), providers=("cpu",))
    assert plan.budgets == (Budget("drop", 0.005),)
    assert any("no budget was given" in note for note in plan.notes)


def test_a_setting_knows_its_package(network: Network) -> None:
    from edgekit.tune.setting import prepare

    known: Setting = prepare(network())
    assert known.package.name == "net"
    assert known.calibration_cases == 40
    assert known.baseline == "the float variant"
    integers = msgspec.structs.replace(known.parent, name="int8-static", precision="int8")
    assert dataclasses.replace(known, parent=integers).baseline == "int8-static"
    with pytest.raises(BadValue, match="-3"):
        prepare(known.path, batch=-3)
