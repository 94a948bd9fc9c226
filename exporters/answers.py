"""What the original answers to a feed, or one sentence about why it doesn't."""

from __future__ import annotations

from edgekit.blame import users_line
from edgekit.errors import EdgekitError, FactoryFailed
from edgekit.tensors import Array, Feed
from exporters.arrays import to_numpy, to_torch
from exporters.original import Original

_NARROWER = (
    ". If it is not meant to run at that size, narrow the range: --dynamic INPUT=name:LOW..HIGH; "
    "dimensions that must be equal take one name"
)
_STATED = (
    ". If its inputs never have such values, state their range: Exportable(values={…: (LOW, HIGH)})"
)


def answers(original: Original, feed: Feed, *, where: str = "") -> dict[str, Array]:
    """Run the original on a feed; `where` says at which sizes, other than the example's.

    Raises:
        FactoryFailed: it raises.
    """
    tensors = {name: to_torch(array) for name, array in feed.items()}
    try:
        return {name: to_numpy(t) for name, t in original(tensors).items()}
    except EdgekitError:
        raise
    except Exception as error:  # the user's forward may raise anything
        problem = f"raised {type(error).__name__}: {' '.join(str(error).split())[:300]}"
        advice = _STATED if where.endswith("drawn values") else _NARROWER if where else ""
        raise FactoryFailed(
            target=f"The original module at {where}" if where else "The original module",
            problem=problem + advice,
            where=users_line(error),
        ) from error
