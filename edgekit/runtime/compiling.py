"""Open a model on a provider that compiles it, and find again what it compiled before.

The first start compiles, and writes an EP context model: the same inputs and outputs around what
was compiled. Every later start opens that one in its place, in seconds. Where a provider writes
none, it finds its own files in its folder (TensorRT's engines and timing cache).

TensorRT compiles for a range of sizes and refuses every other size as it runs: nothing is compiled
anew where the range was given to it, nor where an EP context model was opened (`Compile` and
`CreateNodeComputeInfoFromPrecompiledEngine` in onnxruntime's tensorrt_execution_provider.cc). So a
dimension without an end gets one here, which the model's signature then says; and no EP context
model is written of a model whose sizes nothing tells.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import msgspec
import onnxruntime as ort

from edgekit import providers
from edgekit.compiled import keys
from edgekit.compiled.building import prepared
from edgekit.compiled.keys import CompileKey, model_sha256, plain_sha256
from edgekit.compiled.prepared import Prepared
from edgekit.errors import BadValue, EdgekitError
from edgekit.package.reading import Stamp, Verified
from edgekit.package.values import SessionChoice
from edgekit.providers import Occasion, ProviderInfo, libraries, profiles
from edgekit.providers.profiles import Profile
from edgekit.runtime.sessions import open_session
from edgekit.tensors import Signature

__all__ = ["CONTEXT_FILE", "Compiled", "model_sha256", "open_compiled", "plain_sha256"]

log = logging.getLogger("edgekit")

CONTEXT_FILE = "model_ctx.onnx"


class Compiled(NamedTuple):
    """A session, the private folder that it may still read and write, and what it takes.

    Whoever closes the session lets `folder` adopt what is new and closes it after that. A
    dimension of `signature` ends where the provider was compiled to; None where none was known.
    """

    session: ort.InferenceSession
    folder: Prepared
    signature: Signature | None


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
) -> Compiled:
    """Make a session of what was compiled before, or compile it now, once for all processes.

    Args:
        model: the .onnx file.
        choice: how it is to run.
        sha256: the hash of the model, see `edgekit.compiled.keys.model_sha256`.
        occasion: what the provider is told of the model; its folder is chosen here.
        label: what the model is, in messages: "cnn · fp32".
        external: the files beside the model that hold its weights.
        library: a plug-in provider's library, where the user named one.
        profile: begin a profile in a file whose name starts with this.

    Raises what `open_session` raises.
    """
    provider = providers.find(choice.provider, library=library)
    occasion, ranges = _with_ranges(provider, occasion, label)
    # A plain file, of which nothing is known, may take any size.
    context = occasion.signature is not None or not provider.profile_form
    made: list[ort.InferenceSession] = []

    def opened(folder: Path, told: Occasion, *, context: bool) -> ort.InferenceSession:
        here = msgspec.structs.replace(
            told, folder=str(folder), context=str(folder / CONTEXT_FILE) if context else None
        )
        return open_session(
            model, choice, external=external, library=library, occasion=here, profile=profile
        )

    def compiled_in(folder: Path, *, context: bool) -> ort.InferenceSession:
        try:
            return opened(folder, occasion, context=context)
        except EdgekitError as error:
            if not ranges.inputs or not provider.diagnose().usable:
                raise
            # A graph that is split has inputs inside, of which a package knows no sizes.
            log.warning(
                "%s is compiled without the ranges of its sizes, so every new size compiles "
                "once more: %s",
                *(label, error),
            )
            return opened(folder, Occasion(), context=False)

    def found(folder: Path) -> ort.InferenceSession:
        try:
            if (folder / CONTEXT_FILE).is_file():
                session = _from_context(folder / CONTEXT_FILE, choice, library, profile)
                if _is_whole(session, occasion.signature):
                    return session
                del session
                (folder / CONTEXT_FILE).unlink()
            return compiled_in(folder, context=False)
        except EdgekitError as error:
            log.warning(
                "what was compiled of %s before can't be opened, so it is compiled again: %s",
                *(label, error),
            )
            kept.empty()
            return compiled_in(folder, context=context)

    def build(folder: Path) -> None:
        made.append(compiled_in(folder, context=context))

    kept = prepared(_key(choice, sha256, occasion, library), build, label=label)
    try:
        if not made:
            made.append(found(kept.folder))
    except BaseException:
        kept.close()
        raise
    return Compiled(made[0], kept, profiles.reachable(occasion.signature, ranges))


def _from_context(
    found: Path, choice: SessionChoice, library: str | None, profile: Path | None
) -> ort.InferenceSession:
    """Open an EP context model, by its path: what was compiled lies beside it."""
    status = found.stat()
    stamp = Stamp(status.st_ino, status.st_size, status.st_mtime_ns)
    return open_session(Verified(found, None, stamp), choice, library=library, profile=profile)


def _is_whole(session: ort.InferenceSession, signature: Signature | None) -> bool:
    """Tell whether a session is of the whole model: TensorRT's provider writes an EP context model
    for each part of a graph that is split, and of all of them the last one stays.
    """
    return signature is None or all(
        [one.name for one in found] == [spec.name for spec in told]
        for found, told in (
            (session.get_inputs(), signature.inputs),
            (session.get_outputs(), signature.outputs),
        )
    )


def _with_ranges(
    provider: ProviderInfo, occasion: Occasion, label: str
) -> tuple[Occasion, Profile]:
    """Give the ranges to compile for; leave out those that the provider's options can't hold."""
    if not provider.profile_form or occasion.signature is None:
        return occasion, Profile()
    try:
        ranges = profiles.profile(occasion.signature, seen=occasion.sizes)
    except BadValue as error:
        log.warning("%s is compiled for each size that comes, one by one: %s", label, error)
        return Occasion(), Profile()
    if ranges.bounded:
        log.warning(
            "%s is compiled for %s, and takes no larger size on %s: export it with --dynamic and "
            "a range to say how far sizes go",
            label,
            ", ".join(f"{name} up to {size}" for name, size in ranges.bounded.items()),
            provider.name,
        )
    return occasion, ranges


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
        environment={
            name: os.environ[name]
            for name in sorted(provider.environment(choice))
            if name in os.environ
        },
        where=keys.surroundings(
            [*provider.packages, *(one.distribution for one in provider.libraries)],
            # TensorRT that came as an archive, or by the system's packages, has no distribution.
            files=[
                *named,
                *(path for one in provider.libraries for path in libraries.versions_of(one.file)),
            ],
        ),
    )
