"""XNNPACK, in onnxruntime's builds for mobile and those that ask for it. Not tried by edgekit."""

from __future__ import annotations

from edgekit.package.values import QuantRules, Target
from edgekit.providers import built_in, options
from edgekit.providers.info import ProviderInfo
from edgekit.terms import Scheme


def _quantized(scheme: Scheme, target: Target) -> QuantRules | str:
    """Say what XNNPACK takes: int8 convolutions of images, a scale a channel.

    ("XNNPACK execution provider", supported ops; channels have scales of their own in int8 alone.
    Its products are widened before they are added up, so that 8 bits are right everywhere.)
    """
    del target
    match scheme:
        case "fp16":
            return QuantRules()
        case "int8-static":
            return QuantRules(activation="int8", operators=("Conv", "MaxPool"))
        case "bf16":
            return "ONNX Runtime hands it no bfloat16"
    return "ONNX Runtime hands it no such operator; int8-static gains there"


PROVIDER = ProviderInfo(
    name="xnnpack",
    ort_name="XnnpackExecutionProvider",
    extra="",
    summary="ARM processors and browsers through XNNPACK; no package brings it, only a build",
    packages=(),
    precisions=("float32", "int8"),
    tried=False,
    options={"intra_op_num_threads": options.number("threads of its own pool", high=1024)},
    diagnosed=built_in.diagnose,
    translated=options.translate,
    quantized=_quantized,
)
