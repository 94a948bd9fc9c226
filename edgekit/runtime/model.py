"""A loaded model: arrays in, arrays out."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime as ort

from edgekit.errors import BadValue, EdgekitError, InputError, ModelClosed, RunFailed
from edgekit.package.reading import graph_of
from edgekit.package.values import Choice, Package, Variant
from edgekit.runtime.checks import CheckReport, check_cases
from edgekit.runtime.explanation import Explanation
from edgekit.runtime.inputs import check_shapes, conform, from_host
from edgekit.runtime.recordable import option_of, refuse_unreplayable
from edgekit.tensors import Array, RunFacts, Signature, TensorSpec

__all__ = ["Explanation", "Model"]

if TYPE_CHECKING:
    from edgekit.compiled.prepared import Prepared
    from edgekit.runtime.binding import BoundCall
    from edgekit.runtime.resident import Resident

_KNOWN_SHAPES = 256


class Model:
    """A model that answers: `edgekit.load` makes it.

    Call it with one array where it has one input, with a mapping, or with arrays by name. It
    returns one array where it has one output, and otherwise a dict by name. It may be called from
    many threads at once.

    Arrays of the host give arrays of the host. Where every input lies on the device that computes
    (what `to_device` or another call gave, or what another library has there), so does the answer,
    and nothing is copied between the two memories.

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
        variant: Variant | None = None,
        kept: Prepared | None = None,
        elsewhere: str = "",
    ) -> None:
        self.name = name
        self._kept = kept
        self._elsewhere = elsewhere
        self.signature = signature
        self.facts = facts
        # An InferenceSession, or what records its calls; None once it is closed.
        self._session: Any = session
        self._choice = choice
        self._folder = folder
        self._package = package
        self._variant = variant
        self._output_names = [spec.name for spec in signature.outputs]
        self._one_output = len(self._output_names) == 1
        if option_of(choice.session):
            from edgekit.runtime.recording import Recorded

            place, nodes = self._resident.place, facts.placement or {}
            refuse_unreplayable(choice.session, nodes, session, place=place, variant=choice.variant)
            self._session = Recorded(session, self._output_names, place=place, package=name)
        only = signature.inputs[0] if len(signature.inputs) == 1 else None
        self._only_name = only.name if only else None
        self._only_dtype = np.dtype(only.dtype) if only else None
        # Shapes that passed every check once: looking one up costs 0.1 µs, checking it again 2 µs.
        self._known_shapes: set[tuple[tuple[int, ...], ...]] = set()

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
        session = self._session  # once: another thread may close the model meanwhile
        if session is None:
            raise ModelClosed(package=self.name)
        one = feed.get(self._only_name) if type(feed) is dict and len(feed) == 1 else feed
        if (
            type(one) is np.ndarray
            and one.dtype == self._only_dtype  # of the same byte order, too
            and (one.shape,) in self._known_shapes
            and (flags := one.flags).c_contiguous
            and flags.aligned
            and not named
        ):
            arrays: Any = {self._only_name: one}
        else:
            values = self._by_name(feed, named)
            if not from_host(values) and (held := self._resident.held(self.signature, values)):
                self._check_shapes(held)
                return self._given(self._resident.run(session, held))
            arrays = self._arrays(values)
        try:
            # What `run` itself calls once it has looked at names and owners, which are known here:
            # a microsecond less, and no second try on another provider. It is no promise of
            # onnxruntime's, and what records calls has none.
            inner = getattr(session, "_sess", None)
            if inner is None:
                answers = session.run(self._output_names, arrays)
            else:
                answers = inner.run(self._output_names, arrays, None)
        except EdgekitError:
            raise
        except Exception as error:  # onnxruntime's exceptions share no base class but this one
            problem = " ".join(str(error).split())
            raise RunFailed(package=self.name, problem=problem) from error
        if self._one_output:
            return answers[0]
        return dict(zip(self._output_names, answers, strict=True))

    def to_device(self, feed: Any) -> Any:
        """Copy what a call takes to the device where the model computes, checked like a call's.

        A call of such arrays copies nothing and returns its answer there, as `DeviceArray`s.
        Arrays that other libraries have there, such as PyTorch's, can be passed as they are.

        Args:
            feed: one array, where there is one input, or arrays by name.

        Returns:
            One `DeviceArray` for one array, and otherwise a dict of them by name.

        Raises:
            InputError: a name, dtype, rank or size that doesn't fit.
            RunFailed: there is no room for it on the device.
        """
        arrays = self._arrays(self._by_name(feed, {}))
        copies = self._resident.copies(arrays)
        return copies if isinstance(feed, Mapping) else next(iter(copies.values()))

    def bound(self, feed: Any) -> BoundCall:
        """Make a call that keeps the places of its inputs and outputs, to be made again and again.

        Arrays on the device are read where they lie; those of the host are copied there, once.
        Where kernels are recorded (CUDA graphs), the call of one combination of shapes is one and
        the same, with inputs of its own into which all arrays are copied.

        Args:
            feed: one array, where there is one input, or arrays by name.

        Raises:
            InputError: a name, dtype, rank or size that doesn't fit.
            ModelClosed: `close` was called before.
            RunFailed: ONNX Runtime failed on an input that fits.
        """
        session = self._session
        if session is None:
            raise ModelClosed(package=self.name)
        values = self._by_name(feed, {})
        if held := self._resident.held(self.signature, values):
            self._check_shapes(held)
            return self._resident.bound_to(session, held)
        return self._resident.bound_to_copies(session, self._arrays(values))

    def check(self) -> CheckReport:
        """Run the reference cases of its graph here and report the distance to the original.

        Raises:
            BadValue: the model comes from a plain .onnx or from a package without reference cases.
            CorruptPackage, HashMismatch: its reference cases are not those that were packed.
        """
        folder, package, variant = self._folder, self._package, self._variant
        if (
            folder is None
            or package is None
            or variant is None
            or (graph_of(package, variant).reference is None)
        ):
            raise BadValue(
                what="A model to check",
                asked=f"{self.name}, which has no recorded answers",
                expected="a model package with reference cases",
            )
        return check_cases(self, folder, package=package, variant=variant, note=self._elsewhere)

    def explain(self) -> Explanation:
        """Say which variant runs, how, and why it was chosen."""
        return Explanation(
            package=self.name,
            choice=self._choice,
            provider=self.facts.provider,
            threads=self.facts.threads,
            computes=self.facts.computes,
            placement=self.facts.placement,
            elsewhere=self._elsewhere,
        )

    def named(self, answer: Any) -> dict[str, Array]:
        """Return what a call returned as a dict by name, whether it has one output or many."""
        return {self._output_names[0]: answer} if self._one_output else answer

    def end_profile(self) -> Path:
        """End the profile that was begun when it was opened, and return its file.

        Raises:
            ModelClosed: `close` was called before.
        """
        if self._session is None:
            raise ModelClosed(package=self.name)
        return Path(self._session.end_profiling())

    def close(self) -> None:
        """Let go of the session. Calls that are running end well; later ones raise ModelClosed.

        What the provider compiled meanwhile, for shapes that it hadn't seen, is kept.
        """
        self._session = None
        if self._kept is not None:
            self._kept.adopt()
            self._kept.close()

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
        closed = ", closed" if self._session is None else ""
        return f"<Model {self.name} ({self._choice.variant}{closed}): {inputs} → {outputs}>"

    @cached_property
    def _resident(self) -> Resident:
        """Calls on arrays of the device: 5 ms to import, for which few apps have a use."""
        from edgekit.runtime.resident import Resident, computes_in

        place = computes_in(self._choice.session, library=self.facts.library)
        return Resident(self._output_names, place, package=self.name)

    def _given(self, answers: list[Any]) -> Any:
        return (
            answers[0] if self._one_output else dict(zip(self._output_names, answers, strict=True))
        )

    def _arrays(self, values: Mapping[str, Any]) -> dict[str, Array]:
        arrays = conform(self.signature, values)
        self._check_shapes(arrays)
        return arrays

    def _check_shapes(self, arrays: Mapping[str, Any]) -> None:
        shapes = tuple([array.shape for array in arrays.values()])
        if shapes not in self._known_shapes:
            check_shapes(self.signature, arrays)
            if len(self._known_shapes) < _KNOWN_SHAPES:
                self._known_shapes.add(shapes)

    def _by_name(self, feed: Any, named: dict[str, Any]) -> Mapping[str, Any]:
        if feed is None:
            return named
        if isinstance(feed, Mapping):
            if twice := named.keys() & feed.keys():
                raise InputError(problem=f"The input {min(twice)!r} is given twice.")
            return {**feed, **named} if named else feed
        if self._only_name is None or named:
            names = ", ".join(spec.name for spec in self.inputs)
            raise InputError(
                problem=f"{self.name} has the inputs {names}: pass them by name."
                if self._only_name is None
                else f"{self.name} has one input: pass one array, or {names}=array."
            )
        return {self._only_name: feed}
