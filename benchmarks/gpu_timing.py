"""The steps of `benchmarks.gpu`: start a row once, time all rows, start an engine twice."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import msgspec

from benchmarks.gpu_models import Prepared, reason_of
from benchmarks.gpu_values import EngineStarts, FirstStart, Unit
from edgekit import machine, providers
from edgekit.errors import EdgekitError
from edgekit.measure.bench import time_candidates
from edgekit.measure.copies import count_copies, with_copies
from edgekit.measure.feeds import timing_feed
from edgekit.measure.plan import MIN_STARTS, Candidate, Plan
from edgekit.measure.results import Bench, LeftOut
from edgekit.measure.subjects import example
from edgekit.package.cases import open_cases
from edgekit.providers import ProviderInfo
from edgekit.tensors import Feed
from edgekit.workers import Worker, WorkerFault

PART_STARTS = MIN_STARTS
"""Starts of every row that are done in one step: as few as give an interval."""


def feed_of(prepared: Prepared, batch: int) -> tuple[Feed, dict[str, int]]:
    """Make what goes in, and the sizes of its dimensions.

    Raises:
        BadValue: a batch that the model doesn't take.
    """
    subject = prepared.subject
    feed, sizes, _ = timing_feed(subject.signature, example(subject), batch=batch)
    return feed, sizes


def try_out(
    one: Candidate, feed: Feed, *, limit_s: float, provider: ProviderInfo | None = None
) -> FirstStart | LeftOut:
    """Start a row once and call it once, or say why it can't be.

    Args:
        one: the row.
        feed: what goes in.
        limit_s: how long loading it, and the call, may take.
        provider: a variant's, to count the nodes that copy between memories.
    """
    try:
        started = _start(one, feed, limit_s=limit_s, environment=one.call.environment)
        if provider is not None:
            counted = count_copies([one], feed, provider, wall_s=limit_s)
            started = msgspec.structs.replace(started, copies=counted.get(one.label))
    except (EdgekitError, WorkerFault) as error:
        return LeftOut(one.label, reason_of(error))
    return started


def time_part(
    unit: Unit, rows: list[Candidate], prepared: Prepared, plan: Plan, *, with_quality: bool
) -> Bench:
    """Time all rows of a unit interleaved, a few starts more.

    Args:
        unit: what it is a part of.
        rows: those that could be started, the original in float32 first.
        prepared: the model.
        plan: how much to measure; its starts are those of this part.
        with_quality: also answer the held-out cases, where the package has some.

    Raises:
        OriginalUnavailable: not one of the rows could be timed.
    """
    subject, package, graph = prepared.subject, prepared.subject.package, prepared.subject.graph
    assert package is not None
    assert graph is not None
    feed, sizes = feed_of(prepared, unit.batch)
    held_out = graph.evaluation if with_quality else None
    timings = time_candidates(
        rows,
        feed,
        plan=plan,
        evaluation=open_cases(subject.path, package, held_out) if held_out else None,
        metric=package.metric,
    )
    made_up = graph.reference is None or graph.reference.synthetic
    here = machine.describe()
    copies = {name: n.copies for name, n in unit.tried.items() if n.copies is not None}
    return Bench(
        name=f"{prepared.name} on {here.gpu or 'no GPU'}",
        baseline=timings.measurements[0].label,
        baseline_is="the PyTorch original in float32",
        metric=package.metric,
        sizes=sizes,
        batch=unit.batch,
        threads=machine.threads_available(),
        machine=here,
        plan=plan,
        measurements=with_copies(timings.measurements, copies),
        originals=[one.label for one in rows if one.call.function.startswith("exporters.")],
        left_out=timings.left_out,
        notes=["timed on made-up values"] if made_up else [],
        files=unit.conditions.files,
        arrays=unit.arrays,
        device=providers.find(unit.conditions.provider).device,
    )


def start_twice(
    model: str, one: Candidate, feed: Feed, *, limit_s: float
) -> EngineStarts | LeftOut:
    """Start a compiled model in an empty cache folder, and again, and read what it keeps.

    Args:
        model: its name.
        one: a variant on a provider that compiles.
        feed: what goes in.
        limit_s: how long loading it, and a call, may take.
    """
    with tempfile.TemporaryDirectory(prefix="edgekit-gpu-") as folder:
        environment = {**one.call.environment, "EDGEKIT_CACHE": folder}
        try:
            first, second = (
                _start(one, feed, limit_s=limit_s, environment=environment) for _ in range(2)
            )
        except (EdgekitError, WorkerFault) as error:
            return LeftOut(one.label, reason_of(error))
        kept = [path for path in sorted(Path(folder).rglob("*")) if path.is_file()]
        began = time.perf_counter()
        size = sum(len(path.read_bytes()) for path in kept)
        read_ms = 1e3 * (time.perf_counter() - began)
    if not size:
        return LeftOut(one.label, "nothing was kept that a second start could find")
    here = machine.describe()
    return EngineStarts(
        model=model,
        gpu=here.gpu,
        driver=here.driver,
        versions=here.versions,
        first=first,
        second=second,
        read_ms=read_ms,
        files=len(kept),
        size_bytes=size,
    )


def _start(
    one: Candidate, feed: Feed, *, limit_s: float, environment: dict[str, str]
) -> FirstStart:
    with Worker(one.label, wall_s=limit_s, environment=environment) as worker:
        opened = worker.open(one.call)
        called = worker.run(feed)
        worker.release()  # what was compiled is kept now
    return FirstStart(opened.import_ms, opened.load_ms, called.durations_ns[0] / 1e6)
