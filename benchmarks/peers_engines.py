"""The engines of `benchmarks.peers`: what each is told, and what it needs made first."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from onnxruntime.quantization import quantize_dynamic, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from benchmarks.peers_child import Engine
from benchmarks.quantize_judging import NAIVE_CASES, Feeds, command
from edgekit.package import reading
from edgekit.package.values import PORTABLE
from edgekit.terms import Scheme

THREADS = 2
TUNED = "edgekit tuned"
NNCF = Path(__file__).with_name("peers_nncf.py")


class Model(msgspec.Struct, frozen=True):
    """A model, as `edgekit export` and NNCF are told it.

    `image` is a side of made-up images, `target` what is exported where that isn't the name.
    `further` models are none that the goals name: they show what the search is worth elsewhere.
    """

    name: str
    parameters: dict[str, str] = {}
    target: str = ""
    image: int | None = None
    labelled: bool = False
    transformer: bool = False
    further: bool = False

    @property
    def folder(self) -> str:
        """The name of its folder."""
        return self.name.replace(":", "-")

    @property
    def budget(self) -> tuple[str, str]:
        """What its answers may lose, as edgekit's commands take it."""
        return ("--max-drop", "0.5pp") if self.labelled else ("--min-cosine", "0.99")


def ort_row(label: str, path: Path) -> Engine:
    """Make the row of a file in ONNX Runtime."""
    return Engine(label, "ort", sys.executable, {"model": str(path), "threads": THREADS})


def naive(floats: Path, kind: str, output: Path, calibration: Path) -> str:
    """Quantize as ONNX Runtime's functions do by default; say why where they can't."""
    ready = output.with_name("naive-ready.onnx")
    try:
        if not ready.exists():
            quant_pre_process(floats, ready, skip_symbolic_shape=True)
        if kind == "dynamic":
            quantize_dynamic(ready, output)
        else:
            with np.load(calibration) as stacked:
                arrays = dict(stacked)
            feeds = [
                {name: array[i : i + 1] for name, array in arrays.items()}
                for i in range(min(NAIVE_CASES, len(next(iter(arrays.values())))))
            ]
            quantize_static(ready, output, Feeds(feeds))
    except Exception as error:  # of a peer's: it is shown in the table
        output.unlink(missing_ok=True)
        return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
    return ""


def openvino_rows(
    model: Model,
    floats: Path,
    folder: Path,
    python: str | None,
    engines: list[Engine],
    left_out: dict[str, str],
    tell: Callable[[str], None],
) -> None:
    """Add the rows of OpenVINO's own runtime, or say why there are none."""
    labels = ("OpenVINO fp32", "OpenVINO bf16", "OpenVINO int8")
    if python is None:
        left_out |= dict.fromkeys(labels, "--openvino-python names no interpreter that has it")
        return
    path = folder / "nncf.xml"

    def row(label: str, model: Path, hint: str | None) -> None:
        options = {} if hint is None else {"INFERENCE_PRECISION_HINT": hint}
        told = {"model": str(model), "threads": THREADS, "options": options}
        engines.append(Engine(label, "openvino", python, told))

    row(labels[0], floats, "f32")
    row(labels[1], floats, "bf16")
    if not path.exists():
        tell(f"{model.name}: quantizing it with NNCF")
        more = ["--transformer"] if model.transformer else []
        asked = [python, str(NNCF), str(floats), str(folder / "calibration.npz"), str(path), *more]
        done = subprocess.run(asked, capture_output=True, text=True, check=False)
        if done.returncode:
            said = done.stderr.strip().splitlines()[-1:] or [f"exit code {done.returncode}"]
            left_out[labels[2]] = f"NNCF: {said[0][:200]}"
            return
    row(labels[2], path, None)


def edgekit_rows(
    model: Model,
    package: Path,
    schemes: tuple[Scheme, ...],
    tune_s: float,
    engines: list[Engine],
    left_out: dict[str, str],
    tell: Callable[[str], None],
) -> None:
    """Add edgekit's rows: the float variant, those that were asked for, and the tuned winner."""

    def row(label: str, variant: str | None, note: str = "") -> None:
        told: dict[str, Any] = {"model": str(package), "variant": variant}
        # The winner of a search comes with the threads that it was found with.
        told |= {"threads": THREADS} if variant else {}
        engines.append(Engine(label, "edgekit", sys.executable, told, ours=True, note=note))

    row("edgekit float", PORTABLE)
    for scheme in schemes:
        label = f"edgekit {scheme}"
        if not any(variant.name == scheme for variant in reading.read(package).variants):
            tell(f"{model.name}: edgekit quantize --scheme {scheme}")
            _, problem = command("quantize", str(package), "--scheme", scheme, *model.budget)
            if problem:
                left_out[label] = problem
                continue
        row(label, scheme)
    if tune_s:
        tell(f"{model.name}: edgekit tune")
        limit = ("--time-limit", f"{tune_s:g}s")
        document, problem = command("tune", str(package), *model.budget, *limit)
        if document is None or problem:
            left_out[TUNED] = problem
        else:
            found = document["tuned"]
            unfinished = "" if found["finished"] else " (its time ran out)"
            tell(f"  {found['why']}{unfinished}")
            row(TUNED, None, f"{found['why']}{unfinished}")
