"""Does a portable int8 answer the same on processors with and without VNNI? And an 8-bit one?

    python -m benchmarks.portable_int8 --package cnn.edgekit

The same file runs on this processor and, where qemu-x86_64 is found, on an emulated Haswell, which
has AVX2 and no VNNI: the CNN over held-out digits, ResNet-50 with random weights over one image.
`proved` says that no pair of products can leave 16 bits (`edgekit.quantize.saturation`).
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx
from numpy.random import default_rng

from benchmarks import resnet50_onnx
from benchmarks.paired import write_result
from edgekit import machine, providers
from edgekit.package import reading
from edgekit.package.cases import open_cases
from edgekit.package.values import CaseFile, Target
from edgekit.quantize import int8_static
from edgekit.quantize.saturation import saturating
from edgekit.quantize.scheme import Work
from edgekit.tensors import Array, Feed

NAME = "portable_int8"
EMULATOR = "qemu-x86_64"
CPU = "Haswell"
TARGETS = {7: Target(arch="x86_64"), 8: Target(arch="x86_64", isa=("avx512_vnni",))}
"""The bits of weights, and what is made with so many."""

_ALONE = Path(__file__).with_name("answers_alone.py")


class Compared(msgspec.Struct, frozen=True):
    """One file on both processors: how far apart its answers are, and how large they get."""

    model: str
    weight_bits: int
    cases: int
    proved: bool
    largest_difference: float
    largest_answer: float
    other_classes: int


def emulator() -> str | None:
    """Find the program that runs a process on another processor; None where it can't be."""
    return shutil.which(EMULATOR)


def answers(model: Path, feeds: dict[str, Array], *, emulated: bool) -> Any:
    """Run a model over stacked cases in a process of its own, here or on the emulated processor."""
    command = [sys.executable, str(_ALONE)]
    if emulated:
        found = emulator()
        assert found is not None, f"{EMULATOR} is not installed"
        command = [found, "-cpu", CPU, *command]
    with tempfile.TemporaryDirectory() as folder:
        cases, kept = Path(folder) / "cases.npz", Path(folder) / "answers.npy"
        np.savez(cases, **feeds)  # type: ignore[arg-type]
        done = subprocess.run(
            [*command, str(model), str(cases), str(kept)],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        )
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}: {done.stderr}")
        return np.load(kept)


def compare(name: str, model: Path, feeds: dict[str, Array], *, bits: int) -> Compared:
    """Run a file on both processors."""
    here, there = (answers(model, feeds, emulated=emulated) for emulated in (False, True))
    return Compared(
        model=name,
        weight_bits=bits,
        cases=len(here),
        proved=not saturating(onnx.load(model)),
        largest_difference=float(np.abs(here - there).max()),
        largest_answer=float(np.abs(here).max()),
        other_classes=int((here.argmax(-1) != there.argmax(-1)).sum()),
    )


def quantize(model: Path, feeds: Callable[[], Any], output: Path, *, bits: int) -> None:
    """Make a float model int8, with weights of so many bits."""
    target = TARGETS[bits]
    rules = providers.find("cpu").quant_rules("int8-static", target)
    with tempfile.TemporaryDirectory() as scratch:
        work = Work(
            model=model, scratch=Path(scratch), feeds=feeds, cases=0, target=target, rules=rules
        )
        int8_static.prepare(work)(output, ())


def _images(seed: int, count: int) -> list[Feed]:
    draws = default_rng(seed)
    shape = (1, 3, 224, 224)
    return [{"images": draws.standard_normal(shape).astype(np.float32)} for _ in range(count)]


def _feeds(package: Path, *, held_out: bool, count: int) -> list[Feed]:
    read = reading.read(package)
    graph = read.graphs[0]
    cases: CaseFile | None = graph.evaluation if held_out else graph.calibration
    assert cases is not None, "the package has no cases of its own"
    opened = open_cases(package, read, cases).open()
    return [case.feed for case, _ in zip(opened, range(count), strict=False)]


def _stacked(feeds: list[Feed]) -> dict[str, Array]:
    return {name: np.concatenate([np.asarray(feed[name]) for feed in feeds]) for name in feeds[0]}


def main() -> None:
    """Compare both models with 7- and with 8-bit weights, and write the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--package", type=Path, required=True, help="the CNN's package")
    parser.add_argument("--digits", type=int, default=300, help="held-out digits to compare")
    asked = parser.parse_args()
    if emulator() is None:
        sys.exit(f"{EMULATOR} is not installed: nothing to compare with")
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        resnet = Path(folder) / "resnet50.onnx"
        resnet50_onnx.write(resnet)
        digits = _feeds(asked.package, held_out=False, count=256)
        held_out = _stacked(_feeds(asked.package, held_out=True, count=asked.digits))
        for name, model, calibration, cases in (
            ("cnn", asked.package / "fp32.onnx", digits, held_out),
            ("resnet50", resnet, _images(1, 4), _stacked(_images(2, 1))),
        ):
            for bits in TARGETS:
                output = Path(folder) / f"{name}.{bits}.onnx"
                quantize(model, lambda feeds=calibration: iter(feeds), output, bits=bits)  # type: ignore[misc]
                rows.append(compare(name, output, cases, bits=bits))
                print(rows[-1], flush=True)
    here = machine.describe()
    where = {"here": here.isa, "there": f"{EMULATOR} -cpu {CPU}"}
    print(write_result(NAME, {**where, "compared": rows}))


if __name__ == "__main__":
    main()
