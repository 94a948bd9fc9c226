"""Bench packages and plain .onnx files: every variant, beside the originals that a caller names."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import msgspec

from edgekit import machine as machines
from edgekit import providers
from edgekit.errors import BadValue, NotFound, ProviderUnavailable
from edgekit.measure.bench import Candidate, Plan, time_candidates
from edgekit.measure.results import Bench, BenchReport, LeftOut, report
from edgekit.measure.surroundings import busy
from edgekit.package import measured, reading
from edgekit.package.cases import open_cases
from edgekit.package.values import Package, SessionChoice, Variant
from edgekit.tensors import (
    Array,
    Case,
    Dim,
    Feed,
    Signature,
    TensorSpec,
    dim_sizes,
    dynamic_dims,
    resize,
)
from edgekit.workers import Call, Worker

log = logging.getLogger("edgekit")

_WALL_S = 120.0


class Subject(msgspec.Struct, frozen=True):
    """One of the things to bench: a package, or a plain .onnx file with less known about it."""

    path: Path
    name: str
    signature: Signature
    package: Package | None
    cases: list[Case]


def bench_packages(
    subjects: list[Subject],
    choice: SessionChoice,
    *,
    originals: list[Candidate],
    left_out: list[LeftOut],
    batch: int | None = None,
    plan: Plan | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> BenchReport:
    """Time every variant of the subjects beside the originals of the first, in one run.

    Without an original that can run, the first variant is the baseline and the report says so.
    The result is kept in the package's `measured/` folder where there is one subject.

    Args:
        subjects: what `open_subject` gave; all take the same inputs.
        choice: how the variants run.
        originals: candidates that are the original, first the one to compare with.
        left_out: originals that are known not to run here.
        batch: the size of the batch dimension; by default 1, or the lowest that the model takes.
        plan: how much to measure.
        progress: called with the turns done and the turns in all.

    Raises:
        ProviderUnavailable: the provider can't be used here.
        BadValue: a batch that the model doesn't take, or subjects with different inputs.
        EdgekitError: a variant could not be opened or run.
    """
    refuse_unusable(choice.provider)
    first = subjects[0]
    for other in subjects[1:]:
        if [s.name for s in other.signature.inputs] != [s.name for s in first.signature.inputs]:
            raise BadValue(
                what="a bench of several models",
                asked=f"{first.name} and {other.name}, whose inputs differ",
                expected="models that take the same inputs",
            )
    feed, sizes = _timing_feed(first, batch)
    disturbed = busy()
    if disturbed:
        log.warning("%s", disturbed)
    candidates = [c for subject in subjects for c in _candidates(subject, choice, len(subjects))]
    package = first.package
    evaluation = package.evaluation if package is not None else None
    timings = time_candidates(
        [*originals, *candidates],
        feed,
        plan=plan or Plan(),
        recorded=first.cases[0] if package is not None and first.cases else None,
        evaluation=open_cases(first.path, package, evaluation) if package and evaluation else None,
        metric=package.metric if package else "closeness",
        progress=progress,
    )
    baseline = timings.measurements[0].label
    machine = machines.describe()
    done = report(
        Bench(
            name=" and ".join(subject.name for subject in subjects),
            baseline=baseline,
            baseline_is=_baseline_is(baseline, originals, package),
            metric=package.metric if package else "closeness",
            sizes=sizes,
            batch=next(iter(sizes.values()), 1),
            threads=choice.threads or machines.threads_available(),
            machine=machine,
            measurements=timings.measurements,
            originals=[original.label for original in originals],
            left_out=[*left_out, *timings.left_out],
            notes=[*([disturbed] if disturbed else []), *_notes(first)],
            files=_hashes(subjects),
        )
    )
    if package is not None and len(subjects) == 1:
        measured.store(first.path, machines.speed_key(machine), msgspec.json.encode(done))
    return done


def open_subject(path: Path) -> Subject:
    """Read what is to be benched: a package's manifest and cases, or a file's inputs.

    Raises:
        NotFound, CorruptPackage, ModelFileError: it can't be read.
    """
    if path.suffix == ".onnx" and not path.is_dir():
        if not path.exists():
            raise NotFound(path=str(path))
        call = Call(
            "edgekit.runtime.runner:open_variant",
            {"path": str(path), "variant": "portable", "session": SessionChoice()},
        )
        with Worker(str(path), wall_s=_WALL_S) as worker:
            signature = worker.open(call).signature
        return Subject(path, path.stem, signature, None, [])
    package = reading.read(path)
    reference = package.reference
    cases = list(open_cases(path, package, reference).open()) if reference else []
    return Subject(path, package.name, package.graphs[0].signature, package, cases)


def refuse_unusable(provider: str) -> None:
    """Raise ProviderUnavailable where a provider can't be used, before anything long starts."""
    diagnosis = providers.find(provider).diagnose()
    if not diagnosis.usable:
        raise ProviderUnavailable(provider=provider, cause=diagnosis.cause, mend=diagnosis.mend)


def _candidates(subject: Subject, choice: SessionChoice, count: int) -> list[Candidate]:
    prefix = f"{subject.name}/" if count > 1 else ""

    def call(variant: str) -> Call:
        return Call(
            "edgekit.runtime.runner:open_variant",
            {"path": str(subject.path), "variant": variant, "session": choice},
        )

    if subject.package is None:
        label = f"{subject.name} · {choice.provider}"
        return [Candidate(label, call("portable"), subject.path.stat().st_size)]
    return [
        Candidate(
            label=f"{prefix}{variant.name} · {choice.provider}",
            call=call(variant.name),
            size_bytes=_size_bytes(subject.package, variant),
            tolerance={entry.output: entry.tolerance for entry in variant.closeness},
        )
        for variant in subject.package.variants
    ]


def _size_bytes(package: Package, variant: Variant) -> int:
    return sum(package.files[name].size for name in reading.files_of(variant))


def _timing_feed(subject: Subject, batch: int | None) -> tuple[Feed, dict[str, int]]:
    """Take the first reference case, at the asked batch; made-up values where there is none."""
    signature = subject.signature
    dims = dynamic_dims(signature)
    feed = subject.cases[0].feed if subject.cases else made_up(signature)
    name = "batch" if "batch" in dims else _leading(signature)
    if batch is not None and name is None:
        fixed = signature.inputs[0].shape[0] if signature.inputs[0].shape else "nothing"
        if batch == fixed:
            return feed, {}
        raise BadValue(
            what="--batch",
            asked=str(batch),
            expected=f"{fixed}: {subject.name} was exported with fixed sizes; export it with "
            f"--dynamic {signature.inputs[0].name}=batch",
        )
    sizes = {} if name is None else {name: batch if batch is not None else dims[name].low}
    feed = resize(signature, feed, sizes)
    every = dim_sizes(signature, feed)
    return feed, {**sizes, **{key: size for key, size in every.items() if key not in sizes}}


def _leading(signature: Signature) -> str | None:
    """Name the first axis of the first input where it is dynamic: what is most likely the batch."""
    shape = signature.inputs[0].shape if signature.inputs else ()
    return shape[0].name if shape and isinstance(shape[0], Dim) else None


def made_up(signature: Signature, *, size: int = 1, seed: int = 0) -> dict[str, Array]:
    """Draw values for inputs of which nothing is known: floats in [0, 1), integers 0 or 1.

    Every dynamic dimension gets `size`, or the nearest that its range allows.
    """
    import numpy as np

    generator = np.random.default_rng(seed)

    def draw(spec: TensorSpec) -> Array:
        shape = [
            min(max(size, d.low), d.high or max(size, d.low)) if isinstance(d, Dim) else d
            for d in spec.shape
        ]
        if spec.dtype.startswith(("int", "uint", "bool")):
            return generator.integers(0, 2, size=shape).astype(spec.dtype)
        return generator.random(shape).astype(spec.dtype)

    return {spec.name: draw(spec) for spec in signature.inputs}


def _baseline_is(baseline: str, originals: list[Candidate], package: Package | None) -> str:
    if any(original.label == baseline for original in originals):
        return "the PyTorch original"
    if package is not None and package.provenance.original == "onnx":
        return "the float .onnx file that the package was made from"
    if package is not None:
        return "the float variant, because the PyTorch original could not run"
    return "the first model, because a plain .onnx has no original"


def _notes(subject: Subject) -> list[str]:
    if not subject.cases:
        return ["timed on made-up values: a plain .onnx comes without examples"]
    return []


def _hashes(subjects: list[Subject]) -> dict[str, str]:
    return {
        f"{subject.name}/{variant.model}": subject.package.files[variant.model].sha256
        for subject in subjects
        if subject.package is not None
        for variant in subject.package.variants
    }
