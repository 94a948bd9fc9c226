from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from edgekit.errors import BadValue, FactoryFailed, NotFound
from exporters import sources
from exporters.requests import TargetRequest

RequestFor = Callable[..., TargetRequest]
WriteFile = Callable[..., Path]

NET = """
    import torch
    from torch import nn

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding = nn.Embedding(6, 4)
            self.norm = nn.BatchNorm1d(4)
            self.head = nn.Linear(4, 6, bias=False)
            self.head.weight = self.embedding.weight

        def forward(self, x):
            return self.head(self.norm(self.embedding(x)))

    def make():
        return Net(), (torch.zeros(3, dtype=torch.int64),)
"""


@pytest.fixture
def build(write_file: WriteFile, request_for: RequestFor) -> Callable[..., Any]:
    """Make the module above with the given tensors as its weights."""
    path = write_file(NET)
    asked = request_for(path)

    def run(weights: str | None = "w.safetensors", **tensors: torch.Tensor) -> Any:
        named = {name.replace("__", "."): tensor for name, tensor in tensors.items()}
        if named:
            save_file(named, path.parent / "w.safetensors")
        return sources.build(TargetRequest(asked.target, asked.folder, weights=weights)).module

    return run


@pytest.fixture
def state(build: Callable[..., Any]) -> dict[str, torch.Tensor]:
    """The module's state, every number one more than it is made with; the shared tensor once."""
    made = {name: tensor + 1 for name, tensor in build(None).state_dict().items()}
    del made["head.weight"]
    return {name.replace(".", "__"): tensor for name, tensor in made.items()}


def test_the_weights_of_a_file_beside_the_target_are_loaded(
    build: Callable[..., Any], state: dict[str, torch.Tensor]
) -> None:
    module = build(**state)
    assert torch.equal(module.embedding.weight, state["embedding__weight"])
    assert torch.equal(module.norm.running_var, torch.full((4,), 2.0))
    assert module.norm.num_batches_tracked == 1


def test_a_shared_tensor_may_have_any_of_its_names_or_all(
    build: Callable[..., Any], state: dict[str, torch.Tensor]
) -> None:
    shared = state["embedding__weight"]
    both = build(**state, head__weight=shared.clone())
    assert torch.equal(both.head.weight, shared)
    del state["embedding__weight"]
    other = build(**state, head__weight=shared)
    assert torch.equal(other.embedding.weight, shared)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"norm__bias": None}, r"w\.safetensors doesn't fit net\.py:make: it lacks norm\.bias$"),
        ({"more": torch.zeros(2)}, "the module has no more$"),
        ({"norm__bias": torch.zeros(5)}, r"other shapes: norm\.bias is \[5\] and not \[4\]$"),
        ({"norm__bias": torch.zeros(4).half()}, r"other types: norm\.bias is float16 and not fl"),
        ({"embedding__weight": None}, r"it lacks embedding\.weight$"),
        ({"head__weight": torch.zeros(6, 4)}, r"several in the file: embedding\.weight and head"),
        ({f"m{i}": torch.zeros(1) for i in range(7)}, "has no m0, m1, m2, m3, m4 and 2 more$"),
    ],
)
def test_weights_of_another_module_are_refused_by_name(
    changes: dict[str, Any], sentence: str, build: Callable[..., Any], state: dict[str, Any]
) -> None:
    tensors = {name: tensor for name, tensor in (state | changes).items() if tensor is not None}
    with pytest.raises(FactoryFailed, match=sentence):
        build(**tensors)


@pytest.mark.parametrize("name", ["w.pt", "w.bin", "W.CKPT", "w"])
def test_a_pickle_is_refused_with_how_to_convert_it(name: str, build: Callable[..., Any]) -> None:
    with pytest.raises(BadValue, match=r"--weights cannot be \w.*weights_only=True\); save_file"):
        build(name)


def test_the_conversion_that_is_told_works(
    build: Callable[..., Any],
    state: dict[str, torch.Tensor],
    tmp_path: Path,
    fresh_python: Callable[[str], str],
) -> None:
    folder = tmp_path / "made"
    names = {name.replace("__", "."): tensor for name, tensor in state.items()}
    torch.save(names, folder / "w.bin")
    with pytest.raises(BadValue) as caught:
        build("w.bin")
    code = str(caught.value).partition('-c "')[2].rpartition('"')[0]
    fresh_python(f"import os; os.chdir({str(folder)!r}); {code}")
    assert torch.equal(build("w.safetensors").norm.bias, state["norm__bias"])


def test_a_file_that_is_not_there_or_damaged_is_refused(
    build: Callable[..., Any], tmp_path: Path
) -> None:
    with pytest.raises(NotFound, match=r"absent\.safetensors does not exist; expected a \.safet"):
        build("absent.safetensors")
    (tmp_path / "made" / "w.safetensors").write_bytes(b"\x08\0\0\0\0\0\0\0{       ")
    with pytest.raises(FactoryFailed, match="can't be read as safetensors"):
        build("w.safetensors")
