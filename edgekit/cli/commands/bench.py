"""`edgekit bench`: how fast and how right, beside the original, in one run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgekit.cli.options import (
    data_options,
    debug_option,
    given,
    json_option,
    said,
    session_choice,
    session_options,
    source_options,
)
from edgekit.terms import Against, Idle, Memory, Task, members

if TYPE_CHECKING:
    from edgekit.measure.gates import Gate
    from edgekit.measure.results import BenchReport
    from edgekit.package.values import Choice
    from edgekit.runtime.said import Said

_EPILOG = """\b
Examples:
  edgekit bench net.edgekit
  edgekit bench net.edgekit --against eager,compiled --batch 1 --batch 16
  edgekit bench net.edgekit --fail-if 'speedup<1.5' --fail-if 'p50_ms>5'
  edgekit bench net.edgekit --provider cuda --provider-option use_tf32=1 --arrays device
  edgekit bench net.edgekit --eval-data held-out.npz
  edgekit bench net.edgekit --variant portable --variant tuned
  edgekit bench net.edgekit --original net.py:make --json > bench.json
  edgekit bench net.edgekit --baseline bench.json --fail-if 'regression>1.2'
  edgekit bench net.edgekit --markdown --csv bench.csv >> summary.md
  edgekit bench bert.edgekit --original hf:bert-tiny --task features"""


@click.command(epilog=_EPILOG, short_help="How fast and how right, beside the original?")
@click.argument("packages", nargs=-1, required=True, type=click.Path(path_type=Path))
@session_options
@click.option(
    "--against",
    metavar="HOW[,HOW]",
    help=f"How the PyTorch original runs: {', '.join(members(Against))}.  [default: eager]",
)
@click.option("--original", metavar="TARGET", help="What makes the original, if not remembered.")
@click.option(
    "-p",
    "--param",
    "params",
    multiple=True,
    metavar="NAME=VALUE",
    help="A parameter of the original's factory.",
)
@source_options
@click.option(
    "--batch",
    "batches",
    multiple=True,
    type=click.IntRange(min=1),
    metavar="N",
    help="Batch size; repeat for more.  [default: 1, or the lowest that there is]",
)
@click.option(
    "--arrays",
    type=click.Choice(members(Memory)),
    help="Where inputs and outputs lie: on the host, copies timed, or on the device.  [default: "
    "both, where the provider has a memory of its own]",
)
@data_options
@click.option(
    "--starts",
    type=click.IntRange(min=2),
    metavar="N",
    help="Fresh processes of each.  [default: 5]",
)
@click.option(
    "--variant",
    "variants",
    multiple=True,
    metavar="NAME",
    help="Time this variant; repeat for more. With 'tuned' all of them run as that was chosen to."
    "  [default: all that take the same inputs as the first]",
)
@click.option(
    "--rounds",
    type=click.IntRange(min=1),
    metavar="N",
    help="Rounds in each process.  [default: 4]",
)
@click.option(
    "--time-limit",
    "wall_s",
    type=click.FloatRange(min=0, min_open=True),
    metavar="SECONDS",
    help="End a process that takes longer to load, or for one turn.  [default: 600]",
)
@click.option(
    "--fail-if",
    "gates",
    multiple=True,
    metavar="CONDITION",
    help="Exit with 3 if a variant meets it, on its interval's worse end: 'speedup<1.5'. Repeat "
    "for more.",
)
@click.option(
    "--baseline",
    type=click.Path(path_type=Path),
    metavar="FILE.json",
    help="What 'bench --json' printed before on this kind of machine: says how many times slower "
    "each row became, in speedups against the original; 'regression' in --fail-if.",
)
@click.option(
    "--csv",
    "csv_file",
    type=click.Path(path_type=Path, dir_okay=False, allow_dash=True),
    metavar="FILE",
    help="Write a row a candidate with all figures to a file, which is replaced; - is stdout, in "
    "the place of the table.",
)
@click.option("--markdown", is_flag=True, help="Print the table as GitHub's Markdown.")
@json_option
@debug_option
def command(
    packages: tuple[Path, ...],
    provider: str | None,
    provider_options: tuple[str, ...],
    library: str | None,
    threads: int | None,
    idle: Idle | None,
    strict: bool,
    against: str | None,
    original: str | None,
    params: tuple[str, ...],
    task: Task | None,
    pretrained: bool,
    weights: Path | None,
    batches: tuple[int, ...],
    arrays: Memory | None,
    eval_data: str | None,
    calib_data: str | None,
    variants: tuple[str, ...],
    starts: int | None,
    rounds: int | None,
    wall_s: float | None,
    gates: tuple[str, ...],
    baseline: Path | None,
    csv_file: Path | None,
    markdown: bool,
    as_json: bool,
) -> int:
    """Time PACKAGES side by side with their PyTorch original, and measure accuracy.

    Each candidate runs in processes of its own, started afresh several times, in interleaved
    rounds. Speedups are ratios inside this run, with a 95 % interval. The original is that of
    the first package.
    """
    from edgekit.cli import output as out
    from edgekit.cli.originals import originals_of, ways_to_run
    from edgekit.cli.verdicts import verdict
    from edgekit.measure import gates as gating
    from edgekit.measure.bench import Plan
    from edgekit.measure.given import given_evaluation
    from edgekit.measure.packages import bench_packages, open_subject, refuse_batch
    from edgekit.measure.ways import How, each_memory, settle
    from edgekit.package.values import TUNED

    parsed = [gating.parse(text) for text in gates]
    _refuse_two_forms(as_json, markdown, csv_file)
    before = _before(baseline, parsed)
    ways = ways_to_run(against)
    plan = Plan(**given({"starts": starts, "rounds": rounds, "wall_s": wall_s}))
    choice = session_choice(provider, provider_options, threads=threads, idle=idle)
    notes: list[str] = []
    if TUNED in variants:
        typed = said(provider, provider_options, threads=threads, idle=idle, library=library)
        chosen = _tuned(packages, typed)
        choice = chosen.session
        variants = tuple(chosen.variant if name == TUNED else name for name in variants)
        notes.append(f"{chosen.variant}: {chosen.reason}")
    how = How(choice, library=library, strict=strict)
    asked = given(
        {
            "original": original,
            "parameters": params or None,
            "task": task,
            "pretrained": pretrained or None,
            "weights": None if weights is None else str(weights),
        }
    )
    how, note = settle(how)
    hows = each_memory(how, arrays)
    reports: list[BenchReport] = []
    with out.progress(f"timing {', '.join(map(str, packages))}") as step:
        subjects = [open_subject(path, variants=variants, wall_s=plan.wall_s) for path in packages]
        for rows in batches:
            refuse_batch(subjects[0], rows)
        evaluation = given_evaluation(subjects, eval_data=eval_data, calib_data=calib_data)
        found = [originals_of(subjects[0], one, ways=ways, asked=asked) for one in hows]
        for batch in batches or (None,):
            for one, (originals, left_out, where) in zip(hows, found, strict=True):
                reports.append(
                    bench_packages(
                        subjects,
                        one,
                        originals=originals,
                        left_out=left_out,
                        batch=batch,
                        plan=plan,
                        evaluation=evaluation,
                        notes=list(filter(None, (*notes, note, where))),
                        progress=step,
                    )
                )
    if before is not None:
        from edgekit.measure.regression import against_before

        reports = [against_before(report, before) for report in reports]
    if csv_file is not None:
        from edgekit.report.rows_csv import benches_in_csv

        out.write_text(benches_in_csv(reports), None if str(csv_file) == "-" else csv_file)
    if as_json:
        out.print_json(reports[0] if len(reports) == 1 else reports)
    elif markdown:
        from edgekit.report.pull_request import benches_in_markdown

        out.write_text(benches_in_markdown(reports), None)
    elif str(csv_file) != "-":
        from edgekit.report.bench import benched

        benched(out.console(), reports)
    return verdict(reports, parsed)


def _refuse_two_forms(as_json: bool, markdown: bool, csv_file: Path | None) -> None:
    forms = {"--json": as_json, "--markdown": markdown, "--csv -": str(csv_file) == "-"}
    if sum(forms.values()) > 1:
        from edgekit.errors import BadValue

        asked = " and ".join(name for name, on in forms.items() if on)
        raise BadValue(what="stdout", asked=f"given {asked}", expected="one of them")


def _before(baseline: Path | None, parsed: Sequence[Gate]) -> tuple[BenchReport, ...] | None:
    """Read the bench from before first: what can't be compared shouldn't be timed."""
    from edgekit.errors import BadValue
    from edgekit.measure.regression import read_baseline

    if baseline is not None:
        return read_baseline(baseline)
    for gate in parsed:
        if gate.metric == "regression":
            raise BadValue(
                what=f"--fail-if {gate.text}",
                asked="decided without a bench from before",
                expected="--baseline FILE.json as well",
            )
    return None


def _tuned(packages: tuple[Path, ...], typed: Said) -> Choice:
    """Find what was chosen for the one package: a bench has one session for all that it times."""
    from edgekit.errors import BadValue
    from edgekit.runtime.tuned import tuned

    if len(packages) > 1:
        raise BadValue(
            what="--variant",
            asked="tuned, for several packages",
            expected="the variants' names: each package has a choice of its own",
        )
    return tuned(packages[0], typed)[0].choice
