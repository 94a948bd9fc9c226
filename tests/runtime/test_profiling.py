"""The profiled run, on a CPU provider that says it has a memory of its own."""

from __future__ import annotations

import dataclasses
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.package.values import SessionChoice
from edgekit.providers import cpu, options
from edgekit.runtime import placement, profiling
from edgekit.runtime.profiling import count_copies

FEED = {"x": np.zeros((2, 4), np.float32)}


def give_the_provider(monkeypatch: pytest.MonkeyPatch, **facts: Any) -> None:
    monkeypatch.setattr(cpu, "PROVIDER", dataclasses.replace(cpu.PROVIDER, **facts))


@pytest.mark.parametrize("package", [True, False])
def test_a_real_run_is_counted_and_leaves_no_file(
    package: bool,
    tiny_package: Path,
    tiny_onnx: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    give_the_provider(
        monkeypatch, device="cpu", options={"enable_cuda_graph": options.flag("record")}
    )
    place = tmp_path / "scratch"
    place.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    monkeypatch.chdir(place)
    seen: list[int] = []

    def copies(profile: Path) -> int:
        assert profile.is_relative_to(place)
        seen.append(profile.read_text().count("_kernel_time"))
        return counted(profile)

    counted = placement.copies
    monkeypatch.setattr(placement, "copies", copies)
    path = tiny_package if package else tiny_onnx()
    session = SessionChoice(threads=1, provider_options={"enable_cuda_graph": "1"})
    assert count_copies(path, "portable", session, feed=FEED) == 0
    assert seen[0] >= 1  # nodes really ran
    assert list(place.iterdir()) == []


def test_where_nothing_is_to_be_counted_nothing_runs(
    tiny_onnx: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(profiling, "open_model", None)
    assert count_copies(tiny_onnx(), "portable", SessionChoice(), feed=FEED) == 0
