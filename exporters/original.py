"""The PyTorch original: a module that answers named tensors with named tensors."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from edgekit.errors import BadValue, FactoryFailed
from edgekit.user_code import run_user_code
from exporters.arrays import to_numpy
from exporters.exportable import Exportable
from exporters.nesting import leaves, rebuilt

_PRECISIONS = {
    torch.float32: "fp32",
    torch.float16: "fp16",
    torch.bfloat16: "bf16",
    torch.float64: "fp64",
}


class Original:
    """A module that answers named arrays with named arrays, on the CPU and in evaluation mode.

    Its outputs are flattened to names: a single tensor is `output`, members of a tuple are
    `output_0`, `output_1`, …, and those of a mapping or of a dataclass keep their names. A name
    that an input has gets `_out` behind it, since ONNX has one name for one value. What is None is
    left out; `dropped` names it after the first call.

    It takes the exportable's module over: the module is changed to what is said above, and
    `was_training` tells whether it had to be. Submodules that stay in training mode all the same
    (their `train` is their own) are named in `still_training`.

    Raises:
        BadValue: an asked output name is an input's.
        FactoryFailed: a lazy module fails at its first call.
    """

    def __init__(self, exportable: Exportable) -> None:
        self.module = exportable.module.cpu()
        self.was_training, self.still_training = _evaluated(self.module)
        self._form = exportable.example
        self._positional = exportable.positional
        self.by_keyword = isinstance(self._form, Mapping)
        self.example = {name: x.detach().cpu() for name, x in exportable.inputs().items()}
        self.input_names = list(self.example)
        self.keys = list(self._form) if isinstance(self._form, Mapping) else self.input_names
        self._asked_output_names = exportable.output_names
        for name in self._asked_output_names or ():
            if name in self.example:
                raise BadValue(
                    what="an output name", asked=repr(name), expected="names that no input has"
                )
        self.output_names: list[str] = []
        self.dropped: tuple[str, ...] = ()
        if any(map(is_lazy, self.tensors().values())):
            # The first call gives a lazy module its weights.
            with torch.no_grad():
                run_user_code(
                    lambda: self.call(self.module, self.example), target=type(self.module).__name__
                )
        self.module.requires_grad_(False)

    def __call__(self, tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Run the module without gradients; tensors are passed as the example passes them."""
        with torch.inference_mode():
            return self.flatten(self.call(self.module, tensors))

    def call(self, module: Callable[..., Any], tensors: Mapping[str, torch.Tensor]) -> Any:
        """Call `module` with the named tensors in the example's form."""
        args, kwargs = self.arguments(tensors)
        return module(*args, **kwargs)

    def arguments(
        self, tensors: Mapping[str, torch.Tensor]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Arrange named tensors as positional and keyword arguments."""
        formed = self.in_form(tensors)
        if isinstance(formed, tuple):
            return formed, {}
        by_position = list(formed)[: self._positional]
        args = tuple(formed.pop(name) for name in by_position)
        return args, formed

    def in_form(self, values: Mapping[str, Any]) -> tuple[Any, ...] | dict[str, Any]:
        """Put something for each input into the example's form, containers included: a tuple, or
        a dict of `forward`'s argument names where the example is a mapping.
        """
        formed: tuple[Any, ...] | dict[str, Any]
        formed = rebuilt(self._form, iter([values[name] for name in self.input_names]))
        return formed

    def flatten(self, returned: Any) -> dict[str, torch.Tensor]:
        """Name the tensors in what the module returned; None is left out, and named in `dropped`.

        Raises:
            FactoryFailed: it holds no tensor, something that is neither a tensor nor a container
                of them, two of one name, or another number than there are asked names.
        """
        found = [(name or "output", value) for name, value in leaves(returned, first="output_")]
        self.dropped = tuple(name for name, value in found if value is None)
        tensors = [value for _, value in found if value is not None]
        names = [name for name, value in found if value is not None]
        names = [f"{name}_out" if name in self.example else name for name in names]
        for name, value in zip(names, tensors, strict=True):
            if not isinstance(value, torch.Tensor):
                raise self._failed(
                    f"returned {type(value).__name__} as {name}; outputs must be tensors"
                )
        if not tensors:
            raise self._failed("returned no tensor")
        if self._asked_output_names is not None:
            if len(self._asked_output_names) != len(tensors):
                raise self._failed(
                    f"returned {len(tensors)} tensors and {len(self._asked_output_names)} output "
                    "names were given"
                )
            names = list(self._asked_output_names)
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise self._failed(f"returned two outputs called {twice}; give output_names")
        self.output_names = names
        return dict(zip(names, tensors, strict=True))

    def _failed(self, problem: str) -> FactoryFailed:
        return FactoryFailed(target=type(self.module).__name__, problem=problem)

    def in_double(self) -> Original | None:
        """Return the same module in double precision, or None where it can't be copied so."""
        double = copy.copy(self)
        try:
            double.module = copy.deepcopy(self.module).double()
        except Exception:  # whatever a module's own __deepcopy__ raises
            return None
        return double

    @property
    def precision(self) -> str:
        """The floating point type that most of the weights have."""
        counts: dict[str, int] = {}
        for tensor in self.tensors().values():
            if tensor.dtype in _PRECISIONS:
                name = _PRECISIONS[tensor.dtype]
                counts[name] = counts.get(name, 0) + tensor.numel()
        return max(counts, key=lambda name: counts[name]) if counts else "fp32"

    def weights_sha256(self) -> str:
        """Hash the module's whole state: names, types, shapes and values."""
        digest = hashlib.sha256()
        for name, tensor in sorted(self.tensors().items()):
            array = to_numpy(tensor)
            digest.update(f"{name}|{array.dtype.name}|{array.shape}|".encode())
            digest.update(array.tobytes())
        return digest.hexdigest()

    def tensors(self) -> dict[str, torch.Tensor]:
        """Return the module's state: weights and buffers, by name."""
        state = self.module.state_dict()
        return {name: value for name, value in state.items() if isinstance(value, torch.Tensor)}


def _evaluated(module: nn.Module) -> tuple[bool, tuple[str, ...]]:
    """Bring a module into evaluation mode; tell whether it wasn't, and which parts still aren't."""
    was_training = any(part.training for part in module.modules())
    try:
        module.eval()
    except NotImplementedError:
        # A captured program: whether it trains stands in its operators, and the flag says nothing.
        return False, ()
    return was_training, tuple(
        name or type(module).__name__ for name, part in module.named_modules() if part.training
    )
