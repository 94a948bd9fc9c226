from __future__ import annotations

import array
import functools
import pickle
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import edgekit
from edgekit.errors import InputError
from edgekit.runtime import Model
from edgekit.runtime.inputs import check_shapes, conform
from edgekit.tensors import Dim, Signature, TensorSpec

Answer = Callable[[dict[str, Any]], Any]
X = np.linspace(-2, 2, 12, dtype=np.float32).reshape(3, 4)
ONE = Signature((TensorSpec("x", "float32", (Dim("batch", 1, 8), 4)),), ())


class WriteOnnx(Protocol):
    def __call__(self, graph: str, name: str = "net") -> Path: ...


def fed(signature: Signature, feed: Any) -> dict[str, Any]:
    arrays = conform(signature, feed)
    check_shapes(signature, arrays)
    return arrays


def of_dtype(dtype: Any, *shape: int | Dim) -> Signature:
    return Signature((TensorSpec("x", dtype, shape),), ())


@pytest.fixture
def tiny(tiny_onnx: Any) -> Model:
    return edgekit.load(tiny_onnx())


def big_endian(a: Any) -> Any:
    return a.astype(">f4")


def column_order(a: Any) -> Any:
    return np.asfortranarray(a)


def reversed_twice(a: Any) -> Any:
    return np.ascontiguousarray(a[::-1, ::-1])[::-1, ::-1]


def every_other(a: Any) -> Any:
    wide = np.full((a.shape[0] * 2, a.shape[1] * 3), np.nan, a.dtype)
    wide[::2, ::3] = a
    return wide[::2, ::3]


def unaligned(a: Any) -> Any:
    store = np.zeros(a.nbytes + 1, np.uint8)
    store[1:] = a.view(np.uint8).ravel()
    return store[1:].view(a.dtype).reshape(a.shape)


def read_only(a: Any) -> Any:
    a = a.copy()
    a.flags.writeable = False
    return a


def unpickled(a: Any) -> Any:
    return pickle.loads(pickle.dumps(a))


def with_metadata(a: Any) -> Any:
    return a.astype(np.dtype("float32", metadata={"unit": "m"}))


def matrix(a: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return np.matrix(a)


def unmasked(a: Any) -> Any:
    return np.ma.masked_array(a, mask=np.zeros(a.shape, bool))


LAYOUTS = [
    *(np.array, big_endian, column_order, reversed_twice, every_other, unaligned, read_only),
    *(unpickled, with_metadata, matrix, unmasked, memoryview, np.ndarray.tolist, tuple),
]


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda f: f.__name__)
def test_any_form_of_the_same_numbers_gives_the_same_answer(
    layout: Callable[[Any], Any], tiny: Model, tiny_answer: Answer
) -> None:
    value = layout(X)
    for _ in range(2):  # the second call goes the short way, where there is one
        np.testing.assert_allclose(tiny(value), tiny_answer({"x": X}), atol=1e-6)
        np.testing.assert_array_equal(tiny(value), tiny(X))


class _Watched:
    """A session that keeps what it is fed."""

    def __init__(self) -> None:
        self.fed: list[Any] = []

    def run(self, outputs: list[str], feed: dict[str, Any]) -> list[Any]:
        self.fed.append(feed["x"])
        return [feed["x"]]


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda f: f.__name__)
def test_onnxruntime_sees_nothing_but_plain_arrays(
    layout: Callable[[Any], Any], tiny: Model
) -> None:
    tiny(X)  # from here on the shape is known
    session: Any = _Watched()
    tiny._session = session
    value = layout(X)
    tiny(value)
    (fed_array,) = session.fed
    assert type(fed_array) is np.ndarray
    assert fed_array.dtype == np.float32
    assert fed_array.flags.c_contiguous
    assert fed_array.flags.aligned


def test_one_array_by_name_goes_the_short_way_too(
    tiny: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = tiny({"x": X})
    monkeypatch.setattr(Model, "_by_name", None)  # the long way begins with it
    np.testing.assert_array_equal(tiny({"x": X}), plain)
    np.testing.assert_array_equal(tiny(X), plain)


def test_what_lies_inside_a_session_of_onnxruntime_is_called_directly(
    tiny: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is private: a release that renames it must be noticed."""
    plain = tiny(X)
    monkeypatch.setattr(type(tiny._session), "run", None)
    np.testing.assert_array_equal(tiny(X), plain)


def test_a_mask_is_seen_where_the_shape_is_known(tiny: Model) -> None:
    tiny(X)
    with pytest.raises(InputError, match="masked elements"):
        tiny(np.ma.masked_array(X, mask=X > 1))


def test_repeated_rows_of_zero_stride_are_read_as_rows(tiny: Model, tiny_answer: Answer) -> None:
    rows = np.broadcast_to(X[0], (5, 4))
    np.testing.assert_allclose(tiny(rows), tiny_answer({"x": np.array(rows)}), atol=1e-6)


def test_a_memory_mapped_file_is_read(tiny: Model, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", X)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    np.testing.assert_array_equal(tiny(mapped), tiny(X))


@st.composite
def layouts(draw: st.DrawFn) -> Any:
    """Draw an array [n, m] of any layout, byte order and alignment."""
    shape = draw(st.tuples(st.integers(1, 5), st.integers(1, 5)))
    steps = draw(st.tuples(*[st.sampled_from([-3, -2, -1, 1, 2])] * 2))
    values = draw(st.lists(st.floats(width=32), min_size=25, max_size=25))
    plain = np.array(values, np.float32)[: shape[0] * shape[1]].reshape(shape)
    dtype = np.dtype(draw(st.sampled_from(["<f4", ">f4"])))
    offset = draw(st.integers(0, 4))
    wide = tuple(n * abs(step) for n, step in zip(shape, steps, strict=True))
    order: Any = draw(st.sampled_from("CF"))
    store = np.zeros(offset + int(np.prod(wide)) * 4, np.uint8)[offset:]
    strided = store.view(dtype).reshape(wide, order=order)[:: steps[0], :: steps[1]]
    strided[...] = plain
    if draw(st.booleans()):
        strided = np.broadcast_to(strided[:1], shape)
    strided.flags.writeable = False
    return strided


@settings(deadline=None, max_examples=200)
@given(layouts())
def test_every_layout_conforms_to_its_contiguous_copy(strided: Any) -> None:
    signature = of_dtype("float32", Dim("n"), Dim("m"))
    (got,) = fed(signature, {"x": strided}).values()
    assert got.dtype is np.dtype(np.float32)
    assert got.flags.c_contiguous
    assert got.flags.aligned
    np.testing.assert_array_equal(got, np.ascontiguousarray(strided, np.float32))


@settings(deadline=None, max_examples=30)
@given(layouts())
def test_every_layout_is_answered_like_its_contiguous_copy(strided: Any) -> None:
    model = negating()
    plain = np.ascontiguousarray(strided, np.float32)
    np.testing.assert_array_equal(model(strided), np.negative(plain))


@functools.cache
def negating() -> Model:
    """Load one model for all examples: y = -x for x [n, m]."""
    onnx = pytest.importorskip("onnx", reason="graphs are built with onnx")
    text = '<ir_version: 10, opset_import: ["": 20]> g (float[n,m] x) => (float[n,m] y)'
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "neg.onnx"
        onnx.save(onnx.parser.parse_model(f"{text} {{ y = Neg(x) }}"), path)
        return edgekit.load(path)


def test_an_array_that_fits_is_passed_on_untouched() -> None:
    assert conform(ONE, {"x": X})["x"] is X


@pytest.mark.parametrize("mapping", [dict, MappingProxyType], ids=["dict", "proxy"])
def test_any_mapping_will_do(mapping: Any, tiny: Model) -> None:
    np.testing.assert_array_equal(tiny(mapping({"x": X})), tiny(X))


def test_two_inputs_come_by_name_in_any_order(tiny_onnx: Any, tiny_answer: Answer) -> None:
    model = edgekit.load(tiny_onnx(second_input=True))
    offset = np.arange(9, dtype=np.float32).reshape(3, 3)
    expected = tiny_answer({"x": X, "offset": offset})
    for _ in range(2):
        np.testing.assert_allclose(model(x=X, offset=offset), expected, atol=1e-6)
        np.testing.assert_allclose(model({"offset": offset, "x": X}), expected, atol=1e-6)
        np.testing.assert_allclose(model({"offset": offset}, x=X), expected, atol=1e-6)


@pytest.mark.parametrize(
    ("feed", "named", "sentence"),
    [
        (None, {}, "The input 'x' is missing; expected: x: float32 [batch, 4]; offset: float32"),
        (None, {"x": X}, "The input 'offset' is missing"),
        (X, {}, "has the inputs x, offset: pass them by name"),
        (X, {"offset": X}, "has the inputs x, offset: pass them by name"),
        ({"x": X, "offset": X, "z": X}, {}, "There is no input 'z'; expected: x: float32"),
        ({"x": X, "ofset": X}, {}, "There is no input 'ofset'"),
        ({"x": X, "offset": X}, {"x": X}, "The input 'x' is given twice"),
        ({0: X}, {}, "There is no input 0"),
        (
            {"x": X, "offset": np.zeros((2, 3), np.float32)},
            {},
            "The dimension batch is 3 in x and 2 in offset; it must be the same: "
            "x: float32 [batch, 4]; offset: float32 [batch, 3]",
        ),
    ],
)
def test_names_that_do_not_fit_get_a_sentence(
    feed: Any, named: dict[str, Any], sentence: str, tiny_onnx: Any
) -> None:
    model = edgekit.load(tiny_onnx(second_input=True))
    for _ in range(2):
        with pytest.raises(InputError) as caught:
            model(feed, **named)
        assert sentence in str(caught.value)


def test_an_array_and_a_name_together_are_refused_for_one_input(tiny: Model) -> None:
    tiny(X)
    with pytest.raises(InputError, match="pass one array, or x=array"):
        tiny(X, x=X)


def test_a_shape_that_was_right_once_says_nothing_about_another(tiny_onnx: Any) -> None:
    model = edgekit.load(tiny_onnx(second_input=True))
    model(x=X, offset=X[:, :3])
    with pytest.raises(InputError, match="batch is 3 in x and 2 in offset"):
        model(x=X, offset=X[:2, :3])


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        (X.astype(np.float64), "x has dtype float64 and the model takes float32"),
        (X.astype(">f8"), "x has dtype float64"),
        (X.astype(np.float16), "x has dtype float16"),
        (X.astype(np.int32), r"Convert it with .astype('float32')"),
        (X.astype(np.complex64), "x has dtype complex64"),
        (X.astype(object), "x has dtype object"),
        (X.astype(str), "x has dtype str"),
        (X.view([("re", "f4")]), "x has dtype void"),
        (np.datetime64("2026-01-01"), "x has dtype datetime64"),
        (X[0], "x has 1 dimensions [4] and the model takes 2: x: float32 [batch, 4]"),
        (X[None], "x has 3 dimensions [1, 3, 4]"),
        (np.float32(1), "x has 0 dimensions []"),
        (1.0, "x has 0 dimensions []"),
        (X[:, :3], "Axis 1 of x has size 3 and the model takes 4"),
        (X[:0], "Axis 0 of x has size 0 and the model takes batch:1..8"),
        ([], "x has 1 dimensions [0]"),
        (np.zeros((9, 4), np.float32), "Axis 0 of x has size 9 and the model takes batch:1..8"),
        ([[1, 2], [3]], "x is not an array (setting an array element with a sequence"),
        ("text", "x holds str"),
        (b"bytes", "x holds bytes"),
        (object(), "x holds object values"),
        ([1j], "x holds complex128 values"),
        ([None], "x holds object values"),
        ([[1e300] * 4], "x holds values that are too large for float32"),
    ],
)
def test_what_does_not_fit_gets_a_sentence(value: Any, sentence: str) -> None:
    with pytest.raises(InputError) as caught:
        fed(ONE, {"x": value})
    assert sentence in str(caught.value)
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize(
    ("dtype", "value", "expected"),
    [
        ("float32", [1, True, 2.5], [1, 1, 2.5]),
        ("float32", [float("nan"), float("inf")], [np.nan, np.inf]),
        ("float64", [1e300], [1e300]),
        ("uint8", [0, 255], [0, 255]),
        ("int8", [-128, True], [-128, 1]),
        ("int64", [2**62], [2**62]),
        ("uint64", [2**64 - 1], [2**64 - 1]),
        ("bool", [True, False], [True, False]),
        ("float16", [0.1], [np.float16(0.1)]),
        ("float32", array.array("f", [1.5]), [1.5]),
    ],
)
def test_lists_whose_values_fit_are_converted(dtype: str, value: Any, expected: Any) -> None:
    (got,) = fed(of_dtype(dtype, Dim("n")), {"x": value}).values()
    assert got.dtype == dtype
    np.testing.assert_array_equal(got, np.array(expected, dtype))


@pytest.mark.parametrize(
    ("dtype", "value"),
    [
        ("int8", [128]),
        ("uint8", [-1]),
        ("uint8", [256]),
        ("int64", [2**63]),
        ("int64", [2**70]),
        ("int64", [1.0]),
        ("bool", [1]),
        ("float16", [1e6]),
    ],
)
def test_lists_whose_values_would_change_are_refused(dtype: str, value: Any) -> None:
    with pytest.raises(InputError, match=rf"x holds .* {dtype}"):
        fed(of_dtype(dtype, Dim("n")), {"x": value})


def test_a_scalar_stays_a_scalar(write_onnx: WriteOnnx) -> None:
    model = edgekit.load(write_onnx("(float x) => (float y) { y = Neg(x) }"))
    for value in (2, 2.0, np.float32(2), np.array(2, np.float32), np.array(2, ">f4")):
        answer = model(value)
        assert answer.shape == ()
        assert answer == -2


@pytest.mark.parametrize("form", [np.asarray, list], ids=["array", "list"])
def test_masked_elements_are_never_unmasked(form: Any) -> None:
    masked = np.ma.masked_array(X, mask=X > 1)
    with pytest.raises(InputError, match=r"masked elements.*\.filled\(value\)"):
        fed(ONE, {"x": masked if form is np.asarray else form(masked)})


def test_another_library_array_keeps_its_dtype() -> None:
    class Table:
        def __init__(self, values: Any) -> None:
            self.values = values

        def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
            return self.values

    assert fed(ONE, {"x": Table(X)})["x"] is X
    with pytest.raises(InputError, match="x has dtype float64"):
        fed(ONE, {"x": Table(X.astype(np.float64))})


def test_an_array_protocol_that_raises_gets_a_sentence() -> None:
    class Broken:
        def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
            raise LookupError("on the moon")

    with pytest.raises(InputError, match=r"x is not an array \(on the moon\)"):
        conform(ONE, {"x": Broken()})


def test_tensors_of_torch_are_read_without_a_copy() -> None:
    torch = pytest.importorskip("torch")
    tensor = torch.from_numpy(X.copy())
    got = fed(ONE, {"x": tensor})["x"]
    np.testing.assert_array_equal(got, X)
    assert np.shares_memory(got, tensor.numpy())
    np.testing.assert_array_equal(
        fed(ONE, {"x": tensor.T.contiguous().T})["x"],
        X,
    )
    assert fed(of_dtype("float32"), {"x": torch.tensor(2.0)})["x"] == 2
    assert fed(of_dtype("bool", 1), {"x": torch.tensor([True])})["x"]


def test_tensors_of_torch_that_cannot_be_read_get_a_sentence() -> None:
    torch = pytest.importorskip("torch")
    for tensor in (
        torch.ones(3, 4, requires_grad=True),
        torch.ones(3, 4, dtype=torch.bfloat16),
        torch.ones(3, 4).to_sparse(),
        torch.ones(3, 4, device="meta"),
    ):
        with pytest.raises(InputError, match=r"x is a Tensor that numpy cannot read \(.*CPU"):
            conform(ONE, {"x": tensor})
    with pytest.raises(InputError, match="x has dtype float64"):
        conform(ONE, {"x": torch.ones(3, 4, dtype=torch.float64)})


@pytest.mark.parametrize("dtype", ["int64", "bool", "float16", "uint8", "float64", "uint16"])
def test_models_of_other_types_take_and_give_them(dtype: str, write_onnx: WriteOnnx) -> None:
    name = {"float64": "double"}.get(dtype, dtype)
    model = edgekit.load(write_onnx(f"({name}[n] x) => ({name}[n] y) {{ y = Identity(x) }}"))
    x = np.array([0, 1, 1], dtype)
    assert model.inputs[0].dtype == model.outputs[0].dtype == dtype
    for value in (x, x.astype(x.dtype.newbyteorder()), x[::-1][::-1]):
        assert model(value).dtype == dtype
        np.testing.assert_array_equal(model(value), x)


def test_c_longs_of_either_name_are_int64(write_onnx: WriteOnnx) -> None:
    model = edgekit.load(write_onnx("(int64[n] x) => (int64[n] y) { y = Neg(x) }"))
    for kind in (np.long, np.longlong):
        value = np.array([1, -2], kind)
        if value.itemsize == 8:
            np.testing.assert_array_equal(model(value), [-1, 2])
            np.testing.assert_array_equal(model(value), [-1, 2])


def test_not_a_number_goes_in_and_comes_out(tiny: Model) -> None:
    x = X.copy()
    x[1] = np.nan
    assert np.isnan(tiny(x)[1]).all()
    assert not np.isnan(tiny(x)[0]).any()
