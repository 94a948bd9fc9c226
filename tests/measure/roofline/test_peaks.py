"""Peaks: measured once on a kind of machine, then found again."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("onnx", reason="the models that show peaks are built with onnx")

from edgekit.measure.roofline import peaks as keeping
from edgekit.measure.roofline import probing
from edgekit.measure.roofline.peaks import keep_peaks, peaks_again, peaks_of
from edgekit.measure.roofline.rates import MachinePeaks
from edgekit.measure.ways import How
from edgekit.package.values import SessionChoice


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probing, "_PRODUCTS", (64, 128))
    monkeypatch.setattr(probing, "_NOW", 64)
    monkeypatch.setattr(probing, "_WORKING_SETS", (1 << 16, 1 << 18))
    monkeypatch.setattr(probing, "_MEASURE_S", 0.01)
    monkeypatch.setattr(keeping, "busy", lambda: "")


def test_peaks_are_measured_and_kept(tmp_path: Path) -> None:
    how = How(SessionChoice(threads=1))
    found = peaks_of(how)
    assert (found.provider, found.threads) == ("cpu", 1)
    assert found.float_gflops is not None
    assert found.float_gflops > 0
    assert found.int8_gops is not None
    assert set(found.copy_gb_s) <= {1 << 16, 1 << 18}
    assert "64 × 64 and 128 × 128" in found.how
    (kept,) = (tmp_path / "cache" / "peaks").rglob("*.json")
    written = kept.stat().st_mtime_ns
    assert peaks_of(how) == found
    assert kept.stat().st_mtime_ns == written
    peaks_of(how, fresh=True)
    assert kept.stat().st_mtime_ns > written


def test_other_threads_have_peaks_of_their_own(tmp_path: Path) -> None:
    for threads in (1, 2):
        peaks_of(How(SessionChoice(threads=threads)))
    assert len(list((tmp_path / "cache" / "peaks").rglob("*.json"))) == 2


def test_what_cannot_be_read_is_measured_again(tmp_path: Path) -> None:
    how = How(SessionChoice(threads=1))
    peaks_of(how)
    (kept,) = (tmp_path / "cache" / "peaks").rglob("*.json")
    kept.write_text("{torn")
    assert peaks_of(how).float_gflops


def test_the_models_are_what_they_say(tmp_path: Path) -> None:
    import onnxruntime as ort

    from edgekit.graph import yardsticks

    yardsticks.integer_product(tmp_path / "int8.onnx", 32)
    options = ort.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "loaded.onnx")
    options.log_severity_level = 3
    ort.InferenceSession(tmp_path / "int8.onnx", options, providers=["CPUExecutionProvider"])
    import onnx

    # It must be the integer kernel that is measured, and not a float one between Q and DQ.
    assert [n.op_type for n in onnx.load(tmp_path / "loaded.onnx").graph.node] == ["QLinearMatMul"]


def test_peaks_of_a_busy_machine_are_measured_again_when_it_is_quiet(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    how = How(SessionChoice(threads=1))
    kept = MachinePeaks("cpu", 1, 1e9, 1e-9, {1 << 16: 1e9}, "made up", disturbed=True)
    keep_peaks(how, kept)
    monkeypatch.setattr(keeping, "busy", lambda: "it is busy")
    assert peaks_of(how) == kept
    monkeypatch.setattr(keeping, "busy", lambda: "")
    found = peaks_of(how)
    # Of each the higher: what was kept of the one, what is measured now of the other.
    assert (found.float_gflops, found.copy_gb_s[1 << 16], found.disturbed) == (1e9, 1e9, False)
    assert found.int8_gops is not None
    assert found.int8_gops > 1e-9
    assert peaks_of(how) == found


def test_what_was_outdone_is_measured_again_and_the_higher_of_each_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    known = MachinePeaks("cpu", 1, 50.0, 900.0, {1 << 16: 20.0, 1 << 18: 90.0}, "made up")
    again = MachinePeaks("cpu", 1, 70.0, 800.0, {1 << 16: 80.0, 1 << 18: 30.0}, "measured")
    monkeypatch.setattr(keeping, "measured", lambda how, **given: again)
    how = How(SessionChoice(threads=1))
    found = peaks_again(how, known)
    assert (found.float_gflops, found.int8_gops) == (70.0, 900.0)
    # What a large working set reaches, a small one can.
    assert found.copy_gb_s == {1 << 16: 90.0, 1 << 18: 90.0}
    assert peaks_of(how) == found


def test_a_product_of_this_moment_is_measured() -> None:
    now = probing.float_gflops_now(How(SessionChoice(threads=1)))
    assert now is not None
    assert now > 0


def test_what_is_kept_of_an_older_way_to_measure_is_measured_anew(tmp_path: Path) -> None:
    how = How(SessionChoice(threads=1))
    keep_peaks(how, MachinePeaks("cpu", 1, 1e9, 1e9, {1 << 16: 1e9}, "made up"))
    (kept,) = (tmp_path / "cache" / "peaks").rglob("*.json")
    kept.write_text(kept.read_text().replace('"schema_version":2', '"schema_version":1'))
    found = peaks_of(how)
    assert found.float_gflops is not None
    assert found.float_gflops < 1e9


def test_a_provider_that_compiles_has_peaks_of_its_own(openvino_library: Path) -> None:
    how = How(SessionChoice(provider="openvino", threads=1), library=str(openvino_library))
    found = peaks_of(how)
    assert found.provider == "openvino"
    assert found.float_gflops is not None
    assert found.int8_gops is not None
    assert all(rate > 0 for rate in found.copy_gb_s.values())
    assert len(found.copy_gb_s) == 2
