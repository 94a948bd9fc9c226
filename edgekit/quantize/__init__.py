"""Fewer bits: a variant of a package in another precision, with the accuracy that it kept.

>>> from edgekit.quantize import quantize
>>> done = quantize("cnn.edgekit", scheme="int8-static")
"""

from __future__ import annotations

from edgekit.quantize.making import Quantized, quantize
from edgekit.quantize.scheme import Settings

__all__ = ["Quantized", "Settings", "quantize"]
