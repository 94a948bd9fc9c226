"""AMD's MIGraphX, in the package onnxruntime-migraphx for Linux. Not tried by edgekit yet."""

from __future__ import annotations

from edgekit.providers import built_in, options
from edgekit.providers.info import ProviderInfo, not_told

PROVIDER = ProviderInfo(
    name="migraphx",
    ort_name="MIGraphXExecutionProvider",
    extra="",
    summary="AMD GPUs through ROCm and MIGraphX, on Linux",
    packages=("onnxruntime-migraphx",),
    precisions=("float32", "float16", "int8"),
    tried=False,
    options={
        "device_id": options.number("which GPU, as ROCm counts them", high=63),
        "migraphx_exhaustive_tune": options.flag("try every kernel while building"),
    },
    companions=(),
    diagnosed=built_in.diagnose,
    translated=options.translate,
    computing=not_told,
)
