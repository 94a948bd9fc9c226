"""What a loaded model says of itself: which variant runs, how, and why."""

from __future__ import annotations

import msgspec

from edgekit.package.values import Choice
from edgekit.runtime.placement import computed, in_words
from edgekit.shown import Shown


class Explanation(Shown, msgspec.Struct, frozen=True):
    """Which variant runs, how, and why; `elsewhere` says how far its figures are from here."""

    package: str
    choice: Choice
    provider: str
    threads: int
    computes: str | None = None
    placement: dict[str, dict[str, int]] | None = None
    elsewhere: str = ""

    def __str__(self) -> str:
        threads = "1 thread" if self.threads == 1 else f"{self.threads} threads"
        where = f" ({in_words(self.placement)})" if self.placement else ""
        return (
            f"{self.package}: variant {self.choice.variant} on {self.provider}"
            f"{computed(self.computes)}{where}, {threads}, idle {self.choice.session.idle}: "
            f"{self.choice.reason}" + (f"; {self.elsewhere}" if self.elsewhere else "")
        )
