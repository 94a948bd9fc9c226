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
from edgekit.errors import BadValue, EdgekitError
from edgekit.package import compiled
from edgekit.package.building import Prepared, prepared
from edgekit.package.compiled import CompileKey, model_sha256, plain_sha256
from edgekit.package.reading import Stamp, Verified
from edgekit.package.values import SessionChoice
from edgekit.providers import Occasion, ProviderInfo, libraries, profiles
from edgekit.providers.profiles import Profile
from edgekit.runtime.sessions import open_session

__all__ = ["CONTEXT_FILE", "model_sha256", "open_compiled", "plain_sha256"]

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
    profile: Path | None = None,
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
        profile: begin a profile in a file whose name starts with this.

    Returns:
        The session, and the private folder that it may still read and write: whoever closes the
        session lets it `adopt` what is new and closes it after that.

    Raises what `open_session` raises.
    """
    provider = providers.find(choice.provider, library=library)
    occasion = _writable(provider, occasion, label)
    made: list[ort.InferenceSession] = []

    def opened(folder: Path, told: Occasion, *, context: bool) -> ort.InferenceSession:
        here = msgspec.structs.replace(
            told, folder=str(folder), context=str(folder / CONTEXT_FILE) if context else None
        )
        return open_session(
            model, choice, external=external, library=library, occasion=here, profile=profile
        )

    def build(folder: Path) -> None:
        try:
            made.append(opened(folder, occasion, context=True))
        except EdgekitError as error:
            if not _profile(provider, occasion).inputs:
                raise
            # A graph that is split has inputs inside, of which a package knows no sizes.
            log.warning(
                "%s is compiled without the ranges of its sizes, so every new size compiles "
                "once more: %s",
                *(label, error),
            )
            made.append(opened(folder, Occasion(), context=True))

    kept = prepared(_key(choice, sha256, occasion, library), build, label=label)
    try:
        if not made:
            found = kept.folder / CONTEXT_FILE
            session = _from_context(found, choice, library, profile) if found.is_file() else None
            made.append(session or opened(kept.folder, occasion, context=False))
    except BaseException:
        kept.close()
        raise
    return made[0], kept


def _from_context(
    found: Path, choice: SessionChoice, library: str | None, profile: Path | None
) -> ort.InferenceSession | None:
    """Open an EP context model; None, with a warning, where ONNX Runtime refuses it."""
    status = found.stat()
    stamp = Stamp(status.st_ino, status.st_size, status.st_mtime_ns)
    try:
        return open_session(Verified(found, None, stamp), choice, library=library, profile=profile)
    except EdgekitError as error:
        log.warning("what was compiled before can't be opened, so it is compiled again: %s", error)
        return None


def _writable(provider: ProviderInfo, occasion: Occasion, label: str) -> Occasion:
    """Leave out ranges that the provider's options can't hold; say how far open ones reach."""
    try:
        bounded = _profile(provider, occasion).bounded
    except BadValue as error:
        log.warning("%s is compiled for each size that comes, one by one: %s", label, error)
        return Occasion()
    if bounded:
        log.info(
            "%s is compiled for %s; a larger size is right too and compiles once more. Export it "
            "with --dynamic and a range to say how far sizes go",
            label,
            ", ".join(f"{name} up to {size}" for name, size in bounded.items()),
        )
    return occasion


def _profile(provider: ProviderInfo, occasion: Occasion) -> Profile:
    if not provider.profile_form or occasion.signature is None:
        return Profile()
    return profiles.profile(occasion.signature, seen=occasion.sizes)


def _key(choice: SessionChoice, sha256: str, occasion: Occasion, library: str | None) -> CompileKey:
    provider = providers.find(choice.provider, library=library)
    settings = provider.translate(choice, occasion)
    named = [library] if library is not None else []
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
            [*provider.packages, *(one.distribution for one in provider.libraries)],
            # TensorRT that came as an archive, or by the system's packages, has no distribution.
            files=[
                *named,
                *(path for one in provider.libraries for path in libraries.versions_of(one.file)),
            ],
        ),
    )
