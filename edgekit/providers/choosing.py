"""Which provider to take where the choice is left to edgekit, and why not a better one."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import msgspec

from edgekit import providers
from edgekit.errors import BadValue, ProviderUnavailable, ProviderUnfit
from edgekit.package.values import SessionChoice
from edgekit.providers import BEST

T = TypeVar("T")

BEST_FIRST = ("tensorrt", "cuda", "tensorrt-rtx", "openvino", "cpu")
"""The order in which they are tried: what is usually faster where it can be used comes first.

It is the order of the hardware and not a measurement; `edgekit bench` measures. Providers of which
edgekit has a description alone aren't chosen, only asked for.
"""


class Chosen(msgspec.Struct, frozen=True):
    """A provider that can be used, and why those that come before it can't, by name."""

    provider: str
    passed_over: dict[str, str]

    @property
    def reason(self) -> str:
        """Say what was chosen and why the better ones were not possible, a cause once."""
        by_cause: dict[str, list[str]] = {}
        for name, cause in self.passed_over.items():
            by_cause.setdefault(cause, []).append(name)
        why_not = "; ".join(f"not {', '.join(names)}: {why}" for why, names in by_cause.items())
        return f"the best provider that can be used here is {self.provider}" + (
            f" ({why_not})" if why_not else ""
        )


def best(choice: SessionChoice | None = None, *, library: str | None = None) -> Chosen:
    """Find the best provider that can be used, from what is installed and what hardware there is.

    Raises what `first_that_opens` raises.
    """
    choice = choice or SessionChoice(provider=BEST)
    return first_that_opens(choice, lambda _, chosen: chosen, library=library)


def first_that_opens(
    choice: SessionChoice,
    opening: Callable[[SessionChoice, Chosen], T],
    *,
    library: str | None = None,
) -> T:
    """Open something on the best provider that takes it.

    Args:
        choice: how it is to run; its provider is `BEST`.
        opening: opens it as a choice says; it is also told what was chosen, and why.
        library: the library of a plug-in that the user named: there must be none.

    Raises:
        BadValue: options or the library of one provider are given, and nobody knows of which.
        ProviderUnavailable: not even the CPU provider can be used.
        Whatever `opening` raises that isn't about the provider.
    """
    if choice.provider_options or library is not None:
        raise BadValue(
            what="An option or the library of a provider",
            asked=f"given together with the provider {BEST!r}",
            expected="the provider that it is for, by its name",
        )
    passed_over: dict[str, str] = {}
    for name in BEST_FIRST:
        found = providers.find(name).diagnose()
        last = name == BEST_FIRST[-1]
        if not found.usable and not last:
            passed_over[name] = found.cause
            continue
        try:
            one = msgspec.structs.replace(choice, provider=name)
            return opening(one, Chosen(name, dict(passed_over)))
        except (ProviderUnavailable, ProviderUnfit) as error:
            if last:
                raise
            passed_over[name] = error.facts.get("cause") or error.facts["reason"]
    raise AssertionError("the last provider is returned or raises")
