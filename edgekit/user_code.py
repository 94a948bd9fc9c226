"""Running what others wrote: whatever it raises becomes one sentence, with the line that did it."""

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

from edgekit.blame import users_line
from edgekit.errors import BadValue, EdgekitError, FactoryFailed, NotFound, UnknownName, UsageError

_LONGEST = 600
"""Characters of a user's exception that fit into a sentence."""
_MODULE = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*")


def run_user_code(run: Callable[[], Any], *, target: str, made: str = "used") -> Any:
    """Run code of the user's and turn whatever it raises into one sentence.

    Args:
        run: calls it.
        target: what to call it in errors.
        made: what can't be done with what it made, where it used edgekit's parts in a way that
            can't be meant: "exported".

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
            problem=f"made what can't be {made}: {str(error).rstrip('.')}",
            where=users_line(error),
        ) from error
    except EdgekitError:
        raise
    except SystemExit as error:
        raise FactoryFailed(
            target=target, problem=f"called exit({error.code!r})", where=users_line(error)
        ) from error
    except Exception as error:
        problem = f"raised {type(error).__name__}: {in_one_line(error)}"
        raise FactoryFailed(target=target, problem=problem, where=users_line(error)) from error


def in_one_line(error: BaseException) -> str:
    """Return what an exception says as one line that fits into a sentence."""
    return " ".join(str(error).split())[:_LONGEST]


@contextlib.contextmanager
def imported(target: str, folder: Path, *, what: str, forms: str) -> Iterator[ModuleType]:
    """Import the module of `file.py:factory` or `package.module:factory`.

    While the body runs its neighbours can be imported before anything of the same name, as when
    Python runs a file; for a module by name, what lies in `folder`, as for `python -m`.

    Args:
        target: the text, of either form.
        folder: where relative paths start.
        what: what the text is, for errors: "TARGET".
        forms: which forms it may have, for errors.

    Raises:
        NotFound: no such file.
        BadValue: no such module, or the text can't name one.
        FactoryFailed: importing it raises.
    """
    name = target.rpartition(":")[0]
    if name.endswith(".py"):
        path = folder / name
        if not path.is_file():
            raise NotFound(path=str(path), expected="the Python file of a factory")
        free = _free_name(path)
        with _first_on_path(path.parent):
            yield run_user_code(lambda: _import_file(path, free), target=target)
        return
    if not _MODULE.fullmatch(name):
        raise BadValue(what=what, asked=target, expected=forms)
    with _first_on_path(folder):
        yield _import_named(name, target, folder, what)


def factory_in(module: ModuleType, target: str) -> Callable[..., Any]:
    """Find the factory that a text names, in its module.

    Raises:
        UnknownName: there is none of that name.
    """
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


def _import_named(name: str, target: str, folder: Path, what: str) -> ModuleType:
    try:
        module: ModuleType = run_user_code(lambda: importlib.import_module(name), target=target)
    except FactoryFailed as error:
        cause = error.__cause__
        missing = cause.name if isinstance(cause, ModuleNotFoundError) else None
        if missing is None or not f"{name}.".startswith(f"{missing}."):
            raise  # one that the module itself wanted
        raise BadValue(
            what=what,
            asked=target,
            expected=f"a module that Python can import in {folder}, and there is no {missing!r}",
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
