"""Training of the reference models, the same on every run, and the weights kept from it."""

from __future__ import annotations

import contextlib
import hashlib
import inspect
import json
import logging
import platform
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
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


@dataclass(frozen=True)
class Course:
    """How a model is trained: AdamW, and one cycle of the learning rate."""

    epochs: int
    """Passes over all inputs."""
    batch: int = 32
    lr: float = 3e-3
    """The learning rate's peak, a third of the way through."""
    shift: int = 0
    """By up to how many pixels an image is moved each time it is shown."""
    clip: float | None = None
    """The longest that a step's gradient may be, all weights together; None lets it be."""
    seed: int = 0


Form = Callable[[NDArray[Any]], Mapping[str, NDArray[Any]]]
"""Makes a model's inputs of images: arrays by name, in the order of `forward`'s arguments."""


def train(
    module: nn.Module,
    images: NDArray[Any],
    labels: NDArray[np.int64],
    *,
    course: Course,
    form: Form | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Train a classifier where it stands, and leave it in eval mode.

    Cross entropy, AdamW and one cycle of the learning rate. With `course.shift`, every image is
    moved by up to that many pixels along its last two axes each time it is shown, what comes in
    being 0. `images` is [n, …]; `labels` holds the n classes. `form` makes the module's inputs of
    a batch of images after they were moved; without it they are the one input. `progress` is
    called with the epochs done and their total, before the first one and after each.

    The same arguments give the same weights, bit for bit, on one kind of processor with one
    version of torch: the whole training runs on one thread, whatever the caller's number is, and
    the caller's random state and thread count are as before when it ends.

    Raises:
        BadValue: fewer than one epoch.
    """
    if course.epochs < 1:
        raise BadValue(what="epochs", asked=str(course.epochs), expected="1 or more")
    report = progress or (lambda done, total: None)
    shown_images, classes = torch.tensor(images), torch.tensor(labels)
    steps = -(-len(shown_images) // course.batch)
    optimizer = torch.optim.AdamW(module.parameters(), lr=course.lr)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, course.lr, total_steps=steps * course.epochs
    )
    padded = functional.pad(shown_images, [course.shift] * 4) if course.shift else shown_images
    module.train()
    report(0, course.epochs)
    with seeded(course.seed), _one_thread(), torch.enable_grad():
        for epoch in range(course.epochs):
            for indices in torch.split(torch.randperm(len(padded)), course.batch):
                shown = padded[indices]
                if course.shift:
                    shown = _moved(shown, course.shift)
                optimizer.zero_grad()
                loss = functional.cross_entropy(module(*_inputs(shown, form)), classes[indices])
                torch.autograd.backward(loss)
                if course.clip is not None:
                    nn.utils.clip_grad_norm_(module.parameters(), course.clip)
                optimizer.step()
                schedule.step()
            report(epoch + 1, course.epochs)
    module.eval()


def _inputs(shown: Tensor, form: Form | None) -> list[Tensor]:
    """Form a batch's inputs. oneDNN's convolutions are 1.2 to 1.8 times faster on images whose
    channels come last.
    """
    formed = (
        [shown] if form is None else [torch.from_numpy(a) for a in form(shown.numpy()).values()]
    )
    return [
        tensor.contiguous(memory_format=torch.channels_last) if tensor.ndim == 4 else tensor
        for tensor in formed
    ]


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


def learn(
    module: nn.Module,
    name: str,
    *,
    images: NDArray[Any],
    labels: NDArray[np.int64],
    course: Course,
    form: Form | None = None,
    data: str,
) -> None:
    """Train `module` as `course` says, or give it the weights kept from the last time.

    `name` is the model's and `data` what it learns from, in words. Which weights are kept is
    decided by the course, by what the module learns from, by the layers that it lists when it is
    printed, and by the text of its classes. The epochs done are logged, as records whose `progress`
    is (done, total). Either way the module is in eval mode at the end.

    Raises:
        BadValue: fewer than one epoch.
    """
    recipe: dict[str, Any] = {
        "architecture": str(module),
        "code": _code_digest(module),
        "data": _data_digest(images, labels, form),
    }
    recipe |= asdict(course)

    def report(done: int, total: int) -> None:
        _log.info(
            "training the reference %s on %s: %d/%d epochs",
            *(name, data, done, total),
            extra={"progress": (done, total)},
        )

    def make() -> Mapping[str, Tensor]:
        train(module, images, labels, course=course, form=form, progress=report)
        return module.state_dict()

    module.load_state_dict(cached_weights(name, recipe, make))
    module.eval()


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


def _code_digest(module: nn.Module) -> str:
    # Without it a changed `forward` would be given weights that were trained through another one.
    classes = {type(part) for part in module.modules()}
    own = [kind for kind in classes if kind.__module__.partition(".")[0] != "torch"]
    texts = sorted(inspect.getsource(kind) for kind in own)
    return hashlib.sha256("".join(texts).encode()).hexdigest()


def _data_digest(
    images: NDArray[Any], labels: NDArray[np.int64], form: Form | None, *, formed: int = 32
) -> str:
    # Of the inputs the first few: they change with what `form` does.
    hashed = hashlib.sha256(images.tobytes())
    hashed.update(labels.tobytes())
    for name, array in (form(images[:formed]) if form is not None else {}).items():
        hashed.update(f"{name} {array.dtype} {array.shape} ".encode())
        hashed.update(array.tobytes())
    return hashed.hexdigest()


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
