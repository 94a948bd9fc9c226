"""The public architectures of the coverage run: there are enough, and nothing in them is hidden."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

pytest.importorskip("torch", reason="an architecture is a PyTorch module")

import torch
from torch import nn

from benchmarks import architectures
from benchmarks.coverage_values import Judged

PROJECT = Path(__file__).parents[2]
ZOO = "needs the environment that `make zoo` makes"


def test_names_differ_and_both_libraries_are_there() -> None:
    names = architectures.names()
    assert len(set(names)) == len(names) >= 75
    assert {name.partition(":")[0] for name in names} == {"timm", "hf"}


def test_stir_leaves_nothing_that_hides_a_branch() -> None:
    def residual() -> nn.Module:
        norm, last = nn.BatchNorm2d(3), nn.Linear(4, 4)
        nn.init.zeros_(norm.weight)
        nn.init.zeros_(last.weight)
        block = nn.Sequential(nn.Conv2d(3, 3, 1, bias=False), norm, last)
        return architectures.stir(block.eval())

    torch.manual_seed(0)
    first = residual().state_dict()
    for name, value in first.items():
        if value.is_floating_point():
            assert value.min() < value.max(), name
    assert first["1.running_var"].min() > 0
    torch.manual_seed(0)
    again = residual().state_dict()
    assert all(torch.equal(value, again[name]) for name, value in first.items())


def test_timm_knows_every_name() -> None:
    timm = pytest.importorskip("timm", reason=ZOO)
    assert set(architectures.TIMM) <= set(timm.list_models())


def test_transformers_makes_every_tiny_configuration() -> None:
    pytest.importorskip("timm", reason=ZOO)
    for short in architectures.TRANSFORMERS:
        module = architectures.make(f"hf:{short}")
        assert sum(p.numel() for p in module.parameters()) < 3_000_000, short


@pytest.mark.parametrize("side", ["edgekit", "bare"])
def test_an_architecture_is_exported_and_judged_both_ways(tmp_path: Path, side: str) -> None:
    pytest.importorskip("timm", reason=ZOO)
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.judged_export", side, "hf:vit"],
        cwd=PROJECT,
        env={**os.environ, "EDGEKIT_CACHE": str(tmp_path), "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    judged = msgspec.json.decode(done.stdout, type=Judged)
    assert judged.outcome == "right", judged.problem
    assert judged.times_own is not None
    assert judged.times_own <= 10
    assert len(judged.sizes) > 1
