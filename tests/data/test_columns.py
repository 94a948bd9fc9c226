from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.errors import BadValue, InputError, UnknownName
from edgekit.tensors import Array, Dim, Signature, TensorSpec

pa = pytest.importorskip("pyarrow", reason="Parquet is read with pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

from edgekit.data.columns import parquet_rows  # noqa: E402 - which imports pyarrow


def write(folder: Path, **columns: Any) -> Path:
    pq.write_table(pa.table(columns), folder / "data.parquet", row_group_size=7)
    return folder / "data.parquet"


def flat(images: Array) -> Any:
    return [image.reshape(-1).tolist() for image in images]


def nested(images: Array) -> Any:
    return images.tolist()


def fixed_size(images: Array) -> Any:
    return pa.FixedSizeListArray.from_arrays(pa.array(images.reshape(-1)), images[0].size)


def large(images: Array) -> Any:
    return pa.array(flat(images), pa.large_list(pa.float32()))


def tensors(images: Array) -> Any:
    return pa.FixedShapeTensorArray.from_numpy_ndarray(images)


@pytest.mark.parametrize("form", [flat, nested, fixed_size, large, tensors])
@pytest.mark.parametrize("name", ["label", "labels"])
def test_a_column_of_lists_is_brought_into_the_input_s_shape(
    form: Any, name: str, takes: Signature, images: Array, labels: Array, tmp_path: Path
) -> None:
    path = write(tmp_path, image=form(images), **{name: labels, "row_id": np.arange(20)})
    found = list(parquet_rows([path, path], takes))
    assert len(found) == 40
    assert [given.label for given in found] == [*labels.tolist(), *labels.tolist()]
    for given, image in zip(found, [*images, *images], strict=True):
        assert np.array_equal(given.feed["image"].reshape(3, 4), image)


def test_a_tensor_s_axes_lie_as_its_type_says(tmp_path: Path) -> None:
    cubes = np.random.default_rng(0).random((4, 2, 2, 2), np.float32)
    stored = pa.FixedSizeListArray.from_arrays(pa.array(cubes.transpose(0, 2, 3, 1).ravel()), 8)
    kind = pa.fixed_shape_tensor(pa.float32(), [2, 2, 2], permutation=[2, 0, 1])
    path = write(tmp_path, cube=pa.ExtensionArray.from_storage(kind, stored))
    takes = Signature((TensorSpec("cube", "float32", (2, 2, 2)),), ())
    for given, cube in zip(parquet_rows([path], takes), cubes, strict=True):
        assert np.array_equal(given.feed["cube"], cube)


@pytest.mark.parametrize(
    ("column", "held"),
    [
        (["1.5"] * 2, "string"),
        ([[Decimal("0.5")]] * 2, "decimal128"),
        ([[b"1"]] * 2, "binary"),
        ([{"a": 1.0}] * 2, "struct"),
        ([[{"a": 1.0}]] * 2, "struct"),
    ],
)
def test_a_column_without_numbers_is_told(column: Any, held: str, tmp_path: Path) -> None:
    path = write(tmp_path, x=pa.array(column))
    takes = Signature((TensorSpec("x", "float32", (Dim("batch"), 1)),), ())
    with pytest.raises(InputError, match=f"x is a column of {held}.*write whole numbers, floats"):
        list(parquet_rows([path], takes))


def test_an_extension_of_numbers_is_read_as_them(tmp_path: Path) -> None:
    flags = pa.ExtensionArray.from_storage(pa.bool8(), pa.array([1, 0], pa.int8()))
    takes = Signature((TensorSpec("flag", "bool", ()),), ())
    found = [given.feed["flag"] for given in parquet_rows([write(tmp_path, flag=flags)], takes)]
    assert [bool(flag) for flag in found] == [True, False]


def test_two_columns_of_one_name_are_told(tmp_path: Path) -> None:
    twice = pa.table([pa.array([1.0]), pa.array([2.0])], names=["x", "x"])
    pq.write_table(twice, tmp_path / "data.parquet")
    takes = Signature((TensorSpec("x", "float32", ()),), ())
    with pytest.raises(BadValue, match="2 of its columns are called x"):
        list(parquet_rows([tmp_path / "data.parquet"], takes))


def test_numbers_are_columns_of_numbers(tmp_path: Path) -> None:
    takes = Signature(
        (
            TensorSpec("id", "int64", (Dim("batch"),)),
            TensorSpec("flag", "bool", ()),
            TensorSpec("values", "float32", (Dim("batch"), Dim("time"))),
        ),
        (),
    )
    path = write(tmp_path, id=[3, 4], flag=[True, False], values=[[0.5], [0.25, 0.75]])
    first, second = parquet_rows([path], takes)
    assert (int(first.feed["id"]), bool(second.feed["flag"])) == (3, False)
    assert first.feed["values"].shape == (1, 1)
    assert second.feed["values"].tolist() == [[0.25, 0.75]]
    assert first.label is None


@pytest.mark.parametrize(
    ("column", "sentence"),
    [
        ([[0.5] * 11], r"image has 11 values, and each case is image: float32 \[batch, 3, 4\]"),
        ([[[0.5] * 4, [0.5] * 3]], "lists of different lengths in one case"),
        ([[0.5] * 11 + [None]], "image has 1 empty place\\."),
        ([None], "image has no value there"),
    ],
)
def test_lists_that_are_no_array_of_the_input_are_told(
    column: Any, sentence: str, takes: Signature, tmp_path: Path
) -> None:
    if column == [None]:
        column = pa.array([None], pa.list_(pa.float32()))
    with pytest.raises(InputError, match=sentence):
        list(parquet_rows([write(tmp_path, image=column)], takes))


def test_a_flat_list_of_several_open_sizes_must_be_nested(tmp_path: Path) -> None:
    shape = (Dim("batch"), Dim("height"), Dim("width"))
    takes = Signature((TensorSpec("image", "float32", shape),), ())
    with pytest.raises(InputError, match=r"several sizes of .* are open: nest the lists"):
        list(parquet_rows([write(tmp_path, image=[[0.5] * 12])], takes))
    path = write(tmp_path, image=[[[0.5] * 4] * 3])
    (found,) = parquet_rows([path], takes)
    assert found.feed["image"].shape == (3, 4)


def test_a_column_that_is_missing_is_told(takes: Signature, tmp_path: Path) -> None:
    path = write(tmp_path, images=[[0.5] * 12], label=[1])
    with pytest.raises(UnknownName, match=r"no column 'image' in .*there is: images, label\. Did"):
        list(parquet_rows([path], takes))


def test_a_file_that_is_no_parquet_is_told(takes: Signature, tmp_path: Path) -> None:
    (tmp_path / "data.parquet").write_bytes(b"not a table at all")
    with pytest.raises(BadValue, match=r"data\.parquet cannot be read \(Parquet magic"):
        list(parquet_rows([tmp_path / "data.parquet"], takes))


def test_a_few_rows_are_in_memory_at_a_time(tmp_path: Path) -> None:
    takes = Signature((TensorSpec("x", "float32", (Dim("batch"), 10_000)),), ())
    column = pa.FixedSizeListArray.from_arrays(
        pa.array(np.random.default_rng(0).random(10_000_000, np.float32)), 10_000
    )
    pq.write_table(pa.table({"x": column}), tmp_path / "data.parquet", row_group_size=50)
    del column
    before, most = pa.total_allocated_bytes(), 0
    for given in parquet_rows([tmp_path / "data.parquet"], takes):
        assert given.feed["x"].size == 10_000
        most = max(most, pa.total_allocated_bytes() - before)
    assert most < 16_000_000  # of 40 MB
