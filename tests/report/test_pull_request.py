"""What a pull request is told."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from edgekit.measure.results import BenchReport
from edgekit.report.evidence import Known
from edgekit.report.pull_request import benches_in_markdown, in_short


def test_the_verdict_comes_first_and_one_table(known: Known) -> None:
    head, _, verdict, *rest = in_short(known).splitlines()
    assert head == "## cnn on AMD EPYC 7B13, AVX2"
    assert verdict.startswith("**int8-static · cpu · 1 thread is the fastest inside the budget: ×2")
    tables = [line for line in rest if line.startswith("|")]
    assert tables[0].startswith("|  | p50 ms | speedup [95 %] | accuracy [95 %] |")
    assert tables[2].startswith("| int8-static · cpu · 1 thread | 0.0600 | ×2.00 [1.90, 2.12] |")
    assert tables[-1] == "| int8-static · cpu | Numbers are turned into integers. | 7.20 µs |"


def test_without_a_tuning_the_bench_is_told(bare: Known, known: Known) -> None:
    text = in_short(msgspec.structs.replace(bare, benches=known.benches))
    assert "| fp32 · cpu | 0.120 | 0.120 | ×5.00 [5.00, 5.00] |" in text
    assert "Speedup is against PyTorch eager (the PyTorch original), in this run" in text


def test_with_a_ranking_alone_the_ranking_is_told(bare: Known, known: Known) -> None:
    text = in_short(msgspec.structs.replace(bare, sensitivities=known.sensitivities))
    assert "| head | MatMul | 20.5 | 90.0 % | +12.3 µs (+10.0 %) |" in text


def test_long_tables_are_cut_and_say_so(known: Known) -> None:
    assert known.tuned is not None
    fp32 = known.tuned.tried[0]
    many = [msgspec.structs.replace(fp32, label=f"fp32 · {n}") for n in range(20)]
    tuned = msgspec.structs.replace(known.tuned, tried=(*known.tuned.tried, *many))
    assert "… and 11 more: `edgekit report` has them all." in in_short(
        msgspec.structs.replace(known, tuned=tuned)
    )


def test_every_bench_has_its_conditions_and_its_table(
    bench_report: Callable[..., BenchReport],
) -> None:
    text = benches_in_markdown([bench_report(), bench_report(batch=4, sizes={"batch": 4})])
    heads = [line for line in text.splitlines() if line.startswith("**")]
    assert [head.split(" · ")[3] for head in heads] == ["batch 1", "batch 4"]
    assert text.count("| :-- | --: |") == 2
