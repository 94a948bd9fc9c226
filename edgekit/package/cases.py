"""Cases on disk: safetensors files of what goes in, what the original answered, and the labels.

A tensor is named `<case>.<part>.<name>`, with `part` one of `input`, `output` and `label`. Types
that numpy lacks (bfloat16) are stored as raw bytes, with their type in the file's header.
"""

from __future__ import annotations

import hashlib
import json
import operator
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from edgekit.errors import BadValue, CorruptPackage
from edgekit.package.reading import open_verified
from edgekit.package.values import CaseFile, Package
from edgekit.tensors import Array, Case, Dataset, Feed, numpy_dtype, plain

_RAW = frozenset({"bfloat16"})


def encode(cases: Iterable[Case]) -> bytes:
    """Write cases as one safetensors file; the same cases always give the same bytes."""
    import numpy as np
    from safetensors.numpy import save

    tensors: dict[str, Array] = {}
    raw: dict[str, list[Any]] = {}

    def put(key: str, array: Any) -> None:
        array = plain(np.asarray(array))
        if array.dtype.name in _RAW:
            raw[key] = [array.dtype.name, list(array.shape)]
            array = np.frombuffer(array.tobytes(), np.uint8)
        tensors[key] = array

    for index, case in enumerate(cases):
        for name, array in case.feed.items():
            put(f"{index:06d}.input.{name}", array)
        for name, array in (case.outputs or {}).items():
            put(f"{index:06d}.output.{name}", array)
        if case.label is not None:
            put(f"{index:06d}.label.", np.int64(case.label))
    # One metadata key alone: the writer keeps several in no fixed order.
    return save(tensors, {"raw": json.dumps(raw, sort_keys=True)})


def decode(content: bytes, *, path: str) -> list[Case]:
    """Read what `encode` wrote, in order.

    Raises:
        CorruptPackage: it isn't such a file.
        MissingExtra: it holds values of a type that nothing installed here can hold.
    """
    import numpy as np
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        tensors = load(content)
        head = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
        raw = json.loads(head["__metadata__"]["raw"])
        parts: dict[str, dict[str, dict[str, Array]]] = {}
        for key in sorted(tensors):
            array = tensors[key]
            if key in raw:
                dtype, shape = raw[key]
                array = np.frombuffer(array.tobytes(), numpy_dtype(dtype)).reshape(shape)
            index, part, name = key.split(".", 2)
            parts.setdefault(index, {"input": {}, "output": {}, "label": {}})[part][name] = array
        return [
            Case(
                feed=case["input"],
                outputs=case["output"] or None,
                label=operator.index(case["label"][""]) if case["label"] else None,
            )
            for _, case in sorted(parts.items())
        ]
    except (SafetensorError, BadValue, ValueError, LookupError, TypeError, RecursionError) as error:
        raise CorruptPackage(path=path, problem=f"its cases cannot be read ({error})") from error


def content_sha256(feed: Feed) -> str:
    """Hash what goes in: names, types, shapes and values."""
    digest = hashlib.sha256()
    for name, array in sorted(feed.items()):
        digest.update(f"{name}|{array.dtype.name}|{array.shape}|".encode())
        digest.update(plain(array).tobytes())
    return digest.hexdigest()


def content_sha256_of_all(cases: Iterable[Case]) -> str:
    """Hash a set of cases by what goes in, whatever their order."""
    hashes = sorted(content_sha256(case.feed) for case in cases)
    return hashlib.sha256("\n".join(hashes).encode()).hexdigest()


def open_cases(folder: Path, package: Package, cases: CaseFile) -> Dataset:
    """Return a package's cases as a dataset that reads and verifies its file at every pass."""

    def read() -> Iterator[Case]:
        verified = open_verified(folder, cases.file, package.files[cases.file], whole=True)
        assert verified.content is not None
        found = decode(verified.content, path=str(folder))
        if len(found) != cases.cases:
            raise CorruptPackage(
                path=str(folder),
                problem=f"{cases.file} has {len(found)} cases and should have {cases.cases}",
            )
        return iter(found)

    return Dataset(
        name=cases.name,
        split=cases.split,
        sha256=cases.content_sha256,
        cases=cases.cases,
        open=read,
        synthetic=cases.synthetic,
    )
