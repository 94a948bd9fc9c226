"""Where the PyTorch original runs beside a provider: on the same GPU, where PyTorch can."""

from __future__ import annotations

import msgspec

from edgekit.measure.ways import How
from edgekit.terms import Memory


class Beside(msgspec.Struct, frozen=True):
    """How an original runs so that it is comparable with what it is timed beside.

    `device` is PyTorch's word for where it runs, empty where nothing but the processor comes into
    question. `tf32` says whether float32 products are computed in TF32 there, as on the other side.
    """

    device: str = ""
    arrays: Memory = "host"
    tf32: bool = False

    @property
    def kind(self) -> str:
        """Which kind of device it is, without its number."""
        return self.device.partition(":")[0]


def beside(how: How) -> tuple[Beside, str]:
    """Choose where an original runs beside variants; a note says so where it isn't the same place.

    Beside a provider on NVIDIA's GPUs that is the same GPU. PyTorch is imported for the question;
    where it isn't installed the worker says so.
    """
    if how.provider.device != "cuda":
        return Beside(), ""
    try:
        problem = _cuda_problem()
    except ImportError:
        return Beside(), ""
    if problem:
        return Beside("cpu", how.arrays), (
            f"the PyTorch original runs on the processor, not beside {how.provider.name} on the "
            f"GPU: {problem}"
        )
    index = how.session.provider_options.get("device_id", "0")
    tf32 = how.provider.environment(how.session).get("NVIDIA_TF32_OVERRIDE") != "0"
    return Beside(f"cuda:{index}", how.arrays, tf32), ""


def _cuda_problem() -> str:
    import torch

    if torch.version.cuda is None:
        return f"PyTorch {torch.__version__} is built without CUDA"
    if not torch.cuda.is_available():
        return f"PyTorch {torch.__version__}, built for CUDA {torch.version.cuda}, finds no GPU"
    return ""
