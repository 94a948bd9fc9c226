from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.errors import MissingExtra, ModelFileError, NotFound
from edgekit.graph.summary import (
    external_files,
    load_model,
    precision_of,
    signature_of,
    summarize,
)
from edgekit.tensors import Dim

onnx = pytest.importorskip("onnx", reason="this room reads .onnx files with onnx")

HEAD = '<ir_version: 10, opset_import: ["": 20, "com.microsoft": 1, "own": 1]>'
Write = Callable[[str], Path]

BRANCHES = f"""{HEAD}
net (float[n] x, bool cond) => (float[n] y) <float[3] kept = {{1, 2, 3}}> {{
    y = If (cond) <
        then_branch = yes () => (float[n] a) <float[2] inner = {{1, 2}}> {{
            b = Relu(x)
            c = Relu(b)
            a = own.Twice(c)
        }},
        else_branch = no () => (float[n] a) {{ a = Neg(x) }}
    >
}}
<domain: "own", opset_import: ["": 20]>
Twice (x) => (y) {{ s = Neg(x) t = Neg(s) y = Add(x, t) }}
"""


def test_branches_functions_and_their_parameters_are_counted(write_text: Write) -> None:
    facts = summarize(write_text(BRANCHES))
    assert facts.operators == {"Add": 1, "If": 1, "Neg": 3, "Relu": 2, "own::Twice": 1}
    assert facts.nodes == 8
    assert facts.parameters == 5
    assert facts.opset == 20


def test_a_loop_inside_a_branch_is_counted(write_text: Write) -> None:
    text = f"""{HEAD}
    net (float x, bool cond) => (float y) {{
        y = If (cond) <
            then_branch = yes () => (float a) {{
                three = Constant <value = int64 {{3}}> ()
                a = Loop (three, cond, x) <
                    body = again (int64 i, bool go, float v) => (bool on, float w) {{
                        on = Identity(go)
                        w = Abs(v)
                    }}
                >
            }},
            else_branch = no () => (float a) {{ a = Neg(x) }}
        >
    }}"""
    facts = summarize(write_text(text))
    assert facts.operators == {
        **{"Abs": 1, "Constant": 1, "Identity": 1},
        **{"If": 1, "Loop": 1, "Neg": 1},
    }


def test_a_branch_inside_a_function_is_counted(write_text: Write) -> None:
    text = f"""{HEAD}
    net (float[n] x, bool cond) => (float[n] y) {{ y = own.Choose(x, cond) }}
    <domain: "own", opset_import: ["": 20]>
    Choose (x, cond) => (y) {{
        y = If (cond) <
            then_branch = yes () => (a) {{ a = Relu(x) }},
            else_branch = no () => (a) {{ a = Neg(x) }}
        >
    }}"""
    facts = summarize(write_text(text))
    assert facts.operators == {"If": 1, "Neg": 1, "Relu": 1, "own::Choose": 1}


def test_operators_of_other_domains_are_named_with_them(write_text: Write) -> None:
    text = f"{HEAD} net (float[n] x) => (float[n] y) {{ a = com.microsoft.Gelu(x) y = Relu(a) }}"
    assert summarize(write_text(text)).operators == {"Relu": 1, "com.microsoft::Gelu": 1}


def test_sparse_weights_count_with_their_whole_shape(tiny_onnx: Any) -> None:
    path = tiny_onnx()
    model = onnx.load(path)
    values = onnx.numpy_helper.from_array(np.array([2.0], np.float32), "W")
    indices = onnx.numpy_helper.from_array(np.array([5], np.int64), "W_indices")
    (dense,) = [t for t in model.graph.initializer if t.name == "W"]
    model.graph.initializer.remove(dense)
    model.graph.sparse_initializer.append(onnx.helper.make_sparse_tensor(values, indices, [4, 3]))
    model.graph.input.append(
        onnx.helper.make_tensor_value_info("W", onnx.TensorProto.FLOAT, [4, 3])
    )
    onnx.save(model, path)
    assert summarize(path).parameters == 15
    assert [spec.name for spec in signature_of(path).inputs] == ["x"]


def test_the_tiny_graph_is_read_whole(tiny_onnx: Any) -> None:
    facts = summarize(tiny_onnx(opset=18))
    assert (facts.opset, facts.nodes, facts.parameters) == (18, 3, 15)
    assert facts.operators == {"Add": 1, "MatMul": 1, "Relu": 1}


@pytest.mark.parametrize(
    "text",
    [
        "<ir_version: 10, opset_import: []> net (float[n] x) => (float[n] y) { y = Relu(x) }",
        f"{HEAD} net (float[n] x) => (float[n] y) {{ y = other.Relu(x) }}",
        f"{HEAD} net (float[n] x) => (float[n] y) {{ y = NoSuchOperator(x) }}",
        f"{HEAD} net (float[n] x) => (float[n] y) {{ y = Relu(nothing) }}",
        f"{HEAD} net (float[n] x) => (float[n] y) {{ }}",
    ],
    ids=["no opset", "unknown domain", "unknown operator", "loose end", "no answer"],
)
def test_a_model_that_is_not_valid_gets_a_sentence(text: str, write_text: Write) -> None:
    with pytest.raises(ModelFileError, match=r"net\.onnx cannot be used as an ONNX model: .+"):
        summarize(write_text(text))


READERS: list[Callable[[Path], Any]] = [summarize, load_model, external_files]
READERS += [precision_of, signature_of]


@pytest.mark.parametrize("read", READERS, ids=lambda f: f.__name__)
@pytest.mark.parametrize("content", ["", "text\n" * 30, "truncated", "folder"])
def test_a_file_that_is_no_model_gets_a_sentence(
    content: str, read: Callable[[Path], Any], tiny_onnx: Any, tmp_path: Path
) -> None:
    path = tmp_path / "broken.onnx"
    if content == "folder":
        path.mkdir()
    elif content == "truncated":
        path.write_bytes(tiny_onnx().read_bytes()[:-9])
    else:
        path.write_text(content)
    with pytest.raises(ModelFileError, match="cannot be used as an ONNX model") as caught:
        read(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("read", READERS, ids=lambda f: f.__name__)
def test_a_missing_file_is_called_missing(read: Callable[[Path], Any], tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"none\.onnx does not exist; expected an \.onnx file"):
        read(tmp_path / "none.onnx")


def test_a_missing_onnx_names_its_extra(tiny_onnx: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tiny_onnx()
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(MissingExtra, match=r"edgekit-onnx\[build\]"):
        summarize(path)


def externalized(path: Path, *, location: str = "weights.bin") -> Path:
    model = onnx.load(path)
    onnx.save(
        *(model, path),
        save_as_external_data=True,
        location=location,
        size_threshold=0,
        convert_attribute=True,
    )
    return path


def test_external_data_is_listed_once_and_counted(tiny_onnx: Any) -> None:
    path = externalized(tiny_onnx())
    assert external_files(path) == ["weights.bin"]
    assert summarize(path).parameters == 15
    assert precision_of(path) == "fp32"


def test_missing_external_data_is_named(tiny_onnx: Any) -> None:
    path = externalized(tiny_onnx())
    path.with_name("weights.bin").unlink()
    assert external_files(path) == ["weights.bin"]
    with pytest.raises(ModelFileError, match=r"weights\.bin"):
        summarize(path)


def test_external_data_inside_branches_and_attributes_is_listed(write_text: Write) -> None:
    path = write_text(BRANCHES)
    model = onnx.load(path)
    then = next(a.g for a in model.graph.node[0].attribute if a.name == "then_branch")
    constant = onnx.helper.make_node(
        "Constant", [], ["k"], value=onnx.numpy_helper.from_array(np.ones(2, np.float32))
    )
    model.functions[0].node.insert(0, constant)
    for tensor, location in (
        (model.graph.initializer[0], "main.bin"),
        (then.initializer[0], "branch.bin"),
        (model.functions[0].node[0].attribute[0].t, "constant.bin"),
    ):
        tensor.data_location = onnx.TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value=location)
    onnx.save(model, path)
    assert sorted(external_files(path)) == ["branch.bin", "constant.bin", "main.bin"]


def test_a_model_without_external_data_lists_none(tiny_onnx: Any) -> None:
    assert external_files(tiny_onnx()) == []


@pytest.mark.parametrize(
    ("weights", "nodes", "expected"),
    [
        ("float[3] w = {1, 2, 3}", "y = Add(x, w)", "fp32"),
        ("int64[3] w = {1, 2, 3}", "y = Identity(x)", "fp32"),
        ("float16[3] w = {1, 2, 3}, float[2] v = {1, 2}", "y = Identity(x)", "fp16"),
        ("float16[2] w = {1, 2}, float[3] v = {1, 2, 3}", "y = Identity(x)", "fp32"),
        ("bfloat16[3] w = {1, 2, 3}", "y = Identity(x)", "bf16"),
        ("double[3] w = {1, 2, 3}", "y = Identity(x)", "fp64"),
        ("float s = {1}", "q = QuantizeLinear(x, s) y = DequantizeLinear(q, s)", "int8"),
        ("float s = {1}", "q, c, z = DynamicQuantizeLinear(x) y = Identity(x)", "int8"),
        ("int8[3] w = {1, 2, 3}", "m = MatMulInteger(w, w) y = Identity(x)", "int8"),
        ("int8[3] w = {1, 2, 3}", "y = com.microsoft.QGemm(x, w)", "int8"),
        ("uint8[3] w = {1, 2, 3}", "y = com.microsoft.MatMulNBits(x, w)", "int4"),
    ],
)
def test_precision_is_that_of_the_weights(
    weights: str, nodes: str, expected: str, write_text: Write
) -> None:
    text = f"{HEAD} net (float[3] x) => (float[3] y) <{weights}> {{ {nodes} }}"
    assert precision_of(write_text(text)) == expected


def test_precision_is_found_inside_branches_and_constants(write_text: Write) -> None:
    inside = BRANCHES.replace("b = Relu(x)", "b = DynamicQuantizeLinear(x)")
    assert precision_of(write_text(inside)) == "int8"
    text = f"{HEAD} net () => (float16[2] y) {{ y = Constant <value = float16[2] {{1, 2}}> () }}"
    assert precision_of(write_text(text)) == "fp16"


def test_int4_weights_are_told_from_int8(tiny_onnx: Any) -> None:
    path = tiny_onnx()
    model = onnx.load(path)
    packed = onnx.helper.make_tensor("w4", onnx.TensorProto.INT4, [2], [1, -1])
    model.graph.initializer.append(packed)
    onnx.save(model, path)
    assert precision_of(path) == "int4"


def test_the_signature_leaves_out_inputs_that_have_a_value(write_text: Write) -> None:
    text = f"""{HEAD} net (float[n,4] x, int64 k, float[3] w) => (bool[n] y)
    <float[3] w = {{1, 2, 3}}> {{ y = own.Thing(x, k, w) }}"""
    path = write_text(text)
    model = onnx.load(path)
    model.graph.input[0].type.tensor_type.shape.dim.add()
    model.graph.input[0].type.tensor_type.shape.dim.add().dim_value = -1
    onnx.save(model, path)
    signature = signature_of(path)
    assert [str(spec) for spec in signature.inputs] == [
        "x: float32 [n, 4, x_2, x_3]",
        "k: int64 []",
    ]
    assert signature.inputs[0].shape[2] == Dim("x_2")
    assert [str(spec) for spec in signature.outputs] == ["y: bool [n]"]


@pytest.mark.parametrize(
    ("kind", "sentence"),
    [
        ("string[n]", "x is object; only tensors of numbers"),
        ("seq(float[n])", "x is no tensor; only tensors of numbers"),
        ("optional(float[n])", "x is no tensor"),
        ("complex64[n]", "x is complex64"),
        ("float8e5m2[n]", "x is float8_e5m2"),
    ],
)
def test_inputs_that_are_no_tensors_of_numbers_are_refused(
    kind: str, sentence: str, write_text: Write
) -> None:
    path = write_text(f"{HEAD} net ({kind} x) => (float[n] y) {{ y = own.Thing(x) }}")
    with pytest.raises(ModelFileError, match=sentence):
        signature_of(path)


def test_an_unknown_element_type_or_rank_is_refused(tiny_onnx: Any) -> None:
    path = tiny_onnx()
    model = onnx.load(path)
    kind = model.graph.input[0].type.tensor_type
    kind.ClearField("shape")
    onnx.save(model, path)
    with pytest.raises(ModelFileError, match="x doesn't say how many dimensions it has"):
        signature_of(path)
    kind.elem_type = 9999
    onnx.save(model, path)
    with pytest.raises(ModelFileError, match="x is no tensor"):
        signature_of(path)
