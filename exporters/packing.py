"""Make a package of what attempts left in a folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from edgekit.package import commit
from edgekit.package.values import Graph, Package, Provenance, Variant
from exporters.requests import Attempt

GRAPH = "model"


def pack(
    folder: Path,
    attempts: Sequence[Attempt],
    *,
    source: str,
    seed: int,
    task: str | None = None,
    pretrained: bool = False,
) -> Package:
    """Commit the files that attempts left in `folder`, one graph and one variant for each.

    The first is the model as it came; the package's name and all that is about the original are
    the first one's.

    Raises:
        StorageError: the disk is full or not writable.
    """
    first = attempts[0]
    contents: dict[str, bytes | Path] = {
        file: folder / file
        for attempt in attempts
        for file in (
            attempt.model,
            *attempt.files,
            *(c.file for c in (attempt.reference, attempt.evaluation, attempt.calibration) if c),
            *(asset.file for asset in attempt.assets),
        )
    }
    package = Package(
        name=first.name,
        graphs=tuple(
            Graph(
                GRAPH + attempt.suffix,
                attempt.signature,
                reference=attempt.reference,
                evaluation=attempt.evaluation,
                calibration=attempt.calibration,
            )
            for attempt in attempts
        ),
        variants=tuple(
            Variant(
                name=attempt.precision + attempt.suffix,
                graph=GRAPH + attempt.suffix,
                model=attempt.model,
                files=attempt.files,
                precision=attempt.precision,
                facts=attempt.facts,
                closeness=attempt.closeness,
            )
            for attempt in attempts
        ),
        provenance=Provenance(
            source=source,
            original="pytorch",
            strategy=first.strategy,
            weights_sha256=first.weights_sha256,
            seed=seed,
            parameters=first.parameters,
            task=task,
            pretrained=pretrained,
            versions=first.versions,
            verification=first.verification,
            notes=tuple(dict.fromkeys(note for attempt in attempts for note in attempt.notes)),
        ),
        files={},
        metric=first.metric,
        assets=first.assets,
    )
    return commit.commit(folder, package, contents)
