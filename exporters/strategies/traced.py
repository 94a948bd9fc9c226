"""The TorchScript exporter: runs the module once and writes down what it did.

It alone turns `nn.RNN` into ONNX's operator. What the module's Python code decided on the way is
frozen, so a module that decides anything by a size or a value is refused here.
"""

from __future__ import annotations

import logging
import sys
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import onnx_ir
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from edgekit.errors import ExportFailed
from edgekit.tensors import Dim
from exporters.explain import failure
from exporters.original import Original
from exporters.strategies.conditions import check_dimensions
from exporters.strategies.ranges import Converted

_OWN = Path(torch.__file__).parent


class _Flat(nn.Module):
    """The module with tensors in, in order, and its flattened outputs: all that a trace knows."""

    def __init__(self, original: Original) -> None:
        super().__init__()
        self.module = original.module
        self._original = original

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        named = dict(zip(self._original.input_names, tensors, strict=True))
        returned = self._original.call(self.module, named)
        seen: list[Tensor] = []
        for tensor in self._original.flatten(returned).values():
            # ONNX has one name for one value: what is an input too, or comes twice, needs another.
            again = any(tensor is other for other in (*tensors, *seen))
            seen.append(tensor.clone() if again else tensor)
        return tuple(seen)


def torchscript(
    original: Original,
    example: Mapping[str, Tensor],
    shapes: Mapping[str, tuple[int | Dim, ...]],
    *,
    opset: int,
    label: str,
) -> Converted:
    """Export with torch's TorchScript exporter.

    Raises:
        ExportFailed: torch could not export the module, or its code turned a tensor or a size into
            a Python number, which a trace would freeze.
    """
    tensors = tuple(example[name] for name in original.input_names)
    axes = {
        name: {axis: dim.name for axis, dim in enumerate(shape) if isinstance(dim, Dim)}
        for name, shape in shapes.items()
    }
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    with (
        _without_fast_path(),
        _Frozen() as frozen,
        tempfile.TemporaryDirectory() as folder,
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        path = Path(folder) / "model.onnx"
        try:
            # The original's buffers must be as they were for the next call.
            with torch.no_grad():
                torch.onnx.export(
                    _Flat(original).eval(),
                    tensors,
                    str(path),
                    dynamo=False,
                    input_names=list(original.input_names),
                    output_names=list(original.output_names),
                    opset_version=opset,
                    dynamic_axes={name: named for name, named in axes.items() if named},
                )
        except Exception as error:  # the exporter lets through whatever happens below it
            raise failure(error, label) from error
        finally:
            logger.setLevel(level)
        _refuse_frozen(frozen, label)
        model = onnx_ir.load(path)
        # The weights of a large model lie beside it, in the folder that goes now.
        onnx_ir.external_data.load_to_model(model)
    check_dimensions(model, shapes, label)
    return Converted(model)


@contextmanager
def _without_fast_path() -> Iterator[None]:
    """Keep torch's attention modules from their fused operators, which have no place in ONNX."""
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)


_NUMBERS = {
    getattr(Tensor, name)
    for name in (
        "__bool__",
        "__float__",
        "__index__",
        "__int__",
        "item",
        "numpy",
        "tolist",
    )
}
"""What makes a Python number of a tensor, or of a size, which is a tensor while it is traced."""


class _Frozen(TorchFunctionMode):
    """Notes where code turns a tensor into a number while it is traced.

    torch warns of it too, but a module may silence warnings. torch's own modules ask harmless
    things on the way.
    """

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, str]] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in _NUMBERS and torch._C._get_tracing_state() is not None:
            frame = sys._getframe(1)
            while frame.f_back is not None and frame.f_code.co_filename in _BETWEEN:
                frame = frame.f_back
            file = frame.f_code.co_filename
            if not Path(file).is_relative_to(_OWN):
                self.found.append((func.__name__, f"{file}:{frame.f_lineno}"))
        return func(*args, **(kwargs or {}))


_BETWEEN = {__file__, torch.overrides.__file__, torch._tensor.__file__}


def _refuse_frozen(frozen: _Frozen, label: str) -> None:
    for name, where in frozen.found[:1]:
        raise ExportFailed(
            target=label,
            problem="a trace would freeze what its code decided for the example "
            f"(it makes a Python number of a tensor: {name.strip('_')})",
            where=where,
        )
