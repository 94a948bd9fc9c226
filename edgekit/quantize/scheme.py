"""What a scheme's file says about it; `find` gets it by its name.

To add one, add its name to `edgekit.terms.Scheme` and a file of that name, with underscores, that
exposes `SCHEME`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from edgekit.errors import UnknownName
from edgekit.installed import missing_extra
from edgekit.tensors import Feed
from edgekit.terms import Scheme, members


@dataclass(frozen=True, kw_only=True)
class Work:
    """What a scheme is given: a float model, where to write the new one, and real values.

    `feeds` starts a new pass over what went into the model, from the package's calibration cases
    or else its reference cases. `keep_float` names nodes to leave alone. `progress` is called with
    the cases done and the cases in all; `wall_s` bounds a single run.
    """

    model: Path
    output: Path
    feeds: Callable[[], Iterable[Feed]]
    keep_float: tuple[str, ...] = ()
    wall_s: float = 600.0
    progress: Callable[[int, int], None] | None = None


class Made(msgspec.Struct, frozen=True):
    """What a scheme made: the new model's external data, and what it left in float.

    `keep_float` are the nodes that were left for the values they meet or on demand, in the order of
    the graph; `kept` every node that computes in float32 still, and why. `nodes` compute in the new
    precision, and `cases` were looked at to decide. `stand_in` is a model beside the new one that
    answers on a CPU as that does on hardware for the precision, None where a CPU does so itself.
    """

    files: tuple[str, ...]
    keep_float: tuple[str, ...]
    kept: dict[str, str]
    nodes: int
    cases: int
    stand_in: Path | None = None


@dataclass(frozen=True, kw_only=True)
class SchemeInfo:
    """A scheme: its name, the precision that it gives, and the provider that it is made for.

    `where` is a sentence about where it pays.
    """

    name: Scheme
    precision: str
    target: str
    summary: str
    where: str
    make: Callable[[Work], Made]


def find(name: str) -> SchemeInfo:
    """Return a scheme by its name.

    Raises:
        UnknownName: there is no such scheme.
        MissingExtra: what it needs is not installed.
    """
    if name not in members(Scheme):
        raise UnknownName(kind="scheme", asked=name, available=list(members(Scheme)))
    try:
        module = importlib.import_module(f"edgekit.quantize.{name.replace('-', '_')}")
    except ModuleNotFoundError as error:
        raise missing_extra(error) or error from error
    found: SchemeInfo = module.SCHEME
    return found
