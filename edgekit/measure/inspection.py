"""What is in a package or an .onnx file, and what was measured of it, without running it."""

from __future__ import annotations

from pathlib import Path

import msgspec

from edgekit.errors import NotFound
from edgekit.graph import summary
from edgekit.measure.given import calibrated_on_made_up
from edgekit.measure.keeping import kept
from edgekit.package import reading
from edgekit.package.manifest import case_files_of
from edgekit.package.values import (
    Asset,
    CaseFile,
    GraphFacts,
    Kept,
    OutputCloseness,
    Package,
    Provenance,
)
from edgekit.providers.targets import described
from edgekit.tensors import Signature
from edgekit.terms import Memory


class InspectedVariant(msgspec.Struct, frozen=True):
    """One variant: its file, what it is made for, and what is in it. Sizes in bytes.

    `made_for` says in words what `provider` and `portable` are about; `kept` is what the variant
    kept of the original's accuracy, and where that was measured; `synthetic` that its ranges were
    read off made-up values.
    """

    name: str
    graph: str
    file: str
    precision: str
    provider: str
    portable: bool
    size_bytes: int
    facts: GraphFacts
    closeness: tuple[OutputCloseness, ...]
    made_for: str = ""
    kept: Kept | None = None
    synthetic: bool = False


class MeasuredRow(msgspec.Struct, frozen=True):
    """One line of what was measured on one kind of machine, at which sizes; p50 in ms.

    `arrays` says where its inputs and outputs lay while it was timed.
    """

    machine: str
    label: str
    p50_ms: float
    speedup: float | None
    accuracy: float | None
    sizes: dict[str, int]
    threads: int
    arrays: Memory = "host"


class Inspection(msgspec.Struct, frozen=True):
    """What `edgekit inspect` tells; a plain .onnx file has no provenance and no cases.

    `graphs` and `cases` are by the graph's name.
    """

    path: str
    name: str
    kind: str
    graphs: dict[str, Signature]
    variants: tuple[InspectedVariant, ...]
    total_bytes: int
    provenance: Provenance | None = None
    cases: dict[str, tuple[CaseFile, ...]] = {}
    assets: tuple[Asset, ...] = ()
    measured: tuple[MeasuredRow, ...] = ()


def inspect(path: Path) -> Inspection:
    """Describe a model package or an .onnx file.

    Raises:
        NotFound, CorruptPackage, ModelFileError: it can't be read.
        MissingExtra: a plain .onnx needs `onnx` to be read.
    """
    if path.suffix.lower() == ".onnx" and not path.is_dir():
        return _inspect_onnx(path)
    package = reading.read(path)
    return Inspection(
        path=str(path),
        name=package.name,
        kind="model package",
        graphs={graph.name: graph.signature for graph in package.graphs},
        variants=tuple(
            InspectedVariant(
                name=variant.name,
                graph=variant.graph,
                file=variant.model,
                precision=variant.precision,
                provider=variant.target.provider,
                portable=variant.target.isa is None,
                size_bytes=sum(package.files[name].size for name in reading.files_of(variant)),
                facts=variant.facts,
                closeness=variant.closeness,
                made_for=described(variant.target),
                kept=variant.kept,
                synthetic=calibrated_on_made_up(variant),
            )
            for variant in package.variants
        ),
        total_bytes=sum(record.size for record in package.files.values()),
        provenance=package.provenance,
        cases={graph.name: tuple(case_files_of(graph)) for graph in package.graphs},
        assets=package.assets,
        measured=tuple(_measured(path, package)),
    )


def _inspect_onnx(path: Path) -> Inspection:
    if not path.exists():
        raise NotFound(path=str(path))
    facts = summary.summarize(path)
    precision = summary.precision_of(path)
    beside = summary.external_files(path)
    size = sum((path.parent / name).stat().st_size for name in (path.name, *beside))
    variant = InspectedVariant(
        name=path.stem,
        graph="model",
        file=path.name,
        precision=precision,
        provider="any",
        portable=precision != "int8",
        size_bytes=size,
        facts=facts,
        closeness=(),
        made_for="any provider",
    )
    return Inspection(
        path=str(path),
        name=path.stem,
        kind="plain .onnx file",
        graphs={"model": summary.signature_of(path)},
        variants=(variant,),
        total_bytes=size,
    )


def _measured(path: Path, package: Package) -> list[MeasuredRow]:
    return [
        MeasuredRow(
            machine=machine,
            label=row.label,
            p50_ms=row.p50_ms.value,
            speedup=row.speedup.value if row.speedup else None,
            accuracy=row.accuracy.value if row.accuracy else None,
            sizes=report.bench.sizes,
            threads=report.bench.threads,
            arrays=report.bench.arrays,
        )
        for machine, reports in kept(path, package).items()
        for report in reports
        for row in report.rows
    ]
