"""A live module, exported without being changed: in a worker, or from a copy where it stands."""

from __future__ import annotations

import copy
import dataclasses
import io
import pickle
from pathlib import Path
from types import FunctionType
from typing import TYPE_CHECKING, Any

from edgekit.errors import FactoryFailed
from edgekit.workers import Call, Worker
from exporters.requests import Attempt, ExportOptions, ModuleRequest

if TYPE_CHECKING:
    from exporters.exportable import Exportable


class _Pickler(pickle.Pickler):
    """Refuses what another process can't import."""

    def persistent_id(self, value: Any) -> None:
        if isinstance(value, type | FunctionType) and value.__module__ == "__main__":
            raise pickle.PicklingError(f"{value.__name__} is defined in the running script")


def attempt_live(
    exportable: Exportable,
    options: ExportOptions,
    *,
    label: str,
    folder: Path,
    seed: int,
    time_limit_s: float,
) -> tuple[Attempt, tuple[str, ...]]:
    """Export in a worker, or here where the module can't be handed over.

    Returns what the attempt left in `folder`, and notes for the caller. Raises what
    `exporters.pytorch.export` raises.
    """
    pickled = io.BytesIO()
    try:
        _Pickler(pickled).dump(exportable)
    except Exception as error:  # pickling runs the module's own code, which may raise anything
        done = _attempt_here(exportable, label, options, folder, seed)
        return done, (
            f"exported in the calling process, because the module can't leave it: {error}",
        )
    call = Call(
        "exporters.attempt:attempt_module",
        {
            "request": ModuleRequest(pickled.getvalue(), label, seed),
            "options": options,
            "folder": str(folder),
        },
    )
    with Worker(f"export of {label}", wall_s=time_limit_s) as worker:
        return worker.call(call, returns=Attempt), ()


def _attempt_here(
    exportable: Exportable, label: str, options: ExportOptions, folder: Path, seed: int
) -> Attempt:
    """Export a copy of the module, so that the caller's own stays as it is."""
    from exporters.attempt import attempt
    from exporters.seeds import callers_generators_kept

    try:
        module = copy.deepcopy(exportable.module)
    except Exception as error:  # copying runs the module's own code, which may raise anything
        raise FactoryFailed(
            target=label,
            problem=f"can be neither pickled nor copied ({error}); export it as "
            "file.py:factory, where it is made afresh",
        ) from error
    with callers_generators_kept():
        copied = dataclasses.replace(exportable, module=module)
        return attempt(copied, options, folder, parameters={}, seed=seed)
