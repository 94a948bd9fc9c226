"""What a scheme's file says about it; `find` gets it by its name.

To add one, add its name to `edgekit.terms.Scheme` and a file of that name, with underscores, that
exposes `SCHEME`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

import msgspec

from edgekit.errors import BadValue, UnknownName
from edgekit.installed import missing_extra
from edgekit.package.values import Calibration, QuantRules, Recipe, Target
from edgekit.tensors import Feed
from edgekit.terms import CalibrationMethod, Scheme, members

_HERE = "cpu"


class Settings(msgspec.Struct, frozen=True):
    """How a scheme does it, where the user may say so; None leaves it to the scheme.

    `method` and `percentile` say how ranges are read off; `smooth` is SmoothQuant's exponent, 0
    for none; `bias_correction` takes back the mean shift; `block_size` counts the weights of a row
    that share a scale.
    """

    method: CalibrationMethod | None = None
    percentile: float | None = None
    smooth: float | None = None
    bias_correction: bool | None = None
    block_size: int | None = None


@dataclass(frozen=True, kw_only=True)
class Work:
    """What a scheme is given: a float model, a folder to work in, and real values.

    `feeds` starts a new pass over what went into the model, `cases` of them; `calibration` says
    what they are. `rules` are those of the target. `progress` is called with the cases done and
    the cases in all; `wall_s` bounds a single run.
    """

    model: Path
    scratch: Path
    feeds: Callable[[], Iterable[Feed]]
    cases: int
    target: Target = field(default_factory=Target)
    rules: QuantRules = field(default_factory=QuantRules)
    calibration: Calibration | None = None
    settings: Settings = field(default_factory=Settings)
    wall_s: float = 600.0
    progress: Callable[[int, int], None] | None = None


class Made(msgspec.Struct, frozen=True):
    """What a scheme wrote: the new model's external data, and what it left in float.

    `nodes` names the parent's nodes that compute in the new precision, in the order of the graph;
    `kept` those that could and don't, and why. `cases` were looked at to decide. `recipe` says how
    it was done, which nodes were left on demand or for their values among it. `stand_in` is a model
    beside the new one that answers on a CPU as that does on hardware for the precision, None where
    a CPU does so itself. `notes` says what the user must know.
    """

    recipe: Recipe
    files: tuple[str, ...]
    nodes: tuple[str, ...]
    kept: dict[str, str]
    cases: int = 0
    stand_in: Path | None = None
    notes: tuple[str, ...] = ()


def measured_in_place(made: Made, provider: str) -> Path | None:
    """Name the model whose answers are measured in the place of the one that was made.

    On the CPU the model itself says how it answers there.
    """
    return made.stand_in if provider != _HERE else None


Write: TypeAlias = Callable[[Path, Collection[str]], Made]
"""Write the new model to a path, with the named nodes left in float; may be called again."""


@dataclass(frozen=True, kw_only=True)
class SchemeInfo:
    """A scheme: its name, the precision that it gives, and the provider that it is made for.

    `where` is a sentence about where it pays. `needs_data` says that it looks at real values
    without which it can't be done. `takes` names the fields of `Settings` that it heeds. `prepare`
    does once what doesn't depend on the nodes that are left in float (measuring values), and
    returns what writes the model.
    """

    name: Scheme
    precision: str
    target: str
    summary: str
    where: str
    prepare: Callable[[Work], Write]
    needs_data: bool = False
    takes: tuple[str, ...] = ()

    def refuse_unheeded(self, settings: Settings) -> None:
        """Raise BadValue for a setting that the scheme has no use for."""
        for name, value in msgspec.structs.asdict(settings).items():
            if value is not None and name not in self.takes:
                raise BadValue(
                    what=f"{name.replace('_', ' ')} of {self.name}",
                    asked=str(value),
                    expected=f"a scheme that heeds it; {self.name} heeds "
                    + (", ".join(self.takes).replace("_", " ") or "no setting"),
                )


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
