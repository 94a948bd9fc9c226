"""What an execution provider's file says about it.

These values hold functions, so they are never stored; what is stored is the `SessionChoice` that
`translate` takes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from edgekit.package.values import SessionChoice


class Diagnosis(msgspec.Struct, frozen=True):
    """Whether a provider can be used here, and if not: why, what there is, what to do.

    `cause` is half a sentence without a full stop. `cause`, `needed` and `mend` are empty where
    the provider is usable; `found` says what was looked at either way.
    """

    usable: bool
    cause: str
    found: str
    needed: str
    mend: str


class OrtSettings(msgspec.Struct, frozen=True):
    """A session choice in ONNX Runtime's own words.

    `provider` is one entry of `InferenceSession(providers=[...])`. Where `plugin` names a
    distribution the provider is a plug-in: the session gets it by
    `SessionOptions.add_provider_for_devices(edgekit.providers.plugin.devices(...), options)`
    and no list of providers. `graph_optimization_level` is a member's name of ONNX Runtime's
    `GraphOptimizationLevel`. Nodes run one after the other (ORT_SEQUENTIAL, ORT's default).
    """

    provider: tuple[str, dict[str, str]]
    intra_op_num_threads: int
    inter_op_num_threads: int
    graph_optimization_level: str
    config_entries: dict[str, str]
    plugin: str | None = None


@dataclass(frozen=True, kw_only=True)
class ProviderInfo:
    """An execution provider: its names, what brings it, and what is asked of it.

    `name` is ours and the file's, `ort_name` ONNX Runtime's. `extra` is the extra of edgekit-onnx
    that installs it, `packages` the distributions that must be there for it. `precisions` are
    those that it computes in, not those that it merely accepts and casts.
    """

    name: str
    ort_name: str
    extra: str
    summary: str
    packages: tuple[str, ...]
    precisions: tuple[str, ...]
    diagnose: Callable[[], Diagnosis]
    translate: Callable[[SessionChoice], OrtSettings]
