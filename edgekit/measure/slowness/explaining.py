"""Explain the speed of a package's variants, or of an .onnx file: the one entry from outside."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from edgekit import machine as machines
from edgekit.errors import BadValue, MissingExtra, NotFound
from edgekit.measure.bench import time_candidates
from edgekit.measure.feeds import timing_feed
from edgekit.measure.keeping import file_hashes
from edgekit.measure.plan import Plan
from edgekit.measure.roofline.limits import Peaks, peaks_for
from edgekit.measure.roofline.peaks import peaks_again, peaks_of
from edgekit.measure.roofline.probing import float_gflops_now
from edgekit.measure.roofline.rates import MachinePeaks, higher
from edgekit.measure.slowness.listing import listed
from edgekit.measure.slowness.values import (
    SCHEMA_VERSION,
    Explained,
    VariantExplained,
)
from edgekit.measure.subjects import Subject, example, open_subject
from edgekit.measure.surroundings import busy
from edgekit.measure.ways import How, settle
from edgekit.package import measured

log = logging.getLogger("edgekit")

Progress = Callable[[int, int], None]
PLAN = Plan(starts=4, rounds=4, turn_s=0.06, warm_up_s=0.1)

_DISTURBED = (
    "other processes kept the machine busy while its peaks were measured: they are measured again "
    "when it is quiet"
)
_ENOUGH = 3


def explain(
    package: str | os.PathLike[str],
    *,
    variants: Sequence[str] = (),
    parent: str | os.PathLike[str] | None = None,
    how: How | None = None,
    batch: int | None = None,
    plan: Plan = PLAN,
    fresh_peaks: bool = False,
    progress: Progress | None = None,
) -> Explained:
    """Say of variants which share of what the machine can do they reach, and why they are slow.

    Variants and the float ones that they were made from are timed side by side, and each runs once
    more under ONNX Runtime's profile, whose nodes are compared. The result is kept beside the
    package.

    Args:
        package: the package's folder, or an .onnx file.
        variants: the names of those to explain, all of one graph; by default every one of the first
            graph. Of those that are named, what costs time is told also where they are faster.
        parent: the float .onnx that an .onnx file was made from.
        how: how they run.
        batch: the size of the batch dimension; by default 1, or the lowest that the model takes.
        plan: how much they are timed.
        fresh_peaks: measure again what the machine can do, whatever is kept of it.
        progress: called with the turns done and the turns in all.

    Raises:
        NotFound, CorruptPackage, HashMismatch, ModelFileError: it can't be read.
        UnknownName: no such variant or provider.
        BadValue: a batch that the model doesn't take, variants of several graphs, or a parent of
            what isn't an .onnx file.
        ProviderUnavailable: the provider can't be used here.
        MissingExtra: `onnx` is not installed.
        RunFailed, WorkerError: a variant can't be run.
    """
    _refuse_without_onnx()
    from edgekit.measure.slowness.comparing import (
        compare_profiles,
        profiles_of,
        too_fast,
        working_set,
    )

    began = time.monotonic()
    how, why = settle(how or How())
    path = Path(package)
    subject = open_subject(path, variants=variants, wall_s=plan.wall_s)
    if parent is not None and (subject.package is not None or not Path(parent).is_file()):
        _refuse_parent(path, Path(parent), subject)
    feed, sizes, rows = timing_feed(subject.signature, example(subject), batch=batch)
    runs, left_out = listed(subject, how, parent=None if parent is None else Path(parent))
    disturbed = busy()
    peaks = peaks_of(how, fresh=fresh_peaks, wall_s=plan.wall_s)
    timings = time_candidates([one.candidate for one in runs], feed, plan=plan, progress=progress)
    timed = {one.label: one for one in timings.measurements}
    starts = {one.name: [start.rounds for start in timed[one.label].starts] for one in runs}
    now = float_gflops_now(how, wall_s=plan.wall_s)
    ran = profiles_of(runs, feed, how=how, starts=starts, wall_s=plan.wall_s)

    def held_against(peaks: MachinePeaks) -> tuple[list[VariantExplained], Peaks]:
        here = peaks_for(peaks, working_set(runs, ran), float_now_gflops=now)
        found = compare_profiles(
            runs, ran, how=how, starts=starts, peaks=here, asked=bool(variants)
        )
        return found, here

    found, peaks_here = held_against(peaks)
    if too_fast(found) or peaks_here.outdone:
        # What is faster than a peak proves that it is too low.
        seen = msgspec.structs.replace(peaks, float_gflops=higher(peaks.float_gflops, now))
        peaks = peaks_again(how, seen, wall_s=plan.wall_s)
        found, peaks_here = held_against(peaks)
    machine = machines.describe()
    done = Explained(
        package=subject.name,
        machine=machine,
        speed_key=machines.speed_key(machine),
        batch=rows,
        sizes=sizes,
        peaks=peaks_here,
        variants=tuple(found),
        files=file_hashes(subject.package, subject.variants) if subject.package else {},
        notes=tuple(
            filter(
                None,
                [
                    *(why, *left_out, disturbed, _DISTURBED if peaks.disturbed else ""),
                    *_notes(subject, how, found, too_fast(found)),
                    _slowed(peaks_here),
                ],
            )
        ),
        took_s=time.monotonic() - began,
    )
    if subject.package is not None:
        content = msgspec.json.encode(done)
        measured.store(path, done.speed_key, content, kind="explanation")
    return done


def kept_explanation(folder: Path, speed_key: str) -> Explained | None:
    """Read the last explanation that was kept beside a package; None where there is none."""
    content = measured.load(folder, speed_key, kind="explanation")
    if content is None:
        return None
    try:
        found = msgspec.json.decode(content, type=Explained)
    except msgspec.DecodeError as error:
        log.debug("the explanation kept of %s can't be read: %s", folder, error)
        return None
    return found if found.schema_version == SCHEMA_VERSION else None


def _notes(
    subject: Subject, how: How, found: Sequence[VariantExplained], fast: Sequence[str]
) -> list[str]:
    notes = []
    if not subject.cases:
        notes.append("timed on made-up values: there are no examples of what goes in")
    if how.provider.device:
        notes.append(
            "a node's time is that of starting its kernel: the device computes while the next one "
            "is started"
        )
    told = {one.variant for one in found}
    halves = [
        v.name for v in subject.variants if v.precision in ("fp16", "bf16") and v.name in told
    ]
    if halves and how.provider.device:
        notes.append(
            f"the limit of {' and '.join(halves)} is that of float32: a 16-bit product may reach "
            "more than the peak that was measured"
        )
    if fast:
        named = [*fast[:_ENOUGH], *([f"{len(fast) - _ENOUGH} more"] if fast[_ENOUGH:] else [])]
        notes.append(
            f"faster than the limit, though the peaks were measured a second time: "
            f"{', '.join(named)}. Where the machine was busy meanwhile the next run measures them "
            "higher; else these keep values in faster caches than a pass over memory does"
        )
    return notes


def _slowed(peaks: Peaks) -> str:
    """Say that the machine does less now than the peaks say."""
    if not peaks.slowed:
        return ""
    return (
        f"this machine does {peaks.float_now_gflops:,.0f} GFLOP/s in float32 now, of the "
        f"{peaks.float_gflops:,.0f} that it has done: it is throttled, or shared with others, and "
        "all shares of the limit are that much lower"
    )


def _refuse_without_onnx() -> None:
    from importlib.util import find_spec

    if find_spec("onnx") is None:
        raise MissingExtra(module="onnx", extra="build", what="Explaining a model's speed")


def _refuse_parent(path: Path, parent: Path, subject: Subject) -> None:
    if subject.package is not None:
        raise BadValue(
            what="what a variant was made from",
            asked=f"{parent}",
            expected=f"left out: {path} is a package, which says it of each",
        )
    raise NotFound(path=str(parent), expected="the float .onnx file that it was made from")
