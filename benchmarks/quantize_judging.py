"""Judge quantized models without edgekit's own measures: plain ONNX Runtime over held-out cases.

The float model of the package is what all are held against. Only the timing is edgekit's bench.
"""

from __future__ import annotations

import json
import math
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationDataReader, quantize_dynamic, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from benchmarks.paired import RESULTS
from edgekit.measure.bench import time_candidates
from edgekit.measure.plan import Candidate, Plan
from edgekit.measure.statistics import p50_ms, speedup
from edgekit.measure.ways import How, variant_call
from edgekit.metrics import Estimate
from edgekit.package import reading
from edgekit.package.cases import open_cases
from edgekit.package.values import PORTABLE
from edgekit.tensors import Case, Feed

NAIVE_CASES = 32
"""ONNX Runtime's calibration keeps every activation of every case: more than that fills memory."""

EDGEKIT = Path(sys.executable).with_name("edgekit")


class Nearness(msgspec.Struct, frozen=True):
    """How near a model's answers are to the float model's: cosine, a case at a time."""

    mean: float
    worst: float
    cases: int


class Counted(msgspec.Struct, frozen=True):
    """What a classifier reads of labelled cases, beside what the float model reads of them.

    `harmful` were right and are wrong now, `helpful` the other way round; `drop` is in percentage
    points, and `drop_high` where it ends with 95 % confidence, every helpful change left aside.
    """

    cases: int
    right: int
    float_right: int
    harmful: int
    helpful: int
    drop: float
    drop_high: float


class Timed(msgspec.Struct, frozen=True):
    """How fast a model is beside the float one, in interleaved rounds of several starts."""

    p50_ms: float
    speedup: Estimate


class Ruled(msgspec.Struct, frozen=True):
    """What of edgekit's verdict is kept: the ruling, its sentence, and the drop it rests on."""

    ruling: str
    sentence: str
    estimate: Estimate | None = None


class Feeds(CalibrationDataReader):  # type: ignore[misc]  # onnxruntime has no types
    """Feeds as ONNX Runtime's own quantization wants them: one a call, then None."""

    def __init__(self, feeds: Sequence[Feed]) -> None:
        self._left = iter(feeds)

    def get_next(self) -> Any:
        """Give the next feed."""
        return next(self._left, None)


def held_out(package: Path, *, limit: int | None = None) -> list[Case]:
    """Read a package's held-out cases."""
    return list(islice(_cases(package, "evaluation"), limit))


def naive(float_model: Path, package: Path, folder: Path) -> dict[str, Path]:
    """Quantize as ONNX Runtime's own functions do when they are told nothing but what to read.

    Its pre-processing runs before, as its documentation asks for.
    """
    ready, dynamic, static = (
        folder / f"naive-{name}.onnx" for name in ("ready", "dynamic", "static")
    )
    quant_pre_process(float_model, ready, skip_symbolic_shape=True)
    quantize_dynamic(ready, dynamic)
    feeds = [case.feed for case in islice(_cases(package, "calibration"), NAIVE_CASES)]
    quantize_static(ready, static, Feeds(feeds))
    return {"naive dynamic": dynamic, "naive static": static}


def nearness(model: Path, float_model: Path, cases: Sequence[Case]) -> Nearness:
    """Hold a model's first output against the float model's, by the cosine of each case."""
    found = [
        _cosine(got, expected)
        for got, expected in zip(answers(model, cases), answers(float_model, cases), strict=True)
    ]
    return Nearness(float(np.mean(found)), float(np.min(found)), len(found))


def counted(model: Path, float_model: Path, cases: Sequence[Case]) -> Counted:
    """Count what a classifier and the float model read right."""
    labels = np.array([case.label for case in cases])
    ours, floats = (
        np.concatenate(list(answers(path, cases))).argmax(-1) == labels
        for path in (model, float_model)
    )
    harmful, helpful = int((floats & ~ours).sum()), int((ours & ~floats).sum())
    n = len(cases)
    return Counted(
        cases=n,
        right=int(ours.sum()),
        float_right=int(floats.sum()),
        harmful=harmful,
        helpful=helpful,
        drop=100 * (harmful - helpful) / n,
        drop_high=100 * highest_share(harmful, n),
    )


def highest_share(met: int, n: int, *, confidence: float = 0.95) -> float:
    """Bound a share from above, given that it was met so often in n cases.

    One-sided and exact (Clopper and Pearson, 1934): the share at which so few would be met with a
    probability of 1 - confidence.
    """
    if met >= n:
        return 1.0
    low, high = met / n, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        if _at_most(met, n, middle) > 1 - confidence:
            low = middle
        else:
            high = middle
    return high


def timed(models: Mapping[str, Path], feed: Feed, plan: Plan) -> dict[str, Timed]:
    """Time models side by side, the float one first, by edgekit's bench."""

    def progress(done: int, total: int) -> None:
        print(f"\rturn {done} of {total}", end="", file=sys.stderr, flush=True)

    candidates = [
        Candidate(label, variant_call(path, PORTABLE, How()), path.stat().st_size)
        for label, path in models.items()
    ]
    measured = time_candidates(candidates, feed, plan=plan, progress=progress).measurements
    print(file=sys.stderr)
    starts = {one.label: [start.rounds for start in one.starts] for one in measured}
    baseline = starts[candidates[0].label]
    return {
        label: Timed(p50_ms(rounds), speedup(baseline, rounds)) for label, rounds in starts.items()
    }


def command(*arguments: str) -> tuple[dict[str, Any] | None, str]:
    """Run a command of edgekit with --json, and return its document, or None and why not.

    A gate that said no gives both.
    """
    print(f"edgekit {' '.join(arguments)}", file=sys.stderr)
    done = subprocess.run(
        [EDGEKIT, *arguments, "--json"], capture_output=True, text=True, check=False
    )
    folder = f"{tempfile.gettempdir()}/"
    said = [_without(line.strip(), folder) for line in done.stderr.splitlines() if line.strip()]
    document = json.loads(done.stdout) if done.stdout.strip() else None
    return document, "" if done.returncode == 0 else (said[-1] if said else f"{done.returncode}")


def verdict_of(said: dict[str, Any]) -> Ruled | None:
    """Read edgekit's first verdict out of its document; None where it was given no budget."""
    verdicts = said.get("verdicts") or []
    return msgspec.convert(verdicts[0], Ruled) if verdicts else None


def read_result(name: str) -> dict[str, Any]:
    """Read the file of a result; FileNotFoundError where there is none yet."""
    found: dict[str, Any] = json.loads((RESULTS / f"{name}.json").read_text())
    return found


def as_markdown(lines: Sequence[Sequence[str]]) -> str:
    """Write rows of cells, the head first, as a table; a short row's last cell is a reason."""
    head, *rest = lines
    made = [head, ["---"] * len(head)]
    made += [[*line, *[""] * (len(head) - len(line))] for line in rest]
    return "\n".join(f"| {' | '.join(line)} |" for line in made)


def knows(option: str) -> bool:
    """Tell whether `edgekit quantize` has an option."""
    done = subprocess.run(
        [EDGEKIT, "quantize", "--help"], capture_output=True, text=True, check=True
    )
    return option in done.stdout


def answers(model: Path, cases: Sequence[Case]) -> Iterator[NDArray[np.float32]]:
    """Run a model over cases on the CPU, one thread, and give its first output of each."""
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    first = session.get_outputs()[0].name
    for case in cases:
        yield session.run([first], dict(case.feed))[0]


def _cases(path: Path, kind: str) -> Iterator[Case]:
    package = reading.read(path)
    cases = getattr(package.graphs[0], kind)
    assert cases is not None, f"{path} has no {kind} cases"
    yield from open_cases(path, package, cases).open()


def _cosine(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    wide = [np.asarray(x, np.float64).ravel() for x in (a, b)]
    lengths = np.linalg.norm(wide[0]) * np.linalg.norm(wide[1])
    return float(wide[0] @ wide[1] / lengths) if lengths else 0.0


def _without(line: str, folder: str) -> str:
    """Take the names of temporary folders out: they are others each time."""
    return re.sub(rf"{re.escape(folder)}edgekit-[^/ ]+/", "", line)


def _at_most(met: int, n: int, share: float) -> float:
    """Say how probable it is that at most `met` of n are met, each with this probability."""
    logs = [
        math.lgamma(n + 1)
        - math.lgamma(k + 1)
        - math.lgamma(n - k + 1)
        + k * math.log(share)
        + (n - k) * math.log1p(-share)
        for k in range(met + 1)
    ]
    return math.fsum(math.exp(value) for value in logs)
