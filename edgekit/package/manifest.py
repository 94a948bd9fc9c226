"""`manifest.json`: ONNX Runtime's model package schema with edgekit's values inside it.

ONNX Runtime refuses unknown keys everywhere but in `additional_metadata`, so all that is ours lies
in `additional_metadata.edgekit`, with a schema version of its own. Its part and ours are written
together and compared when they are read: two readers must never run two different models.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any

import msgspec

from edgekit.errors import CorruptPackage
from edgekit.package.values import (
    RESERVED_NAMES,
    SCHEMA_VERSION,
    CaseFile,
    Graph,
    Package,
    Variant,
)
from edgekit.tensors import Dim

NAME = "manifest.json"
MAX_BYTES = 16 << 20
MAX_DEPTH = 32
_FILE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,199}")
_PLAIN_NAMES = (
    "has at most 200 letters, digits, dots, hyphens and underscores, does not begin with a dot or "
    f"a hyphen, and is not {NAME}"
)
_SHA256 = re.compile(r"[0-9a-f]{64}")
# A string without its end counts too: nothing is read twice, however the quotes lie.
_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
_ROUND = bytes.maketrans(b"{}", b"[]")
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))


def encode(package: Package) -> bytes:
    """Write a package's manifest: the same values always give the same bytes.

    The order of variants is kept: of several for one provider ONNX Runtime takes the first.
    """
    values = msgspec.to_builtins(package, order="deterministic")
    ours = {"schema_version": SCHEMA_VERSION, **values}
    whole = {**_ort_part(package), "additional_metadata": {"edgekit": ours}}
    return msgspec.json.format(msgspec.json.encode(whole), indent=2) + b"\n"


def decode(raw: bytes, *, path: str) -> Package:
    """Read a manifest that may come from anywhere, and check that it agrees with itself.

    Raises:
        CorruptPackage: too large, too deep, a key twice, a wrong type, a newer schema, a file name
            that leads elsewhere, or a reference to something that isn't there.
    """

    def refuse(problem: str) -> CorruptPackage:
        return CorruptPackage(path=path, problem=problem)

    if len(raw) > MAX_BYTES:
        raise refuse(f"its manifest has more than {MAX_BYTES >> 20} MiB")
    if _too_deep(raw):
        raise refuse(f"its manifest is nested more than {MAX_DEPTH} deep")
    try:
        whole = json.loads(
            raw.decode("utf-8"),
            object_pairs_hook=_without_duplicates,
            parse_float=_finite,
            parse_constant=_finite,
        )
    except ValueError as error:
        raise refuse(f"its manifest is not valid JSON ({error})") from error
    try:
        ours = whole.pop("additional_metadata")["edgekit"]
        version = ours.pop("schema_version")
    except (KeyError, TypeError, AttributeError):
        raise refuse("its manifest was not written by edgekit") from None
    if type(version) is not int or not 1 <= version <= SCHEMA_VERSION:
        raise refuse(
            f"it has schema version {version!r} and this edgekit reads up to {SCHEMA_VERSION}; "
            "upgrade edgekit"
        )
    try:
        package = msgspec.convert(ours, Package)
    except msgspec.ValidationError as error:
        raise refuse(f"its manifest does not fit the schema: {error}") from error
    problem = _inconsistency(package) or _difference(package, whole)
    if problem:
        raise refuse(problem)
    return package


def referenced_files(package: Package) -> list[str]:
    """List every file that the package's values name, in the order they name it."""
    names = [name for v in package.variants for name in (v.model, *v.files)]
    names += [cases.file for graph in package.graphs for cases in case_files_of(graph)]
    names += [asset.file for asset in package.assets]
    return names


def case_files_of(graph: Graph) -> list[CaseFile]:
    """List the files of cases that a graph has: reference, evaluation, calibration."""
    files = (graph.reference, graph.evaluation, graph.calibration)
    return [cases for cases in files if cases is not None]


def _ort_part(package: Package) -> dict[str, Any]:
    components: dict[str, dict[str, Any]] = {
        graph.name: {"component_name": graph.name, "variants": {}} for graph in package.graphs
    }
    for variant in package.variants:
        components[variant.graph]["variants"][variant.name] = _ort_variant(variant)
    return {
        "schema_version": "1.0",
        "package_name": package.name,
        "package_version": "1",
        "components": components,
    }


def _ort_variant(variant: Variant) -> dict[str, Any]:
    return {
        "ep": variant.target.ep,
        "variant_directory": ".",
        "executor_info": {"ort": {"model_file": variant.model, "session_options": {}}},
    }


def _inconsistency(package: Package) -> str:
    """Say what in a package's values contradicts the rest, or could lead out of its folder."""
    for name, record in package.files.items():
        if not plain_name(name):
            return f"it lists a file under the name {name!r}; such a name {_PLAIN_NAMES}"
        if record.size < 0 or not _SHA256.fullmatch(record.sha256):
            return f"its record of {name} is not a size and a SHA-256"
    served = {variant.graph for variant in package.variants}
    graphs: set[str] = set()
    for graph in package.graphs:
        if graph.name in graphs:
            return f"the graph {graph.name!r} is there twice"
        if graph.name not in served:
            return f"the graph {graph.name!r} has no variant"
        graphs.add(graph.name)
        for spec in (*graph.signature.inputs, *graph.signature.outputs):
            if not all(_possible(size) for size in spec.shape):
                return f"no tensor can have the shape that it gives for {spec.name!r}"
        for spec in graph.signature.inputs:
            if spec.random:
                return f"it says of the input {spec.name!r} that it is random; only outputs can be"
    if not graphs:
        return "it has no graph"
    seen: set[str] = set()
    begun: set[str] = set()
    # A package that was made for one kind of processor may have nothing for others.
    portable = {variant.graph for variant in package.variants if variant.target.isa is None}
    for variant in package.variants:
        if variant.graph not in graphs:
            return f"variant {variant.name!r} belongs to a graph {variant.graph!r} that isn't there"
        if variant.name in RESERVED_NAMES:
            return f"a variant is called {variant.name!r}, which is a reserved word"
        if variant.name in seen:
            return f"variant {variant.name!r} is there twice"
        if variant.target.isa is not None and variant.graph in portable - begun:
            return (
                f"the first variant of {variant.graph!r}, {variant.name!r}, is bound to a kind of "
                "processor"
            )
        seen.add(variant.name)
        begun.add(variant.graph)
    if package.variants[0].graph != package.graphs[0].name:
        return "its first variant is not one of its first graph"
    assets: set[str] = set()
    for asset in package.assets:
        if not plain_name(asset.name):
            return f"it has an asset called {asset.name!r}; such a name {_PLAIN_NAMES}"
        if asset.name in assets:
            return f"the asset {asset.name!r} is there twice"
        assets.add(asset.name)
    for name in referenced_files(package):
        if name not in package.files:
            return f"the file {name!r} is used and not listed"
    return ""


def _difference(package: Package, whole: dict[str, Any]) -> str:
    """Say where ONNX Runtime's part of a manifest isn't the one that our values give."""
    expected = _ort_part(package)
    for key in sorted(expected.keys() | whole.keys()):
        # As text: the order of variants counts, and 1 is neither 1.0 nor true.
        if json.dumps(whole.get(key)) != json.dumps(expected.get(key)):
            return f"ONNX Runtime would find another package in it: see {key!r} in its manifest"
    return ""


def plain_name(name: str) -> bool:
    """Tell whether a name is safe as that of a file, wherever it is written."""
    return _FILE_NAME.fullmatch(name) is not None and name != NAME


def _possible(size: int | Dim) -> bool:
    if isinstance(size, Dim):
        return size.low >= 0 and (size.high is None or size.low <= size.high)
    return size >= 0


def _too_deep(raw: bytes) -> bool:
    """Tell, in linear time, whether brackets are nested more than MAX_DEPTH deep."""
    brackets = _STRING.sub(b"", raw).translate(_ROUND, _NO_BRACKETS)
    for _ in range(MAX_DEPTH):
        brackets = brackets.replace(b"[]", b"")
    # What is left without a pair is unbalanced: not JSON, and deep only by what it opens.
    return b"[]" in brackets or brackets.count(b"[") > MAX_DEPTH


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"the key {key!r} is there twice")
        found[key] = value
    return found


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is not a number that JSON has")
    return number
