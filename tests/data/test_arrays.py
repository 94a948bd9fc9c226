from __future__ import annotations

import tracemalloc
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.data.arrays import npz_each, stacked_npy, stacked_npz
from edgekit.data.checking import Given
from edgekit.errors import BadValue, InputError
from edgekit.tensors import Array, Dim, Signature, TensorSpec

Read = Callable[[Path, Signature], Iterator[Given]]


def write_npz(folder: Path, **arrays: Any) -> Path:
    np.savez(folder / "data.npz", **arrays)
    return folder / "data.npz"


def write_compressed(folder: Path, **arrays: Any) -> Path:
    np.savez_compressed(folder / "data.npz", **arrays)
    return folder / "data.npz"


def write_npy(folder: Path, **arrays: Any) -> Path:
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)
    return folder


STACKED = pytest.mark.parametrize(
    ("write", "read"),
    [(write_npz, stacked_npz), (write_compressed, stacked_npz), (write_npy, stacked_npy)],
)


@STACKED
@pytest.mark.parametrize("name", ["label", "labels"])
def test_stacked_arrays_are_taken_a_case_at_a_time(
    write: Any,
    read: Read,
    name: str,
    takes: Signature,
    images: Array,
    labels: Array,
    tmp_path: Path,
) -> None:
    path = write(tmp_path, image=images, **{name: labels})
    for _ in range(2):
        found = list(read(path, takes))
        assert [given.label for given in found] == labels.tolist()
        assert np.array_equal([given.feed["image"] for given in found], images)
        assert all(given.feed["image"].flags.writeable for given in found)


@STACKED
@pytest.mark.parametrize("dtype", ["float64", ">f4", "int32"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_a_stack_of_any_type_and_order_is_read(
    write: Any, read: Read, dtype: str, order: Any, takes: Signature, images: Array, tmp_path: Path
) -> None:
    array = np.asarray(100 * images, dtype=dtype, order=order)
    found = list(read(write(tmp_path, image=array), takes))
    assert np.array_equal([given.feed["image"] for given in found], array)
    assert [given.label for given in found] == [None] * 20


@STACKED
def test_an_input_that_is_called_label_is_one(write: Any, read: Read, tmp_path: Path) -> None:
    takes = Signature((TensorSpec("label", "int64", (Dim("batch"),)),), ())
    found = list(read(write(tmp_path, label=np.arange(3), labels=np.arange(3) + 7), takes))
    assert [(int(given.feed["label"]), int(given.label)) for given in found] == [
        (0, 7),
        (1, 8),
        (2, 9),
    ]


@STACKED
@pytest.mark.parametrize(
    ("arrays", "sentence"),
    [
        (
            {"image": np.zeros((20, 3, 4)), "labels": np.zeros(19, int)},
            "different numbers of cases: 20 of image, 19 of labels",
        ),
        (
            {"image": np.zeros((3, 4))},
            r"image has the shape \[3, 4\]; its first axis counts the cases, and each case is "
            r"image: float32 \[batch, 3, 4\], whose batch axis may be left out",
        ),
        ({"image": np.zeros((2, 2, 1, 3, 4))}, r"image has the shape \[2, 2, 1, 3, 4\]"),
        ({"image": np.float32(3)}, "image is a single number"),
    ],
)
def test_stacks_that_do_not_fit_are_told_before_any_case(
    write: Any, read: Read, arrays: dict[str, Any], sentence: str, takes: Signature, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=sentence):
        next(read(write(tmp_path, **arrays), takes))


@STACKED
def test_rows_for_a_fixed_batch_are_told_what_to_do(write: Any, read: Read, tmp_path: Path) -> None:
    takes = Signature((TensorSpec("x", "float32", (2, 4)),), ())
    with pytest.raises(InputError, match="made for 2 rows a call: give 2 a case, or export it"):
        next(read(write(tmp_path, x=np.zeros((12, 4))), takes))


@STACKED
def test_empty_stacks_have_no_case(
    write: Any, read: Read, takes: Signature, tmp_path: Path
) -> None:
    assert list(read(write(tmp_path, image=np.zeros((0, 3, 4))), takes)) == []


@STACKED
def test_pickled_objects_are_refused(
    write: Any, read: Read, takes: Signature, tmp_path: Path
) -> None:
    ragged = np.array([[1], [1, 2]], dtype=object)
    with pytest.raises(BadValue, match="it holds Python objects, which only pickle could read"):
        list(read(write(tmp_path, image=ragged), takes))


@pytest.mark.parametrize(
    ("content", "read"), [(b"", "File is not a zip"), (b"PK\3\4 nothing", "File is not a zip")]
)
def test_a_file_that_is_no_npz_is_told(
    content: bytes, read: str, takes: Signature, tmp_path: Path
) -> None:
    (tmp_path / "data.npz").write_bytes(content)
    with pytest.raises(BadValue, match=rf"data\.npz cannot be read \({read}.*expected an \.npz"):
        next(stacked_npz(tmp_path / "data.npz", takes))


def test_an_npz_of_other_files_is_told(takes: Signature, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "data.npz", "w") as archive:
        archive.writestr("image.npy", "words")
    with pytest.raises(BadValue, match=r"data\.npz cannot be read .*magic"):
        next(stacked_npz(tmp_path / "data.npz", takes))


def test_an_npy_that_is_cut_off_is_told(takes: Signature, images: Array, tmp_path: Path) -> None:
    path = write_npy(tmp_path, image=images)
    whole = (path / "image.npy").read_bytes()
    (path / "image.npy").write_bytes(whole[:-9])
    with pytest.raises(BadValue, match=r"image\.npy cannot be read"):
        next(stacked_npy(path, takes))


def test_a_stream_that_ends_early_is_told(takes: Signature, images: Array, tmp_path: Path) -> None:
    np.save(tmp_path / "image.npy", images)
    with zipfile.ZipFile(tmp_path / "data.npz", "w") as archive:
        archive.writestr("image.npy", (tmp_path / "image.npy").read_bytes()[:-9])
    read = stacked_npz(tmp_path / "data.npz", takes)
    with pytest.raises(BadValue, match="ends too early"):
        list(read)


def test_a_folder_of_npz_has_a_case_in_each(
    takes: Signature, images: Array, labels: Array, tmp_path: Path
) -> None:
    for index in reversed(range(20)):
        np.savez(tmp_path / f"{index:02}.npz", image=images[index], label=labels[index])
    found = list(npz_each(tmp_path, takes))
    assert np.array_equal([given.feed["image"] for given in found], images)
    assert [int(given.label) for given in found] == labels.tolist()


def test_an_npz_in_a_folder_that_cannot_be_read_is_told(takes: Signature, tmp_path: Path) -> None:
    np.savez(tmp_path / "0.npz", image=np.zeros((3, 4)))
    np.savez(tmp_path / "1.npz", image=np.array([None]))
    read = npz_each(tmp_path, takes)
    assert next(read).label is None
    with pytest.raises(BadValue, match=r"1\.npz cannot be read .*pickle"):
        next(read)


@STACKED
def test_a_thousand_large_cases_are_not_held_in_memory(
    write: Any, read: Read, tmp_path: Path
) -> None:
    takes = Signature((TensorSpec("x", "float32", (Dim("batch"), 10_000)),), ())
    path = write(tmp_path, x=np.zeros((1000, 10_000), np.float32))
    tracemalloc.start()
    try:
        assert sum(given.feed["x"].size for given in read(path, takes)) == 10_000_000
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 4_000_000  # of 40 MB
