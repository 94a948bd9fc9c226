"""What `compare` compares: a variant of a package, an .onnx file, or an original."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec

from edgekit.errors import BadValue, NotFound
from edgekit.measure.subjects import Subject, open_subject
from edgekit.measure.ways import How, variant_call
from edgekit.package.values import PORTABLE, TUNED, SessionChoice
from edgekit.runtime.said import Said
from edgekit.runtime.tuned import tuned
from edgekit.tensors import Signature, TensorSpec
from edgekit.workers import Call

ORIGINAL = "original"
"""Behind a package's path and a colon: the original that it was exported from."""

_WALL_S = 600.0


class Named(msgspec.Struct, frozen=True):
    """What a text on the command line names: a path with a variant's name, or a TARGET.

    `session` is how the variant runs where tuning chose it, None where it runs as the others do.
    """

    kind: Literal["file", "variant", "original", "target"]
    text: str
    path: Path = Path()
    variant: str = PORTABLE
    session: SessionChoice | None = None


class Side(msgspec.Struct, frozen=True):
    """One of the two: how a worker opens it, and what goes in and comes out.

    `subject` has its package and cases, None where there is no package that it is of.
    """

    label: str
    call: Call
    signature: Signature
    subject: Subject | None = None


def named(text: str) -> Named:
    """Tell what a text names.

    Raises:
        NotFound: it has the form of a path, and there is nothing.
    """
    path = Path(text)
    if path.is_dir() and not _is_target(text):
        return Named("variant", text, path)
    if path.suffix.lower() == ".onnx":
        if not path.is_file():
            raise NotFound(path=text)
        return Named("file", text, path)
    before, colon, behind = text.rpartition(":")
    if colon and behind and Path(before).is_dir():
        kind: Literal["original", "variant"] = "original" if behind == ORIGINAL else "variant"
        return Named(kind, text, Path(before), behind)
    for missing in (text, before):
        if missing.lower().endswith((".edgekit", ".onnx")):
            raise NotFound(path=missing)
    return Named("target", text)


def as_chosen(asked: Named, said: Said) -> Named:
    """Put what tuning chose, under what was said of its session, in the place of "tuned".

    Raises what `edgekit.runtime.tuned.tuned` raises.
    """
    if asked.variant != TUNED:
        return asked
    choice = tuned(asked.path, said)[0].choice
    return msgspec.structs.replace(asked, variant=choice.variant, session=choice.session)


def variant_side(asked: Named, how: How, *, wall_s: float = _WALL_S) -> Side:
    """Open what a path names: a variant of a package, or an .onnx file.

    Raises what `edgekit.measure.subjects.open_subject` raises.
    """
    wanted = () if asked.variant == PORTABLE else (asked.variant,)
    subject = open_subject(asked.path, variants=wanted, wall_s=wall_s)
    # The first one of all, as `load` has it: that is the first of the first graph.
    variant = subject.variants[0].name if subject.variants else PORTABLE
    label = f"{subject.name} · {variant}" if subject.variants else asked.path.name
    if asked.session is not None:
        label += ", as tuned"
        how = msgspec.structs.replace(how, session=asked.session)
    return Side(label, variant_call(asked.path, variant, how), subject.signature, subject)


def refuse_unlike(a: Side, b: Side) -> None:
    """Raise BadValue for two that don't take and give the same arrays, by name, dtype and rank."""
    for part in ("inputs", "outputs"):
        ours, theirs = getattr(a.signature, part), getattr(b.signature, part)
        if len(ours) != len(theirs) or not all(map(_alike, ours, theirs)):
            said = [("; ".join(map(str, specs)) or "none") for specs in (ours, theirs)]
            raise BadValue(
                what="what is compared",
                asked=f"{a.label} and {b.label}, whose {part} differ: ({said[0]}) and ({said[1]})",
                expected=f"two with the same {part}, by name, type and fixed sizes",
            )


def _alike(one: TensorSpec, other: TensorSpec) -> bool:
    same = (one.name, one.dtype, len(one.shape)) == (other.name, other.dtype, len(other.shape))
    sizes = zip(one.shape, other.shape, strict=False)
    return same and all(m == n for m, n in sizes if isinstance(m, int) and isinstance(n, int))


def _is_target(text: str) -> bool:
    """Tell whether a folder's name is a word that names a reference model: `cnn` beside ./cnn."""
    return "/" not in text and not (Path(text) / "manifest.json").is_file()
