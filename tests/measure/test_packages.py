from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import psutil
import pytest

from edgekit import machine
from edgekit.errors import BadValue, CorruptPackage, NotFound, ProviderUnavailable, UnknownName
from edgekit.measure.inspection import inspect
from edgekit.measure.packages import bench_packages, candidates, open_subject
from edgekit.measure.plan import Candidate, Plan
from edgekit.measure.results import BenchReport, LeftOut
from edgekit.measure.ways import How
from edgekit.metrics import wilson
from edgekit.package import commit, reading
from edgekit.package.values import SessionChoice

QUICK = Plan(starts=2, rounds=2, turn_s=0.002, warm_up_s=0.0)
ONE_THREAD = How(SessionChoice(threads=1))
ABSENT = LeftOut("PyTorch compiled", "there is no C++ compiler here")

Opens = Callable[..., Candidate]


def test_a_package_is_benched_beside_its_original(tiny_package: Path, opens: Opens) -> None:
    steps: list[tuple[int, int]] = []
    # The graph as it is stored stands for a PyTorch original, which needs torch.
    original = opens(
        tiny_package,
        label="PyTorch eager",
        session=SessionChoice(threads=1, graph_level="disabled"),
        optional=True,
    )
    done = bench_packages(
        [open_subject(tiny_package)],
        ONE_THREAD,
        originals=[original],
        left_out=[ABSENT],
        batch=4,
        plan=QUICK,
        progress=lambda done, total: steps.append((done, total)),
    )
    bench = done.bench
    baseline, variant = done.rows
    assert (bench.name, bench.baseline, bench.baseline_is) == (
        "tiny",
        "PyTorch eager",
        "the PyTorch original",
    )
    assert (bench.batch, bench.sizes, bench.threads, bench.plan) == (4, {"batch": 4}, 1, QUICK)
    assert (baseline.is_original, variant.is_original) == (True, False)
    assert variant.label == "fp32 · cpu"
    assert bench.left_out == [ABSENT]
    assert any("only 2 starts of 2 rounds" in note for note in bench.notes)
    assert steps[-1] == (8, 8)
    _assert_speedup_is_that_of_the_samples(done)

    assert variant.accuracy == variant.agreement == wilson(20, 20)
    assert (variant.mismatch, baseline.mismatch) == ("", "")
    assert variant.max_abs_error is not None
    assert variant.max_abs_error < 1e-5
    assert variant.size_mb == (tiny_package / "fp32.onnx").stat().st_size / 1e6
    assert variant.throughput_per_s == pytest.approx(4000 / variant.mean_ms)
    assert variant.p95_ms is not None
    assert bench.machine.affinity == machine.describe().affinity
    assert [m.facts.idle for m in bench.measurements] == ["brief", "brief"]

    rows = inspect(tiny_package).measured
    assert [(row.label, row.sizes) for row in rows] == [
        ("PyTorch eager", {"batch": 4}),
        ("fp32 · cpu", {"batch": 4}),
    ]
    assert rows[1].p50_ms == variant.p50_ms.value
    reading.read(tiny_package)  # what was measured is no part of what is listed
    assert msgspec.json.decode(msgspec.json.encode(done), type=BenchReport) == done
    assert psutil.Process().children(recursive=True) == []


def _assert_speedup_is_that_of_the_samples(done: BenchReport) -> None:
    first, second = ([s.rounds for s in m.starts] for m in done.bench.measurements)
    ratios = [
        np.median([np.median(a) / np.median(b) for a, b in zip(*pair, strict=True)])
        for pair in zip(first, second, strict=True)
    ]
    assert done.rows[0].speedup is None
    assert done.rows[1].speedup is not None
    assert done.rows[1].speedup.value == pytest.approx(float(np.median(ratios)), rel=1e-12)


def test_a_plain_file_is_benched_on_made_up_values(
    tiny_onnx: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tiny_onnx("odd name", batch=3)
    monkeypatch.chdir(path.parent)
    subject = open_subject(Path(path.name))
    plan = msgspec.structs.replace(QUICK, rounds=1)
    done = bench_packages([subject], ONE_THREAD, originals=[], left_out=[], plan=plan)
    assert [row.label for row in done.rows] == ["odd name · cpu"]
    assert done.rows[0].speedup is None
    assert (done.bench.batch, done.bench.sizes) == (3, {})
    assert "plain .onnx has no original" in done.bench.baseline_is
    assert any("made-up values" in note for note in done.bench.notes)


def test_originals_that_can_not_run_leave_the_float_variant_as_the_baseline(
    tiny_package: Path, opens: Opens, tiny_onnx: Callable[..., Path]
) -> None:
    gone = opens(tiny_package / "gone.onnx", label="PyTorch eager", optional=True)
    plan = msgspec.structs.replace(QUICK, rounds=1)
    done = bench_packages(
        [open_subject(tiny_package)], ONE_THREAD, originals=[gone], left_out=[], plan=plan
    )
    assert [left.label for left in done.bench.left_out] == ["PyTorch eager"]
    assert "gone.onnx" in done.bench.left_out[0].reason
    assert done.bench.baseline == "fp32 · cpu"
    assert "could not run" in done.bench.baseline_is
    assert done.rows[0].agreement == wilson(20, 20)  # with the recorded answers


def test_a_busy_machine_is_noted(
    tiny_onnx: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgekit.measure.packages.busy", lambda: "others were at work")
    plan = msgspec.structs.replace(QUICK, rounds=1)
    subject = open_subject(tiny_onnx())
    done = bench_packages([subject], ONE_THREAD, originals=[], left_out=[], plan=plan)
    assert "others were at work" in done.bench.notes


def test_a_provider_that_is_not_here_is_refused_before_anything_starts(
    tiny_package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgekit.measure.packages.time_candidates", None)
    with pytest.raises(ProviderUnavailable, match="cuda"):
        bench_packages(
            [open_subject(tiny_package)],
            How(SessionChoice(provider="cuda")),
            originals=[],
            left_out=[],
        )


def test_a_batch_outside_the_range_is_refused(tiny_package: Path) -> None:
    with pytest.raises(BadValue, match=r"batch:1\.\.8"):
        bench_packages([open_subject(tiny_package)], ONE_THREAD, originals=[], left_out=[], batch=9)


def test_models_with_other_inputs_are_not_timed_side_by_side(
    tiny_package: Path, tiny_onnx: Callable[..., Path]
) -> None:
    other = open_subject(tiny_onnx("two", second_input=True))
    with pytest.raises(BadValue, match="inputs differ"):
        bench_packages([open_subject(tiny_package), other], ONE_THREAD, originals=[], left_out=[])


@pytest.mark.parametrize("arrays", ["host", "device"])
def test_a_bench_says_where_arrays_lay(arrays: Any, tiny_package: Path, opens: Opens) -> None:
    original = opens(tiny_package, label="PyTorch eager", optional=True)
    done = bench_packages(
        [open_subject(tiny_package)],
        msgspec.structs.replace(ONE_THREAD, arrays=arrays),
        originals=[original],
        left_out=[],
        plan=msgspec.structs.replace(QUICK, rounds=1),
    )
    assert (done.bench.arrays, done.bench.device) == (arrays, "")
    _, variant = done.bench.measurements
    assert variant.facts.arrays == arrays
    assert variant.mismatch == ""
    assert done.rows[1].agreement == wilson(20, 20)


def test_a_variant_that_can_not_be_recorded_is_left_out_with_the_reason(
    tiny_package: Path,
) -> None:
    package = reading.read(tiny_package)
    (variant,) = package.variants
    facts = msgspec.structs.replace(variant.facts, operators={"Loop": 1})
    looping = msgspec.structs.replace(variant, facts=facts)
    commit.commit(tiny_package, msgspec.structs.replace(package, variants=(looping,)), {})
    session = SessionChoice(provider="cuda", provider_options={"enable_cuda_graph": "1"})
    made, unfit = candidates([open_subject(tiny_package)], How(session))
    assert made == []
    assert [left.label for left in unfit] == ["fp32 · cuda"]
    assert unfit[0].reason.startswith("it has Loop, which decide while it runs")
    assert candidates([open_subject(tiny_package)], How(SessionChoice(provider="cuda")))[1] == []


def test_a_package_is_not_timed_beside_itself(tiny_package: Path, tmp_path: Path) -> None:
    link = tmp_path / "again.edgekit"
    link.symlink_to(tiny_package)
    twice = [open_subject(tiny_package), open_subject(link)]
    with pytest.raises(BadValue, match=r"twice: expected every model once"):
        bench_packages(twice, ONE_THREAD, originals=[], left_out=[])


@pytest.mark.parametrize(
    ("provider", "options", "label"),
    [
        ("cpu", {}, "fp32 · cpu"),
        ("cuda", {}, "fp32 · cuda"),
        ("cuda", {"use_tf32": "1"}, "fp32 · cuda, products in TF32"),
        # A worker has the variable that forbids TF32, whatever stands in this process.
        ("tensorrt", {}, "fp32 · tensorrt"),
    ],
)
def test_a_label_tells_what_a_worker_computes_in_where_it_is_another_precision(
    provider: str, options: dict[str, str], label: str, tiny_package: Path
) -> None:
    how = How(SessionChoice(provider=provider, provider_options=options))
    ((made,), _) = candidates([open_subject(tiny_package)], how)
    assert made.label == label


def test_every_variant_of_every_package_has_a_label_of_its_own(
    tiny_package: Path, tmp_path: Path
) -> None:
    twin = tmp_path / "elsewhere" / "tiny.edgekit"
    shutil.copytree(tiny_package, twin)
    (one, two), _ = candidates([open_subject(tiny_package), open_subject(twin)], ONE_THREAD)
    assert one.label == f"{tiny_package}/fp32 · cpu"
    assert two.label == f"{twin}/fp32 · cpu"


def test_only_a_variant_of_the_same_weights_is_held_to_its_tolerance(
    tiny_package: Path, tmp_path: Path
) -> None:
    def edited(name: str, **provenance: Any) -> Path:
        folder = tmp_path / name
        shutil.copytree(tiny_package, folder)
        package = reading.read(folder)
        replaced = msgspec.structs.replace(package.provenance, **provenance)
        commit.commit(folder, msgspec.structs.replace(package, name=name, provenance=replaced), {})
        return folder

    paths = [tiny_package, edited("again"), edited("other", weights_sha256="1" * 64)]
    made, _ = candidates([open_subject(path) for path in paths], ONE_THREAD)
    assert [candidate.label for candidate in made] == [
        "tiny/fp32 · cpu",
        "again/fp32 · cpu",
        "other/fp32 · cpu",
    ]
    assert [set(candidate.tolerance) for candidate in made] == [{"y"}, {"y"}, set()]


@pytest.mark.parametrize(
    ("asked", "graph", "labels", "cases", "held_out"),
    [
        ((), "model", ["fp32 · cpu"], 4, 20),
        (("portable",), "model", ["fp32 · cpu"], 4, 20),
        (("fp32-uint8",), "model-uint8", ["fp32-uint8 · cpu"], 2, 10),
        (("fp32-uint8", "fp32-uint8"), "model-uint8", ["fp32-uint8 · cpu"], 2, 10),
    ],
)
def test_variants_of_one_graph_are_benched_on_its_own_cases(
    asked: tuple[str, ...],
    graph: str,
    labels: list[str],
    cases: int,
    held_out: int,
    two_graphs: Path,
) -> None:
    subject = open_subject(two_graphs, variants=asked)
    assert subject.graph is not None
    assert (subject.graph.name, len(subject.cases)) == (graph, cases)
    assert subject.graph.evaluation is not None
    assert subject.graph.evaluation.cases == held_out
    assert subject.signature == subject.graph.signature
    assert [candidate.label for candidate in candidates([subject], ONE_THREAD)[0]] == labels


def test_the_second_graph_is_benched_and_kept_beside_the_first(two_graphs: Path) -> None:
    plan = msgspec.structs.replace(QUICK, rounds=1)
    for name, held_out in (("fp32", 20), ("fp32-uint8", 10)):
        done = bench_packages(
            [open_subject(two_graphs, variants=(name,))],
            ONE_THREAD,
            originals=[],
            left_out=[],
            plan=plan,
        )
        (row,) = done.rows
        assert (row.label, row.mismatch) == (f"{name} · cpu", "")
        assert row.agreement == wilson(held_out, held_out)
        assert done.bench.baseline_is.startswith("the float variant, held to the recorded answers")
        assert list(done.bench.files) == [f"tiny/{name}.onnx"]
    rows = inspect(two_graphs).measured
    assert [row.label for row in rows] == ["fp32 · cpu", "fp32-uint8 · cpu"]


def test_a_slimmed_packages_only_variant_is_not_called_the_float_one(tiny_package: Path) -> None:
    package = reading.read(tiny_package)
    fewer = msgspec.structs.replace(package.variants[0], precision="int8")
    commit.commit(tiny_package, msgspec.structs.replace(package, variants=(fewer,)), {})
    done = bench_packages(
        [open_subject(tiny_package)], ONE_THREAD, originals=[], left_out=[], plan=QUICK
    )
    assert done.bench.baseline_is.startswith("the first variant, held to the recorded answers")


def test_variants_of_two_graphs_are_not_benched_together(two_graphs: Path) -> None:
    with pytest.raises(BadValue, match=r"one of fp32 \(graph model\) and fp32-uint8 \(graph mod"):
        open_subject(two_graphs, variants=("fp32", "fp32-uint8"))
    first, second = (open_subject(two_graphs, variants=(v,)) for v in ("fp32", "fp32-uint8"))
    with pytest.raises(BadValue):
        bench_packages([first, second], ONE_THREAD, originals=[], left_out=[])


def test_a_variant_that_is_not_there_is_refused(
    two_graphs: Path, tiny_onnx: Callable[..., Path]
) -> None:
    with pytest.raises(UnknownName, match="Did you mean 'fp32-uint8'"):
        open_subject(two_graphs, variants=("fp32-unit8",))
    path = tiny_onnx("net")
    with pytest.raises(UnknownName, match="int8"):
        open_subject(path, variants=("int8",))
    assert open_subject(path, variants=("net",)).name == "net"


def test_a_variant_that_was_asked_for_is_called_what_it_is(two_graphs: Path) -> None:
    package = reading.read(two_graphs)
    again = msgspec.structs.replace(package.variants[0], name="again")
    variants = (*package.variants, again)
    commit.commit(two_graphs, msgspec.structs.replace(package, variants=variants), {})
    assert [v.name for v in open_subject(two_graphs).variants] == ["fp32", "again"]
    plan = msgspec.structs.replace(QUICK, rounds=1)
    subject = open_subject(two_graphs, variants=("again",))
    done = bench_packages([subject], ONE_THREAD, originals=[], left_out=[], plan=plan)
    assert done.bench.baseline_is == "the first of the variants that were asked for"


@pytest.mark.parametrize("only_random", [False, True])
def test_random_outputs_are_compared_by_shape_and_said_so(
    only_random: bool, noisy_package: Callable[..., Path], opens: Opens
) -> None:
    path = noisy_package(only_random=only_random)
    plan = msgspec.structs.replace(QUICK, rounds=1)
    done = bench_packages(
        [open_subject(path)],
        ONE_THREAD,
        originals=[opens(path, label="PyTorch eager", optional=True)],
        left_out=[],
        plan=plan,
    )
    assert done.bench.left_out == []
    assert "noise is random, compared by shape" in done.bench.notes
    original, variant = done.rows
    assert (original.mismatch, variant.mismatch) == ("", "")
    if only_random:
        found = (variant.accuracy, variant.agreement, variant.max_abs_error, variant.cosine)
        assert found == (None, None, None, None)
    else:
        assert variant.max_abs_error == 0.0
        assert variant.agreement == wilson(3, 3)


def test_what_is_not_there_or_broken_is_refused(tmp_path: Path) -> None:
    for name in ("gone.onnx", "gone.edgekit"):
        with pytest.raises(NotFound):
            open_subject(tmp_path / name)
    (tmp_path / "empty").mkdir()
    with pytest.raises(CorruptPackage):
        open_subject(tmp_path / "empty")
