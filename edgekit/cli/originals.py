"""What the commands that reach into `exporters` share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import edgekit
from edgekit.cli.options import named_values
from edgekit.errors import ForeignExporters
from edgekit.terms import Against, members

if TYPE_CHECKING:
    from edgekit.measure.packages import Subject
    from edgekit.measure.plan import Candidate
    from edgekit.measure.results import LeftOut
    from edgekit.measure.ways import How


def own_exporters() -> None:
    """Make sure that `exporters` is edgekit's own.

    Raises:
        ForeignExporters: another package of that name comes first.
    """
    import exporters

    ours = Path(edgekit.__file__).parent.parent / "exporters"
    found = Path(exporters.__file__ or next(iter(exporters.__path__))).resolve()
    if ours.resolve() not in (found, found.parent):
        raise ForeignExporters(path=str(found))


def ways_to_run(against: str | None) -> list[Against]:
    """Read `eager,compiled`.

    Raises:
        UnknownName: one isn't a way to run the original.
    """
    from edgekit.errors import UnknownName

    known = members(Against)
    ways = [way.strip() for way in against.split(",")] if against is not None else [known[0]]
    for way in ways:
        if way not in known:
            raise UnknownName(kind="way to run the original", asked=way, available=list(known))
    return cast("list[Against]", list(dict.fromkeys(ways)))


def originals_of(
    subject: Subject, how: How, *, ways: list[Against], asked: dict[str, Any]
) -> tuple[list[Candidate], list[LeftOut], str]:
    """Find the originals of a package that came from PyTorch, and note where they run if not where
    the variants do; a plain .onnx has none.

    `asked` holds what was typed about them, under the names of `exporters.baselines.originals`.

    Raises:
        BadValue: something was typed about the original of a plain .onnx.
        ForeignExporters, and what `exporters.baselines.originals` raises.
    """
    from edgekit.errors import BadValue

    if subject.package is None or subject.package.provenance.original == "onnx":
        if asked:
            options = ["-p" if name == "parameters" else f"--{name}" for name in asked]
            raise BadValue(
                what=f"a bench of {subject.path}",
                asked=f"done with {', '.join(options)}",
                expected="a package that was exported from PyTorch; an .onnx file from elsewhere "
                "has no other original than itself",
            )
        return [], [], ""
    own_exporters()
    from exporters.baselines import originals
    from exporters.beside import beside

    if "parameters" in asked:
        asked = {**asked, "parameters": named_values(asked["parameters"], option="-p")}
    graph = subject.graph.name if subject.graph is not None else None
    candidates, left_out = originals(
        subject.package, ways, graph=graph, threads=how.session.threads, how=how, **asked
    )
    return candidates, left_out, beside(how)[1] if candidates else ""
