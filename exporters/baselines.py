"""The originals of a package as candidates of a bench: found, described, and not yet made.

Nothing here imports torch, but to ask whether it can use the GPU that a provider does; the worker
that opens a candidate does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import msgspec

from edgekit import machine
from edgekit.errors import OriginalUnavailable
from edgekit.measure.bench import Candidate
from edgekit.measure.results import LeftOut
from edgekit.measure.ways import How
from edgekit.package.values import Package
from edgekit.tensors import Signature
from edgekit.terms import Against, Task
from edgekit.workers import Call
from exporters import records
from exporters.beside import beside
from exporters.requests import PIXELS_SUFFIX, TargetRequest

_LABELS: dict[Against, tuple[str, str]] = {
    "eager": ("PyTorch eager", "exporters.runners:open_eager"),
    "compiled": ("PyTorch compiled", "exporters.runners:open_compiled"),
}


def originals(
    package: Package,
    against: Sequence[Against],
    *,
    graph: str | None = None,
    original: str | None = None,
    parameters: Mapping[str, str] | None = None,
    task: Task | None = None,
    pretrained: bool | None = None,
    weights: str | None = None,
    threads: int | None = None,
    how: How = How(),  # noqa: B008 (frozen)
) -> tuple[list[Candidate], list[LeftOut]]:
    """Find a package's PyTorch original, run in each of the asked ways.

    Args:
        package: what the original must match: its weights' hash and its recorded answers.
        against: the ways to run it, the one to compare with first.
        graph: the graph whose function the original must have; by default the first. Where pixels
            go into it, the original has the steps from pixels to its input in PyTorch.
        original: the TARGET that makes it; by default what the exporting user's cache remembers.
        parameters: its factory's parameters; by default those that it was exported with.
        task: what a transformers checkpoint is for; by default what it was exported for.
        pretrained: take the published weights; by default if it was exported with them.
        weights: a .safetensors file for the module; by default what the cache remembers.
        threads: threads for one call; None takes as many as this process may use.
        how: how the variants beside it run: on NVIDIA's GPUs the original does too, where PyTorch
            can, from the same memory, in the same precision and under the same environment.

    Returns:
        The candidates, and the rows to leave out with the reason where there is no original.
    """
    if package.provenance.original == "onnx":
        return [], []
    try:
        request = _request(package, original, parameters, task, pretrained, weights)
    except OriginalUnavailable as error:
        return [], [LeftOut(_LABELS[way][0], str(error)) for way in against]
    chosen = next(g for g in package.graphs if graph in (None, g.name))
    variant = next(v for v in package.variants if v.graph == chosen.name)
    pixels = chosen.name.endswith(PIXELS_SUFFIX)
    place, _ = beside(how)
    environment = {"TORCHINDUCTOR_COMPILE_THREADS": "1", **how.provider.environment(how.session)}
    arguments = {
        "request": msgspec.structs.replace(request, with_preprocessing=pixels),
        "signature": chosen.signature,
        "weights_sha256": package.provenance.weights_sha256,
        "threads": threads or machine.threads_available(),
        "beside": place,
    }
    return [
        Candidate(
            label=f"{_LABELS[way][0]} · {place.kind}" if place.kind else _LABELS[way][0],
            # One compile worker is enough, and it leaves no pool of processes behind.
            call=Call(_LABELS[way][1], arguments, environment),
            optional=True,
            tolerance={entry.output: entry.tolerance for entry in variant.closeness},
        )
        for way in against
    ], []


def any_original(
    target: str,
    signature: Signature,
    *,
    parameters: Mapping[str, str] | None = None,
    task: Task | None = None,
    pretrained: bool = False,
    weights: str | None = None,
    how: How = How(),  # noqa: B008 (frozen)
) -> Candidate:
    """Describe an original that is of no package: whatever weights it is made with are right.

    Args:
        target: the TARGET that makes it.
        signature: what goes in and comes out, by the names that it must have.
        parameters: its factory's parameters.
        task: what a transformers checkpoint is for.
        pretrained: take the published weights.
        weights: a .safetensors file for the module.
        how: how the model beside it runs, see `originals`.
    """
    place, _ = beside(how)
    request = TargetRequest(
        target=target,
        folder=str(Path.cwd()),
        parameters=dict(parameters or {}),
        task=task,
        pretrained=pretrained,
        weights=None if weights is None else str(Path.cwd() / weights),
    )
    arguments = {
        "request": request,
        "signature": signature,
        "weights_sha256": "",
        "threads": how.session.threads or machine.threads_available(),
        "beside": place,
    }
    label = f"{target} · {place.kind}" if place.kind else target
    call = Call(_LABELS["eager"][1], arguments, how.provider.environment(how.session))
    return Candidate(label=label, call=call, optional=True)


def _request(
    package: Package,
    original: str | None,
    parameters: Mapping[str, str] | None,
    task: Task | None,
    pretrained: bool | None,
    weights: str | None,
) -> TargetRequest:
    asked: dict[str, Any] = {"task": task, "pretrained": pretrained}
    asked["parameters"] = dict(parameters) if parameters else None
    # Relative paths that are typed now start here, wherever the remembered ones start.
    asked["weights"] = None if weights is None else str(Path.cwd() / weights)
    if original is None:
        known = records.recall(package)
    else:
        made = package.provenance
        known = TargetRequest(
            target=original,
            folder=str(Path.cwd()),
            parameters=made.parameters,
            seed=made.seed,
            task=cast("Task | None", made.task),
            pretrained=made.pretrained,
        )
    changes = {name: value for name, value in asked.items() if value is not None}
    return msgspec.structs.replace(known, **changes)
