"""What `--json` prints, a struct a command, and its JSON Schema."""

from __future__ import annotations

import inspect
from typing import Any

import msgspec

from edgekit.doctor import Report
from edgekit.measure.compare import Compared
from edgekit.measure.inspection import Inspection
from edgekit.measure.placements import Placements
from edgekit.measure.results import BenchReport
from edgekit.measure.slowness.values import Explained
from edgekit.optimize.results import Optimized
from edgekit.package.slimmed import Slimmed
from edgekit.package.values import Package
from edgekit.quantize.making import Quantized
from edgekit.quantize.searching.ranking import Sensitivity
from edgekit.report.cache import CacheClearDocument, CacheListDocument, CacheWarmDocument
from edgekit.report.evidence import Known
from edgekit.runtime.checks import CheckReport
from edgekit.terms import Pass
from edgekit.tune.outline import Outline
from edgekit.tune.results import Tuned

SCHEMA_VERSION = 1
"""Version of the documents below; raised when a field changes its meaning or goes."""


class ExportDocument(msgspec.Struct, frozen=True):
    """`edgekit export --json`: where the package is, and all that its manifest says of it."""

    path: str
    package: Package
    schema_version: int = SCHEMA_VERSION


class CheckDocument(msgspec.Struct, frozen=True):
    """`edgekit check --json`: the verdict, and what it rests on, for each variant; `note` says why
    on this provider, where edgekit chose it."""

    passed: bool
    checks: list[CheckReport]
    note: str = ""
    schema_version: int = SCHEMA_VERSION


class CompareDocument(msgspec.Struct, frozen=True):
    """`edgekit compare --json`: what was measured of both, and the verdicts."""

    compared: Compared
    schema_version: int = SCHEMA_VERSION


class ExplainDocument(msgspec.Struct, frozen=True):
    """`edgekit explain --json`: the package's path, and what was found of each variant."""

    path: str
    explained: Explained
    schema_version: int = SCHEMA_VERSION


class InspectDocument(msgspec.Struct, frozen=True):
    """`edgekit inspect --json`; `placements` where a provider was asked for."""

    inspection: Inspection
    placements: Placements | None = None
    schema_version: int = SCHEMA_VERSION


class ModelParameter(msgspec.Struct, frozen=True):
    """What `-p NAME=VALUE` may set of a reference model; `default` as it would be typed."""

    name: str
    kind: str
    default: str | None = None
    choices: tuple[str, ...] = ()


class ReferenceModel(msgspec.Struct, frozen=True):
    """A reference model: a TARGET of `edgekit export`."""

    name: str
    summary: str
    parameters: tuple[ModelParameter, ...] = ()


class ModelsDocument(msgspec.Struct, frozen=True):
    """`edgekit models --json`."""

    models: tuple[ReferenceModel, ...]
    schema_version: int = SCHEMA_VERSION


class PassDocument(msgspec.Struct, frozen=True):
    """What a pass does; `bound` where what it makes is right on processors like this one alone."""

    name: Pass
    summary: str
    bound: bool


class OptimizeDocument(msgspec.Struct, frozen=True):
    """`edgekit optimize --json`: the package's path and what became of every pass; with `--list`
    the passes that there are."""

    path: str | None = None
    optimized: Optimized | None = None
    passes: tuple[PassDocument, ...] = ()
    schema_version: int = SCHEMA_VERSION


class QuantizeDocument(msgspec.Struct, frozen=True):
    """`edgekit quantize --json`: the package's path, and all that was made and measured."""

    path: str
    quantized: Quantized
    schema_version: int = SCHEMA_VERSION


class ReportDocument(msgspec.Struct, frozen=True):
    """`edgekit report --json`: the package's path, and all that was measured on one machine."""

    path: str
    known: Known
    schema_version: int = SCHEMA_VERSION


class SensitivityDocument(msgspec.Struct, frozen=True):
    """`edgekit sensitivity --json`: the package's path, and every node or group, ranked."""

    path: str
    sensitivity: Sensitivity
    schema_version: int = SCHEMA_VERSION


class SlimDocument(msgspec.Struct, frozen=True):
    """`edgekit slim --json`: where the new package is, and what was kept."""

    path: str
    slimmed: Slimmed
    schema_version: int = SCHEMA_VERSION


class TuneDocument(msgspec.Struct, frozen=True):
    """`edgekit tune --json`: the package's path, and what was tried and chosen, or, of a dry run,
    what would be tried."""

    path: str
    tuned: Tuned | None = None
    outline: Outline | None = None
    schema_version: int = SCHEMA_VERSION


DOCUMENTS: dict[str, Any] = {
    "bench": BenchReport | list[BenchReport],  # a list where several batches were asked for
    "cache-clear": CacheClearDocument,
    "cache-list": CacheListDocument,
    "cache-warm": CacheWarmDocument,
    "check": CheckDocument,
    "compare": CompareDocument,
    "doctor": Report,
    "explain": ExplainDocument,
    "export": ExportDocument,
    "inspect": InspectDocument,
    "models": ModelsDocument,
    "optimize": OptimizeDocument,
    "quantize": QuantizeDocument,
    "report": ReportDocument,
    "sensitivity": SensitivityDocument,
    "tune": TuneDocument,
    "slim": SlimDocument,
}
"""What each command prints; a command of a group goes by both names."""


def schema(command: str) -> str:
    """Write the JSON Schema of what a command prints, as `docs/schemas` holds it."""
    made = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"edgekit {command.replace('-', ' ')} --json",
        **msgspec.json.schema(DOCUMENTS[command]),
    }
    return msgspec.json.format(msgspec.json.encode(_in_line(made)), indent=2).decode() + "\n"


def _in_line(value: Any) -> Any:
    """Take the indentation out of descriptions: msgspec 0.23 does so itself, older ones don't."""
    if isinstance(value, dict):
        return {
            key: inspect.cleandoc(found)
            if key == "description" and isinstance(found, str)
            else _in_line(found)
            for key, found in value.items()
        }
    return [_in_line(one) for one in value] if isinstance(value, list) else value
