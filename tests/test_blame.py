from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgekit.blame import first_cause, users_line


def caught(run: Callable[[], Any]) -> BaseException:
    try:
        run()
    except Exception as error:
        return error
    raise AssertionError("nothing was raised")


def raises() -> None:
    json.loads("{")


def wraps() -> None:
    try:
        raises()
    except ValueError as error:
        raise RuntimeError("in between") from error


def line_in(function: Callable[..., Any], offset: int = 1) -> str:
    return f"{__file__}:{function.__code__.co_firstlineno + offset}"


def test_the_line_is_the_innermost_of_the_user_s_own() -> None:
    error = caught(raises)
    assert users_line(error) == line_in(raises)
    assert first_cause(error) is error


def test_the_first_cause_counts_more_than_what_came_of_it() -> None:
    error = caught(wraps)
    assert users_line(error) == line_in(raises)
    assert isinstance(first_cause(error), json.JSONDecodeError)


def test_a_stack_that_a_message_quotes_reaches_further_in(tmp_path: Path) -> None:
    net = tmp_path / "lib" / "python" / "exporters" / "net.py"
    error = RuntimeError(
        f'User stack:\n  File "{net}", line 7, in forward\n    x + 1\n'
        f'  File "{json.__file__}", line 9, in loads\n  File "<eval_with_key>.3", line 2\n'
    )
    assert users_line(error) == f"{net}:7"


def test_a_syntax_error_is_where_it_says() -> None:
    error = caught(lambda: compile("def f(:\n", "net.py", "exec"))
    assert users_line(error) == "net.py:1"


def test_an_error_without_a_line_of_the_user_s_has_none() -> None:
    assert users_line(ValueError("no stack")) == ""


@pytest.mark.parametrize("name", ["exporters", "edgekit"])
def test_lines_of_our_own_are_not_the_user_s(name: str) -> None:
    import importlib

    own = importlib.import_module(name).__file__
    assert users_line(RuntimeError(f'File "{own}", line 3')) == ""
