"""Functions at their edges: infinities, thresholds, signs of zero, sums that differ by order."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from exporters.exportable import Exportable

ROWS = {"x": ["n", None]}


class Activations(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return (
            functional.softplus(x, beta=2, threshold=3),
            functional.gelu(x, approximate="tanh"),
            functional.gelu(x),
            functional.hardswish(x),
            functional.hardsigmoid(x),
            functional.celu(x, 0.7),
            functional.selu(x),
            functional.elu(x, 0.3),
            functional.mish(x),
            functional.silu(x),
            functional.hardtanh(x, -0.3, 0.7),
            functional.softshrink(x, 0.4),
            functional.hardshrink(x, 0.4),
            functional.tanhshrink(x),
            functional.relu6(x * 4),
            functional.softsign(x),
        )


def activations() -> Exportable:
    return Exportable(Activations(), (torch.randn(3, 5),), dynamic=ROWS)


class LogSigmoid(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return functional.logsigmoid(x)


def log_of_sigmoid() -> Exportable:
    """-inf below -88 where it is computed as the logarithm of the sigmoid."""
    return Exportable(LogSigmoid(), (torch.randn(3, 5),), dynamic=ROWS)


class Angle(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.atan2(x, x - 1)


def angle_at_zero() -> Exportable:
    """atan2(0, -1) is pi; -pi where the sign of the first is asked by `> 0`."""
    return Exportable(Angle(), (torch.randn(3, 5),), dynamic=ROWS)


class ErrorFunction(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.erfinv(torch.tanh(x) * 0.9)


def inverse_error_function() -> Exportable:
    return Exportable(ErrorFunction(), (torch.randn(3, 5),), dynamic=ROWS)


class Clamps(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.low, self.high = torch.tensor([-0.5]), torch.tensor([0.5])

    def forward(self, x: Tensor) -> Tensor:
        return torch.where(x.abs() < 0.3, float("nan"), x).clamp(self.low, self.high)


def clamp_of_nan_between_tensors() -> Exportable:
    """pytorch#130826: NaN became the lower bound."""
    return Exportable(Clamps(), (torch.randn(3, 9),), dynamic=ROWS)


class Special(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        unit = torch.tanh(x)
        return (
            torch.erf(x),
            torch.copysign(torch.ones_like(x), x),
            torch.expm1(x * 1e-3),
            torch.log1p(x.abs() * 1e-3),
            torch.logaddexp(x, -x),
            torch.xlogy(unit.abs(), x.abs() + 1),
            torch.hypot(x, x + 1),
            torch.sinh(unit),
            torch.asinh(x),
            torch.atanh(unit * 0.9),
            torch.lerp(x, unit, 0.3),
            torch.addcmul(x, unit, x, value=0.5),
        )


def special_functions() -> Exportable:
    return Exportable(Special(), (torch.randn(3, 5),), dynamic=ROWS)


class Gammas(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return torch.lgamma(x.abs() + 1), torch.digamma(x.abs() + 1)


def gamma_functions() -> Exportable:
    return Exportable(Gammas(), (torch.randn(3, 5),), dynamic=ROWS)


class Infinities(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        y = torch.where(x > 1, float("inf"), torch.where(x < -1, float("-inf"), x))
        z = torch.where(x.abs() < 0.3, float("nan"), y)
        return (
            torch.logsumexp(y, 1),
            z.isnan(),
            y.isinf(),
            z.nan_to_num(1.0, 2.0, -2.0),
            z.max(1).values,
            z.relu(),
            z.clamp(-2, 2),
            torch.maximum(z, x),
            z.argmax(1),
            z > 0,
            torch.sign(z),
        )


def infinities_and_nan() -> Exportable:
    """Where NaN counts as the largest, as the smallest, or gets lost."""
    return Exportable(Infinities(), (torch.randn(3, 9),), dynamic=ROWS)


class NegativeZero(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        zero = x * 0
        return 1 / zero, zero.relu(), torch.round(x / 9), zero.abs(), -zero


def sign_of_zero() -> Exportable:
    return Exportable(NegativeZero(), (torch.randn(3, 5),), dynamic=ROWS)


class Cumulates(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return x.cumsum(1), x.cumsum(0), x.flip(1).cumsum(1)


def cumulative_sums() -> Exportable:
    return Exportable(Cumulates(), (torch.randn(3, 5),), dynamic={"x": ["n", "t"]})


class CumulatesMore(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return x.cumprod(1), x.cumprod(0)


def cumulative_products() -> Exportable:
    return Exportable(CumulatesMore(), (torch.randn(3, 5),), dynamic=ROWS)


class Powers(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return x**3, x**-2, 2**x, x.abs() ** 0.5, x.pow(x.round()), torch.float_power(x, 2), 1 / x


def powers() -> Exportable:
    return Exportable(Powers(), (torch.randn(3, 5),), dynamic=ROWS)


class Algebra(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        square = x @ x.transpose(1, 2) + torch.eye(4)
        return torch.linalg.det(square), torch.logdet(square)


def determinants() -> Exportable:
    return Exportable(Algebra(), (torch.randn(3, 4, 4),), dynamic={"x": ["n"]})


class Inverts(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        answer: Tensor = torch.linalg.inv(x @ x.transpose(1, 2) + torch.eye(4))
        return answer


def inverse() -> Exportable:
    return Exportable(Inverts(), (torch.randn(3, 4, 4),), dynamic={"x": ["n"]})


class Decomposes(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        answer: Tensor = torch.linalg.svdvals(x)
        return answer


def singular_values() -> Exportable:
    return Exportable(Decomposes(), (torch.randn(3, 4, 4),), dynamic={"x": ["n"]})


class Spectrum(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        answer: Tensor = torch.fft.rfft(x, dim=-1).abs()
        return answer


def spectrum() -> Exportable:
    return Exportable(Spectrum(), (torch.randn(3, 16),), dynamic={"x": ["n", "t:4.."]})


class ShortTime(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        window = torch.hann_window(16)
        return torch.stft(x, 16, 8, window=window, return_complex=True).abs() ** 2


def short_time_spectrum() -> Exportable:
    return Exportable(ShortTime(), (torch.randn(3, 64),), dynamic={"x": ["n", "t:16.."]})


class Inverse(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        answer: Tensor = torch.fft.irfft(torch.fft.rfft(x) * 2, n=16)
        return answer


def spectrum_and_back() -> Exportable:
    return Exportable(Inverse(), (torch.randn(3, 16),), dynamic=ROWS)


class Einsum(nn.Module):
    def forward(self, x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
        return (
            torch.einsum("bij,bkj->bik", x, y),
            torch.einsum("...ij->...ji", x),
            torch.einsum("bii->b", x @ x.transpose(1, 2)),
            torch.tensordot(x, y, dims=([2], [2])),
            torch.bmm(x, y.transpose(1, 2)),
        )


def einsum() -> Exportable:
    return Exportable(
        Einsum(),
        (torch.randn(3, 4, 5), torch.randn(3, 6, 5)),
        dynamic={"x": ["n", "t", None], "y": ["n", "s", None]},
    )


class Distances(nn.Module):
    def forward(self, x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
        return torch.cdist(x, y), functional.cosine_similarity(x[:, None], y, dim=-1)


def distances() -> Exportable:
    return Exportable(
        Distances(),
        (torch.randn(3, 5), torch.randn(4, 5)),
        dynamic={"x": ["n", None], "y": ["m", None]},
    )


class Reduces(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return (
            x.amax((0, 2)),
            x.mean(dim=(1, 2), keepdim=True),
            x.var(dim=(0, 1)),
            torch.std_mean(x, 2)[0],
            torch.aminmax(x, dim=1)[1],
            x.norm(p=float("inf"), dim=1),
            torch.count_nonzero(x > 0, 1),
        )


def reductions() -> Exportable:
    return Exportable(Reduces(), (torch.randn(3, 4, 5),), dynamic={"x": ["n:2..", "t:2..", None]})


class Losses(nn.Module):
    def forward(self, x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
        return (
            functional.cross_entropy(x, y, label_smoothing=0.1),
            functional.nll_loss(x.log_softmax(1), y, ignore_index=2),
            functional.smooth_l1_loss(x, x.flip(0)),
        )


def losses() -> Exportable:
    return Exportable(
        Losses(),
        (torch.randn(3, 5), torch.tensor([0, 4, 2])),
        dynamic={"x": ["n", None], "y": ["n"]},
    )
