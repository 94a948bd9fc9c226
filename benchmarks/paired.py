"""What the paired benchmarks share: an interval for a median, and the file of a result."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from edgekit import machine
from edgekit.metrics import Estimate

RESULTS = Path(__file__).parent / "results"


def median_interval(values: Sequence[float]) -> Estimate:
    """Estimate the median of what independent `values` come from, whatever their distribution.

    The interval ends at two of the values: the number of values below the true median is
    Binomial(n, 1/2), so the k-th smallest and the k-th largest enclose it with the probability
    1 - 2 P(fewer than k are below). k is the largest that gives 95 %; it takes six values.
    """
    ordered, n = sorted(values), len(values)
    if n < 6:
        raise ValueError(f"95 % takes at least 6 values, and there are {n}")
    k, outside = 0, 0.0
    while outside + math.comb(n, k) / 2**n <= 0.025:
        outside += math.comb(n, k) / 2**n
        k += 1
    middle = (ordered[(n - 1) // 2] + ordered[n // 2]) / 2
    method = f"order statistics {100 * (1 - 2 * outside):.1f} %"
    return Estimate(middle, ordered[k - 1], ordered[n - k], n, method)


def write_result(name: str, result: dict[str, Any]) -> Path:
    """Write a benchmark's result as JSON, a line for each part, with the machine it comes from."""
    whole = {"benchmark": name, **result, "machine": machine.describe()}
    path = RESULTS / f"{name}.json"
    path.parent.mkdir(exist_ok=True)
    encode = msgspec.json.encode
    parts = [b"  %s: %s" % (encode(key), encode(value)) for key, value in whole.items()]
    path.write_bytes(b"{\n" + b",\n".join(parts) + b"\n}\n")
    return path
