"""Whether the machine is quiet enough for a timing to mean something."""

from __future__ import annotations

import psutil

BUSY_CORES = 0.25
_WATCHED_S = 0.5


def busy(*, watched_s: float = _WATCHED_S) -> str | None:
    """Watch the processors while this process sleeps; say so where others keep them busy.

    A thread pool that has to share a core waits for its slowest thread at every operator: measured,
    one busy core of two makes PyTorch a hundred times slower and ONNX Runtime hardly.
    """
    cores = psutil.cpu_count() or 1
    used = psutil.cpu_percent(interval=watched_s) / 100 * cores
    if used <= BUSY_CORES:
        return None
    return (
        f"other processes kept {used:.1f} of {cores} cores busy before this run: end them and "
        "measure again before you trust its figures"
    )
