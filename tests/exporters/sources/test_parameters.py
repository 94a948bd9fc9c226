from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from edgekit.errors import BadValue, UnknownName
from exporters import sources
from exporters.requests import TargetRequest
from exporters.sources.parameters import as_written

RequestFor = Callable[..., TargetRequest]
WriteFile = Callable[..., Path]

TYPED = """
    from __future__ import annotations
    from pathlib import Path
    from typing import TYPE_CHECKING, Literal, Optional

    def make(width: int, rate: float = 0.5, deep: bool = False, cell: Literal["tanh", "lstm"] =
             "tanh", size: Optional[int] = 3, note: str | None = "n", plain=4, text="t",
             unknown=None, file: Path = Path("w.pt")):
        pass
"""


@pytest.fixture
def typed(write_file: WriteFile, request_for: RequestFor) -> Callable[..., dict[str, Any]]:
    namespace: dict[str, Any] = {}
    path = write_file(TYPED)
    exec(compile(path.read_text(), path, "exec"), namespace)

    def run(**given: str) -> dict[str, Any]:
        return sources.typed_parameters(namespace["make"], given, target="net.py:make")

    return run


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("width", "64", 64),
        ("rate", "1e-3", 1e-3),
        ("rate", "1", 1.0),
        ("deep", "true", True),
        ("deep", "False", False),
        ("deep", "1", True),
        ("cell", "lstm", "lstm"),
        ("size", "7", 7),
        ("size", "None", None),
        ("note", "None", None),
        ("note", "3", "3"),
        ("plain", "5", 5),
        ("text", "5", "5"),
        ("unknown", "5", "5"),
        ("file", "a/b.pt", Path("a/b.pt")),
    ],
)
def test_parameters_take_the_type_of_annotation_or_default(
    name: str, text: str, value: Any, typed: Callable[..., dict[str, Any]]
) -> None:
    got = typed(**{"width": "1", name: text})[name]
    assert got == value
    assert type(got) is type(value)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"width": "wide"}, "the parameter width of net.py:make cannot be 'wide': expected int"),
        ({"width": "1.5"}, "cannot be '1.5': expected int"),
        ({"deep": "perhaps"}, "cannot be 'perhaps': expected bool"),
        ({"cell": "gru"}, r"cannot be 'gru': expected tanh, lstm"),
        ({"plain": "x"}, "the parameter plain of net.py:make cannot be 'x': expected int"),
        ({}, "the parameter width of net.py:make cannot be left out: expected -p width=…"),
    ],
)
def test_a_value_that_a_parameter_cannot_take_is_refused(
    given: dict[str, str], sentence: str, typed: Callable[..., dict[str, Any]]
) -> None:
    with pytest.raises(BadValue, match=sentence) as caught:
        typed(**({"width": "1"} if given else {}) | given)
    assert caught.value.exit_code == 2


def test_a_parameter_that_is_not_there_names_those_that_are(
    typed: Callable[..., dict[str, Any]],
) -> None:
    with pytest.raises(UnknownName, match=r"'widht' of net\.py:make; there is: width"):
        typed(width="1", widht="2")


def test_what_takes_any_keyword_gets_text() -> None:
    def make(width: int = 1, *args: int, **more: Any) -> None: ...

    got = sources.typed_parameters(make, {"width": "2", "depth": "3"}, target="t")
    assert got == {"width": 2, "depth": "3"}
    assert sources.typed_parameters(make, {}, target="t") == {}


def test_an_annotation_that_only_a_type_checker_can_read_leaves_the_default_s_type() -> None:
    def make(width: NotThere = 3) -> None: ...  # type: ignore[name-defined]  # noqa: F821

    assert sources.typed_parameters(make, {"width": "4"}, target="t") == {"width": 4}


@pytest.mark.parametrize("kind", [torch.dtype, list[int] | tuple[int, ...]])
def test_a_type_that_no_text_gives_is_named(kind: Any) -> None:
    def make(kind: Any = None) -> None: ...

    make.__annotations__["kind"] = kind
    with pytest.raises(BadValue, match="the parameter kind of t cannot be 'float16': expected"):
        sources.typed_parameters(make, {"kind": "float16"}, target="t")
    assert sources.typed_parameters(make, {}, target="t") == {}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("10", 10),
        ("-0.5", -0.5),
        ("(2, 3)", (2, 3)),
        ("true", True),
        ("False", False),
        ("none", None),
        ("avg", "avg"),
        ("a b", "a b"),
        ("__import__('os')", "__import__('os')"),
        ("", ""),
    ],
)
def test_a_value_without_a_declared_type_is_read_as_python_writes_it(text: str, value: Any) -> None:
    got = as_written(text)
    assert got == value
    assert type(got) is type(value)
