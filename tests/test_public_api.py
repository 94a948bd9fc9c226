"""What others may rest on: the names of `edgekit`, and how every public function may be called."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import edgekit
from edgekit import errors, workers

PROJECT = Path(__file__).parents[1]

# Adding a name here is a promise: it goes into README.md and CHANGELOG.md as well.
PUBLIC = {"EdgekitError", "__version__", "load"}

# This many arguments may be given without their names: by a user, and between our own rooms.
BY_USERS, BETWEEN_ROOMS = 2, 3

# Functions that take more, each with its reason.
MORE_POSITIONAL = {
    "exporters/pytorch.py:export": "module, example inputs, output: the order of torch.onnx.export",
    "exporters/strategies/decompositions.py:attention": "the order of torch's operator",
    "exporters/strategies/decompositions.py:subtracted_from": "the order of torch's operator",
}


@dataclass(frozen=True)
class Definition:
    """A public class or function: `where` is file:name or file:Class.name."""

    where: str
    node: ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    is_method: bool

    @property
    def file(self) -> str:
        return self.where.split(":")[0]


def public_definitions(path: Path, tree: Path) -> Iterator[Definition]:
    """List a module's public classes and functions, and the public methods of those classes."""
    file = path.relative_to(tree).as_posix()
    definitions = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, definitions) and not node.name.startswith("_"):
            yield Definition(f"{file}:{node.name}", node, False)
            if isinstance(node, ast.ClassDef):
                for inner in node.body:
                    if isinstance(inner, definitions) and not inner.name.startswith("_"):
                        yield Definition(f"{file}:{node.name}.{inner.name}", inner, True)


def everything_public() -> list[Definition]:
    return [
        found
        for package in ("edgekit", "exporters")
        for path in sorted((PROJECT / package).rglob("*.py"))
        for found in public_definitions(path, PROJECT)
    ]


def without_docstring(found: list[Definition]) -> list[str]:
    # A method may be clear from its class; an error has its line in the tree of its module.
    return [
        one.where
        for one in found
        if not one.is_method
        and ast.get_docstring(one.node) is None
        and not (one.file == "edgekit/errors.py" and isinstance(one.node, ast.ClassDef))
    ]


def callables(found: list[Definition]) -> Iterator[tuple[Definition, ast.arguments]]:
    for one in found:
        if not isinstance(one.node, ast.ClassDef):
            yield one, one.node.args


def with_open_keywords(found: list[Definition]) -> list[str]:
    return [
        one.where
        for one, arguments in callables(found)
        # A module around another hands on whatever that one's author takes.
        if arguments.kwarg and not (one.is_method and one.node.name == "forward")
    ]


def handed_on(tree: Path) -> set[str]:
    """List what the two packages' own `__init__` offers a user, as file:name."""
    offered: set[str] = set()
    for package in ("edgekit", "exporters"):
        init = tree / package / "__init__.py"
        for node in ast.parse(init.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef):
                offered.add(f"{package}/__init__.py:{node.name}")
            elif isinstance(node, ast.ImportFrom) and node.module:
                file = f"{node.module.replace('.', '/')}.py"
                offered.update(f"{file}:{alias.name}" for alias in node.names)
    return offered


def with_many_positional(found: list[Definition], offered: set[str]) -> list[str]:
    # A worker is sent its arguments as a list: the functions that it may call take any number.
    called = {f"{name.replace('.', '/').replace(':', '.py:')}" for name in workers.FUNCTIONS}
    broken: list[str] = []
    for one, arguments in callables(found):
        decorators = [ast.unparse(decorator) for decorator in one.node.decorator_list]
        # click calls a command by its parameters' names; torch calls `forward` as the module's
        # author wrote it.
        if any("command" in decorator or "click" in decorator for decorator in decorators):
            continue
        if one.where in called or (one.is_method and one.node.name == "forward"):
            continue
        names = [argument.arg for argument in (*arguments.posonlyargs, *arguments.args)]
        if one.is_method and "staticmethod" not in decorators:
            names = names[1:]
        limit = BY_USERS if one.is_method or one.where in offered else BETWEEN_ROOMS
        if len(names) > limit and one.where not in MORE_POSITIONAL:
            broken.append(f"{one.where}({', '.join(names)})")
    return broken


def with_optional_positional(found: list[Definition]) -> list[str]:
    """Find functions with a third argument that may be left out and needs no name."""
    return [
        one.where
        for one, arguments in callables(found)
        if arguments.defaults
        and one.where not in MORE_POSITIONAL
        and not (one.is_method and one.node.name == "forward")
        and len(arguments.posonlyargs) + len(arguments.args) - one.is_method > BY_USERS
    ]


def test_edgekit_has_the_documented_names_and_no_others() -> None:
    assert set(edgekit.__all__) == PUBLIC
    assert all(hasattr(edgekit, name) for name in PUBLIC)
    seen = {name for name, value in vars(edgekit).items() if not inspect.ismodule(value)}
    assert {name for name in seen if not name.startswith("_")} <= PUBLIC | {
        "TYPE_CHECKING",
        "annotations",
    }


def test_every_public_thing_has_a_docstring() -> None:
    assert without_docstring(everything_public()) == []


def test_every_error_has_its_line_in_the_tree() -> None:
    words = (errors.__doc__ or "").split()
    classes = [
        name
        for name, value in vars(errors).items()
        if inspect.isclass(value) and issubclass(value, errors.EdgekitError)
    ]
    assert len(classes) > 10
    assert [name for name in classes if name not in words] == []


def test_no_public_function_takes_any_keyword() -> None:
    assert with_open_keywords(everything_public()) == []


def test_public_functions_take_few_arguments_by_position() -> None:
    offered = handed_on(PROJECT)
    assert "edgekit/__init__.py:load" in offered
    assert with_many_positional(everything_public(), offered) == []


def test_an_optional_argument_after_the_second_needs_its_name() -> None:
    assert with_optional_positional(everything_public()) == []


def test_exceptions_are_still_needed() -> None:
    names = {one.where for one in everything_public()}
    assert set(MORE_POSITIONAL) <= names


@pytest.mark.parametrize(
    ("code", "breaches"),
    [
        ("def f(a, b, *, c): ...", ["docstring"]),
        ("class A: ...", ["docstring"]),
        ('def f(a, b, c):\n    "Do."', ["positional"]),
        ('def f(a, b, c=1):\n    "Do."', ["positional", "optional"]),
        ('def f(a, b=1, *, c=2):\n    "Do."', []),
        ('def g(a, b, c):\n    "Do."', []),
        ('def g(a, b, c, d):\n    "Do."', ["positional"]),
        ('def f(a, **others):\n    "Do."', ["keywords"]),
        ("def _f(a, b, c, **d): ...", []),
        ('class A:\n    "Is."\n    def f(self, a, b, c): ...', ["positional"]),
        ('class A:\n    "Is."\n    def f(self, a, b): ...', []),
        ('class A:\n    "Is."\n    @staticmethod\n    def f(a, b, c): ...', ["positional"]),
        ('class A:\n    "Is."\n    def forward(self, a, b, c): ...', []),
        ('@click.command()\ndef f(a, b, c):\n    "Do."', []),
    ],
)
def test_a_planted_breach_is_found(code: str, breaches: list[str], tmp_path: Path) -> None:
    path = tmp_path / "a.py"
    path.write_text(code)
    found = list(public_definitions(path, tmp_path))
    seen = {
        "docstring": without_docstring(found),
        "keywords": with_open_keywords(found),
        "positional": with_many_positional(found, {"a.py:f"}),
        "optional": with_optional_positional(found),
    }
    assert [name for name, broken in seen.items() if broken] == breaches
