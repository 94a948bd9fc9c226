from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.data import labelled, metric_for, open_data
from edgekit.data.opening import refuse_unreadable
from edgekit.errors import (
    BadValue,
    FactoryFailed,
    InputError,
    MissingExtra,
    NotFound,
    UnknownName,
)
from edgekit.package.cases import content_sha256_of_all
from edgekit.tensors import Array, Dim, Signature, TensorSpec

Write = Callable[[Path, Array, Array], str]


def npz(folder: Path, images: Array, labels: Array) -> str:
    np.savez(folder / "data.npz", image=images.astype(np.float64), labels=labels)
    return "data.npz"


def npy_folder(folder: Path, images: Array, labels: Array) -> str:
    (folder / "stacked").mkdir()
    np.save(folder / "stacked" / "image.npy", images[:, None])
    np.save(folder / "stacked" / "labels.npy", labels.astype(np.uint8))
    return "stacked"


def npz_folder(folder: Path, images: Array, labels: Array) -> str:
    (folder / "each").mkdir()
    for index, (image, label) in enumerate(zip(images, labels, strict=True)):
        np.savez(folder / "each" / f"{index:03}.npz", image=image, label=label)
    return "each/"


def parquet(folder: Path, images: Array, labels: Array) -> str:
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    table = pa.table({"image": images.reshape(20, -1).tolist(), "label": labels})
    pq.write_table(table, folder / "data.parquet")
    return "data.parquet"


def parquet_folder(folder: Path, images: Array, labels: Array) -> str:
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    (folder / "parts").mkdir()
    for part in range(4):
        chosen = slice(5 * part, 5 * part + 5)
        table = pa.table({"image": images[chosen].tolist(), "label": labels[chosen]})
        pq.write_table(table, folder / "parts" / f"part-{part}.parquet")
    return "parts"


def factory(folder: Path, images: Array, labels: Array) -> str:
    np.savez(folder / "raw.npz", x=images, y=labels)
    (folder / "held_out_cases.py").write_text(
        "from pathlib import Path\n"
        "import numpy as np\n"
        "def make():\n"
        "    raw = np.load(Path(__file__).parent / 'raw.npz')\n"
        "    for start in range(0, 20, 8):\n"  # as a loader does: the last batch is a small one
        "        chosen = slice(start, start + 8)\n"
        "        yield {'image': raw['x'][chosen]}, raw['y'][chosen]\n"
    )
    return "held_out_cases.py:make"


FORMS: tuple[Write, ...] = (npz, npy_folder, npz_folder, parquet, parquet_folder, factory)


@pytest.mark.parametrize("write", FORMS)
def test_the_same_cases_are_read_from_every_form(
    write: Write, takes: Signature, images: Array, labels: Array, tmp_path: Path
) -> None:
    source = write(tmp_path, images, labels)
    data = open_data(source, takes, split="test", metric="top1", folder=tmp_path)
    name = source.rstrip("/")
    assert (data.name, data.split, data.cases) == (f"cases of {name}", "test", 20)
    assert not data.synthetic
    for _ in range(2):
        cases = list(data.open())
        assert [case.label for case in cases] == labels.tolist()
        assert all(case.feed["image"].dtype == np.float32 for case in cases)
        assert np.array_equal([case.feed["image"] for case in cases], images[:, None])
        assert content_sha256_of_all(cases) == data.sha256
    assert labelled(data)
    refuse_unreadable(source, split="test", folder=tmp_path)


def test_sources_start_in_the_current_folder(
    takes: Signature, images: Array, labels: Array, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = npz(tmp_path, images, labels)
    monkeypatch.chdir(tmp_path)
    data = open_data(source, takes, split="train")
    assert open_data(str(tmp_path / source), takes, split="train").sha256 == data.sha256
    assert open_data(str(tmp_path / source), takes, split="train").name == "cases of data.npz"


def test_batches_of_several_rows_stay_cases_of_their_own(
    takes: Signature, images: Array, tmp_path: Path
) -> None:
    np.savez(tmp_path / "data.npz", image=images.reshape(5, 4, 3, 4))
    data = open_data("data.npz", takes, split="train", folder=tmp_path)
    assert [case.feed["image"].shape for case in data.open()] == [(4, 3, 4)] * 5


def test_several_inputs_of_other_shapes_go_together(tmp_path: Path) -> None:
    time, batch = Dim("time", 1), Dim("batch", 1)
    takes = Signature(
        (
            TensorSpec("sound", "float32", (time, batch, 2)),
            TensorSpec("state", "float32", (4,)),
            TensorSpec("speed", "float64", ()),
        ),
        (),
    )
    arrays: dict[str, Any] = {
        "sound": np.zeros((3, 7, 2)),
        "state": np.ones((3, 4)),
        "speed": np.arange(3.0),
    }
    np.savez(tmp_path / "data.npz", **arrays)
    (first, *_) = open_data("data.npz", takes, split="train", folder=tmp_path).open()
    assert [array.shape for array in first.feed.values()] == [(7, 1, 2), (4,), ()]


@pytest.mark.parametrize(
    ("arrays", "error", "sentence"),
    [
        (
            {"picture": np.zeros((2, 3, 4)), "label": [1, 2]},
            InputError,
            r"The evaluation data data\.npz don't fit the model at case 0: The input 'image' is "
            "missing|There is no input 'picture'",
        ),
        ({"image": np.zeros((2, 4, 3)), "label": [1, 2]}, InputError, "Axis 1 of image has size 4"),
        ({"image": np.zeros((2, 3, 4), int), "label": [1, 2]}, InputError, "has dtype int64"),
        (
            {"image": [np.zeros((3, 4)), np.full((3, 4), np.nan)], "label": [1, 2]},
            InputError,
            "at case 1: image is NaN or infinite in 12 of 12",
        ),
        ({"image": np.full((2, 3, 4), 255.0), "label": [1, 2]}, InputError, "prepare them as for"),
        (
            {"image": np.zeros((2, 3, 4))},
            InputError,
            r"at case 0: It has no label, and the model is judged by right classes \(top1\)\. Give",
        ),
        ({"image": np.zeros((2, 3, 4)), "label": [1.0, 2.0]}, InputError, "its label is"),
        ({"image": np.zeros((2, 3, 4)), "label": [1, 9]}, InputError, "at case 1: Its label is 9"),
        (
            {"image": np.zeros((0, 3, 4)), "label": np.zeros(0, int)},
            BadValue,
            r"The evaluation data data\.npz cannot be empty: expected at least one case",
        ),
        ({}, BadValue, "cannot be empty"),
        ({"image": np.array([None])}, BadValue, "only pickle could read"),
    ],
)
def test_data_that_cannot_be_measured_on_are_refused(
    arrays: dict[str, Any],
    error: type[Exception],
    sentence: str,
    takes: Signature,
    tmp_path: Path,
) -> None:
    np.savez(tmp_path / "data.npz", **arrays)
    with pytest.raises(error, match=sentence):
        open_data("data.npz", takes, split="test", metric="top1", folder=tmp_path)


def test_calibration_data_need_no_labels(takes: Signature, images: Array, tmp_path: Path) -> None:
    np.savez(tmp_path / "data.npz", image=images)
    data = open_data("data.npz", takes, split="train", metric="top1", folder=tmp_path)
    assert data.split == "train"
    assert not labelled(data)
    np.savez(tmp_path / "bad.npz", image=images * np.nan)
    with pytest.raises(InputError, match=r"The calibration data bad\.npz don't fit the model"):
        open_data("bad.npz", takes, split="train", folder=tmp_path)


@pytest.mark.parametrize(
    ("first", "second", "said"),
    [("", ", 3", "has a label, and those before it have none"), (", 3", "", "has no label, and")],
)
def test_all_cases_have_labels_or_none(
    first: str, second: str, said: str, takes: Signature, tmp_path: Path
) -> None:
    (tmp_path / "some_labels.py").write_text(
        "import numpy as np\nx = {'image': np.zeros((3, 4))}\n"
        f"def make():\n    yield x{first}\n    yield x{second}\n"
    )
    sys.modules.pop("some_labels", None)
    with pytest.raises(InputError, match=f"at case 1: It {said}.*label all cases, or none"):
        open_data("some_labels.py:make", takes, split="test", folder=tmp_path)


def test_a_factory_that_gives_others_at_each_pass_is_told(takes: Signature, tmp_path: Path) -> None:
    (tmp_path / "unsteady.py").write_text(
        "import numpy as np\nmade = np.random.default_rng(0)\n"
        "def make():\n    yield {'image': made.random((3, 4))}\n"
    )
    data = open_data("unsteady.py:make", takes, split="train", folder=tmp_path)
    with pytest.raises(FactoryFailed, match=r"are not the same at every pass.*a seed of its own"):
        list(data.open())


@pytest.mark.parametrize("differs", ["order", "label"])
def test_a_factory_is_told_of_another_order_and_of_other_labels(
    differs: str, takes: Signature, tmp_path: Path
) -> None:
    (tmp_path / f"other_{differs}.py").write_text(
        "import numpy as np\npasses = []\n"
        "def make():\n    passes.append(1)\n"
        "    turn = len(passes) % 2\n"
        f"    order, label = ({differs == 'order'} and turn), ({differs == 'label'} and turn)\n"
        "    for i in ([1, 0] if order else [0, 1]):\n"
        "        yield {'image': np.full((3, 4), i / 2)}, i + label\n"
    )
    data = open_data(f"other_{differs}.py:make", takes, split="test", folder=tmp_path)
    with pytest.raises(FactoryFailed, match="are not the same at every pass, or in another order"):
        list(data.open())


def test_a_factory_may_fill_one_array_anew_for_each_case(takes: Signature, tmp_path: Path) -> None:
    (tmp_path / "refilled.py").write_text(
        "import numpy as np\n"
        "def make():\n    image = np.zeros((3, 4), np.float32)\n"
        "    for i in range(3):\n        image[:] = i / 4\n        yield {'image': image}\n"
    )
    data = open_data("refilled.py:make", takes, split="train", folder=tmp_path)
    kept = list(data.open())
    assert [float(case.feed["image"][0, 0, 0]) for case in kept] == [0.0, 0.25, 0.5]


@pytest.mark.parametrize("form", ["npz", "NPZ"])
def test_a_file_s_ending_may_be_written_in_capitals(
    form: str, takes: Signature, images: Array, tmp_path: Path
) -> None:
    with (tmp_path / f"cases.{form}").open("wb") as file:
        np.savez(file, image=images)
    assert open_data(f"cases.{form}", takes, split="train", folder=tmp_path).cases == len(images)


@pytest.mark.parametrize(
    ("source", "error", "sentence"),
    [
        ("", BadValue, "The evaluation data cannot be an empty name: expected an .npz"),
        (
            "nothing.npz",
            NotFound,
            r"nothing\.npz does not exist; expected data: an \.npz, a folder",
        ),
        ("nothing", NotFound, "does not exist"),
        ("data.csv", BadValue, r"The evaluation data data\.csv cannot be a \.csv file: expected"),
        ("noname", BadValue, "cannot be a nameless file"),
        (
            "image.npy",
            BadValue,
            r"a \.npy file: expected a folder that holds it, under the input's",
        ),
        ("data.py", BadValue, r"expected a factory in it: data\.py:NAME"),
        ("empty", BadValue, "cannot be a folder with none of these files: expected a folder of"),
        ("mixed", BadValue, r"cannot be a folder with \.npy and \.npz files"),
        ("nowhere.py:make", NotFound, r"nowhere\.py does not exist"),
    ],
)
def test_a_source_of_no_known_form_is_refused_at_once(
    source: str, error: type[Exception], sentence: str, takes: Signature, tmp_path: Path
) -> None:
    for name in ("data.csv", "noname", "image.npy", "data.py"):
        (tmp_path / name).write_text("")
    for name in ("empty", "mixed"):
        (tmp_path / name).mkdir()
    for name in ("a.npy", "a.npz"):
        (tmp_path / "mixed" / name).write_text("")
    with pytest.raises(error, match=sentence):
        refuse_unreadable(source, split="test", folder=tmp_path)
    with pytest.raises(error, match=sentence):
        open_data(source, takes, split="test", folder=tmp_path)


def test_looking_at_a_source_runs_nothing(tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    (tmp_path / "loud.py").write_text(f"open({str(ran)!r}, 'w').close()")
    before = set(sys.modules)
    refuse_unreadable("loud.py:make", split="train", folder=tmp_path)
    refuse_unreadable("some.module:make", split="train", folder=tmp_path)
    assert not ran.exists()
    assert not {"loud", "some", "some.module"} & (set(sys.modules) - before)


def test_a_factory_that_is_not_in_its_file_is_told(takes: Signature, tmp_path: Path) -> None:
    (tmp_path / "lacks.py").write_text("def others(): ...")
    with pytest.raises(UnknownName, match=r"no factory 'make' in lacks\.py; there is: others"):
        open_data("lacks.py:make", takes, split="test", folder=tmp_path)


def test_parquet_without_pyarrow_names_the_extra(
    takes: Signature, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "data.parquet").write_text("")
    monkeypatch.delitem(sys.modules, "edgekit.data.columns", raising=False)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtra, match=r"pip install 'edgekit-onnx\[data\]'"):
        open_data("data.parquet", takes, split="test", folder=tmp_path)


@pytest.mark.parametrize(
    ("output", "labels", "metric"),
    [
        (TensorSpec("y", "float32", (Dim("batch"), 5)), True, "top1"),
        (TensorSpec("y", "float32", (Dim("batch"), 5)), False, "closeness"),
        (TensorSpec("y", "float32", (Dim("batch"), 9, 5)), True, "closeness"),
    ],
)
def test_labels_of_scored_classes_are_counted(
    output: TensorSpec, labels: bool, metric: str, takes: Signature, tmp_path: Path
) -> None:
    takes = Signature(takes.inputs, (output,))
    given: dict[str, Any] = {"label": [1, 2]} if labels else {}
    np.savez(tmp_path / "data.npz", image=np.zeros((2, 3, 4)), **given)
    data = open_data("data.npz", takes, split="test", folder=tmp_path)
    assert metric_for(data, takes, metric="closeness") == metric
    assert metric_for(data, takes, metric="top1") == "top1"


def test_reading_arrays_loads_no_pyarrow(
    fresh_python: Callable[[str], str], images: Array, labels: Array, tmp_path: Path
) -> None:
    npz(tmp_path, images, labels)
    loaded = fresh_python(
        "import sys; from pathlib import Path\n"
        "from edgekit.data import open_data\n"
        "from edgekit.tensors import Dim, Signature, TensorSpec\n"
        "takes = Signature((TensorSpec('image', 'float32', (Dim('batch'), 3, 4)),), ())\n"
        f"open_data('data.npz', takes, split='train', folder=Path({str(tmp_path)!r}))\n"
        "print(*sys.modules)"
    ).split()
    assert "edgekit.data.opening" in loaded
    assert not {"pyarrow", "torch", "onnx"} & set(loaded)
