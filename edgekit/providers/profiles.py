"""TensorRT's optimization profiles from a package's dynamic ranges.

TensorRT builds an engine for a range of shapes, the profile. Left to itself ONNX Runtime's provider
builds another, for minutes, at every shape outside of those it has met; with a profile it builds
none, and refuses what is outside. So the profile is taken from the ranges that the package states.

What the options may look like is what the parser of both providers takes (`MakeInputNameShapePair`
and `ParseProfileShapes` in onnxruntime's tensorrt_execution_provider_helper.cc and in the RTX
plug-in, whose header says semicolons and whose library splits at commas like the other): inputs
separated by commas, a name up to the first colon, sizes separated by x, at least one of them. There
is no way to quote. Either every input with a dynamic shape has a profile or none has
(onnxruntime#15825); numbers given for an input whose *values* TensorRT needs while it builds
("shape tensor") are read as values, so only inputs with a dynamic shape are written. A model that
is split between providers has further inputs inside, of which a package knows nothing: there
TensorRT refuses the session and names them, and it must be opened without a profile.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping

import msgspec

from edgekit.errors import BadValue
from edgekit.providers.info import Occasion
from edgekit.tensors import Dim, Signature, TensorSpec, dynamic_dims

FLOOR = 64
"""How far the profile of a dimension without a known end reaches at least."""

LARGEST = 2**31 - 1
"""TensorRT's sizes, and the parser's numbers, are signed and have 32 bits."""

_SEPARATORS = {":": "a colon", ",": "a comma"}

Shape = tuple[int, ...]


class Range(msgspec.Struct, frozen=True):
    """The shapes of one input that need no new engine; `optimum` is what it is tuned for."""

    lowest: Shape
    optimum: Shape
    highest: Shape


class Profile(msgspec.Struct, frozen=True):
    """Ranges by input, of every input with a dynamic shape; empty where nothing is dynamic.

    `bounded` names the dimensions without a known end, each with the size up to which the profile
    reaches: no larger one can be run (`reachable`).
    """

    inputs: dict[str, Range] = {}
    bounded: dict[str, int] = {}


def profile(
    signature: Signature, *, seen: Iterable[Mapping[str, int]] = (), floor: int = FLOOR
) -> Profile:
    """Make the profile of a model from the ranges of its dynamic dimensions.

    A dimension without an end is bounded by the largest size seen of it, and by `floor` at least.
    The optimum is the size seen most often (of several the largest), or, where none was seen, the
    geometric middle of the range: a size by which the ends are equally many times away.

    Args:
        signature: what the model takes.
        seen: sizes by dimension that are known to come, such as those of a package's cases
            (`edgekit.tensors.dim_sizes`); what lies outside of a range is left out.
        floor: how far a dimension without an end reaches at least.

    Raises:
        BadValue: an input with a dynamic shape has a name that the options can't hold, or a
            dimension is larger than TensorRT's sizes go.
    """
    sizes = [dict(one) for one in seen]
    limits: dict[str, tuple[int, int, int]] = {}
    bounded: dict[str, int] = {}
    for name, dim in dynamic_dims(signature).items():
        known = [one[name] for one in sizes if name in one and _within(dim, one[name])]
        high = dim.high
        if high is None:
            high = bounded[name] = max([dim.low, floor, *known])
        if not 0 <= dim.low <= high <= LARGEST:
            raise BadValue(
                what=f"the dimension {name} of a TensorRT profile",
                asked=str(dim),
                expected=f"a range of sizes from 0 to {LARGEST}",
            )
        limits[name] = (dim.low, _optimum(dim.low, high, known), high)
    ranges = {
        spec.name: Range(*(_shape(spec, limits, end) for end in range(3)))
        for spec in signature.inputs
        if any(isinstance(size, Dim) for size in spec.shape)
    }
    for name in ranges:
        _refuse_unwritable(name)
    return Profile(ranges, bounded)


def options(made: Profile, form: str) -> dict[str, str]:
    """Write a profile as a provider's options; none where nothing is dynamic.

    `form` is the options' name with {bound} for min, opt or max: "trt_profile_{bound}_shapes", or
    "nv_profile_{bound}_shapes" for RTX.
    """
    bounds = {
        "min": {name: shapes.lowest for name, shapes in made.inputs.items()},
        "opt": {name: shapes.optimum for name, shapes in made.inputs.items()},
        "max": {name: shapes.highest for name, shapes in made.inputs.items()},
    }
    return {
        form.format(bound=bound): ",".join(
            f"{name}:{'x'.join(map(str, shape))}" for name, shape in shapes.items()
        )
        for bound, shapes in bounds.items()
        if shapes
    }


def as_options(occasion: Occasion, form: str) -> dict[str, str]:
    """Write the profile of the model that an occasion tells of; none where it tells of none.

    Raises:
        BadValue: it can't be written; see `profile`.
    """
    if occasion.signature is None:
        return {}
    return options(profile(occasion.signature, seen=occasion.sizes), form)


def reachable(signature: Signature | None, made: Profile) -> Signature | None:
    """End the dimensions that have no end where a profile ends: TensorRT takes no larger size."""
    if signature is None or not made.bounded:
        return signature

    def ended(size: int | Dim) -> int | Dim:
        if isinstance(size, Dim) and size.name in made.bounded:
            return msgspec.structs.replace(size, high=made.bounded[size.name])
        return size

    def within(specs: tuple[TensorSpec, ...]) -> tuple[TensorSpec, ...]:
        return tuple(
            msgspec.structs.replace(spec, shape=tuple(map(ended, spec.shape))) for spec in specs
        )

    return Signature(inputs=within(signature.inputs), outputs=within(signature.outputs))


def _within(dim: Dim, size: int) -> bool:
    return dim.low <= size <= (LARGEST if dim.high is None else dim.high)


def _optimum(low: int, high: int, known: list[int]) -> int:
    if known:
        return max(Counter(known).items(), key=lambda item: (item[1], item[0]))[0]
    return min(high, max(low, round(math.sqrt(max(low, 1) * max(high, 1)))))


def _shape(spec: TensorSpec, limits: Mapping[str, tuple[int, int, int]], end: int) -> Shape:
    return tuple(limits[size.name][end] if isinstance(size, Dim) else size for size in spec.shape)


def _refuse_unwritable(name: str) -> None:
    for separator, word in _SEPARATORS.items():
        if separator in name:
            raise BadValue(
                what="the input's name in a TensorRT profile",
                asked=repr(name),
                expected=f"a name without {word}, which the option has no way to quote; rename the "
                "input in the .onnx file, or run without a profile",
            )
