"""Training of the reference models, the same on every run, and the weights kept from it."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import platform
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.torch
import torch
from filelock import FileLock
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from edgekit import cache
from edgekit.errors import BadValue

_log = logging.getLogger("edgekit")


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Draw torch's random numbers from `seed` inside, and give the caller its own state back."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    # The number of threads decides the order in which sums are taken, so it would decide the
    # weights. One also keeps its pace beside other work, where two wait for each other: on two
    # busy cores two threads were measured from 2 times faster to 10 times slower.
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def train(
    module: nn.Module,
    images: NDArray[np.float32],
    labels: NDArray[np.int64],
    *,
    epochs: int,
    batch: int = 32,
    lr: float = 3e-3,
    seed: int = 0,
    shift: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Train a classifier where it stands, and leave it in eval mode.

    Cross entropy, AdamW and one cycle of the learning rate that peaks at `lr`. With `shift`, every
    image is moved by up to that many pixels along its last two axes each time it is shown, what
    comes in being 0. `images` is [n, …]; `labels` holds the n classes. `progress` is called with
    the epochs done and their total.

    The same arguments give the same weights, bit for bit, on one kind of processor with one
    version of torch: the whole training runs on one thread, whatever the caller's number is, and
    the caller's random state and thread count are as before when it ends.

    Raises:
        BadValue: fewer than one epoch.
    """
    if epochs < 1:
        raise BadValue(what="epochs", asked=str(epochs), expected="1 or more")
    inputs, classes = torch.tensor(images), torch.tensor(labels)
    steps = -(-len(inputs) // batch)
    optimizer = torch.optim.AdamW(module.parameters(), lr=lr)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, lr, total_steps=steps * epochs)
    padded = functional.pad(inputs, [shift] * 4) if shift else inputs
    module.train()
    with seeded(seed), _one_thread(), torch.enable_grad():
        for epoch in range(epochs):
            for indices in torch.split(torch.randperm(len(inputs)), batch):
                shown = padded[indices]
                if shift:
                    shown = _moved(shown, shift)
                if shown.ndim == 4:
                    # oneDNN's convolutions are 1.2 to 1.8 times faster on this layout.
                    shown = shown.contiguous(memory_format=torch.channels_last)
                optimizer.zero_grad()
                loss = functional.cross_entropy(module(shown), classes[indices])
                torch.autograd.backward(loss)
                optimizer.step()
                schedule.step()
            if progress is not None:
                progress(epoch + 1, epochs)
    module.eval()


def _moved(padded: Tensor, shift: int) -> Tensor:
    """Cut a window out of each padded image, at a place of its own."""
    height, width = (size - 2 * shift for size in padded.shape[-2:])
    corners = torch.randint(0, 2 * shift + 1, (len(padded), 2)).tolist()
    return torch.stack(
        [
            image[..., top : top + height, left : left + width]
            for image, (top, left) in zip(padded, corners, strict=True)
        ]
    )


def cached_weights(
    name: str, recipe: Mapping[str, Any], make: Callable[[], Mapping[str, Tensor]]
) -> dict[str, Tensor]:
    """Return what `make` made for this recipe, now or on an earlier run.

    The weights lie in the cache folder as ``weights/NAME-HASH.safetensors``; the hash is over the
    recipe (plain JSON values: name in it whatever decides the weights, the data's hash too),
    torch's version and the kind of processor. Of two processes that ask at once one makes and the
    other waits. A file that is damaged is made again; where the folder can't be written, `make`
    runs each time.
    """
    path = cache.folder() / "weights" / f"{name}-{_key(recipe)}.safetensors"
    found = _read(path)
    if found is not None:
        return found
    with _only_one(path):
        found = _read(path)
        if found is None:
            found = {key: value.detach().cpu().clone() for key, value in make().items()}
            found = {key: value.contiguous() for key, value in found.items()}
            content = safetensors.torch.save(found, metadata={"sha256": _digest(found)})
            if not cache.store(path, content):
                _log.info("the weights of %s could not be kept in %s", name, path.parent)
        return found


@contextlib.contextmanager
def _only_one(path: Path) -> Iterator[None]:
    lock = FileLock(path.with_suffix(".lock"))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except (OSError, NotImplementedError):
        # No lock can be had where nothing can be written: at worst two processes do the same.
        yield
        return
    try:
        yield
    finally:
        lock.release()


def _key(recipe: Mapping[str, Any]) -> str:
    facts = {
        "recipe": recipe,
        "torch": torch.__version__,
        "processor": [platform.machine(), torch.backends.cpu.get_cpu_capability()],
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]


def _digest(state: Mapping[str, Tensor]) -> str:
    # safetensors notices a file that is cut short, not one whose numbers were changed.
    hashed = hashlib.sha256()
    for key in sorted(state):
        hashed.update(f"{key} {state[key].dtype} {tuple(state[key].shape)} ".encode())
        hashed.update(state[key].reshape(-1).view(torch.uint8).numpy().tobytes())
    return hashed.hexdigest()


def _read(path: Path) -> dict[str, Tensor] | None:
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            recorded = (file.metadata() or {}).get("sha256")
            # Copied, since a mapped file that is replaced or cut would change under its reader.
            state = {key: file.get_tensor(key).clone() for key in file.keys()}  # noqa: SIM118
    except (OSError, safetensors.SafetensorError):
        return None
    return state if _digest(state) == recorded else None
