"""ONNX Runtime's own CPU provider: always there, and what every other provider is held against."""

from __future__ import annotations

from edgekit.installed import RUNTIMES
from edgekit.package.values import SessionChoice
from edgekit.providers import diagnosis, options
from edgekit.providers.info import Diagnosis, OrtSettings, ProviderInfo

_NAME, _ORT_NAME, _EXTRA = "cpu", "CPUExecutionProvider", "cpu"


def diagnose() -> Diagnosis:
    """Tell whether onnxruntime, any build of it, can be imported."""
    return (
        diagnosis.runtime_problem(_EXTRA)
        or diagnosis.build_problem(_ORT_NAME, _EXTRA, packages=())
        or diagnosis.usable(RUNTIMES, ort_name=_ORT_NAME)
    )


def translate(choice: SessionChoice) -> OrtSettings:
    """Say a choice in ONNX Runtime's words; the provider has no options of its own.

    Raises:
        UnknownName, BadValue: an option, or its value, isn't one that takes effect.
    """
    return options.translate(choice, name=_NAME, ort_name=_ORT_NAME, allowed={})


PROVIDER = ProviderInfo(
    name=_NAME,
    ort_name=_ORT_NAME,
    extra=_EXTRA,
    summary="any processor, x86-64 and ARM",
    packages=RUNTIMES,
    precisions=("float32", "int8"),
    diagnose=diagnose,
    translate=translate,
)
