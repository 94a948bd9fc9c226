"""A corpus of modules made to be difficult, and of exporter bugs from public threads: each comes
out right, or is refused with the reason, or is said to be random. None comes out wrong.

Right is judged here without `exporters.verify`: at other sizes, on other values, and by other
bounds. The cases that tell most run always; EDGEKIT_CORPUS=all runs all of them.
"""

from __future__ import annotations

import ast
import copy
import os
import re
import sys
import threading
import tomllib
import warnings
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray

from edgekit.errors import ExportError, UsageError, WorkerError
from edgekit.tensors import Dim
from edgekit.workers import Call, Worker
from exporters import dimensions, sources
from exporters.attempts import in_turn
from exporters.exportable import Exportable
from exporters.original import Original
from exporters.requests import Attempt, ExportOptions, TargetRequest

CORPUS = Path(__file__).parent / "corpus"
ALL = os.environ.get("EDGEKIT_CORPUS") == "all"
SIZES = (1, 2, 3, 4, 5, 8, 13, 29)
REACH = {"usual": 1.0, "wide": 8.0, "far": 100.0, "zeros": 0.0}
"""How far from zero floats are drawn, where their range is not stated."""
CHILDREN = 2
EXPORTS_A_CHILD = 12
"""An export can spoil the next one in the same process; in so few none was seen to."""

_EXPECTED = tomllib.loads((CORPUS / "expected.toml").read_text())
QUICK = {f"{file}.{name}" for file, names in _EXPECTED["quick"].items() for name in names}
REFUSED, GAPS, RANDOM = (
    {
        f"{file}.{name}": what
        for file, told in _EXPECTED[kind].items()
        for name, what in told.items()
    }
    for kind in ("refused", "gaps", "random")
)


def _cases() -> Iterator[Any]:
    known = []
    for path in sorted(CORPUS.glob("*.py")):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
                known.append(f"{path.stem}.{node.name}")
    assert {*REFUSED, *GAPS, *RANDOM, *QUICK} <= {*known}, "a case that isn't there"
    for name in known:
        marks = []
        if not ALL and name not in QUICK:
            marks.append(pytest.mark.skip(reason="EDGEKIT_CORPUS=all runs the whole corpus"))
        yield pytest.param(name, marks=marks)


@dataclass(frozen=True)
class Outcome:
    """What became of a case: an attempt whose files lie in a folder, or an error."""

    request: TargetRequest
    folder: Path
    done: Attempt | None
    error: ExportError | UsageError | None


class _Children:
    """A worker for each thread, replaced after some exports."""

    def __init__(self) -> None:
        self._own = threading.local()
        self._all: list[Worker] = []

    def attempt(self, request: TargetRequest, options: ExportOptions, folder: Path) -> Attempt:
        worker: Worker | None = getattr(self._own, "worker", None)
        if worker is None or self._own.exports >= EXPORTS_A_CHILD:
            if worker is not None:
                worker.close()
            self._own.worker = worker = Worker("the corpus", wall_s=110.0)
            self._own.exports = 0
            self._all.append(worker)
        self._own.exports += 1
        arguments = {"request": request, "options": options, "folder": str(folder)}
        try:
            return worker.call(Call("exporters.attempt:attempt_target", arguments), returns=Attempt)
        except WorkerError:
            self._own.exports = EXPORTS_A_CHILD
            raise

    def close(self) -> None:
        for worker in self._all:
            worker.close()


@pytest.fixture(scope="module")
def outcomes(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Mapping[str, Future[Outcome]]]:
    """Start the selected cases, two at a time; each is there when its future is done."""
    children = _Children()

    def run(name: str) -> Outcome:
        file, _, factory = name.partition(".")
        asked = TargetRequest(f"{file}.py:{factory}", str(CORPUS))
        folder = tmp_path_factory.mktemp("case")
        try:
            done = in_turn(
                lambda options, own: children.attempt(asked, options, own),
                ExportOptions(),
                folder,
                label=name,
            )
        except (ExportError, UsageError) as error:
            return Outcome(asked, folder, None, error)
        return Outcome(asked, folder, done, None)

    selected = [
        str(item.callspec.params["case"])
        for item in request.session.items
        if isinstance(item, pytest.Function)
        and item.originalname == test_a_case_is_right_or_refused.__name__
        and not item.get_closest_marker("skip")
    ]
    with ThreadPoolExecutor(CHILDREN) as pool:
        yield {name: pool.submit(run, name) for name in selected}
        pool.shutdown(cancel_futures=True)
        children.close()


@pytest.fixture
def forgetting(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let a case's module be made in this process: what it warns of is no matter here."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
    for name in sys.modules.keys() - before:
        if (getattr(sys.modules[name], "__file__", None) or "").startswith(str(CORPUS)):
            del sys.modules[name]


@pytest.mark.usefixtures("forgetting")
@pytest.mark.parametrize("case", list(_cases()))
def test_a_case_is_right_or_refused(case: str, outcomes: Mapping[str, Future[Outcome]]) -> None:
    outcome = outcomes[case].result()
    if case in REFUSED or (case in GAPS and outcome.error is not None):
        assert outcome.error is not None, "it was to be refused"
        assert re.search({**GAPS, **REFUSED}[case], str(outcome.error)), str(outcome.error)
        return
    assert outcome.done is not None, str(outcome.error)
    random = {spec.name for spec in outcome.done.signature.outputs if spec.random}
    assert sorted(random) == RANDOM.get(case, [])
    assert _wrong(outcome, random) == []


def _wrong(outcome: Outcome, random: set[str]) -> list[str]:
    """Say where the exported model answers otherwise than the module, made anew."""
    assert outcome.done is not None
    exportable = sources.build(outcome.request)
    # Gives a lazy module its weights, and nothing else is called.
    pristine = Original(exportable).module
    session = onnxruntime.InferenceSession(
        str(outcome.folder / outcome.done.model), providers=["CPUExecutionProvider"]
    )
    names = [entry.name for entry in session.get_outputs()]
    assert names == [spec.name for spec in outcome.done.signature.outputs]
    wrong, answered = [], 0
    for sizes, values, feed in _feeds(exportable):
        fed = {name: tensor.numpy() for name, tensor in feed.items()}
        try:
            # A module that was never called, so that nothing that is kept between calls is there.
            answers = [_answer(copy.deepcopy(pristine), exportable, feed) for _ in range(2)]
            answers.append(_answer(pristine, exportable, feed))
        except Exception:  # at some sizes the module itself fails
            continue
        answered += 1
        got = dict(zip(names, session.run(None, fed), strict=True))
        for expected in answers:
            for name, array in zip(names, expected, strict=True):
                problem = _difference(got[name], array, by_value=name not in random)
                if problem:
                    wrong.append(f"{name} at {sizes}, {values} values: {problem}")
    assert answered
    return wrong


def _answer(
    module: torch.nn.Module, exportable: Exportable, feed: Mapping[str, torch.Tensor]
) -> list[NDArray[Any]]:
    fed = {name: tensor.clone() for name, tensor in feed.items()}
    with torch.no_grad():
        if isinstance(exportable.example, Mapping):
            return list(_flat(module(**fed)))
        return list(_flat(module(*fed.values())))


def _flat(returned: Any) -> Iterator[NDArray[Any]]:
    if isinstance(returned, torch.Tensor):
        yield returned.detach().numpy()
    elif isinstance(returned, Mapping | tuple | list):
        for part in returned.values() if isinstance(returned, Mapping) else returned:
            yield from _flat(part)


def _feeds(exportable: Exportable) -> Iterator[tuple[dict[str, int], str, dict[str, torch.Tensor]]]:
    """Draw feeds at every size of every dimension and at some of all of them together."""
    example = exportable.inputs()
    shapes = dimensions.resolve(
        exportable.dynamic, {name: tuple(tensor.shape) for name, tensor in example.items()}
    )
    dims: dict[str, list[int]] = {}
    start: dict[str, int] = {}
    for name, shape in shapes.items():
        for axis, dim in enumerate(shape):
            if isinstance(dim, Dim):
                start[dim.name] = example[name].shape[axis]
                fitting = {size for size in SIZES if dim.low <= size <= (dim.high or size)}
                dims[dim.name] = sorted({*fitting, dim.low, *([dim.high] if dim.high else [])})
    generator = np.random.default_rng(7)
    combinations = [start, *({**start, d: size} for d, known in dims.items() for size in known)]
    combinations += [
        {d: int(generator.choice(known)) for d, known in dims.items()}
        for _ in range(5 if dims else 0)
    ]
    for sizes in combinations:
        for values, reach in REACH.items():
            feed = {}
            for name, shape in shapes.items():
                exact = [sizes[dim.name] if isinstance(dim, Dim) else dim for dim in shape]
                limits = exportable.values.get(name)
                feed[name] = _drawn(example[name], exact, limits, reach, generator)
            yield sizes, values, feed


def _drawn(
    example: torch.Tensor,
    shape: list[int],
    limits: tuple[float, float] | None,
    reach: float,
    generator: np.random.Generator,
) -> torch.Tensor:
    drawn: NDArray[Any]
    if example.is_floating_point():
        if limits is not None:
            drawn = generator.uniform(*limits, shape)
        else:
            drawn = generator.standard_normal(shape) * reach
    else:
        low, high = limits or (example.min().item(), example.max().item())
        drawn = generator.integers(int(low), int(high), shape, endpoint=True)
    return torch.from_numpy(np.asarray(drawn)).to(example.dtype)


def _difference(got: NDArray[Any], expected: NDArray[Any], *, by_value: bool) -> str:
    if got.shape != expected.shape or got.dtype != expected.dtype:
        return f"{got.dtype} of {got.shape} for {expected.dtype} of {expected.shape}"
    if not by_value or not expected.size:
        return ""
    if expected.dtype.kind in "biu":
        return "" if np.array_equal(got, expected) else f"{got} for {expected}"
    coarse = 2e-2 if expected.dtype == np.float16 else 2e-3
    finite = expected[np.isfinite(expected)].astype(np.float64)
    largest = float(np.abs(finite).max()) if finite.size else 0.0
    # What underflows in one of two orders of summing is no difference.
    absolute = coarse * 0.1 * max(largest, 1e-3)
    near = np.isclose(got, expected, rtol=coarse, atol=absolute, equal_nan=True)
    return "" if near.all() else f"{got[~near][:3]} for {expected[~near][:3]}"
