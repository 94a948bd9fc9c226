"""The table that a bench ends with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from edgekit.intervals import Changes, drop
from edgekit.measure.results import BenchReport, LeftOut
from edgekit.report.bench import benched
from edgekit.tensors import RunFacts

MakeReport = Callable[..., BenchReport]
TextOf = Callable[..., str]


def test_the_head_names_the_conditions(bench_report: MakeReport, text_of: TextOf) -> None:
    head = text_of(benched, [bench_report()]).splitlines()[0]
    assert head == "cnn · AMD EPYC 7B13, AVX2 · 2 threads · batch 1 · 1,500 held-out cases"


def test_the_head_marks_made_up_cases(bench_report: MakeReport, text_of: TextOf) -> None:
    made = bench_report()
    measured = [
        msgspec.structs.replace(
            one, quality=msgspec.structs.replace(one.quality, dataset="draws", synthetic=True)
        )
        for one in made.bench.measurements
        if one.quality is not None
    ]
    bench = msgspec.structs.replace(made.bench, measurements=measured)
    head = text_of(benched, [msgspec.structs.replace(made, bench=bench)]).splitlines()[0]
    assert head.endswith(" · 1,500 draws, made up")


@pytest.mark.parametrize(
    ("arrays", "device", "said"),
    [
        ("host", "cuda", " · batch 1 · inputs and outputs in the host's memory, copies timed · "),
        ("device", "cuda", " · batch 1 · inputs and outputs on the GPU, no copies timed · "),
        ("device", "cpu", " · batch 1 · inputs and outputs on the device, no copies timed · "),
    ],
)
def test_the_head_says_whether_copies_are_timed(
    arrays: str, device: str, said: str, bench_report: MakeReport, text_of: TextOf
) -> None:
    head = text_of(benched, [bench_report(arrays=arrays, device=device)]).splitlines()[0]
    assert said in head


def test_options_of_the_provider_stand_in_the_heading(
    bench_report: MakeReport, text_of: TextOf
) -> None:
    made = bench_report()
    bench = msgspec.structs.replace(made.bench, provider_options={"NUM_STREAMS": "2"})
    said = text_of(benched, [msgspec.structs.replace(made, bench=bench)])
    assert "NUM_STREAMS=2" in said.splitlines()[0]


def test_the_precision_of_an_original_beside_a_gpu_is_said(
    bench_report: MakeReport, text_of: TextOf
) -> None:
    made = bench_report()
    eager, fp32 = made.bench.measurements
    tf32 = RunFacts("pytorch eager, cuda", "fp32", 2, computes="fp32, products in TF32")
    nodes = {"cuda": {"Conv": 3}, "cpu": {"Shape": 1}}
    ours = RunFacts("cuda", "fp32", 2, placement=nodes, copies=2, computes="fp32")
    bench = msgspec.structs.replace(
        made.bench,
        measurements=[
            msgspec.structs.replace(eager, facts=tf32),
            msgspec.structs.replace(fp32, facts=ours),
        ],
    )
    said = text_of(benched, [msgspec.structs.replace(made, bench=bench)])
    assert "\nPyTorch eager computes in fp32, products in TF32.\n" in said
    assert (
        "\nfp32 · cpu runs on cuda in fp32: 3 nodes; 1 on cpu (1 Shape), 2 copies between memories "
        "in a run.\n" in said
    )


def test_a_row_holds_what_it_cost(bench_report: MakeReport, text_of: TextOf) -> None:
    lines = text_of(benched, [bench_report()]).splitlines()
    assert lines[1:4] == [
        "               p50 ms  p90 ms      speedup [95 %]      accuracy [95 %]       "
        "agreement [95 %]     size  cold start  peak memory",
        "PyTorch eager   0.600   0.600            baseline  98.5 % [97.7, 99.0]                  "
        "    –  1.69 MB      105 ms     60.0 MiB",
        "fp32 · cpu      0.120   0.120  ×5.00 [5.00, 5.00]  98.5 % [97.7, 99.0]  100.0 % [99.7, "
        "100.0]  1.69 MB      105 ms     60.0 MiB",
    ]


def test_the_method_is_said_below(bench_report: MakeReport, text_of: TextOf) -> None:
    said = " ".join(text_of(benched, [bench_report()]).split())
    assert (
        "Speedup is against PyTorch eager (the PyTorch original), in this run: 5 fresh processes "
        "of each, 4 interleaved rounds in each process. Between calls ONNX Runtime's threads spin "
        "for 200 µs and then sleep."
    ) in said


def test_on_eighty_columns_all_columns_are_there(bench_report: MakeReport, text_of: TextOf) -> None:
    text = text_of(benched, [bench_report()], width=80)
    lines = text.splitlines()
    assert max(map(len, lines)) <= 80
    assert sum(line.startswith("fp32 · cpu") for line in lines) == 2
    for title in ("p50 ms", "speedup [95 %]", "accuracy [95 %]", "agreement", "peak memory"):
        assert sum(title in line for line in lines) == 1


def test_a_model_without_classes_shows_distances(bench_report: MakeReport, text_of: TextOf) -> None:
    text = text_of(benched, [bench_report(metric="closeness")])
    assert "max abs error     cosine" in text
    assert "4.9e-06  0.9999999" in text
    assert "accuracy" not in text


def test_what_was_left_out_has_a_row_and_a_reason(
    bench_report: MakeReport, text_of: TextOf
) -> None:
    left = LeftOut("PyTorch compiled", "torch.compile needs a C++ compiler [g++]")
    text = text_of(benched, [bench_report(left_out=[left])])
    assert "\nPyTorch compiled  left out\n" in text
    assert "\nPyTorch compiled is left out: torch.compile needs a C++ compiler [g++]\n" in text


def test_answers_that_differ_and_figures_that_wobble_are_said(
    bench_report: MakeReport, text_of: TextOf
) -> None:
    made = bench_report(notes=["timed on made-up values"])
    spoiled = msgspec.structs.replace(
        made.rows[1], mismatch="logits: 3 of 10 off", unstable="Unstable: very"
    )
    text = text_of(benched, [msgspec.structs.replace(made, rows=[made.rows[0], spoiled])])
    assert "fp32 · cpu answers otherwise: logits: 3 of 10 off" in text
    assert "fp32 · cpu: Unstable: very" in text
    assert "Note: timed on made-up values" in text


def test_several_benches_are_apart(bench_report: MakeReport, text_of: TextOf) -> None:
    text = text_of(benched, [bench_report(), bench_report(sizes={"batch": 16})])
    assert "\n\ncnn · AMD EPYC 7B13, AVX2 · 2 threads · batch 16" in text


@pytest.mark.parametrize("name", ["[bold]cnn[/]", "[/]", ":snake:"])
def test_names_are_not_read_as_markup(name: str, bench_report: MakeReport, text_of: TextOf) -> None:
    made: Any = bench_report(name=name, left_out=[LeftOut(name, name)], notes=[name])
    text = text_of(benched, [made])
    assert text.startswith(f"{name} · ")
    assert f"{name} is left out: {name}\n" in text
    assert f"Note: {name}\n" in text


def test_a_drop_is_shown_with_its_bound_and_explained(
    bench_report: MakeReport, text_of: TextOf
) -> None:
    report = bench_report()
    assert "drop" not in text_of(benched, [report])
    rows = [report.rows[0], msgspec.structs.replace(report.rows[1], drop=drop(Changes(1500, 3, 1)))]
    text = text_of(benched, [msgspec.structs.replace(report, rows=rows)])
    assert "drop (at most)" in text
    assert "0.13 pp (0.44 pp)" in text
    assert "A drop is how many more of the right answers the original has" in text


def test_a_model_without_labels_shows_agreement_alone(
    bench_report: MakeReport, text_of: TextOf
) -> None:
    report = bench_report()
    rows = [msgspec.structs.replace(row, accuracy=None) for row in report.rows]
    bench = msgspec.structs.replace(report.bench, metric="agreement")
    text = text_of(benched, [msgspec.structs.replace(report, rows=rows, bench=bench)])
    assert "agreement [95 %]" in text
    assert "accuracy" not in text


@pytest.mark.parametrize(("p50_ms", "told"), [(0.2, True), (0.12, False), (0.05, False)])
def test_a_slower_variant_is_pointed_at_its_explanation(
    p50_ms: float, told: bool, bench_report: MakeReport, text_of: TextOf
) -> None:
    eager, fp32 = bench_report().bench.measurements
    rounds = [[int(p50_ms * 1e6)] * 30 for _ in range(4)]
    int8 = msgspec.structs.replace(
        fp32,
        label="int8 · cpu",
        facts=msgspec.structs.replace(fp32.facts, precision="int8"),
        starts=[msgspec.structs.replace(start, rounds=rounds) for start in fp32.starts],
    )
    said = text_of(benched, [bench_report(measurements=[eager, fp32, int8])])
    line = "int8 · cpu is slower than fp32 · cpu: edgekit explain PACKAGE says why."
    assert (line in said) == told
