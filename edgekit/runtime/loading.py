"""From a path to a model: read, choose a variant, verify its files, open a session."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import onnxruntime as ort

from edgekit import machine as machines
from edgekit import providers
from edgekit.errors import ModelFileError, NotFound, ProviderUnfit, UnknownName
from edgekit.fixed_sizes import fixed
from edgekit.package import reading
from edgekit.package.reading import Verified, open_verified
from edgekit.package.values import (
    PORTABLE,
    Choice,
    Graph,
    Package,
    SessionChoice,
    Variant,
)
from edgekit.providers.info import Occasion, ProviderInfo
from edgekit.runtime import placement, recordable
from edgekit.runtime.agreement import refuse_disagreement
from edgekit.runtime.elsewhere import elsewhere
from edgekit.runtime.model import Model
from edgekit.runtime.sessions import open_session, signature_of
from edgekit.tensors import RunFacts, Signature, dim_sizes, dynamic_dims

if TYPE_CHECKING:
    from edgekit.compiled.prepared import Prepared


def open_model(
    path: Path,
    variant: str,
    session: SessionChoice,
    *,
    verify: bool = False,
    strict: bool = False,
    library: str | None = None,
    profile: Path | None = None,
    chosen: Choice | None = None,
) -> Model:
    """Open a package's variant, or a plain .onnx file, under the given session options.

    With `profile` ONNX Runtime begins a profile in a file whose name starts with that. `chosen` is
    the choice that this follows, where it follows one.

    Raises what `edgekit.load` raises, but for "tuned", which is no variant's name.
    """
    way = _Way(session, library, verify, strict, profile, chosen)
    if way.session.provider != providers.BEST:
        return _open(path, variant, way, "")
    from edgekit.providers import choosing

    return choosing.first_that_opens(
        way.session,
        lambda session, chosen: _open(
            path, variant, msgspec.structs.replace(way, session=session), chosen.reason
        ),
        library=library,
    )


class _Way(msgspec.Struct, frozen=True):
    """How to open a model: the session, what is never stored in a package, and the choice behind
    both."""

    session: SessionChoice
    library: str | None
    verify: bool
    strict: bool
    profile: Path | None
    chosen: Choice | None


def _open(path: Path, variant: str, way: _Way, why: str) -> Model:
    """Open a variant on one provider; `why` says why on this one, where edgekit chose it."""
    provider = providers.find(way.session.provider, library=way.library)
    if is_plain(path):
        return _open_onnx(path, variant, way, why)
    package = _read(path)
    chosen, reason = choose(package, variant)
    unfit = provider.unfit(chosen.facts, chosen.precision) or recordable.unrecordable(
        way.session, chosen.facts.operators
    )
    if unfit:
        raise ProviderUnfit(provider=provider.name, variant=chosen.name, reason=unfit)
    session = provider.careful(way.session, chosen.precision)
    if way.verify:
        for name, record in package.files.items():
            open_verified(path, name, record)
    files = {
        name: open_verified(path, name, package.files[name], whole=way.verify)
        for name in reading.files_of(chosen)
    }
    graph = reading.graph_of(package, chosen)
    signature = fixed(graph.signature, chosen.sizes)
    model = files.pop(chosen.model)
    kept, reachable = None, None
    if provider.builds:
        from edgekit.runtime import compiling  # 10 ms, of which the CPU provider has no use

        hashes = {name: package.files[name].sha256 for name in reading.files_of(chosen)}
        opened, kept, reachable = compiling.open_compiled(
            model,
            session,
            sha256=compiling.model_sha256(hashes),
            occasion=Occasion(signature, _sizes(path, package, graph, signature)),
            label=f"{package.name} · {chosen.name}",
            external=files,
            library=way.library,
            profile=way.profile,
        )
    else:
        opened = open_session(
            model, session, external=files, library=way.library, profile=way.profile
        )
    refuse_disagreement(path, signature, signature_of(opened, path=path / chosen.model))
    from_afar = elsewhere(chosen, provider=provider.name)
    if from_afar:
        import logging  # as below

        logging.getLogger("edgekit").warning("%s/%s: %s", package.name, chosen.name, from_afar)
    return Model(
        opened,
        reachable or signature,
        name=package.name,
        facts=_facts(opened, provider, way, f"{package.name}/{chosen.name}", chosen.precision),
        choice=_choice(chosen.name, way, reason, why),
        folder=path.absolute(),  # the process may move on before it asks for a check
        package=package,
        variant=chosen,
        kept=kept,
        elsewhere=from_afar,
    )


def _sizes(
    path: Path, package: Package, graph: Graph, signature: Signature
) -> tuple[dict[str, int], ...]:
    """Read off the sizes that dimensions have in the reference cases: some that are known to
    come."""
    if graph.reference is None or not dynamic_dims(signature):
        return ()
    from edgekit.package.cases import open_cases

    cases = open_cases(path, package, graph.reference).open()
    return tuple(dim_sizes(signature, case.feed) for case in cases)


def variant_names(path: Path) -> tuple[str, ...]:
    """Name all that `load` can open at a path; a plain .onnx file is a variant of itself.

    Raises:
        NotFound, CorruptPackage, ModelFileError: there is no package.
    """
    if is_plain(path):
        return (path.stem,)
    return tuple(variant.name for variant in _read(path).variants)


def choose(package: Package, variant: str) -> tuple[Variant, str]:
    """Find the asked variant, and say why it is this one.

    Raises:
        UnknownName: there is no such variant.
    """
    if variant == PORTABLE:
        reason = (
            "the portable variant: right on every processor"
            if package.variants[0].target.isa is None
            else "the first variant: the package has none that is right on every processor"
        )
    else:
        reason = "asked for by name"
    return reading.variant_named(package, variant), reason


def is_plain(path: Path) -> bool:
    """Tell whether a path names an .onnx file, whether or not it is there."""
    return path.suffix.lower() == ".onnx" and not path.is_dir()


def _read(path: Path) -> Package:
    if path.exists() and not path.is_dir():
        raise ModelFileError(path=str(path), problem="its name does not end in .onnx")
    return reading.read(path)


def _open_onnx(path: Path, variant: str, way: _Way, why: str) -> Model:
    if not path.exists():
        raise NotFound(path=str(path))
    if not path.is_file():
        raise ModelFileError(path=str(path), problem="it is not a plain file")
    if variant not in (PORTABLE, path.stem):
        raise UnknownName(kind="variant", asked=variant, available=[PORTABLE, path.stem])
    status = path.stat()
    stamp = reading.Stamp(status.st_ino, status.st_size, status.st_mtime_ns)
    provider = providers.find(way.session.provider, library=way.library)
    file = Verified(path, None, stamp)
    opened, kept = _opened(file, path, way, provider)
    return Model(
        opened,
        signature_of(opened, path=path),
        name=path.stem,
        facts=_facts(opened, provider, way, path.name, placement.AS_STORED),
        choice=_choice(path.stem, way, "a plain .onnx file: nothing to choose from", why),
        kept=kept,
    )


def _opened(
    file: Verified, path: Path, way: _Way, provider: ProviderInfo
) -> tuple[ort.InferenceSession, Prepared | None]:
    """Open a plain file; a provider that compiles it finds again what it compiled."""
    if provider.builds:
        from edgekit.runtime import compiling

        # A file whose weights lie in others, of which nothing says what they must be, has none.
        sha256 = compiling.plain_sha256(path)
        if sha256 is not None:
            opened, kept, _ = compiling.open_compiled(
                file,
                way.session,
                sha256=sha256,
                occasion=Occasion(),
                label=path.stem,
                library=way.library,
                profile=way.profile,
            )
            return opened, kept
    return open_session(file, way.session, library=way.library, profile=way.profile), None


def _facts(
    opened: ort.InferenceSession, provider: ProviderInfo, way: _Way, model: str, precision: str
) -> RunFacts:
    """Tell how a session really runs.

    Raises:
        NodesElsewhere: nodes run on another provider, and the way allows none there.
    """
    nodes = placement.nodes_by_provider(opened, provider)
    if way.strict:
        placement.refuse_elsewhere(model, nodes, provider=provider.name)
    elif placement.elsewhere(nodes, provider.name):
        import logging  # 4 ms, for which a model that is placed whole has no use

        logging.getLogger("edgekit").warning(
            "of %s on %s not all nodes run there: %s",
            *(model, provider.name, placement.in_words(nodes)),
        )
    return RunFacts(
        provider=provider.name,
        precision=precision,
        threads=way.session.threads or machines.threads_available(),
        idle=way.session.idle,
        placement=nodes,
        # Between providers that work in the same memory nothing is copied.
        copies=None if provider.device else 0,
        computes=provider.computes(way.session, precision) or None,
        library=way.library,
    )


def _choice(variant: str, way: _Way, reason: str, why: str) -> Choice:
    chosen, key = way.chosen, None
    if chosen is not None:
        key = chosen.speed_key
        reason = chosen.reason if key else "; ".join(filter(None, (reason, chosen.reason)))
    return Choice(variant, way.session, f"{reason}; {why}" if why else reason, key)
