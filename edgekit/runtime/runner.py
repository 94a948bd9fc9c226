"""A loaded model as a runner: what a worker opens to time it and to hold its answers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from edgekit.package.values import SessionChoice
from edgekit.runtime.binding import BoundCall
from edgekit.runtime.loading import open_model
from edgekit.runtime.model import Model
from edgekit.runtime.profiling import count_copies
from edgekit.tensors import Array, Feed, RunFacts, Runner, Signature
from edgekit.terms import Memory


class ModelRunner:
    """Runs a feed exactly as an app does, through `Model.__call__`, on arrays of the host."""

    def __init__(self, model: Model, facts: RunFacts) -> None:
        self._model = model
        self.facts = facts

    @property
    def signature(self) -> Signature:
        return self._model.signature

    def prepare(self, feed: Feed) -> Callable[[], Any]:
        model = self._model
        arrays = dict(feed)
        only = next(iter(arrays.values())) if len(arrays) == 1 else arrays
        return lambda: model(only)

    def fetch(self, answer: Any) -> dict[str, Array]:
        return self._model.named(answer)

    def close(self) -> None:
        self._model.close()


class DeviceRunner(ModelRunner):
    """Runs a feed that lies on the device and leaves the answer there: no call copies anything."""

    def prepare(self, feed: Feed) -> Callable[[], BoundCall]:
        return self._model.bound(dict(feed))

    def fetch(self, answer: BoundCall) -> dict[str, Array]:
        return answer.numpy()


def open_variant(
    path: str,
    variant: str,
    session: SessionChoice,
    *,
    library: str | None = None,
    strict: bool = False,
    arrays: Memory = "host",
    profiled: dict[str, Any] | None = None,
) -> Runner:
    """Open a package's variant, or a plain .onnx file, as a runner.

    Args:
        path: the package's folder, or an .onnx file.
        variant: a variant's name.
        session: how it runs.
        library: a plug-in provider's library, where the user named one.
        strict: refuse a model of which any node would run on another provider.
        arrays: where inputs lie before a call and outputs after it.
        profiled: arrays to run once under a profile, in a session of its own, to tell in the
            facts how many nodes copy between memories.

    Raises what `edgekit.load` raises.
    """
    model = open_model(Path(path), variant, session, strict=strict, library=library)
    facts = msgspec.structs.replace(model.facts, arrays=arrays)
    if profiled is not None:
        n = count_copies(Path(path), variant, session, feed=profiled, library=library)
        facts = msgspec.structs.replace(facts, copies=n)
    return (DeviceRunner if arrays == "device" else ModelRunner)(model, facts)
