"""WebGPU as a plug-in provider, package onnxruntime-ep-webgpu. Not tried by edgekit yet."""

from __future__ import annotations

from edgekit.providers import options, plugin
from edgekit.providers.info import Plugin, ProviderInfo, not_told

PROVIDER = ProviderInfo(
    name="webgpu",
    ort_name="WebGpuExecutionProvider",
    extra="",
    summary="GPUs of any maker through Vulkan, Metal or DirectX 12",
    packages=("onnxruntime-ep-webgpu",),
    precisions=("float32", "float16"),
    tried=False,
    options={"preferredLayout": options.word("how images lie in memory", ("NCHW", "NHWC"))},
    plugin=Plugin("onnxruntime-ep-webgpu"),
    diagnosed=plugin.diagnose("a GPU with a driver for Vulkan, Metal or DirectX 12"),
    translated=options.translate,
    computing=not_told,
)
