"""`optimize`: what becomes of each pass, and the variant that the kept ones make."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edgekit
from edgekit.errors import BadValue, UnknownName
from edgekit.measure.plan import Plan
from edgekit.optimize import optimize
from edgekit.optimize.pass_info import PassInfo, find
from edgekit.package import reading
from edgekit.terms import Pass, members

QUICK = Plan(starts=2, rounds=1, turn_s=0.005, warm_up_s=0.001)


def test_every_pass_has_a_file_of_its_name() -> None:
    for name in members(Pass):
        info = find(name)
        assert info.name == name
        assert info.summary[0].islower() or info.summary.startswith(("BatchNorm", "MatMul"))
        assert "before" in (__import__(info.apply.__module__, fromlist=["x"]).__doc__ or "")
    with pytest.raises(UnknownName, match="Did you mean 'attention'"):
        find("atention")


def test_a_kept_pass_makes_a_variant(tiny_package: Path) -> None:
    done = optimize(tiny_package, passes=["ort", "constants"], keep_all=True, plan=QUICK)
    by_name = {one.name: one for one in done.tried}
    assert by_name["ort"].fate == "kept"
    assert by_name["ort"].nodes_after < by_name["ort"].nodes_before
    assert by_name["ort"].speedup is not None
    assert by_name["constants"].fate == "nothing to rewrite"
    assert done.kept == ("ort",)
    variant = reading.variant_named(reading.read(tiny_package), "optimized")
    assert variant == done.variant
    assert (variant.parent, variant.precision, variant.recipe) == ("fp32", "fp32", None)
    assert (variant.passes, variant.sizes, variant.target.isa) == (("ort",), {}, None)
    assert [bench.name for bench in done.races] == ["ort"]
    with edgekit.load(tiny_package, variant="optimized") as model:
        assert model.check().passed


def test_without_a_gain_nothing_is_added(
    tiny_package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _times(monkeypatch, 0.5)
    before = reading.identity(tiny_package)
    done = optimize(tiny_package, passes=["ort"], plan=QUICK)
    assert [one.fate for one in done.tried] == ["no gain"]
    assert (done.variant, done.size_bytes, done.kept) == (None, None, ())
    assert reading.identity(tiny_package) == before


def test_a_gain_is_kept(tiny_package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _times(monkeypatch, 1.5)
    done = optimize(tiny_package, passes=["ort"], name="fast", plan=QUICK)
    assert [one.fate for one in done.tried] == ["kept"]
    assert done.variant is not None
    assert done.variant.name == "fast"
    assert done.speedup is not None
    assert done.speedup.low > 1


def test_a_pass_whose_answers_differ_is_dropped(
    tiny_package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrong(model: Any) -> Any:
        from edgekit.optimize import graphs

        (matmul,) = [node for node in model.graph if node.op_type == "MatMul"]
        other = np.asarray(matmul.inputs[1].const_value.numpy()) * 1.01
        matmul.replace_input_with(1, graphs.initializer(model.graph, "other", other))
        return model

    _replace(monkeypatch, wrong)
    before = reading.identity(tiny_package)
    done = optimize(tiny_package, passes=["constants"], keep_all=True, plan=QUICK)
    assert [one.fate for one in done.tried] == ["not equal"]
    assert "y: " in done.tried[0].reason
    assert done.variant is None
    assert reading.identity(tiny_package) == before


def test_a_pass_whose_model_cannot_run_is_dropped(
    tiny_package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(model: Any) -> Any:
        next(node for node in model.graph if node.op_type == "MatMul").domain = "no.such"
        model.graph.opset_imports["no.such"] = 1
        return model

    _replace(monkeypatch, broken)
    done = optimize(tiny_package, passes=["constants"], keep_all=True, plan=QUICK)
    assert [one.fate for one in done.tried] == ["failed"]
    assert done.variant is None


def test_layouts_of_a_processor_bind_the_variant_to_it(
    tiny_package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from edgekit import machine

    _times(monkeypatch)
    done = optimize(tiny_package, passes=["ort-layout"], keep_all=True, plan=QUICK)
    assert done.variant is not None
    here = machine.describe()
    assert done.variant.target.isa == tuple(here.isa)
    assert done.variant.target.arch == here.arch


def test_a_fixed_batch_takes_no_other(tiny_package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _times(monkeypatch, 0.5)  # what was asked for is kept all the same
    done = optimize(tiny_package, passes=[], sizes={"batch": 2}, name="pairs", plan=QUICK)
    assert done.variant is not None
    assert done.variant.sizes == {"batch": 2}
    assert done.variant.passes == ("sizes",)
    # Of rows 1, 2, 3 and 8: 1 filled up, 2 as they are, 2 + 1, 4 pairs.
    assert done.cases == 8
    assert done.timed_at == {"batch": 2}
    with edgekit.load(tiny_package, variant="pairs") as model:
        assert model.signature.inputs[0].shape == (2, 4)
        assert model.check().passed
        assert model(np.ones((2, 4), np.float32)).shape == (2, 3)
        with pytest.raises(edgekit.EdgekitError, match="2"):
            model(np.ones((3, 4), np.float32))
    with edgekit.load(tiny_package) as model:
        assert model.explain().choice.variant == "fp32"


def test_an_optimized_variant_is_a_parent(
    tiny_package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from edgekit.quantize import quantize

    _times(monkeypatch)
    optimize(tiny_package, passes=[], sizes={"batch": 1}, plan=QUICK)
    done = quantize(tiny_package, scheme="fp16", variant="optimized")
    assert (done.variant.parent, done.variant.passes) == ("optimized", ())
    assert done.variant.sizes == {"batch": 1}
    with edgekit.load(tiny_package, variant="fp16") as model:
        assert model.check().passed
    again = optimize(tiny_package, passes=["ort"], variant="optimized", name="more", plan=QUICK)
    assert again.variant is not None
    assert (again.variant.passes, again.variant.sizes) == (("sizes", "ort"), {"batch": 1})


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"passes": ["orts"]}, UnknownName, "Did you mean 'ort'?"),
        ({"sizes": {"rows": 1}}, BadValue, "rows=1"),
        ({"sizes": {"batch": 99}}, BadValue, "99"),
        ({"name": "tuned"}, BadValue, "isn't reserved"),
        ({"name": "fp32"}, BadValue, "never replaced"),
        ({"variant": "fp23"}, UnknownName, "Did you mean 'fp32'?"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_anything_long(
    options: Any, error: type[Exception], said: str, tiny_package: Path
) -> None:
    before = reading.identity(tiny_package)
    with pytest.raises(error, match=said):
        optimize(tiny_package, plan=QUICK, **options)
    assert reading.identity(tiny_package) == before


def test_a_variant_of_fewer_bits_is_no_start(tiny_package: Path) -> None:
    from edgekit.quantize import quantize

    quantize(tiny_package, scheme="fp16")
    with pytest.raises(BadValue, match="fp16, which is fp16"):
        optimize(tiny_package, variant="fp16", plan=QUICK)


def test_the_original_file_is_only_read(
    tiny_package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _times(monkeypatch)
    copy = tmp_path / "copy.edgekit"
    shutil.copytree(tiny_package, copy)
    optimize(copy, passes=["constants", "norm-sums"], plan=QUICK)
    assert (copy / "fp32.onnx").read_bytes() == (tiny_package / "fp32.onnx").read_bytes()


def _replace(monkeypatch: pytest.MonkeyPatch, apply: Any) -> None:
    from edgekit.optimize.passes import constants

    info = PassInfo(name="constants", summary="a pass that is wrong", apply=apply)
    monkeypatch.setattr(constants, "PASS", info)


def _times(monkeypatch: pytest.MonkeyPatch, factor: float = 1.5) -> None:
    """Let every race say, without running, that what was made is that many times as fast."""
    from edgekit import machine
    from edgekit.measure.results import Bench
    from edgekit.metrics import Estimate
    from edgekit.optimize import searching
    from edgekit.optimize.racing import Race

    def said(*_: Any, names: tuple[str, str], on: Any, **__: Any) -> Race:
        bench = Bench(
            name=names[1],
            baseline=names[0],
            baseline_is="the model without the pass",
            metric="closeness",
            sizes=on.sizes,
            batch=on.rows,
            threads=1,
            machine=machine.describe(),
            plan=on.plan,
            measurements=[],
        )
        return Race(Estimate(factor, factor - 0.01, factor + 0.01, 2, "said"), bench)

    monkeypatch.setattr(searching, "race", said)
