"""What tuning chose, and whether it is taken here: on this kind of machine, or on another.

A choice comes with a package and may have been written by anybody: its provider must be one that
edgekit knows, its options pass that provider's list, and what doesn't is not taken.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec

from edgekit import hardware, providers
from edgekit import machine as machines
from edgekit.errors import (
    BadValue,
    CorruptPackage,
    EdgekitError,
    HashMismatch,
    NotFound,
    NotTuned,
    ProviderUnavailable,
    UsageError,
)
from edgekit.machine import Machine
from edgekit.package import choices, reading
from edgekit.package.choices import Chosen
from edgekit.package.values import Choice, SessionChoice
from edgekit.runtime.loading import is_plain
from edgekit.runtime.model import Model
from edgekit.runtime.said import NOTHING_CHOSEN, Said

_NOT_ABOUT_THE_CHOICE = (CorruptPackage, HashMismatch, NotFound)
_STALE = (
    "what was chosen no longer holds: variants have changed or gone since, or another version of "
    "edgekit wrote it"
)


class Decided(msgspec.Struct, frozen=True):
    """A variant and how it is to run, out of what was chosen and what was said.

    `here` tells whether it was chosen on this kind of machine; `machine` is the one where it was.
    """

    choice: Choice
    machine: str
    here: bool = True


Opening = Callable[[Choice], Model]
"""Opens a variant under a session, and gives the model the reason."""


def tuned(path: Path, said: Said) -> list[Decided]:
    """List what was chosen for a package and may be taken here, the choice of this kind of machine
    alone where there is one.

    One that was chosen on another kind of machine is to be taken only if its reference cases pass.

    Raises:
        NotTuned: there is nothing; says why, and what to type.
        NotFound, CorruptPackage: the package can't be read.
    """
    if is_plain(path):
        raise NotTuned(
            path=str(path),
            cause="a plain .onnx file has no place for it",
            mend=f"Make a package of it: edgekit export {path}",
        )
    package = reading.read(path)
    here = machines.describe()
    key = machines.speed_key(here)
    ours = choices.chosen_on(path, package, key)
    found = [ours] if ours else choices.chosen_elsewhere(path, package, here=key)
    listed: dict[tuple[str, bytes], Decided] = {}  # a variant with its session once
    off: list[str] = []
    for chosen in found:
        try:
            decided = _decided(chosen, said, here=ours is not None)
        except UsageError as error:
            off.append(f"a choice in it cannot be taken ({_clause(error)})")
            continue
        if decided is not None:
            choice = decided.choice
            listed.setdefault((choice.variant, msgspec.json.encode(choice.session)), decided)
    if listed:
        return list(listed.values())
    if said.provider is not None and found and not off:
        off.append(NOTHING_CHOSEN.format(provider=said.provider))
    if not found:
        off.append(_STALE if choices.machines(path) else "it was never tuned")
    raise NotTuned(path=str(path), cause="; ".join(off), mend=_tune(path))


def open_tuned(path: Path, said: Said, opening: Opening) -> Model:
    """Open what was chosen, because it was asked for.

    Raises:
        NotTuned: nothing was chosen, or nothing of it can be taken here.
        ProviderUnavailable: what was chosen here runs on a provider that is gone.
    """
    off: list[str] = []
    for decided in tuned(path, said):
        choice = decided.choice
        if decided.here:
            return opening(choice)
        try:
            _refuse_absent(choice.session, said)
            model = opening(choice)
            passed = _passes(model)
        except _NOT_ABOUT_THE_CHOICE:
            raise
        except EdgekitError as error:
            off.append(f"{_named(choice)} cannot be used here ({_clause(error)})")
            continue
        if passed:
            return model
        model.close()
        off.append(
            f"{_named(choice)} was chosen on {decided.machine}, and its answers to the reference "
            "cases are off here"
        )
    raise NotTuned(path=str(path), cause="; ".join(off), mend=_tune(path))


def open_as_chosen(path: Path, said: Said, opening: Opening) -> Model:
    """Open what was chosen on this kind of machine, and else the portable variant, with a warning
    where something was chosen and isn't taken.

    Raises what `edgekit.load` raises.
    """
    known = choices.machines(path)
    if not known:  # a package that can't be written, and of which nothing is in the cache either
        return opening(said.portable())
    package = reading.read(path)
    here = machines.describe()
    key = machines.speed_key(here)
    chosen = choices.chosen_on(path, package, key)
    note = warning = ""
    if chosen is not None:
        try:
            decided = _decided(chosen, said, here=True)
            if decided is not None:
                return opening(decided.choice)
            note = NOTHING_CHOSEN.format(provider=said.provider)
        except _NOT_ABOUT_THE_CHOICE:
            raise
        except EdgekitError as error:
            warning = f"what was chosen for this machine can't be taken ({_clause(error)})"
    elif key in known:
        warning = _STALE
    elif others := choices.chosen_elsewhere(path, package, here=key):
        warning = _tuned_elsewhere(others, here)
    if warning:
        note = f"{warning}; 'edgekit tune {path}' finds what is best here"
    model = opening(said.portable(note))
    if warning:
        import logging  # 4 ms, for which a load that goes well has no use

        logging.getLogger("edgekit").warning(
            "%s runs as its portable variant: %s", package.name, note
        )
    return model


def _decided(chosen: Chosen, said: Said, *, here: bool) -> Decided | None:
    """Put what was said over what was chosen; None where nothing was for the asked provider.

    Raises:
        UsageError: the choice has a provider, an option or a value that is none.
    """
    asked = said.provider
    choice = chosen.winner if asked is None else chosen.by_provider.get(asked)
    if choice is None and asked == chosen.winner.session.provider:
        choice = chosen.winner
    if choice is None:
        return None
    session = said.over(_allowed(choice.session, said, here=here))
    reason = _reason(chosen, choice, here=here)
    taken = msgspec.structs.replace(choice, session=session, reason=reason)
    return Decided(taken, chosen.machine, here)


def _allowed(session: SessionChoice, said: Said, *, here: bool) -> SessionChoice:
    """Hold a session to what may come with a package.

    Of a provider that edgekit doesn't know, which the user named with its library, nobody can say
    which options are harmless: there must be none.
    """
    cores = len(hardware.usable_cores())
    if session.threads is not None and session.threads > cores:
        if here:
            raise BadValue(
                what="threads", asked=str(session.threads), expected=f"at most {cores} here"
            )
        session = msgspec.structs.replace(session, threads=None)
    by_the_user = session.provider == said.provider and not session.provider_options
    library = said.library if by_the_user else None
    if session.provider in providers.names():
        library = None
    providers.find(session.provider, library=library).translate(session)
    return session


def _reason(chosen: Chosen, choice: Choice, *, here: bool) -> str:
    words = ", ".join(filter(None, (choice.reason, chosen.budget)))
    where = "this machine" if here else f"another kind of machine, {chosen.machine}"
    return f"tuned for {where}" + (f" ({words})" if words else "")


def _refuse_absent(session: SessionChoice, said: Said) -> None:
    found = providers.find(session.provider, library=said.library).diagnose()
    if not found.usable:
        raise ProviderUnavailable(
            provider=session.provider, cause=found.cause, mend=found.mend, also=found.also
        )


def _passes(model: Model) -> bool:
    try:
        return model.check().passed
    except BaseException:
        model.close()
        raise


def _named(choice: Choice) -> str:
    return f"{choice.variant} on {choice.session.provider}"


def _clause(error: EdgekitError) -> str:
    return str(error).rstrip(".")


def _tuned_elsewhere(others: list[Chosen], here: Machine) -> str:
    this = machines.summary(here)
    kinds = list(dict.fromkeys(chosen.machine for chosen in others))
    listed = ", ".join(kinds[:3]) + (f" and {len(kinds) - 3} more" if len(kinds) > 3 else "")
    other = f"{this} with other cores, limits or versions" if this in kinds else this
    return f"it was tuned for {listed}, and this machine is {other}"


def _tune(path: Path) -> str:
    return f"Find what is best here: edgekit tune {path}"
