"""Calls that read and write arrays where they lie: ONNX Runtime's I/O binding."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from functools import cached_property
from typing import Any

import onnxruntime as ort

from edgekit.errors import InputError, RunFailed
from edgekit.runtime.borrowing import copyable
from edgekit.runtime.devices import DeviceArray, Held, Place
from edgekit.tensors import Array

_GRAPH = "gpu_graph_id"
_UNRECORDED = -1
"""ONNX Runtime's key of a run for which recording it belongs to, and the value for none."""


class BoundCall:
    """A call that is made again and again on arrays that keep their places on the device.

    `edgekit.Model.bound` makes it. Write into its inputs, call it, read its outputs:

        >>> call = model.bound(frame)
        >>> call.update({"image": next_frame})
        >>> logits = call().outputs["logits"].numpy()

    A call waits for what was put on the device before it, and returns when the outputs are there;
    they hold until the next call, which writes over them, but for those of a size that only a run
    tells: these get new places. One thread at a time may use it.

    Attributes:
        inputs: what it reads, by name.
        place: the device that they lie on.
    """

    def __init__(
        self,
        session: ort.InferenceSession,
        inputs: Mapping[str, Held],
        output_names: Sequence[str],
        *,
        place: Place,
        package: str,
        recording: int | None = None,
        lock: AbstractContextManager[Any] | None = None,
    ) -> None:
        """Bind inputs where they lie, and outputs to the device.

        Args:
            session: what runs.
            inputs: arrays on `place`, checked.
            output_names: the outputs, in the session's order.
            place: where outputs go.
            package: what the model is called in errors.
            recording: the number under which the call's kernels are recorded: at the first call
                after this, which replays them like every later one.
            lock: held while it runs, where sessions take no two runs at a time.
        """
        self.inputs = dict(inputs)
        self.place = place
        self._package = package
        self._session = session
        self._names = list(output_names)
        self._lock = lock or contextlib.nullcontext()
        self._options: ort.RunOptions | None = None
        self._binding = session.io_binding()
        # Binding already copies what the processor reads, such as a shape.
        self._binding.synchronize_inputs()
        for name, array in self.inputs.items():
            array.bind(self._binding, name)
        self._bind_outputs(self._names)
        self._used = False
        if recording is not None:
            # Outputs get their places in this run, which is not recorded: later runs write there.
            self._options = _run_options(_UNRECORDED)
            self()
            self._options = _run_options(recording)

    def __call__(self) -> BoundCall:
        """Run it, wait for the outputs, and return this very call.

        Raises:
            RunFailed: ONNX Runtime failed on inputs that fit.
        """
        with self._lock:
            try:
                if self._used and self._options is None:
                    self._bind_outputs(self._unforeseen)
                self._binding.synchronize_inputs()
                self._session.run_with_iobinding(self._binding, self._options)
                self._binding.synchronize_outputs()
                self._used = True
            except Exception as error:  # onnxruntime's share no base class but this one
                problem = " ".join(str(error).split())
                raise RunFailed(package=self._package, problem=problem) from error
        return self

    def update(self, feed: Any) -> None:
        """Copy values into the inputs, from the host or from the same device.

        Args:
            feed: one array, where there is one input, or arrays by name.

        Raises:
            InputError: a name, shape or element type that isn't that of the input.
        """
        self._binding.synchronize_inputs()
        names = ", ".join(self.inputs) or "no input"
        if not isinstance(feed, Mapping):
            if len(self.inputs) != 1:
                raise InputError(problem=f"There are the inputs {names}: pass them by name.")
            feed = dict.fromkeys(self.inputs, feed)
        for name, array in feed.items():
            held = self.inputs.get(name)
            if held is None:
                raise InputError(problem=f"There is no input {name!r}; expected: {names}.")
            if not isinstance(held, DeviceArray):
                raise InputError(
                    problem=f"{name} is read where another library has it, which alone can write "
                    "there: write with that library, or bind the call to model.to_device(array)."
                )
            held.update(copyable(array, self.place))

    def wait(self) -> None:
        """Wait until everything that was put on the device is done."""
        self._binding.synchronize_outputs()

    @property
    def outputs(self) -> dict[str, DeviceArray]:
        """What the last call gave, by name, until the next."""
        values = self._binding.get_outputs()
        arrays = [DeviceArray(value, self.place, self._binding) for value in values]
        return dict(zip(self._names, arrays, strict=True))

    def numpy(self) -> dict[str, Array]:
        """Copy the outputs to the host, by name."""
        return dict(zip(self._names, self._binding.copy_outputs_to_cpu(), strict=True))

    @cached_property
    def _unforeseen(self) -> list[str]:
        """The outputs with a size that isn't one of the inputs': values may decide it.

        Measured: ONNX Runtime refuses to write an output of another size where the last one lies.
        """
        known = {size for node in self._session.get_inputs() for size in node.shape if size}
        return [
            node.name
            for node in self._session.get_outputs()
            if any(not isinstance(size, int) and size not in known for size in node.shape)
        ]

    def _bind_outputs(self, names: Sequence[str]) -> None:
        for name in names:
            self._binding.bind_output(name, self.place.kind, self.place.index)


def run_on_device(
    session: ort.InferenceSession,
    inputs: Mapping[str, Held],
    output_names: Sequence[str],
    *,
    place: Place,
    package: str,
) -> list[DeviceArray]:
    """Run a session once on arrays where they lie; outputs get memory of their own there.

    Any number of threads may do so at once.
    """
    return list(
        BoundCall(session, inputs, output_names, place=place, package=package)().outputs.values()
    )


def _run_options(recording: int) -> ort.RunOptions:
    options = ort.RunOptions()
    options.add_run_config_entry(_GRAPH, str(recording))
    return options
