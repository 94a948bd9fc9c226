"""What a pass's file says about it; `find` gets it by its name.

To add one, add its word to `edgekit.terms.Pass`, at the place where it is to be tried, and a file
of that name in `passes`, with underscores, that exposes `PASS`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgekit.errors import UnknownName
from edgekit.installed import missing_extra
from edgekit.terms import Pass, members

if TYPE_CHECKING:
    import onnx_ir as ir


@dataclass(frozen=True, kw_only=True)
class PassInfo:
    """A rewrite that leaves the numbers as they are.

    `apply` changes a model, or gives another in its place, and gives None where nothing fits.
    `bound` says that what it makes is right on processors with the instruction sets of this one
    alone.
    """

    name: Pass
    summary: str
    apply: Callable[[ir.Model], ir.Model | None]
    bound: bool = False


def find(name: str) -> PassInfo:
    """Return a pass by its name.

    Raises:
        UnknownName: there is no such pass.
        MissingExtra: `onnx` or `onnx-ir` is not installed.
    """
    if name not in members(Pass):
        raise UnknownName(kind="pass", asked=name, available=list(members(Pass)))
    try:
        module = importlib.import_module(f"edgekit.optimize.passes.{name.replace('-', '_')}")
    except ModuleNotFoundError as error:
        raise missing_extra(error) or error from error
    found: PassInfo = module.PASS
    return found
