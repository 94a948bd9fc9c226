"""What `compare` prints."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from edgekit import intervals
from edgekit.budgets import Budget, judge_all
from edgekit.intervals import Changes
from edgekit.measure.compare import Compared
from edgekit.measure.results import Quality
from edgekit.metrics import Closeness, wilson
from edgekit.report.compare import compared
from edgekit.tensors import RunFacts

TextOf = Callable[..., str]


@pytest.fixture
def done() -> Compared:
    changes = Changes(1500, 9, 4)
    cosines = intervals.spread([0.999, 0.9995, 1.0])
    quality = Quality(
        "digits",
        1500,
        "here",
        accuracy=wilson(1472, 1500),
        agreement=wilson(1480, 1500),
        drop=intervals.drop(changes),
        changes=changes,
        kept_agreement=intervals.share(1480, 1500),
        cosine=intervals.mean(cosines),
        cosines=cosines,
    )
    return Compared(
        a="net[0] · fp32",
        b="net[0] · int8",
        a_facts=RunFacts("cpu", "fp32", 2),
        b_facts=RunFacts("openvino", "int8", 2, computes="bf16"),
        machine="AMD EPYC, AVX2",
        metric="top1",
        dataset="digits",
        split="test",
        cases=1500,
        synthetic=False,
        outputs={"logits": Closeness(0.25, 1.5, 0.9987654, 31.25), "noise": None},
        accuracy=wilson(1477, 1500),
        quality=quality,
        verdicts=judge_all([Budget("drop", 0.02), Budget("drop", 0.005)], quality),
    )


def test_a_comparison_names_both_and_the_cases(done: Compared, text_of: TextOf) -> None:
    lines = text_of(compared, done).splitlines()
    assert lines[:3] == [
        "A  net[0] · fp32 · cpu, fp32",
        "B  net[0] · int8 · openvino, bf16",
        "On 1,500 held-out digits, on AMD EPYC, AVX2:",
    ]


def test_a_comparison_shows_each_output_and_each_figure_with_its_bounds(
    done: Compared, text_of: TextOf
) -> None:
    text = text_of(compared, done)
    logits = next(line for line in text.splitlines() if line.startswith("logits"))
    assert logits.split() == ["logits", "2.5e-01", "1.5e+00", "0.9987654", "31.2"]
    noise = next(line for line in text.splitlines() if line.startswith("noise"))
    assert "random, compared by shape" in noise
    assert "Accuracy: A 98.5 % [97.7, 99.0], B 98.1 %" in text
    assert "Drop: 0.33 pp, at least " in text
    assert "9 right answers became wrong and 4 wrong ones right, of 1,500." in text
    assert "Agreement: 98.67 %, at least 98." in text
    assert "Cosine, the mean over the cases: 0.999500, at least 0.99" in text
    assert "Passed: a drop of at most 2 pp is kept" in text
    assert "Undecided: a drop of at most 0.5 pp is undecided" in text


def test_a_comparison_without_classes_or_labels_leaves_them_out(
    done: Compared, text_of: TextOf
) -> None:
    quality = Quality("made-up cases", 32, "here", synthetic=True)
    bare = msgspec.structs.replace(
        done,
        dataset="made-up cases",
        cases=32,
        synthetic=True,
        accuracy=None,
        quality=quality,
        verdicts=(),
        outputs={"y": Closeness(0.0, 0.0, 1.0, None)},
    )
    text = text_of(compared, bare)
    assert "On 32 made-up cases, on AMD EPYC" in text
    assert "exact" in text
    for word in ("Accuracy", "Drop", "Agreement", "Cosine, the mean", "Passed"):
        assert word not in text
