"""Sensitivity of real packages: who carries the loss, what it costs in float, what is refused."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="models are converted with onnx")

from edgekit.errors import BadValue, CorruptPackage, NotFound, UnknownName  # noqa: E402
from edgekit.package import cases, commit, reading  # noqa: E402
from edgekit.package.values import CaseFile  # noqa: E402
from edgekit.quantize.searching.alone import Alone  # noqa: E402
from edgekit.quantize.searching.evaluation import Noise  # noqa: E402
from edgekit.quantize.searching.ranking import CARRY, Row, Sensitivity, carriers_of  # noqa: E402
from edgekit.quantize.searching.sensitivity import sensitivity  # noqa: E402
from edgekit.tensors import Case  # noqa: E402


@pytest.fixture(scope="module")
def wild_package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pack four products in a chain, the third of which meets an outlier in what goes in."""
    from edgekit.measure.adopt import adopt

    generator = np.random.default_rng(5)
    model = onnx.parser.parse_model(
        '<ir_version: 10, opset_import: ["": 20]> g (float[n,16] x) => (float[n,16] y) { '
        "[one] a = MatMul(x, w0) [two] b = MatMul(a, w1) [far] f = Mul(b, outlier) "
        "[three] c = MatMul(f, w2) [act] t = Tanh(c) [four] y = MatMul(t, w3) }"
    )
    far = np.ones(16, np.float32)
    far[4] = 400.0
    for index in range(4):
        weight = generator.standard_normal((16, 16)).astype(np.float32) / 4
        if index == 2:
            weight[4] /= 400.0
        model.graph.initializer.append(onnx.numpy_helper.from_array(weight, f"w{index}"))
    model.graph.initializer.append(onnx.numpy_helper.from_array(far, "outlier"))
    folder = tmp_path_factory.mktemp("wild")
    onnx.save(model, folder / "wild.onnx")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EDGEKIT_CACHE", str(folder / "cache"))
        adopt(folder / "wild.onnx", folder / "wild.edgekit")
    return folder / "wild.edgekit"


@pytest.fixture(scope="module")
def steps() -> list[tuple[int, int]]:
    return []


@pytest.fixture(scope="module")
def found(wild_package: Path, steps: list[tuple[int, int]]) -> Sensitivity:
    return sensitivity(
        wild_package,
        scheme="int8-dynamic",
        cases=2,
        progress=lambda done, total: steps.append((done, total)),
    )


def test_the_node_that_carries_the_loss_is_first_and_named(found: Sensitivity) -> None:
    assert found.rows[0].name == "three"
    assert found.carriers == ("three",)
    assert {row.name for row in found.rows} == {"one", "two", "three", "four"}
    assert found.rows[0].share is not None
    assert found.rows[0].share > CARRY
    assert sum(row.share or 0.0 for row in found.rows) == pytest.approx(1.0)
    assert found.without is not None
    assert found.without.nsr < found.whole.nsr / 3
    assert found.rows[0].operators == {"MatMul": 1}
    assert min(row.local_sqnr_db or 99.0 for row in found.rows) == found.rows[0].local_sqnr_db


def test_the_steps_are_told(found: Sensitivity, steps: list[tuple[int, int]]) -> None:
    assert steps[-4:] == [(index, len(found.rows)) for index in range(4)]


def test_times_are_told_where_the_target_is_this_machine(found: Sensitivity) -> None:
    assert found.float_us is not None
    assert found.quantized_us is not None
    for row in found.rows:
        assert row.cost_us is not None
        assert row.cost_share == pytest.approx(row.cost_us / found.quantized_us)


def test_no_times_are_told_of_another_device(wild_package: Path) -> None:
    away = sensitivity(wild_package, scheme="fp16", cases=1)
    assert (away.float_us, away.target.provider) == (None, "cuda")
    assert all(row.cost_us is None for row in away.rows)
    assert "made for cuda" in away.notes[-1]
    assert away.whole.sqnr_db is not None  # of the model that rounds as the device does
    assert away.whole.sqnr_db < 90


def test_groups_are_measured_whole(found: Sensitivity, wild_package: Path) -> None:
    groups = sensitivity(wild_package, scheme="int8-dynamic", by="group", cases=2)
    assert [sorted(row.nodes) for row in groups.rows] == [["four", "three"], ["one", "two"]]
    first, worst = groups.rows[0], found.rows[0]
    assert first.operators == {"MatMul": 2}
    assert first.noise is not None
    assert worst.noise is not None
    assert first.noise.nsr == pytest.approx(worst.noise.nsr, rel=0.5)
    assert first.local_sqnr_db is not None
    assert worst.local_sqnr_db is not None
    assert first.local_sqnr_db <= worst.local_sqnr_db


def test_what_the_time_does_not_suffice_for_keeps_its_estimate(
    wild_package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    each = Alone.each
    monkeypatch.setattr(Alone, "each", lambda alone, units, **_: each(alone, units, wall_s=0.0))
    found = sensitivity(wild_package, scheme="int8-dynamic", cases=1, wall_s=60)
    assert [row.noise is not None for row in found.rows] == [True, False, False, False]
    assert found.rows[0].name == "three"
    assert "3 nodes were not measured within 60 s" in found.notes[-1]
    estimates = [row.local_sqnr_db or 0.0 for row in found.rows[1:]]
    assert estimates == sorted(estimates)


def test_static_ranges_take_real_values_or_made_up_ones_where_that_is_asked(
    wild_package: Path,
) -> None:
    with pytest.raises(BadValue, match="--calib-data"):
        sensitivity(wild_package)
    made_up = sensitivity(wild_package, synthetic=True, cases=2)
    assert (made_up.scheme, made_up.cases, made_up.synthetic) == ("int8-static", 2, True)


def test_the_packages_own_calibration_cases_are_used(wild_package: Path, tmp_path: Path) -> None:
    path = tmp_path / "calibrated.edgekit"
    shutil.copytree(wild_package, path)
    package = reading.read(path)
    generator = np.random.default_rng(1)
    real = [Case({"x": generator.standard_normal((2, 16)).astype(np.float32)}) for _ in range(7)]
    digest = cases.content_sha256_of_all(real)
    file = CaseFile("calibration.safetensors", "numbers", "train", len(real), digest)
    graph = msgspec.structs.replace(package.graphs[0], calibration=file)
    package = msgspec.structs.replace(package, graphs=(graph,))
    commit.commit(path, package, {file.file: cases.encode(real)})
    found = sensitivity(path, cases=4)
    assert (found.dataset, found.cases, found.calibrated_on) == ("numbers", 4, 7)
    assert found.synthetic is False
    assert {"one", "two", "three", "four"} <= {row.name for row in found.rows}


def test_given_values_are_used(wild_package: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "given.npz", x=np.ones((6, 16), np.float32))
    found = sensitivity(wild_package, calib_data=str(tmp_path / "given.npz"), cases=3)
    assert (found.cases, found.calibrated_on, found.synthetic) == (3, 6, False)


def test_it_goes_into_json_and_back(found: Sensitivity) -> None:
    assert msgspec.json.decode(msgspec.json.encode(found), type=Sensitivity) == found


def test_what_was_found_is_all_that_is_written(found: Sensitivity, wild_package: Path) -> None:
    assert {path.name for path in wild_package.iterdir()} == {
        *("fp32.onnx", "manifest.json", "reference.safetensors", "measured"),
    }


def row(name: str, share: float) -> Row:
    return Row(name, (name,), {"MatMul": 1}, Noise(share, 0.0, 1.0), share, None, True)


@pytest.mark.parametrize(
    ("shares", "names"),
    [
        ([0.9, 0.05, 0.05], ("a",)),
        ([0.5, 0.4, 0.05, 0.05], ("a", "b")),
        ([0.4, 0.3, 0.3], ()),  # two of three aren't few
        ([0.25, 0.25, 0.25, 0.25], ()),
        ([], ()),
        ([0.0, 0.0], ()),
    ],
)
def test_few_rows_carry_the_loss_or_none_does(shares: list[float], names: tuple[str, ...]) -> None:
    rows = [row(name, share) for name, share in zip("abcd", shares, strict=False)]
    assert carriers_of(rows) == names


@pytest.fixture
def broken(tiny_package: Path) -> Callable[[str], Path]:
    def make(how: str) -> Path:
        if how == "plain":
            return tiny_package.with_name("tiny.onnx")
        if how == "missing":
            return tiny_package.with_name("missing.edgekit")
        if how == "other":
            content = (tiny_package / "fp32.onnx").read_bytes()
            (tiny_package / "fp32.onnx").write_bytes(content[:-1] + b"x")
        if how == "listed":
            shutil.rmtree(tiny_package)
            tiny_package.mkdir()
        return tiny_package

    return make


@pytest.mark.parametrize(
    ("how", "options", "error", "said"),
    [
        ("plain", {}, BadValue, "edgekit export"),
        ("missing", {}, NotFound, "does not exist"),
        ("listed", {}, CorruptPackage, "manifest.json"),
        ("other", {}, Exception, "is not the file that was packed"),
        ("", {"scheme": "int9"}, UnknownName, "int8-static"),
        ("", {"variant": "fp23"}, UnknownName, "fp32"),
        ("", {"target": "cdua"}, UnknownName, "cuda"),
        ("", {"scheme": "int8-dynamic", "cases": 0}, BadValue, "1 or more"),
        ("", {"calib_data": "none.npz"}, NotFound, "none.npz"),
    ],
)
def test_what_cannot_be_measured_is_said_before_anything_long(
    how: str, options: Any, error: Any, said: str, broken: Callable[[str], Path]
) -> None:
    with pytest.raises(error, match=said):
        sensitivity(broken(how), **options)


def test_a_variant_of_fewer_bits_is_no_parent(tiny_package: Path) -> None:
    package = reading.read(tiny_package)
    (variant,) = package.variants
    other = msgspec.structs.replace(variant, precision="fp16")
    commit.commit(tiny_package, msgspec.structs.replace(package, variants=(other,)), {})
    with pytest.raises(BadValue, match="fp32, which is fp16"):
        sensitivity(tiny_package)
