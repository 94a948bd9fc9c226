"""Microsoft's DirectML, in the package onnxruntime-directml for Windows. Not tried by edgekit."""

from __future__ import annotations

from edgekit.providers import built_in, options
from edgekit.providers.info import ProviderInfo, not_told

PROVIDER = ProviderInfo(
    name="directml",
    ort_name="DmlExecutionProvider",
    extra="",
    summary="any GPU with DirectX 12, on Windows",
    packages=("onnxruntime-directml",),
    precisions=("float32", "float16"),
    tried=False,
    options={
        "device_id": options.number("which GPU, as Windows counts them", high=63),
        "disable_metacommands": options.flag("use no kernels of the GPU's maker"),
        "enable_graph_capture": options.flag("record a call's kernels and replay them"),
    },
    diagnosed=built_in.diagnose,
    translated=options.translate,
    computing=not_told,
)
