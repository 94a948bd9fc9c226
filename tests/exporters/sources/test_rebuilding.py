"""What was exported is made again for a bench, from what the cache remembers or a user types."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from edgekit.package import reading
from edgekit.tensors import Signature
from edgekit.workers import Worker
from exporters import records, sources
from exporters.arrays import to_numpy
from exporters.baselines import originals
from exporters.original import Original
from exporters.requests import TargetRequest

MODULE = """
    import torch

    def make(width: int = 3):
        return torch.nn.Linear(4, width), torch.rand(2, 4)
"""


def of_a_module(folder: Path, bert: Path) -> TargetRequest:
    weights = {"weight": torch.rand(5, 4), "bias": torch.rand(5)}
    save_file(weights, folder / "w.safetensors")
    return TargetRequest(
        "net_to_make_again:make", str(folder), {"width": "5"}, weights="w.safetensors"
    )


def of_a_checkpoint(folder: Path, bert: Path) -> TargetRequest:
    return TargetRequest(
        "hf:tiny", str(bert.parent), {"num_hidden_layers": "1"}, task="masked-language-model"
    )


def of_a_program(folder: Path, bert: Path) -> TargetRequest:
    program = torch.export.export(torch.nn.Linear(4, 3), (torch.rand(2, 4),))
    torch.export.save(program, folder / "net.pt2")
    return TargetRequest("net.pt2", str(folder))


@pytest.mark.parametrize("made", [of_a_module, of_a_checkpoint, of_a_program])
def test_the_very_original_is_made_again_in_a_worker(
    made: Callable[[Path, Path], TargetRequest],
    bert: Path,
    tiny_package: Path,
    write_file: Callable[..., Path],
    request_for: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("EDGEKIT_CACHE", str(tmp_path / "cache"))
    request = made(write_file(MODULE, "net_to_make_again.py").parent, bert)
    original = Original(sources.build(request))
    package = reading.read(tiny_package)
    provenance = msgspec.structs.replace(
        package.provenance, weights_sha256=original.weights_sha256()
    )
    package = msgspec.structs.replace(package, provenance=provenance)
    records.remember(package, request)
    (eager,), left_out = originals(package, ["eager"], threads=1)
    assert left_out == []
    feed = {name: to_numpy(tensor) for name, tensor in original.example.items()}
    with Worker("the original", wall_s=100) as worker:
        call = msgspec.structs.replace(
            eager.call, arguments={**eager.call.arguments, "signature": Signature((), ())}
        )
        worker.open(call)
        outputs = worker.run(feed).outputs
    for name, tensor in original(original.example).items():
        assert np.allclose(outputs[name], to_numpy(tensor), atol=1e-6)
