"""Build what a provider compiles before an app needs it."""

from __future__ import annotations

import time
from pathlib import Path

import msgspec

from edgekit import cache, providers
from edgekit.compiled import cached
from edgekit.compiled.cached import CompiledEntry
from edgekit.errors import BadValue, StorageError
from edgekit.measure.feeds import timing_feed
from edgekit.measure.subjects import example, open_subject
from edgekit.measure.ways import How, settle, variant_call
from edgekit.package import reading
from edgekit.package.values import PORTABLE
from edgekit.workers import Worker

WALL_S = 3600.0


class Warmed(msgspec.Struct, frozen=True):
    """What a start of an app finds from now on.

    `built` says that something was built now, and not found as it was; `load_ms` and
    `first_call_ms` are those of the start that has just been made, in a process of its own.
    """

    path: str
    variant: str
    provider: str
    built: bool
    took_s: float
    load_ms: float
    first_call_ms: float
    compiled: tuple[CompiledEntry, ...]


def warm(
    path: Path,
    how: How,
    *,
    variant: str = PORTABLE,
    batch: int | None = None,
    wall_s: float = WALL_S,
) -> Warmed:
    """Open a variant in a worker and run it once, so that what its provider builds is kept.

    An app finds it whose environment has the same NVIDIA_TF32_OVERRIDE as this process, or none.

    Args:
        path: the package's folder, or an .onnx file.
        how: the provider, and the options that the app will use: others build another thing.
        variant: which one.
        batch: the rows of that one call; None for 1, or the fewest that the model takes.
        wall_s: how long opening it, and the call, may take.

    Raises:
        NotFound, CorruptPackage, ModelFileError: there is no such model.
        UnknownName: there is no such variant or provider.
        BadValue: a provider that builds nothing, or a batch that the model doesn't take.
        ProviderUnavailable: the provider can't be used here.
        StorageError: nothing of what it built was kept.
        WorkerTimeout: it took longer than that.
    """
    if how.session.provider != providers.BEST:
        _refuse_without_builds(how)
    how, _ = settle(how)
    _refuse_without_builds(how)
    subject = open_subject(path, variants=(variant,), wall_s=wall_s)
    feed, _, _ = timing_feed(subject.signature, example(subject), batch=batch)
    name = path.stem
    if subject.package is not None:
        name = reading.variant_named(subject.package, variant).name
    model = cached.models_of(path).get(name)
    if model is None:
        raise BadValue(
            what="what is built for",
            asked=f"{path}, which has its weights in other files",
            expected="a package; make one of it with 'edgekit export'",
        )
    before = {entry.folder: entry.age_s for entry in _kept(how, model)}
    began = time.monotonic()
    # In the surroundings that the app has, and not in those of a bench, which switches TF32 off:
    # what is compiled there takes other kernels, and is another thing.
    with Worker(f"{path} on {how.provider.name}", wall_s=wall_s) as worker:
        opened = worker.open(variant_call(path, variant, how))
        timed = worker.run(feed)
        worker.release()
    took_s = time.monotonic() - began
    after = _kept(how, model)
    if not after:
        raise StorageError(
            path=str(cache.folder()),
            problem=f"nothing that {how.provider.name} built of {subject.name} was kept there",
        )
    return Warmed(
        path=str(path),
        variant=name,
        provider=how.provider.name,
        built=any(entry.age_s < before.get(entry.folder, float("inf")) for entry in after),
        took_s=took_s,
        load_ms=opened.load_ms,
        first_call_ms=timed.durations_ns[0] / 1e6,
        compiled=after,
    )


def _refuse_without_builds(how: How) -> None:
    """Refuse a provider that runs a model without compiling it: there is nothing to keep."""
    if not how.provider.builds:
        raise BadValue(
            what="the provider to build for",
            asked=f"{how.provider.name!r}, which builds nothing that is worth keeping",
            expected="one that compiles a model as it loads it, such as tensorrt",
        )


def _kept(how: How, model: str) -> tuple[CompiledEntry, ...]:
    return tuple(
        entry
        for entry in cached.entries()
        if entry.valid
        and entry.files
        and (entry.provider, entry.model) == (how.provider.name, model)
    )
