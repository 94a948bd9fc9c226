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
from exporters.attempts import Run
from exporters.processes import Deadline, attempt_in_worker
from exporters.requests import Attempt, ExportOptions, ModuleRequest

if TYPE_CHECKING:
    from exporters.exportable import Exportable


class _Pickler(pickle.Pickler):
    """Refuses what another process can't import."""

    def persistent_id(self, value: Any) -> None:
        if isinstance(value, type | FunctionType) and value.__module__ == "__main__":
            raise pickle.PicklingError(f"{value.__name__} is defined in the running script")


def live_run(
    exportable: Exportable, *, label: str, seed: int, deadline: Deadline
) -> tuple[Run, tuple[str, ...]]:
    """Return what makes one attempt, in a worker or here where the module can't be handed over.

    And notes for the caller: which of the two, if it is the second.
    """
    pickled = io.BytesIO()
    try:
        _Pickler(pickled).dump(exportable)
    except Exception as error:  # pickling runs the module's own code, which may raise anything
        note = f"exported in the calling process, because the module can't leave it: {error}"

        def run_here(options: ExportOptions, folder: Path) -> Attempt:
            return _attempt_here(exportable, label, options, folder, seed)

        return run_here, (note,)

    def run(options: ExportOptions, folder: Path) -> Attempt:
        request = ModuleRequest(pickled.getvalue(), label, seed)
        return attempt_in_worker(
            "exporters.attempt:attempt_module",
            {"request": request, "options": options, "folder": str(folder)},
            what=f"export of {label}",
            deadline=deadline,
        )

    return run, ()


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
