"""CUDA graphs: a call's kernels recorded once, and then replayed in one go.

A recording replays the very addresses, sizes and kernels of the call that it was made of; what the
processor did in between is not in it. So each combination of input shapes has a recording of its
own, whose inputs and outputs keep their places. Which models can be recorded at all is told by
`edgekit.runtime.recordable`.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping

import onnxruntime as ort

from edgekit.errors import InputError
from edgekit.runtime.binding import BoundCall
from edgekit.runtime.borrowing import copyable
from edgekit.runtime.devices import DeviceArray, Held, Place, copied_to
from edgekit.tensors import Array

MOST_SHAPES = 16
"""How many combinations of input shapes a model records: each keeps memory on the device."""


class Recorded:
    """A session whose calls are recorded, one recording a combination of input shapes.

    Arrays are copied into the recording's inputs and out of its outputs: what a caller passes and
    gets is its own. Calls from several threads wait for each other; ONNX Runtime records once for
    each thread.
    """

    def __init__(
        self, session: ort.InferenceSession, output_names: list[str], *, place: Place, package: str
    ) -> None:
        self._package = package
        self._session = session
        self._names = output_names
        self._place = place
        self._lock = threading.RLock()
        self._calls: dict[tuple[tuple[int, ...], ...], BoundCall] = {}

    def run(self, output_names: list[str], arrays: Mapping[str, Array]) -> list[Array]:
        """Run on arrays of the host and return such, as `InferenceSession.run` does."""
        del output_names  # all, in the order of the model
        with self._lock:
            return list(self.bound(arrays)().numpy().values())

    def run_on_device(self, arrays: Mapping[str, Held]) -> list[DeviceArray]:
        """Run on arrays of the device and return such."""
        with self._lock:
            call = self.bound(arrays)()
            copies = [copied_to(array, self._place) for array in call.outputs.values()]
            call.wait()
            return copies

    def bound(self, arrays: Mapping[str, Array] | Mapping[str, Held]) -> BoundCall:
        """Find the recording of these shapes, or make it, and copy the arrays into its inputs.

        Raises:
            InputError: it is one combination of shapes more than are recorded.
        """
        shapes = tuple(array.shape for array in arrays.values())
        with self._lock:
            call = self._calls.get(shapes)
            if call is not None:
                call.update(arrays)
                return call
            if len(self._calls) == MOST_SHAPES:
                listed = "; ".join(f"{name} {list(a.shape)}" for name, a in arrays.items())
                raise InputError(
                    problem=f"{listed}: kernels are recorded for {MOST_SHAPES} combinations of "
                    "shapes already, each of which keeps memory on the device. Pad inputs to a few "
                    "sizes, or load the model without recording."
                )
            self._session.io_binding().synchronize_inputs()  # what is copied may be on its way
            inputs = {
                name: copied_to(copyable(array, self._place), self._place)
                for name, array in arrays.items()
            }
            call = BoundCall(
                self._session,
                inputs,
                self._names,
                place=self._place,
                package=self._package,
                recording=len(self._calls) + 1,
                lock=self._lock,
            )
            self._calls[shapes] = call
            return call
