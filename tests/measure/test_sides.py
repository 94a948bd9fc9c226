"""What a text on the command line names, and whether two of them can be compared."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgekit.errors import BadValue, NotFound, UnknownName
from edgekit.measure.sides import Side, named, refuse_unlike, variant_side
from edgekit.measure.ways import How
from edgekit.tensors import Dim, Signature, TensorSpec
from edgekit.workers import Call

ROWS = Dim("batch", 1, None)


def test_a_path_names_a_variant_a_file_or_an_original(tiny_package: Path) -> None:
    path = str(tiny_package)
    assert (named(path).kind, named(path).variant) == ("variant", "portable")
    assert (named(f"{path}:fp32").kind, named(f"{path}:fp32").variant) == ("variant", "fp32")
    assert named(f"{path}:fp32").path == tiny_package
    assert (named(f"{path}:original").kind, named(f"{path}:original").path) == (
        *("original", tiny_package),
    )
    assert named(f"{path}/fp32.onnx").kind == "file"


@pytest.mark.parametrize("text", ["cnn", "net.py:make", "hf:./here", "timm:resnet50", "a.b:c"])
def test_anything_else_is_a_target(text: str) -> None:
    assert named(text).kind == "target"


@pytest.mark.parametrize("text", ["no.edgekit", "no.edgekit:fp16", "no.onnx", "no/such.ONNX"])
def test_what_has_the_form_of_a_path_must_be_there(text: str) -> None:
    with pytest.raises(NotFound, match=r"does not exist"):
        named(text)


def test_a_folder_of_a_models_name_does_not_hide_the_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cnn").mkdir()
    assert named("cnn").kind == "target"
    assert named("./cnn").kind == "variant"


def test_a_variant_is_opened_by_name_and_the_first_one_without(tiny_package: Path) -> None:
    side = variant_side(named(str(tiny_package)), How())
    assert side.label == "tiny · fp32"
    assert side.subject is not None
    assert side.subject.package is not None
    plain = variant_side(named(f"{tiny_package}/fp32.onnx"), How())
    assert plain.label == "fp32.onnx"
    refuse_unlike(side, plain)
    with pytest.raises(UnknownName, match="nothing"):
        variant_side(named(f"{tiny_package}:nothing"), How())


@pytest.mark.parametrize(
    ("other", "part"),
    [
        (TensorSpec("x", "float32", (ROWS, 4)), ""),
        (TensorSpec("x", "float32", (2, 4)), ""),
        (TensorSpec("z", "float32", (ROWS, 4)), "inputs"),
        (TensorSpec("x", "float64", (ROWS, 4)), "inputs"),
        (TensorSpec("x", "float32", (ROWS, 5)), "inputs"),
        (TensorSpec("x", "float32", (ROWS,)), "inputs"),
    ],
)
def test_two_with_other_arrays_are_refused(other: TensorSpec, part: str) -> None:
    y = TensorSpec("y", "float32", (ROWS, 3))
    call = Call("edgekit.runtime.runner:open_variant")
    a = Side("a", call, Signature((TensorSpec("x", "float32", (ROWS, 4)),), (y,)))
    b = Side("b", call, Signature((other,), (y,)))
    if not part:
        refuse_unlike(a, b)
        return
    with pytest.raises(BadValue, match=f"a and b, whose {part} differ"):
        refuse_unlike(a, b)
    more = Side("b", call, Signature(a.signature.inputs, (y, y)))
    with pytest.raises(BadValue, match="whose outputs differ"):
        refuse_unlike(a, more)
