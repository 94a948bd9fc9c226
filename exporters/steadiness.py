"""Does the original answer one input in one way: always, but for random numbers, or not?"""

from __future__ import annotations

import copy
import pickle
import random
from typing import NamedTuple

import numpy as np
import torch

from edgekit.errors import ExportFailed, FactoryFailed
from edgekit.metrics import within
from edgekit.tensors import Array, Feed, Signature
from edgekit.terms import DType, members
from exporters.answers import answers
from exporters.bounds import Errors, bound_of
from exporters.original import Original
from exporters.seeds import seed_everything
from exporters.sizes import drawn

COPIED_BYTES = 1 << 30
"""The weights of a module above this size are not copied to see what its first call changes."""


def pristine(original: Original) -> Original | None:
    """Copy an original as it is, before a call changes it; None where it can't or shouldn't be."""
    if sum(tensor.nbytes for tensor in original.tensors().values()) > COPIED_BYTES:
        return None
    fresh = copy.copy(original)
    try:
        fresh.module = copy.deepcopy(original.module)
    except Exception:  # whatever a module's own __deepcopy__ raises
        return None
    return fresh


class Steadiness(NamedTuple):
    """The original's answers, those of them that are drawn at random, and whether it draws at all.

    A module may draw and seldom show it, or draw what no output depends on.
    """

    outputs: dict[str, Array]
    random: frozenset[str]
    draws: bool


def steady_answers(
    original: Original, signature: Signature, feed: Feed, *, label: str, seed: int
) -> Steadiness:
    """Answer `feed`, and find out whether the answers are drawn at random.

    Random is what comes out the same from the same seed and differently from another. `signature`
    is that of the inputs. The original must not have been called before.

    Raises:
        FactoryFailed: the module raises, or answers differently from call to call although its
            random numbers are the same, so it keeps something between calls; or a random output
            has a random shape.
        ExportFailed: an output is of a type that no model has.
    """
    other = drawn(signature, feed, seed=seed + 1)
    fresh = pristine(original)
    first = _seeded(original, feed, seed)
    _refuse_other_types(label, first)
    try:
        # Whatever it keeps from call to call, other values leave something else there.
        after_others = _seeded(original, other, seed)
    except FactoryFailed:
        after_others = {}
    _refuse_difference(_seeded(original, feed, seed), first)
    if fresh is not None and after_others:
        # One that keeps its first input for good answers here as it never would again.
        _refuse_difference(_seeded(fresh, other, seed), after_others)
    drawn_anew = set()
    for another in (seed + 1, seed + 2):
        redrawn = _seeded(original, feed, another)
        for output, array in first.items():
            if redrawn[output].shape != array.shape:
                raise _unsteady(f"{output} has a shape that is drawn at random")
            if _difference(redrawn[output], array):
                drawn_anew.add(output)
    return Steadiness(first, frozenset(drawn_anew), _draws(original, feed))


def trains_otherwise(original: Original, feed: Feed, outputs: Feed, *, seed: int) -> bool:
    """Tell whether the module would answer otherwise, or not at all, in training mode.

    `original` is a copy for this alone: its statistics may change, and it is left in that mode.
    """
    original.module.train()
    try:
        trained = _seeded(original, feed, seed)
    except FactoryFailed:
        return True
    return any(_difference(trained.get(output), array) for output, array in outputs.items())


def _draws(original: Original, feed: Feed) -> bool:
    """Tell whether a call leaves torch's generator elsewhere than the call before did.

    One that seeds it itself leaves it where it was: its numbers are no random ones.
    """
    answers(original, feed)
    before = torch.get_rng_state()
    others = pickle.dumps((random.getstate(), np.random.get_state()))
    answers(original, feed)
    if pickle.dumps((random.getstate(), np.random.get_state())) != others:
        raise FactoryFailed(
            target="The original module",
            problem="draws random numbers of Python's or numpy's, which an export freezes; draw "
            "them with torch",
        )
    return not torch.equal(before, torch.get_rng_state())


def _seeded(original: Original, feed: Feed, seed: int) -> dict[str, Array]:
    seed_everything(seed)
    return answers(original, feed)


def _refuse_other_types(label: str, outputs: Feed) -> None:
    for output, array in outputs.items():
        if array.dtype.name not in members(DType):
            raise ExportFailed(
                target=label,
                problem=f"its output {output} is of {array.dtype.name}; an output may be of "
                + ", ".join(members(DType)),
            )


def _refuse_difference(again: Feed, before: Feed) -> None:
    for output, array in before.items():
        problem = _difference(again.get(output), array)
        if problem:
            raise _unsteady(f"{output}: {problem}")


def _difference(again: Array | None, before: Array) -> str:
    if again is None:
        return "it is there and then it isn't"
    if again.shape != before.shape:
        return f"its shape is {list(before.shape)} and then {list(again.shape)}"
    _, bound, _ = bound_of(before, None, tolerance=None, errors=Errors())
    mismatch = within(again, before, absolute=bound, relative=0.0)
    return "" if mismatch is None else str(mismatch)


def _unsteady(problem: str) -> FactoryFailed:
    return FactoryFailed(
        target="The original module",
        problem="answers the same input differently from call to call, from the same random "
        "numbers too: it keeps something between calls, or depends on something that is not its "
        f"input, and an exported model can do neither ({problem}). Give it what it keeps as an "
        "input, and return it as an output",
    )
