"""`--weights FILE.safetensors`: a module's whole state, replaced by that of a file.

Only safetensors: what is pickled may run code while it is read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn
from torch.nn.parameter import is_lazy

from edgekit.errors import BadValue, FactoryFailed, NotFound
from edgekit.user_code import in_one_line, run_user_code
from exporters.requests import TargetRequest

_MOST = 5
"""How many names of a kind a sentence lists."""


def load_weights(module: nn.Module, request: TargetRequest) -> None:
    """Load the request's weights into `module`: every tensor of its state, and no other.

    Of tensors that the module shares between several names the file may hold any of the names, or
    all of them if they agree.

    Raises:
        BadValue: the file is of another kind.
        NotFound: there is none.
        FactoryFailed: it is damaged, or its names, shapes or types are not the module's.
    """
    file = request.weights
    assert file is not None
    path = Path(request.folder) / file
    if path.suffix.lower() != ".safetensors":
        raise BadValue(what="--weights", asked=file, expected=_conversion(path))
    if not path.is_file():
        raise NotFound(path=str(path), expected="a .safetensors file of weights")
    try:
        tensors = load_file(path)
    except (SafetensorError, OSError) as error:
        raise FactoryFailed(
            target=file, problem=f"can't be read as safetensors ({in_one_line(error)})"
        ) from error
    problems = _differences(module.state_dict(keep_vars=True), tensors)
    if problems:
        raise FactoryFailed(
            target=file, problem=f"doesn't fit {request.target}: {'; '.join(problems)}"
        )
    # Strict it has been; torch would also miss the other names of a shared tensor.
    run_user_code(lambda: module.load_state_dict(tensors, strict=False), target=request.target)


def _differences(
    wanted: Mapping[str, torch.Tensor], given: Mapping[str, torch.Tensor]
) -> list[str]:
    wanted = {name: tensor for name, tensor in wanted.items() if isinstance(tensor, torch.Tensor)}
    shared: dict[object, list[str]] = {}
    for name, tensor in wanted.items():
        shared.setdefault(_memory(name, tensor), []).append(name)
    missing = [
        name for names in shared.values() if not set(names) & set(given) for name in names[:1]
    ]
    unexpected = [name for name in given if name not in wanted]
    shapes, types = [], []
    for name, tensor in given.items():
        if name not in wanted or is_lazy(wanted[name]):
            continue
        if tensor.shape != wanted[name].shape:
            shapes.append(f"{name} is {list(tensor.shape)} and not {list(wanted[name].shape)}")
        elif tensor.dtype != wanted[name].dtype:
            types.append(f"{name} is {_type(tensor)} and not {_type(wanted[name])}")
    disagreeing = [
        " and ".join(present)
        for names in shared.values()
        if len(present := [name for name in names if name in given]) > 1
        and any(not torch.equal(given[present[0]], given[name]) for name in present[1:])
    ]
    return [
        *_listed("it lacks", missing),
        *_listed("the module has no", unexpected),
        *_listed("other shapes:", shapes),
        *_listed("other types:", types),
        *_listed("one tensor in the module and several in the file:", disagreeing),
    ]


def _memory(name: str, tensor: torch.Tensor) -> object:
    """Tell tensors apart by where their values lie; one without any stands for itself."""
    if is_lazy(tensor) or tensor.is_meta or tensor.numel() == 0 or tensor.layout != torch.strided:
        return name
    return tensor.data_ptr(), tuple(tensor.shape), tensor.stride(), tensor.dtype


def _listed(what: str, names: Sequence[str]) -> list[str]:
    if not names:
        return []
    more = f" and {len(names) - _MOST} more" if len(names) > _MOST else ""
    return [f"{what} {', '.join(names[:_MOST])}{more}"]


def _type(tensor: torch.Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def _conversion(path: Path) -> str:
    converted = path.with_suffix(".safetensors").name
    return (
        "a .safetensors file, which can hold nothing but tensors. Convert a state dict that torch "
        'saved with: python -c "import torch; from safetensors.torch import save_file; '
        "state = torch.load(" + repr(path.name) + ", weights_only=True); "
        "save_file({name: tensor.clone() for name, tensor in state.items()}, "
        f'{converted!r})"'
    )
