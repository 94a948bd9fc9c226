"""What `edgekit explain` prints, from values alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from edgekit.machine import Machine
from edgekit.measure.roofline.limits import Limit, Peaks
from edgekit.measure.slowness.values import (
    Explained,
    ExplainedNode,
    LeftInFloat,
    Reason,
    VariantExplained,
)
from edgekit.metrics import Estimate
from edgekit.report.explain import explained

TextOf = Callable[..., str]

PEAKS = Peaks("cpu", 2, 250.0, None, 120.0, 2_000_000, 20.0, True, {1 << 20: 120.0}, "made up")
LIMIT = Limit(50_000_000, 8_000_000, 0.2, 0.5, "compute")
NODE = ExplainedNode("conv1", "Conv", "CPUExecutionProvider", 12.5, "c", 10**6, 10**5, 80.0, 0.32)
REASON = Reason("conversions", "2 nodes [bold] convert: 100 µs.", ("q", "dq"), 100.0)


def variant(**how: Any) -> VariantExplained:
    given: dict[str, Any] = {
        "variant": "int8",
        "label": "int8 · cpu",
        "p50_ms": 0.5,
        "parent": "fp32",
        "parent_ms": 0.4,
        "speedup": Estimate(0.8, 0.7, 0.9, 4, "made up"),
        "slower": True,
        "reasons": (REASON,),
        "gained_us": 12.0,
        "limit": LIMIT,
        "top_nodes": (NODE, msgspec.structs.replace(NODE, name="odd", share=None, gops=None)),
        "nodes": 2,
    }
    return VariantExplained(**{**given, **how})


@pytest.fixture
def told(machine: Machine, text_of: TextOf) -> Callable[..., str]:
    def tell(*variants: VariantExplained, top: int = 8, **how: Any) -> str:
        given: dict[str, Any] = {"peaks": PEAKS, "notes": ("busy",), "files": {}, "took_s": 1.0}
        found = Explained(
            package="net",
            machine=machine,
            speed_key="key",
            batch=1,
            sizes={"batch": 1},
            variants=variants,
            **{**given, **how},
        )
        return text_of(lambda console, value: explained(console, value, top=top), found)

    return tell


def test_reasons_stand_below_what_they_are_of(told: Callable[..., str]) -> None:
    lines = told(variant()).splitlines()
    place = next(i for i, line in enumerate(lines) if line.startswith("int8 · cpu  is slower"))
    assert lines[place] == (
        "int8 · cpu  is slower than fp32, by ×0.800 [0.700, 0.900]: 100 µs more a run."
    )
    assert lines[place + 1 : place + 3] == [
        "  • 2 nodes [bold] convert: 100 µs.",
        "  • Other nodes gain 12.0 µs.",
    ]
    assert lines[-1] == "Note: busy."


def test_peaks_are_said_and_what_could_not_be_measured(told: Callable[..., str]) -> None:
    said = " ".join(told(variant()).split())
    assert "float32 250 GFLOP/s, int8 not measurable, 120 GB/s at the model's 2.00 MB" in said
    assert "(in caches), 20.0 GB/s from main memory" in said


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"parent": None, "speedup": None, "parent_ms": None, "reasons": ()}, "int8 · cpu  0.500"),
        (
            {"slower": False, "reasons": (), "speedup": Estimate(1.2, 1.1, 1.3, 4, "m")},
            "is faster than fp32, by ×1.20 [1.10, 1.30].",
        ),
        (
            {"slower": False, "speedup": Estimate(0.9, 0.8, 1.1, 4, "m")},
            "seems slower than fp32, though the interval holds 1, by ×0.900",
        ),
        (
            {"slower": False, "reasons": (), "speedup": Estimate(1.0, 0.9, 1.1, 4, "m")},
            "is as fast as fp32, as far as can be told",
        ),
        (
            {"slower": False, "speedup": Estimate(0.95, 0.68, 1.5, 4, "m")},
            "may be slower or faster than fp32, time it again on a quiet machine, by ×0.950",
        ),
        (
            {"parent_ms": 0.6, "slower": False, "speedup": Estimate(0.95, 0.8, 1.1, 4, "m")},
            "×0.950 [0.800, 1.10]: by their p50s, 100 µs less a run.",
        ),
    ],
)
def test_the_head_says_how_it_compares(
    how: dict[str, Any], said: str, told: Callable[..., str]
) -> None:
    assert said in told(variant(**how))


def test_a_machine_that_is_slower_than_it_was_is_told_beside_its_peak(
    told: Callable[..., str],
) -> None:
    peaks = msgspec.structs.replace(PEAKS, float_now_gflops=120.0)
    assert "float32 250 GFLOP/s (120 now), int8" in told(variant(), peaks=peaks)
    near = msgspec.structs.replace(PEAKS, float_now_gflops=240.0)
    assert "float32 250 GFLOP/s, int8" in told(variant(), peaks=near)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            "--scheme int8-static --keep-float c",
            "By their times 2 nodes would take 90.0 µs less in float, conversions around them "
            "counted. Nothing was run: try it.\n"
            "    edgekit quantize net --scheme int8-static --keep-float c\n",
        ),
        ("", "around them counted. Nothing was run.\n"),
    ],
)
def test_what_would_win_is_a_command(options: str, said: str, told: Callable[..., str]) -> None:
    assert said in told(variant(leave=LeftInFloat(("c", "d"), 90.0, options)))


def test_a_run_that_takes_longer_than_its_nodes_is_told(told: Callable[..., str]) -> None:
    assert "Its nodes take 25.0 µs of 500 µs: the rest passes beside them" in told(variant())
    assert "passes beside them" not in told(variant(p50_ms=0.026))


def test_what_is_not_shown_is_counted(told: Callable[..., str]) -> None:
    assert "… and 1 more, 12.5 µs: --top 2, or --json" in told(variant(), top=1)


def test_nodes_that_are_not_told_of_have_no_table(told: Callable[..., str]) -> None:
    said = told(variant(nodes=None, top_nodes=(), untold="its provider compiles it whole"))
    assert "Of its nodes nothing can be told: its provider compiles it whole." in said
    assert "operator" not in said


def test_what_has_no_part_in_the_limit_is_named(told: Callable[..., str]) -> None:
    limit = msgspec.structs.replace(LIMIT, uncounted=("a (Odd)", "b (Odd)", "c (Odd)", "d (Odd)"))
    said = told(variant(limit=limit))
    assert (
        "Not in the limit, for want of a formula or sizes: a (Odd), b (Odd), c (Odd), 1 more."
        in (said)
    )
