"""The PyTorch original as a runner: eager, or through `torch.compile`."""

from __future__ import annotations

import copy
import hashlib
import os
import shutil
import sys
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from edgekit.errors import BadValue, FactoryFailed, OriginalUnavailable
from edgekit.tensors import Array, Feed, RunFacts, Signature
from exporters import sources
from exporters.arrays import to_numpy, to_torch
from exporters.exportable import Exportable
from exporters.nesting import leaves, rebuilt
from exporters.preprocessing import with_preprocessing
from exporters.requests import TargetRequest

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
                sources.run_user_code(
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


class OriginalRunner:
    """The original, ready to be timed in the thread that makes it.

    That thread is in inference mode until `close`, so that no timed call pays for entering it.
    """

    def __init__(
        self, original: Original, run: Callable[..., Any], signature: Signature, facts: RunFacts
    ) -> None:
        self._original = original
        self._run = run
        self._fed: tuple[Feed, dict[str, torch.Tensor]] = ({}, {})
        self.signature = signature
        self.facts = facts
        # torch leaves the mode as soon as nothing holds this object any more.
        self._mode = torch.inference_mode()
        self._mode.__enter__()

    def prepare(self, feed: Feed) -> Callable[[], Any]:
        tensors = {name: to_torch(array) for name, array in feed.items()}
        self._fed = feed, tensors
        args, kwargs = self._original.arguments(tensors)
        run = self._run

        def call() -> Any:
            try:
                return run(*args, **kwargs)
            except Exception as error:  # the user's forward, or torch's compiler: anything
                text = " ".join(str(error).split())[:300]
                raise OriginalUnavailable(
                    reason=f"the original failed in {self.facts.provider}: "
                    f"{type(error).__name__}: {text}"
                ) from error

        return call

    def fetch(self, answer: Any) -> dict[str, Array]:
        outputs = self._named(answer)
        feed, tensors = self._fed
        if any(to_numpy(t).tobytes() != feed[name].tobytes() for name, t in tensors.items()):
            self._refuse_drift(outputs, self._named(self.prepare(feed)()))
        return outputs

    def _named(self, answer: Any) -> dict[str, Array]:
        return {name: to_numpy(t) for name, t in self._original.flatten(answer).items()}

    def _refuse_drift(self, last: dict[str, Array], first: dict[str, Array]) -> None:
        """Refuse a module that changes its input if that changed its answer, from call to call."""
        from edgekit.metrics import within  # nothing that a cold start should pay for

        for name, array in first.items():
            if within(last[name], array, absolute=0.0, relative=1e-3) is not None:
                raise OriginalUnavailable(
                    reason="the original changes its input in place, so that repeated calls don't "
                    "do the same work; have its forward make a new tensor (x = x + 1, not x += 1)"
                )

    def close(self) -> None:
        self._mode.__exit__(None, None, None)


def open_eager(
    request: TargetRequest, signature: Signature, weights_sha256: str, threads: int
) -> OriginalRunner:
    """Make the original again and hold it ready to run as it is.

    Raises:
        OriginalUnavailable: what the TARGET makes now has other weights than were exported.
        Whatever `exporters.sources.build` raises.
    """
    original = _original(request, weights_sha256, threads)
    return _runner(original, original.module, signature, "pytorch eager", threads)


def open_compiled(
    request: TargetRequest, signature: Signature, weights_sha256: str, threads: int
) -> OriginalRunner:
    """Make the original again and hold it ready to run through `torch.compile`.

    Raises:
        OriginalUnavailable: there is no C++ compiler, or what `open_eager` raises it for.
    """
    # The one that torch will look for.
    compiler = os.environ.get("CXX") or ("clang++" if sys.platform == "darwin" else "g++")
    if not shutil.which(compiler):
        raise OriginalUnavailable(
            reason="torch.compile needs a C++ compiler at run time and there is none here: "
            f"{compiler} is not on the PATH ($CXX may name another)"
        )
    original = _original(request, weights_sha256, threads)
    return _runner(original, torch.compile(original.module), signature, "torch.compile", threads)


def _original(request: TargetRequest, weights_sha256: str, threads: int) -> Original:
    torch.set_num_threads(threads)
    exportable = sources.build(request)
    original = Original(exportable)
    found = original.weights_sha256()
    if found != weights_sha256:
        raise OriginalUnavailable(
            reason=f"{request.target} now makes a module with other weights (SHA-256 {found[:12]}) "
            f"than the package was exported from ({weights_sha256[:12]}); export it again, or "
            "load fixed weights in the factory"
        )
    return Original(with_preprocessing(exportable)) if request.with_preprocessing else original


def _runner(
    original: Original, run: Callable[..., Any], signature: Signature, how: str, threads: int
) -> OriginalRunner:
    facts = RunFacts(
        provider=how,
        precision=original.precision,
        threads=threads,
        weights_bytes=sum(t.nbytes for t in original.tensors().values()),
    )
    return OriginalRunner(original, run, signature, facts)
