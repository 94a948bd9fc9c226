"""Modules inside something else: scripts, compilers, hooks, own gradients, shared weights."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from exporters.exportable import Exportable

ROWS = {"x": ["n", None]}


class Plain(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(5, 5)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.linear(x))


def scripted() -> Exportable:
    return Exportable(torch.jit.script(Plain()), (torch.randn(3, 5),), dynamic=ROWS)


def traced() -> Exportable:
    x = torch.randn(3, 5)
    trace: Any = torch.jit.trace
    return Exportable(trace(Plain().eval(), x), (x,), dynamic=ROWS)


class Inside(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = torch.jit.script(Plain())

    def forward(self, x: Tensor) -> Tensor:
        answer: Tensor = self.inner(x) + 1
        return answer


def a_scripted_part() -> Exportable:
    return Exportable(Inside(), (torch.randn(3, 5),), dynamic=ROWS)


@torch.jit.script
def _gate(x: Tensor) -> Tensor:
    return x * torch.sigmoid(x)


class ScriptedFunction(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        answer: Tensor = _gate(x)
        return answer


def a_scripted_function() -> Exportable:
    return Exportable(ScriptedFunction(), (torch.randn(3, 5),), dynamic=ROWS)


def compiled() -> Exportable:
    module: Any = torch.compile(Plain(), backend="eager")
    return Exportable(module, (torch.randn(3, 5),), dynamic={"x": ["n", None]})


class Doubling(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x * 2

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        return grads[0] * 2


class OwnGradient(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        doubling: Any = Doubling
        answer: Tensor = doubling.apply(x) + 1
        return answer


def own_gradient() -> Exportable:
    return Exportable(OwnGradient(), (torch.randn(3, 5),), dynamic=ROWS)


class Gradient(nn.Module):
    """Gradients in inference: an energy and its force."""

    def forward(self, x: Tensor) -> Tensor:
        answer: Tensor = torch.func.grad(lambda x: (x**3).sum())(x)
        return answer


def gradient_inside() -> Exportable:
    return Exportable(Gradient(), (torch.randn(3, 5),), dynamic=ROWS)


def _after(module: nn.Module, given: Any, answer: Tensor) -> Tensor:
    return answer * 10


def _before(module: nn.Module, given: tuple[Tensor]) -> tuple[Tensor]:
    return (given[0] - 1,)


def hooks() -> Exportable:
    module = Plain()
    module.linear.register_forward_hook(_after)
    module.linear.register_forward_pre_hook(_before)
    return Exportable(module, (torch.randn(3, 5),), dynamic=ROWS)


def hook_on_the_outermost() -> Exportable:
    """A hook on the module itself: an exporter that calls forward() loses it."""
    module = Plain()
    module.register_forward_hook(_after)
    return Exportable(module, (torch.randn(3, 5),), dynamic=ROWS)


class Swapped(Plain):
    pass


def forward_replaced() -> Exportable:
    module = Swapped()
    module.forward = lambda x: module.linear(x) * 3  # type: ignore[method-assign]
    return Exportable(module, (torch.randn(3, 5),), dynamic={"x": ["n", None]})


class Mapped(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(5, 4)

    def forward(self, x: Tensor) -> Tensor:
        answer: Tensor = torch.vmap(lambda row: self.linear(row).sum())(x)
        return answer


def vmap() -> Exportable:
    return Exportable(Mapped(), (torch.randn(3, 5),), dynamic=ROWS)


class Shared(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(7, 5)
        self.head = nn.Linear(5, 7, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, x: Tensor) -> Tensor:
        answer: Tensor = self.head(self.embed(x))
        return answer


def shared_weights() -> Exportable:
    return Exportable(Shared(), (torch.randint(0, 6, (3, 4)),), dynamic={"x": ["n", "t"]})


class Quiet(Plain):
    @torch.no_grad()
    def forward(self, x: Tensor) -> Tensor:
        with torch.inference_mode():
            return super().forward(x)


def inference_mode_inside() -> Exportable:
    return Exportable(Quiet(), (torch.randn(3, 5),), dynamic=ROWS)


class Lazy(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.LazyConv2d(3, 3), nn.Flatten(), nn.LazyLinear(4))

    def forward(self, x: Tensor) -> Tensor:
        answer: Tensor = self.layers(x)
        return answer


def lazy() -> Exportable:
    return Exportable(Lazy(), (torch.randn(2, 3, 8, 8),), dynamic={"x": ["n"]})


class Registered(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = [nn.Linear(5, 5)]

    def forward(self, x: Tensor) -> Tensor:
        answer: Tensor = self.layers[0](x)
        return answer


def layers_in_a_plain_list() -> Exportable:
    """Weights that the module doesn't know to be its own."""
    return Exportable(Registered(), (torch.randn(3, 5),), dynamic=ROWS)


class Catches(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        try:
            return x.view(2, -1)[:, :1]
        except RuntimeError:
            return x[:2, :1] * 0


def exception_as_a_branch() -> Exportable:
    return Exportable(Catches(), (torch.randn(4, 5),), dynamic={"x": ["n:2..", None]})


class Device(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(5))

    def forward(self, x: Tensor) -> Tensor:
        if x.device != self.weight.device:
            x = x.to(self.weight.device)
        return x.to(self.weight.dtype) * self.weight.to("cpu") + x.new_ones(x.shape)


def asks_for_its_device() -> Exportable:
    return Exportable(Device(), (torch.randn(3, 5),), dynamic=ROWS)


class Checkpointed(Plain):
    def forward(self, x: Tensor) -> Tensor:
        from torch.utils.checkpoint import checkpoint

        answer: Tensor = checkpoint(self.linear, x, use_reentrant=False)
        return answer


def checkpointed() -> Exportable:
    return Exportable(Checkpointed(), (torch.randn(3, 5),), dynamic=ROWS)


class Knows(nn.Module):
    """Code that is other code while it is exported: what is verified must be what was written."""

    def forward(self, x: Tensor) -> Tensor:
        if torch.compiler.is_exporting() or torch.onnx.is_in_onnx_export():
            return x * 2
        return x * 2.01


def another_way_while_exported() -> Exportable:
    return Exportable(Knows(), (torch.randn(3, 5),), dynamic=ROWS)
