"""The values that a model package stores: frozen, plain, one definition each.

The JSON in `manifest.json` is these structs, each optional field absent where it has its default.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from edgekit.tensors import Signature
from edgekit.terms import CalibrationMethod, GraphLevel, Idle, Metric, Scheme, Split, Strategy

SCHEMA_VERSION = 1
"""Version of `additional_metadata.edgekit`. Readers refuse a newer one and say so."""

PORTABLE = "portable"
"""The name that asks for the first variant, which is right on every processor."""

TUNED = "tuned"
"""The name that asks for what tuning chose on this kind of machine."""

RESERVED_NAMES = frozenset({PORTABLE, TUNED})
"""Words that ask for a variant without naming one; no variant is called so."""


class Value(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """A stored value: unknown fields are refused: a misspelt one is no default."""


class SessionChoice(Value, frozen=True):
    """Everything about how a session runs; the only place where options live.

    A provider's file translates it into what ONNX Runtime takes. `threads` None means as many as
    this process may use.
    """

    provider: str = "cpu"
    threads: int | None = None
    idle: Idle = "brief"
    graph_level: GraphLevel = "all"
    session_options: dict[str, str] = {}
    provider_options: dict[str, str] = {}


class Target(Value, frozen=True):
    """What a variant is made for. None means any: `isa` None is portable within its architecture.

    `ep` is ONNX Runtime's own name of the provider, under which its package format lists it.
    """

    provider: str = "cpu"
    ep: str = "CPUExecutionProvider"
    arch: str | None = None
    isa: tuple[str, ...] | None = None


class Tolerance(Value, frozen=True):
    """How far an answer may lie from the recorded one, an element at a time.

    `absolute` is in the output's own unit; `relative` is a share of the recorded element.
    """

    absolute: float
    relative: float


class OutputCloseness(Value, frozen=True):
    """How close an output came to the original over all verified sizes and draws.

    `tolerance` is what a reference check on another device allows for this output.
    """

    output: str
    max_abs_error: float
    max_rel_error: float
    cosine: float
    sqnr_db: float | None
    tolerance: Tolerance


class GraphFacts(Value, frozen=True):
    """What is in an .onnx file, kept here so that a device can tell without `onnx` installed."""

    opset: int
    nodes: int
    parameters: int
    operators: dict[str, int]


class QuantRules(Value, frozen=True):
    """What integers must look like where a variant runs; each provider's file says its own.

    `activation` is the type of activations, their zero point 0 where `symmetric`; weights are
    always int8 with zero point 0. `weight_bits` is 7 where products are added up in 16 bits, so
    that none can leave them: 2 · 255 · 64 = 32640. `operators` are those that gain by it there;
    a convolution of an image that is pooled stays float below `stem_products` products a value, and
    one of single channels that stands between floats from `float_depthwise` products on (0: none).
    """

    activation: Literal["uint8", "int8"] = "uint8"
    symmetric: bool = False
    weight_bits: Literal[7, 8] = 8
    per_channel: bool = True
    operators: tuple[str, ...] = ()
    stem_products: int = 0
    float_depthwise: int = 0


class Calibration(Value, frozen=True):
    """What activations were measured on: `rows` has the first 16 hex digits of each row's hash, so
    that nothing need be measured on what it was calibrated with."""

    dataset: str
    cases: int
    method: CalibrationMethod = "minmax"
    rows: tuple[str, ...] = ()
    synthetic: bool = False


class Recipe(Value, frozen=True):
    """How a variant was made from its parent.

    `keep_float` names the nodes that were left in float32, those without a name by their operator
    and first output ("Add:sum"). `smooth` is the exponent with which outliers of activations were
    moved into the weights (SmoothQuant), the middle one where they differ; `bias_corrected` says
    that the mean shift of each node was taken back in its bias; `block_size` is how many weights of
    a row share a scale.
    """

    scheme: Scheme
    keep_float: tuple[str, ...] = ()
    rules: QuantRules | None = None
    calibration: Calibration | None = None
    smooth: float | None = None
    bias_corrected: bool = False
    block_size: int | None = None


class Kept(Value, frozen=True):
    """The accuracy that a variant kept, and the processor that it was measured on.

    Shares lie in 0..1. `drop` is how many more of the right answers the original had, `agreement`
    how many classes are the original's, `cosine` the mean over the cases; each with the bound that
    holds with 95 % on the harmful side. `content_sha256` is that of the cases. `stand_in` says that
    the answers are those of a model that computes here as the variant does on its target.
    """

    accuracy_key: str
    arch: str
    isa: tuple[str, ...]
    dataset: str
    cases: int
    content_sha256: str
    provider: str = "cpu"
    synthetic: bool = False
    stand_in: bool = False
    accuracy: float | None = None
    drop: float | None = None
    drop_high: float | None = None
    agreement: float | None = None
    agreement_low: float | None = None
    cosine: float | None = None
    cosine_low: float | None = None


class Variant(Value, frozen=True):
    """One .onnx file of a package. `files` names external data beside `model`.

    `closeness` holds one entry an output, of the verification that let the variant in; a random
    output has none. `parent` and `recipe` say what it was made from and how; what came from the
    original itself has neither. `passes` are the rewrites that made it, in their order, and `sizes`
    those of the dynamic dimensions that it is fixed to, by name. `kept` is what it kept of the
    original's accuracy.
    """

    name: str
    graph: str
    model: str
    precision: str
    facts: GraphFacts
    closeness: tuple[OutputCloseness, ...] = ()
    files: tuple[str, ...] = ()
    parent: str | None = None
    target: Target = Target()
    recipe: Recipe | None = None
    passes: tuple[str, ...] = ()
    sizes: dict[str, int] = {}
    kept: Kept | None = None


class Verification(Value, frozen=True):
    """What the export was held to: every size combination, and the bound's rule in words."""

    sizes: tuple[dict[str, int], ...]
    draws: int
    rule: str


class Provenance(Value, frozen=True):
    """Where the model came from. `source` is a label, never a path.

    `original` says what accuracy and closeness are measured against: the PyTorch module, or, for
    an .onnx from elsewhere, that float file itself. `weights_sha256` is over the module's state.
    `task` is what a transformers checkpoint was exported for; `pretrained` says that the weights
    are those that the model library publishes.
    """

    source: str
    original: Literal["pytorch", "onnx"]
    strategy: Strategy
    weights_sha256: str
    seed: int = 0
    parameters: dict[str, str] = {}
    versions: dict[str, str] = {}
    verification: Verification | None = None
    notes: tuple[str, ...] = ()
    task: str | None = None
    pretrained: bool = False


class FileRecord(Value, frozen=True):
    """What a file must be: its SHA-256 and its size in bytes."""

    sha256: str
    size: int


class CaseFile(Value, frozen=True):
    """A file of cases; `name` says what they are, several of them: "digits".

    `content_sha256` is over the feeds alone, to prove two sets disjoint.
    """

    file: str
    name: str
    split: Split
    cases: int
    content_sha256: str
    synthetic: bool = False


class Graph(Value, frozen=True):
    """One function of the model (encoder and decoder are two); usually there is one.

    Each has cases of its own: what goes into one graph does not go into another.
    """

    name: str
    signature: Signature
    reference: CaseFile | None = None
    evaluation: CaseFile | None = None
    calibration: CaseFile | None = None


class Asset(Value, frozen=True):
    """A file that belongs to the model and isn't a graph: labels, pre-processing, a tokenizer.

    `name` is a plain file name, the one that the file has outside of the package where it has one
    (tokenizer_config.json); `file` may be another. No two assets share a name.
    """

    name: str
    kind: Literal["labels", "preprocessing", "tokenizer"]
    file: str


class Package(Value, frozen=True):
    """A whole model package. Immutable: an edit returns a new one.

    No two variants share a name, also where they belong to different graphs. `files` holds every
    listed file but the manifest itself.
    """

    name: str
    graphs: tuple[Graph, ...]
    variants: tuple[Variant, ...]
    provenance: Provenance
    files: dict[str, FileRecord]
    metric: Metric = "closeness"
    assets: tuple[Asset, ...] = ()


class Choice(Value, frozen=True):
    """Which variant runs how, and why; `speed_key` where it was measured on a kind of machine."""

    variant: str
    session: SessionChoice
    reason: str
    speed_key: str | None = None
