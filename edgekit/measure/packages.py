"""Bench packages and plain .onnx files: every variant, beside the originals that a caller names."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import msgspec

from edgekit import machine as machines
from edgekit import providers
from edgekit.errors import BadValue, NotFound, ProviderUnavailable
from edgekit.measure.bench import time_candidates
from edgekit.measure.feeds import made_up, timing_feed
from edgekit.measure.keeping import file_hashes, keep
from edgekit.measure.plan import Candidate, Plan
from edgekit.measure.results import Bench, BenchReport, LeftOut, report
from edgekit.measure.surroundings import busy
from edgekit.package import reading
from edgekit.package.cases import open_cases
from edgekit.package.values import Package, SessionChoice
from edgekit.tensors import Case, Feed, Signature
from edgekit.workers import Call, Worker

log = logging.getLogger("edgekit")

_WALL_S = 600.0
_SURE = Plan()
"""With fewer starts or rounds than these the intervals are less sure than they say."""


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
    Where there is one subject and it is a package, the result is kept beside it.

    Args:
        subjects: what `open_subject` gave; all take and give arrays of the same names.
        choice: how the variants run.
        originals: candidates that are the original, first the one to compare with.
        left_out: originals that are known not to run here.
        batch: the size of the batch dimension; by default 1, or the lowest that the model takes.
        plan: how much to measure.
        progress: called with the turns done and the turns in all.

    Raises:
        ProviderUnavailable: the provider can't be used here.
        BadValue: a batch that the model doesn't take, or subjects that don't fit each other.
        EdgekitError: a variant could not be opened or run.
    """
    refuse_unusable(choice.provider)
    _refuse_strangers(subjects)
    first = subjects[0]
    package = first.package
    plan = plan or Plan()
    feed, sizes, rows = timing_feed(first.signature, _example(first), batch=batch)
    disturbed = busy()
    if disturbed:
        log.warning("%s", disturbed)
    evaluation = package.evaluation if package is not None else None
    timings = time_candidates(
        [*originals, *candidates(subjects, choice)],
        feed,
        plan=plan,
        recorded=first.cases[0] if first.cases else None,
        evaluation=open_cases(first.path, package, evaluation) if package and evaluation else None,
        metric=package.metric if package else "closeness",
        progress=progress,
    )
    baseline = timings.measurements[0].label
    done = report(
        Bench(
            name=" and ".join(subject.name for subject in subjects),
            baseline=baseline,
            baseline_is=_baseline_is(baseline, originals, package),
            metric=package.metric if package else "closeness",
            sizes=sizes,
            batch=rows,
            threads=choice.threads or machines.threads_available(),
            machine=machines.describe(),
            plan=plan,
            measurements=timings.measurements,
            originals=[original.label for original in originals],
            left_out=[*left_out, *timings.left_out],
            notes=[*([disturbed] if disturbed else []), *_notes(first, plan)],
            files={
                name: sha256
                for subject in subjects
                if subject.package is not None
                for name, sha256 in file_hashes(subject.package).items()
            },
        )
    )
    if package is not None and len(subjects) == 1:
        keep(first.path, done)
    return done


def open_subject(path: Path, *, wall_s: float = _WALL_S) -> Subject:
    """Read what is to be benched: a package's manifest and cases, or a file's inputs.

    `wall_s` is how long a plain .onnx file may take to load.

    Raises:
        NotFound, CorruptPackage, ModelFileError: it can't be read.
    """
    if path.suffix.lower() == ".onnx" and not path.is_dir():
        if not path.exists():
            raise NotFound(path=str(path))
        with Worker(str(path), wall_s=wall_s) as worker:
            signature = worker.open(variant_call(path, "portable", SessionChoice())).signature
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


def refuse_batch(subject: Subject, batch: int) -> None:
    """Raise BadValue for a batch that a model doesn't take, before anything long starts."""
    timing_feed(subject.signature, _example(subject), batch=batch)


def candidates(subjects: list[Subject], choice: SessionChoice) -> list[Candidate]:
    """Make a candidate of every variant of every subject, each with a label of its own.

    A variant is held to its tolerance only where it comes from the weights that the baseline does:
    another model may answer otherwise, and then only the distance is told.
    """
    names = [subject.name for subject in subjects]
    paths = [str(subject.path) for subject in subjects]
    prefixes = names if len(set(names)) == len(names) else paths
    first = subjects[0].package
    made: list[Candidate] = []
    for subject, prefix in zip(subjects, prefixes, strict=True):
        package = subject.package
        if package is None:
            label = f"{prefix} · {choice.provider}"
            call = variant_call(subject.path, "portable", choice)
            made.append(Candidate(label, call, subject.path.stat().st_size))
            continue
        related = first is not None and (
            package.provenance.weights_sha256 == first.provenance.weights_sha256
        )
        made += [
            Candidate(
                label=f"{prefix}/{variant.name} · {choice.provider}"
                if len(subjects) > 1
                else f"{variant.name} · {choice.provider}",
                call=variant_call(subject.path, variant.name, choice),
                size_bytes=sum(package.files[name].size for name in reading.files_of(variant)),
                tolerance={entry.output: entry.tolerance for entry in variant.closeness}
                if related
                else {},
            )
            for variant in package.variants
        ]
    return made


def variant_call(path: Path, variant: str, choice: SessionChoice) -> Call:
    """Write the call that opens a variant, or a plain .onnx file, in a worker."""
    return Call(
        "edgekit.runtime.runner:open_variant",
        {"path": str(path.absolute()), "variant": variant, "session": choice},
    )


def _example(subject: Subject) -> Feed:
    return subject.cases[0].feed if subject.cases else made_up(subject.signature)


def _refuse_strangers(subjects: list[Subject]) -> None:
    """Refuse to time models side by side that don't take and give arrays of the same names."""
    paths = [subject.path.resolve() for subject in subjects]
    for subject, path in zip(subjects, paths, strict=True):
        if paths.count(path) > 1:
            raise BadValue(
                what="a bench of several models",
                asked=f"done with {subject.path} twice",
                expected="every model once",
            )
    first = subjects[0]
    for other in subjects[1:]:
        for part in ("inputs", "outputs"):
            ours, theirs = (
                [(spec.name, spec.dtype) for spec in getattr(subject.signature, part)]
                for subject in (first, other)
            )
            if ours != theirs:
                raise BadValue(
                    what="a bench of several models",
                    asked=f"{first.path} and {other.path}, whose {part} differ",
                    expected=f"models with the same {part}, by name and type",
                )


def _baseline_is(baseline: str, originals: list[Candidate], package: Package | None) -> str:
    if any(original.label == baseline for original in originals):
        return "the PyTorch original"
    if package is not None and package.provenance.original == "onnx":
        return "the .onnx file that the package was made from"
    if package is not None:
        held = "held to the recorded answers " if package.reference is not None else ""
        return f"the float variant, {held}because the PyTorch original could not run"
    return "the first model, because a plain .onnx has no original"


def _notes(subject: Subject, plan: Plan) -> list[str]:
    notes = []
    reference = subject.package.reference if subject.package is not None else None
    if not subject.cases:
        notes.append("timed on made-up values: there are no examples of what goes in")
    elif reference is not None and reference.synthetic:
        notes.append("timed on made-up values, which the package has for reference cases")
    if plan.starts < _SURE.starts or plan.rounds < _SURE.rounds:
        notes.append(
            f"only {plan.starts} starts of {plan.rounds} rounds: the intervals hold less often "
            f"than 95 in 100; {_SURE.starts} of {_SURE.rounds} are the default"
        )
    return notes
