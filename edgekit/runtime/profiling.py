"""One run under ONNX Runtime's profiler: what only that tells."""

from __future__ import annotations

import tempfile
from pathlib import Path

import msgspec
import onnxruntime as ort

from edgekit import providers
from edgekit.package import reading
from edgekit.package.reading import Stamp, Verified, open_verified
from edgekit.package.values import SessionChoice
from edgekit.runtime import placement
from edgekit.runtime.loading import choose
from edgekit.runtime.recording import OPTIONS
from edgekit.runtime.sessions import open_session
from edgekit.tensors import Feed


def count_copies(
    path: Path, variant: str, session: SessionChoice, *, feed: Feed, library: str | None = None
) -> int | None:
    """Run a model once in a session of its own, and count the nodes that copied between memories.

    Arrays come from the host; that they are copied in and out is not counted, since no node does.

    Args:
        path: the package's folder, or an .onnx file.
        variant: a variant's name.
        session: how it runs; its calls aren't recorded for this one run.
        feed: arrays that fit, as a call would make them.
        library: a plug-in provider's library, where the user named one.

    Returns:
        How many; 0 without a run where the provider works in the processor's memory; None where
        it compiles the model, which it would do again for this.

    Raises what `edgekit.load` raises.
    """
    provider = providers.find(session.provider, library=library)
    if not provider.device:
        return 0
    if provider.builds:
        return None
    kept = {k: v for k, v in session.provider_options.items() if k not in OPTIONS}
    plain = msgspec.structs.replace(session, provider_options=kept)
    with tempfile.TemporaryDirectory(prefix="edgekit-profile-") as folder:
        opened = _opened(path, variant, plain, Path(folder) / "run", library)
        opened.run(None, dict(feed))
        return placement.copies(Path(opened.end_profiling()))


def _opened(
    path: Path, variant: str, session: SessionChoice, profile: Path, library: str | None
) -> ort.InferenceSession:
    if path.suffix.lower() == ".onnx" and not path.is_dir():
        status = path.stat()
        file = Verified(path, None, Stamp(status.st_ino, status.st_size, status.st_mtime_ns))
        return open_session(file, session, library=library, profile=profile)
    package = reading.read(path)
    chosen, _ = choose(package, variant)
    files = {
        name: open_verified(path, name, package.files[name]) for name in reading.files_of(chosen)
    }
    model = files.pop(chosen.model)
    return open_session(model, session, external=files, library=library, profile=profile)
