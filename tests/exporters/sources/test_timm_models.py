from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from edgekit.errors import BadValue, FactoryFailed, MissingExtra, UnknownName
from exporters import sources
from exporters.exportable import Normalization
from exporters.original import Original
from exporters.requests import TargetRequest
from exporters.sources.images import example_images, pixel_range

NEEDS_TIMM = "timm is in the environment of `make zoo` (constraints-zoo.txt)"


def build(name: str, **given: Any) -> Any:
    return sources.build(TargetRequest(f"timm:{name}", "/", **given))


@pytest.fixture
def timm() -> Any:
    return pytest.importorskip("timm", reason=NEEDS_TIMM)


def test_a_model_by_name_has_an_image_and_logits(timm: Any) -> None:
    made = build("test_resnet")
    assert made.name == "test_resnet"
    example = made.inputs()
    assert {name: tuple(x.shape) for name, x in example.items()} == {"image": (2, 3, 160, 160)}
    assert made.dynamic == {"image": ["batch:1..64", None, None, None]}
    assert made.normalization == Normalization("image", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    assert made.values["image"] == pytest.approx((-1.0, 1.0), abs=3e-3)
    assert made.labels is None  # random weights know no classes
    assert any("the weights are random (seed 0); --pretrained" in note for note in made.notes)
    answer = Original(made)(example)
    assert {name: tuple(x.shape) for name, x in answer.items()} == {"logits": (2, 1000)}


def test_random_weights_are_those_of_the_seed(timm: Any) -> None:
    hashes = [Original(build("test_resnet", seed=seed)).weights_sha256() for seed in (0, 0, 1)]
    assert hashes[0] == hashes[1] != hashes[2]


@pytest.mark.parametrize(
    ("parameters", "shape", "outputs"),
    [
        ({"num_classes": "7"}, (2, 3, 160, 160), {"logits": (2, 7)}),
        ({"num_classes": "0"}, (2, 3, 160, 160), {"features": (2, 64)}),
        ({"img_size": "96", "num_classes": "5"}, (2, 3, 96, 96), {"logits": (2, 5)}),
        ({"in_chans": "1", "num_classes": "5"}, (2, 1, 160, 160), {"logits": (2, 5)}),
    ],
)
def test_parameters_go_to_the_model(
    parameters: dict[str, str], shape: tuple[int, ...], outputs: dict[str, Any], timm: Any
) -> None:
    made = build("test_vit", parameters=parameters)
    assert tuple(made.inputs()["image"].shape) == shape
    answer = Original(made)(made.inputs())
    assert {name: tuple(x.shape) for name, x in answer.items()} == outputs
    assert (made.normalization is None) == ("in_chans" in parameters)


@pytest.mark.parametrize("name", ["resnet18x", "test_resnet.r160", "zzzz"])
def test_a_name_that_timm_lacks_names_the_nearest(name: str, timm: Any) -> None:
    with pytest.raises(UnknownName, match=f"There is no timm model '{name}'; there is: ") as caught:
        build(name)
    assert ("resnet18" in str(caught.value)) == name.startswith("resnet")


@pytest.mark.parametrize("name", ["pretrained", "checkpoint_path", "pretrained_cfg"])
def test_weights_are_no_parameter(name: str, timm: Any) -> None:
    with pytest.raises(BadValue, match=f"the parameter {name} of timm:test_resnet cannot be given"):
        build("test_resnet", parameters={name: "true"})


def test_a_parameter_that_the_model_lacks_is_one_sentence(timm: Any) -> None:
    with pytest.raises(FactoryFailed, match=r"raised TypeError: .*unexpected keyword argument 'd"):
        build("test_resnet", parameters={"depth": "3"})


@pytest.fixture
def hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No network, and a cache folder of the hub's own layout."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    return tmp_path


def test_published_weights_without_a_network_are_one_sentence(timm: Any, hub_cache: Path) -> None:
    with pytest.raises(FactoryFailed, match=r"needs the weights of timm/test_resnet\.r160_in"):
        build("test_resnet", pretrained=True)


def test_published_weights_are_read_from_the_hub_s_cache(timm: Any, hub_cache: Path) -> None:
    from safetensors.torch import save_file

    model = timm.create_model("test_resnet")
    repository = hub_cache / "models--timm--test_resnet.r160_in1k"
    snapshot = repository / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("abc")
    save_file(model.state_dict(), snapshot / "model.safetensors")
    made = build("test_resnet", pretrained=True)
    assert torch.equal(made.module.conv1[0].weight, model.conv1[0].weight)
    assert made.notes == ()
    assert len(made.labels) == 1000
    assert made.labels[0].startswith("tench")


def test_timm_that_is_not_installed_is_an_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(MissingExtra, match=r"'timm'.*pip install 'edgekit-onnx\[timm\]'"):
        build("resnet18")


@pytest.mark.parametrize(
    ("code", "error", "sentence"),
    [
        (
            "raise RuntimeError('operator torchvision::nms does not exist')",
            FactoryFailed,
            "needs timm, which can't be imported .operator torchvision::nms does not exist.*each "
            "release of torchvision goes with one of torch",
        ),
        (
            "raise ModuleNotFoundError('no', name='torchvision')",
            MissingExtra,
            r"'torchvision'.*pip install 'edgekit-onnx\[timm\]'",
        ),
    ],
)
def test_a_torchvision_that_does_not_fit_is_told(
    code: str,
    error: type[Exception],
    sentence: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "timm"]:
        monkeypatch.delitem(sys.modules, name)
    (tmp_path / "timm.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(error, match=sentence):
        build("resnet18")


@pytest.mark.parametrize(
    "normalization",
    [
        Normalization("x", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        Normalization("x"),
        Normalization("x", (0.5,), (0.5,), scale=1 / 127.5),
        Normalization("x", (10.0,), (0.1, 0.2, 0.3), scale=1.0),
    ],
)
def test_the_range_of_pixels_holds_every_example(normalization: Normalization) -> None:
    low, high = pixel_range(normalization)
    images = example_images(normalization, (3, 64, 64))
    assert images.dtype == torch.float32
    assert images.shape == (2, 3, 64, 64)
    assert low <= images.min() <= low + 0.1 * (high - low)
    assert high - 0.1 * (high - low) <= images.max() <= high
