"""Run a model over feeds and keep what is asked about its values: the parent's side of folding."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import numpy as np

from edgekit.errors import BadValue
from edgekit.graph.summary import external_files
from edgekit.quantize.measuring.probing import Probe
from edgekit.runtime.folding import Fold
from edgekit.tensors import Array, Feed
from edgekit.workers import Call, Worker


class Watch:
    """Runs a model's probes over feeds in a worker, one after another, and counts the cases.

    Use it as a context manager.
    """

    def __init__(
        self,
        model: Path,
        *,
        scratch: Path,
        wall_s: float,
        progress: Callable[[int, int], None] | None = None,
    ) -> None:
        self.cases = 0
        self._beside = [model.parent / name for name in external_files(model)]
        self._scratch = scratch
        self._progress = progress
        self._done = 0
        self._passes = 0
        self._worker = Worker(f"running {model.name} to look at its values", wall_s=wall_s)

    def run(
        self,
        probe: Probe,
        feeds: Callable[[], Iterable[Feed]],
        *,
        folds: Mapping[str, Fold],
        more: int = 0,
    ) -> dict[str, Array]:
        """Run a probe over all feeds and return what was kept of each of its answers.

        Args:
            probe: its answers are those that `folds` has.
            feeds: starts a pass.
            folds: what to keep.
            more: how many passes will follow, for the progress.

        Raises:
            BadValue: there are no feeds.
            InputError, ModelFileError, RunFailed, WorkerError: it can't be run.
        """
        written = probe.save(self._scratch / "probe.onnx", beside=self._beside)
        into = self._scratch / "kept.npz"
        self._passes += 1
        count = 0
        try:
            arguments = {"path": str(written[0]), "folds": dict(folds), "into": str(into)}
            self._worker.open(Call("edgekit.runtime.folding:open_folding", arguments))
            for feed in feeds():
                if self._progress is not None:
                    in_all = self.cases * (self._passes + more) if self.cases else 0
                    self._progress(self._done, max(in_all, self._done + 1))
                self._worker.run(feed)
                count += 1
                self._done += 1
            self._worker.release()
            with np.load(into) as kept:
                found = {name: kept[str(i)] for i, name in enumerate(folds) if str(i) in kept}
        finally:
            for file in (*written, into):
                file.unlink(missing_ok=True)
        if not count:
            raise BadValue(
                what="calibration feeds", asked="none", expected="one case at least to run"
            )
        self.cases = self.cases or count
        return found

    def __enter__(self) -> Watch:
        return self

    def __exit__(self, *of_an_error: object) -> None:
        self._worker.close()
