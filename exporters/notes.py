"""What whoever exports a module must be told, although the export went well."""

from __future__ import annotations

from exporters.original import Original
from exporters.requests import ExportOptions
from exporters.strategies.conditions import recurrent_operators


def notes_on(original: Original, options: ExportOptions) -> list[str]:
    """Say what the export does otherwise than its user may think."""
    notes = []
    if original.still_training:
        listed = ", ".join(original.still_training)
        notes.append(f"still in training mode, because their train() keeps them there: {listed}")
    if original.dropped:
        listed = ", ".join(original.dropped)
        notes.append(f"left out, because the module returns None there: {listed}")
    if options.unrolled and (operators := recurrent_operators(original.module)):
        listed = " and ".join(sorted(operators))
        notes.append(f"no way kept {listed} as one operator: its steps are written out")
    return notes


def notes_on_random(outputs: frozenset[str]) -> list[str]:
    """Say which outputs are drawn at random; nothing where none is."""
    if not outputs:
        return []
    listed = ", ".join(sorted(outputs))
    return [f"depends on random numbers, so compared by shape alone: {listed}"]
