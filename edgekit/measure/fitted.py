"""Variants that are fixed to sizes, in a run of several: which fit what it is run on."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from edgekit.fixed_sizes import fitting, fixed, in_words
from edgekit.measure.subjects import Subject
from edgekit.package.values import Variant


def shared_sizes(subject: Subject) -> dict[str, int]:
    """Give the sizes that all variants of a subject are fixed to; empty where one isn't."""
    several = [variant.sizes for variant in subject.variants]
    return several[0] if several and all(sizes == several[0] for sizes in several) else {}


def fitted(subject: Subject) -> Subject:
    """Give a subject that takes what all its variants take, and its cases that fit that."""
    sizes = shared_sizes(subject)
    if not sizes:
        return subject
    return msgspec.structs.replace(
        subject,
        signature=fixed(subject.signature, sizes),
        cases=list(fitting(subject.cases, subject.signature, sizes)),
    )


def unfit(variant: Variant, sizes: Mapping[str, int]) -> str:
    """Say why a variant can't be run at sizes; empty where it can.

    Sizes that aren't named are those that a signature is fixed to already.
    """
    off = {n: size for n, size in variant.sizes.items() if sizes.get(n, size) != size}
    return f"it takes {in_words(off)} alone, and this is run at {in_words(sizes)}" if off else ""
