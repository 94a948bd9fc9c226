"""Types other than float32, and whole numbers at their edges."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from exporters.exportable import Exportable

ROWS = {"x": ["n", None]}


class Layers(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(5, 8), nn.GELU(), nn.LayerNorm(8), nn.Linear(8, 3))

    def forward(self, x: Tensor) -> Tensor:
        answer: Tensor = self.layers(x)
        return answer


def half_weights() -> Exportable:
    return Exportable(Layers().half(), (torch.randn(3, 5).half(),), dynamic=ROWS)


def bfloat16_weights() -> Exportable:
    """ONNX Runtime's CPU provider has no bfloat16 kernels."""
    return Exportable(Layers().bfloat16(), (torch.randn(3, 5).bfloat16(),), dynamic=ROWS)


def double_weights() -> Exportable:
    return Exportable(Layers().double(), (torch.randn(3, 5).double(),), dynamic=ROWS)


class Between(nn.Module):
    """float32 outside, a half inside."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(5, 4).half()

    def forward(self, x: Tensor) -> Tensor:
        return torch.softmax(self.linear(x.half()).float(), -1)


def half_inside() -> Exportable:
    return Exportable(Between(), (torch.randn(3, 5),), dynamic=ROWS)


class Autocast(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(5, 4)

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            answer: Tensor = self.linear(x).float()
            return answer


def autocast_inside() -> Exportable:
    return Exportable(Autocast(), (torch.randn(3, 5),), dynamic=ROWS)


class Promotes(nn.Module):
    def forward(self, x: Tensor, whole: Tensor) -> Tensor:
        return x * whole + whole / 2 + (whole > 1) * 3 + whole * 1.5


def mixed_types() -> Exportable:
    return Exportable(
        Promotes(),
        (torch.randn(3, 5), torch.tensor([[1, -2, 3, 0, 7]])),
        values={"whole": (-9.0, 9.0)},
        dynamic=ROWS,
    )


class Divides(nn.Module):
    def forward(self, x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
        return (
            x // y,
            x % y,
            torch.fmod(x, y),
            torch.remainder(x, y),
            torch.div(x, y, rounding_mode="trunc"),
            torch.div(x, y, rounding_mode="floor"),
            x / y,
        )


def whole_division_of_negatives() -> Exportable:
    """onnxscript#989, pytorch#78442: Python rounds down, C towards zero."""
    x = torch.tensor([-7, 7, -8, 9, -1, 5])
    y = torch.tensor([2, -3, 5, 4, 3, -5])
    return Exportable(
        Divides(), (x, y), values={"x": (-99.0, 99.0)}, dynamic={"x": ["n"], "y": ["n"]}
    )


def division_of_negatives() -> Exportable:
    x = torch.tensor([-7.5, 7, -8, 9, -1, 5])
    y = torch.tensor([2, -3, 5, 4.5, 3, -5])
    return Exportable(
        Divides(), (x, y), values={"y": (-5.0, 5.0)}, dynamic={"x": ["n"], "y": ["n"]}
    )


class Constants(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return x // 3, x % 3, x // -3, x % -3, torch.div(x, 4, rounding_mode="trunc")


def whole_division_by_constants() -> Exportable:
    x = torch.tensor([-7, 7, -8, 9, -1, 5])
    return Exportable(Constants(), (x,), values={"x": (-99.0, 99.0)}, dynamic={"x": ["n"]})


def whole_division_int32() -> Exportable:
    x = torch.tensor([-7, 7, -8, 9, -1, 5], dtype=torch.int32)
    return Exportable(Constants(), (x,), values={"x": (-99.0, 99.0)}, dynamic={"x": ["n"]})


class Shifts(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return x << 2, x >> 1, x & 6, x | 9, x ^ 5, ~x


def shifts_of_negatives() -> Exportable:
    """A signed right shift keeps the sign; ONNX's BitShift is for unsigned numbers alone."""
    x = torch.tensor([-7, 7, -8, 9, -1, 5])
    return Exportable(Shifts(), (x,), values={"x": (-99.0, 99.0)}, dynamic={"x": ["n"]})


class Wraps(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return x + 100, x * 3, x.sum(0), x.float().mean(0)


def bytes_that_wrap() -> Exportable:
    x = torch.randint(0, 255, (3, 5), dtype=torch.uint8)
    return Exportable(Wraps(), (x,), values={"x": (0.0, 255.0)}, dynamic=ROWS)


def signed_bytes_that_wrap() -> Exportable:
    x = torch.randint(-128, 127, (3, 5), dtype=torch.int8)
    return Exportable(Wraps(), (x,), values={"x": (-128.0, 127.0)}, dynamic=ROWS)


class Casts(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return x.int(), x.long(), x.bool(), x.abs().to(torch.uint8), x.half(), x.double()


def casts() -> Exportable:
    """Towards zero, not to the nearest."""
    return Exportable(
        Casts(), (torch.randn(3, 5) * 9,), values={"x": (-200.0, 200.0)}, dynamic=ROWS
    )


class Pixels(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return (x.permute(0, 3, 1, 2) / 255 - 0.5) / 0.25


def pixels_of_bytes() -> Exportable:
    x = torch.randint(0, 255, (2, 4, 5, 3), dtype=torch.uint8)
    return Exportable(Pixels(), (x,), dynamic={"x": ["n", "h", "w", None]})


class Booleans(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        positive = x > 0
        return (
            positive,
            ~positive,
            positive.any(1),
            positive.all(1),
            positive.sum(1),
            positive ^ (x > 1),
        )


def booleans() -> Exportable:
    return Exportable(Booleans(), (torch.randn(3, 5),), dynamic=ROWS)


class Rounds(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        half = torch.round(x * 2) / 2
        return (
            half.round(),
            half.floor(),
            half.ceil(),
            half.trunc(),
            half.frac(),
            half.round(decimals=1),
        )


def rounds_half_to_even() -> Exportable:
    return Exportable(Rounds(), (torch.randn(3, 5) * 3,), dynamic=ROWS)


class Sums(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return x.sum(), x.sum(1), x.prod(1), x.cumsum(1), x.float().mean()


def sums_of_int32_are_int64() -> Exportable:
    x = torch.randint(-9, 9, (3, 5), dtype=torch.int32)
    return Exportable(Sums(), (x,), dynamic=ROWS)


class Large(nn.Module):
    table: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("table", torch.tensor([2**40 + 1, -(2**50), 3]))

    def forward(self, x: Tensor) -> Tensor:
        return x[:, :3] * 7 + self.table


def whole_numbers_beyond_a_float() -> Exportable:
    """2**40 + 1 does not survive a float32."""
    return Exportable(Large(), (torch.randint(-9, 9, (3, 5)),), dynamic=ROWS)


class Minimum(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return x.clamp(-3, 4), x.clamp(min=0), torch.minimum(x, x.flip(0)), x.abs(), x.sign(), x**2


def clamp_and_power_of_whole_numbers() -> Exportable:
    return Exportable(
        Minimum(), (torch.randint(-9, 9, (3, 5)),), values={"x": (-99.0, 99.0)}, dynamic=ROWS
    )
