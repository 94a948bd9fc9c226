"""The run on a GPU, as far as it goes without one: its steps, what it keeps, how it goes on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

pytest.importorskip("torch", reason="an original is a PyTorch module")

from benchmarks import gpu, gpu_run, gpu_timing
from benchmarks.gpu_goals import verdicts
from benchmarks.gpu_models import MODELS, prepare
from benchmarks.gpu_tables import not_measured
from benchmarks.gpu_values import (
    Conditions,
    EngineStarts,
    FirstStart,
    Results,
    Unit,
    joined,
    keep,
    key,
    read,
)
from benchmarks.gpu_ways import WAYS, asked, candidate, label, named
from benchmarks.paired import RESULTS
from edgekit import machine, providers
from edgekit.errors import BadValue
from edgekit.measure.plan import Candidate, Plan
from edgekit.measure.results import Bench, LeftOut, Measurement, Start
from edgekit.metrics import Closeness
from edgekit.tensors import RunFacts
from edgekit.workers import Call

PROJECT = Path(__file__).parents[2]
COMPILED, TENSORRT, GRAPHS = (
    label(named(name), "cuda") for name in ("compiled-fp16", "tensorrt-fp16", "fp16-graphs")
)
TINY = key("tiny", 1, "host")
HERE = machine.describe()


class Ran(msgspec.Struct):
    """What a run that was interrupted left, and what the next made of it."""

    folder: Path
    cut_off: Results
    finished: Results
    status: int


def run_tiny(folder: Path, *more: str) -> int:
    """Go through the steps on the processor, as briefly as that can be."""
    brief = ["--provider", "cpu", "--models", "tiny", "--batch", "1", "--turn-s", "0.005"]
    brief += ["--starts", "2", "--rounds", "1"]
    output, packages = str(folder / "gpu.json"), str(folder / "packages")
    return gpu.main([*brief, "--output", output, "--packages", packages, *more])


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """Run until the second row is started, where Ctrl-C is pressed, and run again."""
    folder = tmp_path_factory.mktemp("gpu")
    only = ("--only", "fp32", "fp16", "fp16-graphs", "tensorrt-fp16")
    try_out, calls = gpu_timing.try_out, iter((0,))

    def interrupted(*given: Any, **more: Any) -> FirstStart | LeftOut:
        if next(calls, None) is None:
            raise KeyboardInterrupt
        return try_out(*given, **more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gpu_timing, "try_out", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run_tiny(folder, *only)
    cut_off = read(folder / "gpu.json")
    status = run_tiny(folder, *only)
    return Ran(folder, cut_off, read(folder / "gpu.json"), status)


def test_run_goes_on_where_it_was_cut_off(ran: Ran) -> None:
    before, after = ran.cut_off.units[TINY], ran.finished.units[TINY]
    assert list(before.tried) == ["PyTorch eager fp32"]
    assert before.bench is None
    assert after.tried["PyTorch eager fp32"] == before.tried["PyTorch eager fp32"]
    assert list(after.tried) == ["PyTorch eager fp32", "fp32 · cpu", "fp16 · cpu"]


def test_run_times_every_row_that_can_be_had_beside_the_original(ran: Ran) -> None:
    unit = ran.finished.units[TINY]
    assert ran.status == 0
    assert unit.bench is not None
    assert unit.bench.baseline == "PyTorch eager fp32"
    for measured in unit.bench.measurements:
        assert [len(start.rounds) for start in measured.starts] == [1, 1]
        assert all(ns > 0 for start in measured.starts for ns in start.rounds[0])
        assert measured.mismatch == ""
        closeness = measured.against_original
        assert (closeness == {}) is (measured.label == "PyTorch eager fp32")
        assert all(one.cosine > 0.999 for one in closeness.values())
    facts = {m.label: m.facts for m in unit.bench.measurements}
    assert facts["fp32 · cpu"].placement is not None
    assert sum(facts["fp32 · cpu"].placement["cpu"].values()) > 0
    assert facts["fp16 · cpu"].precision == "fp16"


def test_run_says_why_a_row_is_missing(ran: Ran) -> None:
    unit = ran.finished.units[TINY]
    assert set(unit.left_out) == {"fp16 · cpu with CUDA graphs", "fp16 · tensorrt"}
    assert "enable_cuda_graph" in unit.left_out["fp16 · cpu with CUDA graphs"]
    assert "'tensorrt' cannot be used here" in unit.left_out["fp16 · tensorrt"]
    assert ran.finished.engines["tiny"] == unit.left_out["fp16 · tensorrt"]


def test_run_keeps_the_conditions_of_every_row(ran: Ran) -> None:
    unit = ran.finished.units[TINY]
    assert unit.conditions.versions == HERE.versions
    assert unit.conditions.gpu == HERE.gpu
    assert set(unit.conditions.files) == {"tiny/fp32.onnx", "tiny/fp16.onnx"}
    assert unit.asked["fp16 · cpu"].precision == "fp16"
    assert unit.bench is not None
    assert unit.bench.machine.versions == HERE.versions
    whole = json.loads((ran.folder / "gpu.json").read_text(encoding="utf-8"))
    assert (whole["benchmark"], whole["schema_version"]) == ("gpu", 1)
    assert whole["tf32"]


def test_run_does_nothing_again_that_is_done(
    ran: Ran, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(gpu_run, "prepare", lambda *_: pytest.fail("it exports again"))
    monkeypatch.setattr(gpu_timing, "time_part", lambda *_, **__: pytest.fail("it times again"))
    assert run_tiny(ran.folder, "--only", "fp16") == 0
    assert read(ran.folder / "gpu.json") == ran.finished
    printed = capsys.readouterr().out
    assert "baseline" in printed
    assert "not measured · tiny" in printed


def test_batch_that_a_model_does_not_take_leaves_its_rows_out(ran: Ran, tmp_path: Path) -> None:
    packages = ["--packages", str(ran.folder / "packages")]
    assert run_tiny(tmp_path, "--only", "fp32", "--batch", "65", *packages) == 0
    unit = read(tmp_path / "gpu.json").units[key("tiny", 65, "host")]
    assert unit.bench is None
    assert "batch:1..64" in unit.left_out["PyTorch eager fp32"]
    assert "the original can't be timed here" in unit.left_out["fp32 · cpu"]


def test_run_begins_nothing_when_its_time_is_up(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_tiny(tmp_path, "--limit-s", "0") == 0
    assert "not finished: 1 table;" in capsys.readouterr().err
    assert not (tmp_path / "gpu.json").exists()


def test_run_ends_with_the_reason_where_there_is_no_gpu(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = providers.find("cuda").diagnose()
    if found.usable:
        pytest.skip("there is one here")
    output = tmp_path / "gpu.json"
    assert gpu.main(["--models", "tiny", "--output", str(output)]) == 1
    said = capsys.readouterr()
    assert "Nothing is measured" in said.err
    assert found.cause in said.err
    assert "--provider cpu" in said.err
    assert not output.exists()


@pytest.mark.gpu
def test_run_on_a_gpu_times_each_memory_apart(tmp_path: Path) -> None:
    brief = ["--models", "tiny", "--batch", "1", "--turn-s", "0.005", "--starts", "2"]
    brief += ["--rounds", "1", "--only", "fp32", "fp16-graphs", "--packages", str(tmp_path)]
    assert gpu.main([*brief, "--output", str(tmp_path / "gpu.json")]) == 0
    for arrays in ("device", "host"):
        unit = read(tmp_path / "gpu.json").units[f"tiny · batch 1 · {arrays}"]
        assert unit.bench is not None, unit.left_out
        assert {m.facts.arrays for m in unit.bench.measurements} == {arrays}
        assert unit.asked["fp32 · cuda"].environment["NVIDIA_TF32_OVERRIDE"] == "0"


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--provider", "cpu"], "name a file with --output"),
        (["--starts", "3"], "must be even"),
        (["--provider", "cpu", "--output", "x", "--arrays", "device"], "no memory of its own"),
    ],
)
def test_run_refuses_what_makes_no_sense(
    options: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        gpu.main(options)
    assert complaint in " ".join(capsys.readouterr().err.split())


def test_tensorrt_row_says_what_the_wheelhouse_lacks(ran: Ran, tmp_path: Path) -> None:
    manifest = tmp_path / "manifest.json"
    manifest.write_text('{"left_out": {"tensorrt-cu13-libs": "no route to its index"}}')
    if providers.find("tensorrt").diagnose().usable:
        pytest.skip("TensorRT can be used here")
    more = ["--wheelhouse", str(manifest), "--packages", str(ran.folder / "packages")]
    assert run_tiny(tmp_path, "--only", "tensorrt-fp16", *more) == 0
    again = read(tmp_path / "gpu.json").units[TINY]
    assert "no route to its index" in again.left_out["fp16 · tensorrt"]


def test_original_in_fp16_and_its_mode_are_asked_of_the_worker(ran: Ran) -> None:
    prepared = prepare("tiny", ran.folder / "packages")
    for way in WAYS:
        if way.side != "original":
            continue
        found = candidate(way, prepared, provider="cpu", arrays="host")
        assert isinstance(found, Candidate)
        arguments = found.call.arguments
        assert arguments.get("precision", "fp32") == way.precision
        assert arguments.get("mode", "") == way.mode
        assert asked(way, found).mode == way.mode


def test_engine_that_keeps_nothing_has_no_second_start(ran: Ran) -> None:
    prepared = prepare("tiny", ran.folder / "packages")
    found = candidate(named("fp32"), prepared, provider="cpu", arrays="host")
    assert isinstance(found, Candidate)
    feed, _ = gpu_timing.feed_of(prepared, 1)
    left = gpu_timing.start_twice("tiny", found, feed, limit_s=60)
    assert left == LeftOut("fp32 · cpu", "nothing was kept that a second start could find")


def test_row_that_fails_to_start_is_left_out_with_the_last_line() -> None:
    one = Candidate("broken", Call("edgekit.nowhere:nothing"))
    left = gpu_timing.try_out(one, {}, limit_s=60)
    assert isinstance(left, LeftOut)
    assert left.reason.endswith("is not a function that a worker may call")


def measurement(name: str, ns: int, *, starts: int = 4, error: float = 0.0) -> Measurement:
    return Measurement(
        name,
        RunFacts("cuda", "fp16", 1),
        [Start(1.0, 2.0, 3.0, None, [], [[ns + 1, ns, ns + 2]]) for _ in range(starts)],
        None,
        against_original={"y": Closeness(error, error, 1.0, None)},
    )


def bench(*measurements: Measurement, left_out: list[LeftOut] | None = None) -> Bench:
    return Bench(
        name="tiny",
        baseline=measurements[0].label,
        baseline_is="the PyTorch original",
        metric="closeness",
        sizes={"batch": 1},
        batch=1,
        threads=1,
        machine=HERE,
        plan=Plan(starts=len(measurements[0].starts)),
        measurements=list(measurements),
        left_out=left_out or [],
        arrays="device",
        device="cuda",
    )


def results(compiled_ns: int, tensorrt_ns: int, graphs_ns: int | None = None) -> Results:
    rows = [measurement(COMPILED, compiled_ns), measurement(TENSORRT, tensorrt_ns)]
    left_out = {} if graphs_ns else {GRAPHS: "it has a Loop"}
    if graphs_ns:
        rows.append(measurement(GRAPHS, graphs_ns))
    files: dict[str, str] = {}
    under = Conditions("cuda", "a GPU", "580", "a CPU", {}, files, rounds=1, turn_s=0.03)
    unit = Unit("tiny", 1, "device", under, left_out=left_out, bench=bench(*rows))
    return Results(units={key("tiny", 1, "device"): unit})


@pytest.mark.parametrize(
    ("given", "standings"),
    [
        (results(1000, 900, 1200), ["passed", "passed", "not measured"]),
        (results(1000, 1100, 1400), ["failed", "failed", "not measured"]),
        (results(1000, 900), ["passed", "not measured", "not measured"]),
        (Results(problems={"tiny": "timm is missing"}), ["not measured"] * 3),
    ],
    ids=["fast", "slow", "a row missing", "no package"],
)
def test_goals_are_judged_by_ratios_of_one_run(given: Results, standings: list[str]) -> None:
    judged = verdicts(given, ["tiny"])
    assert [one.standing for one in judged] == standings
    if "it has a Loop" in str(given):
        assert judged[1].says == f"{GRAPHS}: it has a Loop"
    if given.problems:
        assert {one.says for one in judged} == {"timm is missing"}


def test_goal_is_undecided_where_the_interval_spans_the_bar() -> None:
    given = results(1000, 1000)
    unit = given.units[key("tiny", 1, "device")]
    assert unit.bench is not None
    for start, ns in zip(unit.bench.measurements[1].starts, (800, 1250, 900, 1100), strict=True):
        start.rounds[0][:] = [ns] * 3
    assert verdicts(given, ["tiny"])[0].standing == "undecided"


@pytest.mark.parametrize(("second_ms", "standing"), [(1100.0, "passed"), (1400.0, "failed")])
def test_second_start_is_held_to_reading_and_a_second(second_ms: float, standing: str) -> None:
    first, second = FirstStart(100.0, 60000.0, 5.0), FirstStart(100.0, second_ms, 5.0)
    engine = EngineStarts("tiny", "a GPU", "580", {}, first, second, 200.0, 2, 10)
    assert verdicts(Results(engines={"tiny": engine}), ["tiny"])[-1].standing == standing


def test_parts_of_a_bench_are_joined_by_row() -> None:
    before = bench(measurement("a", 10, starts=2, error=0.5), measurement("b", 20, starts=2))
    failed = [LeftOut("b", "out of memory")]
    whole = joined(before, bench(measurement("a", 11, starts=2, error=0.1), left_out=failed))
    (one,) = whole.measurements
    assert [start.rounds[0][1] for start in one.starts] == [10, 10, 11, 11]
    assert one.against_original["y"].max_abs_error == 0.5
    assert whole.left_out == failed
    assert whole.plan.starts == 4


def test_results_are_read_as_they_were_kept(tmp_path: Path) -> None:
    path = tmp_path / "in" / "gpu.json"
    assert read(path) == Results()
    given = results(1000, 900, 1200)
    keep(path, given)
    assert read(path) == given
    assert [entry.name for entry in path.parent.iterdir()] == ["gpu.json"]
    path.write_text('{"units": 3}')
    with pytest.raises(BadValue, match="one that benchmarks"):
        read(path)


def test_readme_names_every_figure_that_is_not_measured() -> None:
    document = (PROJECT / "benchmarks" / "README.md").read_text(encoding="utf-8")
    table = not_measured(read(RESULTS / "gpu.json"), MODELS)
    assert table in document, "python -m benchmarks.gpu --markdown prints what is new"


def test_figures_that_are_missing_for_one_reason_stand_together() -> None:
    nothing = not_measured(Results(problems={"cnn": "a | b"}), ["cnn", "rnn", "encoder"])
    assert nothing.count("| `rnn`, `encoder` | not run yet |") == 4
    assert nothing.count("| `cnn` | a \\| b |") == 4
    missing = not_measured(results(1000, 900), ["tiny"])
    assert f"| batch 1, on the device: {GRAPHS} | `tiny` | it has a Loop |" in missing
    assert "batch 32, on the device; batch 1, with copies; batch 32, with copies" in missing
