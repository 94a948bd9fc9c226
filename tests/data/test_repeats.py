from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest

from edgekit.data import open_data, repeats_note, synthetic
from edgekit.tensors import Array, Case, Dataset, Signature


def dataset(images: Array, labels: list[int]) -> Dataset:
    cases = [Case({"image": i}, label=n) for i, n in zip(images, labels, strict=True)]
    return Dataset("digits", "test", "", len(cases), lambda: iter(cases))


def test_repeats_are_told_with_how_many_cases_differ(images: Array) -> None:
    said = repeats_note(dataset(np.repeat(images[:2], 400, 0), [0] * 400 + [1] * 400))
    assert said.startswith("only 2 of the 800 digits differ from each other")


@pytest.mark.parametrize(("repeated", "told"), [(0, False), (1, False), (2, True)])
def test_a_few_repeats_are_let_be(repeated: int, told: bool, images: Array) -> None:
    images = images.copy()
    images[:repeated] = images[-1]
    assert bool(repeats_note(dataset(images, [0] * 20))) == told


def test_the_same_input_of_another_class_is_no_repeat(images: Array) -> None:
    assert not repeats_note(dataset(images[[0, 0]], [0, 1]))


def test_made_up_values_are_let_be(takes: Signature) -> None:
    made_up = synthetic(takes, cases=2)
    assert not repeats_note(msgspec.structs.replace(made_up, different=1))


def test_given_data_are_counted_when_they_are_opened(
    takes: Signature, images: Array, tmp_path: Path
) -> None:
    np.savez(tmp_path / "twice.npz", image=images[[*range(20), *range(20)]])
    data = open_data("twice.npz", takes, split="test", folder=tmp_path)
    assert (data.cases, data.different) == (40, 20)
    assert repeats_note(data).startswith("only 20 of the 40 cases of twice.npz")
