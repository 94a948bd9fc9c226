"""Pack an .onnx file from elsewhere as it is: the same bytes, with reference cases beside it.

There is no PyTorch module to hold it against. Its original is the file itself, run without any of
ONNX Runtime's graph optimizations, and everything made from it is measured against that.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

from edgekit.errors import EdgekitError, ModelFileError
from edgekit.graph.summary import external_files, precision_of, summarize
from edgekit.measure.packages import made_up
from edgekit.metrics import closeness, within
from edgekit.package import cases as case_files
from edgekit.package import commit
from edgekit.package.values import (
    CaseFile,
    Graph,
    GraphFacts,
    OutputCloseness,
    Package,
    Provenance,
    SessionChoice,
    Tolerance,
    Variant,
    Verification,
)
from edgekit.tensors import Array, Case, Signature, dim_sizes, dynamic_dims
from edgekit.workers import Call, Worker

GRAPH = "model"
SIZES = (1, 2, 5)
DRAWS = 2
SHARE_OF_LARGEST = 1e-5
RELATIVE = 1e-3
RULE = (
    "|optimized by ONNX Runtime - as stored| <= 1e-5 x largest value + 1e-3 x |as stored|, "
    "on made-up values"
)
_WALL_S = 600.0


def adopt(
    model: Path, output: Path, *, overwrite: bool = False, wall_s: float = _WALL_S
) -> Package:
    """Pack an .onnx file into a model package, its bytes unchanged.

    Args:
        model: the .onnx file, external data beside it.
        output: the package's folder.
        overwrite: replace the package that is there; nothing else is ever replaced.
        wall_s: how long one run of the model may take.

    Raises:
        ModelFileError: it is no valid model, ONNX Runtime refuses it, it draws random numbers, or
            it can be run at no size that was tried.
        WouldOverwrite, StorageError: the output can't be written.
        MissingExtra: `onnx` is not installed.
    """
    facts = summarize(model)
    precision = precision_of(model)
    beside = external_files(model)
    with commit.new_package(output, overwrite=overwrite) as folder:
        file = f"{precision}.onnx"
        with commit.storage_errors(output):
            shutil.copyfile(model, folder / file)
            for name in beside:
                shutil.copyfile(model.parent / name, folder / name)
        signature, cases, closenesses, sizes = _recorded(folder / file, wall_s)
        reference = CaseFile(
            file="reference.safetensors",
            name="made-up values",
            split="reference",
            cases=len(cases),
            content_sha256=case_files.content_sha256_of_all(cases),
            synthetic=True,
        )
        package = _package(model, file, beside, precision, facts, signature, closenesses, sizes)
        contents: dict[str, bytes | Path] = {name: folder / name for name in (file, *beside)}
        contents[reference.file] = case_files.encode(cases)
        return commit.commit(folder, _with_reference(package, reference), contents)


def _package(
    model: Path,
    file: str,
    beside: list[str],
    precision: str,
    facts: GraphFacts,
    signature: Signature,
    closenesses: tuple[OutputCloseness, ...],
    sizes: tuple[dict[str, int], ...],
) -> Package:
    return Package(
        name=model.stem,
        graphs=(Graph(GRAPH, signature),),
        variants=(
            Variant(
                name=precision,
                graph=GRAPH,
                model=file,
                files=tuple(beside),
                precision=precision,
                facts=facts,
                closeness=closenesses,
            ),
        ),
        provenance=Provenance(
            source=model.name,
            original="onnx",
            strategy="adopted",
            weights_sha256=hashlib.sha256(model.read_bytes()).hexdigest(),
            verification=Verification(sizes=sizes, draws=DRAWS, rule=RULE),
            notes=(
                "adopted as it was: its original is this .onnx file, not a PyTorch module",
                "reference cases are made-up values",
            ),
        ),
        files={},
    )


def _with_reference(package: Package, reference: CaseFile) -> Package:
    import msgspec

    return msgspec.structs.replace(package, reference=reference)


def _recorded(
    model: Path, wall_s: float
) -> tuple[Signature, list[Case], tuple[OutputCloseness, ...], tuple[dict[str, int], ...]]:
    """Run the file as it stands and as it will be run, at several sizes, and compare the two."""
    with _worker(model, wall_s) as stored, _worker(model, wall_s) as optimized:
        signature = stored.open(_call(model, SessionChoice(graph_level="disabled"))).signature
        optimized.open(_call(model, SessionChoice()))
        cases: list[Case] = []
        sizes: list[dict[str, int]] = []
        worst: dict[str, OutputCloseness] = {}
        refusals: list[str] = []
        for size in SIZES if dynamic_dims(signature) else (1,):
            for draw in range(DRAWS):
                feed = made_up(signature, size=size, seed=draw)
                try:
                    expected = stored.run(feed).outputs
                except EdgekitError as error:
                    refusals.append(f"at size {size}: {error}")
                    break
                _refuse_random(model, expected, stored.run(feed).outputs)
                _compare(model, optimized.run(feed).outputs, expected, worst)
                cases.append(Case(feed, expected))
            else:
                sizes.append(dim_sizes(signature, feed))
    if not cases:
        raise ModelFileError(
            path=str(model), problem=f"it could not be run on made-up values {refusals[0]}"
        )
    return signature, cases, tuple(worst.values()), tuple(sizes)


def _compare(
    model: Path,
    got: dict[str, Array],
    expected: dict[str, Array],
    worst: dict[str, OutputCloseness],
) -> None:
    import numpy as np

    for output, array in expected.items():
        finite = np.abs(array[np.isfinite(array)].astype(np.float64))
        absolute = SHARE_OF_LARGEST * float(finite.max()) if finite.size else 0.0
        off = within(got[output], array, absolute=absolute, relative=RELATIVE)
        if off is not None:
            raise ModelFileError(
                path=str(model),
                problem=f"ONNX Runtime's optimizations change the answer of {output}: {off}",
            )
        distance = closeness(got[output], array)
        before = worst.get(output)
        worst[output] = OutputCloseness(
            output=output,
            max_abs_error=max(distance.max_abs_error, before.max_abs_error if before else 0.0),
            max_rel_error=max(distance.max_rel_error, before.max_rel_error if before else 0.0),
            cosine=min(distance.cosine, before.cosine if before else 1.0),
            sqnr_db=distance.sqnr_db
            if before is None or before.sqnr_db is None
            else before.sqnr_db,
            tolerance=Tolerance(
                max(absolute, before.tolerance.absolute if before else 0.0), RELATIVE
            ),
        )


def _refuse_random(model: Path, first: dict[str, Array], second: dict[str, Array]) -> None:
    import numpy as np

    for output, array in first.items():
        if not np.array_equal(array, second[output], equal_nan=array.dtype.kind == "f"):
            raise ModelFileError(
                path=str(model),
                problem=f"its output {output} differs from call to call, so nothing can be held "
                "against it",
            )


def _call(model: Path, session: SessionChoice) -> Call:
    return Call(
        "edgekit.runtime.runner:open_variant",
        {"path": str(model), "variant": "portable", "session": session},
    )


def _worker(model: Path, wall_s: float) -> Worker:
    return Worker(os.fspath(model), wall_s=wall_s)
