"""What is said of where a model's nodes run."""

from __future__ import annotations

from rich.console import Console

from edgekit.measure.placements import Placements
from edgekit.report.figures import count
from edgekit.report.tables import shown
from edgekit.runtime.placement import computed, in_words
from edgekit.tensors import RunFacts


def placed(console: Console, found: Placements) -> None:
    """Print where each variant's nodes run, and in which precision."""
    for variant in found.variants:
        said = f"isn't run on {found.provider}: {variant.reason}"
        if variant.facts is not None:
            said = sentence(variant.facts)
        console.print(f"{shown(variant.variant)} {shown(said)}")
    if found.note:
        console.print(f"Note: {shown(found.note)}")


def sentence(facts: RunFacts) -> str:
    """Say where nodes run: ``runs on cuda in fp32: all 51 nodes, 0 copies between memories in a
    run``.
    """
    where = f"runs on {facts.provider}{computed(facts.computes)}"
    if facts.placement is None:
        return where
    return f"{where}: {in_words(facts.placement)}{_copies(facts)}"


def _copies(facts: RunFacts) -> str:
    if facts.copies is None:
        return ""
    return f", {count(facts.copies, 'copy', plural='copies')} between memories in a run"
