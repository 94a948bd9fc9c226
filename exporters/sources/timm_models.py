"""`timm:NAME`: an image model of the timm library."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from edgekit.errors import BadValue, FactoryFailed, MissingExtra, UnknownName
from edgekit.user_code import in_one_line, run_user_code
from exporters.exportable import Exportable, Normalization
from exporters.requests import TargetRequest
from exporters.seeds import seed_everything
from exporters.sources import hub
from exporters.sources.images import example_images, pixel_range
from exporters.sources.parameters import as_written

BATCH = "batch:1..64"
_PLAIN = ("exportable", "no_jit", "scriptable")
"""Parameters of `timm.create_model` that only choose between equal layers."""
_NEAREST = 5


def make(request: TargetRequest) -> tuple[Exportable, str]:
    """Make a timm model: random weights from the seed, or those that were published.

    Its input is `image`, normalised float32 of [batch, channel, height, width]. `-p` gives what
    `timm.create_model` passes on to the model: `num_classes=10`, `img_size=256`.

    Raises:
        MissingExtra: timm or torchvision isn't installed.
        UnknownName: timm has no such model.
        BadValue: a parameter that another option stands for.
        FactoryFailed: timm can't be imported or can't make it, or its weights aren't there.
    """
    timm = _imported(request.target)
    name = request.target.removeprefix("timm:")
    _refuse_unknown(timm, name)
    given = _typed(timm, request)
    if request.pretrained:
        given |= _published(timm, name, request.target)
    seed_everything(request.seed)
    model = run_user_code(lambda: timm.create_model(name, **given), target=request.target).eval()
    config = timm.data.resolve_data_config(
        {"img_size": given["img_size"]} if "img_size" in given else {}, model=model
    )
    size = (given.get("in_chans", config["input_size"][0]), *config["input_size"][1:])
    normalization = _normalization(config, channels=size[0])
    return (
        Exportable(
            model,
            (
                torch.rand(2, *size)
                if normalization is None
                else example_images(normalization, size),
            ),
            input_names=["image"],
            output_names=_output_names(model),
            dynamic={"image": [BATCH, None, None, None]},
            values={} if normalization is None else {"image": pixel_range(normalization)},
            labels=_labels(timm, model) if request.pretrained else None,
            normalization=normalization,
            notes=()
            if request.pretrained or request.weights
            else (
                f"the weights are random (seed {request.seed}); --pretrained loads those that were "
                "published",
            ),
        ),
        name,
    )


def _imported(target: str) -> Any:
    try:
        import timm
        import timm.data
    except ModuleNotFoundError as error:
        if error.name not in ("timm", "torchvision"):
            raise
        raise MissingExtra(module=error.name, extra="timm", what=target) from error
    except Exception as error:  # torchvision's binary part raises whatever it stumbles over
        raise FactoryFailed(
            target=target,
            problem=f"needs timm, which can't be imported ({in_one_line(error)}). Usually "
            f"torchvision was built for another PyTorch than the {torch.__version__} here: each "
            "release of torchvision goes with one of torch. Run: pip install --upgrade torch "
            "torchvision",
        ) from error
    return timm


def _refuse_unknown(timm: Any, name: str) -> None:
    if timm.is_model(name) and (
        "." not in name or name in timm.list_pretrained(name.partition(".")[0] + ".*")
    ):
        return
    known = timm.list_pretrained() if "." in name else timm.list_models()
    near = difflib.get_close_matches(name, known, n=_NEAREST, cutoff=0.5)
    raise UnknownName(
        kind="timm model",
        asked=name,
        available=near or [f"none like it among {len(known)}"],
        action="timm.list_models('*resnet*') in Python lists those of a pattern.",
    )


def _typed(timm: Any, request: TargetRequest) -> dict[str, Any]:
    taken = [
        name
        for name, parameter in inspect.signature(timm.create_model).parameters.items()
        if parameter.kind is not parameter.VAR_KEYWORD and name not in _PLAIN
    ]
    for name in request.parameters:
        if name in taken:
            raise BadValue(
                what=f"the parameter {name} of {request.target}",
                asked="given with -p",
                expected="--pretrained or --weights FILE.safetensors for weights, and the model's "
                "own parameters with -p",
            )
    return {name: as_written(text) for name, text in request.parameters.items()}


def _published(timm: Any, name: str, target: str) -> dict[str, Any]:
    """Say to `timm.create_model` where the published weights are.

    Without a network they are read from the cache folder, without a try at the network first.
    """
    if not hub.is_offline():
        return {"pretrained": True}
    config = timm.models.get_pretrained_cfg(name)
    repository = config.hf_hub_id if config is not None else None
    file = hub.cached(repository, ("model.safetensors",)) if repository else None
    if file is None:
        raise hub.unreachable(
            target,
            f"the weights of {repository or name}",
            instead="Without a network, leave --pretrained out for random weights, or give "
            "--weights FILE.safetensors.",
        )
    return {"pretrained": True, "pretrained_cfg_overlay": {"file": file}}


def _normalization(config: Mapping[str, Any], *, channels: int) -> Normalization | None:
    """Take what the model was trained with; for other channels than those nothing is known."""
    mean, std = tuple(config["mean"]), tuple(config["std"])
    if {len(mean), len(std)} - {1, channels}:
        return None
    return Normalization("image", mean=mean, std=std)


def _output_names(model: Any) -> Sequence[str] | None:
    classes = getattr(model, "num_classes", None)
    if classes is None:  # features of several stages
        return None
    return ["logits" if classes else "features"]


def _labels(timm: Any, model: Any) -> list[str] | None:
    """Name the classes of an ImageNet model, as timm has them; None where the set is another."""
    subset = timm.data.infer_imagenet_subset(model)
    if subset is None:
        return None
    descriptions = timm.data.ImageNetInfo(subset).label_descriptions()
    return list(descriptions) if len(descriptions) == model.num_classes else None
