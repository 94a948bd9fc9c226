"""Intel's OpenVINO as a plug-in provider: the stock onnxruntime and onnxruntime-ep-openvino."""

from __future__ import annotations

import json
from collections.abc import Mapping

import msgspec

from edgekit import hardware
from edgekit.package.values import GraphFacts, QuantRules, SessionChoice, Target
from edgekit.providers import cpu, options, plugin
from edgekit.providers.info import Diagnosis, Occasion, OrtSettings, Plugin, ProviderInfo
from edgekit.providers.targets import adds_up_in_16_bits
from edgekit.terms import Scheme

_PRECISION = "INFERENCE_PRECISION_HINT"
_WORDS = {"f32": "fp32", "bf16": "bf16", "f16": "fp16"}
_CAPABILITIES = {"f32": "FP32", "bf16": "BF16", "f16": "FP16"}

OPTIONS = {
    _PRECISION: options.word(
        "what a float model is computed in",
        tuple(_WORDS),
        default="f32",
        why="where a processor can multiply bfloat16 (AMX, AVX-512 BF16) OpenVINO does so by "
        "itself: other numbers, unasked",
    ),
    "NUM_STREAMS": options.number("calls that run at the same time", low=1, high=1024),
    "ENABLE_CPU_PINNING": options.word("bind threads to cores", ("YES", "NO")),
    "ENABLE_HYPER_THREADING": options.word("use both threads of a core", ("YES", "NO")),
}
"""OpenVINO's own properties; there is no other way to set them than its `load_config`."""


def _diagnose(provider: ProviderInfo) -> Diagnosis:
    arch, _ = hardware.platform_names()
    if arch != "x86_64":
        return Diagnosis(
            usable=False,
            cause=f"{provider.packages[0]} has no build for {arch}",
            found=arch,
            needed="an x86-64 processor",
            mend="Use another provider on this machine.",
        )
    return plugin.diagnose("an Intel processor")(provider)


def _translate(provider: ProviderInfo, choice: SessionChoice, occasion: Occasion) -> OrtSettings:
    """Say a choice in OpenVINO's properties, as JSON; it has threads of its own."""
    settings = options.translate(provider, choice, occasion)
    ort_name, asked = settings.providers[0]
    properties = {"INFERENCE_NUM_THREADS": str(settings.intra_op_num_threads), **asked}
    config = json.dumps({"CPU": properties}, sort_keys=True)
    return msgspec.structs.replace(settings, providers=((ort_name, {"load_config": config}),))


def _hint(choice: SessionChoice) -> str:
    return choice.provider_options.get(_PRECISION, OPTIONS[_PRECISION].default or "")


def _unmet(choice: SessionChoice, capabilities: Mapping[str, str]) -> str:
    """Refuse a precision that the device lacks.

    OpenVINO takes the hint and computes in another one, silently: measured on an AMD Zen 4, f16
    gives bfloat16's very numbers.
    """
    known = capabilities.get("OPTIMIZATION_CAPABILITIES", "").split()
    hint = _hint(choice)
    if not known or _CAPABILITIES[hint] in known:
        return ""
    has = [word for word, capability in _CAPABILITIES.items() if capability in known]
    return (
        f"{capabilities.get('FULL_DEVICE_NAME', 'the device')} does not compute in {hint}; "
        f"{_PRECISION} may be {' or '.join(has)}"
    )


def _computes(choice: SessionChoice, precision: str, environment: Mapping[str, str]) -> str:
    del environment
    word = _WORDS[_hint(choice)]
    return word if precision in _WORDS.values() else f"{precision}, floats in {word}"


def _quantized(scheme: Scheme, target: Target) -> QuantRules | str:
    """Say what OpenVINO turns into int8 of its own.

    Symmetric weights with a scale a channel and activations of either kind (NNCF's presets), 7-bit
    weights where there is no VNNI ("Saturation (overflow) issue workaround" in its documentation).
    """
    match scheme:
        case "fp16":
            return QuantRules()
        case "bf16":
            return (
                "it computes a float32 model in bfloat16 by itself where the processor can; say "
                f"--provider-option {_PRECISION}=bf16"
            )
        case "int8-weight" | "int4-weight":
            return QuantRules(operators=cpu.WEIGHT_ONLY)
        case "int8-dynamic":
            return "it writes operators that quantize as they run out in float; int8-static is its"
    return QuantRules(weight_bits=7 if adds_up_in_16_bits(target) else 8, operators=cpu.STATIC)


def _alternatives(
    choice: SessionChoice, facts: GraphFacts, threads: int
) -> tuple[SessionChoice, ...]:
    """Say that fewer threads may be faster: they wait for each other less."""
    del facts
    fewer = dict.fromkeys(n for n in (threads // 2, 1) if 0 < n < threads)
    return tuple(msgspec.structs.replace(choice, threads=n) for n in fewer)


PROVIDER = ProviderInfo(
    name="openvino",
    ort_name="OpenVINOExecutionProvider",
    extra="openvino",
    summary="Intel processors through OpenVINO; not its GPUs and NPUs",
    packages=("onnxruntime-ep-openvino",),
    precisions=("float32", "bfloat16", "float16", "int8"),
    tried=True,
    options=OPTIONS,
    # Of several devices the plug-in takes the first without a word; on a GPU it would compute in
    # float16, which no option here speaks of.
    plugin=Plugin("onnxruntime-ep-openvino", only={"ov_device": "CPU"}),
    diagnosed=_diagnose,
    translated=_translate,
    computing=_computes,
    unmet=_unmet,
    quantized=_quantized,
    computings=({_PRECISION: "bf16"},),
    alternatives=_alternatives,
)
