"""Numbers as people read them: three digits that matter, a unit, an interval in brackets."""

from __future__ import annotations

import math

from edgekit.metrics import UNBOUNDED, Estimate

MISSING = "–"
SMALLEST = 1e-6
"""What is below it isn't told apart any more."""


def digits(value: float) -> str:
    """Write a number with three significant digits, thousands apart, never as a power of ten."""
    if not math.isfinite(value):
        return MISSING
    size = abs(float(f"{value:.3g}"))
    if size >= 100:
        return f"{value:,.0f}"
    if size == 0:
        return "0"
    if size < SMALLEST:
        return f"<{SMALLEST:.6f}"
    return f"{value:.{2 - math.floor(math.log10(size))}f}"


def error(value: float) -> str:
    """Write a difference between two answers: two digits and a power of ten, as errors are read."""
    if value >= UNBOUNDED:
        return "unbounded"
    return "0" if value == 0 else f"{value:.1e}"


def times(estimate: Estimate) -> str:
    """Write a speedup with its interval: ×3.55 [3.41, 3.70]."""
    return f"×{digits(estimate.value)} [{digits(estimate.low)}, {digits(estimate.high)}]"


def share(estimate: Estimate | None) -> str:
    """Write a share in percent with its interval: 97.9 % [97.1, 98.5]."""
    if estimate is None:
        return MISSING
    low, high = (f"{100 * end:.1f}" for end in (estimate.low, estimate.high))
    # One wrong answer in ten thousand isn't none.
    value = 100 * estimate.value if estimate.value == 1 else min(100 * estimate.value, 99.9)
    return f"{value:.1f} % [{low}, {high}]"


def size(nbytes: float) -> str:
    """Write a file size in 10^6 bytes, or in 10^3 where it is small."""
    return f"{digits(nbytes / 1e6)} MB" if nbytes >= 1e5 else f"{digits(nbytes / 1e3)} kB"


def count(n: int, noun: str, *, plural: str = "") -> str:
    """Write how many: 1 thread, 1,500 cases. `plural` is the noun with s unless given."""
    return f"{n:,} {noun if n == 1 else plural or noun + 's'}"
