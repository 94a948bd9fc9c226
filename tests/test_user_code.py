from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgekit.errors import BadValue, EdgekitError, FactoryFailed, NotFound, UnknownName
from edgekit.user_code import factory_in, imported, in_one_line, run_user_code

FORMS = {"what": "TARGET", "forms": "file.py:factory"}


def raises(error: BaseException) -> Callable[[], Any]:
    def run() -> Any:
        raise error

    return run


def test_what_code_gives_is_handed_on() -> None:
    assert run_user_code(lambda: 3, target="net.py:make") == 3


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (ValueError("two\n  lines"), "net.py:make raised ValueError: two lines (at "),
        (SystemExit("enough"), "net.py:make called exit('enough') (at "),
        (
            BadValue(what="a size", asked="0", expected="1"),
            "net.py:make made what can't be exported: a size cannot be 0: expected 1 (at ",
        ),
    ],
)
def test_what_code_raises_becomes_a_sentence_with_its_line(
    error: BaseException, sentence: str
) -> None:
    with pytest.raises(FactoryFailed) as failed:
        run_user_code(raises(error), target="net.py:make", made="exported")
    assert str(failed.value).startswith(sentence)
    assert "test_user_code.py:" in str(failed.value)


def test_errors_of_edgekit_s_own_stay_what_they_are() -> None:
    error = EdgekitError("The digits are missing.")
    with pytest.raises(EdgekitError) as raised:
        run_user_code(raises(error), target="net.py:make")
    assert raised.value is error


def test_a_long_exception_is_cut_to_one_line() -> None:
    said = in_one_line(ValueError("word\n" * 1000))
    assert len(said) == 600
    assert "\n" not in said


@pytest.mark.parametrize("form", ["sub/userfile_a.py:make", "sub.usermodule_b:make"])
def test_a_module_is_imported_with_its_neighbours(form: str, tmp_path: Path) -> None:
    folder = tmp_path / "sub"
    folder.mkdir()
    (folder / "neighbour_c.py").write_text("value = 7")
    (folder / "userfile_a.py").write_text("import neighbour_c\nmake = lambda: neighbour_c.value")
    (folder / "usermodule_b.py").write_text("from sub import neighbour_c\nmake = lambda: 7")
    with imported(form, tmp_path, **FORMS) as module:
        assert factory_in(module, form)() == 7
    for name in ("sub", "sub.usermodule_b", "sub.neighbour_c", "neighbour_c"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize(
    ("target", "error", "sentence"),
    [
        ("lost.py:make", NotFound, r"lost\.py does not exist; expected the Python file of a fac"),
        ("no module:make", BadValue, r"TARGET cannot be no module:make: expected file\.py:factory"),
        ("nomodule.at.all:make", BadValue, "can import in .*, and there is no 'nomodule'"),
    ],
)
def test_a_module_that_is_not_there_is_told(
    target: str, error: type[EdgekitError], sentence: str, tmp_path: Path
) -> None:
    with pytest.raises(error, match=sentence), imported(target, tmp_path, **FORMS):
        pass


def test_a_factory_that_is_not_there_is_told_with_those_that_are(tmp_path: Path) -> None:
    (tmp_path / "userfile_d.py").write_text(
        "from json import loads\ndef make(): ...\ndef _hidden(): ...\nvalue = 3"
    )
    with imported("userfile_d.py:maker", tmp_path, **FORMS) as module:
        for name in ("maker", "value"):
            with pytest.raises(UnknownName, match=r"in userfile_d\.py; there is: make\."):
                factory_in(module, f"userfile_d.py:{name}")


def test_a_file_takes_no_other_module_s_place(tmp_path: Path) -> None:
    import json

    (tmp_path / "json.py").write_text("make = lambda: 'mine'")
    with imported("json.py:make", tmp_path, **FORMS) as module:
        assert module.make() == "mine"
        assert module is not json
        assert sys.modules["json"] is json
