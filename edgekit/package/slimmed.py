"""What was kept of a package for a device, and what that takes."""

from __future__ import annotations

import msgspec

from edgekit.package import reading
from edgekit.package.values import Package


class Part(msgspec.Struct, frozen=True):
    """What one kind of content takes in bytes, before and after."""

    what: str
    before_bytes: int
    after_bytes: int


class Slimmed(msgspec.Struct, frozen=True):
    """What was kept of a package, and what it takes in bytes before and after.

    `variants` are those that are in it now, `left_out` those that aren't, `machines` the kinds of
    machine whose choice went along, in words.
    """

    name: str
    variants: tuple[str, ...]
    left_out: tuple[str, ...]
    parts: tuple[Part, ...]
    before_bytes: int
    after_bytes: int
    machines: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def parts_of(package: Package, slimmed: Package, *, manifests: tuple[int, int]) -> tuple[Part, ...]:
    """Sum up what each kind of content takes in bytes; `manifests` is what theirs take."""
    ours, theirs = _sizes(package), _sizes(slimmed)
    found = [Part(what, ours[what], theirs[what]) for what in ours]
    return (*(p for p in found if p.before_bytes or p.after_bytes), Part("manifest", *manifests))


def _sizes(package: Package) -> dict[str, int]:
    def size(names: set[str]) -> int:
        return sum(package.files[name].size for name in names)

    kinds = ("reference", "evaluation", "calibration")
    return {
        "variants": size({name for v in package.variants for name in reading.files_of(v)}),
        **{
            f"{kind} cases": size({c.file for g in package.graphs if (c := getattr(g, kind))})
            for kind in kinds
        },
        "assets": size({asset.file for asset in package.assets}),
    }
