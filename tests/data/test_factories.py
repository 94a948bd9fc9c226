from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.data import factories
from edgekit.data.factories import factory
from edgekit.errors import BadValue, FactoryFailed, InputError, NotFound, UnknownName
from edgekit.tensors import Signature

HEAD = """
import numpy as np
from edgekit.tensors import Case
x = np.arange(12, dtype=np.float32).reshape(3, 4) / 12
"""


@pytest.fixture
def made(tmp_path: Path, request: pytest.FixtureRequest) -> Callable[..., Any]:
    """Write a file with a factory `make` of the given body, and open it."""

    def open_(body: str, *, target: str = "{file}:make") -> Any:
        # A name of its own each time: modules stay imported.
        file = f"cases_{abs(hash((request.node.name, body))):x}"
        (tmp_path / f"{file}.py").write_text(HEAD + body)
        named = target.format(file=f"{file}.py", module=file)
        return factory(named, tmp_path, what="The evaluation data", forms="a known form")

    return open_


@pytest.mark.parametrize(
    ("body", "label"),
    [
        ("def make():\n    yield {'image': x}", None),
        ("def make():\n    yield {'image': x}, 3", 3),
        ("def make():\n    yield [{'image': x}, 3]", 3),
        ("def make():\n    yield {'image': x, 'label': 3}", 3),
        ("def make():\n    yield Case({'image': x}, label=3)", 3),
        ("def make():\n    return [({'image': x}, 3)]", 3),
        ("make = lambda: iter([({'image': x}, 3)])", 3),
        ("class make:\n    def __iter__(self):\n        yield {'image': x}, 3", 3),
    ],
)
@pytest.mark.parametrize("target", ["{file}:make", "{module}:make"])
def test_what_a_factory_gives_is_a_feed_and_a_label(
    body: str, label: int | None, target: str, made: Any, takes: Signature
) -> None:
    read = made(body, target=target)
    for _ in range(2):
        (given,) = read(takes)
        assert given.label == label
        assert np.array_equal(given.feed["image"] * 12, np.arange(12).reshape(3, 4))


def test_each_pass_calls_the_factory_anew(made: Any, takes: Signature) -> None:
    read = made("calls = []\ndef make():\n    calls.append(1)\n    yield {'image': len(calls)}")
    assert [next(read(takes)).feed["image"] for _ in range(3)] == [1, 2, 3]


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ("def make():\n    1 / 0", r"make raised ZeroDivisionError.*\.py:6\)"),
        ("def make():\n    yield {'image': x}\n    {}['a']", r"raised KeyError: 'a' .*\.py:7\)"),
        ("def make(path):\n    yield {}", "raised TypeError: .* missing 1 required positional"),
        ("def make():\n    exit(3)", r"called exit\(3\)"),
        (
            "def make():\n    pass",
            "returned None; expected something to iterate over .write 'yield'",
        ),
        ("def make():\n    return 3", "returned a int; expected something to iterate over"),
        ("def make():\n    return {'image': x}", "returned a dict; expected something to iterate"),
        ("def make():\n    return 'data'", "returned a str; expected"),
    ],
)
def test_a_factory_that_fails_is_one_sentence(
    body: str, sentence: str, made: Any, takes: Signature
) -> None:
    with pytest.raises(FactoryFailed, match=sentence):
        list(made(body)(takes))


@pytest.mark.parametrize(
    ("yields", "sentence"),
    [
        ("x", r"It is a ndarray; expected feeds .*yield \{'image': array\}, label"),
        ("(x, 3)", "It is a tuple of ndarray, int; expected feeds"),
        ("({'image': x}, 3, 4)", "It is a tuple of dict, int, int; expected"),
        ("None", "It is None; expected"),
    ],
)
def test_what_is_no_case_is_told(yields: str, sentence: str, made: Any, takes: Signature) -> None:
    with pytest.raises(InputError, match=sentence):
        list(made(f"def make():\n    yield {yields}")(takes))


def test_a_factory_that_is_not_there_is_told(made: Any, tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match=r"no factory 'maker' in .*there is: make\. Did you mean"):
        made("def make(): ...", target="{file}:maker")
    with pytest.raises(UnknownName, match="no factory 'x'"):
        made("def make(): ...", target="{file}:x")
    with pytest.raises(NotFound, match=r"nowhere\.py does not exist; expected the Python file of"):
        factory("nowhere.py:make", tmp_path, what="data", forms="a known form")
    with pytest.raises(BadValue, match="there is no 'nowhere_at_all'"):
        factory("nowhere_at_all.data:make", tmp_path, what="data", forms="a known form")
    with pytest.raises(BadValue, match="The data cannot be s3://a:b: expected a known form"):
        factory("s3://a:b", tmp_path, what="The data", forms="a known form")


def test_a_file_that_fails_to_import_is_one_sentence(made: Any) -> None:
    with pytest.raises(FactoryFailed, match="raised ModuleNotFoundError: No module named 'nosuch"):
        made("import nosuchmodule\ndef make(): ...")


def test_a_factory_without_an_end_is_told(
    made: Any, takes: Signature, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(factories, "MOST_CASES", 10)
    endless = made("def make():\n    while True:\n        yield {'image': x}")
    with pytest.raises(FactoryFailed, match="doesn't come to an end within 10 cases"):
        list(endless(takes))
    assert len(list(made("def make():\n    yield from [{'image': x}] * 10")(takes))) == 10


def test_what_a_factory_prints_goes_to_stderr(tmp_path: Path) -> None:
    (tmp_path / "talks.py").write_text(
        "print('importing')\ndef make():\n    print('calling')\n    yield {}\n    print('ending')\n"
    )
    code = (
        "import json\nfrom pathlib import Path\nfrom edgekit.data.factories import factory\n"
        "from edgekit.tensors import Signature\n"
        "read = factory('talks.py:make', Path(), what='data', forms='')\n"
        "print(json.dumps(len(list(read(Signature((), ()))))))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout) == 1
    assert done.stderr.split() == ["importing", "calling", "ending"]
