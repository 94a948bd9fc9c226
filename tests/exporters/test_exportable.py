from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from edgekit.errors import BadValue, UnknownName
from exporters.exportable import Exportable


class Net(nn.Module):
    def forward(self, image: Tensor, mask: Tensor | None = None) -> Tensor:
        return image if mask is None else image * mask


class Variadic(nn.Module):
    def forward(self, *tensors: Tensor) -> Tensor:
        return sum(tensors, torch.zeros(1))


IMAGE = torch.linspace(0, 1, 6).reshape(2, 3)


def make(**given: Any) -> Exportable:
    return Exportable(**{"module": Net(), "example": (IMAGE,), **given})


def test_exportable_needs_only_a_module_and_an_example() -> None:
    exportable = Exportable(Net(), (IMAGE,))
    assert exportable.metric == "closeness"
    assert dict(exportable.dynamic) == {}
    assert exportable.evaluation is None


@pytest.mark.parametrize(
    ("given", "names"),
    [
        ({}, ["image"]),
        ({"example": (IMAGE, IMAGE)}, ["image", "mask"]),
        ({"example": {"mask": IMAGE, "image": IMAGE}}, ["mask", "image"]),
        ({"example": (IMAGE, IMAGE), "input_names": ["x", "y"]}, ["x", "y"]),
        ({"example": {"mask": IMAGE}, "input_names": ["m"]}, ["m"]),
        ({"example": (IMAGE, IMAGE), "module": Variadic()}, ["input_0", "input_1"]),
    ],
)
def test_inputs_are_named_by_the_example_or_as_asked(
    given: dict[str, Any], names: list[str]
) -> None:
    inputs = make(**given).inputs()
    assert list(inputs) == names
    assert all(tensor is IMAGE for tensor in inputs.values())


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"module": Net}, "module cannot be type: expected a torch.nn.Module"),
        ({"example": IMAGE}, r"example cannot be Tensor: expected a tuple of tensors, \(x,\)"),
        ({"example": ()}, "example cannot be empty"),
        ({"example": (IMAGE, 3)}, "the entry 1 of example cannot be int: expected a tensor"),
        ({"input_names": ["a", "b"]}, "input_names cannot be a, b: expected 1 names"),
        ({"example": (IMAGE, None)}, "the entry 1 of example cannot be NoneType"),
        ({"example": (IMAGE, [IMAGE, True])}, r"the entry 1\.1 of example cannot be bool"),
        ({"example": ([],)}, "example cannot be empty"),
        ({"positional": 1}, r"positional cannot be 1: expected .* at most 0 here"),
        ({"notes": "one"}, "notes cannot be 'one': expected a sequence of texts"),
        ({"input_names": "image"}, "input_names cannot be 'image': expected a sequence"),
        ({"output_names": ["y", "y"]}, "output_names cannot be y, y: expected names that differ"),
        ({"output_names": [""]}, "none of them empty"),
        ({"dynamic": {"image": "batch"}}, r"dynamic\['image'\] cannot be 'batch'"),
        ({"dynamic": {"image": ["batch:5..9", None]}}, "batch in the example"),
        ({"dynamic": {"image": ["batch", None, None]}}, "expected at most 2"),
        ({"values": {"image": (1.0, 0.0)}}, "expected .lowest, highest., two finite numbers"),
        ({"values": {"image": (0.0, float("inf"))}}, "two finite numbers"),
        ({"values": {"image": (0.0, 0.5)}}, "whose values go from 0 to 1"),
        ({"evaluation": [1, 2]}, "evaluation cannot be list: expected a function"),
        ({"calibration": iter(())}, "calibration cannot be tuple_iterator"),
        ({"metric": "f1"}, "metric cannot be 'f1': expected top1 or agreement or closeness"),
        ({"labels": "0123456789"}, "labels cannot be '0123456789': expected a sequence of texts"),
        ({"name": "../up"}, r"name cannot be '\.\./up'"),
    ],
)
def test_exportable_refuses_what_does_not_fit(given: dict[str, Any], sentence: str) -> None:
    with pytest.raises(BadValue, match=sentence):
        make(**given)


@pytest.mark.parametrize("part", ["dynamic", "values"])
def test_exportable_names_the_nearest_input_when_one_is_unknown(part: str) -> None:
    entry: Any = ["batch", None] if part == "dynamic" else (0.0, 1.0)
    with pytest.raises(UnknownName, match="Did you mean 'image'"):
        make(**{part: {"imgae": entry}})


def test_exportable_does_not_start_the_data() -> None:
    def boom() -> Any:
        raise AssertionError("loaded while the model was built")

    assert make(evaluation=boom, calibration=boom).evaluation is boom


def test_exportable_accepts_whole_and_boolean_inputs_with_values() -> None:
    ids = torch.tensor([[1, 2, 3]])
    mask = torch.tensor([[True, False, True]])
    exportable = make(example=(ids, mask), values={"image": (0, 9), "mask": (0, 1)})
    assert exportable.values["image"] == (0, 9)


def test_a_module_whose_forward_has_no_signature_has_numbered_inputs() -> None:
    module = nn.ReLU()
    module.forward = {}.update  # type: ignore[assignment]
    assert list(Exportable(module, (torch.rand(2),)).inputs()) == ["input_0"]
