"""Named arrays and what is known about them: the values that every room passes to every other.

Nothing here imports numpy when it is loaded, so that a worker that is about to time an import
doesn't pay for it beforehand.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import msgspec

from edgekit.errors import BadValue, MissingExtra
from edgekit.terms import DType, Memory, Split, members

if TYPE_CHECKING:
    import numpy as np

Array: TypeAlias = "np.ndarray[Any, np.dtype[Any]]"
Feed: TypeAlias = Mapping[str, Array]
"""Arrays by name: what goes into a model, and what comes out of it."""

BY_SHAPE = "random, compared by shape"
"""What is said of a random output where a distance to the original would be."""


class Dim(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A named dimension whose size may differ from call to call.

    Dimensions of the same name have the same size in one call. `high` None means no known end.
    An output's name may be an expression of the inputs' (``2*time``).
    """

    name: str
    low: int = 1
    high: int | None = None

    def __str__(self) -> str:
        return f"{self.name}:{self.low}..{'' if self.high is None else self.high}"


class TensorSpec(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """One input or output: its name, element type and shape.

    `values` is the closed range that its elements are known to lie in, where that is known.
    `random` is said of an output that the original draws anew at every call: its values can be
    held against nothing, only its shape and element type.
    """

    name: str
    dtype: DType
    shape: tuple[int | Dim, ...]
    values: tuple[float, float] | None = None
    random: bool = False

    def __str__(self) -> str:
        sizes = ", ".join(d.name if isinstance(d, Dim) else str(d) for d in self.shape)
        return f"{self.name}: {self.dtype} [{sizes}]"


def dtype_named(name: str) -> DType:
    """Return a numpy dtype's name as one of the element types that a model may have.

    Raises:
        BadValue: it is none of them (a string, an object, a complex number).
    """
    if name not in members(DType):
        raise BadValue(what="an element type", asked=name, expected=", ".join(members(DType)))
    return name  # type: ignore[return-value]  # a member


def numpy_dtype(name: str) -> np.dtype[Any]:
    """Return the numpy dtype, in this machine's byte order, of an element type.

    Raises:
        BadValue: a model may have no such element type.
        MissingExtra: it is one that numpy lacks, and what adds it is not installed.
    """
    import numpy as np

    if dtype_named(name) == "bfloat16":
        try:
            import ml_dtypes
        except ImportError:
            raise MissingExtra(module="ml_dtypes", extra="build", what="bfloat16") from None
        del ml_dtypes  # the import alone tells numpy the name
    return np.dtype(name)


def plain(array: Array) -> Array:
    """Return an array's values in C order and in this machine's byte order."""
    import numpy as np

    return np.asarray(array, dtype=array.dtype.newbyteorder("="), order="C")


class Signature(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Everything that goes into a graph and everything that comes out, in order."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


class Case(msgspec.Struct, frozen=True):
    """One example: what goes in, what the original answered (if recorded), and the right class."""

    feed: dict[str, Any]
    outputs: dict[str, Any] | None = None
    label: int | None = None


class Dataset(msgspec.Struct, frozen=True):
    """Cases that can be read again and again, with what must be known to trust a figure from them.

    `open` starts a new pass over the cases. `sha256` is over their content. `synthetic` marks
    values that were drawn and not observed. `different` counts the cases that are no other's
    repeat, label included; None where nobody has counted.
    """

    name: str
    split: Split
    sha256: str
    cases: int
    open: Callable[[], Iterator[Case]]
    synthetic: bool = False
    different: int | None = None


class RunFacts(msgspec.Struct, frozen=True):
    """How a runner really runs, as far as it can tell."""

    provider: str
    precision: str
    threads: int
    idle: str | None = None
    weights_bytes: int | None = None
    """What the weights take, where there is no file whose size says it."""
    placement: dict[str, dict[str, int]] | None = None
    """Nodes by provider and operator, the asked provider first; None where nothing tells."""
    copies: int | None = None
    """Nodes that copy between memories; None where nobody counted them."""
    computes: str | None = None
    """What the provider was told to compute in, given the model's precision."""
    arrays: Memory = "host"
    """Where inputs lie before a timed call and outputs after it."""
    library: str | None = None
    """The library of a plug-in provider that was given by its path."""


class Runner(Protocol):
    """Named arrays in, named arrays out: the original, a session, or a test's fake.

    An answer is `fetch(prepare(feed)())`; the three parts are apart so that a timing loop calls
    the middle one alone.
    """

    @property
    def signature(self) -> Signature: ...

    @property
    def facts(self) -> RunFacts: ...

    def prepare(self, feed: Feed) -> Callable[[], Any]:
        """Return a call without arguments that runs `feed`, all conversion already done.

        It returns when the answer is there, in the runner's own form.
        """
        ...

    def fetch(self, answer: Any) -> dict[str, Array]:
        """Turn an answer in the runner's own form into named arrays."""
        ...

    def close(self) -> None: ...


def random_outputs(signature: Signature) -> frozenset[str]:
    """Name the outputs whose values are drawn at random, and so can't be compared."""
    return frozenset(spec.name for spec in signature.outputs if spec.random)


def dynamic_dims(signature: Signature) -> dict[str, Dim]:
    """Collect the named dimensions of the inputs, by name, in order of first use."""
    found: dict[str, Dim] = {}
    for spec in signature.inputs:
        for size in spec.shape:
            if isinstance(size, Dim):
                found.setdefault(size.name, size)
    return found


def dim_sizes(signature: Signature, feed: Feed) -> dict[str, int]:
    """Read off the size that each named dimension has in `feed`."""
    return {
        size.name: feed[spec.name].shape[axis]
        for spec in signature.inputs
        for axis, size in enumerate(spec.shape)
        if isinstance(size, Dim)
    }


def resize(signature: Signature, feed: Feed, sizes: Mapping[str, int]) -> dict[str, Array]:
    """Repeat and crop `feed` along its named dimensions until they have the asked sizes.

    Dimensions that `sizes` doesn't name keep theirs. The values stay real ones: rows of the
    example again, from its start.

    Raises:
        BadValue: a name that no input has, a size outside its range, or nothing there to repeat.
    """
    import numpy as np

    dims = dynamic_dims(signature)
    for name, size in sizes.items():
        if name not in dims:
            raise BadValue(
                what="a size",
                asked=f"{name}={size}",
                expected=f"one of the dynamic dimensions: {', '.join(dims) or 'there are none'}",
            )
        dim = dims[name]
        if size < dim.low or (dim.high is not None and size > dim.high):
            raise BadValue(what=f"the dimension {name}", asked=str(size), expected=str(dim))
    resized: dict[str, Array] = {}
    for spec in signature.inputs:
        array = feed[spec.name]
        for axis, dim_ in enumerate(spec.shape):
            if isinstance(dim_, Dim) and dim_.name in sizes:
                size, had = sizes[dim_.name], array.shape[axis]
                if size and not had:
                    raise BadValue(
                        what=f"the dimension {dim_.name}",
                        asked=str(size),
                        expected=f"0, because the example of {spec.name} is empty along it",
                    )
                array = np.take(array, np.arange(size) % max(had, 1), axis=axis)
        resized[spec.name] = plain(array)
    return resized
