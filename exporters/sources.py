"""What a TARGET names, made into a module with example inputs.

Runs the user's code, so it belongs in a worker.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.util
import inspect
import re
import sys
import typing
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import ModuleType, NoneType
from typing import Any

import msgspec
import torch

from edgekit.errors import BadValue, EdgekitError, FactoryFailed, NotFound, UnknownName, UsageError
from exporters import models
from exporters.blame import users_line
from exporters.exportable import Exportable
from exporters.requests import TargetRequest
from exporters.seeds import seed_everything

_RETURNS = (
    "a module and its example inputs (a tuple, or a dict of keyword arguments), or an "
    "exporters.exportable.Exportable"
)
_LONGEST = 600
"""Characters of a user's exception that fit into a sentence."""
_KEYWORD = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
_NO_NAME = re.compile(r"[^A-Za-z0-9._-]+|^[._-]+")


def build(request: TargetRequest) -> Exportable:
    """Call the factory that a TARGET names, under a fixed seed.

    Raises:
        UnknownName: no such reference model, factory or parameter.
        NotFound: no such file.
        BadValue: a TARGET of no known form, or a parameter that is missing or of another type.
        FactoryFailed: the user's code raised, called exit, or returned what can't be exported.
    """
    path = _file_of(request)
    if path is None:
        # Ours: what goes wrong in it is no fault of a user's code.
        factory = models.find(request.target)
        typed = typed_parameters(factory, request.parameters, target=request.target)
        seed_everything(request.seed)
        return _named(factory(**typed), request.target)
    target, name = request.target, _free_name(path)
    with _first_on_path(path.parent):
        module = run_user_code(lambda: _import_file(path, name), target=target)
        made_by = _factory_in(module, target)
        typed = typed_parameters(made_by, request.parameters, target=target)
        seed_everything(request.seed)
        returned = run_user_code(lambda: made_by(**typed), target=target)
        exportable = run_user_code(lambda: as_exportable(returned, target=target), target=target)
    return _named(exportable, path.stem)


def typed_parameters(
    factory: Callable[..., Any], given: Mapping[str, str], *, target: str
) -> dict[str, Any]:
    """Give each `-p NAME=VALUE` the type that the factory's signature declares.

    Without an annotation the default's type is taken, and text without a default. "None" is None
    where the type allows it. What `**kwargs` would take stays text.

    Raises:
        UnknownName, BadValue: a parameter that the factory lacks, needs, or can't take so.
        FactoryFailed: its signature can't be read.
    """
    signature = _signature(factory, target)
    declared = {name: p for name, p in signature.parameters.items() if p.kind in _KEYWORD}
    takes_any = any(p.kind is p.VAR_KEYWORD for p in signature.parameters.values())
    typed: dict[str, Any] = {}
    for name, text in given.items():
        if name in declared:
            typed[name] = _typed(text, declared[name], target)
        elif takes_any:
            typed[name] = text
        else:
            raise UnknownName(
                kind="parameter", of=f"of {target}", asked=name, available=list(declared)
            )
    for name, parameter in declared.items():
        if parameter.default is parameter.empty and name not in typed:
            raise BadValue(
                what=f"the parameter {name} of {target}", asked="left out", expected=f"-p {name}=…"
            )
    return typed


def as_exportable(returned: Any, *, target: str) -> Exportable:
    """Accept what a factory may return.

    Raises:
        FactoryFailed: it is something else.
        UsageError: the module and its example don't fit each other.
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
        target=target, problem=f"returned {_in_words(returned)}; expected {_RETURNS}"
    )


def run_user_code(run: Callable[[], Any], *, target: str) -> Any:
    """Run code of the user's and turn whatever it raises into one sentence.

    Raises:
        FactoryFailed: with the line of the user's code where it happened.
        EdgekitError: what edgekit raised inside (a missing extra, say), as it was.
    """
    try:
        return run()
    except UsageError as error:
        # Of edgekit's parts, used in a way that can't be meant; the user of the factory is not
        # the one who can mend that.
        raise FactoryFailed(
            target=target,
            problem=f"made what can't be exported: {str(error).rstrip('.')}",
            where=users_line(error),
        ) from error
    except EdgekitError:
        raise
    except SystemExit as error:
        raise FactoryFailed(
            target=target, problem=f"called exit({error.code!r})", where=users_line(error)
        ) from error
    except Exception as error:
        said = " ".join(str(error).split())[:_LONGEST]
        problem = f"raised {type(error).__name__}: {said}"
        raise FactoryFailed(target=target, problem=problem, where=users_line(error)) from error


def _file_of(request: TargetRequest) -> Path | None:
    """Return the file of a `file.py:factory`; None where the TARGET is a reference model."""
    target = request.target
    path_text, colon, _ = target.rpartition(":")
    if colon and path_text.endswith(".py"):
        path = Path(request.folder) / path_text
        if not path.is_file():
            raise NotFound(path=str(path), expected="the Python file of a factory")
        return path
    if target.endswith(".py"):
        raise BadValue(what="TARGET", asked=target, expected=f"a factory in it: {target}:NAME")
    if colon:
        raise BadValue(
            what="TARGET", asked=target, expected="a reference model, file.py:factory or an .onnx"
        )
    return None


def _named(exportable: Exportable, label: str) -> Exportable:
    if exportable.name is not None:
        return exportable
    return dataclasses.replace(exportable, name=_NO_NAME.sub("-", label).lstrip("._-") or "model")


def _signature(factory: Callable[..., Any], target: str) -> inspect.Signature:
    with contextlib.suppress(Exception):  # whatever evaluating the annotations raises
        return inspect.signature(factory, eval_str=True)
    try:
        return inspect.signature(factory)
    except (TypeError, ValueError) as error:
        raise FactoryFailed(target=target, problem="has no signature that can be read") from error


def _typed(text: str, parameter: inspect.Parameter, target: str) -> Any:
    kind = parameter.annotation
    if kind is parameter.empty or isinstance(kind, str):
        default = parameter.default
        kind = str if default is parameter.empty or default is None else type(default)
    if text == "None" and NoneType in typing.get_args(kind):
        return None
    if kind is Path:
        return Path(text)
    in_words = inspect.formatannotation(kind)
    try:
        return msgspec.convert(text, kind, strict=False)
    except (msgspec.ValidationError, TypeError) as error:
        raise BadValue(
            what=f"the parameter {parameter.name} of {target}", asked=repr(text), expected=in_words
        ) from error


def _in_words(returned: Any) -> str:
    if isinstance(returned, tuple):
        return f"({', '.join(type(member).__name__ for member in returned)})"
    return type(returned).__name__


@contextlib.contextmanager
def _first_on_path(folder: Path) -> Iterator[None]:
    """Let the file's neighbours be imported, as when Python runs a file.

    Afterwards they come last: a module may still import one when it is called, and one that is
    named like an installed package can't come before that where torch imports it later.
    """
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):  # the file took it out itself
            sys.path.remove(str(folder))
        sys.path.append(str(folder))


def _import_file(path: Path, name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Its classes must be found by name: dataclasses and pickle look there.
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def _free_name(path: Path) -> str:
    """Name the file's module after it, unless that would take another module's place."""
    name = path.stem.replace(".", "_")
    while _is_anothers(name, path):
        name += "_"
    return name


def _is_anothers(name: str, path: Path) -> bool:
    if name in sys.modules:
        file = getattr(sys.modules[name], "__file__", None)
    else:
        spec = importlib.util.find_spec(name)
        if spec is None:
            return False
        file = spec.origin
    return file is None or Path(file).resolve() != path.resolve()


def _factory_in(module: ModuleType, target: str) -> Callable[..., Any]:
    path_text, _, name = target.rpartition(":")
    factory: Callable[..., Any] | None = getattr(module, name, None)
    if not callable(factory):
        own = [
            key
            for key, value in vars(module).items()
            if inspect.isfunction(value)
            and value.__module__ == module.__name__
            and not key.startswith("_")
        ]
        raise UnknownName(kind="factory", of=f"in {path_text}", asked=name, available=own)
    return factory
