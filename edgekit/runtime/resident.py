"""What a model does with arrays that stay on its device, whether its calls are recorded or not."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

import numpy as np
import onnxruntime as ort

from edgekit import providers
from edgekit.errors import EdgekitError, InputError, RunFailed
from edgekit.package.values import SessionChoice
from edgekit.runtime.binding import BoundCall, run_on_device
from edgekit.runtime.borrowing import borrow, place_of
from edgekit.runtime.devices import DeviceArray, Held, Place, copied_to
from edgekit.runtime.inputs import by_spec, check_dtype
from edgekit.runtime.recording import Recorded
from edgekit.tensors import Array, Signature, TensorSpec

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

    def held(self, signature: Signature, feed: Mapping[str, Any]) -> dict[str, Held]:
        """Return arrays of the device as they lie there; none where they are to be the host's.

        Raises:
            InputError: they don't fit, or only some of them lie on the device.
        """
        return conform_on_device(signature, feed, self.place) if on_device(feed, self.place) else {}

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


def computes_in(session: SessionChoice, *, library: str | None) -> Place:
    """Tell in which memory a session computes."""
    provider = providers.find(session.provider, library=library)
    if not provider.device:
        return Place()
    return Place(provider.device, int(session.provider_options.get("device_id", 0)))


def conform_on_device(
    signature: Signature, feed: Mapping[str, Any], place: Place
) -> dict[str, Held]:
    """Return arrays that lie on a device as they lie there, in the signature's order.

    Raises:
        InputError: a name, dtype or layout that doesn't fit, with what was expected.
    """

    def held(spec: TensorSpec, value: Any) -> Held:
        try:
            array = borrow(value, place)
        except InputError as error:
            raise InputError(problem=f"{spec.name}: {error}") from error
        check_dtype(spec, array.dtype)
        return array

    return by_spec(signature, feed, held)


def on_device(feed: Mapping[str, Any], place: Place) -> bool:
    """Tell whether arrays are to be read on the device where a model computes.

    In the processor's memory only `DeviceArray`s are, and only where nothing else is among them:
    any other array is passed as it always was.

    Raises:
        InputError: some lie there and some don't, or one lies on another device.
    """
    places = {name: _place(name, value, place) for name, value in feed.items()}
    there = [name for name, where in places.items() if where is not None]
    elsewhere = [name for name, where in places.items() if where is None]
    if there and elsewhere and place.kind != "cpu":
        raise InputError(
            problem=f"{there[0]} lies on {place} and {elsewhere[0]} doesn't: pass all inputs on "
            f"{place}, where model.to_device(array) copies them, or all from the host."
        )
    return bool(there) and not elsewhere


def _place(name: str, value: Any, here: Place) -> Place | None:
    """Tell where an array is read, None where it comes from the host; refuse one out of reach."""
    if isinstance(value, np.ndarray | np.generic):
        return None
    where = place_of(value, here)
    if where == here and (here.kind != "cpu" or isinstance(value, DeviceArray)):
        return where
    if where is None or where.kind == "cpu":
        return None
    raise InputError(
        problem=f"{name} lies on {where} and the model computes on {here}: {_move(where, here)}."
    )


def _move(where: Place, here: Place) -> str:
    """Say what to type for an array that lies on another device than the model's."""
    if here.kind == where.kind:
        return (
            f"move it there, or load the model with provider_options={{'device_id': "
            f"'{where.index}'}}"
        )
    copied = "pass a copy in the processor's memory (array.cpu(), array.get(), array.numpy())"
    return f"{copied}, or load the model with provider='cuda'" if where.kind == "cuda" else copied
