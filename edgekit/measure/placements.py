"""Where the nodes of a model's variants run on a provider, found by loading each."""

from __future__ import annotations

from pathlib import Path

import msgspec

from edgekit.errors import ProviderUnfit
from edgekit.measure.copies import profiled
from edgekit.measure.feeds import timing_feed
from edgekit.measure.subjects import example, open_subject
from edgekit.measure.ways import How, settle, variant_call
from edgekit.runtime.loading import variant_names
from edgekit.tensors import RunFacts
from edgekit.workers import Call, Worker


class Placed(msgspec.Struct, frozen=True):
    """A variant as it really runs on a provider: its nodes, by provider and operator.

    Of one that the provider must not be given there is the `reason` alone.
    """

    variant: str
    facts: RunFacts | None = None
    reason: str = ""


class Placements(msgspec.Struct, frozen=True):
    """Every variant on one provider; `note` says why on this one, where edgekit chose it."""

    provider: str
    variants: tuple[Placed, ...]
    note: str = ""


def placements(path: Path, how: How, *, wall_s: float = 600.0) -> Placements:
    """Load every variant of a package, or a plain .onnx file, in a worker and see where it runs.

    Args:
        path: the package's folder, or an .onnx file.
        how: the provider and its options.
        wall_s: how long loading one may take.

    Raises:
        ProviderUnavailable: the provider can't be used here.
        NodesElsewhere: nodes run on another provider, and `how` is strict.
        NotFound, CorruptPackage, ModelFileError: it can't be read, or loaded.
    """
    names = variant_names(path)
    how, note = settle(how)
    placed = []
    for name in names:
        call = _call(path, name, how, wall_s)
        with Worker(f"{path}/{name}", wall_s=wall_s, environment=call.environment) as worker:
            try:
                placed.append(Placed(name, worker.open(call).facts))
            except ProviderUnfit as error:
                placed.append(Placed(name, reason=error.facts["reason"]))
    return Placements(how.provider.name, tuple(placed), note)


def _call(path: Path, variant: str, how: How, wall_s: float) -> Call:
    """Open a variant, and run it once where only a run tells of copies."""
    call = variant_call(path, variant, how)
    if not how.provider.device:
        return call
    subject = open_subject(path, variants=(variant,), wall_s=wall_s)
    feed, _, _ = timing_feed(subject.signature, example(subject), batch=None)
    return profiled(call, feed, how.provider) or call
