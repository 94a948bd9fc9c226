"""ONNX Runtime's TensorRT provider, for NVIDIA GPUs: builds an engine of the model as it loads.

Precision is what the model's own types say: TensorRT 11 removed the flags that asked for another.
Nodes that TensorRT doesn't take run on CUDA, and what CUDA doesn't take on the CPU; the session
says which.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from edgekit.package.values import QuantRules, SessionChoice, Target
from edgekit.providers import cuda, diagnosis, options, profiles
from edgekit.providers.info import Diagnosis, Library, Occasion, OrtSettings, ProviderInfo
from edgekit.terms import Scheme

OPTIONS = {
    "device_id": options.number("which GPU, as CUDA counts them", high=63),
    "trt_auxiliary_streams": options.number("streams beside the main one", low=-1, high=64),
    "trt_builder_optimization_level": options.number("how long to search for kernels", high=5),
    "trt_context_memory_sharing_enable": options.flag("share memory between subgraphs"),
    "trt_cuda_graph_enable": options.flag("record a call's kernels and replay them"),
    "trt_engine_hw_compatible": options.flag("build for Ampere and everything newer"),
    "trt_force_sequential_engine_build": options.flag("build one engine after the other"),
    "trt_layer_norm_fp32_fallback": options.flag("add up layer norms in float32"),
    "trt_max_partition_iterations": options.number("tries to cut the graph", low=1, high=100000),
    "trt_max_workspace_size": options.number("bytes that a kernel may take", high=options.MEMORY),
    "trt_min_subgraph_size": options.number("smallest piece that is worth an engine", low=1),
    "trt_sparsity_enable": options.flag("use weights of which two in four are zero"),
}
"""What may be asked for. Caches, profiles and EP contexts have their values from edgekit; the
flags fp16, bf16 and int8 and calibration tables are left out on purpose."""


def _diagnose(provider: ProviderInfo) -> Diagnosis:
    return (
        diagnosis.runtime_problem(provider.extra)
        or diagnosis.build_problem(provider.ort_name, provider.extra, packages=("onnxruntime-gpu",))
        or diagnosis.nvidia_problem(
            provider.libraries,
            provider_library="libonnxruntime_providers_tensorrt.so",
            extra=provider.extra,
        )
        or diagnosis.usable(provider.packages, ort_name=provider.ort_name)
    )


TF32 = "NVIDIA_TF32_OVERRIDE"


def environment(choice: SessionChoice) -> dict[str, str]:
    """Switch TF32 off: TensorRT's provider has no option for it, only this variable."""
    del choice
    return {TF32: "0"}


def computes(choice: SessionChoice, precision: str, environment: Mapping[str, str]) -> str:
    """Say TF32 where the variable doesn't forbid it: an app's own process sets it, or doesn't."""
    del choice
    allowed = precision == "fp32" and environment.get(TF32) != "0"
    return f"{precision}, products in TF32 where that is faster" if allowed else precision


def _translate(provider: ProviderInfo, choice: SessionChoice, occasion: Occasion) -> OrtSettings:
    settings = options.translate(provider, choice, occasion)
    ort_name, asked = settings.providers[0]
    device = {name: value for name, value in asked.items() if name == "device_id"}
    asked.update(profiles.as_options(occasion, provider.profile_form))
    if occasion.folder is not None:
        asked |= {
            "trt_engine_cache_enable": "1",
            # Beside an EP context model engines lie by a path relative to it, which is then none.
            "trt_engine_cache_path": "" if occasion.context else occasion.folder,
            "trt_timing_cache_enable": "1",
            "trt_timing_cache_path": occasion.folder,
        }
    beside = {
        **{k: o.default for k, o in cuda.OPTIONS.items() if o.default is not None},
        **device,
    }
    return msgspec.structs.replace(
        settings,
        providers=(
            (ort_name, asked),
            (cuda.PROVIDER.ort_name, beside),
        ),
    )


INTEGERS = ("Add", "Conv", "ConvTranspose", "Gemm", "MatMul")
"""Operators that TensorRT runs in int8 with Q/DQ in front, or fuses into such (a residual Add)."""


def quantized(scheme: Scheme, target: Target) -> QuantRules | str:
    """Say what TensorRT's explicit quantization takes.

    int8 with zero point 0 on both sides, a scale a channel for weights, biases in float (NVIDIA's
    "Working with quantized types"; a zero point in uint8 is cast without a word). TensorRT moves
    and fuses Q/DQ itself, so that they stand in front of products alone.
    """
    del target
    match scheme:
        case "fp16" | "bf16":
            return QuantRules()
        case "int8-static":
            return QuantRules(activation="int8", symmetric=True, operators=INTEGERS)
        case "int8-dynamic":
            return "TensorRT needs the ranges of activations while it builds; int8-static has them"
    return "MatMulNBits is none of its operators: such nodes would run elsewhere"


PROVIDER = ProviderInfo(
    name="tensorrt",
    ort_name="TensorrtExecutionProvider",
    extra="tensorrt",
    summary="NVIDIA GPUs through TensorRT",
    packages=("onnxruntime-gpu", "tensorrt-cu13-libs"),
    precisions=("float32", "float16", "bfloat16", "int8"),
    tried=False,
    libraries=(
        Library("libnvinfer.so", "10", "tensorrt-cu13-libs"),
        Library("libnvonnxparser.so", "10", "tensorrt-cu13-libs"),
        Library("libcudnn.so", "9", "nvidia-cudnn-cu13"),
        Library("libcublas.so", "13", "nvidia-cublas"),
        Library("libcudart.so", "13", "nvidia-cuda-runtime"),
        Library("libcuda.so", "1"),
    ),
    options=OPTIONS,
    device="cuda",
    companions=("cuda",),
    profile_form="trt_profile_{bound}_shapes",
    builds=True,
    diagnosed=_diagnose,
    translated=_translate,
    computing=computes,
    environment=environment,
    quantized=quantized,
)
