"""How many cases a package keeps, of either side: enough to decide, and few enough to carry."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from edgekit.package.cases import content_sha256_of_all
from edgekit.package.values import CaseFile
from edgekit.tensors import Case
from edgekit.terms import Split

EVALUATION_CASES, EVALUATION_BYTES = 1_500, 64 << 20
CALIBRATION_CASES, CALIBRATION_BYTES = 256, 32 << 20
_FILES: dict[Split, str] = {
    "reference": "reference",
    "test": "evaluation",
    "train": "calibration",
}


def nbytes(case: Case) -> int:
    """Count the bytes that a case's arrays take."""
    return sum(np.asarray(a).nbytes for a in (*case.feed.values(), *(case.outputs or {}).values()))


def first_of(cases: Iterable[Case], *, most: int, most_bytes: int) -> Iterator[Case]:
    """Yield cases as long as there are no more than `most`, and they fit into `most_bytes`."""
    total = 0
    for index, case in enumerate(cases):
        total += nbytes(case)
        if index >= most or total > most_bytes:
            return
        yield case


def file_of(split: Split, *, suffix: str = "") -> str:
    """Name the file that holds a package's cases of one side."""
    return f"{_FILES[split]}{suffix}.safetensors"


def record_of(cases: Sequence[Case], split: Split, *, name: str, suffix: str = "") -> CaseFile:
    """Describe a file of cases for a manifest.

    Args:
        cases: what is in it.
        split: which side they are of.
        name: what they are, several of them: "digits".
        suffix: what is behind the file's name, where a package has several graphs.
    """
    return CaseFile(
        file=file_of(split, suffix=suffix),
        name=name,
        split=split,
        cases=len(cases),
        content_sha256=content_sha256_of_all(cases),
    )


def kept_note(what: str, *, kept: int, given: int) -> list[str]:
    """Say that a package keeps fewer cases than were given, where it does."""
    if kept == given:
        return []
    return [f"the package keeps the first {kept:,} of {given:,} {what} cases"]
