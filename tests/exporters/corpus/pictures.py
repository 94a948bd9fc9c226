"""Convolutions, pooling, resizing and sampling, at odd sizes."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from exporters.exportable import Exportable

PICTURES = {"x": ["n", None, "h:7..", "w:7.."]}


def _picture() -> tuple[Tensor]:
    return (torch.randn(2, 3, 11, 13),)


class Layer(nn.Module):
    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        answer: Tensor = self.layers(x)
        return answer


def conv_same_padding() -> Exportable:
    """An even kernel with a dilation: one more on the right than on the left."""
    layer = Layer(nn.Conv2d(3, 4, (4, 3), padding="same", dilation=(1, 2), padding_mode="zeros"))
    return Exportable(layer, _picture(), dynamic=PICTURES)


def conv_reflected_and_circular() -> Exportable:
    """pytorch#86690, #108401: circular padding came out otherwise."""
    layer = Layer(
        nn.Conv2d(3, 3, 3, padding=1, padding_mode="reflect"),
        nn.Conv2d(3, 3, 3, padding=(2, 1), padding_mode="circular", stride=2),
        nn.ReplicationPad2d((1, 2, 0, 3)),
    )
    return Exportable(layer, _picture(), dynamic=PICTURES)


def conv_grouped() -> Exportable:
    layer = Layer(nn.Conv2d(3, 6, 3, groups=3, stride=(2, 1), dilation=2), nn.ChannelShuffle(3))
    return Exportable(layer, _picture(), dynamic=PICTURES)


def conv_transposed() -> Exportable:
    """pytorch#104206: output_padding was lost."""
    layer = Layer(
        nn.ConvTranspose2d(3, 6, 3, stride=2, output_padding=1, padding=1, groups=3),
        nn.ConvTranspose2d(6, 2, (4, 3), stride=(3, 2), dilation=2, bias=False),
    )
    return Exportable(layer, _picture(), dynamic=PICTURES)


def conv_three_dimensions() -> Exportable:
    layer = Layer(nn.Conv3d(2, 3, 3, padding=1), nn.MaxPool3d(2, ceil_mode=True), nn.BatchNorm3d(3))
    return Exportable(
        layer, (torch.randn(2, 2, 5, 7, 6),), dynamic={"x": ["n", None, "d:4..", "h:4..", None]}
    )


def average_pool_ceil() -> Exportable:
    """pytorch#183528: a window that hangs over the edge, and what counts as an element of it."""
    return Exportable(
        Layer(nn.AvgPool2d(3, stride=2, padding=1, ceil_mode=True, count_include_pad=True)),
        _picture(),
        dynamic=PICTURES,
    )


def average_pool_ceil_without_padding() -> Exportable:
    """onnx#4958: NaN where a window holds nothing."""
    return Exportable(
        Layer(nn.AvgPool2d(3, stride=2, padding=1, ceil_mode=True, count_include_pad=False)),
        _picture(),
        dynamic=PICTURES,
    )


def average_pool_ceil_odd_stride() -> Exportable:
    """pytorch#131272, #71549: the last window would start beyond the input: torch drops it."""
    return Exportable(
        Layer(nn.AvgPool2d(2, stride=3, padding=1, ceil_mode=True)), _picture(), dynamic=PICTURES
    )


def average_pool_divisor() -> Exportable:
    return Exportable(
        Layer(nn.AvgPool2d(2, stride=2, divisor_override=3)), _picture(), dynamic=PICTURES
    )


def max_pool_ceil_dilated() -> Exportable:
    return Exportable(
        Layer(nn.MaxPool2d(3, stride=2, padding=1, dilation=2, ceil_mode=True)),
        _picture(),
        dynamic=PICTURES,
    )


def max_pool_ceil_odd_stride() -> Exportable:
    return Exportable(
        Layer(nn.MaxPool2d(2, stride=3, padding=1, ceil_mode=True)), _picture(), dynamic=PICTURES
    )


class Unpools(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        values, indices = functional.max_pool2d(x, 2, return_indices=True)
        return functional.max_unpool2d(values, indices, (2, 2)), indices


def max_pool_with_indices() -> Exportable:
    """onnx#2398: torch counts within one channel, ONNX through the whole tensor."""
    return Exportable(Unpools(), (torch.randn(2, 3, 8, 8),), dynamic={"x": ["n"]})


def adaptive_pool_to_one() -> Exportable:
    return Exportable(Layer(nn.AdaptiveAvgPool2d(1), nn.Flatten()), _picture(), dynamic=PICTURES)


def adaptive_pool_to_three() -> Exportable:
    """Windows of unequal sizes, which depend on the input's size."""
    return Exportable(Layer(nn.AdaptiveAvgPool2d(3)), _picture(), dynamic=PICTURES)


def adaptive_pool_to_three_static() -> Exportable:
    return Exportable(Layer(nn.AdaptiveAvgPool2d(3)), _picture(), dynamic={"x": ["n"]})


def adaptive_max_pool_static() -> Exportable:
    return Exportable(Layer(nn.AdaptiveMaxPool2d((3, 4))), _picture(), dynamic={"x": ["n"]})


def adaptive_pool_that_divides() -> Exportable:
    return Exportable(
        Layer(nn.AdaptiveAvgPool2d(4)), (torch.randn(2, 3, 12, 8),), dynamic={"x": ["n"]}
    )


def power_average_pool() -> Exportable:
    return Exportable(Layer(nn.Softplus(), nn.LPPool2d(2, 3, 2)), _picture(), dynamic=PICTURES)


class Resizes(nn.Module):
    def __init__(self, mode: str, *, corners: bool | None = None, antialias: bool = False) -> None:
        super().__init__()
        self.mode, self.corners, self.antialias = mode, corners, antialias

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        def to(size: tuple[int, int] | None = None, factor: float | None = None) -> Tensor:
            return functional.interpolate(
                x, size, factor, self.mode, self.corners, antialias=self.antialias
            )

        return to((5, 17)), to(factor=1.7), to((x.shape[2] * 2, x.shape[3] * 2))


def resize_nearest() -> Exportable:
    return Exportable(Resizes("nearest"), _picture(), dynamic=PICTURES)


def resize_nearest_exact() -> Exportable:
    return Exportable(Resizes("nearest-exact"), _picture(), dynamic=PICTURES)


def resize_bilinear() -> Exportable:
    return Exportable(Resizes("bilinear", corners=False), _picture(), dynamic=PICTURES)


def resize_bilinear_corners() -> Exportable:
    return Exportable(Resizes("bilinear", corners=True), _picture(), dynamic=PICTURES)


def resize_bicubic() -> Exportable:
    return Exportable(Resizes("bicubic", corners=False), _picture(), dynamic=PICTURES)


def resize_antialias() -> Exportable:
    return Exportable(
        Resizes("bilinear", corners=False, antialias=True), _picture(), dynamic=PICTURES
    )


def resize_bicubic_antialias() -> Exportable:
    """pytorch#177138: antialiasing takes another cubic coefficient, -0.5 for -0.75."""
    return Exportable(
        Resizes("bicubic", corners=False, antialias=True), _picture(), dynamic=PICTURES
    )


def resize_area() -> Exportable:
    return Exportable(Resizes("area"), _picture(), dynamic={"x": ["n"]})


class Recomputed(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return functional.interpolate(
            x, scale_factor=1.7, mode="bilinear", recompute_scale_factor=True
        )


def resize_with_a_recomputed_factor() -> Exportable:
    return Exportable(Recomputed(), _picture(), dynamic=PICTURES)


class Samples(nn.Module):
    def __init__(self, mode: str, padding: str, *, corners: bool) -> None:
        super().__init__()
        self.mode, self.padding, self.corners = mode, padding, corners

    def forward(self, x: Tensor, grid: Tensor) -> Tensor:
        return functional.grid_sample(
            x, grid, mode=self.mode, padding_mode=self.padding, align_corners=self.corners
        )


def _sampled(mode: str, padding: str, *, corners: bool) -> Exportable:
    return Exportable(
        Samples(mode, padding, corners=corners),
        (torch.randn(2, 3, 5, 7), torch.rand(2, 4, 6, 2) * 2.6 - 1.3),
        values={"grid": (-1.5, 1.5)},
        dynamic={"x": ["n", None, "h:3..", None], "grid": ["n", "g", None, None]},
    )


def grid_sample_bilinear() -> Exportable:
    return _sampled("bilinear", "zeros", corners=False)


def grid_sample_bicubic_border() -> Exportable:
    return _sampled("bicubic", "border", corners=True)


def grid_sample_reflected() -> Exportable:
    return _sampled("bilinear", "reflection", corners=False)


class Affine(nn.Module):
    def forward(self, x: Tensor, theta: Tensor) -> Tensor:
        grid = functional.affine_grid(theta, list(x.shape), align_corners=False)
        return functional.grid_sample(x, grid, align_corners=False)


def affine_grid() -> Exportable:
    return Exportable(
        Affine(),
        (torch.randn(2, 3, 5, 7), torch.randn(2, 2, 3) * 0.5),
        dynamic={"x": ["n"], "theta": ["n"]},
    )


class Shuffles(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        up = functional.pixel_shuffle(x, 2)
        return up, functional.pixel_unshuffle(up, 2)


def pixel_shuffle() -> Exportable:
    return Exportable(Shuffles(), (torch.randn(2, 8, 3, 5),), dynamic={"x": ["n", None, "h", "w"]})


class Columns(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return functional.unfold(x, (3, 2), padding=1, stride=2, dilation=(1, 2))


def unfold_dynamic() -> Exportable:
    return Exportable(Columns(), _picture(), dynamic=PICTURES)


class Back(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return functional.fold(functional.unfold(x, 3, padding=1), (8, 9), 3, padding=1)


def fold() -> Exportable:
    return Exportable(Back(), (torch.randn(2, 3, 8, 9),), dynamic={"x": ["n"]})


class Statistics(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.group = nn.GroupNorm(2, 4)
        self.instance = nn.InstanceNorm2d(4, affine=True)
        self.local = nn.LocalResponseNorm(3)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return self.group(x), self.instance(x), self.local(x), functional.normalize(x, p=3, dim=1)


def norms() -> Exportable:
    return Exportable(
        Statistics(), (torch.randn(2, 4, 5, 6),), dynamic={"x": ["n", None, "h:2..", "w:2.."]}
    )
