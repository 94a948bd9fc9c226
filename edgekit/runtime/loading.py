"""From a path to a model: read, choose a variant, verify its files, open a session."""

from __future__ import annotations

import os
from pathlib import Path

from edgekit import machine as machines
from edgekit import providers
from edgekit.errors import CorruptPackage, ModelFileError, NotFound, UnknownName
from edgekit.package import reading
from edgekit.package.reading import Verified, open_verified
from edgekit.package.values import PORTABLE, Choice, Package, SessionChoice, Variant
from edgekit.runtime.model import Model
from edgekit.runtime.sessions import open_session, signature_of
from edgekit.tensors import Dim, RunFacts, Signature, TensorSpec
from edgekit.terms import Idle


def load(
    package: str | os.PathLike[str],
    *,
    variant: str = PORTABLE,
    provider: str = "cpu",
    threads: int | None = None,
    idle: Idle = "brief",
    verify: bool = False,
) -> Model:
    """Open a model package, or a plain .onnx file, ready to be called.

    Args:
        package: the package's folder, or an .onnx file.
        variant: a variant's name; "portable" is the one that is right on every processor.
        provider: the execution provider to run on; there is no fallback to another.
        threads: threads for one call; None takes as many as this process may use.
        idle: what the threads do between calls, see `edgekit.terms.Idle`.
        verify: hash every file of the package, and keep the model in memory whatever its size.

    Raises:
        NotFound: there is no such path.
        CorruptPackage, HashMismatch: the package is not what was packed.
        UnknownName: no such variant or provider.
        ProviderUnavailable: the provider cannot be used here; says how to get it.
        ModelFileError: ONNX Runtime refuses the .onnx file.
    """
    choice = SessionChoice(provider=provider, threads=threads, idle=idle)
    return open_model(Path(package), variant, choice, verify=verify)


def open_model(path: Path, variant: str, session: SessionChoice, *, verify: bool = False) -> Model:
    """Open a package's variant, or a plain .onnx file, under the given session options.

    Raises what `load` raises.
    """
    providers.find(session.provider)
    if _is_plain(path):
        return _open_onnx(path, variant, session)
    package = _read(path)
    chosen, reason = choose(package, variant)
    if verify:
        for name, record in package.files.items():
            open_verified(path, name, record)
    files = {
        name: open_verified(path, name, package.files[name], whole=verify)
        for name in reading.files_of(chosen)
    }
    opened = open_session(files.pop(chosen.model), session, external=files)
    signature = reading.graph_of(package, chosen).signature
    _check_agreement(path, signature, signature_of(opened, path=path / chosen.model))
    return Model(
        opened,
        signature,
        name=package.name,
        facts=_facts(session, chosen.precision),
        choice=_choice(chosen.name, session, reason),
        folder=path.absolute(),  # the process may move on before it asks for a check
        package=package,
        variant=chosen,
    )


def variant_names(path: Path) -> tuple[str, ...]:
    """Name all that `load` can open at a path; a plain .onnx file is a variant of itself.

    Raises:
        NotFound, CorruptPackage, ModelFileError: there is no package.
    """
    if _is_plain(path):
        return (path.stem,)
    return tuple(variant.name for variant in _read(path).variants)


def choose(package: Package, variant: str) -> tuple[Variant, str]:
    """Find the asked variant, and say why it is this one.

    Raises:
        UnknownName: there is no such variant.
    """
    if variant == PORTABLE:
        reason = "the portable variant: right on every processor"
    else:
        reason = "asked for by name"
    return reading.variant_named(package, variant), reason


def _is_plain(path: Path) -> bool:
    return path.suffix.lower() == ".onnx" and not path.is_dir()


def _read(path: Path) -> Package:
    if path.exists() and not path.is_dir():
        raise ModelFileError(path=str(path), problem="its name does not end in .onnx")
    return reading.read(path)


def _open_onnx(path: Path, variant: str, session: SessionChoice) -> Model:
    if not path.exists():
        raise NotFound(path=str(path))
    if not path.is_file():
        raise ModelFileError(path=str(path), problem="it is not a plain file")
    if variant not in (PORTABLE, path.stem):
        raise UnknownName(kind="variant", asked=variant, available=[PORTABLE, path.stem])
    status = path.stat()
    stamp = reading.Stamp(status.st_ino, status.st_size, status.st_mtime_ns)
    opened = open_session(Verified(path, None, stamp), session)
    return Model(
        opened,
        signature_of(opened, path=path),
        name=path.stem,
        facts=_facts(session, "as stored"),
        choice=_choice(path.stem, session, "a plain .onnx file: nothing to choose from"),
    )


def _facts(session: SessionChoice, precision: str) -> RunFacts:
    return RunFacts(
        provider=session.provider,
        precision=precision,
        threads=session.threads or machines.threads_available(),
        idle=session.idle,
    )


def _choice(variant: str, session: SessionChoice, reason: str) -> Choice:
    return Choice(variant=variant, session=session, reason=reason)


def _check_agreement(path: Path, ours: Signature, files: Signature) -> None:
    """Refuse a manifest whose inputs and outputs are not those of the file it lists.

    The manifest may narrow what the file takes to one size; it may not promise a size that the file
    doesn't take. What comes out follows from what goes in, so there only two sizes can disagree.
    """
    for part, told, found in (
        ("inputs", ours.inputs, files.inputs),
        ("outputs", ours.outputs, files.outputs),
    ):
        loose = part == "outputs"
        if len(told) != len(found) or not all(
            _agree(*pair, loose=loose) for pair in zip(told, found, strict=True)
        ):
            raise CorruptPackage(
                path=str(path),
                problem=f"its manifest gives the {part} {_listed(told)} and its model has "
                f"{_listed(found)}",
            )


def _agree(told: TensorSpec, found: TensorSpec, *, loose: bool) -> bool:
    named = (told.name, told.dtype, len(told.shape)) == (found.name, found.dtype, len(found.shape))
    return named and all(
        isinstance(theirs, Dim) or ours == theirs or (loose and isinstance(ours, Dim))
        for ours, theirs in zip(told.shape, found.shape, strict=True)
    )


def _listed(specs: tuple[TensorSpec, ...]) -> str:
    return f"({'; '.join(map(str, specs))})"
