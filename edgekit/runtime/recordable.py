"""Whether a model's calls can be recorded (CUDA graphs), and why not where they can't."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from edgekit.errors import ProviderUnfit
from edgekit.package.values import SessionChoice

if TYPE_CHECKING:
    import onnxruntime as ort

    from edgekit.runtime.devices import Place

OPTIONS = ("enable_cuda_graph", "trt_cuda_graph_enable")
"""The providers' options that ask for it."""

_BRANCHING = ("If", "Loop", "Scan")
_PROCESSORS = ("Cpu", "CudaPinned")
"""ONNX Runtime's names of memories that the processor reads."""


def option_of(session: SessionChoice) -> str:
    """Name the option by which a choice asks for recordings; empty where it doesn't."""
    return next((name for name in OPTIONS if session.provider_options.get(name) == "1"), "")


def unrecordable(session: SessionChoice, operators: Mapping[str, int]) -> str:
    """Say why calls of a model can't be recorded as asked, empty where they can, or aren't to be.

    Branches and loops decide while they run what to run next, so this can be said before loading.
    """
    branching = [name for name in _BRANCHING if operators.get(name)]
    if not option_of(session) or not branching:
        return ""
    return _reason(session, f"it has {' and '.join(branching)}, which decide while")


def refuse_unreplayable(
    session: SessionChoice,
    placement: Mapping[str, Mapping[str, int]],
    opened: ort.InferenceSession,
    *,
    place: Place,
    variant: str,
) -> None:
    """Refuse a loaded model of which a replay would leave something out.

    ONNX Runtime's CUDA provider lets the processor compute shapes, which a recording fixes, and
    refuses copies between the two itself; nodes on any other provider are refused here, and inputs
    whose values the processor reads.

    Raises:
        ProviderUnfit: recordings are asked for, and the processor takes part.
    """
    if not option_of(session):
        return
    reason = unrecordable(session, _all(placement))
    allowed = (session.provider, "cpu") if session.provider == "cuda" else (session.provider,)
    for name, operators in placement.items():
        if name not in allowed and operators:
            listed = ", ".join(f"{count} {operator}" for operator, count in operators.items())
            reason = reason or _reason(session, f"{name} runs {listed} of it while")
    memories = zip(opened.get_inputs(), opened.get_input_memory_infos(), strict=True)
    read = [spec.name for spec, memory in memories if memory.name in _PROCESSORS]
    if read and place.kind != "cpu":
        reason = reason or _reason(session, f"the processor reads its input {read[0]} while")
    if reason:
        raise ProviderUnfit(provider=session.provider, variant=variant, reason=reason)


def _all(placement: Mapping[str, Mapping[str, int]]) -> dict[str, int]:
    counted: dict[str, int] = {}
    for operators in placement.values():
        for operator, count in operators.items():
            counted[operator] = counted.get(operator, 0) + count
    return counted


def _reason(session: SessionChoice, what: str) -> str:
    return (
        f"{what} it runs, and a recording of its kernels ({option_of(session)}) would leave that "
        "out; leave out that option"
    )
