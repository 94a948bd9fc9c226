"""One run under ONNX Runtime's profiler: what only that tells."""

from __future__ import annotations

import tempfile
from pathlib import Path

import msgspec

from edgekit import providers
from edgekit.package.values import SessionChoice
from edgekit.runtime import placement
from edgekit.runtime.loading import open_model
from edgekit.runtime.recordable import OPTIONS
from edgekit.tensors import Feed


def count_copies(
    path: Path, variant: str, session: SessionChoice, *, feed: Feed, library: str | None = None
) -> int:
    """Run a model once in a session of its own, and count the nodes that copied between memories.

    Arrays come from the host; that they are copied in and out is not counted, since no node does.

    Args:
        path: the package's folder, or an .onnx file.
        variant: a variant's name.
        session: how it runs; its calls aren't recorded for this one run.
        feed: arrays that fit, as a call would make them.
        library: a plug-in provider's library, where the user named one.

    Returns:
        How many; 0 without a run where the provider works in the processor's memory.

    Raises what `edgekit.load` raises.
    """
    provider = providers.find(session.provider, library=library)
    if not provider.device:
        return 0
    kept = {k: v for k, v in session.provider_options.items() if k not in OPTIONS}
    plain = msgspec.structs.replace(session, provider_options=kept)
    with (
        tempfile.TemporaryDirectory(prefix="edgekit-profile-") as folder,
        open_model(path, variant, plain, library=library, profile=Path(folder) / "run") as model,
    ):
        model(feed)
        return placement.copies(model.end_profile())
