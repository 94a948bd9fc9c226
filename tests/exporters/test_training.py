from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import Tensor, nn

from edgekit.errors import BadValue
from exporters import training
from exporters.training import Course

INK = np.zeros((40, 1, 6, 6), np.float32)
SIDES = (np.arange(40) % 2).astype(np.int64)
INK[SIDES == 0, :, 2:4, 1:3] = 1  # class 0 is inked on the left, class 1 on the right
INK[SIDES == 1, :, 2:4, 4:6] = 1


class Tiny(nn.Module):
    """A convolution, a dropout and a linear layer: all that draws random numbers or sums."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3, padding=1)
        self.drop = nn.Dropout(0.2)
        self.linear = nn.Linear(4 * 36, 2)

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.linear(self.drop(torch.relu(self.conv(x))).flatten(1))
        return scores


def trained(*, seed: int = 0, **settings: Any) -> dict[str, Tensor]:
    with training.seeded(7):
        module = Tiny()
    progress = settings.pop("progress", None)
    settings = {"epochs": 3, "batch": 16, "lr": 0.02, "shift": 1, **settings}
    training.train(module, INK, SIDES, course=Course(seed=seed, **settings), progress=progress)
    return module.state_dict()


def same(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> bool:
    return list(one) == list(other) and all(torch.equal(one[key], other[key]) for key in one)


def test_train_gives_the_same_weights_from_the_same_seed() -> None:
    first = trained()
    torch.rand(5)  # whatever else drew numbers in between
    assert same(first, trained())
    assert not same(first, trained(seed=1))


def test_train_gives_the_same_weights_on_any_number_of_threads() -> None:
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        first = trained()
        torch.set_num_threads(3)
        assert same(first, trained())
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


def test_train_keeps_the_callers_random_state() -> None:
    torch.manual_seed(11)
    expected = torch.rand(3)
    torch.manual_seed(11)
    trained()
    assert torch.equal(torch.rand(3), expected)


def test_train_learns_and_ends_in_eval_mode() -> None:
    with training.seeded(7):
        module = Tiny()
    training.train(module, INK, SIDES, course=Course(epochs=15, batch=8, lr=0.02, shift=1))
    assert not module.training
    with torch.no_grad():
        assert (module(torch.tensor(INK)).argmax(1).numpy() == SIDES).all()


def test_train_works_where_gradients_are_off() -> None:
    with torch.no_grad():
        assert same(trained(), trained())
    assert same(trained(), trained())


def test_train_shifts_by_no_more_than_asked() -> None:
    """A dot in the middle is shown at each place within the shift, and nowhere else."""

    class Watch(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(49, 2)
            self.seen: set[tuple[int, int]] = set()

        def forward(self, x: Tensor) -> Tensor:
            assert x.shape[1:] == (7, 7)
            for image in x:
                ((row, column),) = image.nonzero().tolist()
                self.seen.add((row - 3, column - 3))
            scores: Tensor = self.linear(x.flatten(1))
            return scores

    dots = np.zeros((200, 7, 7), np.float32)
    dots[:, 3, 3] = 1
    module = Watch()
    training.train(
        module, dots, np.zeros(200, np.int64), course=Course(epochs=2, batch=50, shift=2)
    )
    assert module.seen == {(row, column) for row in range(-2, 3) for column in range(-2, 3)}


def test_train_reports_each_epoch() -> None:
    calls: list[tuple[int, int]] = []
    trained(progress=lambda done, total: calls.append((done, total)))
    assert calls == [(0, 3), (1, 3), (2, 3), (3, 3)]


def test_train_clips_a_long_gradient() -> None:
    """AdamW's first step is as long for any gradient; with a clip of nearly nothing it is not."""
    with training.seeded(7):
        before = Tiny().state_dict()
    moved = {
        clip: max(
            (value - before[name]).abs().max().item()
            for name, value in trained(epochs=1, batch=40, clip=clip).items()
        )
        for clip in (None, 1e-9)
    }
    assert moved[1e-9] is not None
    assert moved[None] > 2 * moved[1e-9]


def test_train_forms_inputs_of_what_it_has_moved() -> None:
    class Watch(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(1, 2)
            self.seen: list[tuple[Tensor, Tensor]] = []

        def forward(self, rows: Tensor, ink: Tensor) -> Tensor:
            self.seen.append((rows, ink))
            scores: Tensor = self.linear(ink)
            return scores

    images = np.zeros((8, 3, 3), np.uint8)
    images[:, 0, 0] = 200
    module = Watch()
    training.train(
        module,
        images,
        np.zeros(8, np.int64),
        course=Course(epochs=1, batch=8, shift=1),
        form=lambda moved: {
            "rows": moved.astype(np.float32),
            "ink": moved.sum((1, 2), dtype=np.float32)[:, None],
        },
    )
    ((rows, ink),) = module.seen
    assert rows.shape == (8, 3, 3)
    assert torch.equal(rows.sum((1, 2))[:, None], ink)
    assert set(ink.flatten().tolist()) == {0.0, 200.0}  # the dot stays in sight, or leaves it


def test_train_refuses_no_epochs() -> None:
    with pytest.raises(BadValue, match="epochs"):
        trained(epochs=0)


class Maker:
    """Makes other weights each time it is called, and counts."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self) -> dict[str, Tensor]:
        self.calls += 1
        weight = torch.full((2, 3), float(self.calls))
        # Two names for one tensor, a transposed view and whole numbers: what modules hold.
        return {"a": weight, "tied": weight, "t": weight.T, "steps": torch.tensor(4)}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EDGEKIT_CACHE", str(tmp_path))
    return tmp_path


def kept_file(folder: Path) -> Path:
    (path,) = folder.rglob("*.safetensors")
    return path


def learnt(**changed: Any) -> dict[str, Tensor]:
    with training.seeded(7):
        module = changed.pop("module", None) or Tiny()
    images = changed.pop("images", INK)
    form = changed.pop("form", None)
    course = Course(**{"epochs": 1, "batch": 20, **changed})
    training.learn(
        module, "tiny", images=images, labels=SIDES, course=course, form=form, data="sides"
    )
    assert not module.training
    return module.state_dict()


def test_learn_trains_once(folder: Path) -> None:
    assert same(learnt(), learnt())
    kept_file(folder)


@pytest.mark.parametrize(
    "changed",
    [
        {"epochs": 2},
        {"seed": 1},
        {"clip": 0.5},
        {"images": INK + np.float32(0.5)},
        {"form": lambda images: {"x": images * 2}},
    ],
)
def test_learn_trains_again_for_whatever_decides_the_weights(
    changed: dict[str, Any], folder: Path
) -> None:
    assert not same(learnt(), learnt(**changed))
    assert len(list(folder.rglob("*.safetensors"))) == 2


def test_learn_trains_again_for_another_forward(folder: Path) -> None:
    class Doubled(Tiny):
        def forward(self, x: Tensor) -> Tensor:
            scores: Tensor = super().forward(2 * x)
            return scores

        def _get_name(self) -> str:
            return "Tiny"

    with training.seeded(7):
        assert str(Doubled()) == str(Tiny())
    with training.seeded(7):
        module = Doubled()
    assert not same(learnt(), learnt(module=module))


def test_learn_gives_kept_weights_to_a_module_in_training_mode(folder: Path) -> None:
    learnt()
    module = Tiny().train()
    assert same(learnt(module=module), learnt())
    assert not module.training


def test_cached_weights_are_made_once(folder: Path) -> None:
    make = Maker()
    first = training.cached_weights("net", {"seed": 0, "lr": 0.1}, make)
    again = training.cached_weights("net", {"lr": 0.1, "seed": 0}, make)
    assert make.calls == 1
    assert same(
        {key: first[key] for key in sorted(first)}, {key: again[key] for key in sorted(again)}
    )
    assert again["t"].shape == (3, 2)
    assert again["steps"].item() == 4


def test_cached_weights_are_made_again_for_another_recipe_or_name(folder: Path) -> None:
    make = Maker()
    training.cached_weights("net", {"seed": 0}, make)
    other = training.cached_weights("net", {"seed": 1}, make)
    assert make.calls == 2
    assert other["a"][0, 0] == 2
    training.cached_weights("web", {"seed": 0}, make)
    assert make.calls == 3


def test_cached_weights_are_made_again_for_another_torch(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = Maker()
    training.cached_weights("net", {}, make)
    monkeypatch.setattr(torch, "__version__", "0.0.1")
    training.cached_weights("net", {}, make)
    assert make.calls == 2


@pytest.mark.parametrize("damage", ["empty", "cut", "flipped", "foreign"])
def test_cached_weights_are_made_again_when_the_file_is_damaged(damage: str, folder: Path) -> None:
    make = Maker()
    training.cached_weights("net", {}, make)
    path = kept_file(folder)
    content = bytearray(path.read_bytes())
    if damage == "empty":
        content.clear()
    elif damage == "cut":
        del content[-5:]
    elif damage == "flipped":
        content[-1] ^= 64
    else:
        content = bytearray(safetensors.torch.save({"a": torch.ones(1)}))
    path.write_bytes(content)
    assert training.cached_weights("net", {}, make)["a"][0, 0] == 2
    assert training.cached_weights("net", {}, make)["a"][0, 0] == 2
    assert make.calls == 2


def test_cached_weights_are_made_each_time_when_the_cache_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("EDGEKIT_CACHE", str(tmp_path / "file"))
    make = Maker()
    training.cached_weights("net", {}, make)
    assert training.cached_weights("net", {}, make)["a"][0, 0] == 2


def test_cached_weights_leave_nothing_behind_when_making_fails(folder: Path) -> None:
    def fail() -> dict[str, Tensor]:
        raise OSError("the data is gone")

    with pytest.raises(OSError, match="the data is gone"):
        training.cached_weights("net", {}, fail)
    assert not list(folder.rglob("*.safetensors"))
    make = Maker()
    training.cached_weights("net", {}, make)
    assert make.calls == 1


def test_cached_weights_are_made_by_one_process_of_two(folder: Path) -> None:
    script = f"""
import pathlib, time, torch
from exporters import training
from exporters.training import Course

def make():
    with pathlib.Path({str(folder / "made")!r}).open("a") as file:
        file.write("made\\n")
    time.sleep(1)
    return {{"a": torch.rand(3)}}

print(training.cached_weights("net", {{}}, make)["a"].tolist())
"""
    children = [
        subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    answers = [child.communicate(timeout=60)[0] for child in children]
    assert [child.returncode for child in children] == [0, 0]
    assert answers[0] == answers[1]
    assert (folder / "made").read_text() == "made\n"
