"""What a TARGET names, made into a module with example inputs.

Runs the user's code, so it belongs in a worker.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import inspect
import linecache
import random
import sys
import traceback
import typing
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
import numpy as np
import torch

from edgekit.errors import BadValue, EdgekitError, FactoryFailed, NotFound, UnknownName
from exporters import models
from exporters.exportable import Exportable
from exporters.requests import TargetRequest

_RETURNS = (
    "a module and its example inputs (a tuple, or a dict of keyword arguments), or an "
    "exporters.Exportable"
)


def build(request: TargetRequest) -> tuple[Exportable, dict[str, str]]:
    """Call the factory that a TARGET names, under a fixed seed.

    Returns the model to export and the factory's parameters as they were used, as text.

    Raises:
        UnknownName: no such reference model, factory or parameter.
        NotFound: no such file.
        BadValue: a parameter that is missing or of another type.
        FactoryFailed: the user's code raised, called exit, or returned something else.
    """
    factory, label = find(request)
    parameters = typed_parameters(factory, request.parameters, target=request.target)
    seed_everything(request.seed)
    returned = run_user_code(lambda: factory(**parameters), target=request.target)
    exportable = as_exportable(returned, target=request.target)
    if exportable.name is None:
        exportable = dataclasses.replace(exportable, name=label)
    return exportable, {name: str(value) for name, value in parameters.items()}


def find(request: TargetRequest) -> tuple[Callable[..., Any], str]:
    """Find the factory that a TARGET names, and a label for what it makes."""
    target = request.target
    path_text, colon, name = target.rpartition(":")
    if colon and path_text.endswith(".py"):
        path = Path(request.folder) / path_text
        if not path.is_file():
            raise NotFound(path=str(path), expected="the Python file of a factory")
        module = run_user_code(lambda: _import_file(path), target=target)
        return _factory_in(module, name, target), path.stem
    if target.endswith(".py"):
        raise BadValue(what="TARGET", asked=target, expected=f"a factory in it: {target}:NAME")
    if colon:
        raise BadValue(
            what="TARGET", asked=target, expected="a reference model, file.py:factory or an .onnx"
        )
    return models.find(target), target


def typed_parameters(
    factory: Callable[..., Any], given: Mapping[str, str], *, target: str
) -> dict[str, Any]:
    """Give each `-p NAME=VALUE` the type that the factory's signature declares.

    Without an annotation the default's type is taken, and text without a default.

    Raises:
        UnknownName, BadValue: a parameter that the factory lacks, needs, or can't take so.
    """
    signature = inspect.signature(factory)
    hints = typing.get_type_hints(factory)
    names = list(signature.parameters)
    typed: dict[str, Any] = {}
    for name, text in given.items():
        if name not in signature.parameters:
            raise UnknownName(kind=f"parameter of {target}", asked=name, available=names)
        default = signature.parameters[name].default
        known = default is not inspect.Parameter.empty and default is not None
        kind = hints.get(name, type(default) if known else str)
        try:
            typed[name] = msgspec.convert(text, kind, strict=False)
        except msgspec.ValidationError as error:
            raise BadValue(
                what=f"the parameter {name} of {target}", asked=repr(text), expected=str(error)
            ) from error
    for name, parameter in signature.parameters.items():
        if parameter.default is inspect.Parameter.empty and name not in typed:
            raise BadValue(
                what=f"the parameter {name} of {target}", asked="left out", expected=f"-p {name}=…"
            )
    return typed


def seed_everything(seed: int) -> None:
    """Seed Python's, numpy's and torch's generators: a factory makes the same model again."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def as_exportable(returned: Any, *, target: str) -> Exportable:
    """Accept what a factory may return.

    Raises:
        FactoryFailed: it is something else.
    """
    if isinstance(returned, Exportable):
        return returned
    if isinstance(returned, tuple) and len(returned) == 2:
        module, example = returned
        if isinstance(module, torch.nn.Module) and isinstance(example, torch.Tensor):
            example = (example,)
        if isinstance(module, torch.nn.Module) and isinstance(example, tuple | dict):
            return Exportable(module, example)
    raise FactoryFailed(
        target=target, problem=f"returned {type(returned).__name__}; expected {_RETURNS}"
    )


def run_user_code(run: Callable[[], Any], *, target: str) -> Any:
    """Run code of the user's and turn whatever it raises into one sentence.

    Raises:
        FactoryFailed: with the line of the user's code where it happened.
    """
    try:
        return run()
    except EdgekitError:
        raise
    except SystemExit as error:
        raise FactoryFailed(
            target=target, problem=f"called exit({error.code!r})", where=_where(error)
        ) from error
    except Exception as error:
        problem = f"raised {type(error).__name__}: {' '.join(str(error).split())}"
        raise FactoryFailed(target=target, problem=problem, where=_where(error)) from error


def _where(error: BaseException) -> str:
    """Name the innermost line that isn't inside an installed package."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}:{error.lineno}"
    frames = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if "site-packages" not in f.filename and f.filename != __file__]
    linecache.checkcache()
    return f"{own[-1].filename}:{own[-1].lineno}" if own else ""


def _import_file(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise BadValue(what="TARGET", asked=str(path), expected="a Python file")
    module = importlib.util.module_from_spec(spec)
    # As when Python runs a file: its neighbours can be imported, and its classes found by name.
    sys.path.insert(0, str(path.parent))
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


def _factory_in(module: ModuleType, name: str, target: str) -> Callable[..., Any]:
    factory: Callable[..., Any] | None = getattr(module, name, None)
    if not callable(factory):
        own = [
            key
            for key, value in vars(module).items()
            if inspect.isfunction(value) and value.__module__ == module.__name__
        ]
        raise UnknownName(kind=f"factory in {target.rpartition(':')[0]}", asked=name, available=own)
    return factory
