"""`edgekit compare`: how far are two models' answers apart, and is that inside a budget?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgekit.cli.options import (
    budget_options,
    budgets_of,
    data_options,
    debug_option,
    given,
    json_option,
    named_values,
    said,
    session_choice,
    session_options,
    source_options,
)
from edgekit.terms import Idle, Task, Undecided

if TYPE_CHECKING:
    from edgekit.measure.sides import Named, Side
    from edgekit.measure.ways import How
    from edgekit.tensors import Signature

_EPILOG = """\b
Examples:
  edgekit compare net.edgekit net.edgekit:int8-static --max-drop 0.5pp
  edgekit compare net.edgekit:original net.edgekit --min-cosine 0.9999
  edgekit compare net.edgekit net.edgekit:tuned
  edgekit compare old.onnx new.onnx --eval-data test.npz --min-agreement 99%
  edgekit compare net.py:make net.edgekit:fp16 --json"""


@click.command(epilog=_EPILOG, short_help="How far are two models' answers apart?")
@click.argument("a")
@click.argument("b")
@budget_options
@data_options
@session_options
@click.option(
    "-p",
    "--param",
    "params",
    multiple=True,
    metavar="NAME=VALUE",
    help="A parameter of an original's factory.",
)
@source_options
@click.option(
    "--time-limit",
    "wall_s",
    type=click.FloatRange(min=0, min_open=True),
    metavar="SECONDS",
    help="End a process that takes longer to load, or for one run.  [default: 600]",
)
@json_option
@debug_option
def command(
    a: str,
    b: str,
    max_drop: str | None,
    min_agreement: str | None,
    min_cosine: str | None,
    undecided: Undecided | None,
    eval_data: str | None,
    calib_data: str | None,
    provider: str | None,
    provider_options: tuple[str, ...],
    library: str | None,
    threads: int | None,
    idle: Idle | None,
    strict: bool,
    params: tuple[str, ...],
    task: Task | None,
    pretrained: bool,
    weights: Path | None,
    wall_s: float | None,
    as_json: bool,
) -> int:
    """Run A and B on the same cases and say how far B's answers are from A's. Nothing is timed.

    Each is a package (PATH for its first variant, PATH:VARIANT, PATH:tuned, PATH:original), an
    .onnx file, or a TARGET of `edgekit export`. What was tuned runs as it was chosen, where no
    option of a session says otherwise. Exit code 3 if B is past a budget, or the cases don't
    decide.
    """
    from edgekit.cli import output as out
    from edgekit.errors import GateFailed
    from edgekit.measure.compare import compare
    from edgekit.measure.judging import judged_by
    from edgekit.measure.same_cases import cases_for, own_metric
    from edgekit.measure.sides import as_chosen, named
    from edgekit.measure.ways import How, settle

    budgets = budgets_of(max_drop, min_agreement, min_cosine)
    typed = said(provider, provider_options, threads=threads, idle=idle, library=library)
    asked = (as_chosen(named(a), typed), as_chosen(named(b), typed))
    how, _ = settle(
        How(
            session_choice(provider, provider_options, threads=threads, idle=idle),
            library=library,
            strict=strict,
        )
    )
    source = given(
        {
            "parameters": named_values(params, option="-p") or None,
            "task": task,
            "pretrained": pretrained or None,
            "weights": None if weights is None else str(weights),
        }
    )
    limits = given({"wall_s": wall_s})
    with out.progress(f"comparing {a} and {b}") as step:
        ours, theirs = _sides(asked, how, source, limits)
        dataset = cases_for(ours, theirs, eval_data=eval_data, calib_data=calib_data)
        metric = judged_by(
            dataset, ours.signature, metric=own_metric(ours, theirs), budgets=budgets
        )
        done = compare(
            ours,
            theirs,
            dataset=dataset,
            metric=metric,
            budgets=budgets,
            progress=step,
            **given({"undecided": undecided}),
            **limits,
        )
    if as_json:
        from edgekit.report.documents import CompareDocument

        out.print_json(CompareDocument(done))
    else:
        from edgekit.report.compare import compared

        compared(out.console(), done)
    return 0 if done.passed else GateFailed.exit_code


def _sides(
    asked: tuple[Named, Named], how: How, source: dict[str, Any], limits: dict[str, Any]
) -> tuple[Side, Side]:
    """Open both; a TARGET takes and gives what the other one does, so that comes first."""
    from edgekit.errors import BadValue
    from edgekit.measure.sides import variant_side

    if all(one.kind == "target" for one in asked):
        raise BadValue(
            what="what is compared",
            asked=f"{asked[0].text} and {asked[1].text}, neither of which is a package or an .onnx "
            "file",
            expected="at least one that is: make a package with edgekit export",
        )
    found = {
        one.text: variant_side(one, how, **limits)
        if one.kind in ("file", "variant")
        else _original_of_package(one, how, source, limits)
        for one in asked
        if one.kind != "target"
    }
    known = next(iter(found.values()))
    first, second = (
        found[one.text] if one.text in found else _target(one, known.signature, how, source)
        for one in asked
    )
    return first, second


def _original_of_package(
    asked: Named, how: How, source: dict[str, Any], limits: dict[str, Any]
) -> Side:
    """Find a package's original; of an adopted .onnx that is the file itself."""
    import msgspec

    from edgekit.cli.originals import own_exporters
    from edgekit.errors import OriginalUnavailable
    from edgekit.measure.sides import variant_side

    first = variant_side(
        msgspec.structs.replace(asked, kind="variant", variant="portable"), how, **limits
    )
    assert first.subject is not None
    package, graph = first.subject.package, first.subject.graph
    assert package is not None
    assert graph is not None
    if package.provenance.original == "onnx":
        return first
    own_exporters()
    from exporters.baselines import originals

    candidates, left_out = originals(
        package, ["eager"], graph=graph.name, threads=how.session.threads, how=how, **source
    )
    if not candidates:
        raise OriginalUnavailable(reason=left_out[0].reason)
    label = f"{package.name} · {candidates[0].label}"
    return msgspec.structs.replace(first, label=label, call=candidates[0].call)


def _target(asked: Named, signature: Signature, how: How, source: dict[str, Any]) -> Side:
    from edgekit.cli.originals import own_exporters
    from edgekit.measure.sides import Side

    own_exporters()
    from exporters.baselines import any_original

    candidate = any_original(asked.text, signature, how=how, **source)
    return Side(candidate.label, candidate.call, signature)
