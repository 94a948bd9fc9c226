"""The models of `benchmarks.peers`, and what every engine needs of each, made once.

A folder a model: the package, the cases as .npz, and what the peers' own tools make of the float
model. What is there already is taken as it is.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from benchmarks.peers_child import Engine
from benchmarks.peers_engines import (
    THREADS,
    Model,
    edgekit_rows,
    naive,
    openvino_rows,
    ort_row,
)
from benchmarks.peers_race import Cases
from benchmarks.quantize_judging import command
from benchmarks.quantize_materials import Missing, gather
from benchmarks.quantize_real import NETWORKS
from edgekit.package import reading
from edgekit.package.cases import open_cases
from edgekit.package.values import PORTABLE
from edgekit.tensors import Case
from edgekit.terms import Scheme

MATERIALS = Path("build/quantize-real").absolute()
SEED = 0
MADE_UP = 32


MODELS = {
    one.name: one
    for one in (
        Model("cnn", labelled=True),
        Model("rnn", labelled=True),
        Model("transformer", labelled=True, transformer=True),
        Model("alexnet", {"images": "digits"}, labelled=True),
        Model("timm:resnet50", image=224),
        Model("timm:vit_tiny_patch16_224", image=224, transformer=True),
        Model(
            "MiniLM",
            {"folder": str(MATERIALS)},
            target=f"{NETWORKS}:sentences",
            transformer=True,
            further=True,
        ),
        Model("timm:mobilenetv2_100", image=224, further=True),
        Model("timm:mobilenetv3_small_100", image=224, further=True),
        Model("timm:efficientnet_b0", image=224, further=True),
        Model("timm:convnext_atto", image=224, further=True),
    )
}


class Prepared(msgspec.Struct, frozen=True):
    """A model's engines, the original first, and what there can't be here."""

    engines: list[Engine]
    cases: Cases
    left_out: dict[str, str]


def prepare(
    model: Model,
    folder: Path,
    *,
    openvino_python: str | None = None,
    schemes: tuple[Scheme, ...] = (),
    tune_s: float = 120.0,
    tell: Callable[[str], None] = print,
) -> Prepared:
    """Make what the engines of a model need, as far as it isn't there.

    Args:
        model: which.
        folder: where it lies, or will.
        openvino_python: an interpreter with openvino and nncf, None without their rows.
        schemes: variants of edgekit's that get a row each.
        tune_s: how long `edgekit tune` may take.
        tell: called with what is being done.
    """
    folder.mkdir(parents=True, exist_ok=True)
    package = folder / f"{model.folder}.edgekit"
    if not package.exists():
        tell(f"{model.name}: exporting it")
        _export(model, package)
    cases = _cases(package, folder)
    floats = package / reading.variant_named(reading.read(package), PORTABLE).model
    original = {
        "target": model.target or model.name,
        "parameters": model.parameters,
        "seed": SEED,
        "threads": THREADS,
    }
    engines = [
        Engine("PyTorch eager", "eager", sys.executable, original),
        Engine("torch.compile", "compiled", sys.executable, original),
        ort_row("ORT fp32", floats),
    ]
    left_out: dict[str, str] = {}
    for kind in ("dynamic", "static"):
        label, path = f"ORT int8 {kind}", folder / f"naive-{kind}.onnx"
        problem = "" if path.exists() else naive(floats, kind, path, folder / "calibration.npz")
        if problem:
            left_out[label] = problem
        else:
            engines.append(ort_row(label, path))
    openvino_rows(model, floats, folder, openvino_python, engines, left_out, tell)
    edgekit_rows(model, package, schemes, tune_s, engines, left_out, tell)
    return Prepared(engines, cases, left_out)


def _export(model: Model, package: Path) -> None:
    parameters = [w for name, text in model.parameters.items() for w in ("-p", f"{name}={text}")]
    data: list[str] = []
    if model.image:
        for seed, option in enumerate(("--calib-data", "--eval-data")):
            path = package.with_name(f"made-up-{seed}.npz")
            np.savez(path, image=made_up(model.image, seed=seed))
            data += [option, str(path)]
    if model.parameters.get("folder") == str(MATERIALS):
        try:
            gather(MATERIALS)
        except Missing as error:
            raise SystemExit(f"Error: {error}") from error
    target = model.target or model.name
    _, problem = command(
        "export", target, *parameters, *data, "--seed", str(SEED), "-o", str(package)
    )
    if problem:
        raise SystemExit(f"Error: {model.name} could not be exported: {problem}")


def made_up(side: int, *, seed: int, cases: int = MADE_UP) -> np.ndarray:
    """Make images of [cases, 3, side, side] in -1 to 1: coarse squares, each with fine noise."""
    random = np.random.default_rng(seed)
    coarse = random.uniform(-1, 1, (cases, 3, 7, 7))
    large = np.kron(coarse, np.ones((1, 1, side // 7, side // 7)))
    noise = random.uniform(-1, 1, large.shape) * random.uniform(0, 0.5, (cases, 1, 1, 1))
    return np.clip(large * 0.7 + noise, -1, 1).astype(np.float32)


def _cases(package: Path, folder: Path) -> Cases:
    """Write a package's cases as arrays that any interpreter can read."""
    packed = reading.read(package)
    graph = packed.graphs[0]
    assert graph.evaluation is not None
    assert graph.calibration is not None
    held_out = list(open_cases(package, packed, graph.evaluation).open())
    calibration = list(open_cases(package, packed, graph.calibration).open())
    for name, some in (
        ("feed", held_out[:1]),
        ("held-out", held_out),
        ("calibration", calibration),
    ):
        if not (folder / f"{name}.npz").exists():
            np.savez(folder / f"{name}.npz", **_stacked(some))
    labels = [case.label for case in held_out if case.label is not None]
    return Cases(folder / "feed.npz", folder / "held-out.npz", labels or None)


def _stacked(cases: list[Case]) -> dict[str, Any]:
    return {
        name: np.concatenate([np.asarray(c.feed[name]) for c in cases]) for name in cases[0].feed
    }
