"""The closed sets of words: one definition, from which command-line choices and tests are made.

Light on purpose: `--help` reads this file, so it imports nothing but typing.
"""

from __future__ import annotations

from typing import Literal, get_args

DType = Literal[
    "bool",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "int8",
    "int16",
    "int32",
    "int64",
    "float16",
    "bfloat16",
    "float32",
    "float64",
]
"""Element types that a model's inputs and outputs may have, by their numpy name."""

Metric = Literal["top1", "agreement", "closeness"]
"""How answers are judged: the share of right classes, the share of the original's classes where
nobody knows the right ones, or the distance to the original's numbers."""

Idle = Literal["spin", "brief", "sleep"]
"""What an idle thread pool does after a call: burn its cores for about 20 ms so that the next call
finds it awake, spin for 200 µs (fast inside a call, quiet between calls), or sleep at once."""

Memory = Literal["host", "device"]
"""Where arrays lie: in the memory of the processor, or in that of the device that computes."""

GraphLevel = Literal["disabled", "basic", "extended", "layout", "all"]
"""How far ONNX Runtime rewrites the graph while it loads it."""

Against = Literal["eager", "compiled"]
"""How the PyTorch original runs: as it is, or through `torch.compile`."""

ExportStrategy = Literal["dynamo", "decomposed", "strict", "deferred", "torchscript"]
"""The ways to export a module, in the order in which they are tried: torch's dynamo exporter as it
comes; with operators taken apart that it translates wrongly or not at all, and nothing optimized;
after a capture by TorchDynamo, which reads the module's Python bytecode; with conditions over sizes
noted, and tried during verification, instead of narrowing a range; and the TorchScript tracer."""

Strategy = Literal[ExportStrategy, "adopted"]
"""How an ONNX file came to be: a way to export, or adopted from elsewhere as it was."""

STRATEGIES: dict[Strategy, str] = {
    "dynamo": "torch's dynamo exporter",
    "decomposed": "torch's dynamo exporter, a few operators taken apart and nothing optimized",
    "strict": "torch's dynamo exporter, after a strict capture",
    "deferred": "torch's dynamo exporter, conditions over sizes noted and then tried",
    "torchscript": "torch's TorchScript exporter",
    "adopted": "packed as it was",
}
"""What each strategy is, in words."""

Scheme = Literal["fp16", "bf16", "int8-dynamic", "int8-static", "int8-weight", "int4-weight"]
"""The ways to make a variant of fewer bits, each a file of `edgekit.quantize`."""

Pass = Literal[
    "sizes",
    "constants",
    "batch-norm",
    "layer-norm",
    "attention",
    "merge-products",
    "norm-sums",
    "squeeze-excite",
    "ort",
    "ort-layout",
]
"""The rewrites that leave the numbers as they are, each a file of `edgekit.optimize.passes`, in the
order in which they are tried."""

PassFate = Literal["kept", "no gain", "not equal", "nothing to rewrite", "failed"]
"""What became of a pass: in the variant, of no use here, dropped because answers change, without a
place that it fits, or dropped because ONNX Runtime refuses what it made."""

CalibrationMethod = Literal["minmax", "percentile", "entropy"]
"""How the range of an activation is read off what was seen of it: all of it, all but the rarest
values, or the part that an 8-bit histogram tells apart with the least loss of information."""

BudgetMetric = Literal["drop", "agreement", "cosine"]
"""What an accuracy budget is about: how many right answers may be lost, how many answers must stay
the same, how near the numbers must stay."""

Ruling = Literal["passed", "failed", "undecided"]
"""What an accuracy budget says of a candidate; undecided where there are too few samples."""

Undecided = Literal["reject", "accept"]
"""What becomes of a variant on which the samples don't decide."""

Grain = Literal["node", "group"]
"""What sensitivity is told of: each node alone, or the nodes of each block together."""

Bound = Literal["compute", "memory"]
"""What sets a node's limit: its operations at the machine's peak, or its bytes at the memory's."""

SlowReason = Literal[
    "float island",
    "unfused",
    "fusion lost",
    "slower kernel",
    "conversions",
    "reordering",
    "another provider",
    "small nodes",
    "memory-bound",
    "other",
]
"""Why a variant is slower than the float one that it was made from: nodes in float between
integers; Q and DQ that became no integer kernel; a kernel of several nodes taken apart; integer
kernels that are slower than float ones; numbers turned into integers and back; values laid out
anew; nodes on another provider; what a node costs beside its kernel, for more nodes; nodes that
memory bounds, which fewer bits in computing don't help; and what is left."""

Outcome = Literal[
    "chosen", "kept", "beaten", "slower", "over budget", "undecided", "failed", "not tried"
]
"""What became of a candidate of tuning: it won; nothing else is faster, more accurate and smaller
at once; something is; the float variant is faster; it lost more accuracy than it may; the cases
don't tell whether it did; it can't be made or run; or there was no time for it."""

Evidence = Literal["bench", "choice", "tune", "sensitivity", "explanation"]
"""What is kept beside a package of one kind of machine: times, which variant runs best there, how
that was found, which nodes carry a loss of accuracy, and why variants are as fast as they are."""

Task = Literal[
    "audio-classification",
    "features",
    "image-classification",
    "masked-language-model",
    "question-answering",
    "semantic-segmentation",
    "sentence-embeddings",
    "sequence-classification",
    "speech-recognition",
    "text-encoding",
    "text-generation",
    "text-to-text",
    "token-classification",
]
"""What a transformers checkpoint is exported for: which head its model gets."""

Cell = Literal["tanh", "lstm", "gru"]
"""What a recurrent reference model computes at each step."""

SequenceEncoder = Literal["attention", "lstm"]
"""What reads the sequence in the reference transformer."""

AlexNetImages = Literal["photographs", "digits"]
"""What the reference AlexNet is built for: the published network, or a small one that learns."""

Status = Literal["passed", "failed", "left out"]
"""What became of a comparison or of a row of a table."""

Split = Literal["train", "test", "reference"]
"""Which side of the data a case comes from; nothing is measured on `train`."""

GateMetric = Literal[
    "p50_ms",
    "p90_ms",
    "p95_ms",
    "p99_ms",
    "mean_ms",
    "throughput_per_s",
    "speedup",
    "accuracy",
    "agreement",
    "cold_ms",
    "peak_mb",
    "size_mb",
    "regression",
]
"""What a gate (`--fail-if`) may be about: the numbers of a row of the bench table."""

Comparison = Literal["<", "<=", ">", ">="]
"""How a gate holds a number against its limit."""


def members(closed_set: object) -> tuple[str, ...]:
    """List the words of one of the closed sets above, in the order they are defined."""
    return get_args(closed_set)
