"""Data as a user names them, opened: every case read once and checked before anything long starts.

A file's first axis counts its cases; each case has the shape of the model's input, whose batch axis
may be left out. So for an input `image` of [batch, 3, 28, 28] an array of [1000, 3, 28, 28] is a
thousand cases of one image, and one of [100, 8, 3, 28, 28] a hundred cases of eight.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeAlias

from edgekit.data.arrays import npz_each, stacked_npy, stacked_npz
from edgekit.data.checking import Given, classes_of, fitting
from edgekit.data.factories import factory
from edgekit.errors import BadValue, FactoryFailed, InputError, MissingExtra, NotFound
from edgekit.package.cases import content_sha256
from edgekit.tensors import Case, Dataset, Signature
from edgekit.terms import Metric, Split

Reader: TypeAlias = Callable[[Signature], Iterator[Given]]

FORMS = (
    "an .npz, a folder of .npy or .npz files, a .parquet, or file.py:factory that yields feeds "
    "(docs/data.md)"
)
_WORDS: dict[Split, str] = {
    "train": "The calibration data",
    "test": "The evaluation data",
    "reference": "The reference data",
}


def open_data(
    source: str,
    signature: Signature,
    *,
    split: Split,
    metric: Metric = "closeness",
    folder: Path | None = None,
) -> Dataset:
    """Open data for a model, all cases read once and checked; each pass reads them anew.

    Args:
        source: an .npz with an array an input, stacked along a new first axis, and `label`; a
            folder of such arrays as .npy; a folder of .npz, one case in each; a .parquet (or a
            folder of them) with a column an input and `label`; or `file.py:factory` or
            `package.module:factory`, whose call gives something that yields feeds, pairs of a feed
            and its label, or `edgekit.tensors.Case`. A batch with one label a row becomes as many
            cases.
        signature: what the model takes, and which classes its first output scores.
        split: "test" to measure on, "train" to calibrate with.
        metric: where it is "top1", every case of "test" must have a label.
        folder: where a relative path starts; the current one unless given.

    Raises:
        NotFound: there is nothing of that name.
        BadValue: it is in none of these forms, can't be read, or is empty.
        InputError: a case doesn't fit the model, by its index; or labels are missing.
        UnknownName: the file has no such factory, or the table no such column.
        FactoryFailed: the user's code raised, or gives other cases at each pass.
        MissingExtra: pyarrow is not installed, for Parquet.
    """
    what = f"{_WORDS[split]} {source}"
    reader = _reader(source, folder or Path.cwd(), what)

    def read() -> Iterator[Case]:
        return _checked(reader, signature, what, needs_labels=split == "test" and metric == "top1")

    first = [_with_label(case) for case in read()]
    if not first:
        raise BadValue(what=what, asked="empty", expected="at least one case")

    def again() -> Iterator[Case]:
        seen = []
        for case in read():
            seen.append(_with_label(case))
            yield case
        # In their order: answers of one pass are held against the labels of another.
        if seen != first:
            raise FactoryFailed(
                target=what,
                problem="are not the same at every pass, or in another order, so nothing can be "
                "compared on them; let a factory draw and shuffle with a seed of its own, which it "
                "sets at every call",
            )

    name = source.rstrip("/").rpartition("/")[2]
    return Dataset(
        name=f"cases of {name}",
        split=split,
        sha256=_of_all([content for content, _ in first]),
        cases=len(first),
        open=again,
        different=len(set(first)),
    )


def refuse_unreadable(source: str, *, split: Split, folder: Path | None = None) -> None:
    """Refuse a source that isn't there or is of no known form, without reading or running it.

    Raises:
        NotFound: there is nothing of that name.
        BadValue: it is in none of the forms that `open_data` reads.
        MissingExtra: pyarrow is not installed, for Parquet.
    """
    where, what = folder or Path.cwd(), f"{_WORDS[split]} {source}"
    if not _is_factory(source, where):
        _reader(source, where, what)
    elif source.rpartition(":")[0].endswith(".py"):
        path = where / source.rpartition(":")[0]
        if not path.is_file():
            raise NotFound(path=str(path), expected="the Python file of a factory")


def labelled(dataset: Dataset) -> bool:
    """Tell whether the cases have labels: of opened data all have, or none."""
    first = next(iter(dataset.open()), None)
    return first is not None and first.label is not None


def metric_for(dataset: Dataset, signature: Signature, *, metric: Metric) -> Metric:
    """Judge by right classes where there are labels and the first output scores classes.

    Args:
        dataset: what is measured on.
        signature: the model's, whose first output says whether it holds scores of classes.
        metric: how the model is judged elsewhere, which stands where that isn't so.
    """
    scores = classes_of(signature) is not None
    return "top1" if metric == "top1" or (scores and labelled(dataset)) else metric


def _reader(source: str, folder: Path, what: str) -> Reader:
    path = folder / source
    if not source.strip():
        raise BadValue(what=what.rstrip(), asked="an empty name", expected=FORMS)
    if _is_factory(source, folder):
        return factory(source, folder, what=what, forms=FORMS)
    if path.is_dir():
        return _of_folder(path, what)
    if not path.exists():
        raise NotFound(path=source, expected=f"data: {FORMS}")
    suffix = path.suffix.lower()
    if suffix == ".npz":
        return lambda signature: stacked_npz(path, signature)
    if suffix == ".parquet":
        return _of_parquet([path])
    advice = {
        ".npy": "a folder that holds it, under the input's name",
        ".py": f"a factory in it: {source}:NAME",
    }
    raise BadValue(
        what=what,
        asked=f"a {path.suffix or 'nameless'} file",
        expected=advice.get(suffix, FORMS),
    )


def _is_factory(source: str, folder: Path) -> bool:
    return ":" in source and not (folder / source).exists()


def _of_folder(path: Path, what: str) -> Reader:
    kinds = [kind for kind in (".npy", ".npz", ".parquet") if any(path.glob(f"*{kind}"))]
    if len(kinds) != 1:
        raise BadValue(
            what=what,
            asked=f"a folder with {' and '.join(kinds) or 'none of these'} files",
            expected="a folder of .npy (one an input), of .npz (one a case), or of .parquet",
        )
    if kinds == [".npy"]:
        return lambda signature: stacked_npy(path, signature)
    if kinds == [".npz"]:
        return lambda signature: npz_each(path, signature)
    return _of_parquet(sorted(path.glob("*.parquet")))


def _of_parquet(paths: list[Path]) -> Reader:
    try:
        from edgekit.data.columns import parquet_rows
    except ImportError as error:
        raise MissingExtra(module="pyarrow", extra="data", what="Reading Parquet") from error
    return lambda signature: parquet_rows(paths, signature)


def _checked(
    reader: Reader, signature: Signature, what: str, *, needs_labels: bool
) -> Iterator[Case]:
    """Yield the cases, each brought into the model's form; an error names the case and its source.

    Raises:
        InputError: one doesn't fit.
    """
    found = reader(signature)
    has_labels: bool | None = None
    for index in itertools.count():
        try:
            given = next(found, None)
            if given is None:
                return
            cases = list(fitting(given, signature))
            has_labels = _labels(cases, has_labels, needed=needs_labels)
        except InputError as error:
            problem = f"{what} don't fit the model at case {index}: {error}"
            raise InputError(problem=problem) from error
        yield from cases


def _labels(cases: Sequence[Case], before: bool | None, *, needed: bool) -> bool | None:
    """Tell whether these cases have labels, as those before them must have or lack them too."""
    for case in cases:
        has = case.label is not None
        if needed and not has:
            raise InputError(
                problem="It has no label, and the model is judged by right classes (top1). Give "
                "each case one under the name 'label'."
            )
        if before not in (None, has):
            raise InputError(
                problem=f"It has {'a' if has else 'no'} label, and those before it "
                f"{'have none' if has else 'have one'}; label all cases, or none."
            )
        before = has
    return before


def _with_label(case: Case) -> tuple[str, int | None]:
    return content_sha256(case.feed), case.label


def _of_all(hashes: list[str]) -> str:
    # As `edgekit.package.cases.content_sha256_of_all`, without the cases at hand.
    return hashlib.sha256("\n".join(sorted(hashes)).encode()).hexdigest()
