"""Hold what a manifest says of a graph against the file that it lists."""

from __future__ import annotations

from pathlib import Path

from edgekit.errors import CorruptPackage
from edgekit.tensors import Dim, Signature, TensorSpec


def refuse_disagreement(path: Path, ours: Signature, files: Signature) -> None:
    """Refuse a manifest whose inputs and outputs are not those of the file it lists.

    The manifest may narrow what the file takes to one size; it may not promise a size that the file
    doesn't take. What comes out follows from what goes in, so there only two sizes can disagree.

    Raises:
        CorruptPackage: they contradict each other.
    """
    for part, told, found in (
        ("inputs", ours.inputs, files.inputs),
        ("outputs", ours.outputs, files.outputs),
    ):
        loose = part == "outputs"
        if len(told) != len(found) or not all(
            _agree(*pair, loose=loose) for pair in zip(told, found, strict=True)
        ):
            raise CorruptPackage(
                path=str(path),
                problem=f"its manifest gives the {part} {_listed(told)} and its model has "
                f"{_listed(found)}",
            )


def _agree(told: TensorSpec, found: TensorSpec, *, loose: bool) -> bool:
    named = (told.name, told.dtype, len(told.shape)) == (found.name, found.dtype, len(found.shape))
    return named and all(
        isinstance(theirs, Dim) or ours == theirs or (loose and isinstance(ours, Dim))
        for ours, theirs in zip(told.shape, found.shape, strict=True)
    )


def _listed(specs: tuple[TensorSpec, ...]) -> str:
    return f"({'; '.join(map(str, specs))})"
