"""NVIDIA's TensorRT for RTX as a plug-in provider: its libraries inside, on the stock onnxruntime.

It compiles a model in seconds, for the very GPU at its first call; what the GPU's own compiler made
is kept in the runtime cache. Nodes that it doesn't take run on the CPU.
"""

from __future__ import annotations

import msgspec

from edgekit.package.values import SessionChoice
from edgekit.providers import diagnosis, options, plugin, profiles, tensorrt
from edgekit.providers.info import Diagnosis, Library, Occasion, OrtSettings, Plugin, ProviderInfo

OPTIONS = {
    "enable_cuda_graph": options.flag("record a call's kernels and replay them"),
    "nv_max_workspace_size": options.number("bytes to build with", high=options.MEMORY),
    "nv_use_sync_gpu_allocator": options.flag("allocate memory synchronously"),
}
"""What may be asked for. Profiles and the cache's folder have their values from edgekit; what
writes files elsewhere, or takes an address in memory, is left out."""


_CAPABILITIES = ("7.5", "8.6", "8.9", "12.")


def _diagnose(provider: ProviderInfo) -> Diagnosis:
    return diagnosis.capability_problem(_CAPABILITIES) or plugin.diagnose(
        "an NVIDIA GPU of compute capability 7.5, 8.6, 8.9 or 12.x, and its driver"
    )(provider)


def _translate(provider: ProviderInfo, choice: SessionChoice, occasion: Occasion) -> OrtSettings:
    settings = options.translate(provider, choice, occasion)
    ort_name, asked = settings.providers[0]
    asked.update(profiles.as_options(occasion, provider.profile_form))
    if occasion.folder is not None:
        asked["nv_runtime_cache_path"] = occasion.folder
    return msgspec.structs.replace(settings, providers=((ort_name, asked),))


PROVIDER = ProviderInfo(
    name="tensorrt-rtx",
    ort_name="NvTensorRTRTXExecutionProvider",
    extra="tensorrt-rtx",
    summary="NVIDIA GPUs of compute capability 7.5, 8.6, 8.9 and 12.x through TensorRT for RTX",
    packages=("onnxruntime-ep-nv-tensorrt-rtx-cu13",),
    precisions=("float32", "float16", "bfloat16", "int8"),
    tried=False,
    libraries=(Library("libcuda.so", "1"),),
    options=OPTIONS,
    device="cuda",
    profile_form="nv_profile_{bound}_shapes",
    builds=True,
    plugin=Plugin("onnxruntime-ep-nv-tensorrt-rtx-cu13"),
    diagnosed=_diagnose,
    translated=_translate,
    computing=tensorrt.computes,
    environment=tensorrt.environment,
    quantized=tensorrt.quantized,
)
