"""Intel's OpenVINO as a plug-in provider: the stock onnxruntime and onnxruntime-ep-openvino."""

from __future__ import annotations

import json

import msgspec

from edgekit import hardware
from edgekit.installed import RUNTIMES, distributions
from edgekit.package.values import SessionChoice
from edgekit.providers import diagnosis, options, plugin
from edgekit.providers.info import Diagnosis, OrtSettings, ProviderInfo

_NAME, _ORT_NAME, _EXTRA = "openvino", "OpenVINOExecutionProvider", "openvino"
_PLUGIN = "onnxruntime-ep-openvino"
_PRECISION = "INFERENCE_PRECISION_HINT"


def diagnose() -> Diagnosis:
    """Tell whether the plug-in is installed, loads, and finds an Intel device."""
    return (
        diagnosis.runtime_problem(_EXTRA)
        or _plugin_problem()
        or diagnosis.usable((_PLUGIN,), ort_name=_ORT_NAME)
    )


def translate(choice: SessionChoice) -> OrtSettings:
    """Say a choice in ONNX Runtime's words.

    OpenVINO has threads of its own, and on a processor with AMX it computes a float32 model in
    bfloat16 unless told otherwise: both are said in `load_config`, OpenVINO's properties as JSON.
    The provider option ``INFERENCE_PRECISION_HINT=bf16`` asks for the shorter numbers.

    Raises:
        UnknownName, BadValue: an option, or its value, isn't one that takes effect.
    """
    settings = options.translate(
        choice, name=_NAME, ort_name=_ORT_NAME, allowed={_PRECISION: "f32|bf16|f16"}
    )
    properties = {
        "INFERENCE_NUM_THREADS": str(settings.intra_op_num_threads),
        _PRECISION: settings.provider[1].get(_PRECISION, "f32"),
    }
    config = json.dumps({"CPU": properties}, sort_keys=True)
    return msgspec.structs.replace(
        settings, provider=(_ORT_NAME, {"load_config": config}), plugin=_PLUGIN
    )


def _plugin_problem() -> Diagnosis | None:
    found = diagnosis.listed(distributions((*RUNTIMES, _PLUGIN)))
    install = f"Run: {diagnosis.install_command(_EXTRA)}"
    arch, _ = hardware.platform_names()
    if arch != "x86_64":
        return Diagnosis(
            usable=False,
            cause=f"{_PLUGIN} has no build for {arch}",
            found=found,
            needed="an x86-64 processor",
            mend="Use another provider on this machine.",
        )
    if not distributions((_PLUGIN,)):
        return Diagnosis(
            usable=False,
            cause=f"{_PLUGIN} is not installed",
            found=found,
            needed=f"the extra {_EXTRA} of edgekit-onnx",
            mend=install,
        )
    try:
        devices = plugin.devices(_PLUGIN, _ORT_NAME, extra=_EXTRA)
    except Exception as error:  # onnxruntime's exceptions share no base class but this one
        return Diagnosis(
            usable=False,
            cause=f"onnxruntime cannot load {_PLUGIN}: {error}",
            found=found,
            needed="an onnxruntime and a plug-in that fit each other",
            mend=install,
        )
    if not devices:
        return Diagnosis(
            usable=False,
            cause=f"{_PLUGIN} finds no device that it supports",
            found=found,
            needed="an Intel processor, GPU or NPU",
            mend="Use another provider on this machine.",
        )
    return None


PROVIDER = ProviderInfo(
    name=_NAME,
    ort_name=_ORT_NAME,
    extra=_EXTRA,
    summary="Intel processors, GPUs and NPUs through OpenVINO",
    packages=(_PLUGIN,),
    precisions=("float32", "bfloat16", "float16", "int8"),
    diagnose=diagnose,
    translate=translate,
)
