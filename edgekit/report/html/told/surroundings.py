"""What else was tried, where it was measured, and how."""

from __future__ import annotations

from edgekit import machine as machines
from edgekit.report import grids
from edgekit.report.bench import method
from edgekit.report.evidence import Known
from edgekit.report.figures import count, digits
from edgekit.report.html.told.parts import Part, Section
from edgekit.report.html.told.speed import timed_benches


def rejected(known: Known) -> Section | None:
    """List every candidate that wasn't chosen, and why."""
    if known.tuned is None:
        return None
    table = grids.rejected_grid(known.tuned)
    if not table.rows:
        return None
    n = len(known.tuned.tried)
    return Section(
        "rejected",
        "What else was tried",
        f"{count(n, 'candidate')} in {digits(known.tuned.took_s)} s.",
        (Part("", table=table),),
        known.tuned.notes,
    )


def environment(known: Known) -> Section | None:
    """Describe the machine, with the versions that decide numbers."""
    if known.machine is None:
        return None
    others = tuple(f"Also measured on {key}: --machine {key}" for key in known.elsewhere)
    return Section(
        "machine",
        "Where it was measured",
        f"{machines.summary(known.machine)}. Another processor answers in other times, and an "
        "8-bit model may answer other numbers there.",
        (Part("", table=grids.environment_grid(known.machine)),),
        others,
    )


def how_measured(known: Known) -> Section | None:
    """Say how figures came about, and what the model is made of."""
    benches = timed_benches(known)
    said = []
    for report in benches:
        if method(report) not in said:
            said.append(method(report))
    if known.tuned is not None:
        races = count(len(known.tuned.races), "race")
        said.append(
            f"Tuning ran {races} of fewer and fewer candidates, each with more rounds than the one "
            f"before, beside {known.tuned.baseline}."
        )
    provenance = known.package.provenance
    made = {
        "original": provenance.source,
        "exported by": provenance.strategy,
        **{f"with {name}": number for name, number in provenance.versions.items()},
        "SHA-256 of the weights": provenance.weights_sha256,
    }
    return Section(
        "method",
        "How it was measured",
        " ".join(said) or "No time was measured.",
        (Part("The model", table=grids.pairs(made)),),
    )
