"""What a variant kept of the original's accuracy, in words."""

from __future__ import annotations

from edgekit.metrics import Estimate
from edgekit.package.values import Kept
from edgekit.report.figures import MISSING


def kept_in_words(kept: Kept) -> str:
    """Say what was kept, of which cases, and where that was measured."""
    said = []
    if kept.accuracy is not None:
        said.append(f"accuracy {100 * kept.accuracy:.1f} %")
    if kept.drop is not None and kept.drop_high is not None:
        said.append(f"drop {points(kept.drop)} (at most {points(kept.drop_high)} with 95 %)")
    if kept.agreement is not None and kept.agreement_low is not None:
        said.append(
            f"agreement {100 * kept.agreement:.1f} % (at least {100 * kept.agreement_low:.1f} %)"
        )
    if kept.cosine is not None and kept.cosine_low is not None:
        said.append(f"cosine {kept.cosine:.5f} (at least {kept.cosine_low:.5f})")
    made_up = "made-up " if kept.synthetic and "made-up" not in kept.dataset else ""
    sets = f" with {', '.join(kept.isa)}" if kept.isa else ""
    how = ", through a model that rounds as it does on its target" if kept.stand_in else ""
    return (
        f"keeps {', '.join(said) or 'nothing that can be compared'}, of {kept.cases:,} {made_up}"
        f"{kept.dataset}; measured on {kept.provider}, {kept.arch}{sets}{how}"
    )


def points(share: float) -> str:
    """Write a difference of shares in percentage points: 0.13 pp."""
    written = f"{100 * share:.2f}"
    return f"{'0.00' if written == '-0.00' else written} pp"


def drop(estimate: Estimate | None) -> str:
    """Write a drop in accuracy with the bound that holds with 95 %: 0.13 pp (0.47 pp)."""
    return MISSING if estimate is None else f"{points(estimate.value)} ({points(estimate.high)})"
