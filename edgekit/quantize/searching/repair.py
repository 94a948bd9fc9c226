"""Leave the fewest nodes in float so that a model holds its accuracy budget."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

import msgspec

from edgekit.errors import BadValue
from edgekit.metrics import UNBOUNDED
from edgekit.quantize.elements import read_typed
from edgekit.quantize.scheme import Made, Write
from edgekit.quantize.searching.groups import groups_of
from edgekit.quantize.searching.search import LIMIT, Found, Score, Trial, search
from edgekit.terms import Undecided

__all__ = ["Repaired", "Score", "Trial", "repair"]


class Repaired(msgspec.Struct, frozen=True):
    """What a repair did: which nodes it left in float, and whether that was enough.

    `keep_float` are those that were found, beside those that were asked for, of `nodes` that there
    were to choose from. `made` and `score` are of the model that was written: one that was looked
    at and passed, or, where none did but the float model, the one without any node left in float.
    `trials` are all looks at a whole model, in order; `why` says how it ended.
    """

    keep_float: tuple[str, ...]
    nodes: int
    passed: bool
    made: Made
    score: Score
    trials: tuple[Trial, ...]
    why: str

    @property
    def evaluations(self) -> int:
        """How many times a whole model was looked at."""
        return len(self.trials)


def repair(
    write: Write,
    evaluate: Callable[[Path, Made], Score],
    *,
    parent: Path,
    output: Path,
    keep_float: Collection[str] = (),
    suspect: Callable[[Sequence[str]], Mapping[str, float]] | None = None,
    limit: int = LIMIT,
    undecided: Undecided = "reject",
    progress: Callable[[int, int], None] | None = None,
) -> Repaired:
    """Write a model with the fewest nodes in float with which it passes.

    The first look is at the model with everything in the new precision that can be; where it
    passes, that is all. The second is at the float model itself: what it doesn't pass, none does.

    Args:
        write: writes the model, see `edgekit.quantize.scheme.Write`.
        evaluate: judges a written model; `Made.nodes` is empty where it is the float model.
        parent: the float model's .onnx file.
        output: where the model goes; trials lie in folders beside it, each until it is judged.
        keep_float: nodes that stay in float in any case.
        suspect: estimates how much noise each of the given nodes adds (`local_noise`), where any
            have to stay in float.
        limit: how many times `evaluate` may be called; 2 or more.
        undecided: whether a model on which the cases don't decide passes.
        progress: called with the looks taken and the most that there may be.

    Raises what `write` and `evaluate` raise; BadValue of `write` only for the first model.
    """
    asked = tuple(keep_float)
    first = write(output, asked)
    nodes = first.nodes
    every = frozenset(nodes)
    looks = 0

    def look(keep: frozenset[str]) -> Score:
        nonlocal looks
        if progress is not None:
            progress(looks, limit)
        looks += 1
        if not keep:
            return evaluate(output, first)
        if keep == every:
            return evaluate(parent, _float_of(first))
        folder = output.parent / f"{output.stem}.trial-{looks}"
        folder.mkdir()
        try:
            made = write(folder / output.name, (*asked, *_ordered(keep, nodes)))
            return evaluate(folder / output.name, made)
        except BadValue as error:  # of what is left none can be in the new precision
            return Score("failed", -UNBOUNDED, str(error))
        finally:
            shutil.rmtree(folder)

    found: Found = search(
        nodes,
        look,
        groups=groups_of(read_typed(parent), nodes),
        suspect=None if suspect is None else lambda: suspect(nodes),
        limit=limit,
        undecided=undecided,
    )
    if not found.passed or len(found.keep_float) == len(nodes):
        why = "the float model alone passes" if found.passed else found.why
        return Repaired((), len(nodes), False, first, found.trials[0].score, found.trials, why)
    made = first
    if found.keep_float:
        for file in (output.name, *first.files):
            (output.parent / file).unlink(missing_ok=True)
        made = write(output, (*asked, *found.keep_float))
    return Repaired(
        keep_float=found.keep_float,
        nodes=len(nodes),
        passed=True,
        made=made,
        score=found.score,
        trials=found.trials,
        why=found.why,
    )


def _ordered(keep: Collection[str], nodes: Sequence[str]) -> tuple[str, ...]:
    return tuple(name for name in nodes if name in keep)


def _float_of(made: Made) -> Made:
    """Say of the float model what would be said of one with no node in the new precision."""
    kept = {**made.kept, **dict.fromkeys(made.nodes, "the budget allows no other")}
    return msgspec.structs.replace(made, files=(), nodes=(), kept=kept, stand_in=None)
