"""The passes on their way, one after the other: rewritten, proven equal, timed, kept or not."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from edgekit.errors import EdgekitError, ModelFileError
from edgekit.measure.results import Bench
from edgekit.optimize.proving import Answers, Proof, prove
from edgekit.optimize.racing import Course, Race, race
from edgekit.optimize.results import Tried
from edgekit.package.values import Tolerance
from edgekit.tensors import Case
from edgekit.terms import Pass, PassFate

log = logging.getLogger("edgekit")


class Search:
    """The best model so far, its answers, and what was found of each pass.

    Args:
        folder: where new models are written.
        model: the model to start from.
        cases: the reference cases.
        tolerances: how far each output may lie from what was recorded.
        on: what races are run on.
        random: outputs that are drawn at random.
        keep_all: keep what is equal, whether it pays or not.
        wall_s: how long loading a model, or one run, may take.
        progress: called with the turns done and the turns in all, of one race after the other.
    """

    def __init__(
        self,
        *,
        folder: Path,
        model: Path,
        cases: Sequence[Case],
        tolerances: Mapping[str, Tolerance],
        on: Course,
        random: frozenset[str],
        keep_all: bool,
        wall_s: float,
        progress: Callable[[int, int], None] | None,
    ) -> None:
        self.folder = folder
        self.model = self._start = model
        self.on = on
        self.tried: list[Tried] = []
        self.kept: list[Pass] = []
        self.races: list[Bench] = []
        self._cases = cases
        self._tolerances = tolerances
        self._random = random
        self._keep_all = keep_all
        self._wall_s = wall_s
        self._progress = progress
        self._answers: Answers = []
        self._last: Race | None = None

    def begin(self) -> None:
        """Take the answers of the model to start from.

        Raises:
            ModelFileError: they aren't those that were recorded.
        """
        found = self._prove(self._start, before=None)
        if found.problem:
            raise ModelFileError(
                path=str(self._start),
                problem=f"before any pass it doesn't answer here as was recorded: {found.problem}",
            )
        self._answers = found.answers

    def attempt(self, name: Pass, *, sizes: Mapping[str, int] | None = None) -> None:
        """Try one pass on what the ones before it left; with sizes it is kept if it is equal."""
        from edgekit.optimize.rewriting import rewrite

        log.info("trying %s", name)
        made = self.folder / f"{len(self.tried)}.onnx"
        try:
            step = rewrite(self.model, made, passes=() if sizes else (name,), sizes=sizes).steps[0]
        except ModelFileError as error:
            self.tried.append(Tried(name, "failed", str(error).rstrip("."), 0, 0))
            return

        def note(fate: PassFate, reason: str, proof: Proof | None, run: Race | None = None) -> None:
            self.tried.append(
                Tried(
                    name,
                    fate,
                    reason.rstrip("."),
                    step.nodes_before,
                    step.nodes_after,
                    max_abs_error=proof.max_abs_error if proof else None,
                    speedup=run.speedup if run else None,
                )
            )

        if not step.changed:
            note("nothing to rewrite", "no part of the model has the form that it rewrites", None)
            return
        proof = self._prove(made, before=self._answers)
        if proof.problem:
            note("failed" if proof.refused else "not equal", proof.problem, proof)
            return
        run = self._race(self.model, made, names=(f"before {name}", name))
        if run is None:
            note("failed", "it could not be timed", proof)
        elif sizes or run.faster or self._keep_all:
            why = "asked for" if sizes else "faster by more than the timing is unsure of"
            note(
                "kept",
                why if sizes or run.faster else "equal; everything was to be kept",
                proof,
                run,
            )
            self.model, self._answers, self._last = made, proof.answers, run
            self.kept.append(name)
        else:
            note("no gain", "not faster here by more than the timing is unsure of", proof, run)

    def finish(self) -> Race | None:
        """Time all kept passes together against the model to start from; None where none is."""
        if not self.kept:
            return None
        if len(self.kept) == 1 and self._last is not None:
            return self._last  # it was timed against the start already
        log.info("timing what was kept against the start")
        return self._race(self._start, self.model, names=("before all passes", "all kept passes"))

    def _prove(self, model: Path, *, before: Answers | None) -> Proof:
        return prove(
            model,
            self._cases,
            tolerances=self._tolerances,
            before=before,
            how=self.on.how,
            wall_s=self._wall_s,
        )

    def _race(self, before: Path, after: Path, *, names: tuple[str, str]) -> Race | None:
        """Race two models: briefly, and thoroughly where the brief race doesn't say slower."""
        try:
            for on in (self.on.briefly(), self.on):
                run = race(
                    before,
                    after,
                    names=names,
                    on=on,
                    random=self._random,
                    progress=self._progress,
                )
                if run.speedup.value < 1.0:
                    break
        except EdgekitError as error:
            log.info("%s can't be timed: %s", names[1], error)
            return None
        self.races.append(run.bench)
        return run


def renamed(model: Path, to: Path) -> Path:
    """Give a model its variant's name; external data keep theirs, which is their content's."""
    from edgekit.graph.summary import external_files

    to.parent.mkdir()
    for name in external_files(model):
        shutil.move(model.parent / name, to.parent / name)
    shutil.copyfile(model, to)
    return to
