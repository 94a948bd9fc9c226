"""What a variant kept of the original's accuracy, as its package stores it."""

from __future__ import annotations

from edgekit import machine
from edgekit.measure.results import Quality
from edgekit.package.values import Kept


def kept_of(quality: Quality, sha256: str, *, provider: str, stand_in: bool = False) -> Kept:
    """Write down what a variant kept, with the processor that it was measured on.

    Args:
        quality: what was measured on this machine.
        sha256: that of the cases.
        provider: what it ran on.
        stand_in: the answers are another model's, which computes as the variant on its target.
    """
    here = machine.describe()
    drop, agreement, cosine = quality.drop, quality.kept_agreement, quality.cosine
    return Kept(
        accuracy_key=quality.accuracy_key,
        arch=here.arch,
        isa=here.isa,
        dataset=quality.dataset,
        cases=quality.cases,
        content_sha256=sha256,
        provider=provider,
        synthetic=quality.synthetic,
        stand_in=stand_in,
        accuracy=quality.accuracy.value if quality.accuracy else None,
        drop=drop.value if drop else None,
        drop_high=drop.high if drop else None,
        agreement=agreement.value if agreement else None,
        agreement_low=agreement.low if agreement else None,
        cosine=cosine.value if cosine else None,
        cosine_low=cosine.low if cosine else None,
    )
