"""The table of execution providers in docs/providers.md."""

from __future__ import annotations

from edgekit import providers
from edgekit.providers import ProviderInfo

BEGINS = "<!-- table of providers: python docs/write_providers.py -->"
ENDS = "<!-- end of the table -->"
"""The lines of the document between which the table stands."""

_TITLES = ("name", "ONNX Runtime's name", "for", "comes with", "needs", "computes in", "tried")


def table() -> str:
    """Write what is known of every provider as a table in Markdown."""
    rows = [_row(providers.find(name)) for name in providers.names()]
    lines = [_TITLES, ("---",) * len(_TITLES), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def with_table(document: str) -> str:
    """Return a document with the table between its two lines made anew.

    Raises:
        ValueError: the document lacks one of the lines.
    """
    before, begins, rest = document.partition(BEGINS)
    _, ends, after = rest.partition(ENDS)
    if not begins or not ends:
        raise ValueError(f"the document has no lines {BEGINS} and {ENDS}")
    return f"{before}{begins}\n\n{table()}\n\n{ends}{after}"


def _row(provider: ProviderInfo) -> tuple[str, ...]:
    return (
        f"`{provider.name}`",
        provider.ort_name,
        provider.summary,
        _brought_by(provider),
        ", ".join(f"`{library.soname}`" for library in provider.libraries) or "–",
        ", ".join(provider.precisions),
        "yes" if provider.tried else "no",
    )


def _brought_by(provider: ProviderInfo) -> str:
    """Name what is to be installed: an extra where there is one, else packages."""
    if provider.extra:
        return f"`edgekit-onnx[{provider.extra}]`"
    named = ", ".join(f"`{name}`" for name in provider.packages)
    return named or "a build of onnxruntime that has it"
