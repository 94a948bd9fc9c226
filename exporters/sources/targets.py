"""Which form a TARGET has, and what the options beside it may be."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable

from edgekit.errors import BadValue
from exporters import models
from exporters.exportable import Exportable
from exporters.requests import TargetRequest
from exporters.seeds import seed_everything
from exporters.sources import checkpoints, modules, programs, timm_models
from exporters.sources.parameters import typed_parameters
from exporters.sources.weights import load_weights

_NO_NAME = re.compile(r"[^A-Za-z0-9._-]+|^[._-]+")
_PICKLES = (".bin", ".ckpt", ".pkl", ".pt", ".pth")

Maker = Callable[[TargetRequest], tuple[Exportable, str]]
"""Makes what a TARGET names, and a name for it where it brings none."""


def build(request: TargetRequest) -> Exportable:
    """Make what a TARGET names, under a fixed seed.

    Raises:
        UnknownName: no such reference model, factory, parameter, model or task.
        NotFound: no such file or folder.
        BadValue: a TARGET of no known form, an option that is not for it, or a parameter that is
            missing or of another type.
        FactoryFailed: the user's code raised, called exit, or returned what can't be exported; or
            a checkpoint, a program or weights that can't be used.
        MissingExtra: the library that the TARGET is of isn't installed.
    """
    make = _maker_of(request.target)
    if request.pretrained and make not in (timm_models.make, checkpoints.make):
        raise BadValue(
            what="--pretrained",
            asked=f"used with {request.target}",
            expected="timm:NAME or hf:NAME, whose libraries publish weights; for others "
            "--weights FILE.safetensors loads them",
        )
    if request.task is not None and make is not checkpoints.make:
        raise BadValue(
            what="--task",
            asked=f"used with {request.target}",
            expected="hf:FOLDER or hf:NAME, whose models have one head for each task",
        )
    exportable, label = make(request)
    if request.weights is not None:
        load_weights(exportable.module, request)
    if exportable.name is not None:
        return exportable
    return dataclasses.replace(exportable, name=_NO_NAME.sub("-", label).lstrip("._-") or "model")


def _maker_of(target: str) -> Maker:
    _, colon, _ = target.rpartition(":")
    if target.startswith("timm:"):
        return timm_models.make
    if target.startswith("hf:"):
        return checkpoints.make
    if target.lower().endswith(".pt2"):
        return programs.make
    if colon:
        return modules.from_code
    if target.endswith(".py"):
        raise BadValue(what="TARGET", asked=target, expected=f"a factory in it: {target}:NAME")
    if target.lower().endswith(_PICKLES):
        raise BadValue(
            what="TARGET",
            asked=target,
            expected="what makes the module: file.py:factory, which may load such a file, or a "
            ".pt2 of torch.export.save",
        )
    return _reference_model


def _reference_model(request: TargetRequest) -> tuple[Exportable, str]:
    # Ours: what goes wrong in it is no fault of a user's code.
    factory = models.find(request.target)
    typed = typed_parameters(factory, request.parameters, target=request.target)
    seed_everything(request.seed)
    return factory(**typed), request.target
