"""An .onnx in, a faster one with the same numbers out: one rewrite a file of `passes`.

What computes is imported when it is used, so that results can be read without `onnx`.
"""

from edgekit.optimize.making import optimize
from edgekit.optimize.results import Optimized, Tried

__all__ = ["Optimized", "Tried", "optimize"]
