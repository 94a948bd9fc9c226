"""Read and write models whose weights may be too large for one file."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import onnx
from onnx import external_data_helper

from edgekit.errors import ModelFileError

EXTERNAL_DATA_BYTES = 1_900_000_000
"""Above this a model's weights lie beside it: a protobuf message stops at 2 GB."""
_SMALL_BYTES = 1024
"""What never lies beside it: ONNX Runtime reads shapes and axes out of the model alone."""


def load_weights(model: Any, path: Path) -> bool:
    """Bring a model's external data into it, and tell whether there was any.

    Raises:
        ModelFileError: the data isn't where the model says.
    """
    outside = any(map(external_data_helper.uses_external_data, model.graph.initializer))
    try:
        external_data_helper.load_external_data_for_model(model, str(path.parent))
    except Exception as error:  # onnx's checker raises its own for a path that leads elsewhere
        raise ModelFileError(path=str(path), problem=" ".join(str(error).split())) from error
    return outside


def save(model: Any, path: Path, *, external_data: bool) -> tuple[str, ...]:
    """Write a model; return the names of the files beside it.

    The weights lie beside it where that is asked for or they are too large for it. Their file has
    a part of their hash in its name: in a package other weights never have the same name.
    """
    tensors = model.graph.initializer
    if not external_data and sum(len(t.raw_data) for t in tensors) <= EXTERNAL_DATA_BYTES:
        onnx.save(model, path)
        return ()
    digest = hashlib.sha256()
    for tensor in tensors:
        digest.update(tensor.raw_data)
    beside = f"{path.stem}.{digest.hexdigest()[:8]}{path.suffix}.data"
    onnx.save(
        model,
        path,
        save_as_external_data=True,
        location=beside,
        size_threshold=_SMALL_BYTES,
    )
    return (beside,) if (path.parent / beside).exists() else ()
