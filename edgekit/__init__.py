"""Take a PyTorch model to where compute is scarce, and show what that cost.

    >>> import edgekit
    >>> model = edgekit.load("cnn.edgekit")
    >>> logits = model(image)

Importing this package loads neither torch nor onnxruntime nor numpy.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from edgekit.errors import EdgekitError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from os import PathLike

    from edgekit.runtime import Model
    from edgekit.terms import Idle

__all__ = ["EdgekitError", "__version__", "load"]

__version__ = "0.1.0"

# onnxruntime's wheels for Linux and macOS send what is run, and how fast, to their maker, from 1.29
# on and by default. Whether they do is settled when the library is loaded, so this comes before any
# import of it, here and in every worker. Who wants it sets the variable to 0.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")


def load(
    package: str | PathLike[str],
    *,
    variant: str | None = None,
    provider: str | None = None,
    threads: int | None = None,
    idle: Idle | None = None,
    verify: bool = False,
    strict: bool = False,
    provider_options: Mapping[str, str] | None = None,
    provider_library: str | PathLike[str] | None = None,
) -> Model:
    """Open a model package, or a plain ``.onnx`` file, ready to be called.

    See `edgekit.runtime.load`, which this hands on to, for the arguments and for what is raised.
    """
    from edgekit import runtime

    return runtime.load(
        package,
        variant=variant,
        provider=provider,
        threads=threads,
        idle=idle,
        verify=verify,
        strict=strict,
        provider_options=provider_options,
        provider_library=provider_library,
    )
