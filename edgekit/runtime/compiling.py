"""Open a model on a provider that compiles it, and find again what it compiled before.

The first start compiles, and writes an EP context model: the same inputs and outputs around what
was compiled. Every later start opens that one in its place, in seconds. Where a provider writes
none, it finds its own files in its folder (TensorRT's engines and timing cache).
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

import msgspec
import onnxruntime as ort

from edgekit import providers
from edgekit.errors import EdgekitError
from edgekit.package import compiled
from edgekit.package.building import Prepared, prepared
from edgekit.package.compiled import CompileKey
from edgekit.package.reading import Stamp, Verified
from edgekit.package.values import SessionChoice
from edgekit.providers import Occasion
from edgekit.runtime.sessions import open_session

log = logging.getLogger("edgekit")

CONTEXT_FILE = "model_ctx.onnx"


def open_compiled(
    model: Verified,
    choice: SessionChoice,
    *,
    sha256: str,
    occasion: Occasion,
    label: str,
    external: Mapping[str, Verified] | None = None,
    library: str | None = None,
) -> tuple[ort.InferenceSession, Prepared]:
    """Make a session of what was compiled before, or compile it now, once for all processes.

    Args:
        model: the .onnx file.
        choice: how it is to run.
        sha256: the hash of the model, see `edgekit.package.compiled.model_sha256`.
        occasion: what the provider is told of the model; its folder is chosen here.
        label: what the model is, in messages: "cnn · fp32".
        external: the files beside the model that hold its weights.
        library: a plug-in provider's library, where the user named one.

    Returns:
        The session, and the private folder that it may still read and write: whoever closes the
        session lets it `adopt` what is new and closes it after that.

    Raises what `open_session` raises.
    """
    made: list[ort.InferenceSession] = []

    def opened(folder: Path, *, context: bool) -> ort.InferenceSession:
        here = msgspec.structs.replace(
            occasion,
            folder=str(folder),
            context=str(folder / CONTEXT_FILE) if context else None,
        )
        return open_session(model, choice, external=external, library=library, occasion=here)

    def build(folder: Path) -> None:
        made.append(opened(folder, context=True))

    key = _key(choice, sha256, occasion, library)
    kept = prepared(key, build, label=label)
    try:
        if not made:
            found = kept.folder / CONTEXT_FILE
            session = _from_context(found, choice, library) if found.is_file() else None
            made.append(session or opened(kept.folder, context=False))
    except BaseException:
        kept.close()
        raise
    return made[0], kept


def _from_context(
    found: Path, choice: SessionChoice, library: str | None
) -> ort.InferenceSession | None:
    """Open an EP context model; None, with a warning, where ONNX Runtime refuses it."""
    status = found.stat()
    stamp = Stamp(status.st_ino, status.st_size, status.st_mtime_ns)
    try:
        return open_session(Verified(found, None, stamp), choice, library=library)
    except EdgekitError as error:
        log.warning("what was compiled before can't be opened, so it is compiled again: %s", error)
        return None


def _key(choice: SessionChoice, sha256: str, occasion: Occasion, library: str | None) -> CompileKey:
    provider = providers.find(choice.provider, library=library)
    settings = provider.translate(choice, occasion)
    return CompileKey(
        provider=provider.name,
        model_sha256=sha256,
        provider_options={
            f"{ort_name}.{name}": value
            for ort_name, options in settings.providers
            for name, value in options.items()
        },
        session_options=choice.session_options,
        graph_level=choice.graph_level,
        where=compiled.surroundings(
            [*provider.packages, *(one.distribution for one in provider.libraries)]
        ),
    )
