"""The PyTorch original as a runner: eager, or through `torch.compile`."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from typing import Any, Literal

import torch

from edgekit.errors import OriginalUnavailable
from edgekit.tensors import Array, Feed, RunFacts, Signature
from exporters import sources
from exporters.arrays import to_numpy, to_torch
from exporters.beside import Beside
from exporters.halved import Halved
from exporters.original import Original
from exporters.preprocessing import with_preprocessing
from exporters.requests import TargetRequest


class OriginalRunner:
    """The original, ready to be timed in the thread that makes it.

    That thread is in inference mode until `close`, so that no timed call pays for entering it.

    On a device of its own, a call takes arrays from the host and brings its answer there, or has
    both on the device, as `facts.arrays` says; in either case it returns when the answer is there.
    """

    def __init__(
        self,
        original: Original,
        run: Callable[..., Any],
        signature: Signature,
        facts: RunFacts,
        *,
        device: str = "",
    ) -> None:
        self._original = original
        self._run = run
        self._device = torch.device(device) if device else None
        self._copies = self._device is not None and facts.arrays == "host"
        self._fed: tuple[Feed, dict[str, torch.Tensor]] = ({}, {})
        self.signature = signature
        self.facts = facts
        # torch leaves the mode as soon as nothing holds this object any more.
        self._mode = torch.inference_mode()
        self._mode.__enter__()

    def prepare(self, feed: Feed) -> Callable[[], Any]:
        tensors = {name: to_torch(array) for name, array in feed.items()}
        if self._device is not None and not self._copies:
            tensors = {name: tensor.to(self._device) for name, tensor in tensors.items()}
        self._fed = feed, tensors
        once = self._with_copies(tensors) if self._copies else self._in_place(tensors)

        def call() -> Any:
            try:
                return once()
            except Exception as error:  # the user's forward, or torch's compiler: anything
                text = " ".join(str(error).split())[:300]
                raise OriginalUnavailable(
                    reason=f"the original failed in {self.facts.provider}: "
                    f"{type(error).__name__}: {text}"
                ) from error

        return call

    def _in_place(self, tensors: dict[str, torch.Tensor]) -> Callable[[], Any]:
        """Run on tensors where they lie, and wait for a GPU, which answers before it is done."""
        args, kwargs = self._original.arguments(tensors)
        run, device = self._run, self._device
        if device is None or device.type != "cuda":
            return lambda: run(*args, **kwargs)

        def once() -> Any:
            answer = run(*args, **kwargs)
            torch.cuda.synchronize(device)
            return answer

        return once

    def _with_copies(self, tensors: dict[str, torch.Tensor]) -> Callable[[], Any]:
        """Copy tensors to the device, run, and copy the answer back, which waits for it."""
        original, run, device = self._original, self._run, self._device

        def once() -> Any:
            there = {name: tensor.to(device) for name, tensor in tensors.items()}
            args, kwargs = original.arguments(there)
            return {name: t.cpu() for name, t in original.flatten(run(*args, **kwargs)).items()}

        return once

    def fetch(self, answer: Any) -> dict[str, Array]:
        outputs = self._named(answer)
        feed, tensors = self._fed
        if any(to_numpy(t).tobytes() != feed[name].tobytes() for name, t in tensors.items()):
            self._refuse_drift(outputs, self._named(self.prepare(feed)()))
        return outputs

    def _named(self, answer: Any) -> dict[str, Array]:
        tensors = answer if self._copies else self._original.flatten(answer)
        return {name: to_numpy(tensor) for name, tensor in tensors.items()}

    def _refuse_drift(self, last: dict[str, Array], first: dict[str, Array]) -> None:
        """Refuse a module that changes its input if that changed its answer, from call to call."""
        from edgekit.metrics import within  # nothing that a cold start should pay for

        for name, array in first.items():
            if within(last[name], array, absolute=0.0, relative=1e-3) is not None:
                raise OriginalUnavailable(
                    reason="the original changes its input in place, so that repeated calls don't "
                    "do the same work; have its forward make a new tensor (x = x + 1, not x += 1)"
                )

    def close(self) -> None:
        self._mode.__exit__(None, None, None)


def open_eager(
    request: TargetRequest,
    signature: Signature,
    weights_sha256: str,
    threads: int,
    *,
    beside: Beside = Beside(),  # noqa: B008 (frozen)
    precision: Literal["fp16"] | None = None,
) -> OriginalRunner:
    """Make the original again and hold it ready to run as it is, in the place that `beside` says.

    With `precision` it computes in that, and takes and gives what it did. Where `weights_sha256` is
    empty any weights are right.

    Raises:
        OriginalUnavailable: what the TARGET makes now has other weights than were exported, or it
            doesn't fit on the device.
        Whatever `exporters.sources.build` raises.
    """
    original = _original(request, weights_sha256, threads, beside, precision)
    return _runner(original, original.module, signature, "pytorch eager", threads, beside)


def open_compiled(
    request: TargetRequest,
    signature: Signature,
    weights_sha256: str,
    threads: int,
    *,
    beside: Beside = Beside(),  # noqa: B008 (frozen)
    precision: Literal["fp16"] | None = None,
    mode: str | None = None,
) -> OriginalRunner:
    """Make the original again and hold it ready to run through `torch.compile`, in a mode of its.

    Raises:
        OriginalUnavailable: there is no C++ compiler, or what `open_eager` raises it for.
    """
    # The one that torch will look for.
    compiler = os.environ.get("CXX") or ("clang++" if sys.platform == "darwin" else "g++")
    if not shutil.which(compiler):
        raise OriginalUnavailable(
            reason="torch.compile needs a C++ compiler at run time and there is none here: "
            f"{compiler} is not on the PATH ($CXX may name another)"
        )
    original = _original(request, weights_sha256, threads, beside, precision)
    compiled = torch.compile(original.module, mode=mode)
    how = f"torch.compile {mode}" if mode else "torch.compile"
    return _runner(original, compiled, signature, how, threads, beside)


def _original(
    request: TargetRequest,
    weights_sha256: str,
    threads: int,
    beside: Beside,
    precision: Literal["fp16"] | None,
) -> Original:
    torch.set_num_threads(threads)
    if beside.device:
        # Matrix products and convolutions alike: PyTorch's own defaults differ between the two.
        torch.backends.cuda.matmul.allow_tf32 = beside.tf32
        torch.backends.cudnn.allow_tf32 = beside.tf32
    exportable = sources.build(request)
    original = Original(exportable)
    found = original.weights_sha256()
    if weights_sha256 and found != weights_sha256:
        raise OriginalUnavailable(
            reason=f"{request.target} now makes a module with other weights (SHA-256 {found[:12]}) "
            f"than the package was exported from ({weights_sha256[:12]}); export it again, or "
            "load fixed weights in the factory"
        )
    if request.with_preprocessing:
        original = Original(with_preprocessing(exportable))
    if precision is not None:
        original.module = Halved(original.module)
    if beside.device:
        try:
            original.module.to(beside.device)
        except (RuntimeError, AssertionError) as error:  # a full GPU, or none, or a build without
            text = " ".join(str(error).split())[:300]
            raise OriginalUnavailable(
                reason=f"the original can't be put on {beside.device}: {text}"
            ) from error
    return original


def _runner(
    original: Original,
    run: Callable[..., Any],
    signature: Signature,
    how: str,
    threads: int,
    beside: Beside,
) -> OriginalRunner:
    precision = original.precision
    tf32 = beside.tf32 and precision == "fp32"
    facts = RunFacts(
        provider=f"{how}, {beside.kind}" if beside.kind else how,
        precision=precision,
        threads=threads,
        weights_bytes=sum(t.nbytes for t in original.tensors().values()),
        computes=(f"{precision}, products in TF32" if tf32 else precision)
        if beside.device
        else None,
        arrays=beside.arrays,
    )
    return OriginalRunner(original, run, signature, facts, device=beside.device)
