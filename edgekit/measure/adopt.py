"""Pack an .onnx file from elsewhere as it is: the same bytes, with reference cases beside it.

There is no PyTorch module to hold it against. Its original is the file itself, run without any of
ONNX Runtime's graph optimizations, and everything made from it is measured against that.
"""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

from edgekit.errors import ModelFileError, NotFound
from edgekit.graph.summary import external_files, precision_of, summarize
from edgekit.measure.trials import DRAWS, Trials, rule, run_trials
from edgekit.package import cases as case_files
from edgekit.package import commit, manifest
from edgekit.package.values import (
    CaseFile,
    Graph,
    GraphFacts,
    Package,
    Provenance,
    Variant,
    Verification,
)

GRAPH = "model"
_REFERENCE = "reference.safetensors"
_WALL_S = 600.0
_CHUNK = 4 << 20
_FLAT_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,199}")
"""What a file of a package may be called: see `edgekit.package.manifest`."""


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
        NotFound: there is no such file.
        ModelFileError: it is no valid model, ONNX Runtime refuses it, it answers otherwise from
            call to call, it can be run at no size that was tried, or its external data can't lie
            in a package.
        WouldOverwrite, StorageError: the output can't be written.
        MissingExtra: `onnx` is not installed.
    """
    if not model.is_file():
        raise NotFound(path=str(model), expected="an .onnx file")
    # Before `summarize`, which has onnx look for the external data wherever its paths lead.
    beside = external_files(model)
    precision = precision_of(model)
    file = f"{precision}.onnx"
    _refuse_names(model, beside, taken=(file, _REFERENCE, manifest.NAME))
    facts = summarize(model)
    with commit.new_package(output, overwrite=overwrite) as folder:
        with commit.storage_errors(output):
            shutil.copyfile(model, folder / file)
            for name in beside:
                shutil.copyfile(model.parent / name, folder / name)
        trials = run_trials(folder / file, precision, name=str(model), wall_s=wall_s)
        files = (file, *beside)
        package = _package(
            model, precision, facts, trials, files=files, sha256=_sha256(folder, files)
        )
        contents: dict[str, bytes | Path] = {name: folder / name for name in files}
        contents[_REFERENCE] = case_files.encode(trials.cases)
        return commit.commit(folder, package, contents)


def package_name(model: Path) -> str:
    """Name the package after its file, in the characters that such a name may have."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", model.stem).strip("-._") or "model"


def _refuse_names(model: Path, beside: Sequence[str], *, taken: Sequence[str]) -> None:
    """Refuse external data that can't lie in a package under the name that the model gives it."""
    for name in beside:
        if not _FLAT_NAME.fullmatch(name) or name in taken:
            raise ModelFileError(
                path=str(model),
                problem=f"its external data is in {name!r}, which can't be the name of a file in a "
                "package: save it again with its data in one file beside it, called after the "
                "model in letters, digits, dots, hyphens and underscores",
            )
        if not (model.parent / name).is_file():
            raise ModelFileError(
                path=str(model), problem=f"its external data {name} is not there beside it"
            )


def _package(
    model: Path,
    precision: str,
    facts: GraphFacts,
    trials: Trials,
    *,
    files: tuple[str, ...],
    sha256: str,
) -> Package:
    return Package(
        name=package_name(model),
        graphs=(
            Graph(
                GRAPH,
                trials.signature,
                reference=CaseFile(
                    file=_REFERENCE,
                    name="made-up cases",
                    split="reference",
                    cases=len(trials.cases),
                    content_sha256=case_files.content_sha256_of_all(trials.cases),
                    synthetic=True,
                ),
            ),
        ),
        variants=(
            Variant(
                name=precision,
                graph=GRAPH,
                model=files[0],
                files=files[1:],
                precision=precision,
                facts=facts,
                closeness=trials.closeness,
            ),
        ),
        provenance=Provenance(
            source=model.name,
            original="onnx",
            strategy="adopted",
            weights_sha256=sha256,
            verification=Verification(sizes=trials.sizes, draws=DRAWS, rule=rule(precision)),
            notes=(
                "adopted as it was: its original is this .onnx file, not a PyTorch module",
                "reference cases are made-up values",
                *(f"it does not run at every size; {refusal}" for refusal in trials.refusals),
            ),
        ),
        files={},
    )


def _sha256(folder: Path, files: Sequence[str]) -> str:
    """Hash the model with its external data: of the .onnx alone it would say nothing of those."""
    digest = hashlib.sha256()
    for name in files:
        with (folder / name).open("rb") as file:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
    return digest.hexdigest()
