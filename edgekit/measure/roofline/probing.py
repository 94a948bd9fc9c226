"""Measure what this machine can do at most: matrix products, and passes over memory.

Each is a tiny model (`edgekit.graph.yardsticks`) that runs as a variant does: the same provider,
the same threads, in a worker. The best of many runs counts: whatever disturbs makes it slower.
"""

from __future__ import annotations

import logging
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import numpy as np

from edgekit import machine as machines
from edgekit.errors import EdgekitError, WorkerError
from edgekit.measure.roofline.rates import MachinePeaks, falling, higher
from edgekit.measure.ways import How, variant_call
from edgekit.package.values import PORTABLE
from edgekit.tensors import Feed
from edgekit.workers import Worker

log = logging.getLogger("edgekit")

_PRODUCTS = (256, 512, 1024)
"""None is the fastest everywhere: measured on one core, float32 reaches 279 GFLOP/s at 384, 275 at
512 and 174 at 1024, which doesn't fit into its caches, and int8 770 at 256, 911 at 512 and 935."""
_NOW = 512
_PASSES = 24
_PASSED_BYTES = 1 << 28
_WORKING_SETS = tuple(1 << power for power in (18, 20, 22, 24, 25, 27))
_MEASURE_S = 0.2
_WARM_UPS = 3


def measured(how: How, *, disturbed: bool, wall_s: float) -> MachinePeaks:
    """Measure all rates of a provider.

    Args:
        how: how variants run, its provider chosen.
        disturbed: whether others keep the machine busy, which is told of the result.
        wall_s: how long one of the models may take.

    Raises:
        WorkerError, ProviderUnavailable: nothing can be run there.
        MissingExtra: `onnx` is not installed.
    """
    with _bench(how, wall_s=wall_s) as bench:
        floats = [_float_gflops(bench, n) for n in _PRODUCTS]
        integers = [_int8_gops(bench, n) for n in _PRODUCTS]
        rates = {size: _copy_gb_s(bench, size) for size in _WORKING_SETS}
    *sizes, last = (f"{n} × {n}" for n in _PRODUCTS)
    return MachinePeaks(
        provider=how.session.provider,
        threads=how.session.threads or machines.threads_available(),
        float_gflops=higher(*floats),
        int8_gops=higher(*integers),
        copy_gb_s=falling({size: rate for size, rate in rates.items() if rate is not None}),
        how=f"the best of the runs in {_MEASURE_S:g} s of each: products of two "
        f"{', '.join(sizes)} and {last} matrices, in float32 and of uint8 with int8 between Q and "
        "DQ; multiplications of a vector by a number, which read and write it, at each size of "
        "working set",
        disturbed=disturbed,
    )


def float_gflops_now(how: How, *, wall_s: float = 600.0) -> float | None:
    """Measure one float32 product for a moment, to hold it against the peak that is kept.

    Returns:
        10^9 operations a second; None where the provider can't run it.

    Raises:
        WorkerError, ProviderUnavailable: nothing can be run there.
    """
    with _bench(how, wall_s=wall_s) as bench:
        return _float_gflops(bench, _NOW)


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


@contextmanager
def _bench(how: How, *, wall_s: float) -> Iterator[_Bench]:
    environment = variant_call(Path(), PORTABLE, how).environment
    with (
        tempfile.TemporaryDirectory(prefix="edgekit-peaks-") as folder,
        Worker("measuring peaks", wall_s=wall_s, environment=environment) as worker,
    ):
        yield _Bench(worker, Path(folder), how)


def _float_gflops(bench: _Bench, n: int) -> float | None:
    from edgekit.graph import yardsticks

    model = bench.folder / f"float32_{n}.onnx"
    yardsticks.float_product(model, n)
    values = np.random.default_rng(0).standard_normal((n, n)).astype(np.float32)
    return _rate(n, bench.best_s(model, {"a": values}))


def _int8_gops(bench: _Bench, n: int) -> float | None:
    from edgekit.graph import yardsticks

    model = bench.folder / f"int8_{n}.onnx"
    yardsticks.integer_product(model, n)
    values = np.random.default_rng(0).integers(0, 256, (n, n), np.uint8)
    return _rate(n, bench.best_s(model, {"a": values}))


def _rate(n: int, took_s: float | None) -> float | None:
    return 2 * n**3 / 1e9 / took_s if took_s else None


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
