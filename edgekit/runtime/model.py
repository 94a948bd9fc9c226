"""A loaded model: arrays in, arrays out."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any

import msgspec
import numpy as np
import onnxruntime as ort

from edgekit.errors import CorruptPackage, InputError, ModelClosed, RunFailed
from edgekit.package.values import Choice, Package
from edgekit.runtime.checks import CheckReport, check_cases
from edgekit.runtime.inputs import checked, numpy_dtype
from edgekit.tensors import Array, Feed, RunFacts, Signature, TensorSpec

_KNOWN_SHAPES = 256


class Explanation(msgspec.Struct, frozen=True):
    """Which variant runs, how, and why."""

    package: str
    choice: Choice
    provider: str
    threads: int

    def __str__(self) -> str:
        return (
            f"{self.package}: variant {self.choice.variant} on {self.provider}, "
            f"{self.threads} threads, idle {self.choice.session.idle}: {self.choice.reason}"
        )


class Model:
    """A model that answers: `edgekit.load` makes it.

    Call it with one array where it has one input, with a mapping, or with arrays by name. It
    returns one array where it has one output, and otherwise a dict by name. It may be called from
    many threads at once.

        >>> with edgekit.load("cnn.edgekit") as model:
        ...     logits = model(image)

    Attributes:
        name: the package's name.
        signature: inputs and outputs.
        facts: the provider, precision and threads that it really runs with.
    """

    def __init__(
        self,
        session: ort.InferenceSession,
        signature: Signature,
        *,
        name: str,
        facts: RunFacts,
        choice: Choice,
        folder: Path | None = None,
        package: Package | None = None,
    ) -> None:
        self.name = name
        self.signature = signature
        self.facts = facts
        self._session: ort.InferenceSession | None = session
        self._choice = choice
        self._folder = folder
        self._package = package
        self._output_names = [spec.name for spec in signature.outputs]
        self._one_output = len(self._output_names) == 1
        only = signature.inputs[0] if len(signature.inputs) == 1 else None
        self._only_name = only.name if only else None
        self._only_dtype = numpy_dtype(only) if only else None
        # Shapes that passed every check once: looking one up costs 0.1 µs, checking it again 3 µs.
        self._known_shapes: set[tuple[int, ...]] = set()

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """What goes in, in order."""
        return self.signature.inputs

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """What comes out, in order."""
        return self.signature.outputs

    def __call__(self, feed: Any = None, /, **named: Any) -> Any:
        """Run the model.

        Raises:
            InputError: a name, dtype, rank or size that doesn't fit (also a ValueError).
            ModelClosed: `close` was called before.
            RunFailed: ONNX Runtime failed on an input that fits.
        """
        session = self._session
        if (
            not named
            and type(feed) is np.ndarray
            and feed.dtype is self._only_dtype
            and feed.shape in self._known_shapes
            and feed.flags.c_contiguous
            and session is not None
        ):
            arrays: Any = {self._only_name: feed}
        else:
            arrays = self._arrays(feed, named)
        try:
            answers = session.run(self._output_names, arrays)  # type: ignore[union-attr]
        except Exception as error:  # onnxruntime's exceptions share no base class but this one
            raise self._failure(error) from error
        if self._one_output:
            return answers[0]
        return dict(zip(self._output_names, answers, strict=True))

    def check(self) -> CheckReport:
        """Run the package's reference cases here and report the distance to the original.

        Raises:
            CorruptPackage: the model comes from a plain .onnx or has no reference cases.
        """
        if self._package is None or self._folder is None or self._package.reference is None:
            raise CorruptPackage(
                path=self.name, problem="it has no reference cases to check itself with"
            )
        return check_cases(self, self._folder, self._package, variant=self._choice.variant)

    def explain(self) -> Explanation:
        """Say which variant runs, how, and why it was chosen."""
        return Explanation(
            package=self.name,
            choice=self._choice,
            provider=self.facts.provider,
            threads=self.facts.threads,
        )

    def named(self, answer: Any) -> dict[str, Array]:
        """Return what a call returned as a dict by name, whether it has one output or many."""
        return {self._output_names[0]: answer} if self._one_output else answer

    def close(self) -> None:
        """Let go of the session. Calls that are running end well; later ones raise ModelClosed."""
        self._session = None

    def __enter__(self) -> Model:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        inputs = "; ".join(map(str, self.inputs))
        outputs = "; ".join(map(str, self.outputs))
        return f"<Model {self.name} ({self._choice.variant}): {inputs} → {outputs}>"

    def _arrays(self, feed: Any, named: dict[str, Any]) -> dict[str, Array]:
        if self._session is None:
            raise ModelClosed(package=self.name)
        arrays = checked(self.signature, self._by_name(feed, named))
        if self._only_name is not None and len(self._known_shapes) < _KNOWN_SHAPES:
            self._known_shapes.add(arrays[self._only_name].shape)
        return arrays

    def _by_name(self, feed: Any, named: dict[str, Any]) -> Feed:
        if isinstance(feed, dict):
            return {**feed, **named}
        if feed is None:
            return named
        if self._only_name is None or named:
            names = ", ".join(spec.name for spec in self.inputs)
            raise InputError(
                problem=f"{self.name} has {len(self.inputs)} inputs ({names}): pass them by name."
            )
        return {self._only_name: feed}

    def _failure(self, error: Exception) -> Exception:
        if self._session is None and isinstance(error, AttributeError):
            return ModelClosed(package=self.name)
        return RunFailed(package=self.name, problem=" ".join(str(error).split()))
