"""Make ONNX Runtime sessions that run where they were asked to run, or say why they can't."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import onnxruntime as ort

from edgekit import providers
from edgekit.errors import CorruptPackage, ModelFileError, ProviderUnavailable
from edgekit.package.reading import Verified, unchanged
from edgekit.package.values import SessionChoice
from edgekit.providers import plugin
from edgekit.providers.info import OrtSettings
from edgekit.tensors import Dim, Signature, TensorSpec, dtype_named
from edgekit.terms import DType, members

_ONLY_ERRORS = 3
_DTYPES = {
    f"tensor({onnx})": dtype
    for onnx, dtype in {
        **{name: name for name in members(DType)},
        "float": "float32",
        "double": "float64",
    }.items()
}


def open_session(
    model: Verified, choice: SessionChoice, *, external: Mapping[str, Verified] | None = None
) -> ort.InferenceSession:
    """Make a session from a verified file and its verified external data.

    From memory where the content was kept; by path where it was too large, in which case the path
    must still lead to the same file once the session stands.

    Raises:
        ProviderUnavailable: the asked provider isn't there, or the session doesn't run on it.
        ModelFileError: ONNX Runtime refuses the file.
        CorruptPackage: a large file changed while it was loaded.
    """
    provider = providers.find(choice.provider)
    settings = provider.translate(choice)
    options = _session_options(settings)
    external = external or {}
    in_memory = model.content is not None and all(v.content is not None for v in external.values())
    if in_memory and external:
        names, contents = list(external), [v.content for v in external.values()]
        options.add_external_initializers_from_files_in_memory(
            names, contents, [len(content or b"") for content in contents]
        )
    if settings.plugin is None:
        available = ort.get_available_providers()
        if provider.ort_name not in available:
            raise _unavailable(choice.provider, f"this onnxruntime has {', '.join(available)}")
        listed = [settings.provider]
    else:
        devices = plugin.devices(settings.plugin, provider.ort_name, extra=provider.extra)
        if not devices:
            raise _unavailable(choice.provider, "it found no hardware for itself")
        options.add_provider_for_devices(devices, settings.provider[1])
        listed = []
    try:
        session = ort.InferenceSession(
            model.content if in_memory else str(model.path),
            sess_options=options,
            providers=listed,
            enable_fallback=False,
        )
    except Exception as error:  # onnxruntime's exceptions share no base class but this one
        raise ModelFileError(path=str(model.path), problem=_one_line(error)) from error
    if not in_memory:
        for file in (model, *external.values()):
            if not unchanged(file):
                raise CorruptPackage(
                    path=str(file.path), problem="it was changed while it was loaded"
                )
    got = session.get_providers()
    if not got or got[0] != provider.ort_name:
        raise _unavailable(choice.provider, f"the session runs on {', '.join(got)}")
    return session


def signature_of(session: ort.InferenceSession, *, path: Path) -> Signature:
    """Read a session's inputs and outputs; a dimension without a size or a name gets a name.

    Raises:
        ModelFileError: an input or output is a sequence, a map, or of a type that isn't in DType.
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


def _unavailable(name: str, seen: str) -> ProviderUnavailable:
    diagnosis = providers.find(name).diagnose()
    return ProviderUnavailable(
        provider=name,
        cause=f"{diagnosis.cause} ({seen})" if diagnosis.cause else seen,
        mend=diagnosis.mend or "Run 'edgekit doctor' to see what is missing.",
    )


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
