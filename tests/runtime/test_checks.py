from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

import edgekit
from edgekit.errors import BadValue, CorruptPackage, HashMismatch
from edgekit.package import cases, commit, reading
from edgekit.package.values import CaseFile, Graph, Package, Tolerance
from edgekit.runtime.checks import CheckRow
from edgekit.tensors import Case


@pytest.fixture
def repack(tiny_package: Path) -> Callable[..., Path]:
    """Write `tiny_package` again with other files or values, and hashes that fit them."""

    def write(contents: dict[str, bytes | Path] | None = None, **changes: Any) -> Path:
        contents = contents or {}
        package = reading.read(tiny_package)
        kept = {n: (tiny_package / n).read_bytes() for n in package.files if n not in contents}
        path = tiny_package.with_name("changed.edgekit")
        with commit.new_package(path) as folder:
            commit.commit(
                folder,
                msgspec.structs.replace(package, files={}, **changes),
                {**kept, **contents},
            )
        return path

    return write


def perturbed(model: Path, *, by: float) -> bytes:
    onnx = pytest.importorskip("onnx")
    loaded = onnx.load(model)
    (bias,) = [t for t in loaded.graph.initializer if t.name == "b"]
    values = onnx.numpy_helper.to_array(bias).copy()
    values[1] += by
    bias.CopyFrom(onnx.numpy_helper.from_array(values, "b"))
    return bytes(loaded.SerializeToString())


def test_an_untouched_package_passes(tiny_package: Path) -> None:
    report = edgekit.load(tiny_package).check()
    assert report.passed
    assert [row.sizes for row in report.rows] == [{"batch": n} for n in (1, 2, 3, 8)]
    assert {(row.output, row.status, row.mismatch) for row in report.rows} == {("y", "passed", "")}
    for row in report.rows:
        assert row.max_abs_error is not None
        assert row.cosine is not None
        assert 0 <= row.max_abs_error <= 1e-5 == row.allowed
        assert row.cosine > 0.999
    assert (report.package, report.variant, report.provider) == ("tiny", "fp32", "cpu")
    assert report.machine


@pytest.mark.parametrize("verify", [False, True])
def test_another_model_under_right_hashes_fails(
    verify: bool, repack: Callable[..., Path], tiny_package: Path
) -> None:
    model = perturbed(tiny_package / "fp32.onnx", by=0.01)
    report = edgekit.load(repack({"fp32.onnx": model}), verify=verify).check()
    assert not report.passed
    failed = [row for row in report.rows if row.status == "failed"]
    assert failed
    assert all("elements are out of tolerance, the worst at" in row.mismatch for row in failed)
    assert max(map(distance, failed)) == pytest.approx(0.01, rel=1e-3)


def test_a_change_below_the_tolerance_passes(
    repack: Callable[..., Path], tiny_package: Path
) -> None:
    model = perturbed(tiny_package / "fp32.onnx", by=2e-6)
    report = edgekit.load(repack({"fp32.onnx": model})).check()
    assert report.passed
    assert max(map(distance, report.rows)) > 1e-6


def distance(row: CheckRow) -> float:
    assert row.max_abs_error is not None
    return row.max_abs_error


def test_changed_reference_cases_are_refused(tiny_package: Path) -> None:
    path = tiny_package / "reference.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(HashMismatch, match=r"reference\.safetensors"):
        edgekit.load(tiny_package).check()


def test_missing_reference_cases_are_refused(tiny_package: Path) -> None:
    (tiny_package / "reference.safetensors").unlink()
    with pytest.raises(CorruptPackage, match=r"reference\.safetensors"):
        edgekit.load(tiny_package).check()


def test_a_model_without_reference_cases_says_that_it_cannot_be_checked(
    repack: Callable[..., Path], tiny_package: Path, tiny_onnx: Any
) -> None:
    for path in (tiny_onnx(), repack(graphs=with_reference(tiny_package, None))):
        with pytest.raises(BadValue, match=r"tiny, which has no recorded answers: expected a mod"):
            edgekit.load(path).check()


def with_reference(folder: Path, cases: CaseFile | None) -> tuple[Graph, ...]:
    (graph,) = reading.read(folder).graphs
    return (msgspec.structs.replace(graph, reference=cases),)


X = np.ones((2, 4), np.float32)


@pytest.mark.parametrize(
    ("recorded", "sentence"),
    [
        ([], "reference case"),
        ([Case({"x": X})], "reference case 0 doesn't hold an answer"),
        ([Case({"x": X}, {"z": X})], "reference case 0 doesn't hold an answer"),
    ],
    ids=["none", "no answers", "of another output"],
)
def test_cases_that_prove_nothing_never_pass(
    recorded: list[Case], sentence: str, repack: Callable[..., Path], tiny_package: Path
) -> None:
    reference = reading.read(tiny_package).graphs[0].reference
    assert reference is not None
    changed = msgspec.structs.replace(
        reference, cases=len(recorded), content_sha256=cases.content_sha256_of_all(recorded)
    )
    path = repack(
        {"reference.safetensors": cases.encode(recorded)},
        graphs=with_reference(tiny_package, changed),
    )
    with pytest.raises(CorruptPackage, match=sentence):
        edgekit.load(path).check()


def test_a_variant_without_a_tolerance_never_passes(
    repack: Callable[..., Path], tiny_package: Path
) -> None:
    package: Package = reading.read(tiny_package)
    bare = msgspec.structs.replace(package.variants[0], closeness=())
    with pytest.raises(CorruptPackage, match="a tolerance for each of the outputs y"):
        edgekit.load(repack(variants=(bare,))).check()


def test_a_relative_tolerance_counts_in_what_is_allowed(
    repack: Callable[..., Path], tiny_package: Path
) -> None:
    package: Package = reading.read(tiny_package)
    (near,) = package.variants[0].closeness
    loose = msgspec.structs.replace(near, tolerance=Tolerance(1e-6, 0.5))
    variant = msgspec.structs.replace(package.variants[0], closeness=(loose,))
    report = edgekit.load(repack(variants=(variant,))).check()
    recorded = [case.outputs for case in _reference(tiny_package, package)]
    largest = [float(np.abs(outputs["y"]).max()) for outputs in recorded if outputs]
    assert [row.allowed for row in report.rows] == [1e-6 + 0.5 * y for y in largest]


def test_each_variant_answers_the_cases_of_its_graph(two_graphs: Path) -> None:
    found = {}
    for variant in ("fp32", "fp32-uint8"):
        with edgekit.load(two_graphs, variant=variant) as model:
            report = model.check()
        assert (report.passed, report.variant) == (True, variant)
        found[variant] = [row.sizes["batch"] for row in report.rows]
    assert found == {"fp32": [1, 2, 3, 8], "fp32-uint8": [2, 4]}


def test_a_graph_without_reference_cases_is_not_checked_against_anothers(two_graphs: Path) -> None:
    package = reading.read(two_graphs)
    first, second = package.graphs
    graphs = (first, msgspec.structs.replace(second, reference=None))
    commit.commit(two_graphs, msgspec.structs.replace(package, graphs=graphs), {})
    assert edgekit.load(two_graphs).check().passed
    with pytest.raises(BadValue, match="which has no recorded answers"):
        edgekit.load(two_graphs, variant="fp32-uint8").check()


def test_a_random_output_is_held_to_its_shape_alone(noisy_package: Callable[..., Path]) -> None:
    report = edgekit.load(noisy_package()).check()
    assert report.passed
    noise = [row for row in report.rows if row.output == "noise"]
    assert [(row.max_abs_error, row.cosine, row.allowed) for row in noise] == [(None,) * 3] * 2
    assert {row.note for row in noise} == {"random, compared by shape"}
    assert {(row.max_abs_error, row.note) for row in report.rows if row.output == "y"} == {(0, "")}


@pytest.mark.parametrize(
    ("recorded", "said"),
    [
        (np.ones((3, 4), np.float32), r"it is float32 \[2, 4\] and should be float32 \[3, 4\]"),
        (np.ones((2, 4), np.float64), r"it is float32 \[2, 4\] and should be float64 \[2, 4\]"),
    ],
    ids=["shape", "dtype"],
)
def test_a_random_output_of_another_form_fails(
    recorded: Any, said: str, noisy_package: Callable[..., Path]
) -> None:
    path = noisy_package(only_random=True)
    package = reading.read(path)
    kept = cases.encode([Case({"x": X}, {"noise": recorded})] * 2)
    commit.commit(path, package, {"reference.safetensors": kept})
    report = edgekit.load(path).check()
    assert [row.status for row in report.rows] == ["failed"] * 2
    assert re.search(said, report.rows[0].mismatch)


def test_an_output_that_is_not_marked_random_is_still_held_to_its_values(
    noisy_package: Callable[..., Path],
) -> None:
    """Also where the package says how far it may be off."""
    path = noisy_package()
    package = reading.read(path)
    (graph,), (variant,) = package.graphs, package.variants
    outputs = tuple(msgspec.structs.replace(o, random=False) for o in graph.signature.outputs)
    signature = msgspec.structs.replace(graph.signature, outputs=outputs)
    near = msgspec.structs.replace(variant.closeness[0], output="noise")
    package = msgspec.structs.replace(
        package,
        graphs=(msgspec.structs.replace(graph, signature=signature),),
        variants=(msgspec.structs.replace(variant, closeness=(*variant.closeness, near)),),
    )
    commit.commit(path, package, {})
    report = edgekit.load(path).check()
    assert {(row.output, row.status) for row in report.rows} == {
        ("y", "passed"),
        ("noise", "failed"),
    }


def _reference(folder: Path, package: Package) -> list[Case]:
    assert package.graphs[0].reference is not None
    return list(cases.open_cases(folder, package, package.graphs[0].reference).open())
