"""What a model does with arrays that stay on its device, whether its calls are recorded or not."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import TypeAlias

import onnxruntime as ort

from edgekit.errors import EdgekitError, RunFailed
from edgekit.runtime.binding import BoundCall, run_on_device
from edgekit.runtime.devices import DeviceArray, Held, Place, copied_to
from edgekit.runtime.recording import Recorded
from edgekit.tensors import Array

Session: TypeAlias = ort.InferenceSession | Recorded


class Resident:
    """Calls of one model on arrays of its device.

    Raises (from everything):
        RunFailed: ONNX Runtime failed, or there is no room on the device.
    """

    def __init__(self, output_names: list[str], place: Place, *, package: str) -> None:
        self.place = place
        self._names = output_names
        self._package = package

    def run(self, session: Session, arrays: Mapping[str, Held]) -> list[DeviceArray]:
        """Run once; the answer stays on the device."""
        with self._failures():
            if isinstance(session, Recorded):
                return session.run_on_device(arrays)
            return run_on_device(
                session, arrays, self._names, place=self.place, package=self._package
            )

    def bound_to(self, session: Session, arrays: Mapping[str, Held]) -> BoundCall:
        """Bind a call to arrays where they lie, or to copies of them where it is recorded."""
        with self._failures():
            if isinstance(session, Recorded):
                return session.bound(arrays)
            return BoundCall(session, arrays, self._names, place=self.place, package=self._package)

    def bound_to_copies(self, session: Session, arrays: Mapping[str, Array]) -> BoundCall:
        """Bind a call to copies of arrays of the host."""
        if isinstance(session, Recorded):
            with self._failures():
                return session.bound(arrays)
        return self.bound_to(session, self.copies(arrays))

    def copies(self, arrays: Mapping[str, Array]) -> dict[str, DeviceArray]:
        """Copy arrays of the host to the device."""
        with self._failures():
            return {name: copied_to(array, self.place) for name, array in arrays.items()}

    @contextlib.contextmanager
    def _failures(self) -> Iterator[None]:
        try:
            yield
        except EdgekitError:
            raise
        except Exception as error:  # onnxruntime's exceptions share no base class but this one
            problem = " ".join(str(error).split())
            raise RunFailed(package=self._package, problem=problem) from error
