"""Numbers as people read them: three digits that matter, a unit, an interval in brackets."""

from __future__ import annotations

from edgekit.metrics import Estimate

MISSING = "–"


def digits(value: float) -> str:
    """Write a number with three significant digits, thousands apart, never as a power of ten."""
    if value == 0 or value != value:
        return "0" if value == 0 else MISSING
    size = abs(value)
    if size >= 100:
        return f"{value:,.0f}"
    if size >= 10:
        return f"{value:.1f}"
    if size >= 1:
        return f"{value:.2f}"
    if size >= 0.1:
        return f"{value:.3f}"
    if size >= 0.001:
        return f"{value:.4f}"
    return f"{value:.2e}"


def optional(value: float | None) -> str:
    """Write a number, or a dash where there is none."""
    return MISSING if value is None else digits(value)


def times(estimate: Estimate) -> str:
    """Write a speedup with its interval: ×3.55 [3.41, 3.70]."""
    return f"×{digits(estimate.value)} [{digits(estimate.low)}, {digits(estimate.high)}]"


def share(estimate: Estimate | None) -> str:
    """Write a share in percent with its interval: 97.9 % [97.1, 98.5]."""
    if estimate is None:
        return MISSING
    value, low, high = (
        f"{100 * part:.1f}" for part in (estimate.value, estimate.low, estimate.high)
    )
    return f"{value} % [{low}, {high}]"


def size(nbytes: float) -> str:
    """Write a file size in 10^6 bytes, or in 10^3 where it is small."""
    return f"{digits(nbytes / 1e6)} MB" if nbytes >= 1e5 else f"{digits(nbytes / 1e3)} kB"
