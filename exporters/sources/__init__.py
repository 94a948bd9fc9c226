"""What a TARGET names, made into a module with example inputs; a file for each form of TARGET.

Runs the user's code, so it belongs in a worker.
"""

from __future__ import annotations

from exporters.sources.parameters import typed_parameters
from exporters.sources.targets import build
from exporters.sources.user_code import as_exportable

__all__ = ["as_exportable", "build", "typed_parameters"]
