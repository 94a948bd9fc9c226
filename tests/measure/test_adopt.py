from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edgekit
from edgekit.errors import ModelFileError, NotFound, WouldOverwrite
from edgekit.measure.adopt import adopt, package_name
from edgekit.package import reading
from edgekit.tensors import Dim

onnx = pytest.importorskip("onnx", reason="graphs are built with onnx")

FLOAT, INT64 = onnx.TensorProto.FLOAT, onnx.TensorProto.INT64
Save = Callable[..., Path]


@pytest.fixture
def save(tmp_path: Path) -> Save:
    """Write a graph of nodes, with x [batch, 4] in and y out unless others are given."""

    def make(
        *nodes: Any,
        inputs: Any = (("x", FLOAT, ["batch", 4]),),
        outputs: Any = (("y", FLOAT, ["batch", None]),),
        constants: dict[str, Any] | None = None,
        opset: int = 20,
        ir_version: int = 10,
        name: str = "model.onnx",
    ) -> Path:
        helper = onnx.helper
        graph = helper.make_graph(
            [helper.make_node(*node[:3], **(node[3] if node[3:] else {})) for node in nodes],
            "g",
            [helper.make_tensor_value_info(*one) for one in inputs],
            [
                one if not isinstance(one, tuple) else helper.make_tensor_value_info(*one)
                for one in outputs
            ],
            [onnx.numpy_helper.from_array(a, n) for n, a in (constants or {}).items()],
        )
        opsets = [helper.make_opsetid("", opset)]
        path = tmp_path / name
        onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=ir_version), path)
        return path

    return make


def externally(path: Path, location: str) -> Path:
    """Move a model's weights to a file beside it, and let the model name `location` for it."""
    model = onnx.load(path)
    onnx.save(model, path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    model = onnx.load(path, load_external_data=False)
    for tensor in model.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == "location":
                entry.value = location
    path.write_bytes(model.SerializeToString())
    return path


def no_leftovers(folder: Path) -> bool:
    return not [entry for entry in folder.iterdir() if "edgekit" in entry.name]


def test_a_file_is_packed_with_its_bytes_unchanged(
    tiny_onnx: Callable[..., Path], tiny_answer: Callable[..., Any], tmp_path: Path
) -> None:
    path = tiny_onnx("größe (2) final")
    output = tmp_path / "out.edgekit"
    package = adopt(path, output)
    assert (output / "fp32.onnx").read_bytes() == path.read_bytes()
    assert package == reading.read(output)
    assert package.name == "gr-e-2-final"
    provenance = package.provenance
    assert (provenance.original, provenance.strategy) == ("onnx", "adopted")
    assert provenance.source == path.name
    assert provenance.weights_sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert provenance.verification is not None
    assert provenance.verification.sizes == ({"batch": 1}, {"batch": 2}, {"batch": 5})
    reference = package.graphs[0].reference
    assert reference is not None
    assert (reference.cases, reference.synthetic) == (6, True)
    with edgekit.load(output) as model:
        assert model.check().passed
        x = np.ones((3, 4), np.float32)
        np.testing.assert_allclose(model(x), tiny_answer({"x": x}), rtol=1e-6)


@pytest.mark.parametrize(
    ("stem", "name"),
    [("net-1.2_b", "net-1.2_b"), ("..hidden", "hidden"), ("日本", "model"), ("a b/c", "c")],
)
def test_a_package_name_has_only_plain_characters(stem: str, name: str) -> None:
    found = package_name(Path(f"{stem}.onnx"))
    assert found == name
    assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", found)


def test_external_data_comes_along(tiny_onnx: Callable[..., Path], tmp_path: Path) -> None:
    path = externally(tiny_onnx(), "weights.bin")
    data = (tmp_path / "weights.bin").read_bytes()
    output = tmp_path / "out.edgekit"
    package = adopt(path, output)
    assert package.variants[0].files == ("weights.bin",)
    assert (output / "weights.bin").read_bytes() == data
    whole = hashlib.sha256(path.read_bytes() + data).hexdigest()
    assert package.provenance.weights_sha256 == whole
    with edgekit.load(output) as model:
        assert model.check().passed


@pytest.mark.parametrize(
    "location",
    [
        "sub/weights.bin",
        "../weights.bin",
        "/etc/hostname",
        "we ights.bin",
        ".hidden",
        "manifest.json",
        "fp32.onnx",
        "reference.safetensors",
    ],
)
def test_external_data_that_cannot_lie_in_a_package_is_refused(
    location: str, tiny_onnx: Callable[..., Path], tmp_path: Path
) -> None:
    path = externally(tiny_onnx(), location)
    with pytest.raises(ModelFileError, match="can't be the name of a file in a package"):
        adopt(path, tmp_path / "out.edgekit")
    assert no_leftovers(tmp_path)


def test_external_data_that_is_missing_is_told(
    tiny_onnx: Callable[..., Path], tmp_path: Path
) -> None:
    path = externally(tiny_onnx(), "weights.bin")
    (tmp_path / "weights.bin").unlink()
    with pytest.raises(ModelFileError, match=r"weights\.bin is not there"):
        adopt(path, tmp_path / "out.edgekit")


def test_a_model_of_an_old_opset_runs(save: Save, tmp_path: Path) -> None:
    # As in IR version 3, the weight is an input as well.
    weight = np.eye(4, 3, dtype=np.float32)
    path = save(
        ("MatMul", ["x", "w"], ["y"]),
        inputs=(("x", FLOAT, [None, 4]), ("w", FLOAT, [4, 3])),
        constants={"w": weight},
        opset=9,
        ir_version=3,
    )
    package = adopt(path, tmp_path / "out.edgekit")
    assert package.variants[0].facts.opset == 9
    signature = package.graphs[0].signature
    assert [spec.name for spec in signature.inputs] == ["x"]
    assert signature.inputs[0].shape == (Dim("x_0"), 4)


def test_a_model_that_draws_random_numbers_is_refused(save: Save, tmp_path: Path) -> None:
    path = save(("RandomNormalLike", ["x"], ["noise"]), ("Add", ["x", "noise"], ["y"]))
    with pytest.raises(ModelFileError, match="y differs from call to call"):
        adopt(path, tmp_path / "out.edgekit")
    assert no_leftovers(tmp_path)


def test_indices_into_a_small_table_are_fed(save: Save, tmp_path: Path) -> None:
    path = save(
        ("Gather", ["table", "x"], ["y"]),
        inputs=(("x", INT64, ["batch", "time"]),),
        outputs=(("y", FLOAT, ["batch", "time", 3]),),
        constants={"table": np.eye(2, 3, dtype=np.float32)},
    )
    package = adopt(path, tmp_path / "out.edgekit")
    assert package.provenance.verification is not None
    assert package.provenance.verification.sizes[0] == {"batch": 1, "time": 2}


def test_a_model_that_runs_at_one_length_alone_is_packed_and_says_so(
    save: Save, tmp_path: Path
) -> None:
    path = save(
        ("Reshape", ["x", "shape"], ["y"]),
        inputs=(("x", FLOAT, ["batch", "time"]),),
        outputs=(("y", FLOAT, ["batch", 4, 4]),),
        constants={"shape": np.array([-1, 4, 4])},
    )
    package = adopt(path, tmp_path / "out.edgekit")
    assert package.provenance.verification is not None
    assert {"batch": 5, "time": 16} in package.provenance.verification.sizes
    assert any("time=2" in note and "every size" in note for note in package.provenance.notes)


def test_a_model_that_runs_at_no_size_is_refused(save: Save, tmp_path: Path) -> None:
    path = save(
        ("Reshape", ["x", "shape"], ["y"]),
        inputs=(("x", FLOAT, ["batch", "time"]),),
        outputs=(("y", FLOAT, [7, 11, 13]),),
        constants={"shape": np.array([7, 11, 13])},
    )
    with pytest.raises(ModelFileError, match=r"could not be run .* at batch=1, time=2"):
        adopt(path, tmp_path / "out.edgekit")


def test_a_quantized_model_is_packed_as_int8(save: Save, tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    weight = generator.integers(-127, 128, (4, 8)).astype(np.int8)
    path = save(
        ("QuantizeLinear", ["x", "xs", "xz"], ["xq"]),
        ("DequantizeLinear", ["xq", "xs", "xz"], ["xd"]),
        ("DequantizeLinear", ["w", "ws", "wz"], ["wd"]),
        ("MatMul", ["xd", "wd"], ["z"]),
        ("QuantizeLinear", ["z", "ys", "yz"], ["zq"]),
        ("DequantizeLinear", ["zq", "ys", "yz"], ["y"]),
        constants={
            "xs": np.float32(1 / 255),
            "xz": np.uint8(0),
            "w": weight,
            "ws": np.float32(0.01),
            "wz": np.int8(0),
            "ys": np.float32(0.02),
            "yz": np.uint8(128),
        },
    )
    package = adopt(path, tmp_path / "out.edgekit")
    assert (package.variants[0].name, package.variants[0].model) == ("int8", "int8.onnx")


def test_a_half_precision_model_may_be_rounded_less_when_it_is_optimized(
    save: Save, tmp_path: Path
) -> None:
    half = onnx.TensorProto.FLOAT16
    generator = np.random.default_rng(0)
    weights = {f"w{i}": generator.standard_normal((64, 64)).astype(np.float16) for i in range(4)}
    path = save(
        *(("MatMul", [f"h{i}", f"w{i}"], [f"h{i + 1}"]) for i in range(4)),
        inputs=(("h0", half, ["batch", 64]),),
        outputs=(("h4", half, ["batch", 64]),),
        constants=weights,
    )
    package = adopt(path, tmp_path / "out.edgekit")
    (entry,) = package.variants[0].closeness
    assert package.variants[0].precision == "fp16"
    assert entry.max_abs_error < entry.tolerance.absolute
    assert package.provenance.verification is not None
    assert "0.01 x largest" in package.provenance.verification.rule


def test_a_model_with_sequences_is_refused(save: Save, tmp_path: Path) -> None:
    sequence = onnx.helper.make_tensor_sequence_value_info("y", FLOAT, None)
    path = save(("SequenceConstruct", ["x"], ["y"]), outputs=(sequence,))
    with pytest.raises(ModelFileError, match="only tensors"):
        adopt(path, tmp_path / "out.edgekit")
    assert no_leftovers(tmp_path)


def test_only_a_package_is_replaced_and_only_when_asked(
    tiny_onnx: Callable[..., Path], tmp_path: Path
) -> None:
    output = tmp_path / "out.edgekit"
    output.mkdir()
    with pytest.raises(WouldOverwrite):
        adopt(tiny_onnx(), output, overwrite=True)


def test_a_file_that_is_not_there_or_no_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        adopt(tmp_path / "gone.onnx", tmp_path / "out.edgekit")
    (tmp_path / "text.onnx").write_text("not a model")
    with pytest.raises(ModelFileError):
        adopt(tmp_path / "text.onnx", tmp_path / "out.edgekit")
    assert no_leftovers(tmp_path)
