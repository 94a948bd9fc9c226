"""What was said of how a model is to run, and what is opened where nothing was."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import msgspec

from edgekit import providers
from edgekit.errors import BadValue
from edgekit.package.values import PORTABLE, TUNED, Choice, SessionChoice
from edgekit.runtime.loading import is_plain, open_model
from edgekit.runtime.model import Model
from edgekit.terms import Idle

NOTHING_CHOSEN = "nothing was chosen for {provider} on this machine"


class Said(msgspec.Struct, frozen=True):
    """What was said of a load; None and no option are what wasn't said."""

    variant: str | None = None
    provider: str | None = None
    threads: int | None = None
    idle: Idle | None = None
    provider_options: dict[str, str] = {}
    library: str | None = None

    def over(self, session: SessionChoice) -> SessionChoice:
        """Put what was said over a session; the options of its provider one by one."""
        said = {
            name: value
            for name in ("provider", "threads", "idle")
            if (value := getattr(self, name)) is not None
        }
        options = {**session.provider_options, **self.provider_options}
        return msgspec.structs.replace(session, **said, provider_options=options)

    def portable(self, note: str = "") -> Choice:
        """Choose the portable variant; `note` says why nothing else, where there is something."""
        return Choice(PORTABLE, self.over(SessionChoice()), note)


def load(
    package: str | os.PathLike[str],
    *,
    variant: str | None = None,
    provider: str | None = None,
    threads: int | None = None,
    idle: Idle | None = None,
    verify: bool = False,
    strict: bool = False,
    provider_options: Mapping[str, str] | None = None,
    provider_library: str | os.PathLike[str] | None = None,
) -> Model:
    """Open a model package, or a plain .onnx file, ready to be called.

    Where `edgekit tune` chose something on this kind of machine, that is what stands for whatever
    isn't said; where it chose on another kind, one warning says so. `explain()` says what runs.

    Args:
        package: the package's folder, or an .onnx file.
        variant: a variant's name; "portable" is the one that is right on every processor, and
            "tuned" what was chosen here, or elsewhere if its reference cases pass here. Left out,
            it is what was chosen on this kind of machine for the provider, else the portable one.
            One that is named runs as it is said, and by the defaults where nothing is.
        provider: the execution provider to run on; there is no fallback to another. "best" takes
            the first that can be used of those that are usually fastest, and `explain()` says which
            and why not the others. Left out, it is the chosen one, else "cpu".
        threads: threads for one call; left out, as many as were chosen, else as many as this
            process may use.
        idle: what the threads do between calls, see `edgekit.terms.Idle`; left out, what was
            chosen, else "brief".
        verify: hash every file of the package, and keep the model in memory whatever its size.
        strict: refuse a model of which any node would run on another provider.
        provider_options: the provider's own options; `edgekit.providers.find(NAME).options` lists
            them with the values that each takes. They go over those that were chosen.
        provider_library: the library of a plug-in provider; `provider` is then the name that it
            registers. It runs in this process: only load a library that you trust.

    Raises:
        NotFound: there is no such path.
        CorruptPackage, HashMismatch: the package is not what was packed.
        UnknownName: no such variant or provider.
        NotTuned: "tuned" was asked for, and nothing that was chosen can be taken here.
        ProviderUnavailable: the provider cannot be used here; says how to get it.
        ProviderUnfit: the provider must not be given this variant.
        NodesElsewhere: `strict` was asked for and nodes run on another provider.
        ModelFileError: ONNX Runtime refuses the .onnx file.
        BadValue: an option's value isn't one that it takes.
    """
    if not isinstance(provider_options, Mapping | None):
        raise BadValue(
            what="provider_options",
            asked=repr(provider_options),
            expected="a mapping of options' names to their values, all of them texts",
        )
    said = Said(
        variant=variant,
        provider=provider,
        threads=threads,
        idle=idle,
        provider_options=dict(provider_options or {}),
        library=None if provider_library is None else os.fspath(provider_library),
    )
    return open_said(Path(package), said, verify=verify, strict=strict)


def open_said(path: Path, said: Said, *, verify: bool = False, strict: bool = False) -> Model:
    """Open a package, or a plain .onnx file, as it was said and as it was chosen where it wasn't.

    Raises what `load` raises.
    """
    session = said.over(SessionChoice())
    if not _asks_for_choice(path, said):
        return open_model(
            path,
            said.variant or PORTABLE,
            session,
            verify=verify,
            strict=strict,
            library=said.library,
        )
    from edgekit.runtime import tuned  # only where something was chosen

    take = tuned.open_tuned if said.variant == TUNED else tuned.open_as_chosen

    def on(provider: str | None, why: str = "") -> Model:
        def opening(choice: Choice) -> Model:
            reason = "; ".join(filter(None, (choice.reason, why)))
            return open_model(
                path,
                choice.variant,
                choice.session,
                verify=verify,
                strict=strict,
                library=said.library,
                chosen=msgspec.structs.replace(choice, reason=reason),
            )

        return take(path, msgspec.structs.replace(said, provider=provider), opening)

    if said.provider != providers.BEST:
        return on(said.provider)
    from edgekit.providers import choosing

    return choosing.first_that_opens(
        session, lambda one, found: on(one.provider, found.reason), library=said.library
    )


def _asks_for_choice(path: Path, said: Said) -> bool:
    """Tell, without reading any of it, whether a choice may decide how a package is opened."""
    if said.variant is not None:
        return said.variant == TUNED
    if is_plain(path) or (said.library is not None and said.provider is None):
        return False
    # Beside a package that can't be written it would lie in the user's cache folder, and finding
    # that one costs some milliseconds.
    kept = path / "measured" / "choice"
    return kept.is_dir() or (path.is_dir() and not os.access(path, os.W_OK))
