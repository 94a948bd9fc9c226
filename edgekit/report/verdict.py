"""What a report begins with: which variant is the fastest, by how much, and what that cost."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from edgekit.measure.results import BenchReport, Quality
from edgekit.report.candidates import Candidate, of_bench, of_tuned
from edgekit.report.evidence import Known
from edgekit.report.figures import digits, size, times
from edgekit.report.kept import points
from edgekit.tune.results import Tuned


class Headline(NamedTuple):
    """The verdict: a sentence, what else is to be said at once, and figures with what each is."""

    sentence: str
    more: tuple[str, ...]
    figures: tuple[tuple[str, str], ...]


def headline(known: Known) -> Headline:
    """Say in one sentence what is the fastest inside the budget, and what it cost."""
    tuned = known.raced
    if tuned is not None:
        tried = of_tuned(tuned)
        chosen = next((one for one in tried if one.outcome == "chosen"), None)
        budget = " and ".join(map(str, tuned.budgets))
        limit = f"The budget is {budget}." if budget else "No budget was set."
        chose = f"Chosen: {tuned.winner.variant}: {tuned.why.rstrip('.')}."
        stopped = () if tuned.finished else ("The search ended before everything was tried.",)
        if not tuned.finished and (chosen is None or chosen.label == tuned.baseline):
            return Headline(*_unfinished(tuned, tried), ())
        said = _said(
            chosen, against=tuned.baseline, inside=" inside the budget" if budget else "", of=tried
        )
        more = (chose, limit, *said.more, *_beside_original(known.by_batch), *stopped)
        return said._replace(more=tuple(filter(None, more)))
    if known.benches:
        report = known.by_batch[0]
        rows = of_bench(report)
        off = {row.label for row in report.rows if row.mismatch}
        variants = [one for one in rows if not one.is_original and one.label not in off]
        fastest = min(variants, key=_p50, default=None)
        said = _said(fastest, against=report.bench.baseline, inside="", of=variants)
        return said._replace(
            more=(
                *said.more,
                "No budget was set: 'edgekit tune' looks for the fastest inside of one.",
            )
        )
    if known.explained is not None:
        first = min(known.explained.variants, key=lambda one: one.p50_ms)
        sentence = f"{first.label} takes {digits(first.p50_ms)} ms a call."
        return Headline(sentence, (), ((f"{digits(first.p50_ms)} ms", "p50 a call"),))
    if not known.sensitivities:
        return Headline(f"Nothing was measured of {known.package.name}.", (), ())
    looked = known.sensitivities[-1]
    sentence = f"What {looked.scheme} costs {looked.variant} is known of each {looked.by}."
    return Headline(sentence, ("No time was measured: run 'edgekit bench'.",), ())


def cost_in_words(quality: Quality | None) -> str:
    """Say what a candidate lost of the original's accuracy, with the bound on the harmful side."""
    if quality is None:
        return "at a cost in accuracy that wasn't measured"
    if quality.drop is not None:
        drop = quality.drop
        if drop.value <= 0:
            return f"at no drop in accuracy (at most {points(drop.high)})"
        return f"at a drop in accuracy of {points(drop.value)} (at most {points(drop.high)})"
    if quality.kept_agreement is not None:
        kept = quality.kept_agreement
        return (
            f"with {100 * kept.value:.2f} % of the original's classes (at least "
            f"{100 * kept.low:.2f} %)"
        )
    if quality.cosine is not None:
        return (
            f"at a cosine of {quality.cosine.value:.5f} to the original's answers (at least "
            f"{quality.cosine.low:.5f})"
        )
    return "at a cost in accuracy that these cases can't tell"


def measured_on(quality: Quality | None) -> str:
    """Say what accuracy was measured on; nothing where it wasn't."""
    if quality is None:
        return ""
    made = "made-up" if quality.synthetic else "held-out"
    return (
        f"Accuracy was measured on {quality.cases:,} {made} cases ({quality.dataset}); what is "
        "said to be at most or at least holds with 95 %."
    )


def _said(
    fastest: Candidate | None, *, against: str, inside: str, of: Sequence[Candidate]
) -> Headline:
    if fastest is None or fastest.p50_ms is None:
        return Headline(f"Nothing{inside} could be timed.", (), ())
    gain = fastest.speedup
    if gain is None or fastest.label == against:
        timed = sum(one.p50_ms is not None for one in of)
        beaten = f"No other of {timed} candidates" if timed > 1 else "Nothing"
        sentence = (
            f"{fastest.label} is the fastest{inside}: {beaten.lower()} beats it by more than noise."
        )
    elif gain.low > 1:
        sentence = (
            f"{fastest.label} is the fastest{inside}: {times(gain)} as fast as {against}, "
            f"{cost_in_words(fastest.quality)}."
        )
    else:
        sentence = (
            f"Nothing{inside} is faster than {against} by more than noise; the nearest is "
            f"{fastest.label}, at {times(gain)}."
        )
    on = measured_on(fastest.quality)
    return Headline(sentence, (on,) if on else (), _figures(fastest, against))


def _unfinished(tuned: Tuned, tried: Sequence[Candidate]) -> tuple[str, tuple[str, ...]]:
    """Say that nothing was decided, and what was ahead when the search ended."""
    sentence = f"Nothing was chosen over {tuned.baseline}: the search ended before the last race."
    ahead = [one for one in tried if one.inside and one.speedup is not None]
    first = min(ahead, key=_p50, default=None)
    if first is None or first.speedup is None:
        return sentence, ()
    said = (
        f"Ahead was {first.label}, {times(first.speedup)} as fast, {cost_in_words(first.quality)}."
    )
    return sentence, (said, "'edgekit tune' goes on from here.")


def _figures(fastest: Candidate, against: str) -> tuple[tuple[str, str], ...]:
    found = []
    gain = fastest.speedup
    if gain is not None and gain.low > 1:
        interval = f"{digits(gain.low)} to {digits(gain.high)} with 95 %"
        found.append((f"×{digits(gain.value)}", f"as fast as {against}; {interval}"))
    if fastest.p50_ms is not None:
        found.append((f"{digits(fastest.p50_ms.value)} ms", "p50 a call"))
    quality = fastest.quality
    if quality is not None and quality.drop is not None:
        most = f"drop in accuracy, at most {points(quality.drop.high)} with 95 %"
        found.append((points(quality.drop.value), most))
    elif quality is not None and quality.kept_agreement is not None:
        found.append((f"{100 * quality.kept_agreement.value:.2f} %", "of the original's classes"))
    elif quality is not None and quality.cosine is not None:
        found.append((f"{quality.cosine.value:.5f}", "cosine to the original's answers"))
    if fastest.size_bytes is not None:
        found.append((size(fastest.size_bytes), "on disk"))
    return tuple(found)


def _beside_original(benches: Sequence[BenchReport]) -> tuple[str, ...]:
    """Say how the variants of a bench compare with the original, which tuning doesn't run."""
    if not benches:
        return ()
    rows = of_bench(benches[0])
    fastest = min((one for one in rows if not one.is_original), key=_p50, default=None)
    originals = {one.label for one in rows if one.is_original}
    if fastest is None or fastest.speedup is None or benches[0].bench.baseline not in originals:
        return ()
    return (
        f"In a bench beside it {fastest.label} was the fastest, {times(fastest.speedup)} as fast "
        f"as {benches[0].bench.baseline}.",
    )


def _p50(candidate: Candidate) -> float:
    return candidate.p50_ms.value if candidate.p50_ms is not None else float("inf")
