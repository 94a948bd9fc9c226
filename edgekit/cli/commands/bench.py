"""`edgekit bench`: how fast and how right, beside the original, in one run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgekit.cli.options import debug_option, json_option, session_options
from edgekit.terms import Against, Idle, members

if TYPE_CHECKING:
    from edgekit.measure.gates import Gate
    from edgekit.measure.packages import Subject
    from edgekit.measure.results import BenchReport

_EPILOG = """\b
Examples:
  edgekit bench net.edgekit
  edgekit bench net.edgekit --against eager,compiled --batch 1 --batch 16
  edgekit bench net.edgekit --fail-if 'speedup<1.5' --fail-if 'p50_ms>5'
  edgekit bench net.edgekit --original net.py:make --json > bench.json"""


@click.command(epilog=_EPILOG)
@click.argument("packages", nargs=-1, required=True, type=click.Path(path_type=Path))
@session_options
@click.option(
    "--against",
    default="eager",
    show_default=True,
    metavar="HOW[,HOW]",
    help=f"How the PyTorch original runs: {', '.join(members(Against))}.",
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
@click.option(
    "--batch",
    "batches",
    multiple=True,
    type=click.IntRange(min=1),
    help="Batch size; repeat for more.  [default: 1]",
)
@click.option("--starts", type=click.IntRange(min=2), help="Fresh processes each.  [default: 5]")
@click.option("--rounds", type=click.IntRange(min=1), help="Rounds a start.  [default: 4]")
@click.option(
    "--fail-if",
    "gates",
    multiple=True,
    metavar="CONDITION",
    help="Exit with 3 if a variant meets it, on its interval's worse end: 'speedup<1.5'.",
)
@json_option
@debug_option
def command(
    packages: tuple[Path, ...],
    provider: str,
    threads: int | None,
    idle: Idle,
    against: str,
    original: str | None,
    params: tuple[str, ...],
    batches: tuple[int, ...],
    starts: int | None,
    rounds: int | None,
    gates: tuple[str, ...],
    as_json: bool,
) -> int:
    """Time PACKAGES side by side with their PyTorch original, and measure accuracy.

    Each candidate runs in processes of its own, started afresh several times, in interleaved
    rounds. Speedups are ratios inside this run, with a 95 % interval.
    """
    from edgekit.cli import output as out
    from edgekit.measure import gates as gating
    from edgekit.measure.bench import Plan
    from edgekit.measure.packages import bench_packages, open_subject, refuse_unusable
    from edgekit.package.values import SessionChoice

    parsed = [gating.parse(text) for text in gates]
    ways = _ways(against)
    refuse_unusable(provider)
    subjects = [open_subject(path) for path in packages]
    given = {"starts": starts, "rounds": rounds}
    plan = Plan(**{name: value for name, value in given.items() if value is not None})
    choice = SessionChoice(provider=provider, threads=threads, idle=idle)
    candidates, left_out = _originals(subjects[0], ways, original, params, threads)
    reports: list[BenchReport] = []
    for batch in batches or (None,):
        with out.progress(f"timing {', '.join(s.name for s in subjects)}") as step:
            reports.append(
                bench_packages(
                    subjects,
                    choice,
                    originals=candidates,
                    left_out=left_out,
                    batch=batch,
                    plan=plan,
                    progress=step,
                )
            )
    if as_json:
        out.print_json(reports[0] if len(reports) == 1 else reports)
    else:
        from edgekit.report.terminal import benched

        for report in reports:
            benched(out.console(), report)
    return _verdict(reports, parsed)


def _ways(against: str) -> list[Against]:
    from edgekit.errors import UnknownName

    ways = [way.strip() for way in against.split(",")]
    for way in ways:
        if way not in members(Against):
            raise UnknownName(kind="way to run it", asked=way, available=list(members(Against)))
    return ways  # type: ignore[return-value]  # each is a member


def _originals(subject: Subject, ways, original, params, threads):  # type: ignore[no-untyped-def]
    from edgekit.cli.originals import named_parameters, own_exporters

    if subject.package is None:
        return [], []
    own_exporters()
    from exporters.baselines import originals

    return originals(
        subject.package,
        ways,
        original=original,
        parameters=named_parameters(params),
        threads=threads,
    )


def _verdict(reports: list[BenchReport], parsed: list[Gate]) -> int:
    """Judge every variant (not the original), and fail on outputs that are not the original's."""
    from edgekit.errors import EdgekitError, GateFailed
    from edgekit.measure import gates as gating
    from edgekit.measure.results import figures

    for report in reports:
        for row in report.rows:
            if row.mismatch:
                raise EdgekitError(
                    f"The timed runs of {row.label} gave other outputs than the baseline's: "
                    f"{row.mismatch}"
                )
    verdicts = [
        gating.judge(gate, figures(row).get(gate.metric), row=row.label)
        for report in reports
        for row in report.rows
        for gate in parsed
        if not row.is_original
    ]
    tripped = [verdict.sentence for verdict in verdicts if verdict.tripped]
    if tripped:
        raise GateFailed(verdicts=tripped)
    return 0
