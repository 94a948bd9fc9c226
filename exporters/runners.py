"""The PyTorch original as a runner: eager, or through `torch.compile`."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from typing import Any

import torch

from edgekit.errors import OriginalUnavailable
from edgekit.tensors import Array, Feed, RunFacts, Signature
from exporters import sources
from exporters.arrays import to_numpy, to_torch
from exporters.original import Original
from exporters.preprocessing import with_preprocessing
from exporters.requests import TargetRequest


class OriginalRunner:
    """The original, ready to be timed in the thread that makes it.

    That thread is in inference mode until `close`, so that no timed call pays for entering it.
    """

    def __init__(
        self, original: Original, run: Callable[..., Any], signature: Signature, facts: RunFacts
    ) -> None:
        self._original = original
        self._run = run
        self._fed: tuple[Feed, dict[str, torch.Tensor]] = ({}, {})
        self.signature = signature
        self.facts = facts
        # torch leaves the mode as soon as nothing holds this object any more.
        self._mode = torch.inference_mode()
        self._mode.__enter__()

    def prepare(self, feed: Feed) -> Callable[[], Any]:
        tensors = {name: to_torch(array) for name, array in feed.items()}
        self._fed = feed, tensors
        args, kwargs = self._original.arguments(tensors)
        run = self._run

        def call() -> Any:
            try:
                return run(*args, **kwargs)
            except Exception as error:  # the user's forward, or torch's compiler: anything
                text = " ".join(str(error).split())[:300]
                raise OriginalUnavailable(
                    reason=f"the original failed in {self.facts.provider}: "
                    f"{type(error).__name__}: {text}"
                ) from error

        return call

    def fetch(self, answer: Any) -> dict[str, Array]:
        outputs = self._named(answer)
        feed, tensors = self._fed
        if any(to_numpy(t).tobytes() != feed[name].tobytes() for name, t in tensors.items()):
            self._refuse_drift(outputs, self._named(self.prepare(feed)()))
        return outputs

    def _named(self, answer: Any) -> dict[str, Array]:
        return {name: to_numpy(t) for name, t in self._original.flatten(answer).items()}

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
    request: TargetRequest, signature: Signature, weights_sha256: str, threads: int
) -> OriginalRunner:
    """Make the original again and hold it ready to run as it is.

    Raises:
        OriginalUnavailable: what the TARGET makes now has other weights than were exported.
        Whatever `exporters.sources.build` raises.
    """
    original = _original(request, weights_sha256, threads)
    return _runner(original, original.module, signature, "pytorch eager", threads)


def open_compiled(
    request: TargetRequest, signature: Signature, weights_sha256: str, threads: int
) -> OriginalRunner:
    """Make the original again and hold it ready to run through `torch.compile`.

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
    original = _original(request, weights_sha256, threads)
    return _runner(original, torch.compile(original.module), signature, "torch.compile", threads)


def _original(request: TargetRequest, weights_sha256: str, threads: int) -> Original:
    torch.set_num_threads(threads)
    exportable = sources.build(request)
    original = Original(exportable)
    found = original.weights_sha256()
    if found != weights_sha256:
        raise OriginalUnavailable(
            reason=f"{request.target} now makes a module with other weights (SHA-256 {found[:12]}) "
            f"than the package was exported from ({weights_sha256[:12]}); export it again, or "
            "load fixed weights in the factory"
        )
    return Original(with_preprocessing(exportable)) if request.with_preprocessing else original


def _runner(
    original: Original, run: Callable[..., Any], signature: Signature, how: str, threads: int
) -> OriginalRunner:
    facts = RunFacts(
        provider=how,
        precision=original.precision,
        threads=threads,
        weights_bytes=sum(t.nbytes for t in original.tensors().values()),
    )
    return OriginalRunner(original, run, signature, facts)
