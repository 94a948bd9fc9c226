"""What to bench: variants of one graph of a package, or a plain .onnx file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from edgekit.data.made_up import made_up
from edgekit.errors import BadValue, NotFound
from edgekit.measure.feeds import timing_feed
from edgekit.measure.ways import How, variant_call
from edgekit.package import reading
from edgekit.package.cases import open_cases
from edgekit.package.values import PORTABLE, Graph, Package, Variant
from edgekit.tensors import Case, Feed, Signature
from edgekit.workers import Worker

_WALL_S = 600.0


class Subject(msgspec.Struct, frozen=True):
    """One of the things to bench: variants of one graph of a package, or a plain .onnx file.

    Of a plain file less is known: it has no package, no graph and no cases.
    """

    path: Path
    name: str
    signature: Signature
    cases: list[Case]
    package: Package | None = None
    graph: Graph | None = None
    variants: tuple[Variant, ...] = ()


def open_subject(path: Path, *, variants: Sequence[str] = (), wall_s: float = _WALL_S) -> Subject:
    """Read what is to be benched: a package's manifest and cases, or a file's inputs.

    Args:
        path: the package's folder, or an .onnx file.
        variants: the names of those to time, all of one graph; by default every variant of the
            first graph.
        wall_s: how long a plain .onnx file may take to load.

    Raises:
        NotFound, CorruptPackage, ModelFileError: it can't be read.
        UnknownName: it has no such variant.
        BadValue: the variants are of several graphs, which take and give other arrays.
    """
    if path.suffix.lower() == ".onnx" and not path.is_dir():
        if not path.exists():
            raise NotFound(path=str(path))
        with Worker(str(path), wall_s=wall_s) as worker:
            for name in variants or (PORTABLE,):
                signature = worker.open(variant_call(path, name, How())).signature
        return Subject(path, path.stem, signature, [])
    package = reading.read(path)
    graph, chosen = _chosen(path, package, variants)
    reference = graph.reference
    cases = list(open_cases(path, package, reference).open()) if reference else []
    return Subject(path, package.name, graph.signature, cases, package, graph, chosen)


def refuse_batch(subject: Subject, batch: int) -> None:
    """Raise BadValue for a batch that a model doesn't take, before anything long starts."""
    timing_feed(subject.signature, example(subject), batch=batch)


def refuse_strangers(subjects: list[Subject]) -> None:
    """Raise BadValue for models that don't take and give arrays of the same names and types."""
    paths = [subject.path.resolve() for subject in subjects]
    for subject, path in zip(subjects, paths, strict=True):
        if paths.count(path) > 1:
            raise BadValue(
                what="a bench of several models",
                asked=f"done with {subject.path} twice",
                expected="every model once",
            )
    first = subjects[0]
    for other in subjects[1:]:
        for part in ("inputs", "outputs"):
            ours, theirs = (
                [(spec.name, spec.dtype) for spec in getattr(subject.signature, part)]
                for subject in (first, other)
            )
            if ours != theirs:
                raise BadValue(
                    what="a bench of several models",
                    asked=f"{first.path} and {other.path}, whose {part} differ",
                    expected=f"models with the same {part}, by name and type",
                )


def example(subject: Subject) -> Feed:
    """Give the first reference case, or made-up values where there is none."""
    return subject.cases[0].feed if subject.cases else made_up(subject.signature)


def _chosen(
    path: Path, package: Package, names: Sequence[str]
) -> tuple[Graph, tuple[Variant, ...]]:
    """Find the variants to time, in the package's order, and the one graph that they are of."""
    if not names:
        graph = package.graphs[0]
        return graph, tuple(v for v in package.variants if v.graph == graph.name)
    asked = [reading.variant_named(package, name) for name in names]
    graph = reading.graph_of(package, asked[0])
    for variant in asked:
        if variant.graph != graph.name:
            raise BadValue(
                what=f"a bench of {path}",
                asked=f"one of {asked[0].name} (graph {graph.name}) and {variant.name} (graph "
                f"{variant.graph})",
                expected="variants of one graph: what goes into one doesn't go into the other, so "
                "time them apart",
            )
    return graph, tuple(v for v in package.variants if v in asked)
