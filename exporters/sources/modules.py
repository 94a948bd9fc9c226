"""A factory in the user's own code: `file.py:factory` and `package.module:factory`."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import inspect
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from edgekit.errors import BadValue, FactoryFailed, NotFound, UnknownName
from exporters.exportable import Exportable
from exporters.requests import TargetRequest
from exporters.seeds import seed_everything
from exporters.sources.parameters import typed_parameters
from exporters.sources.user_code import as_exportable, run_user_code

_MODULE = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*")


def from_file(request: TargetRequest) -> tuple[Exportable, str]:
    """Run a file and call the factory in it; return what it made, and a name for it.

    The file's neighbours can be imported, as when Python runs a file.

    Raises:
        NotFound: no such file.
        UnknownName, BadValue, FactoryFailed: as in `exporters.sources.build`.
    """
    path = Path(request.folder) / request.target.rpartition(":")[0]
    if not path.is_file():
        raise NotFound(path=str(path), expected="the Python file of a factory")
    name = _free_name(path)
    with _first_on_path(path.parent):
        module = run_user_code(lambda: _import_file(path, name), target=request.target)
        return _made(module, request), path.stem


def from_module(request: TargetRequest) -> tuple[Exportable, str]:
    """Import a module and call the factory in it; return what it made, and a name for it.

    The asked folder comes first on `sys.path`, as the current one does for `python -m`.

    Raises:
        BadValue: there is no such module.
        UnknownName, BadValue, FactoryFailed: as in `exporters.sources.build`.
    """
    name = request.target.rpartition(":")[0]
    if not _MODULE.fullmatch(name):
        raise BadValue(
            what="TARGET",
            asked=request.target,
            expected="package.module:factory, file.py:factory, a reference model, timm:NAME, "
            "hf:FOLDER, a .pt2 or an .onnx",
        )
    with _first_on_path(Path(request.folder)):
        module = _import_named(name, request)
        return _made(module, request), name.rpartition(".")[2]


def _made(module: ModuleType, request: TargetRequest) -> Exportable:
    factory = _factory_in(module, request.target)
    typed = typed_parameters(factory, request.parameters, target=request.target)
    seed_everything(request.seed)
    returned = run_user_code(lambda: factory(**typed), target=request.target)
    exportable: Exportable = run_user_code(
        lambda: as_exportable(returned, target=request.target), target=request.target
    )
    return exportable


@contextlib.contextmanager
def _first_on_path(folder: Path) -> Iterator[None]:
    """Let what lies in a folder be imported before anything of the same name.

    Afterwards the folder comes last: a module may still import one when it is called, and one that
    is named like an installed package can't come before that where torch imports it later.
    """
    sys.path.insert(0, str(folder))
    # What was written since this folder was last looked at would else not be found.
    importlib.invalidate_caches()
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):  # the file took it out itself
            sys.path.remove(str(folder))
        sys.path.append(str(folder))


def _import_named(name: str, request: TargetRequest) -> ModuleType:
    try:
        module: ModuleType = run_user_code(
            lambda: importlib.import_module(name), target=request.target
        )
    except FactoryFailed as error:
        cause = error.__cause__
        missing = cause.name if isinstance(cause, ModuleNotFoundError) else None
        if missing is None or not f"{name}.".startswith(f"{missing}."):
            raise  # one that the module itself wanted
        raise BadValue(
            what="TARGET",
            asked=request.target,
            expected=f"a module that Python can import in {request.folder}, and there is no "
            f"{missing!r}",
        ) from cause
    return module


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
