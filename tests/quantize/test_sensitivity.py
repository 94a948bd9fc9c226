"""Sensitivity of real packages: who carries the loss, what it costs in float, what is refused."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="models are converted with onnx")

from edgekit.errors import BadValue, CorruptPackage, NotFound, UnknownName  # noqa: E402
from edgekit.package import reading  # noqa: E402
from edgekit.quantize.evaluation import Noise  # noqa: E402
from edgekit.quantize.ranking import CARRY, Row, carriers_of  # noqa: E402
from edgekit.quantize.sensitivity import Sensitivity, sensitivity  # noqa: E402

WIDE = 256


@pytest.fixture
def wild_package(tmp_path: Path) -> Path:
    """Pack four products in a chain, the third of which meets an outlier in what goes in."""
    from edgekit.measure.adopt import adopt

    generator = np.random.default_rng(5)
    text = (
        "(float[n,16] x) => (float[n,16] y) { [one] a = MatMul(x, net.0.w) [two] b = MatMul(a, net.1.w) "
        "[far] f = Mul(b, net.2.far) [three] c = MatMul(f, net.2.w) [act] t = Tanh(c) "
        "[four] y = MatMul(t, net.3.w) }"
    )
    for name in ("net.0.w", "net.1.w", "net.2.w", "net.2.far", "net.3.w"):
        text = text.replace(name, name.replace(".", "_"))
    model = onnx.parser.parse_model(f'<ir_version: 10, opset_import: ["": 20]> g {text}')
    far = np.ones(16, np.float32)
    far[4] = 400.0
    for index in range(4):
        weight = generator.standard_normal((16, 16)).astype(np.float32) / 4
        if index == 2:
            weight[4] /= 400.0
        model.graph.initializer.append(onnx.numpy_helper.from_array(weight, f"net_{index}_w"))
    model.graph.initializer.append(onnx.numpy_helper.from_array(far, "net_2_far"))
    path = tmp_path / "wild.onnx"
    onnx.save(model, path)
    package = tmp_path / "wild.edgekit"
    adopt(path, package)
    return package


def test_the_node_that_carries_the_loss_is_first_and_named(wild_package: Path) -> None:
    steps: list[tuple[int, int]] = []
    found = sensitivity(
        wild_package, scheme="int8-dynamic", progress=lambda done, total: steps.append((done, total))
    )
    assert found.rows[0].name == "three"
    assert found.carriers == ("three",)
    assert {row.name for row in found.rows} == {"one", "two", "three", "four"}
    assert found.rows[0].share is not None
    assert found.rows[0].share > CARRY
    assert sum(row.share or 0.0 for row in found.rows) == pytest.approx(1.0)
    assert found.without is not None
    assert found.without.nsr < found.whole.nsr / 5
    assert found.rows[0].local_sqnr_db is not None
    assert found.rows[0].operators == {"MatMul": 1}
    assert min(row.local_sqnr_db or 99.0 for row in found.rows) == found.rows[0].local_sqnr_db
    assert (0, 4) in steps


def test_times_are_told_where_the_target_is_this_machine(wild_package: Path) -> None:
    here = sensitivity(wild_package, scheme="int8-dynamic", cases=1)
    assert here.float_us is not None
    assert here.quantized_us is not None
    assert all(row.cost_us is not None and row.cost_share is not None for row in here.rows)
    away = sensitivity(wild_package, scheme="fp16", cases=1)
    assert (away.float_us, away.target.provider) == (None, "cuda")
    assert all(row.cost_us is None for row in away.rows)
    assert "made for cuda" in away.notes[-1]


def test_groups_are_measured_whole(wild_package: Path) -> None:
    found = sensitivity(wild_package, scheme="int8-dynamic", by="group", cases=2)
    assert [sorted(row.nodes) for row in found.rows] == [["four", "three"], ["one", "two"]]
    alone = {row.name: row for row in sensitivity(wild_package, scheme="int8-dynamic", cases=2).rows}
    first = found.rows[0]
    assert first.operators == {"MatMul": 2}
    assert first.noise is not None
    worst = alone["three"].noise
    assert worst is not None
    assert first.noise.nsr == pytest.approx(worst.nsr, rel=0.5)
    assert first.local_sqnr_db is not None
    assert first.local_sqnr_db <= (alone["three"].local_sqnr_db or 0.0)


def test_what_the_time_does_not_suffice_for_keeps_its_estimate(wild_package: Path) -> None:
    wall_s = 1e-9
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("edgekit.quantize.sensitivity.Worker", None, raising=False)
        found = sensitivity(wild_package, scheme="int8-dynamic", cases=1, wall_s=60)
    assert found.notes == ()
    clock = iter(range(0, 10_000, 1000))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("edgekit.quantize.alone.time.monotonic", lambda: next(clock))
        found = sensitivity(wild_package, scheme="int8-dynamic", cases=1, wall_s=60)
    assert wall_s < 60
    assert [row.noise is not None for row in found.rows] == [True, False, False, False]
    assert found.rows[0].name == "three"
    assert "3 nodes were not measured within 60 s" in found.notes[-1]
    estimates = [row.local_sqnr_db for row in found.rows[1:]]
    assert estimates == sorted(estimates, key=lambda db: db or 0.0)


def test_static_ranges_take_the_packages_values_or_none_at_all(
    wild_package: Path, cnn_package: Path
) -> None:
    with pytest.raises(BadValue, match="--calib-data"):
        sensitivity(wild_package)
    made_up = sensitivity(wild_package, synthetic=True, cases=2)
    assert (made_up.synthetic, made_up.cases) == (True, 2)
    real = sensitivity(cnn_package, cases=4)
    assert (real.scheme, real.dataset, real.cases, real.synthetic) == (
        *("int8-static", "digits", 4),
        False,
    )
    assert real.calibrated_on == 256
    assert {row.name for row in real.rows if row.operators == {"Conv": 1}}
    assert real.whole.sqnr_db is not None
    assert real.whole.sqnr_db > 20


def test_given_values_are_used(wild_package: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "given.npz", x=np.ones((6, 16), np.float32))
    found = sensitivity(wild_package, calib_data=str(tmp_path / "given.npz"), cases=3)
    assert (found.cases, found.calibrated_on, found.synthetic) == (3, 6, False)


def test_it_goes_into_json_and_back(wild_package: Path) -> None:
    found = sensitivity(wild_package, scheme="int8-dynamic", cases=1)
    assert msgspec.json.decode(msgspec.json.encode(found), type=Sensitivity) == found


def test_nothing_is_written_into_the_package(wild_package: Path) -> None:
    before = {path: path.read_bytes() for path in wild_package.iterdir()}
    sensitivity(wild_package, scheme="int8-dynamic", cases=1)
    assert {path: path.read_bytes() for path in wild_package.iterdir()} == before


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
def broken(tiny_package: Path) -> Iterator[Callable[[str], Path]]:
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

    yield make


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


def test_a_quantized_variant_is_no_parent(tiny_package: Path) -> None:
    package = reading.read(tiny_package)
    assert [variant.precision for variant in package.variants] == ["fp32"]
