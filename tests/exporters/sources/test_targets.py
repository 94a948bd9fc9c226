from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgekit.errors import BadValue, EdgekitError, NotFound, UnknownName
from exporters import sources
from exporters.requests import TargetRequest


@pytest.mark.parametrize(
    ("target", "error", "sentence"),
    [
        ("absent.py:make", NotFound, "absent.py does not exist; expected the Python file"),
        ("net.py", BadValue, "TARGET cannot be net.py: expected a factory in it: net.py:NAME"),
        ("no_such:make", BadValue, "a module that Python can import in .*, and there is no 'no_s"),
        ("a-b:make", BadValue, "expected package.module:factory, file.py:factory"),
        ("cn", UnknownName, "There is no reference model 'cn'.*Did you mean 'cnn'"),
        ("w.pt", BadValue, "TARGET cannot be w.pt: expected what makes the module: file.py:fac"),
        ("m.CKPT", BadValue, r"or a \.pt2 of torch\.export\.save"),
    ],
)
def test_a_target_of_no_known_form_is_refused(
    target: str, error: type[EdgekitError], sentence: str, tmp_path: Path
) -> None:
    with pytest.raises(error, match=sentence):
        sources.build(TargetRequest(target, str(tmp_path)))


@pytest.mark.parametrize("target", ["cnn", "net.py:make", "pkg.net:make", "net.pt2"])
@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"pretrained": True}, "--pretrained cannot be used with .*: expected timm:NAME or hf:NAM"),
        ({"task": "features"}, "--task cannot be used with .*: expected hf:FOLDER or hf:NAME"),
    ],
)
def test_what_only_a_library_knows_is_refused_for_others(
    target: str, given: dict[str, Any], sentence: str, tmp_path: Path
) -> None:
    with pytest.raises(BadValue, match=sentence) as caught:
        sources.build(TargetRequest(target, str(tmp_path), **given))
    assert caught.value.exit_code == 2


def test_a_task_is_none_of_timm_s(tmp_path: Path) -> None:
    with pytest.raises(BadValue, match="--task cannot be used with timm:resnet18"):
        sources.build(TargetRequest("timm:resnet18", str(tmp_path), task="features"))


PACKAGED = """
    import torch
    from torch import nn
    from .width import WIDTH

    def make(width: int = WIDTH):
        return nn.Linear(4, width), torch.rand(2, 4)

    def _hidden(): pass
"""


@pytest.fixture
def package(
    write_file: Callable[..., Path], request_for: Callable[..., TargetRequest], tmp_path: Path
) -> str:
    write_file("", "__init__.py", "nets_of_a_test")
    write_file("WIDTH = 3", "width.py", "nets_of_a_test")
    write_file(PACKAGED, "linear.py", "nets_of_a_test")
    write_file("import not_installed_here", "broken.py", "nets_of_a_test")
    return str(tmp_path)


def test_a_module_is_imported_as_python_m_would(package: str) -> None:
    made = sources.build(TargetRequest("nets_of_a_test.linear:make", package, {"width": "5"}))
    assert made.module.out_features == 5
    assert made.name == "linear"


@pytest.mark.parametrize(
    ("target", "error", "sentence"),
    [
        ("nets_of_a_test.liner:make", BadValue, r"there is no 'nets_of_a_test\.liner'"),
        ("nets_of_a_test.linear:mak", UnknownName, r"'mak' in nets_of_a_test\.linear; there is: m"),
        ("nets_of_a_test.broken:make", EdgekitError, "raised ModuleNotFoundError: .*not_installed"),
    ],
)
def test_a_module_or_a_name_that_is_not_there_is_told_apart(
    target: str, error: type[EdgekitError], sentence: str, package: str
) -> None:
    with pytest.raises(error, match=sentence):
        sources.build(TargetRequest(target, package))
