"""Which share of what the machine can do a model reaches: the roofline.

A node takes at least as long as its operations do at the machine's peak, and at least as long as
its bytes do at the memory's; the longer of the two is its limit (Williams, Waterman and Patterson,
"Roofline: An Insightful Visual Performance Model for Multicore Architectures", 2009).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
import numpy as np

from edgekit.graph.work import Work
from edgekit.measure.roofline.rates import MachinePeaks
from edgekit.terms import Bound

_CACHED = 2.0
"""A rate is that of caches where it is so many times the main memory's."""
_SLOWED = 0.8
"""Below this share of its peak a machine is slower than it was: throttled, or shared with others.
On a quiet one the same product comes back within 5 %."""
_OUTDONE = 1.05


class Peaks(msgspec.Struct, frozen=True):
    """What a model's limit is computed from.

    `copy_gb_s` is the rate at which a working set of `copy_bytes`, the model's, is read and
    written; `memory_gb_s` that of the largest, from main memory. `cached` says that the model's
    lies in caches, as far as rates tell. `rates` are those that were measured, by the working set
    in bytes; between two of them a rate is read off the line through both. None where it can't be
    measured on the provider. `float_now_gflops` is what a float32 product reached in this very run,
    where `float_gflops` is the highest that it ever did; None where it wasn't tried.
    """

    provider: str
    threads: int
    float_gflops: float | None
    int8_gops: float | None
    copy_gb_s: float | None
    copy_bytes: int
    memory_gb_s: float | None
    cached: bool
    rates: dict[int, float]
    how: str
    float_now_gflops: float | None = None

    @property
    def slowed(self) -> bool:
        """Whether the machine does now much less than it has done."""
        now, most = self.float_now_gflops, self.float_gflops
        return bool(now and most and now < _SLOWED * most)

    @property
    def outdone(self) -> bool:
        """Whether the machine does now more than it was known to do."""
        now, most = self.float_now_gflops, self.float_gflops
        return bool(now and most and now > _OUTDONE * most)


class Limit(msgspec.Struct, frozen=True):
    """What a model's own nodes need at least, in ms, and the share of it in a run's time.

    Conversions, values laid out anew, copies, and what the float parent has in the kernel of
    another node are no part of it: a model could do without.

    `bound` says which of the two takes the larger part of the limit. `uncounted` names the nodes of
    which operations or bytes aren't known: they have no part in it.
    """

    operations: int
    bytes: int
    limit_ms: float
    share: float
    bound: Bound
    uncounted: tuple[str, ...] = ()


def peaks_for(
    measured: MachinePeaks, working_set: int, *, float_now_gflops: float | None = None
) -> Peaks:
    """Choose the rate of memory for a model whose weights and values take `working_set` bytes."""
    rates = measured.copy_gb_s
    rate = rate_at(rates, working_set)
    memory = rates[max(rates)] if rates else None
    return Peaks(
        provider=measured.provider,
        threads=measured.threads,
        float_gflops=measured.float_gflops,
        int8_gops=measured.int8_gops,
        copy_gb_s=rate,
        copy_bytes=working_set,
        memory_gb_s=memory,
        cached=rate is not None and memory is not None and rate > _CACHED * memory,
        rates=rates,
        how=measured.how,
        float_now_gflops=float_now_gflops,
    )


def rate_at(rates: Mapping[int, float], nbytes: int) -> float | None:
    """Tell how many 10^9 bytes a second pass through a working set of a size; None without rates.

    Sizes are compared by their logarithms; beyond the smallest and the largest, those stand.
    """
    if not rates:
        return None
    sizes = sorted(rates)
    at = np.interp(np.log2(max(nbytes, 1)), np.log2(sizes), [rates[size] for size in sizes])
    return float(at)


def parts_us(work: Work, peaks: Peaks) -> tuple[float, float]:
    """Tell how long a node's operations take at the peak, and how long its bytes do, in µs.

    Weights come from wherever the whole model's working set lies, values from where a set of the
    node's own size does: the node before has just written them. What isn't measured on the provider
    takes no time.
    """
    peak = peaks.int8_gops if work.kind == "int8" else peaks.float_gflops
    computing = work.operations / peak / 1e3 if peak else 0.0
    near = rate_at(peaks.rates, work.bytes)
    if near is None or peaks.copy_gb_s is None:
        return computing, 0.0
    values = work.bytes - work.constant_bytes
    # Weights that are larger than the rest of the model can't come faster than their own size.
    far = min(near, peaks.copy_gb_s)
    return computing, (values / near + work.constant_bytes / far) / 1e3


def bound_of(work: Work, peaks: Peaks) -> Bound:
    """Tell what a node's limit is set by."""
    computing, moving = parts_us(work, peaks)
    return "compute" if computing > moving else "memory"


def limit_of(
    works: Sequence[Work], peaks: Peaks, *, took_ms: float, uncounted: Sequence[str] = ()
) -> Limit:
    """Sum up the limits of all nodes of a run, which took `took_ms`."""
    parts = [parts_us(work, peaks) for work in works]
    limit_us = sum(max(part) for part in parts)
    computing = sum(max(part) for part in parts if part[0] > part[1])
    return Limit(
        operations=sum(work.operations for work in works),
        bytes=sum(work.bytes for work in works),
        limit_ms=limit_us / 1e3,
        share=limit_us / 1e3 / took_ms if took_ms else 0.0,
        bound="compute" if computing > limit_us - computing else "memory",
        uncounted=tuple(uncounted),
    )
