"""The tables of execution providers and of their options in docs/providers.md."""

from __future__ import annotations

from edgekit import providers
from edgekit.providers import Option, ProviderInfo
from edgekit.report import quant_rules

BEGINS = "<!-- table of providers: python docs/write_providers.py -->"
OPTIONS_BEGIN = "<!-- tables of options: python docs/write_providers.py -->"
ENDS = "<!-- end of the table -->"
"""The lines of the document between which the tables stand."""

_TITLES = ("name", "ONNX Runtime's name", "for", "comes with", "needs", "computes in", "tried")


def table() -> str:
    """Write what is known of every provider as a table in Markdown."""
    rows = [_row(providers.find(name)) for name in providers.names()]
    lines = [_TITLES, ("---",) * len(_TITLES), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def option_tables() -> str:
    """Write the options of every provider that has some, a table each."""
    written = []
    for name in providers.names():
        options = providers.find(name).options
        if options:
            rows: list[tuple[str, ...]] = [("option", "values", "what it does"), ("---",) * 3]
            rows += [_option_row(key, option) for key, option in options.items()]
            lines = "\n".join(f"| {' | '.join(cells)} |" for cells in rows)
            written.append(f"**`{name}`**\n\n{lines}")
    return "\n\n".join(written)


def with_tables(document: str) -> str:
    """Return a document with the tables between their lines made anew.

    Raises:
        ValueError: the document lacks one of the lines.
    """
    tables = {
        BEGINS: table(),
        quant_rules.BEGINS: quant_rules.rules_table(),
        OPTIONS_BEGIN: option_tables(),
    }
    for begins, made in tables.items():
        before, found, rest = document.partition(begins)
        _, ends, after = rest.partition(ENDS)
        if not found or not ends:
            raise ValueError(f"the document has no lines {begins} and {ENDS}")
        document = f"{before}{begins}\n\n{made}\n\n{ends}{after}"
    return document


def _option_row(name: str, option: Option) -> tuple[str, ...]:
    default = "" if option.default is None else f". edgekit: `{option.default}`, since {option.why}"
    return f"`{name}`", option.expected, f"{option.says}{default}"


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
