"""A module in fp16 that takes and gives float32, so that it stands beside an fp16 variant."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.utils._pytree import tree_map


class Halved(nn.Module):
    """Computes in fp16: weights are turned once, float inputs at every call, and answers back.

    An fp16 variant does just that, inside what is timed: its inputs and outputs stay float32.
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module.half()

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Return what the module returns of these, float16 as float32."""
        halved_args, halved_kwargs = tree_map(_turned(torch.float32, torch.float16), (args, kwargs))
        answer = self.module(*halved_args, **halved_kwargs)
        return tree_map(_turned(torch.float16, torch.float32), answer)


def _turned(found: torch.dtype, wanted: torch.dtype) -> Callable[[Any], Any]:
    def turn(value: Any) -> Any:
        if isinstance(value, torch.Tensor) and value.dtype == found:
            return value.to(wanted)
        return value

    return turn
