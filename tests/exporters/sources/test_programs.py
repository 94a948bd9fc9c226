from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.export import Dim

from edgekit.errors import BadValue, FactoryFailed, NotFound, UnknownName
from exporters import sources
from exporters.original import Original
from exporters.requests import TargetRequest


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 3)
        self.dropout = nn.Dropout()

    def forward(
        self, x: Tensor, states: list[Tensor], *, scale: Tensor | None = None
    ) -> dict[str, Any]:
        y = self.dropout(self.linear(x)) + states[0]
        return {"y": y if scale is None else y * scale, "state": states[1], "none": None}


X = torch.rand(2, 4)
STATES = [torch.rand(2, 3), torch.rand(5, 2)]


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A program with nested and keyword inputs, and two dynamic sizes."""
    path = tmp_path_factory.mktemp("program") / "net.pt2"
    batch, time = Dim("batch", min=1, max=16), Dim("time", min=2)
    program = torch.export.export(
        Net().eval(),
        (X, STATES),
        {"scale": torch.full((1,), 2.0)},
        dynamic_shapes={"x": {0: batch}, "states": [{0: batch}, {1: time}], "scale": None},
    )
    torch.export.save(program, path)
    return path


def build(path: Path, **given: Any) -> Any:
    return sources.build(TargetRequest(path.name, str(path.parent), **given))


def test_a_program_brings_its_examples_names_and_sizes(saved: Path) -> None:
    made = build(saved)
    assert made.name == "net"
    assert list(made.inputs()) == ["x", "states.0", "states.1", "scale"]
    assert torch.equal(made.inputs()["x"], X)
    assert made.dynamic["x"] == ["batch:1..16", None]
    assert made.dynamic["states.0"] == ["batch:1..16", None]
    fixed, time = made.dynamic["states.1"]
    assert fixed is None
    assert time is not None
    assert time.endswith(":2..")
    assert made.dynamic["scale"] == [None]


def test_a_program_answers_as_the_module_did(saved: Path) -> None:
    original = Original(build(saved))
    answer = original(original.example)
    weights = original.tensors()
    expected = (X @ weights["linear.weight"].T + weights["linear.bias"] + STATES[0]) * 2
    assert torch.allclose(answer["y"], expected)
    assert torch.equal(answer["state"], STATES[1])
    assert original.dropped == ("none",)
    assert not original.was_training  # a program's flag says nothing
    assert original.still_training == ()


def test_a_program_of_positional_inputs_has_them_under_their_names(tmp_path: Path) -> None:
    program = torch.export.export(Net().eval(), (X, STATES))
    torch.export.save(program, tmp_path / "fixed.PT2")
    # torch wants the suffix in small letters
    (tmp_path / "fixed.PT2").rename(tmp_path / "fixed.pt2")
    made = build(tmp_path / "fixed.pt2")
    assert list(made.inputs()) == ["x", "states.0", "states.1"]
    assert all(axis is None for axes in made.dynamic.values() for axis in axes)
    assert Original(made)(made.inputs())["y"].shape == (2, 3)


def test_weights_can_be_given_to_a_program(saved: Path, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    state = {"linear.weight": torch.ones(3, 4), "linear.bias": torch.ones(3)}
    save_file(state, tmp_path / "w.safetensors")
    made = build(saved, weights=str(tmp_path / "w.safetensors"))
    assert torch.equal(made.module.linear.weight, torch.ones(3, 4))


def test_a_size_that_is_computed_is_refused(tmp_path: Path) -> None:
    class Halves(nn.Module):
        def forward(self, x: Tensor, y: Tensor) -> Tensor:
            return x.sum(0) + y.sum(0)

    half = Dim("half", max=9)
    program = torch.export.export(
        Halves(), (torch.rand(4, 2), torch.rand(8, 2)), dynamic_shapes=({0: half}, {0: 2 * half})
    )
    torch.export.save(program, tmp_path / "halves.pt2")
    with pytest.raises(FactoryFailed, match=r"input y with the size 2\*s\d+, computed from anoth"):
        build(tmp_path / "halves.pt2")


def test_a_program_without_examples_is_refused(saved: Path, tmp_path: Path) -> None:
    program = torch.export.load(saved)
    program.example_inputs = None
    torch.export.save(program, tmp_path / "bare.pt2")
    with pytest.raises(FactoryFailed, match="holds no example inputs; save the program together"):
        build(tmp_path / "bare.pt2")


def rewritten(saved: Path, path: Path, change: Callable[[str, bytes], bytes]) -> Path:
    with zipfile.ZipFile(saved) as before, zipfile.ZipFile(path, "w") as after:
        for name in before.namelist():
            after.writestr(name, change(name, before.read(name)))
    return path


def test_what_is_pickled_in_a_program_is_never_read(saved: Path, tmp_path: Path) -> None:
    import io
    import pickle

    class Runs:
        def __reduce__(self) -> tuple[Any, ...]:
            return open, (str(tmp_path / "ran"), "w")

    payload = io.BytesIO()
    torch.save((Runs(), {}), payload, pickle_module=pickle)

    def example(name: str, content: bytes) -> bytes:
        return payload.getvalue() if "sample_inputs" in name else content

    def weights(name: str, content: bytes) -> bytes:
        return content.replace(b'"use_pickle": false', b'"use_pickle": true')

    with pytest.raises(FactoryFailed, match=r"pickled objects \(example inputs\), which may run"):
        build(rewritten(saved, tmp_path / "example.pt2", example))
    with pytest.raises(FactoryFailed, match=r"pickled objects \(linear.weight, linear.bias\)"):
        build(rewritten(saved, tmp_path / "weights.pt2", weights))
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("kept", [0, 100, 3000])
def test_a_damaged_program_is_one_sentence(
    kept: int, saved: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "cut.pt2"
    path.write_bytes(saved.read_bytes()[:kept])
    with pytest.raises(FactoryFailed, match=r"cut\.pt2 can't be read as a program of torch"):
        build(path)
    assert not caplog.records


def test_a_graph_that_makes_no_sense_is_one_sentence(saved: Path, tmp_path: Path) -> None:
    def change(name: str, content: bytes) -> bytes:
        return content.replace(b"aten", b"atom") if name.endswith("models/model.json") else content

    with pytest.raises(FactoryFailed, match="can't be read as a program") as caught:
        build(rewritten(saved, tmp_path / "odd.pt2", change))
    assert "\n" not in str(caught.value)


def test_a_program_that_is_not_there_or_takes_no_option_is_refused(
    saved: Path, tmp_path: Path
) -> None:
    with pytest.raises(NotFound, match=r"absent\.pt2 does not exist; expected a \.pt2 file"):
        build(tmp_path / "absent.pt2")
    with pytest.raises(UnknownName, match=r"no parameter 'width' of net\.pt2; there is: none"):
        build(saved, parameters={"width": "3"})
    with pytest.raises(BadValue, match=r"--pretrained cannot be used with net\.pt2"):
        build(saved, pretrained=True)
