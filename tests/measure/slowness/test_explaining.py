"""Explanations of real models: what is in them, what is kept, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

pytest.importorskip("onnx", reason="explanations read the graph")

from edgekit import machine
from edgekit.errors import BadValue, MissingExtra, NotFound, UnknownName
from edgekit.measure.adopt import adopt
from edgekit.measure.plan import Plan
from edgekit.measure.roofline.peaks import keep_peaks
from edgekit.measure.roofline.rates import MachinePeaks
from edgekit.measure.slowness import explaining
from edgekit.measure.slowness.explaining import explain, kept_explanation
from edgekit.measure.ways import How
from edgekit.package.values import SessionChoice
from edgekit.quantize import quantize

QUICK = Plan(starts=2, rounds=1, turn_s=0.01, warm_up_s=0.01)
Nets = Callable[..., tuple[Path, Path]]


def test_a_file_against_the_one_that_it_was_made_from(nets: Nets, how: How) -> None:
    before, after = nets()
    found = explain(after, parent=before, variants=("integers",), how=how, plan=QUICK)
    (one,) = found.variants
    assert (one.variant, one.parent) == ("integers", "float")
    apart = [reason for reason in one.reasons if reason.kind == "fusion lost"]
    assert apart
    assert "HardSigmoid" in apart[0].sentence
    assert "which float has inside other kernels" in apart[0].sentence
    # What is told of makes up the whole difference, whichever of the two was faster.
    assert one.parent_ms is not None
    told = sum(reason.us or 0.0 for reason in one.reasons) - one.gained_us
    assert told == pytest.approx(1e3 * (one.p50_ms - one.parent_ms), abs=1e-6)
    # Both convolutions, and nothing that only turns numbers around.
    convolutions = 2 * 2 * 24 * 24 * 16 * 16 * 9
    assert one.limit.operations == convolutions
    assert one.limit.limit_ms == pytest.approx(convolutions / 4e4 / 1e6)
    assert one.limit.bound == "compute"
    assert {node.operator for node in one.top_nodes} >= {"QLinearConv", "HardSigmoid", "Mul"}
    assert one.nodes == len(one.top_nodes)


def test_a_package_is_explained_and_the_explanation_kept(
    nets: Nets, how: How, tmp_path: Path
) -> None:
    before, _ = nets()
    path = tmp_path / "net.edgekit"
    adopt(before, path)
    quantize(path, scheme="int8-static", synthetic=True)
    steps: list[tuple[int, int]] = []
    found = explain(
        path, how=how, batch=2, plan=QUICK, progress=lambda done, of: steps.append((done, of))
    )
    assert [(one.variant, one.parent) for one in found.variants] == [
        *(("fp32", None), ("int8-static", "fp32"))
    ]
    assert (found.batch, found.sizes) == (2, {"batch": 2})
    assert found.peaks.float_gflops == 1e4
    floats, whole = found.variants
    assert floats.reasons == ()
    assert floats.speedup is None
    assert whole.speedup is not None
    # Two rows through two convolutions; what only turns numbers around is no part of it.
    assert floats.limit.operations == whole.limit.operations == 2 * 2 * 2 * 24 * 24 * 16 * 16 * 9
    assert steps[-1][0] == steps[-1][1]
    assert kept_explanation(path, machine.speed_key(machine.describe())) == found
    assert set(found.files) == {"float/fp32.onnx", "float/int8-static.onnx"}
    again = msgspec.json.decode(msgspec.json.encode(found), type=type(found))
    assert again == found


def test_a_node_says_which_share_of_its_own_limit_it_reaches(tiny_package: Path, how: How) -> None:
    (one,) = explain(tiny_package, how=how, plan=QUICK).variants
    for node in one.top_nodes:
        if node.share is not None and node.bytes is not None and node.operations is not None:
            least = max(node.operations / 1e4, node.bytes / 1e4) / 1e3
            assert node.share * node.us == pytest.approx(least)
    assert sum(node.us for node in one.top_nodes) <= 1e3 * one.p50_ms + 1e-6


def test_peaks_that_something_outdoes_are_measured_again_once(
    tiny_package: Path, how: How, made_up_peaks: MachinePeaks, monkeypatch: pytest.MonkeyPatch
) -> None:
    low = msgspec.structs.replace(made_up_peaks, copy_gb_s={1 << 18: 1e-6}, float_gflops=1e-6)
    keep_peaks(how, low)
    asked: list[MachinePeaks] = []

    def again(how: How, known: MachinePeaks, *, wall_s: float) -> MachinePeaks:
        asked.append(known)
        return made_up_peaks

    monkeypatch.setattr(explaining, "peaks_again", again)
    found = explain(tiny_package, how=how, plan=QUICK)
    # What was seen in this run counts, too.
    assert asked == [msgspec.structs.replace(low, float_gflops=made_up_peaks.float_gflops)]
    assert found.peaks.float_gflops == made_up_peaks.float_gflops
    assert found.variants[0].limit.share < 1
    assert not any("faster than the limit" in note for note in found.notes)
    monkeypatch.setattr(explaining, "peaks_again", lambda how, known, *, wall_s: known)
    keep_peaks(how, low)
    (said,) = [n for n in explain(tiny_package, how=how, plan=QUICK).notes if "than the limit" in n]
    assert "measured a second time: fp32 · cpu" in said


@pytest.mark.parametrize(("now", "said"), [(4e3, True), (9.5e3, False), (None, False)])
def test_a_machine_that_does_less_than_it_did_is_told(
    now: float | None,
    said: bool,
    tiny_package: Path,
    how: How,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(explaining, "float_gflops_now", lambda how, *, wall_s: now)
    found = explain(tiny_package, how=how, plan=QUICK)
    assert found.peaks.float_now_gflops == now
    told = [note for note in found.notes if "does 4,000 GFLOP/s in float32 now" in note]
    assert bool(told) == said


def test_a_machine_that_does_more_than_it_did_has_its_peaks_measured_again(
    tiny_package: Path, how: How, monkeypatch: pytest.MonkeyPatch
) -> None:
    known: list[float | None] = []

    def again(how: How, peaks: MachinePeaks, *, wall_s: float) -> MachinePeaks:
        known.append(peaks.float_gflops)
        return peaks

    monkeypatch.setattr(explaining, "float_gflops_now", lambda how, *, wall_s: 2e4)
    monkeypatch.setattr(explaining, "peaks_again", again)
    assert explain(tiny_package, how=how, plan=QUICK).peaks.float_gflops == 2e4
    assert known == [2e4]


def test_a_provider_that_compiles_tells_of_no_nodes(
    nets: Nets, openvino_library: Path, made_up_peaks: MachinePeaks
) -> None:
    how = How(SessionChoice(provider="openvino", threads=1), library=str(openvino_library))
    keep_peaks(how, msgspec.structs.replace(made_up_peaks, provider="openvino"))
    before, _ = nets("Relu")
    (one,) = explain(before, how=how, plan=QUICK).variants
    assert (one.nodes, one.top_nodes, one.reasons) == (None, (), ())
    assert "compiles" in one.untold
    # Its work is told all the same, by shape inference: convolutions, and Relus an element each.
    assert one.limit.operations == 2 * 2 * 24 * 24 * 16 * 16 * 9 + 2 * 16 * 24 * 24


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        ({"variants": ("int9",)}, UnknownName, "int9"),
        ({"parent": "other.onnx"}, BadValue, "is a package"),
        ({"batch": 9999}, Exception, "batch"),
    ],
)
def test_what_cannot_be_explained_is_refused(
    arguments: dict[str, Any], error: type[Exception], said: str, tiny_package: Path, how: How
) -> None:
    with pytest.raises(error, match=said):
        explain(tiny_package, how=how, plan=QUICK, **arguments)


def test_a_parent_that_is_not_there_is_refused(nets: Nets, how: How) -> None:
    _, after = nets()
    with pytest.raises(NotFound, match=r"the float \.onnx file"):
        explain(after, parent="missing.onnx", how=how, plan=QUICK)


def test_without_onnx_the_extra_is_named(
    tiny_package: Path, how: How, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "importlib.util.find_spec", lambda name: None if name == "onnx" else object()
    )
    with pytest.raises(MissingExtra, match=r"edgekit-onnx\[build\]"):
        explain(tiny_package, how=how, plan=QUICK)


def test_what_prints_an_explanation_needs_no_onnx(fresh_python: Callable[[str], str]) -> None:
    loaded = fresh_python(
        "import sys, edgekit.measure.slowness.explaining, edgekit.report.explain\n"
        "print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    ).split()
    assert "edgekit" in loaded
    assert "onnx" not in loaded


def test_a_parent_of_the_same_name_is_told_apart(nets: Nets, how: How, tmp_path: Path) -> None:
    before, after = nets("Relu", channels=4)
    (tmp_path / "other").mkdir()
    moved = before.rename(tmp_path / "other" / after.name)
    (one,) = explain(after, parent=moved, how=how, plan=QUICK).variants
    assert (one.variant, one.parent) == ("integers", "parent")
    assert one.label == "integers · cpu"
