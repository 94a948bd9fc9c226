"""Fewer bits: a variant of a package in another precision, with the accuracy that it kept.

>>> from edgekit.quantize import quantize
>>> done = quantize("cnn.edgekit", scheme="fp16")
"""

from __future__ import annotations

from edgekit.quantize.making import Quantized, quantize

__all__ = ["Quantized", "quantize"]
