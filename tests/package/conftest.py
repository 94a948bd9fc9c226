"""Packages whose files hold anything: what the writer and the reader of packages need."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import pytest

from edgekit.package import commit
from edgekit.package import values as v
from edgekit.tensors import Dim, Signature, TensorSpec

SIGNATURE = Signature(
    (TensorSpec("x", "float32", (Dim("batch", 1, 8), 4)),),
    (TensorSpec("y", "float32", (Dim("batch", 1, 8), 3)),),
)


class MakePackage(Protocol):
    """Make a package's values with one variant a name, file NAME.onnx, in the given order."""

    def __call__(self, *variants: str, name: str = "tiny") -> v.Package: ...


@pytest.fixture
def make_package() -> MakePackage:
    def make(*variants: str, name: str = "tiny") -> v.Package:
        facts = v.GraphFacts(20, 1, 12, {"MatMul": 1})
        return v.Package(
            name=name,
            graphs=(v.Graph("model", SIGNATURE),),
            variants=tuple(
                v.Variant(variant, "model", f"{variant}.onnx", variant, facts)
                for variant in variants
            ),
            provenance=v.Provenance("tiny.py:make", "pytorch", "dynamo", "0" * 64),
            files={},
        )

    return make


class Written(Protocol):
    """Write a package whose variants' files hold the given bytes."""

    def __call__(self, folder: Path, *, overwrite: bool = False, **files: bytes) -> v.Package: ...


@pytest.fixture
def written(make_package: MakePackage) -> Written:
    def write(folder: Path, *, overwrite: bool = False, **files: bytes) -> v.Package:
        with commit.new_package(folder, overwrite=overwrite) as partial:
            contents = {f"{name}.onnx": content for name, content in files.items()}
            return commit.commit(partial, make_package(*files), contents)

    return write
