"""The cases that a package keeps: what goes in, and what the original answers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from edgekit.data.keeping import EVALUATION_BYTES, nbytes, record_of
from edgekit.errors import FactoryFailed
from edgekit.package import cases as case_files
from edgekit.package.values import Asset, CaseFile
from edgekit.tensors import Case, Feed, Signature, resize
from edgekit.terms import Split
from exporters.answers import answers
from exporters.exportable import Exportable
from exporters.original import Original
from exporters.sizes import drawn, in_words

REFERENCE_CASES = 4
REFERENCE_BYTES = 16 << 20


def reference_cases(
    original: Original,
    signature: Signature,
    feed: Feed,
    *,
    sizes: Sequence[Mapping[str, int]],
    seed: int,
) -> list[Case]:
    """Take real and drawn values at a few sizes, the example's first, while they stay small."""
    chosen: list[Case] = []
    total = taken = 0
    stated = all(spec.values is not None for spec in signature.inputs)
    # From the end: there all dimensions change together, and the last one alone before that.
    for combination in [sizes[0], *reversed(sizes[1:])]:
        real = resize(signature, feed, combination)
        if taken == REFERENCE_CASES or (chosen and total + nbytes(Case(real)) > REFERENCE_BYTES):
            continue
        for values in (real, drawn(signature, real, seed=seed + 1)):
            try:
                case = Case(values, answers(original, values, where=in_words(combination)))
            except FactoryFailed:
                if values is real or stated:
                    raise
                break  # values that nobody promised it answers
            if chosen and total + nbytes(case) > REFERENCE_BYTES:
                break
            chosen.append(case)
            total += nbytes(case)
        else:
            taken += 1
    return chosen


def answered(original: Original, cases: list[Case]) -> Iterator[Case]:
    """Add the original's answers, as long as they and the inputs stay within the bound."""
    total = 0
    for index, case in enumerate(cases):
        given = answers(original, case.feed, where=f"evaluation case {index}")
        answered = Case(case.feed, given, case.label)
        total += nbytes(answered)
        if total > EVALUATION_BYTES:
            return
        yield answered


def write_cases(
    folder: Path, split: Split, cases: list[Case], *, name: str, suffix: str = ""
) -> CaseFile | None:
    """Write cases into `folder`; None where there are none."""
    if not cases:
        return None
    record = record_of(cases, split, name=name, suffix=suffix)
    (folder / record.file).write_bytes(case_files.encode(cases))
    return record


def write_assets(folder: Path, exportable: Exportable) -> tuple[Asset, ...]:
    """Write labels, the words about pre-processing, and the tokenizer's files into `folder`."""
    contents: list[tuple[Asset, bytes]] = []
    if exportable.labels:
        text = "".join(f"{label}\n" for label in exportable.labels)
        contents.append((Asset("labels", "labels", "labels.txt"), text.encode()))
    if exportable.preprocessing:
        asset = Asset("preprocessing", "preprocessing", "preprocessing.txt")
        contents.append((asset, (exportable.preprocessing + "\n").encode()))
    for file, content in exportable.tokenizer.items():
        contents.append((Asset(file, "tokenizer", file), content))
    for asset, content in contents:
        (folder / asset.file).write_bytes(content)
    return tuple(asset for asset, _ in contents)
