"""The table of docs/coverage.md, from what `benchmarks.coverage` kept."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import get_args

from benchmarks.coverage_values import Entry, Judged, Outcome, Result

_LIBRARIES = {"timm": "timm", "hf": "transformers, tiny configurations"}


def markdown(result: Result) -> str:
    """Write how many came out right, one table a library, and what was refused or told."""
    versions = ", ".join(
        f"{name} {version}" for name, version in result.conditions.versions.items()
    )
    entries = result.entries
    lines = [
        f"{len(entries)} architectures. `exporters.export_target`: "
        f"{counted(entry.edgekit for entry in entries.values())}. `torch.onnx.export` alone: "
        f"{counted(entry.bare for entry in entries.values())}.",
        "",
        f"With {versions}; instruction sets: {', '.join(result.conditions.isa) or 'unknown'}.",
    ]
    for library, title in _LIBRARIES.items():
        rows = {n: e for n, e in entries.items() if n.startswith(f"{library}:")}
        lines += ["", f"## {title}", "", *_table(rows)]
    lines += ["", "## What was refused, wrong or told", "", *_told(entries)]
    return "\n".join(lines)


def counted(sides: Iterable[Judged]) -> str:
    """Count the outcomes: `71 right, 4 refused`; those that must not be are said even if none."""
    counts = Counter(judged.outcome for judged in sides)
    kinds = [k for k in get_args(Outcome) if counts[k] or k in ("right", "wrong")]
    return ", ".join(f"{counts[kind]} {kind}" for kind in kinds)


def _table(rows: dict[str, Entry]) -> list[str]:
    lines = [
        "| architecture | strategy | seconds | largest error | × the original's own | MB "
        "| `torch.onnx.export` alone |",
        "|---|---|---:|---:|---:|---:|---|",
    ]
    for name, entry in rows.items():
        ours, bare = entry.edgekit, entry.bare
        how = ours.strategy if ours.outcome == "right" and ours.strategy else f"**{ours.outcome}**"
        alone = "right" if bare.outcome == "right" else f"**{bare.outcome}**"
        took = f", {bare.seconds:.0f} s" if bare.seconds is not None else ""
        lines.append(
            f"| {name.partition(':')[2]} | {how} | {_number(ours.seconds, '.0f')} "
            f"| {_number(ours.max_abs_error, '.1e')} | {_number(ours.times_own, '.1f')} "
            f"| {_number(ours.size_mb, '.3g')} | {alone}{took} |"
        )
    return lines


def _told(entries: dict[str, Entry]) -> list[str]:
    """List what was said, a line for each sentence with all that it was said of."""
    said: dict[str, list[str]] = {}
    for name, entry in entries.items():
        for text in (*_sentence(entry.edgekit, "edgekit"), *_sentence(entry.bare, "alone")):
            said.setdefault(text, []).append(f"`{name}`")
    return [f"- {', '.join(names)}, {text}" for text, names in said.items()] or ["Nothing."]


def _sentence(judged: Judged, who: str) -> list[str]:
    told = [f"{who}: {_plain(note)}" for note in judged.notes]
    if judged.outcome != "right":
        told.insert(0, f"{who}, {judged.outcome}: {_plain(judged.problem) or 'no reason given'}")
    return told


def _plain(text: str) -> str:
    """Keep a text from being read as Markdown, and short."""
    short = text if len(text) <= 400 else text[:399].rstrip() + "…"
    for mark in "\\`*_<>|[]":
        short = short.replace(mark, f"\\{mark}")
    return short


def _number(value: float | None, form: str) -> str:
    return "–" if value is None else format(value, form)
