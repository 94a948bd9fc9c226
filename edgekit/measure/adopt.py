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

import msgspec

from edgekit.data.keeping import file_of, record_of
from edgekit.data.made_up import NAME as MADE_UP
from edgekit.data.opening import refuse_unreadable
from edgekit.errors import ModelFileError, NotFound
from edgekit.graph.summary import external_files, precision_of, summarize
from edgekit.measure.given import AdoptedCases, adopted_cases
from edgekit.measure.trials import DRAWS, Trials, rule, run_trials
from edgekit.package import cases as case_files
from edgekit.package import commit, manifest
from edgekit.package.values import (
    Graph,
    GraphFacts,
    Package,
    Provenance,
    Variant,
    Verification,
)

GRAPH = "model"
_REFERENCE, _EVALUATION, _CALIBRATION = file_of("reference"), file_of("test"), file_of("train")
_WALL_S = 600.0
_CHUNK = 4 << 20
_FLAT_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,199}")
"""What a file of a package may be called: see `edgekit.package.manifest`."""


def adopt(
    model: Path,
    output: Path,
    *,
    eval_data: str | None = None,
    calib_data: str | None = None,
    overwrite: bool = False,
    wall_s: float = _WALL_S,
) -> Package:
    """Pack an .onnx file into a model package, its bytes unchanged.

    Args:
        model: the .onnx file, external data beside it.
        output: the package's folder.
        eval_data: held-out cases for the package, as `edgekit.data.open_data` takes them. Where
            they have labels and the model scores classes, answers are judged by right classes.
        calib_data: cases to calibrate with, in the same way.
        overwrite: replace the package that is there; nothing else is ever replaced.
        wall_s: how long one run of the model may take.

    Raises:
        NotFound: there is no such file.
        ModelFileError: it is no valid model, ONNX Runtime refuses it, it answers otherwise from
            call to call, it can be run at no size that was tried, or its external data can't lie
            in a package.
        WouldOverwrite, StorageError: the output can't be written.
        MissingExtra: `onnx` is not installed.
        BadValue, InputError, FactoryFailed: the data don't fit the model.
    """
    if not model.is_file():
        raise NotFound(path=str(model), expected="an .onnx file")
    if eval_data is not None:
        refuse_unreadable(eval_data, split="test")
    if calib_data is not None:
        refuse_unreadable(calib_data, split="train")
    # Before `summarize`, which has onnx look for the external data wherever its paths lead.
    beside = external_files(model)
    precision = precision_of(model)
    file = f"{precision}.onnx"
    cases = (_REFERENCE, _EVALUATION, _CALIBRATION)
    _refuse_names(model, beside, taken=(file, *cases, manifest.NAME))
    facts = summarize(model)
    with commit.new_package(output, overwrite=overwrite) as folder:
        with commit.storage_errors(output):
            shutil.copyfile(model, folder / file)
            for name in beside:
                shutil.copyfile(model.parent / name, folder / name)
        given = adopted_cases(
            folder / file,
            name=str(model),
            eval_data=eval_data,
            calib_data=calib_data,
            wall_s=wall_s,
        )
        trials = run_trials(folder / file, precision, name=str(model), wall_s=wall_s)
        files = (file, *beside)
        package = _package(
            model, precision, facts, trials, given=given, files=files, sha256=_sha256(folder, files)
        )
        contents: dict[str, bytes | Path] = {name: folder / name for name in files}
        contents[_REFERENCE] = case_files.encode(trials.cases)
        if given.evaluation:
            contents[_EVALUATION] = case_files.encode(given.evaluation)
        if given.calibration:
            contents[_CALIBRATION] = case_files.encode(given.calibration)
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
    given: AdoptedCases,
    files: tuple[str, ...],
    sha256: str,
) -> Package:
    return Package(
        name=package_name(model),
        graphs=(
            Graph(
                GRAPH,
                trials.signature,
                reference=msgspec.structs.replace(
                    record_of(trials.cases, "reference", name=MADE_UP), synthetic=True
                ),
                evaluation=record_of(given.evaluation, "test", name=given.evaluation_name)
                if given.evaluation
                else None,
                calibration=record_of(given.calibration, "train", name=given.calibration_name)
                if given.calibration
                else None,
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
                *given.notes,
                *(f"it does not run at every size; {refusal}" for refusal in trials.refusals),
            ),
        ),
        files={},
        metric=given.metric,
    )


def _sha256(folder: Path, files: Sequence[str]) -> str:
    """Hash the model with its external data: of the .onnx alone it would say nothing of those."""
    digest = hashlib.sha256()
    for name in files:
        with (folder / name).open("rb") as file:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
    return digest.hexdigest()
