"""Does the original answer one input in one way: always, but for random numbers, or not?"""

from __future__ import annotations

from edgekit.errors import FactoryFailed
from edgekit.metrics import within
from edgekit.tensors import Array, Feed, Signature
from exporters.answers import answers
from exporters.bounds import Errors, bound_of
from exporters.original import Original
from exporters.seeds import seed_everything
from exporters.sizes import drawn


def steady_answers(
    original: Original, signature: Signature, feed: Feed, *, seed: int
) -> tuple[dict[str, Array], frozenset[str]]:
    """Answer `feed`, and name the outputs that are drawn at random.

    Random is what comes out the same from the same seed and differently from another. `signature`
    is that of the inputs.

    Raises:
        FactoryFailed: the module raises, or answers differently from call to call although its
            random numbers are the same, so it keeps something between calls; or a random output
            has a random shape.
    """
    seed_everything(seed)
    first = answers(original, feed)
    # Whatever it keeps from call to call, other values leave something else there.
    answers(original, drawn(signature, feed, seed=seed + 1), where="other values")
    seed_everything(seed)
    again = answers(original, feed)
    for output, array in first.items():
        problem = _difference(again.get(output), array)
        if problem:
            raise _unsteady(f"{output}: {problem}")
    random = set()
    for other in (seed + 1, seed + 2):
        seed_everything(other)
        drawn_otherwise = answers(original, feed)
        for output, array in first.items():
            if drawn_otherwise[output].shape != array.shape:
                raise _unsteady(f"{output} has a shape that is drawn at random")
            if _difference(drawn_otherwise[output], array):
                random.add(output)
    return first, frozenset(random)


def _difference(again: Array | None, before: Array) -> str:
    if again is None:
        return "it is there and then it isn't"
    if again.shape != before.shape:
        return f"its shape is {list(before.shape)} and then {list(again.shape)}"
    _, bound, _ = bound_of(before, None, None, Errors())
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
