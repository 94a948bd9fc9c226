"""Who may import whom: the tables below are the rule, and the files are read to hold them to it.

A room is a folder of `edgekit` (`root` are the files beside them), or the package `exporters` as a
whole. An import inside a function counts like any other; one under `if TYPE_CHECKING` doesn't,
since it never runs. A module named as text for `importlib.import_module` counts too.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest

PROJECT = Path(__file__).parents[1]
PACKAGES = ("edgekit", "exporters")

# Every room may import root files and itself; beyond that, only what stands here.
_FACTS = ("package", "compiled", "providers", "runtime", "measure")
_WORK = ("graph", "data", *_FACTS)
ROOMS: dict[str, tuple[str, ...]] = {
    "root": (),
    "package": (),
    "compiled": ("package",),
    "graph": ("package",),
    "data": ("package", "runtime"),
    "providers": ("package",),
    "runtime": ("package", "compiled", "providers"),
    "measure": ("package", "compiled", "graph", "data", "providers", "runtime"),
    "optimize": _WORK,
    "quantize": _WORK,
    "tune": (*_WORK, "optimize", "quantize"),
    "generate": ("package", "runtime", "measure", "data"),
    "jobs": ("package", "runtime", "measure", "data"),
    "doctor": ("package", "providers"),
    "report": (*_WORK, "optimize", "quantize", "tune", "generate", "jobs", "doctor"),
    "cli": (
        *(*_WORK, "optimize", "quantize", "tune", "generate", "jobs", "doctor", "report"),
        "exporters",
    ),
    "exporters": (*_WORK, "optimize", "quantize", "tune", "generate", "jobs"),
}

# How a room may import a third party: at the top of a module, or only inside functions, so that
# importing the room costs nothing and works where the third party isn't installed.
How = Literal["anywhere", "in functions"]
ALL: How = "anywhere"
LATE: How = "in functions"
THIRD_PARTIES: dict[str, dict[str, How]] = {
    "msgspec": dict.fromkeys(ROOMS, ALL),
    "numpy": {**dict.fromkeys(ROOMS, ALL), "root": LATE, "providers": LATE, "cli": LATE},
    "onnxruntime": {
        "runtime": ALL,
        "optimize": ALL,
        "quantize": ALL,
        "providers": LATE,
        "doctor": LATE,
    },
    "onnx": dict.fromkeys(("graph", "optimize", "quantize", "exporters"), ALL),
    "onnx_ir": dict.fromkeys(("graph", "optimize", "quantize", "exporters"), ALL),
    "onnxscript": {"exporters": ALL},
    "torch": {"exporters": ALL},
    "mlxtend": {"exporters": ALL},
    "timm": {"exporters": LATE},
    "transformers": {"exporters": LATE},
    "huggingface_hub": {"exporters": LATE},  # comes with both
    "ml_dtypes": {"root": LATE, "runtime": LATE, "exporters": ALL},  # bfloat16, where installed
    "safetensors": {"package": LATE, "exporters": ALL},
    "psutil": {"measure": ALL},
    "pynvml": {"root": LATE},
    "click": {"cli": ALL},
    "rich": {"cli": ALL, "report": ALL},
    "platformdirs": {"root": LATE, "package": ALL, "runtime": ALL, "exporters": ALL},
    "filelock": dict.fromkeys(("package", "compiled", "runtime", "exporters"), ALL),
    "jinja2": {"report": ALL},
    "markupsafe": {"report": ALL},  # comes with jinja2
    "matplotlib": {"report": ALL},
    "pyarrow": {"data": ALL, "jobs": ALL},
    "tokenizers": {"generate": ALL},
    "model_signing": {"package": LATE},
}

# Single files that may do what their room may not.
EXCEPTIONS: dict[tuple[str, str], How] = {
    ("edgekit/__init__.py", "runtime"): LATE,  # `load` hands on to it
    ("edgekit/shown.py", "report"): LATE,  # a result shows itself in a notebook
    # They compute with arrays, and nothing light imports them.
    ("edgekit/intervals.py", "numpy"): ALL,
    ("edgekit/metrics.py", "numpy"): ALL,
    ("edgekit/paired.py", "numpy"): ALL,
}

# Words that say nothing about a thing, or mean another thing in this field.
NOT_IN_NAMES = frozenset(
    {"backend", "engine", "pipeline", "manager", "handler", "processor", "utils", "common"}
    | {"core", "base", "helpers", "fps", "auto", "smart"}
)


@dataclass(frozen=True)
class Import:
    """One import as it stands in a file: `name` is dotted and absolute."""

    name: str
    line: int
    in_function: bool


def rooms_of(tree: Path) -> Iterator[tuple[str, Path]]:
    """List every module of both packages under `tree` with its room."""
    for package in PACKAGES:
        for path in sorted((tree / package).rglob("*.py")):
            folders = path.relative_to(tree).parts[1:-1]
            yield (
                "exporters" if package == "exporters" else folders[0] if folders else "root",
                path,
            )


def imports_of(path: Path, tree: Path) -> list[Import]:
    """Read the imports of a module, those that only a type checker follows left out."""
    parts = path.relative_to(tree).parts[:-1]
    found: list[Import] = []

    def visit(node: ast.AST, in_function: bool) -> None:
        match node:
            case ast.If(test=ast.Name(id="TYPE_CHECKING") | ast.Attribute(attr="TYPE_CHECKING")):
                for otherwise in node.orelse:
                    visit(otherwise, in_function)
                return
            case ast.Import():
                names = [alias.name for alias in node.names]
            case ast.ImportFrom():
                stem = [*parts[: len(parts) + 1 - node.level]] if node.level else []
                module = ".".join([*stem, *([node.module] if node.module else [])])
                # `from edgekit import runtime` names a room, `from edgekit import load` doesn't:
                # the longer name is right in both cases, since a room is looked for in it.
                names = [f"{module}.{alias.name}" for alias in node.names]
            case ast.Call(
                func=ast.Attribute(attr="import_module")
                | ast.Name(id="import_module" | "__import__"),
                args=[ast.Constant(value=str(module)), *_],
            ):
                names = [module]
            case ast.Call(
                func=ast.Attribute(attr="import_module")
                | ast.Name(id="import_module" | "__import__"),
                args=[ast.JoinedStr(values=[ast.Constant(value=str(start)), *_]), *_],
            ):
                names = [start.rstrip(".")]
            case _:
                names = []
        found.extend(Import(name, getattr(node, "lineno", 0), in_function) for name in names)
        inside = in_function or isinstance(
            node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
        )
        for child in ast.iter_child_nodes(node):
            visit(child, inside)

    visit(ast.parse(path.read_text(encoding="utf-8")), False)
    return found


def room_named(name: str, tree: Path) -> str:
    """Say which room a dotted name of ours lies in."""
    first, *rest = name.split(".")
    if first == "exporters":
        return "exporters"
    return rest[0] if rest and (tree / "edgekit" / rest[0]).is_dir() else "root"


def violations(tree: Path) -> list[str]:
    """Hold every import under `tree` to the tables, and say which break them."""
    broken: list[str] = []
    for room, path in rooms_of(tree):
        file = path.relative_to(tree).as_posix()
        if room not in ROOMS:
            broken.append(f"{file}: the room {room!r} is not in the table")
            continue
        for found in imports_of(path, tree):
            top = found.name.split(".")[0]
            if top in sys.stdlib_module_names:
                continue
            if top in PACKAGES:
                target = room_named(found.name, tree)
                how = ALL if target in ("root", room, *ROOMS[room]) else None
                if room == "cli" and target not in ("root", "cli"):
                    how = LATE  # a command's body is where the rest is imported
            else:
                target = top
                how = THIRD_PARTIES.get(top, {}).get(room)
            how = EXCEPTIONS.get((file, target), how)
            if how is None:
                broken.append(f"{file}:{found.line}: {room} may not import {found.name}")
            elif how == LATE and not found.in_function:
                broken.append(f"{file}:{found.line}: {room} imports {found.name} in functions only")
    return broken


def test_imports_keep_to_the_rooms() -> None:
    assert violations(PROJECT) == []


def test_rooms_are_found() -> None:
    found = {room for room, _ in rooms_of(PROJECT)}
    assert found >= {"root", "package", "providers", "runtime", "measure", "exporters"}


@pytest.mark.parametrize(
    ("file", "code", "complaint"),
    [
        ("edgekit/package/a.py", "import torch", "package may not import torch"),
        (
            "edgekit/package/a.py",
            "def f():\n    import torch.nn",
            "package may not import torch.nn",
        ),
        ("edgekit/graph/a.py", "from edgekit import runtime", "graph may not import"),
        ("edgekit/graph/a.py", "from ..runtime import model", "graph may not import"),
        ("edgekit/graph/a.py", "from .. import runtime", "graph may not import"),
        ("edgekit/runtime/a.py", "from edgekit.cli import main", "runtime may not import"),
        ("edgekit/measure/a.py", "def f():\n    import exporters.original", "may not import"),
        ("edgekit/measure/a.py", "import requests", "measure may not import requests"),
        ("edgekit/errors.py", "def f():\n    import edgekit.runtime", "root may not import"),
        ("edgekit/errors.py", "import numpy as np", "in functions only"),
        ("edgekit/doctor/a.py", "import onnxruntime", "in functions only"),
        ("edgekit/cli/a.py", "from edgekit.measure import x", "in functions only"),
        ("edgekit/cli/a.py", "try:\n    import torch\nexcept ImportError: ...", "may not import"),
        ("edgekit/jobs/a.py", "import importlib\nimportlib.import_module('torch')", "may not"),
        ("edgekit/jobs/a.py", "m = 1\n__import__(f'exporters.{m}')", "jobs may not import"),
        ("edgekit/rumours/a.py", "", "the room 'rumours' is not in the table"),
        ("exporters/models/a.py", "from edgekit.cli import main", "exporters may not import"),
    ],
)
def test_a_planted_violation_is_found(file: str, code: str, complaint: str, tmp_path: Path) -> None:
    (tmp_path / "edgekit/runtime").mkdir(parents=True)
    (tmp_path / "edgekit/cli").mkdir()
    (tmp_path / "edgekit/measure").mkdir()
    (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / file).write_text(code)
    assert len(broken := violations(tmp_path)) == 1
    assert complaint in broken[0]


@pytest.mark.parametrize(
    ("file", "code"),
    [
        ("edgekit/package/a.py", "from edgekit.errors import NotFound\nimport os.path"),
        ("edgekit/runtime/a.py", "import onnxruntime\nfrom edgekit.package import values"),
        ("edgekit/doctor/a.py", "def f():\n    import onnxruntime"),
        (
            "edgekit/graph/a.py",
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import torch",
        ),
        ("edgekit/cli/a.py", "import click\ndef f():\n    import exporters"),
        ("exporters/a.py", "import torch\nfrom edgekit.runtime import load"),
    ],
)
def test_a_right_import_passes(file: str, code: str, tmp_path: Path) -> None:
    (tmp_path / "edgekit/runtime").mkdir(parents=True)
    (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / file).write_text(code)
    assert violations(tmp_path) == []


def test_import_edgekit_loads_nothing_heavy(fresh_python: Callable[[str], str]) -> None:
    heavy = ["torch", "onnx", "onnxruntime", "numpy", "click", "rich", "safetensors"]
    loaded = fresh_python("import edgekit, sys; print(*sorted(sys.modules))").split()
    assert "edgekit" in loaded
    assert [name for name in heavy if name in loaded] == []


def test_terms_and_errors_load_only_the_standard_library(
    fresh_python: Callable[[str], str],
) -> None:
    before = "import sys; before = set(sys.modules); import edgekit.terms, edgekit.errors; "
    loaded = fresh_python(before + "print(*sorted(set(sys.modules) - before))").split()
    assert "edgekit.errors" in loaded
    tops = {name.split(".")[0] for name in loaded}
    assert tops - sys.stdlib_module_names == {"edgekit"}


def test_names_avoid_the_words_that_say_nothing() -> None:
    found: list[str] = []
    for _, path in rooms_of(PROJECT):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        names = [
            node.name
            for node in ast.walk(tree)
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        ]
        file = path.relative_to(PROJECT).as_posix()
        for name in (path.stem, path.parent.name, *names):
            if NOT_IN_NAMES & set(words_of(name)):
                found.append(f"{file}: {name}")
    assert found == []


def words_of(name: str) -> list[str]:
    """Split a name at its underscores and capitals: `HandlerOf_it` is handler, of, it."""
    spaced = "".join(f" {letter.lower()}" if letter.isupper() else letter for letter in name)
    return spaced.replace("_", " ").split()


def test_words_of_a_name_are_told_apart() -> None:
    assert words_of("BaseModel") == ["base", "model"]
    assert words_of("find_utils") == ["find", "utils"]
    assert not NOT_IN_NAMES & set(words_of("usable_cores"))
