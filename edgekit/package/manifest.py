"""`manifest.json`: ONNX Runtime's model package schema with edgekit's values inside it.

ONNX Runtime refuses unknown keys everywhere but in `additional_metadata`, so all that is ours lies
in `additional_metadata.edgekit`, with a schema version of its own. Its part and ours are written
together and compared when they are read: two readers must never run two different models.
"""

from __future__ import annotations

import json
import re
from typing import Any

import msgspec

from edgekit.errors import CorruptPackage
from edgekit.package.values import SCHEMA_VERSION, Package, Variant

NAME = "manifest.json"
MAX_BYTES = 16 << 20
MAX_DEPTH = 32
_ORT_SCHEMA = "1.0"
_PACKAGE_VERSION = "1"
_FILE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,199}")
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"')


def encode(package: Package) -> bytes:
    """Write a package's manifest: the same values always give the same bytes."""
    components = {
        graph.name: {
            "component_name": graph.name,
            "variants": {
                variant.name: _ort_variant(variant)
                for variant in package.variants
                if variant.graph == graph.name
            },
        }
        for graph in package.graphs
    }
    ours = {"schema_version": SCHEMA_VERSION, **msgspec.to_builtins(package)}
    whole = {
        "schema_version": _ORT_SCHEMA,
        "package_name": package.name,
        "package_version": _PACKAGE_VERSION,
        "components": components,
        "additional_metadata": {"edgekit": ours},
    }
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
    if _depth(raw) > MAX_DEPTH:
        raise refuse(f"its manifest is nested more than {MAX_DEPTH} deep")
    try:
        whole = json.loads(raw, object_pairs_hook=_without_duplicates, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise refuse(f"its manifest is not valid JSON ({error})") from error
    try:
        ours = whole["additional_metadata"]["edgekit"]
        version = ours.pop("schema_version")
        components = whole["components"]
    except (KeyError, TypeError, AttributeError):
        raise refuse("its manifest was not written by edgekit") from None
    if not isinstance(version, int) or version > SCHEMA_VERSION:
        raise refuse(
            f"it has schema version {version} and this edgekit reads up to {SCHEMA_VERSION}; "
            "upgrade edgekit"
        )
    try:
        package = msgspec.convert(ours, Package)
    except msgspec.ValidationError as error:
        raise refuse(f"its manifest does not fit the schema: {error}") from error
    problem = _inconsistency(package, components)
    if problem:
        raise refuse(problem)
    return package


def _ort_variant(variant: Variant) -> dict[str, Any]:
    return {
        "ep": variant.target.ep,
        "variant_directory": ".",
        "executor_info": {"ort": {"model_file": variant.model, "session_options": {}}},
    }


def _inconsistency(package: Package, components: Any) -> str:
    for name, record in package.files.items():
        if not _FILE_NAME.fullmatch(name) or name == NAME:
            return f"it lists a file under the name {name!r}, which is not allowed"
        if record.size < 0 or not re.fullmatch(r"[0-9a-f]{64}", record.sha256):
            return f"its record of {name} is not a size and a SHA-256"
    if not package.variants or not package.graphs:
        return "it has no variant"
    graphs = {graph.name for graph in package.graphs}
    seen: set[tuple[str, str]] = set()
    for variant in package.variants:
        if variant.graph not in graphs:
            return f"variant {variant.name} belongs to a graph {variant.graph} that is not there"
        if (variant.graph, variant.name) in seen:
            return f"variant {variant.name} is there twice"
        seen.add((variant.graph, variant.name))
        try:
            ort = components[variant.graph]["variants"][variant.name]
            model_file = ort["executor_info"]["ort"]["model_file"]
        except (KeyError, TypeError):
            return f"ONNX Runtime's part of its manifest lacks variant {variant.name}"
        if model_file != variant.model or ort.get("variant_directory") != ".":
            return f"ONNX Runtime's part of its manifest names another file for {variant.name}"
    for name in referenced_files(package):
        if name not in package.files:
            return f"{name} is used and not listed"
    return ""


def referenced_files(package: Package) -> list[str]:
    """List every file that the package's values name, in the order they name it."""
    names = [name for v in package.variants for name in (v.model, *v.files)]
    case_files = (package.reference, package.evaluation, package.calibration)
    names += [cases.file for cases in case_files if cases is not None]
    names += [asset.file for asset in package.assets]
    return names


def _depth(raw: bytes) -> int:
    deepest = depth = 0
    for byte in _STRING.sub(b"", raw):
        if byte in b"[{":
            depth += 1
            deepest = max(deepest, depth)
        elif byte in b"]}":
            depth -= 1
    return deepest


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"the key {twice!r} is there twice")
    return found


def _no_constant(text: str) -> Any:
    raise ValueError(f"{text} is not JSON")
