"""What a new variant must be before it may enter a package."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from edgekit.errors import BadValue, ModelFileError, StorageError
from edgekit.measure.sides import ORIGINAL
from edgekit.package import commit, manifest, reading
from edgekit.package.values import RESERVED_NAMES, Package, Variant
from edgekit.tensors import Dim, Signature, TensorSpec

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}")


def refuse_name(path: Path, package: Package, *, name: str, overwrite: bool) -> None:
    """Raise BadValue for a name that a new variant can't have, before anything long starts."""
    what = f"the name of a new variant of {path}"
    if not _NAME.fullmatch(name):
        expected = "letters, digits, dots, hyphens and underscores, no dot or hyphen first"
        raise BadValue(what=what, asked=repr(name), expected=expected)
    if name in RESERVED_NAMES or name == ORIGINAL:
        raise BadValue(what=what, asked=name, expected="a word that isn't reserved")
    # Where a file system knows no case, fp16.onnx and FP16.onnx are one file.
    taken = next((v for v in package.variants if v.name.casefold() == name.casefold()), None)
    if taken is None:
        return
    if taken.name != name:
        raise BadValue(
            what=what, asked=f"{name}, with {taken.name} there already", expected="another word"
        )
    if taken.parent is None:
        raise BadValue(
            what=what,
            asked=f"{name}, which is what the others are made from and is never replaced",
            expected="another: --name NAME",
        )
    children = [variant.name for variant in package.variants if variant.parent == name]
    if children:
        raise BadValue(
            what=what,
            asked=f"{name}, from which {', '.join(children)} was made",
            expected="another: --name NAME",
        )
    if not overwrite:
        raise BadValue(
            what=what,
            asked=f"{name}, which is there already",
            expected="another with --name NAME, or --overwrite to replace that one",
        )


def refuse_beside(model: Path, beside: Sequence[str]) -> None:
    """Refuse external data that can't lie in a package under the name that the model gives it."""
    for name in beside:
        if not manifest.plain_name(name) or not (model.parent / name).is_file():
            raise ModelFileError(
                path=model.name,
                problem=f"its external data {name!r} is not a plain file beside it",
            )


def refuse_signature(model: Path, found: Signature, expected: Signature) -> None:
    """Raise ModelFileError for a model whose inputs or outputs aren't the package's."""
    for part in ("inputs", "outputs"):
        theirs, ours = getattr(found, part), getattr(expected, part)
        loose = part == "outputs"
        if len(theirs) != len(ours) or not all(
            _fits(*pair, loose=loose) for pair in zip(theirs, ours, strict=True)
        ):
            said, wanted = ("; ".join(map(str, specs)) or "none" for specs in (theirs, ours))
            raise ModelFileError(
                path=model.name,
                problem=f"its {part} are ({said}), and those of the package are ({wanted})",
            )


def _fits(found: TensorSpec, expected: TensorSpec, *, loose: bool) -> bool:
    """Tell whether a model's input or output can be the package's, which may narrow its sizes.

    What comes out follows from what goes in: there (`loose`) only two sizes can disagree.
    """
    named = (found.name, found.dtype, len(found.shape)) == (
        expected.name,
        expected.dtype,
        len(expected.shape),
    )
    return named and all(
        isinstance(theirs, Dim) or theirs == ours or (loose and isinstance(ours, Dim))
        for theirs, ours in zip(found.shape, expected.shape, strict=True)
    )


def refuse_other_data(path: Path, now: Package, *, model: Path, beside: Sequence[str]) -> None:
    """Refuse external data whose name the package uses for other content: `model` names it so."""
    for name in beside:
        listed = now.files.get(name)
        if listed is not None and listed != commit.record_of(model.parent / name):
            raise ModelFileError(
                path=model.name,
                problem=f"its external data is called {name}, as another file of {path} is",
            )


def with_variant(
    path: Path, now: Package, *, measured: Package, variant: Variant, overwrite: bool
) -> Package:
    """Add a variant to the package as it is now, if what it was measured against is still there."""
    refuse_name(path, now, name=variant.name, overwrite=overwrite)
    if _basis(now, variant) != _basis(measured, variant):
        raise StorageError(
            path=str(path),
            problem=f"another process has changed {variant.parent} or its cases while "
            f"{variant.name} was measured against them; do it again",
        )
    if not any(other.name == variant.name for other in now.variants):
        return msgspec.structs.replace(now, variants=(*now.variants, variant))
    variants = tuple(variant if v.name == variant.name else v for v in now.variants)
    return msgspec.structs.replace(now, variants=variants)


def _basis(package: Package, variant: Variant) -> Any:
    """What a variant was measured against: its parent, down to the files' hashes, and the cases."""
    parent = next((v for v in package.variants if v.name == variant.parent), None)
    if parent is None:
        return None
    graph = reading.graph_of(package, parent)
    files = [package.files[name].sha256 for name in reading.files_of(parent)]
    cases = [package.files[c.file].sha256 for c in (graph.reference, graph.evaluation) if c]
    return parent.graph, graph.signature, files, cases
