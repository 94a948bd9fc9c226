"""What a factory may return when a module and example inputs don't say it all."""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from typing import Any

from torch import Tensor, nn

from edgekit import terms
from edgekit.errors import BadValue, UnknownName
from edgekit.tensors import Case
from exporters import dimensions
from exporters.nesting import leaves
from exporters.normalization import Normalization as Normalization
from exporters.normalization import check_normalization

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True, eq=False)
class Exportable:
    """A module ready to be exported, and what is known about it.

    Only `module` and `example` are needed:

        def factory() -> Exportable:
            return Exportable(
                Net().eval(),
                (torch.rand(2, 3, 28, 28),),
                input_names=["image"],
                output_names=["logits"],
                dynamic={"image": ["batch:1..64", None, None, None]},
                values={"image": (0.0, 1.0)},
                evaluation=held_out,  # a function that yields Case({"image": array}, label=3)
                metric="top1",
            )

    Raises:
        UnknownName: `dynamic` or `values` name an input that isn't there.
        BadValue: a part is of the wrong kind, or contradicts another.
    """

    module: nn.Module
    example: tuple[Any, ...] | Mapping[str, Any]
    """Inputs to call the module with, as real as they can be had: a tuple of positional arguments
    or a mapping of keyword arguments. Each is a tensor, or a list, tuple or dict of tensors, whose
    inputs are called `states.0` and so on. Verification repeats and crops them to other sizes."""

    _: KW_ONLY
    positional: int = 0
    """How many of a mapping's first entries are passed by position all the same."""

    input_names: Sequence[str] | None = None
    """What the model's inputs are called, in the example's order; by default, as `forward` calls
    its arguments."""

    output_names: Sequence[str] | None = None
    """What the model's outputs are called, in the order in which `forward` returns them."""

    dynamic: Mapping[str, Sequence[str | int | None]] = field(default_factory=dict)
    """Input name → one entry an axis: "batch" or "batch:1..64" or "time:2.." for an axis whose
    size may change; None, "_" or the size itself for a fixed one. Axes of one name have one size.
    Inputs and last axes that aren't named here are fixed."""

    values: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """Input name → the lowest and the highest value that its elements may have."""

    evaluation: Callable[[], Iterator[Case]] | None = None
    """Starts a new pass over held-out cases, which neither training nor calibration has seen:
    feeds are numpy arrays by input name, a batch of one; `label` is the right class."""

    calibration: Callable[[], Iterator[Case]] | None = None
    """Starts a new pass over cases of the training side, to measure value ranges with."""

    dataset: str = "cases"
    """What the evaluation and calibration cases are, several of them: "digits"."""

    metric: terms.Metric = "closeness"
    """How answers are judged: "top1" for a classifier, else "closeness"."""

    labels: Sequence[str] | None = None
    """What the classes are called, in the order of the scores."""

    preprocessing: str | None = None
    """How an app makes the inputs, as a sentence or as JSON. Kept in the package."""

    normalization: Normalization | None = None
    """How pixels become the image input: what `--with-preprocessing` puts in front of the model."""

    tokenizer: Mapping[str, bytes] = field(default_factory=dict)
    """File name → content of what makes the inputs from text. Kept in the package."""

    name: str | None = None
    """What the model is called; the package's name by default."""

    notes: Sequence[str] = ()
    """What whoever exports the model must be told: that its weights are random, say."""

    def __post_init__(self) -> None:
        _need(
            isinstance(self.module, nn.Module),
            "module",
            type(self.module).__name__,
            "a torch.nn.Module",
        )
        _check_example(self.example, self.positional)
        for what, given in (("input_names", self.input_names), ("output_names", self.output_names)):
            if given is not None:
                _check_names(what, given)
        inputs = self.inputs()
        for name, axes in self.dynamic.items():
            _need(
                isinstance(axes, Sequence) and not isinstance(axes, str),
                f"dynamic[{name!r}]",
                repr(axes),
                "a sequence with one entry for each axis",
            )
        dimensions.resolve(self.dynamic, {name: tuple(x.shape) for name, x in inputs.items()})
        for name, limits in self.values.items():
            if name not in inputs:
                raise UnknownName(kind="input", asked=name, available=list(inputs))
            _check_values(name, inputs[name], limits)
        for what, data in (("evaluation", self.evaluation), ("calibration", self.calibration)):
            _need(
                data is None or callable(data),
                what,
                type(data).__name__,
                "a function without arguments that returns a new iterator of cases",
            )
        _need(
            isinstance(self.dataset, str) and bool(self.dataset.strip()),
            "dataset",
            repr(self.dataset),
            "a word for the cases",
        )
        if self.normalization is not None:
            check_normalization(self.normalization, inputs)
        metrics = terms.members(terms.Metric)
        _need(self.metric in metrics, "metric", repr(self.metric), " or ".join(metrics))
        if self.labels is not None:
            _check_texts("labels", self.labels)
        _check_texts("notes", self.notes)
        _need(
            self.name is None or _NAME.fullmatch(self.name) is not None,
            "name",
            repr(self.name),
            "letters, digits, '.', '_' and '-'",
        )

    def inputs(self) -> dict[str, Tensor]:
        """Return the example's tensors by input name, in the order of the model's inputs.

        Raises:
            BadValue: `input_names` are more or fewer than the example has tensors.
        """
        if isinstance(self.example, Mapping):
            outer = list(self.example.items())
        else:
            arguments = _argument_names(self.module, len(self.example))
            outer = list(zip(arguments, self.example, strict=True))
        found = [leaf for name, value in outer for leaf in leaves(value, name)]
        names, tensors = [name for name, _ in found], [tensor for _, tensor in found]
        if self.input_names is not None:
            _need(
                len(self.input_names) == len(tensors),
                "input_names",
                ", ".join(self.input_names) or "empty",
                f"{len(tensors)} names, one for each tensor of the example",
            )
            names = list(self.input_names)
        _check_names("the inputs' names", names)
        return dict(zip(names, tensors, strict=True))


def _need(holds: bool, what: str, asked: str, expected: str) -> None:
    if not holds:
        raise BadValue(what=what, asked=asked, expected=expected)


def _check_example(example: Any, positional: Any) -> None:
    expected = "a tuple of tensors, (x,) for one alone, or a mapping of names to tensors"
    _need(isinstance(example, tuple | Mapping), "example", type(example).__name__, expected)
    entries = leaves(example)
    _need(len(entries) > 0, "example", "empty", expected)
    for name, entry in entries:
        if isinstance(entry, Tensor):
            continue
        raise BadValue(
            what=f"the entry {name} of example",
            asked=type(entry).__name__,
            expected="a tensor, or a list, tuple or dict of tensors. What is no tensor can't be "
            "fed to an exported model: give it in the factory, to the module's __init__ or in a "
            "module of your own whose forward passes it on",
        )
    most = len(example) if isinstance(example, Mapping) else 0
    _need(
        isinstance(positional, int) and 0 <= positional <= most,
        "positional",
        repr(positional),
        f"how many of a mapping's entries go by position, at most {most} here",
    )


def _check_texts(what: str, texts: Any) -> None:
    _need(
        isinstance(texts, Sequence)
        and not isinstance(texts, str)
        and all(isinstance(text, str) and len(text.splitlines()) == 1 for text in texts),
        what,
        repr(texts),
        "a sequence of texts of one line, none of them empty",
    )


def _check_names(what: str, names: Sequence[str]) -> None:
    _check_texts(what, names)
    _need(len(set(names)) == len(names), what, ", ".join(names), "names that differ")


def _check_values(name: str, tensor: Tensor, limits: Any) -> None:
    what = f"values[{name!r}]"
    _need(
        isinstance(limits, Sequence)
        and len(limits) == 2
        and all(isinstance(limit, int | float) and math.isfinite(limit) for limit in limits)
        and limits[0] <= limits[1],
        what,
        repr(limits),
        "(lowest, highest), two finite numbers",
    )
    if tensor.numel():
        low, high = tensor.min().item(), tensor.max().item()
        _need(
            limits[0] <= low and high <= limits[1],
            what,
            repr(limits),
            f"a range that holds the example, whose values go from {low:g} to {high:g}",
        )


def _argument_names(module: nn.Module, count: int) -> list[str]:
    try:
        parameters = inspect.signature(module.forward).parameters.values()
    except (TypeError, ValueError):  # torch.jit's has none
        return [f"input_{i}" for i in range(count)]
    names = [
        parameter.name
        for parameter in parameters
        if parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD)
    ]
    return names[:count] if len(names) >= count else [f"input_{i}" for i in range(count)]
