from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from edgekit.tensors import Dim, Signature, TensorSpec
from exporters import recording
from exporters.exportable import Exportable
from exporters.original import Original

SIGNATURE = Signature((TensorSpec("x", "float32", (Dim("n", 1, 64), Dim("t"), 4)),), ())
FEED = {"x": np.linspace(-1, 1, 24, dtype=np.float32).reshape(2, 3, 4)}
SIZES = [
    {"n": 2, "t": 3},
    {"n": 1, "t": 3},
    {"n": 64, "t": 3},
    {"n": 2, "t": 1},
    {"n": 2, "t": 900},
    {"n": 17, "t": 7},
]


class Twice(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * 2


def shapes() -> list[tuple[int, ...]]:
    original = Original(Exportable(Twice(), (torch.from_numpy(FEED["x"]),)))
    cases = recording.reference_cases(original, SIGNATURE, FEED, sizes=SIZES, seed=0)
    for case in cases:
        assert case.outputs is not None
        np.testing.assert_array_equal(case.outputs["output"], case.feed["x"] * 2)
    return [case.feed["x"].shape[:2] for case in cases]


def test_reference_cases_differ_in_every_dimension_and_begin_with_the_example() -> None:
    assert shapes() == [(2, 3)] * 2 + [(17, 7)] * 2 + [(2, 900)] * 2 + [(2, 1)] * 2


def test_sizes_that_take_too_much_are_left_to_smaller_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recording, "REFERENCE_BYTES", 20_000)
    assert shapes() == [(2, 3)] * 2 + [(17, 7)] * 2 + [(2, 1)] * 2 + [(64, 3)] + [(1, 3)] * 2
    monkeypatch.setattr(recording, "REFERENCE_BYTES", 10)
    assert shapes() == [(2, 3)]


def test_assets_are_written_under_the_names_that_their_readers_know(tmp_path: Path) -> None:
    exportable = Exportable(
        nn.Identity(),
        (torch.zeros(1),),
        labels=["cat", "dog"],
        preprocessing="as it is",
        tokenizer={"tokenizer.json": b"{}", "tokenizer.model": b"m"},
    )
    assets = recording.write_assets(tmp_path, exportable)
    assert {asset.file: asset.kind for asset in assets} == {
        "labels.txt": "labels",
        "preprocessing.txt": "preprocessing",
        "tokenizer.json": "tokenizer",
        "tokenizer.model": "tokenizer",
    }
    assert len({asset.name for asset in assets}) == 4
    assert (tmp_path / "labels.txt").read_text() == "cat\ndog\n"
    assert (tmp_path / "tokenizer.model").read_bytes() == b"m"
