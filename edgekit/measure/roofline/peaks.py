"""What this machine can do at most, measured: matrix products, and passes over memory.

Each is a tiny model (`edgekit.graph.yardsticks`) that runs as a variant does: the same provider,
the same threads, in a worker. The best of many runs counts: whatever disturbs makes it slower.
"""

from __future__ import annotations

import hashlib
import logging
import re
import tempfile
import time
from pathlib import Path

import msgspec
import numpy as np

from edgekit import cache
from edgekit import machine as machines
from edgekit.errors import EdgekitError, WorkerError
from edgekit.measure.surroundings import busy
from edgekit.measure.ways import How, variant_call
from edgekit.package.values import PORTABLE
from edgekit.tensors import Feed
from edgekit.workers import Worker

log = logging.getLogger("edgekit")

SCHEMA_VERSION = 1
_PRODUCT = 1024
_PASSES = 24
_PASSED_BYTES = 1 << 28
_WORKING_SETS = tuple(1 << power for power in (18, 20, 22, 24, 25, 27))
_MEASURE_S = 0.2
_WARM_UPS = 3


class MachinePeaks(msgspec.Struct, frozen=True):
    """What one provider reaches on one kind of machine at one number of threads.

    `float_gflops` and `int8_gops` count an addition and a multiplication as two. `copy_gb_s` is how
    many 10^9 bytes a pass over memory reads and writes in a second, by the working set in bytes.
    None where the provider can't run the model that shows it. `how` says how it was measured,
    `disturbed` that other processes kept the machine busy meanwhile.
    """

    provider: str
    threads: int
    float_gflops: float | None
    int8_gops: float | None
    copy_gb_s: dict[int, float]
    how: str
    disturbed: bool = False
    schema_version: int = SCHEMA_VERSION


def peaks_of(how: How, *, fresh: bool = False, wall_s: float = 600.0) -> MachinePeaks:
    """Measure what a provider reaches here at most, or take what was measured before.

    They are kept in the user's cache, by the machine's speed key, the provider, its options and the
    threads: they don't change from run to run. What was measured while others kept the machine busy
    is measured again when they don't, and the best of both counts.

    Args:
        how: how variants run, its provider chosen.
        fresh: measure again, whatever is kept.
        wall_s: how long one of the models may take.

    Raises:
        WorkerError, ProviderUnavailable: nothing can be run there.
        MissingExtra: `onnx` is not installed.
    """
    kept = None if fresh else _kept(_place(how))
    if kept is not None and not (kept.disturbed and not busy()):
        return kept
    log.info("measuring what this machine can do at most")
    found = _measured(how, disturbed=bool(busy()), wall_s=wall_s)
    if kept is not None:
        found = _best_of(found, kept)
    keep_peaks(how, found)
    return found


def keep_peaks(how: How, peaks: MachinePeaks) -> None:
    """Keep what was measured of a provider on this kind of machine, for `peaks_of` to find."""
    cache.store(_place(how), msgspec.json.encode(peaks))


def _measured(how: How, *, disturbed: bool, wall_s: float) -> MachinePeaks:
    from edgekit.graph import yardsticks

    n = _PRODUCT
    random = np.random.default_rng(0)
    environment = variant_call(Path(), PORTABLE, how).environment
    with (
        tempfile.TemporaryDirectory(prefix="edgekit-peaks-") as folder,
        Worker("measuring peaks", wall_s=wall_s, environment=environment) as worker,
    ):
        bench = _Bench(worker, Path(folder), how)
        model = bench.folder / "float32.onnx"
        yardsticks.float_product(model, n)
        float_s = bench.best_s(model, {"a": random.standard_normal((n, n)).astype(np.float32)})
        model = bench.folder / "int8.onnx"
        yardsticks.integer_product(model, n)
        int8_s = bench.best_s(model, {"a": random.integers(0, 256, (n, n), np.uint8)})
        rates = {size: _copy_gb_s(bench, size) for size in _WORKING_SETS}
    operations = 2 * n**3 / 1e9
    return MachinePeaks(
        provider=how.session.provider,
        threads=how.session.threads or machines.threads_available(),
        float_gflops=operations / float_s if float_s else None,
        int8_gops=operations / int8_s if int8_s else None,
        copy_gb_s={size: rate for size, rate in rates.items() if rate is not None},
        how=f"the best of the runs in {_MEASURE_S:g} s of each: products of two {n} × {n} "
        "matrices, in float32 and of uint8 with int8 between Q and DQ; multiplications of a "
        "vector by a number, which read and write it, at each size of working set",
        disturbed=disturbed,
    )


def _best_of(found: MachinePeaks, kept: MachinePeaks) -> MachinePeaks:
    """Take the higher of two measurements of each: no machine does more than it can."""
    return msgspec.structs.replace(
        found,
        float_gflops=_higher(found.float_gflops, kept.float_gflops),
        int8_gops=_higher(found.int8_gops, kept.int8_gops),
        copy_gb_s={
            size: max(rates.get(size, 0.0) for rates in (found.copy_gb_s, kept.copy_gb_s))
            for size in sorted({*found.copy_gb_s, *kept.copy_gb_s})
        },
    )


def _higher(one: float | None, other: float | None) -> float | None:
    return max((value for value in (one, other) if value is not None), default=None)


class _Bench(msgspec.Struct, frozen=True):
    """A worker that runs one small model after the other, and where they are written."""

    worker: Worker
    folder: Path
    how: How

    def best_s(self, model: Path, feed: Feed) -> float | None:
        """Run a model for a while, and return its fastest run in seconds; None if it can't be."""
        worker = self.worker
        try:
            worker.open(variant_call(model, PORTABLE, self.how))
            best = min(worker.run(feed, calls=2, warm_ups=_WARM_UPS).durations_ns)
            until = time.monotonic() + _MEASURE_S
            while time.monotonic() < until:
                calls = max(2, min(1000, int(_MEASURE_S / 3 * 1e9 / max(best, 1))))
                best = min(best, *worker.run(feed, calls=calls).durations_ns)
        except WorkerError:
            raise
        except EdgekitError as error:
            log.debug("%s can't be measured on %s: %s", model.stem, self.how.provider.name, error)
            return None
        return best / 1e9


def _copy_gb_s(bench: _Bench, size: int) -> float | None:
    """Time a chain of passes over a vector of `size` bytes less a chain of one, so that the call
    itself doesn't count, nor the first pass, which reads what it was fed.

    A provider that compiles a model makes one pass of all of them: there it is one pass alone.
    """
    from edgekit.graph import yardsticks

    provider = bench.how.provider
    feed = {"x": np.ones(size // 4, np.float32)}
    many = max(3, min(_PASSES, _PASSED_BYTES // size))
    took = {}
    for times in (1,) if provider.builds or provider.plugin else (1, many):
        model = bench.folder / f"passes_{size}_{times}.onnx"
        yardsticks.passes(model, size // 4, times)
        found = bench.best_s(model, feed)
        if found is None:
            return None
        took[times] = found
    one_s = (took[many] - took[1]) / (many - 1) if many in took else took[1]
    return 2 * size / one_s / 1e9 if one_s > 0 else None


def _place(how: How) -> Path:
    key = machines.speed_key(machines.describe())
    threads = how.session.threads or machines.threads_available()
    told = msgspec.json.encode((how.session, threads, how.library, how.arrays))
    digest = hashlib.sha256(told).hexdigest()[:8]
    provider = re.sub(r"[^a-z0-9-]+", "-", how.session.provider.lower())
    return cache.folder() / "peaks" / key / f"{provider}-{threads}-{digest}.json"


def _kept(place: Path) -> MachinePeaks | None:
    try:
        found = msgspec.json.decode(place.read_bytes(), type=MachinePeaks)
    except (OSError, msgspec.DecodeError):
        return None
    return found if found.schema_version == SCHEMA_VERSION else None
