"""What a variant kept, in words."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec

from edgekit.measure.inspection import inspect
from edgekit.package import commit, reading
from edgekit.package.values import Kept, Target
from edgekit.report.inspection import inspected
from edgekit.report.kept import kept_in_words, points

KEPT = Kept(
    "key",
    "x86_64",
    ("avx2", "avx_vnni"),
    "digits",
    1500,
    "0" * 64,
    accuracy=0.985,
    drop=-0.0013,
    drop_high=0.0011,
    agreement=0.999,
    agreement_low=0.997,
    cosine=0.99912,
    cosine_low=0.99873,
)


def test_what_was_kept_is_said_with_its_bounds_and_where_it_was_measured() -> None:
    assert kept_in_words(KEPT) == (
        "keeps accuracy 98.5 %, drop -0.13 pp (at most 0.11 pp with 95 %), agreement 99.9 % "
        "(at least 99.7 %), cosine 0.99912 (at least 0.99873), of 1,500 digits; measured on cpu, "
        "x86_64 with avx2, avx_vnni"
    )


def test_what_was_not_measured_is_left_out_and_made_up_cases_and_stand_ins_are_named() -> None:
    bare = Kept("key", "aarch64", (), "cases", 4, "0" * 64, synthetic=True, stand_in=True)
    assert kept_in_words(bare) == (
        "keeps nothing that can be compared, of 4 made-up cases; measured on cpu, aarch64, through "
        "a model that rounds as it does on its target"
    )
    made_up = msgspec.structs.replace(bare, dataset="made-up cases")
    assert "of 4 made-up cases;" in kept_in_words(made_up)


def test_points_have_two_digits_and_no_minus_zero() -> None:
    assert [points(share) for share in (0.005, -0.00001, 0.12345)] == [
        *("0.50 pp", "0.00 pp", "12.35 pp")
    ]


def test_an_inspection_says_what_each_variant_kept_and_is_made_for(
    tiny_package: Path, text_of: Callable[..., str]
) -> None:
    package = reading.read(tiny_package)
    target = Target(arch="x86_64", isa=("avx_vnni",))
    (first,) = package.variants
    made = msgspec.structs.replace(first, name="int8", parent="fp32", kept=KEPT, target=target)
    commit.commit(tiny_package, msgspec.structs.replace(package, variants=(first, made)), {})
    found = inspect(tiny_package)
    assert [variant.kept for variant in found.variants] == [None, KEPT]
    assert [v.made_for for v in found.variants] == ["any processor", "x86-64 processors with VNNI"]
    text = text_of(inspected, found, width=400)
    assert "x86-64 processors with VNNI" in text
    assert f"int8 {kept_in_words(KEPT)}\n" in text
    assert "fp32 keeps" not in text
