"""Qualcomm's QNN as a plug-in provider, package onnxruntime-qnn. Not tried by edgekit yet."""

from __future__ import annotations

from edgekit.package.values import QuantRules, Target
from edgekit.providers import options, plugin
from edgekit.providers.info import Plugin, ProviderInfo, not_told
from edgekit.terms import Scheme


def _quantized(scheme: Scheme, target: Target) -> QuantRules | str:
    """Take 16-bit floats alone.

    The NPU runs a node in integers only where all that goes in and comes out of it is, every
    operator of the model, and most models want 16-bit activations for that ("QNN execution
    provider", "Running a quantized model"): a placement of its own, which edgekit doesn't write.
    """
    del target
    if scheme == "fp16":
        return QuantRules()
    return (
        "its NPU wants every node of a model in integers, most activations with 16 bits, which "
        "edgekit doesn't write; onnxruntime.quantization.execution_providers.qnn does"
    )


PROVIDER = ProviderInfo(
    name="qnn",
    ort_name="QNNExecutionProvider",
    extra="",
    summary="Qualcomm Snapdragon NPUs and GPUs",
    packages=("onnxruntime-qnn",),
    precisions=("float16", "int8"),
    tried=False,
    options={
        "backend_type": options.word("what runs the model", ("cpu", "gpu", "htp")),
        "htp_performance_mode": options.word(
            "how fast the NPU's clock runs",
            (
                *("balanced", "burst", "default", "extreme_power_saver", "high_performance"),
                *("high_power_saver", "low_balanced", "low_power_saver", "power_saver"),
                "sustained_high_performance",
            ),
        ),
        "htp_graph_finalization_optimization_mode": options.word(
            "how long to search while building", ("0", "1", "2", "3")
        ),
        "enable_htp_fp16_precision": options.flag("compute float32 in float16"),
    },
    builds=True,
    plugin=Plugin("onnxruntime-qnn"),
    diagnosed=plugin.diagnose("a Qualcomm Snapdragon with an NPU or GPU"),
    translated=options.translate,
    computing=not_told,
    quantized=_quantized,
)
