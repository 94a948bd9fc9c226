"""ONNX Runtime's CUDA provider, for NVIDIA GPUs."""

from __future__ import annotations

import msgspec

from edgekit.package.values import SessionChoice
from edgekit.providers import diagnosis, options
from edgekit.providers.info import Diagnosis, OrtSettings, ProviderInfo

_NAME, _ORT_NAME, _EXTRA = "cuda", "CUDAExecutionProvider", "gpu"
_PACKAGES = ("onnxruntime-gpu",)


def diagnose() -> Diagnosis:
    """Tell whether onnxruntime is a build with CUDA, and whether there is a GPU for it."""
    return (
        diagnosis.runtime_problem(_EXTRA)
        or diagnosis.build_problem(_ORT_NAME, _EXTRA, packages=_PACKAGES)
        or diagnosis.graphics_problem()
        or diagnosis.usable(_PACKAGES, ort_name=_ORT_NAME)
    )


def translate(choice: SessionChoice) -> OrtSettings:
    """Say a choice in ONNX Runtime's words.

    ONNX Runtime multiplies float32 in TF32 unless told otherwise, which PyTorch doesn't: off here,
    on by the provider option ``use_tf32=1``.

    Raises:
        UnknownName, BadValue: an option, or its value, isn't one that takes effect.
    """
    settings = options.translate(
        choice, name=_NAME, ort_name=_ORT_NAME, allowed={"use_tf32": options.FLAG}
    )
    return msgspec.structs.replace(
        settings, provider=(_ORT_NAME, {"use_tf32": "0", **settings.provider[1]})
    )


PROVIDER = ProviderInfo(
    name=_NAME,
    ort_name=_ORT_NAME,
    extra=_EXTRA,
    summary="NVIDIA GPUs through CUDA and cuDNN",
    packages=_PACKAGES,
    precisions=("float32", "float16", "bfloat16"),
    diagnose=diagnose,
    translate=translate,
)
