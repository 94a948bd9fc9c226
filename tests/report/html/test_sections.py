"""Sections appear where there is something to tell, and say it in words as well."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from edgekit.measure.results import BenchReport
from edgekit.report.evidence import Known
from edgekit.report.html.page import file_name, page
from edgekit.report.html.sections import sections


def anchors(known: Known) -> list[str]:
    return [section.anchor for section in sections(known)]


def test_a_section_is_there_where_its_evidence_is(bare: Known, known: Known) -> None:
    def adding(**facts: Any) -> list[str]:
        return anchors(msgspec.structs.replace(bare, **facts))

    always = ["machine", "method"]
    assert anchors(bare) == always
    assert adding(benches=known.benches) == ["latency", "front", *always]
    assert adding(tuned=known.tuned) == ["latency", "front", "accuracy", "rejected", *always]
    assert adding(sensitivities=known.sensitivities) == ["sensitivity", *always]
    assert adding(explained=known.explained) == ["why", "roofline", *always]
    assert anchors(msgspec.structs.replace(bare, machine=None)) == ["method"]


def test_the_same_evidence_gives_the_same_page(known: Known) -> None:
    assert page(known) == page(known)


def test_benches_come_with_the_smallest_batch_first_and_the_newest_of_it(
    bare: Known, bench_report: Callable[..., BenchReport]
) -> None:
    batches = [(16, 1), (1, 1), (1, 2)]
    benches = tuple(
        bench_report(batch=batch, sizes={"batch": batch}, threads=threads)
        for batch, threads in batches
    )
    known = msgspec.structs.replace(bare, benches=benches)
    titles = [part.title for part in sections(known)[0].parts]
    assert [title.split(", 1,500")[0] for title in titles] == [
        *("2 threads, batch 1", "1 thread, batch 1", "1 thread, batch 16"),
    ]


def test_a_sample_past_the_axis_is_counted(
    bare: Known, bench_report: Callable[..., BenchReport]
) -> None:
    made = bench_report()
    eager, fp32 = made.bench.measurements
    start = fp32.starts[0]
    slow = msgspec.structs.replace(start, rounds=[[*start.rounds[0], 10**10], *start.rounds[1:]])
    fp32 = msgspec.structs.replace(fp32, starts=[slow, *fp32.starts[1:]])
    bench = msgspec.structs.replace(made.bench, measurements=[eager, fp32])
    made = msgspec.structs.replace(made, bench=bench)
    known = msgspec.structs.replace(bare, benches=(made,))
    assert sections(known)[0].parts[0].caption == (
        "Longer than 0.636 ms and off the scale: fp32 · cpu 1 of 601."
    )
    steady = msgspec.structs.replace(bare, benches=(bench_report(),))
    assert sections(steady)[0].parts[0].caption == ""


def test_what_breaks_the_budget_is_drawn_apart_and_said(known: Known) -> None:
    front = next(s for s in sections(known) if s.anchor == "front").parts[0].drawing
    assert front is not None
    assert "int8-all · cpu: 0.0500 ms, accuracy 97.00 %, 0.432 MB, outside the budget." in (
        front.tips.values()
    )
    assert front.description.endswith("On the front: int8-static · cpu · 1 thread, fp32 · cpu.")


def test_the_roofline_tells_what_is_reached(known: Known) -> None:
    drawing = next(s for s in sections(known) if s.anchor == "roofline").parts[0].drawing
    assert drawing is not None
    assert drawing.description == (
        "float32: 180 Gop/s; int8: 610 Gop/s; fastest cache: 21.0 GB/s; main memory: 12.0 GB/s. "
        "fp32 · cpu: 45 % of the limit, bound by memory. int8-static · cpu: 30 % of the limit, "
        "bound by memory."
    )


@pytest.mark.parametrize("unmeasured", ["memory_gb_s", "both peaks"])
def test_without_peaks_there_is_no_roofline(unmeasured: str, known: Known) -> None:
    assert known.explained is not None
    gone = ["memory_gb_s"] if unmeasured == "memory_gb_s" else ["float_gflops", "int8_gops"]
    peaks = msgspec.structs.replace(known.explained.peaks, **dict.fromkeys(gone))
    explained = msgspec.structs.replace(known.explained, peaks=peaks)
    found = anchors(msgspec.structs.replace(known, explained=explained))
    assert "roofline" not in found
    assert "why" in found


def test_a_file_is_named_plainly(bare: Known) -> None:
    odd = msgspec.structs.replace(bare.package, name="../a <b>")
    assert file_name(msgspec.structs.replace(bare, package=odd)) == "a-b"
    assert file_name(bare) == "cnn"
