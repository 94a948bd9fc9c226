"""What a package stores of the accuracy that a variant kept."""

from __future__ import annotations

from edgekit import intervals, machine
from edgekit.intervals import Changes
from edgekit.measure.kept_accuracy import kept_of
from edgekit.measure.results import Quality
from edgekit.metrics import wilson


def test_the_harmful_sides_bounds_are_kept_with_the_processor() -> None:
    drop, agreement = intervals.drop(Changes(100, 3, 1)), intervals.share(96, 100)
    cosine = intervals.mean(intervals.spread([0.99, 0.995, 1.0]))
    quality = Quality(
        "digits",
        100,
        "key",
        accuracy=wilson(90, 100),
        drop=drop,
        kept_agreement=agreement,
        cosine=cosine,
        synthetic=True,
    )
    kept = kept_of(quality, "ab", provider="openvino", stand_in=True)
    here = machine.describe()
    assert (kept.accuracy_key, kept.arch, kept.isa) == ("key", here.arch, here.isa)
    assert (kept.dataset, kept.cases, kept.content_sha256) == ("digits", 100, "ab")
    assert (kept.provider, kept.synthetic, kept.stand_in) == ("openvino", True, True)
    assert (kept.accuracy, kept.drop, kept.drop_high) == (0.9, drop.value, drop.high)
    assert (kept.agreement, kept.agreement_low) == (0.96, agreement.low)
    assert (kept.cosine, kept.cosine_low) == (cosine.value, cosine.low)


def test_what_could_not_be_measured_is_not_kept() -> None:
    kept = kept_of(Quality("cases", 4, "key"), "ab", provider="cpu")
    assert (kept.accuracy, kept.drop, kept.drop_high, kept.agreement) == (None,) * 4
    assert (kept.agreement_low, kept.cosine, kept.cosine_low) == (None,) * 3
