"""A loaded model as a runner: what a worker opens to time it and to hold its answers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from edgekit.package.values import SessionChoice
from edgekit.runtime.loading import open_model
from edgekit.runtime.model import Model
from edgekit.tensors import Array, Feed, RunFacts, Signature


class ModelRunner:
    """Runs a feed exactly as an app does, through `Model.__call__`."""

    def __init__(self, model: Model) -> None:
        self._model = model

    @property
    def signature(self) -> Signature:
        return self._model.signature

    @property
    def facts(self) -> RunFacts:
        return self._model.facts

    def prepare(self, feed: Feed) -> Callable[[], Any]:
        model = self._model
        arrays = dict(feed)
        only = next(iter(arrays.values())) if len(arrays) == 1 else arrays
        return lambda: model(only)

    def fetch(self, answer: Any) -> dict[str, Array]:
        return self._model.named(answer)

    def close(self) -> None:
        self._model.close()


def open_variant(
    path: str,
    variant: str,
    session: SessionChoice,
    *,
    library: str | None = None,
    strict: bool = False,
) -> ModelRunner:
    """Open a package's variant, or a plain .onnx file, as a runner."""
    return ModelRunner(open_model(Path(path), variant, session, strict=strict, library=library))
