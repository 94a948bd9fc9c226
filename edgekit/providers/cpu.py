"""ONNX Runtime's own CPU provider: always there, and what every other provider is held against."""

from __future__ import annotations

from collections.abc import Mapping

from edgekit.package.values import SessionChoice
from edgekit.providers import built_in, options
from edgekit.providers.info import ProviderInfo

_SHORT = ("fp16", "bf16")


def _computes(choice: SessionChoice, precision: str, environment: Mapping[str, str]) -> str:
    """Say of short floats that few operators have kernels for them on a processor.

    ONNX Runtime puts casts around all others, which then compute in float32.
    """
    del choice, environment
    return f"{precision}, mostly by way of fp32" if precision in _SHORT else precision


def _precautions(precision: str) -> dict[str, str]:
    """Leave out a fusion that takes the process down as it loads an fp16 model.

    Measured on 1.31.1 and 1.32.0: a Transpose in front of a MatMul, both float16, is a
    segmentation fault at the highest graph level.
    """
    if precision != "fp16":
        return {}
    return {"optimization.disable_specified_optimizers": "MatmulTransposeFusion"}


PROVIDER = ProviderInfo(
    name="cpu",
    ort_name="CPUExecutionProvider",
    extra="cpu",
    summary="any processor, x86-64 and ARM",
    packages=(),
    precisions=("float32", "int8"),
    tried=True,
    diagnosed=built_in.diagnose,
    translated=options.translate,
    computing=_computes,
    precautions=_precautions,
)
