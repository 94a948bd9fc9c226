"""ONNX Runtime's CUDA provider, for NVIDIA GPUs."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from edgekit.package.values import GraphFacts, QuantRules, SessionChoice, Target
from edgekit.providers import diagnosis, options
from edgekit.providers.info import Diagnosis, Library, ProviderInfo
from edgekit.terms import Scheme

OPTIONS = {
    "device_id": options.number("which GPU, as CUDA counts them", high=63),
    "gpu_mem_limit": options.number(
        "the most bytes that its arena takes; what cuDNN takes comes on top",
        low=1,
        high=options.MEMORY,
    ),
    "arena_extend_strategy": options.word(
        "how its arena grows: doubled, or by what is needed; it gives nothing back either way",
        ("kNextPowerOfTwo", "kSameAsRequested"),
    ),
    "use_tf32": options.flag(
        "multiply float32 with 10 bits of mantissa",
        default="0",
        why="ONNX Runtime's own default is on, PyTorch's is off for matrix products: 1e-3 apart",
    ),
    "cudnn_conv_algo_search": options.word(
        "how a convolution's algorithm is found, at the first call of every new shape",
        ("EXHAUSTIVE", "HEURISTIC", "DEFAULT"),
    ),
    "cudnn_conv_use_max_workspace": options.flag("let a convolution take what memory it wants"),
    "cudnn_conv1d_pad_to_nc1d": options.flag("run 1-D convolutions as N×C×1×D"),
    "do_copy_in_default_stream": options.flag("copy in the stream that computes"),
    "enable_cuda_graph": options.flag(
        "record a call's kernels and replay them: fixed shapes, every node on the GPU"
    ),
    "enable_skip_layer_norm_strict_mode": options.flag("add up layer norms in float32"),
    "fuse_conv_bias": options.flag("add a convolution's bias in the same kernel"),
    "prefer_nhwc": options.flag("run convolutions channels last"),
    "sdpa_kernel": options.number(
        "which attention kernels may be taken, as a sum of bits", high=255
    ),
    "tunable_op_enable": options.flag("use kernels that were tuned here"),
    "tunable_op_tuning_enable": options.flag("tune kernels while running"),
    "tunable_op_max_tuning_duration_ms": options.number("how long tuning one kernel may take"),
    "use_ep_level_unified_stream": options.flag("one stream for all nodes"),
}

_INT8_CONVOLUTIONS = ("QLinearConv", "ConvInteger")


def _diagnose(provider: ProviderInfo) -> Diagnosis:
    return (
        diagnosis.runtime_problem(provider.extra)
        or diagnosis.build_problem(provider.ort_name, provider.extra, packages=provider.packages)
        or diagnosis.nvidia_problem(
            provider.libraries,
            provider_library="libonnxruntime_providers_cuda.so",
            extra=provider.extra,
        )
        or diagnosis.usable(provider.packages, ort_name=provider.ort_name)
    )


def _computes(choice: SessionChoice, precision: str, environment: Mapping[str, str]) -> str:
    """Name TF32 where it replaces float32's products."""
    del environment  # ONNX Runtime's option stands above it
    tf32 = choice.provider_options.get("use_tf32", OPTIONS["use_tf32"].default) == "1"
    return f"{precision}, products in TF32" if tf32 and precision == "fp32" else precision


def _refuses(facts: GraphFacts) -> str:
    """Refuse int8 convolutions: each would leave for the CPU, with a copy at either border."""
    quantized = [name for name in _INT8_CONVOLUTIONS if facts.operators.get(name)]
    if facts.operators.get("DequantizeLinear") and facts.operators.get("Conv"):
        quantized.append("Conv between QuantizeLinear and DequantizeLinear")
    if not quantized:
        return ""
    return (
        f"it has {' and '.join(quantized)}, and ONNX Runtime's CUDA provider has no int8 "
        "convolution: such nodes would run on the CPU, with copies around each"
    )


def environment(choice: SessionChoice) -> dict[str, str]:
    """Switch TF32 off, or leave it to each library, for all that runs in a worker.

    cuBLAS and cuDNN read the variable when they are loaded, PyTorch's as well as ONNX Runtime's:
    that is what makes both sides of a comparison equal.
    """
    tf32 = choice.provider_options.get("use_tf32", OPTIONS["use_tf32"].default) == "1"
    return {} if tf32 else {"NVIDIA_TF32_OVERRIDE": "0"}


_BF16 = (
    *("Abs", "Add", "Attention", "AveragePool", "Cast", "Compress", "Concat", "Conv", "Div"),
    *("Dropout", "Erf", "Exp", "Expand", "Flatten", "Gather", "GatherElements", "GatherND"),
    *("Gelu", "Gemm", "HardSigmoid", "HardSwish", "Identity", "LayerNormalization", "MatMul"),
    *("Max", "Min", "Mod", "Mul", "Neg", "Pow", "RMSNormalization", "ReduceSum", "Relu"),
    *("Reshape", "ReverseSequence", "RotaryEmbedding", "ScatterElements", "ScatterND", "Shape"),
    *("Sigmoid", "Sign", "Size", "Slice", "Softmax", "Split", "Sqrt", "Squeeze", "Sub", "Sum"),
    *("Tanh", "Tile", "Transpose", "Trilu", "Unsqueeze", "Where"),
)
"""Operators with a kernel for bfloat16, by ONNX Runtime's own table (docs/OperatorKernels.md)."""


def _quantized(scheme: Scheme, target: Target) -> QuantRules | str:
    """Take floats and weights of fewer bits; of integers both sides have no kernel for Conv.

    MatMulNBits turns 4- and 8-bit weights back inside the product (docs/ContribOperators.md).
    """
    del target
    match scheme:
        case "fp16":
            return QuantRules()
        case "bf16":
            return QuantRules(operators=_BF16)
        case "int8-weight" | "int4-weight":
            return QuantRules(operators=("Gemm", "MatMul"))
    return (
        "it has no int8 convolution, and Q/DQ around a product stays as it is; such nodes run on "
        "the CPU, with copies around each. Weights of fewer bits (int8-weight, int4-weight), fp16 "
        "or TensorRT's int8 gain there"
    )


def _alternatives(
    choice: SessionChoice, facts: GraphFacts, threads: int
) -> tuple[SessionChoice, ...]:
    """Say what can make a GPU faster without other numbers: kernels that are recorded once, and
    convolutions channels last."""
    del facts, threads
    recorded, last = {"enable_cuda_graph": "1"}, {"prefer_nhwc": "1"}
    return tuple(
        msgspec.structs.replace(choice, provider_options={**choice.provider_options, **options})
        for options in (recorded, last, {**recorded, **last})
    )


PROVIDER = ProviderInfo(
    name="cuda",
    ort_name="CUDAExecutionProvider",
    extra="gpu",
    summary="NVIDIA GPUs through CUDA and cuDNN",
    packages=("onnxruntime-gpu",),
    precisions=("float32", "float16", "bfloat16"),
    tried=False,
    # What the released onnxruntime-gpu 1.31 links, and cuDNN, which it loads when it is needed.
    libraries=(
        Library("libcublasLt.so", "13", "nvidia-cublas"),
        Library("libcublas.so", "13", "nvidia-cublas"),
        Library("libcurand.so", "10", "nvidia-curand"),
        Library("libcudart.so", "13", "nvidia-cuda-runtime"),
        Library("libcufft.so", "12", "nvidia-cufft"),
        Library("libcudnn.so", "9", "nvidia-cudnn-cu13"),
        Library("libcuda.so", "1"),
    ),
    options=OPTIONS,
    device="cuda",
    diagnosed=_diagnose,
    translated=options.translate,
    computing=_computes,
    refuses=_refuses,
    environment=environment,
    quantized=_quantized,
    alternatives=_alternatives,
)
