"""The float32 variant that another is made from, found and verified."""

from __future__ import annotations

from pathlib import Path

from edgekit.errors import BadValue, CorruptPackage
from edgekit.graph.summary import external_files
from edgekit.package import reading
from edgekit.package.values import Package, Variant


def float_parent(path: Path, variant: str, *, what: str) -> tuple[Package, Variant]:
    """Read a package and the float variant that something is made from, all of its files hashed.

    Args:
        path: the package's folder.
        variant: the variant's name, or "portable" for the first one.
        what: what is made, for errors: "what int8-static is made from".

    Raises:
        UnknownName: there is no such variant.
        BadValue: it isn't float32, or `path` is an .onnx file.
        NotFound, CorruptPackage, HashMismatch: the package can't be read.
    """
    if path.suffix.lower() == ".onnx" and not path.is_dir():
        raise BadValue(
            what=what,
            asked=f"{path}, a plain .onnx file",
            expected=f"a model package; make one with: edgekit export {path}",
        )
    package = reading.read(path)
    parent = reading.variant_named(package, variant)
    if parent.precision != "fp32":
        raise BadValue(
            what=what,
            asked=f"{parent.name}, which is {parent.precision}",
            expected="a variant in float32",
        )
    for file in reading.files_of(parent):
        reading.open_verified(path, file, package.files[file])
    strangers = set(external_files(path / parent.model)) - set(parent.files)
    if strangers:
        raise CorruptPackage(
            path=str(path),
            problem=f"{parent.model} names external data that isn't listed: {min(strangers)!r}",
        )
    return package, parent
