"""What several commands say of a package: its graphs, its cases, its assets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.console import Console

from edgekit.package.values import Asset, CaseFile
from edgekit.report.tables import shown
from edgekit.tensors import BY_SHAPE, Signature

_SIDES = {"reference": "reference", "test": "held-out", "train": "calibration"}


def print_graphs(console: Console, graphs: Mapping[str, Signature]) -> None:
    """Print what goes in and comes out, under the graph's name where there are several."""
    for name, signature in graphs.items():
        if len(graphs) > 1:
            console.print(f"Graph {shown(name)}:")
        _print_signature(console, signature)


def print_cases(console: Console, cases: Mapping[str, Sequence[CaseFile]]) -> None:
    """Print how many cases each graph has, and of which side of the data."""
    for graph, files in cases.items():
        said = [f"{c.cases:,} {_SIDES[c.split]} {shown(c.name)}" for c in files]
        of = "In the package" if len(cases) == 1 else f"Cases of {shown(graph)}"
        if said:
            console.print(f"{of}: {', '.join(said)}")


def print_assets(console: Console, assets: Sequence[Asset]) -> None:
    """Name the files; where a file isn't called what the asset is, that as well."""
    said = [
        f"{asset.file} ({asset.kind}"
        + (")" if asset.name in (asset.kind, asset.file) else f", as {asset.name})")
        for asset in assets
    ]
    if said:
        console.print(f"Assets: {shown(', '.join(said))}")


def in_words(sizes: Mapping[str, int]) -> str:
    """Write sizes by their dimension's name: batch 2, time 7."""
    return ", ".join(f"{name} {n}" for name, n in sizes.items()) or "fixed"


def _print_signature(console: Console, signature: Signature) -> None:
    for spec in signature.inputs:
        ranges = [str(d) for d in spec.shape if not isinstance(d, int)]
        console.print(
            f"  in   {shown(str(spec))}"
            + (f"  ({', '.join(map(shown, ranges))})" if ranges else "  (fixed)")
        )
    for spec in signature.outputs:
        console.print(f"  out  {shown(str(spec))}" + (f"  ({BY_SHAPE})" if spec.random else ""))
