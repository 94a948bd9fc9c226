"""XNNPACK, in onnxruntime's builds for mobile and those that ask for it. Not tried by edgekit."""

from __future__ import annotations

from edgekit.providers import built_in, options
from edgekit.providers.info import ProviderInfo

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
)
