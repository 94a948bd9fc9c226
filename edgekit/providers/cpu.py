"""ONNX Runtime's own CPU provider: always there, and what every other provider is held against."""

from __future__ import annotations

from edgekit.providers import built_in, options
from edgekit.providers.info import ProviderInfo

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
)
