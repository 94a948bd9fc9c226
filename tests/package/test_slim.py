"""What goes to the device: one variant, few cases, and what was chosen for it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnxruntime as ort
import pytest

import edgekit
from edgekit import machine as machines
from edgekit.errors import (
    BadValue,
    CorruptPackage,
    HashMismatch,
    NotFound,
    NotTuned,
    UnknownName,
    WouldOverwrite,
)
from edgekit.package import cases, choices, commit, reading, slim
from edgekit.package.slim import slim as slimmed
from edgekit.package.values import Asset, Target
from edgekit.tensors import Case

Choose = Callable[..., Path]
X = np.linspace(-2, 2, 12, dtype=np.float32).reshape(3, 4)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "device" / "out.edgekit"


def content(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_one_variant_and_a_few_cases_are_kept(with_fast: Path, choose: Choose, out: Path) -> None:
    choose(with_fast, threads=1, idle="sleep")
    before = content(with_fast)
    done = slimmed(with_fast, out)
    assert content(with_fast) == before
    assert (done.variants, done.left_out, done.machines) == (("fast",), ("fp32",), ("a small one",))
    package = reading.read(out)
    source = reading.read(with_fast)
    assert package.files["fast.onnx"] == source.files["fast.onnx"]
    assert (package.provenance, package.variants[0].parent) == (source.provenance, "fp32")
    (graph,) = package.graphs
    assert graph.reference is not None
    assert (graph.reference.cases, graph.evaluation, graph.calibration) == (3, None, None)
    sizes = [len(case.feed["x"]) for case in cases.open_cases(out, package, graph.reference).open()]
    assert sizes == [1, 3, 8]
    key = machines.speed_key(machines.describe())
    assert sorted(content(out)) == sorted(
        ["fast.onnx", "manifest.json", "reference.safetensors", f"measured/choice/{key}.json"]
    )
    with edgekit.load(out, verify=True) as model:
        session = model.explain().choice.session
        assert (session.threads, session.idle) == (1, "sleep")
        assert model.check().passed
    with edgekit.load(out, variant="portable") as model:
        assert model.explain().choice.variant == "fast"


def test_sizes_are_told_before_and_after(with_fast: Path, out: Path) -> None:
    done = slimmed(with_fast, out, variants=["fp32"])
    listed = reading.read(out).files
    sizes = {part.what: part.after_bytes for part in done.parts}
    assert sizes["variants"] == listed["fp32.onnx"].size
    assert sizes["reference cases"] == listed["reference.safetensors"].size
    assert sizes["evaluation cases"] == 0
    assert done.after_bytes == sum(len(c) for c in content(out).values())
    assert done.before_bytes == sum(
        len(c) for name, c in content(with_fast).items() if "lock" not in name
    )


def test_the_same_source_gives_the_same_bytes(
    with_fast: Path, choose: Choose, out: Path, tmp_path: Path
) -> None:
    choose(with_fast, by_provider={"cpu": "fast", "qnn": "fp32"})
    slimmed(with_fast, out)
    slimmed(with_fast, tmp_path / "again.edgekit")
    assert content(out) == content(tmp_path / "again.edgekit")


def test_onnxruntime_opens_what_is_left(with_fast: Path, out: Path) -> None:
    if not hasattr(ort, "ModelPackageContext"):
        pytest.skip(f"onnxruntime {ort.__version__} has no model packages; they came with 1.32")
    slimmed(with_fast, out, variants=["fast"])
    context = ort.ModelPackageContext(str(out))
    assert context.get_variant_names("model") == ["fast"]
    options = ort.SessionOptions()
    session = context.select_component("model", ort.ModelPackageOptions(options)).create_session()
    with edgekit.load(out) as model:
        np.testing.assert_array_equal(session.run(None, {"x": X})[0], model(X))


def test_the_held_out_cases_and_the_portable_variant_stay_on_request(
    with_fast: Path, out: Path
) -> None:
    done = slimmed(
        with_fast, out, variants=["fast"], with_portable=True, keep_evaluation=True, cases=1
    )
    assert done.variants == ("fp32", "fast")
    (graph,) = reading.read(out).graphs
    assert graph.evaluation == reading.read(with_fast).graphs[0].evaluation
    assert graph.reference is not None
    assert graph.reference.cases == 1


def test_more_cases_than_there_are_leave_their_file_as_it_is(with_fast: Path, out: Path) -> None:
    slimmed(with_fast, out, variants=["fp32"], cases=99)
    name = "reference.safetensors"
    assert (out / name).read_bytes() == (with_fast / name).read_bytes()


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 7])
def test_kept_cases_reach_from_the_smallest_to_the_largest(n: int) -> None:
    found = [Case({"x": np.zeros(size, np.float32)}) for size in (5, 1, 9, 3, 7, 2, 8)]
    kept = [case.feed["x"].size for case in slim._spread(found, n)]
    assert len(kept) == n
    assert min(kept) == 1
    assert n == 1 or max(kept) == 9
    assert kept == [size for size in (5, 1, 9, 3, 7, 2, 8) if size in kept]


def test_the_size_of_a_case_is_that_of_all_its_inputs() -> None:
    sizes = [(1, 9), (4, 1), (2, 2), (8, 8)]
    found = [Case({"a": np.zeros(a), "b": np.zeros((b, 1))}) for a, b in sizes]
    kept = slim._spread(found, 2)
    assert [(case.feed["a"].size, case.feed["b"].size) for case in kept] == [(2, 2), (8, 8)]


def bind(folder: Path, **variants: str) -> None:
    """Bind variants to a kind of processor."""
    package = reading.read(folder)
    changed = tuple(
        msgspec.structs.replace(v, target=Target(arch="x86_64", isa=(variants[v.name],)))
        if v.name in variants
        else v
        for v in package.variants
    )
    commit.commit(folder, msgspec.structs.replace(package, variants=changed), {})


def test_a_variant_for_one_kind_of_processor_is_kept_alone_with_a_note(
    with_fast: Path, out: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bind(with_fast, fast="no_such_set")
    done = slimmed(with_fast, out, variants=["fast"])
    (note,) = done.notes
    assert note.startswith("fast is made for one kind of processor")
    assert "--with-portable" in note
    with edgekit.load(out) as model:
        assert "none that is right on every processor" in str(model.explain())
    assert "its answers may differ" in caplog.text
    done = slimmed(with_fast, out, variants=["fast"], with_portable=True, overwrite=True)
    assert (done.variants, done.notes) == (("fp32", "fast"), ())


def test_a_variant_for_another_provider_is_kept_alone_with_a_note(
    with_fast: Path, out: Path
) -> None:
    package = reading.read(with_fast)
    fp32, fast = package.variants
    target = Target("openvino", "OpenVINOExecutionProvider")
    changed = (fp32, msgspec.structs.replace(fast, target=target))
    commit.commit(with_fast, msgspec.structs.replace(package, variants=changed), {})
    (note,) = slimmed(with_fast, out, variants=["fast"]).notes
    assert note.startswith("fast is made for the provider openvino")


def test_a_choice_is_restricted_to_what_is_kept(with_fast: Path, choose: Choose, out: Path) -> None:
    key = machines.speed_key(machines.describe())
    choose(with_fast, by_provider={"cpu": "fast", "qnn": "fp32"})
    choose(with_fast, key="gone-elsewhere", variant="fp32", by_provider={"cpu": "fp32"})
    choose(with_fast, key="one-left", variant="fp32", by_provider={"cpu": "fp32", "qnn": "fast"})
    slimmed(with_fast, out)
    package = reading.read(out)
    assert choices.machines(out) == sorted([key, "one-left"])
    ours, other = (choices.chosen_on(out, package, k) for k in (key, "one-left"))
    assert ours is not None
    assert other is not None
    assert (ours.winner.variant, list(ours.by_provider)) == ("fast", ["cpu"])
    assert (other.winner.variant, other.winner.session.provider) == ("fast", "qnn")


def test_nothing_else_that_was_measured_goes_along(
    with_fast: Path, choose: Choose, out: Path
) -> None:
    choose(with_fast)
    (with_fast / "measured" / "bench").mkdir()
    (with_fast / "measured" / "bench" / "some.json").write_text("{}")
    (with_fast / "notes.txt").write_text("not listed")
    slimmed(with_fast, out)
    assert [path.name for path in (out / "measured").iterdir()] == ["choice"]
    assert not (out / "notes.txt").exists()


def test_a_graph_without_a_variant_goes(two_graphs: Path, out: Path, tiny_answer: Any) -> None:
    done = slimmed(two_graphs, out, variants=["fp32-uint8"], cases=1)
    assert [graph.name for graph in reading.read(out).graphs] == ["model-uint8"]
    assert done.notes == ("no variant of model is kept, and so nothing of it",)
    x = np.arange(8, dtype=np.uint8).reshape(2, 4)
    with edgekit.load(out) as model:
        np.testing.assert_allclose(model(x), tiny_answer({"x": x}), rtol=1e-6)
        assert model.check().passed
    done = slimmed(two_graphs, out, variants=["fp32-uint8", "fp32"], cases=1, overwrite=True)
    assert done.variants == ("fp32", "fp32-uint8")
    assert not (set(content(out)) & {"evaluation-uint8.safetensors", "evaluation.safetensors"})


def test_variants_of_several_graphs_are_put_in_their_order(two_graphs: Path, out: Path) -> None:
    package = reading.read(two_graphs)
    first, second = package.variants
    late = msgspec.structs.replace(first, name="late")
    bound = msgspec.structs.replace(first, name="bound", target=Target(isa=("avx2",)))
    mixed = msgspec.structs.replace(package, variants=(first, bound, second, late))
    commit.commit(two_graphs, mixed, {})
    done = slimmed(two_graphs, out, variants=["bound", "late", "fp32-uint8"])
    assert done.variants == ("late", "bound", "fp32-uint8")
    assert done.notes == ()


def test_external_data_and_assets_go_along(
    with_fast: Path, out: Path, tmp_path: Path, tiny_answer: Any
) -> None:
    import onnx

    model = onnx.load(with_fast / "fp32.onnx")
    onnx.save(
        model,
        tmp_path / "big.onnx",
        save_as_external_data=True,
        location="big.onnx.data",
        size_threshold=0,
    )
    package = reading.read(with_fast)
    big = msgspec.structs.replace(
        package.variants[0], name="big", model="big.onnx", files=("big.onnx.data",)
    )
    package = msgspec.structs.replace(
        package,
        variants=(*package.variants, big),
        assets=(Asset("labels.txt", "labels", "labels.txt"),),
    )
    new: dict[str, bytes | Path] = {
        name: (tmp_path / name).read_bytes() for name in ("big.onnx", "big.onnx.data")
    }
    commit.commit(with_fast, package, {**new, "labels.txt": b"a\nb\nc\n"})
    slimmed(with_fast, out, variants=["big"])
    names = {"big.onnx", "big.onnx.data", "labels.txt", "reference.safetensors"}
    assert set(reading.read(out).files) == names
    with edgekit.load(out, verify=True) as loaded:
        np.testing.assert_allclose(loaded(X), tiny_answer({"x": X}), atol=1e-6)


def test_a_package_that_is_slimmed_can_be_slimmed_again(
    with_fast: Path, choose: Choose, out: Path, tmp_path: Path
) -> None:
    choose(with_fast)
    slimmed(with_fast, out)
    slimmed(out, tmp_path / "again.edgekit")
    assert content(tmp_path / "again.edgekit") == content(out)


def test_what_cannot_be_meant_is_refused(with_fast: Path, out: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.edgekit"
    link.symlink_to(with_fast)
    for path in (with_fast, with_fast / "in.edgekit", with_fast.parent, link):
        with pytest.raises(BadValue, match="expected a folder outside of"):
            slimmed(with_fast, path, variants=["fp32"], overwrite=True)
    with pytest.raises(UnknownName, match="Did you mean 'fp32'"):
        slimmed(with_fast, out, variants=["fp23"])
    with pytest.raises(BadValue, match="no reference case"):
        slimmed(with_fast, out, variants=["fp32"], cases=0)
    with pytest.raises(BadValue, match="no variant"):
        slimmed(with_fast, out, variants=[])
    with pytest.raises(BadValue, match="make one with: edgekit export"):
        slimmed(with_fast / "fp32.onnx", out, variants=["fp32"])
    with pytest.raises(NotFound):
        slimmed(tmp_path / "nothing.edgekit", out)
    assert not out.parent.exists()


def test_nothing_chosen_here_says_what_to_type(with_fast: Path, choose: Choose, out: Path) -> None:
    with pytest.raises(NotTuned, match=r"nothing was chosen on this kind .* 'edgekit tune"):
        slimmed(with_fast, out)
    choose(with_fast, key="elsewhere", machine="Intel Xeon, AMX")
    with pytest.raises(NotTuned, match=r"\(fast on Intel Xeon, AMX\)\. Name one of those"):
        slimmed(with_fast, out)
    done = slimmed(with_fast, out, variants=["fast"])
    assert done.machines == ("Intel Xeon, AMX",)


def test_what_exists_is_replaced_on_request_alone(with_fast: Path, out: Path) -> None:
    slimmed(with_fast, out, variants=["fp32"])
    before = content(out)
    with pytest.raises(WouldOverwrite, match="Add --overwrite"):
        slimmed(with_fast, out, variants=["fast"])
    assert content(out) == before
    slimmed(with_fast, out, variants=["fast"], overwrite=True)
    assert [v.name for v in reading.read(out).variants] == ["fast"]
    other = out.parent / "mine"
    other.mkdir()
    with pytest.raises(WouldOverwrite, match="is not a model package, so it is never replaced"):
        slimmed(with_fast, other, variants=["fast"], overwrite=True)


@pytest.mark.parametrize("damage", ["changed", "longer", "missing", "linked"])
def test_a_source_that_is_not_what_was_packed_leaves_nothing(
    damage: str, with_fast: Path, out: Path, tmp_path: Path
) -> None:
    file = with_fast / "fast.onnx"
    packed = file.read_bytes()
    if damage == "changed":
        file.write_bytes(packed[:-1] + bytes([packed[-1] ^ 1]))
    elif damage == "longer":
        file.write_bytes(packed + b"x")
    else:
        file.rename(tmp_path / "elsewhere.onnx")
        if damage == "linked":
            file.symlink_to(tmp_path / "elsewhere.onnx")
    with pytest.raises(HashMismatch if damage == "changed" else CorruptPackage):
        slimmed(with_fast, out, variants=["fast"])
    assert not out.parent.exists()


def test_a_source_without_permission_to_write_is_slimmed(
    with_fast: Path, choose: Choose, out: Path, caplog: pytest.LogCaptureFixture
) -> None:
    choose(with_fast)
    paths = [with_fast, *with_fast.rglob("*")]
    modes = {path: path.stat().st_mode for path in paths}
    try:
        for path, mode in modes.items():
            path.chmod(mode & ~0o222)
        slimmed(with_fast, out)
    finally:
        for path, mode in modes.items():
            path.chmod(mode)
    assert choices.machines(out)
    assert not [r for r in caplog.records if r.levelno >= logging.WARNING]


def test_slimming_needs_no_onnx_and_no_torch(
    with_fast: Path, out: Path, fresh_python: Callable[[str], str]
) -> None:
    code = f"""
import sys
for name in ("onnx", "torch", "onnx_ir", "onnxruntime"):
    sys.modules[name] = None
from pathlib import Path
from edgekit.package.slim import slim
print(slim(Path({str(with_fast)!r}), Path({str(out)!r}), variants=["fast"], cases=2).variants)
"""
    assert fresh_python(code).strip() == "('fast',)"
