"""What goes to a worker that exports, and what comes back: plain values, no torch."""

from __future__ import annotations

import msgspec

from edgekit.package.values import Asset, CaseFile, GraphFacts, OutputCloseness, Verification
from edgekit.tensors import Signature
from edgekit.terms import ExportStrategy, Metric, Task

PIXELS_SUFFIX = "-uint8"
"""What is behind the name of a graph, a variant and their files where pixels go in."""


class TargetRequest(msgspec.Struct, frozen=True):
    """Which original to make: a TARGET, its factory's parameters as text, and the random seed.

    `folder` is where relative paths in `target` and `weights` start. `pretrained` asks a model
    library (timm, transformers) for its published weights; `weights` names a .safetensors file
    whose tensors replace the module's. `task` is for `hf:` alone; None takes the checkpoint's own.
    """

    target: str
    folder: str
    parameters: dict[str, str] = {}
    seed: int = 0
    task: Task | None = None
    pretrained: bool = False
    weights: str | None = None
    with_preprocessing: bool = False
    """Put the steps from pixels to the image input in front of the module."""


class ModuleRequest(msgspec.Struct, frozen=True):
    """A live module handed over by pickle, with its example inputs."""

    pickled: bytes
    label: str
    seed: int = 0


class ExportOptions(msgspec.Struct, frozen=True):
    """How to export, in the one way that `strategy` names.

    `unrolled` accepts a recurrent module as its steps, one after another; `with_preprocessing`
    puts the steps from pixels to the image input in front. `dynamic` replaces what the factory
    says, `tolerance` the rule, `eval_data` and `calib_data` the cases that come with the module:
    they are sources as `edgekit.data.open_data` takes them, relative to `data_folder`.
    """

    strategy: ExportStrategy = "dynamo"
    unrolled: bool = False
    with_preprocessing: bool = False
    dynamic: dict[str, list[str | int | None]] | None = None
    opset: int = 20
    tolerance: float | None = None
    external_data: bool = False
    eval_data: str | None = None
    calib_data: str | None = None
    data_folder: str = "."


class Attempt(msgspec.Struct, frozen=True):
    """What a successful attempt left in its folder, and what was found out on the way.

    `suffix` tells its graph, variant and files from those of the model as it came: "" or "-uint8".
    """

    name: str
    signature: Signature
    strategy: ExportStrategy
    precision: str
    suffix: str
    facts: GraphFacts
    closeness: tuple[OutputCloseness, ...]
    verification: Verification
    weights_sha256: str
    metric: Metric
    model: str
    files: tuple[str, ...] = ()
    reference: CaseFile | None = None
    evaluation: CaseFile | None = None
    calibration: CaseFile | None = None
    assets: tuple[Asset, ...] = ()
    parameters: dict[str, str] = {}
    versions: dict[str, str] = {}
    notes: tuple[str, ...] = ()
