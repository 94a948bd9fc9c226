"""Make ONNX Runtime sessions that run where they were asked to run, or say why they can't."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import onnxruntime as ort

from edgekit import providers
from edgekit.errors import (
    CorruptPackage,
    EdgekitError,
    ModelFileError,
    ProviderUnavailable,
    ProviderUnfit,
)
from edgekit.installed import conflict
from edgekit.package.reading import Verified, unchanged
from edgekit.package.values import SessionChoice
from edgekit.providers.info import Diagnosis, Occasion, OrtSettings, ProviderInfo
from edgekit.tensors import Dim, Signature, TensorSpec, dtype_named
from edgekit.terms import DType, members

_ONLY_ERRORS = 3
_NO_RECORDING = "graph capture feature"
"""What ONNX Runtime says where nodes elsewhere, or copies, keep a graph from being recorded."""
_SAVED_WEIGHTS = "session.optimized_model_external_initializers_file_name"
_EXTERNAL_FOLDER = "session.model_external_initializers_file_folder_path"
_DTYPES = {
    f"tensor({onnx})": dtype
    for onnx, dtype in {
        **{name: name for name in members(DType)},
        "float": "float32",
        "double": "float64",
    }.items()
}


def open_session(
    model: Verified,
    choice: SessionChoice,
    *,
    external: Mapping[str, Verified] | None = None,
    library: str | None = None,
    occasion: Occasion | None = None,
    profile: Path | None = None,
    saved: Path | None = None,
) -> ort.InferenceSession:
    """Make a session from a verified file and its verified external data.

    From memory where the content was kept; by path where it was too large, in which case the path
    must still lead to the same file once the session stands.

    Args:
        model: the .onnx file.
        choice: how it is to run.
        external: the files beside it that hold its weights.
        library: a plug-in provider's library, where the user named one.
        occasion: what the provider is told of the model.
        profile: begin a profile in a file whose name starts with this.
        saved: write the graph that ONNX Runtime makes of the model into this file, its weights
            into another beside it.

    Raises:
        ProviderUnavailable: the asked provider isn't there, or the session doesn't run on it.
        ProviderUnfit: its kernels are to be recorded and can't be.
        ModelFileError: ONNX Runtime refuses the file.
        CorruptPackage: a large file changed while it was loaded.
    """
    provider = providers.find(choice.provider, library=library)
    settings = provider.translate(choice, occasion)
    _warn_of_conflict()
    if choice.provider != "cpu":
        # Asked before ONNX Runtime is: it would come up on the CPU, and say why on stderr alone.
        _refuse_unusable(provider)
    options = _session_options(settings)
    if profile is not None:
        options.enable_profiling = True
        options.profile_file_prefix = str(profile)
    if saved is not None:
        options.optimized_model_filepath = str(saved)
        options.add_session_config_entry(_SAVED_WEIGHTS, f"{saved.name}.weights")
    external = external or {}
    in_memory = model.content is not None and all(v.content is not None for v in external.values())
    if in_memory:
        # A model from memory would take external data that nobody verified from the folder where
        # the process happens to stand: there is none below a file.
        options.add_session_config_entry(_EXTERNAL_FOLDER, str(model.path))
        contents = {name: file.content or b"" for name, file in external.items()}
        options.add_external_initializers_from_files_in_memory(
            list(contents), list(contents.values()), list(map(len, contents.values()))
        )
    try:
        listed = _add_provider(options, provider, settings, choice)
        session = ort.InferenceSession(
            model.content if in_memory else str(model.path),
            sess_options=options,
            providers=listed,
            enable_fallback=False,
        )
    except EdgekitError:
        raise
    except Exception as error:  # onnxruntime's exceptions share no base class but this one
        if _NO_RECORDING in str(error):
            raise ProviderUnfit(
                provider=provider.name,
                variant=model.path.name,
                reason=f"its kernels cannot be recorded ({_one_line(error)}); leave out the option "
                "that asks for CUDA graphs",
            ) from error
        _refuse_unusable(provider, _one_line(error))
        if provider.ort_name in str(error):
            raise _unavailable(provider, _one_line(error), provider.diagnose()) from error
        raise ModelFileError(path=str(model.path), problem=_one_line(error)) from error
    if not in_memory:
        for file in (model, *external.values()):
            if not unchanged(file):
                raise CorruptPackage(
                    path=str(file.path), problem="it was changed while it was loaded"
                )
    got = session.get_providers()
    if not got or got[0] != provider.ort_name:
        seen = f"the session runs on {', '.join(got) or 'nothing'}"
        raise _unavailable(provider, seen, provider.diagnose())
    return session


def signature_of(session: ort.InferenceSession, *, path: Path) -> Signature:
    """Read a session's inputs and outputs; a dimension without a size or a name gets a name.

    A tensor whose rank the file leaves open can't be told from a scalar here.

    Raises:
        ModelFileError: an input or output is a sequence, a map, or of a type that can't be passed.
    """
    return Signature(
        inputs=tuple(_spec(node, path) for node in session.get_inputs()),
        outputs=tuple(_spec(node, path) for node in session.get_outputs()),
    )


def _spec(node: Any, path: Path) -> TensorSpec:
    dtype = _DTYPES.get(node.type)
    if dtype is None:
        raise ModelFileError(
            path=str(path),
            problem=f"{node.name} is a {node.type}; only tensors of numbers are supported",
        )
    if dtype == "bfloat16":
        # Measured on 1.31 and 1.32: "Numpy_type 256 can't be converted to MLDataType."
        raise ModelFileError(
            path=str(path),
            problem=f"{node.name} is bfloat16, which ONNX Runtime's Python interface cannot pass; "
            "export the model with float32 inputs and outputs (its weights may stay bfloat16)",
        )
    shape = tuple(
        size if isinstance(size, int) else Dim(size or f"{node.name}_{axis}")
        for axis, size in enumerate(node.shape)
    )
    return TensorSpec(node.name, dtype_named(dtype), shape)


def _session_options(settings: OrtSettings) -> ort.SessionOptions:
    options = ort.SessionOptions()
    options.log_severity_level = _ONLY_ERRORS
    options.intra_op_num_threads = settings.intra_op_num_threads
    options.inter_op_num_threads = settings.inter_op_num_threads
    options.graph_optimization_level = getattr(
        ort.GraphOptimizationLevel, settings.graph_optimization_level
    )
    for key, value in settings.config_entries.items():
        options.add_session_config_entry(key, value)
    return options


def _add_provider(
    options: ort.SessionOptions,
    provider: ProviderInfo,
    settings: OrtSettings,
    choice: SessionChoice,
) -> list[tuple[str, dict[str, str]]]:
    """Return the list of providers for the session; a plug-in goes into the options instead."""
    if settings.plugin is None:
        return list(settings.providers)
    from edgekit.providers import plugin

    devices = plugin.devices(settings.plugin, provider.ort_name, extra=provider.extra)
    for device in devices:
        unmet = provider.unmet(choice, device.ep_metadata)
        if unmet:
            raise ProviderUnavailable(
                provider=provider.name, cause=unmet, mend="Ask for another, or leave it out."
            )
    options.add_provider_for_devices(devices, settings.providers[0][1])
    return []


@functools.cache  # once a process: every load would say the same
def _warn_of_conflict() -> None:
    sentence = conflict()
    if sentence:
        import logging

        logging.getLogger("edgekit").warning("%s", sentence)


def _refuse_unusable(provider: ProviderInfo, seen: str = "") -> None:
    found = provider.diagnose()
    if not found.usable:
        raise _unavailable(provider, seen, found)


def _unavailable(provider: ProviderInfo, seen: str, found: Diagnosis) -> ProviderUnavailable:
    return ProviderUnavailable(
        provider=provider.name,
        cause=f"{found.cause} ({seen})" if found.cause and seen else found.cause or seen,
        mend=found.mend or "Run 'edgekit doctor' to see what is missing.",
        also=found.also,
    )


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
