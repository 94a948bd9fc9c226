"""The ways to run a model that `benchmarks.gpu` holds side by side, and their candidates.

The original and every variant take the same float32 arrays and give such; what computes in fp16
converts on its own, inside what is timed.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from benchmarks.gpu_models import FP16, Prepared
from benchmarks.gpu_values import Asked
from edgekit import machine
from edgekit.errors import EdgekitError
from edgekit.measure.plan import Candidate
from edgekit.measure.results import LeftOut
from edgekit.measure.ways import How, settle, variant_call
from edgekit.package import reading
from edgekit.package.values import SessionChoice
from edgekit.terms import Against, Memory
from exporters.baselines import originals
from exporters.beside import beside

MAX_AUTOTUNE = "max-autotune"
GRAPHS = {"enable_cuda_graph": "1"}

Side = Literal["original", "variant", "tensorrt"]


class Way(msgspec.Struct, frozen=True):
    """One row: the original, the provider that was asked for, or TensorRT, in a precision.

    `against` and `mode` are PyTorch's: as it is, or compiled, and how.
    """

    name: str
    side: Side
    precision: Literal["fp32", "fp16"]
    against: Against = "eager"
    mode: str = ""
    options: dict[str, str] = {}


WAYS = (
    Way("eager-fp32", "original", "fp32"),
    Way("eager-fp16", "original", "fp16"),
    Way("compiled-fp32", "original", "fp32", "compiled"),
    Way("compiled-fp16", "original", "fp16", "compiled", MAX_AUTOTUNE),
    Way("fp32", "variant", "fp32"),
    Way("fp16", "variant", "fp16"),
    Way("fp16-graphs", "variant", "fp16", options=GRAPHS),
    Way("tensorrt-fp16", "tensorrt", "fp16"),
)
"""All of them, the baseline first."""

BASELINE = WAYS[0]


def named(name: str) -> Way:
    """Find a way by the name that `--only` takes."""
    return next(way for way in WAYS if way.name == name)


def label(way: Way, provider: str) -> str:
    """Name the row."""
    if way.side == "original":
        how = " ".join(filter(None, (way.against, way.precision, way.mode)))
        return f"PyTorch {how}"
    name = "tensorrt" if way.side == "tensorrt" else provider
    return f"{way.precision} · {name}" + (" with CUDA graphs" if way.options else "")


def how_of(way: Way, provider: str, arrays: Memory) -> How:
    """Say how a variant runs, or beside what the original does."""
    name = "tensorrt" if way.side == "tensorrt" else provider
    return How(SessionChoice(provider=name, provider_options=way.options), arrays=arrays)


def candidate(
    way: Way, prepared: Prepared, *, provider: str, arrays: Memory, lacking: str = ""
) -> Candidate | LeftOut:
    """Make the candidate of a row, or say why there can be none here.

    Args:
        way: which row.
        prepared: the model.
        provider: the provider that is timed.
        arrays: where inputs lie before a timed call and outputs after it.
        lacking: what is known of TensorRT's libraries that couldn't be had.
    """
    name = label(way, provider)
    how = how_of(way, provider, arrays)
    package = prepared.subject.package
    assert package is not None
    if way.side == "original":
        _, elsewhere = beside(how)
        if elsewhere:
            return LeftOut(name, elsewhere)
        found, left_out = originals(package, [way.against], original=prepared.target, how=how)
        return _told(found[0], way, name) if found else LeftOut(name, left_out[0].reason)
    reason = unusable(way, provider, arrays, lacking)
    if reason:
        return LeftOut(name, reason)
    variants = {variant.name: variant for variant in prepared.subject.variants}
    wanted: str = FP16 if way.precision == "fp16" else prepared.subject.variants[0].name
    variant = variants.get(wanted)
    if variant is None:
        return LeftOut(name, f"it has no {wanted} variant: {prepared.no_fp16}")
    reason = how.provider.refuses(variant.facts)
    if reason:
        return LeftOut(name, reason)
    return Candidate(
        label=name,
        call=variant_call(prepared.path, variant.name, how),
        size_bytes=sum(package.files[file].size for file in reading.files_of(variant)),
        optional=True,
        tolerance={entry.output: entry.tolerance for entry in variant.closeness},
    )


def unusable(way: Way, provider: str, arrays: Memory, lacking: str = "") -> str:
    """Say why a row of a provider can't be had here, whatever the model; empty where it can."""
    try:
        settle(how_of(way, provider, arrays))
    except EdgekitError as error:
        known = f" {lacking}" if way.side == "tensorrt" and lacking else ""
        return " ".join(str(error).split()) + known
    return ""


def asked(way: Way, one: Candidate) -> Asked:
    """Write down what a row's processes are told."""
    options: dict[str, str] = {}
    session = one.call.arguments.get("session")
    if isinstance(session, SessionChoice):
        how = How(session)
        options = dict(how.provider.translate(session).providers[0][1])
    return Asked(way.precision, one.call.environment, options, way.mode)


def _told(found: Candidate, way: Way, name: str) -> Candidate:
    """Tell an original's processes its precision and mode, where these aren't what they are."""
    more: dict[str, str] = {"precision": way.precision} if way.precision != "fp32" else {}
    if way.mode:
        more["mode"] = way.mode
    # The search for kernels keeps every core busy; the pool that does it idles while others run.
    compilers = {"TORCHINDUCTOR_COMPILE_THREADS": str(machine.threads_available())}
    environment = found.call.environment | (compilers if way.against == "compiled" else {})
    call = msgspec.structs.replace(
        found.call, arguments={**found.call.arguments, **more}, environment=environment
    )
    tolerance = found.tolerance if way.precision == "fp32" else {}
    return msgspec.structs.replace(found, label=name, call=call, tolerance=tolerance)
