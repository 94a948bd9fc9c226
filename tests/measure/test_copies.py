from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np

from edgekit import providers
from edgekit.measure.copies import count_copies, with_copies
from edgekit.measure.plan import Candidate
from edgekit.measure.results import Measurement

FEED = {"x": np.zeros((1, 4), np.float32)}
OWN = dataclasses.replace(providers.find("cpu"), device="cpu")


def test_each_candidate_is_run_once_in_a_worker(
    tiny_package: Path, opens: Callable[..., Candidate]
) -> None:
    made = [opens(tiny_package, label=label) for label in ("a", "b")]
    assert count_copies(made, FEED, OWN, wall_s=100) == {"a": 0, "b": 0}


def test_a_provider_of_which_nothing_is_counted_runs_nothing(
    opens: Callable[..., Candidate],
) -> None:
    gone = opens(Path("gone.onnx"), label="gone")
    assert count_copies([gone], FEED, providers.find("cpu"), wall_s=100) == {}


def test_what_was_counted_stands_in_the_facts(measurement: Callable[..., Measurement]) -> None:
    measured = [measurement("PyTorch eager", [[[1]]]), measurement("fp32 · cuda", [[[1]]])]
    told = with_copies(measured, {"fp32 · cuda": 3})
    assert [one.facts.copies for one in told] == [None, 3]
    assert [one.label for one in told] == [one.label for one in measured]
