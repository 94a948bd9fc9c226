"""ONNX Runtime's TensorRT provider, for NVIDIA GPUs: builds an engine of the model as it loads."""

from __future__ import annotations

from edgekit.installed import distributions
from edgekit.package.values import SessionChoice
from edgekit.providers import diagnosis, options
from edgekit.providers.info import Diagnosis, OrtSettings, ProviderInfo

_NAME, _ORT_NAME, _EXTRA = "tensorrt", "TensorrtExecutionProvider", "tensorrt"
_LIBRARIES = "tensorrt-cu13-libs"
_PACKAGES = ("onnxruntime-gpu", _LIBRARIES)


def diagnose() -> Diagnosis:
    """Tell whether onnxruntime is a build with TensorRT, and a GPU and TensorRT are there."""
    return (
        diagnosis.runtime_problem(_EXTRA)
        or diagnosis.build_problem(_ORT_NAME, _EXTRA, packages=_PACKAGES)
        or diagnosis.graphics_problem()
        or _libraries_problem()
        or diagnosis.usable(_PACKAGES, ort_name=_ORT_NAME)
    )


def translate(choice: SessionChoice) -> OrtSettings:
    """Say a choice in ONNX Runtime's words; precision is in the model, so there are no options.

    Raises:
        UnknownName, BadValue: an option, or its value, isn't one that takes effect.
    """
    return options.translate(choice, name=_NAME, ort_name=_ORT_NAME, allowed={})


def _libraries_problem() -> Diagnosis | None:
    """Ask for TensorRT's own libraries, which onnxruntime-gpu links and doesn't bring."""
    from ctypes.util import find_library  # asks the loader; only reached where there is a GPU

    if distributions((_LIBRARIES,)) or find_library("nvinfer"):
        return None
    return Diagnosis(
        usable=False,
        cause=f"TensorRT's libraries cannot be found ({_LIBRARIES} is not installed)",
        found=diagnosis.listed(distributions(_PACKAGES)),
        needed="libnvinfer of the version that onnxruntime-gpu links",
        mend=f"Run: {diagnosis.install_command(_EXTRA)}",
    )


PROVIDER = ProviderInfo(
    name=_NAME,
    ort_name=_ORT_NAME,
    extra=_EXTRA,
    summary="NVIDIA GPUs through TensorRT",
    packages=_PACKAGES,
    precisions=("float32", "float16", "bfloat16", "int8"),
    diagnose=diagnose,
    translate=translate,
)
