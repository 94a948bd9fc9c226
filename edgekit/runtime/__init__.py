"""What an app embeds: numpy and onnxruntime, and a model that is called like a function."""

from __future__ import annotations

from edgekit.runtime.checks import CheckReport, CheckRow
from edgekit.runtime.loading import open_model
from edgekit.runtime.model import Explanation, Model
from edgekit.runtime.said import load

__all__ = [
    "CheckReport",
    "CheckRow",
    "Explanation",
    "Model",
    "load",
    "open_model",
]
