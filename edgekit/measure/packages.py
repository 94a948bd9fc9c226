"""Bench packages and plain .onnx files: every variant, beside the originals that a caller names."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence

import msgspec

from edgekit import machine as machines
from edgekit.data import metric_for, package_data
from edgekit.fixed_sizes import fitting, fitting_dataset
from edgekit.measure.bench import time_candidates
from edgekit.measure.copies import count_copies, with_copies
from edgekit.measure.feeds import timing_feed
from edgekit.measure.fitted import fitted, shared_sizes
from edgekit.measure.fitted import unfit as not_at
from edgekit.measure.given import data_notes, made_up_notes
from edgekit.measure.keeping import file_hashes, keep
from edgekit.measure.plan import Candidate, Plan
from edgekit.measure.results import Bench, BenchReport, LeftOut, report
from edgekit.measure.subjects import (
    Subject,
    example,
    open_subject,
    refuse_batch,
    refuse_strangers,
)
from edgekit.measure.surroundings import busy
from edgekit.measure.ways import How, settle, variant_call
from edgekit.package import reading
from edgekit.package.values import PORTABLE, SessionChoice, Variant
from edgekit.runtime.placement import AS_STORED
from edgekit.runtime.recordable import unrecordable
from edgekit.tensors import BY_SHAPE, Dataset, random_outputs
from edgekit.terms import Metric

__all__ = [
    "Subject",
    "bench_packages",
    "candidates",
    "open_subject",
    "refuse_batch",
]

log = logging.getLogger("edgekit")

_SURE = Plan()
"""With fewer starts or rounds than these the intervals are less sure than they say."""


def bench_packages(
    subjects: list[Subject],
    how: How,
    *,
    originals: list[Candidate],
    left_out: list[LeftOut],
    batch: int | None = None,
    plan: Plan | None = None,
    evaluation: Dataset | None = None,
    notes: Sequence[str] = (),
    progress: Callable[[int, int], None] | None = None,
) -> BenchReport:
    """Time the variants of the subjects beside the originals of the first, in one run.

    Without an original that can run, the first variant is the baseline and the report says so.
    Where there is one subject and it is a package, the result is kept beside it.

    Args:
        subjects: what `open_subject` gave; all take and give arrays of the same names.
        how: how the variants run.
        originals: candidates that are the original, first the one to compare with.
        left_out: originals that are known not to run here.
        batch: the size of the batch dimension; by default 1, or the lowest that the model takes.
        plan: how much to measure.
        evaluation: cases to measure quality on, as `given_evaluation` opens them; the package's own
            unless given.
        notes: what else the report is to say.
        progress: called with the turns done and the turns in all.

    Raises:
        ProviderUnavailable: the provider can't be used here.
        BadValue: a batch that the model doesn't take, or subjects that don't fit each other.
        EdgekitError: a variant could not be opened or run.
    """
    how, why = settle(how)
    refuse_strangers(subjects)
    subjects = [fitted(subject) for subject in subjects]
    first = subjects[0]
    package = first.package
    plan = plan or Plan()
    feed, sizes, rows = timing_feed(first.signature, example(first), batch=batch)
    disturbed = busy()
    if disturbed:
        log.warning("%s", disturbed)
    metric: Metric = package.metric if package else "closeness"
    given = evaluation is not None
    if evaluation is not None:
        metric = metric_for(evaluation, first.signature, metric=metric)
    elif package is not None and first.graph is not None:
        evaluation = package_data(first.path, package, first.graph, split="test")
    about_data = data_notes(evaluation, given=given)
    at = {**shared_sizes(first), **sizes}
    running, unfit = candidates(subjects, how, sizes=at)
    held = {n: s for subject in subjects for v in subject.variants for n, s in v.sizes.items()}
    held = {name: size for name, size in held.items() if at.get(name) == size}
    cases = first.cases
    if held and first.graph is not None:
        # What is left runs at these sizes; some of it at these alone.
        dynamic = first.graph.signature
        cases = list(fitting(cases, dynamic, held)) if not shared_sizes(first) else cases
        evaluation = evaluation and fitting_dataset(evaluation, dynamic, held)
        if evaluation is not None and not evaluation.cases:
            evaluation = None
    copied = count_copies(running, feed, how.provider, wall_s=plan.wall_s)
    timings = time_candidates(
        [*originals, *running],
        feed,
        plan=plan,
        recorded=cases[0] if cases else None,
        evaluation=evaluation,
        metric=metric,
        random=_random(subjects),
        progress=progress,
    )
    baseline = timings.measurements[0].label
    done = report(
        Bench(
            name=" and ".join(subject.name for subject in subjects),
            baseline=baseline,
            baseline_is=_baseline_is(baseline, originals, first, running),
            metric=metric,
            sizes=sizes,
            batch=rows,
            threads=how.session.threads or machines.threads_available(),
            machine=machines.describe(),
            plan=plan,
            measurements=with_copies(timings.measurements, copied),
            originals=[original.label for original in originals],
            left_out=[*left_out, *unfit, *timings.left_out],
            notes=[*filter(None, [why, *notes, *about_data, disturbed]), *_notes(subjects, plan)],
            files={
                name: sha256
                for subject in subjects
                if subject.package is not None
                for name, sha256 in file_hashes(subject.package, subject.variants).items()
            },
            arrays=how.arrays,
            device=how.provider.device,
            provider_options=how.session.provider_options,
        )
    )
    if package is not None and len(subjects) == 1:
        keep(first.path, done)
    return done


def candidates(
    subjects: list[Subject], how: How, *, sizes: Mapping[str, int] | None = None
) -> tuple[list[Candidate], list[LeftOut]]:
    """Make a candidate of every variant of every subject, each with a label of its own.

    A variant is held to its tolerance only where it comes from the weights that the baseline does:
    another model may answer otherwise, and so may one that is asked to compute in another precision
    than the provider takes by itself: then only the distance is told. Variants that the provider
    must not be given, or that take other sizes than `sizes` alone, are left out, with the reason.
    """
    names = [subject.name for subject in subjects]
    paths = [str(subject.path) for subject in subjects]
    prefixes = names if len(set(names)) == len(names) else paths
    first = subjects[0].package
    provider = how.provider
    by_itself = msgspec.structs.replace(how, session=SessionChoice(provider=provider.name))
    made: list[Candidate] = []
    unfit: list[LeftOut] = []
    for subject, prefix in zip(subjects, prefixes, strict=True):
        package = subject.package
        if package is None:
            label = _label(prefix, how)
            call = variant_call(subject.path, PORTABLE, how)
            made.append(Candidate(label, call, subject.path.stat().st_size))
            continue
        related = first is not None and (
            package.provenance.weights_sha256 == first.provenance.weights_sha256
        )
        for variant in subject.variants:
            name = f"{prefix}/{variant.name}" if len(subjects) > 1 else variant.name
            label = _label(name, how, variant)
            reason = (
                provider.unfit(variant.facts, variant.precision)
                or unrecordable(how.session, variant.facts.operators)
                or not_at(variant, sizes or {})
            )
            if reason:
                unfit.append(LeftOut(label, reason))
                continue
            made.append(
                Candidate(
                    label=label,
                    call=variant_call(subject.path, variant.name, how),
                    size_bytes=sum(package.files[file].size for file in reading.files_of(variant)),
                    tolerance={entry.output: entry.tolerance for entry in variant.closeness}
                    if related and _computes(how, variant) == _computes(by_itself, variant)
                    else {},
                )
            )
    return made, unfit


def _computes(how: How, variant: Variant | None) -> str:
    """Say what a worker computes a variant in beside its precision, empty where that is all."""
    precision = variant.precision if variant is not None else AS_STORED
    computes = how.provider.computes(
        how.session, precision, environment=how.provider.environment(how.session)
    )
    return computes.removeprefix(precision).removeprefix(", ")


def _label(name: str, how: How, variant: Variant | None = None) -> str:
    """Name a candidate by its provider, and by what that computes in where it is another thing."""
    other = _computes(how, variant)
    return f"{name} · {how.provider.name}" + (f", {other}" if other else "")


def _baseline_is(
    baseline: str, originals: list[Candidate], first: Subject, running: list[Candidate]
) -> str:
    if any(original.label == baseline for original in originals):
        return "the PyTorch original"
    if first.package is None or first.graph is None:
        return "the first model, because a plain .onnx has no original"
    made_from = next(v for v in first.package.variants if v.graph == first.graph.name)
    if first.variants[0] != made_from:
        return "the first of the variants that were asked for"
    if first.package.provenance.original == "onnx":
        return "the .onnx file that the package was made from"
    tolerated = next(one.tolerance for one in running if one.label == baseline)
    held = "held to the recorded answers " if tolerated and first.graph.reference else ""
    kind = "float" if made_from.precision == "fp32" else "first"  # of a slimmed package
    return f"the {kind} variant, {held}because the PyTorch original could not run"


def _random(subjects: list[Subject]) -> frozenset[str]:
    """Name the outputs that any of the models says are random: a plain .onnx says it of none."""
    return frozenset(name for s in subjects for name in random_outputs(s.signature))


def _notes(subjects: list[Subject], plan: Plan) -> list[str]:
    notes = []
    subject = subjects[0]
    reference = subject.graph.reference if subject.graph is not None else None
    if not subject.cases:
        notes.append("timed on made-up values: there are no examples of what goes in")
    elif reference is not None and reference.synthetic:
        notes.append("timed on made-up values, which the package has for reference cases")
    for one in subjects:
        notes += made_up_notes(one.variants)
    notes += [f"{name} is {BY_SHAPE}" for name in sorted(_random(subjects))]
    if plan.starts < _SURE.starts or plan.rounds < _SURE.rounds:
        notes.append(
            f"only {plan.starts} starts of {plan.rounds} rounds: the intervals hold less often "
            f"than 95 in 100; {_SURE.starts} of {_SURE.rounds} are the default"
        )
    return notes
