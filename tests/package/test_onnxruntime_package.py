"""Our packages are ONNX Runtime's model packages too: it opens them and answers as we do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnxruntime as ort
import pytest

import edgekit
from edgekit.package import commit, reading

pytestmark = pytest.mark.skipif(
    not hasattr(ort, "ModelPackageContext"),
    reason=f"onnxruntime {ort.__version__} has no model packages; they came with 1.32",
)


def select(context: Any, component: str = "model") -> Any:
    options = ort.SessionOptions()
    options.log_severity_level = 3
    return context.select_component(component, ort.ModelPackageOptions(options))


def test_onnxruntime_opens_a_package_and_answers_as_edgekit(tiny_package: Path) -> None:
    context = ort.ModelPackageContext(str(tiny_package))
    assert context.get_component_names() == ["model"]
    assert context.get_variant_names("model") == ["fp32"]
    assert context.get_variant_ep_name("model", "fp32") == "CPUExecutionProvider"
    session = select(context).create_session()
    with edgekit.load(tiny_package) as model:
        for rows in (1, 3, 8):
            x = np.random.default_rng(rows).standard_normal((rows, 4)).astype(np.float32)
            np.testing.assert_allclose(session.run(None, {"x": x})[0], model(x), rtol=1e-6)


@pytest.mark.parametrize("names", [("zero", "one"), ("one", "zero"), ("b", "c", "a")])
def test_onnxruntime_takes_the_variant_that_stands_first(
    tiny_package: Path, tiny_onnx: Callable[..., Path], names: tuple[str, ...]
) -> None:
    """It keeps the manifest's order and doesn't sort names: as `edgekit.load` takes the first."""
    package = reading.read(tiny_package)
    content = tiny_onnx("other").read_bytes()
    variants = tuple(
        msgspec.structs.replace(package.variants[0], name=name, model=f"{name}.onnx")
        for name in names
    )
    edited = msgspec.structs.replace(package, variants=variants)
    commit.commit(tiny_package, edited, {f"{name}.onnx": content for name in names})
    context = ort.ModelPackageContext(str(tiny_package))
    assert context.get_variant_names("model") == list(names)
    assert select(context).get_selected_variant_name() == names[0]
    with edgekit.load(tiny_package) as model:
        assert model.explain().choice.variant == names[0]


def test_onnxruntime_opens_the_exported_cnn(cnn_package: Path) -> None:
    from edgekit.package.cases import open_cases

    package = reading.read(cnn_package)
    assert package.graphs[0].reference is not None
    session = select(ort.ModelPackageContext(str(cnn_package))).create_session()
    with edgekit.load(cnn_package) as model:
        for case in open_cases(cnn_package, package, package.graphs[0].reference).open():
            (theirs,) = session.run(None, case.feed)
            (image,) = case.feed.values()
            np.testing.assert_allclose(model(image), theirs, rtol=1e-4, atol=1e-5)


def test_onnxruntime_opens_each_graph_as_a_component_of_its_own(two_graphs: Path) -> None:
    context = ort.ModelPackageContext(str(two_graphs))
    assert context.get_component_names() == ["model", "model-uint8"]
    assert context.get_variant_names("model") == ["fp32"]
    assert context.get_variant_names("model-uint8") == ["fp32-uint8"]
    x = np.random.default_rng(0).integers(0, 256, (3, 4), np.uint8)
    for component, variant, feed in (
        ("model", "fp32", x.astype(np.float32)),
        ("model-uint8", "fp32-uint8", x),
    ):
        (theirs,) = select(context, component).create_session().run(None, {"x": feed})
        with edgekit.load(two_graphs, variant=variant) as model:
            np.testing.assert_allclose(theirs, model(feed), rtol=1e-5)


def test_onnxruntime_lists_graphs_in_the_manifests_order(two_graphs: Path) -> None:
    package = reading.read(two_graphs)
    for order in (1, -1):
        turned = msgspec.structs.replace(
            package, graphs=package.graphs[::order], variants=package.variants[::order]
        )
        commit.commit(two_graphs, turned, {})
        names = [graph.name for graph in reading.read(two_graphs).graphs]
        assert names == ["model", "model-uint8"][::order]
        assert ort.ModelPackageContext(str(two_graphs)).get_component_names() == names
