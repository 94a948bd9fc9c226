from __future__ import annotations

import dataclasses
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn

from edgekit.errors import BadValue, FactoryFailed
from exporters.exportable import Exportable
from exporters.original import Original

X = torch.arange(6, dtype=torch.float32).reshape(2, 3)


class Returns(nn.Module):
    """Hands its input to a function and returns what that returns."""

    def __init__(self, returned: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.returned = returned

    def forward(self, x: Tensor) -> Any:
        return self.returned(x)


def original_of(module: nn.Module, *example: Tensor, **given: Any) -> Original:
    return Original(Exportable(module, example or (X,), **given))


class Pair(NamedTuple):
    left: Tensor | None
    right: Tensor


@dataclasses.dataclass
class Fields:
    hidden: Tensor | None
    states: tuple[Tensor | None, ...]


class ModelOutput(OrderedDict[str, Any]):
    """As transformers has it: a mapping that lacks what is None."""


@pytest.mark.parametrize(
    ("returned", "names"),
    [
        (lambda x: x, ["output"]),
        (lambda x: (x,), ["output_0"]),
        (lambda x: [x, x + 1], ["output_0", "output_1"]),
        (lambda x: (x, None, x), ["output_0", "output_2"]),
        (lambda x: {"logits": x, "none": None}, ["logits"]),
        (lambda x: ModelOutput(last=x, states=(x, x)), ["last", "states.0", "states.1"]),
        (lambda x: Pair(None, x), ["right"]),
        (lambda x: Fields(x, (x, x)), ["hidden", "states.0", "states.1"]),
        (lambda x: (x, Fields(None, (x,))), ["output_0", "output_1.states.0"]),
        (lambda x: (x, Pair(x, x)), ["output_0", "output_1.left", "output_1.right"]),
        (lambda x: {"x": x, "y": x}, ["x_out", "y"]),
        (lambda x: {0: x, "b": [x]}, ["0", "b.0"]),
    ],
)
def test_outputs_are_flattened_to_names(
    returned: Callable[[Tensor], Any], names: list[str]
) -> None:
    original = original_of(Returns(returned))
    assert list(original({"x": X})) == names
    assert original.output_names == names


@pytest.mark.parametrize(
    ("returned", "names"),
    [
        (lambda x: x, ()),
        (lambda x: (x, None, [None, x]), ("output_1", "output_2.0")),
        (lambda x: {"logits": x, "loss": None}, ("loss",)),
        (lambda x: Fields(None, (x, None)), ("hidden", "states.1")),
    ],
)
def test_what_is_none_is_dropped_by_name(
    returned: Callable[[Tensor], Any], names: tuple[str, ...]
) -> None:
    original = original_of(Returns(returned))
    original({"x": X})
    assert original.dropped == names


def test_one_tensor_twice_and_an_input_have_a_name_each() -> None:
    def returned(x: Tensor) -> dict[str, Tensor]:
        y = x + 1
        return {"first": y, "again": y, "x": x}

    answer = original_of(Returns(returned))({"x": X})
    assert list(answer) == ["first", "again", "x_out"]
    assert torch.equal(answer["x_out"], X)
    assert torch.equal(answer["first"], answer["again"])


def test_asked_output_names_are_given_in_order_of_return() -> None:
    original = original_of(Returns(lambda x: {"a": x, "b": x + 1}), output_names=["p", "q"])
    answer = original({"x": X})
    assert list(answer) == ["p", "q"]
    assert torch.equal(answer["q"], X + 1)


@pytest.mark.parametrize(
    ("returned", "given", "sentence"),
    [
        (lambda x: (x, "text"), {}, "Returns returned str as output_1; outputs must be tensors"),
        (lambda x: 3.0, {}, "Returns returned float as output; outputs"),
        (lambda x: None, {}, "Returns returned no tensor"),
        (lambda x: (), {}, "Returns returned no tensor"),
        (lambda x: {"a": {"b": x}, "a.b": x}, {}, r"two outputs called a\.b; give output_names"),
        (lambda x: x, {"output_names": ["p", "q"]}, "1 tensors and 2 output names were given"),
    ],
)
def test_outputs_that_have_no_names_are_refused(
    returned: Callable[[Tensor], Any], given: dict[str, Any], sentence: str
) -> None:
    original = original_of(Returns(returned), **given)
    with pytest.raises(FactoryFailed, match=sentence):
        original({"x": X})


def test_two_outputs_of_one_name_are_told_apart_by_asked_names() -> None:
    original = original_of(
        Returns(lambda x: {"a": {"b": x}, "a.b": x}), output_names=["first", "second"]
    )
    assert list(original({"x": X})) == ["first", "second"]


def test_an_output_can_not_be_asked_to_have_an_input_s_name() -> None:
    with pytest.raises(BadValue, match="an output name cannot be 'x': expected names that no in"):
        original_of(Returns(lambda x: x), output_names=["x"])


class ByName(nn.Module):
    def forward(self, image: Tensor, *, scale: Tensor) -> Tensor:
        return image * scale


def test_a_mapping_is_passed_by_keyword_under_the_names_of_forward() -> None:
    example = {"scale": torch.tensor([2.0]), "image": X}
    original = Original(Exportable(ByName(), example, input_names=["factor", "picture"]))
    assert original.arguments({"picture": X, "factor": X}) == ((), {"scale": X, "image": X})
    answer = original({"factor": torch.tensor([3.0]), "picture": X})
    assert torch.equal(answer["output"], X * 3)


class Nested(nn.Module):
    def forward(self, x: Tensor, states: Any, *, more: Any = None) -> Tensor:
        scale = 1 if more is None else more["scale"]
        moved: Tensor = x + states[0] - states[1][0]
        return moved * scale


def test_containers_of_tensors_are_inputs_with_dotted_names() -> None:
    example = (X, [X + 1, (X + 2,)])
    original = Original(Exportable(Nested(), example))
    assert original.input_names == ["x", "states.0", "states.1.0"]
    args, kwargs = original.arguments({"x": X, "states.0": X, "states.1.0": X * 0})
    assert kwargs == {}
    assert isinstance(args[1], list)
    assert isinstance(args[1][1], tuple)
    assert torch.equal(original(original.example)["output"], X - 1)
    assert original.in_form({"x": 1, "states.0": 2, "states.1.0": 3}) == (1, [2, (3,)])


def test_containers_can_be_keywords_and_some_go_by_position() -> None:
    example = {"x": X, "states": (X, [X]), "more": {"scale": torch.tensor(3.0)}}
    original = Original(Exportable(Nested(), example, positional=1))
    assert original.input_names == ["x", "states.0", "states.1.0", "more.scale"]
    args, kwargs = original.arguments(original.example)
    assert len(args) == 1
    assert list(kwargs) == ["states", "more"]
    assert torch.equal(original(original.example)["output"], X * 3)


class Stubborn(nn.Dropout):
    def train(self, mode: bool = True) -> Any:
        self.training = True
        return self


def test_a_module_that_was_training_and_parts_that_still_are_can_be_told() -> None:
    trained = original_of(nn.Sequential(nn.Linear(3, 3), nn.Dropout()))
    assert trained.was_training
    assert trained.still_training == ()
    ready = original_of(nn.Sequential(nn.Linear(3, 3), nn.Dropout()).eval())
    assert not ready.was_training
    stubborn = original_of(nn.Sequential(nn.Linear(3, 3), Stubborn()).eval())
    assert stubborn.was_training
    assert stubborn.still_training == ("1",)
    assert original_of(Stubborn()).still_training == ("Stubborn",)


def test_a_module_runs_in_evaluation_mode_without_gradients() -> None:
    module = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3), nn.Dropout(0.9)).train()
    original = original_of(module)
    first, again = original({"input": X}), original({"input": X})
    assert torch.equal(first["output"], again["output"])
    assert not first["output"].requires_grad
    assert module[1].num_batches_tracked == 0


def test_a_lazy_module_gets_its_weights_before_they_are_hashed() -> None:
    module = nn.LazyLinear(2)
    original = original_of(module)
    before = original.weights_sha256()
    original({"input": X})
    assert original.weights_sha256() == before


def test_the_hash_of_weights_is_over_names_types_shapes_and_values() -> None:
    def hashed(**state: Tensor) -> str:
        module = nn.Module()
        for name, value in state.items():
            module.register_buffer(name, value)
        module.forward = lambda x: x
        return original_of(module).weights_sha256()

    base = hashed(a=X, b=X)
    assert base == hashed(b=X.clone(), a=X.clone())
    others = [
        hashed(a=X, c=X),
        hashed(a=X, b=X + torch.tensor([0, 0, 1e-6])),
        hashed(a=X, b=X.reshape(3, 2)),
        hashed(a=X, b=X.double()),
        hashed(a=X, b=X.bfloat16()),
        hashed(a=X),
    ]
    assert len({base, *others}) == 7


@pytest.mark.parametrize(
    ("dtype", "precision"),
    [
        (torch.float32, "fp32"),
        (torch.float16, "fp16"),
        (torch.bfloat16, "bf16"),
        (torch.float64, "fp64"),
    ],
)
def test_the_precision_is_that_of_most_weights(dtype: torch.dtype, precision: str) -> None:
    module = nn.Sequential(nn.Linear(8, 8).to(dtype), nn.LayerNorm(2))
    assert original_of(module, torch.rand(2, 8)).precision == precision


def test_a_module_without_weights_counts_as_fp32() -> None:
    assert original_of(nn.ReLU()).precision == "fp32"


def test_the_module_in_double_is_another_one() -> None:
    original = original_of(nn.Linear(3, 3).half())
    double = original.in_double()
    assert double is not None
    assert double({"input": X.double()})["output"].dtype == torch.float64
    assert original.module.weight.dtype == torch.float16


def test_a_module_that_cannot_be_copied_has_no_double() -> None:
    class Fixed(nn.ReLU):
        def __deepcopy__(self, memo: object) -> Any:
            raise RuntimeError("not me")

    assert original_of(Fixed()).in_double() is None
