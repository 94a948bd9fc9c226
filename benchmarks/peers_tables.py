"""What the races say: who is fastest inside the budget, and edgekit beside the best peer."""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec

from benchmarks.peers_engines import TUNED
from benchmarks.peers_models import MODELS
from benchmarks.peers_values import Raced, Results, Row
from benchmarks.quantize_judging import as_markdown
from edgekit import machine
from edgekit.measure.statistics import p50_ms, round_p50s, speedup
from edgekit.metrics import Estimate

MAX_DROP_PP, MIN_COSINE = 0.5, 0.99


class Beside(msgspec.Struct, frozen=True):
    """edgekit's row beside the fastest peer inside the budget: how many times faster it is."""

    ours: Row
    peer: Row
    faster: Estimate


def inside(row: Row) -> bool:
    """Tell whether a row's answers keep the budget; without judged answers it doesn't."""
    if row.kept is None:
        return False
    if row.kept.drop_pp is not None:
        return row.kept.drop_pp <= MAX_DROP_PP
    return row.kept.cosine is not None and row.kept.cosine >= MIN_COSINE


def beside_best_peer(raced: Raced) -> Beside | None:
    """Hold edgekit's row against the fastest peer, both inside the budget.

    edgekit's row is the tuned winner; where nothing was tuned, its fastest variant.
    """
    peers = [row for row in raced.rows if not row.ours and inside(row)]
    tuned = [row for row in raced.rows if row.ours and row.label == TUNED]
    ours = [row for row in tuned or raced.rows if row.ours and inside(row)]
    if not peers or not ours:
        return None
    first = raced.rows[0]

    def fastest(rows: list[Row]) -> Row:
        return max(rows, key=lambda row: speedup(first.starts, row.starts).value)

    peer, our = fastest(peers), fastest(ours)
    return Beside(our, peer, speedup(peer.starts, our.starts))


def geometric_mean(found: Sequence[Beside]) -> Estimate | None:
    """Estimate the geometric mean over models of edgekit's speedups, its interval from the starts.

    A start's mean is that of its models' ratios; to `speedup` each is one round of one sample.
    None without a model, or where models have other numbers of starts.
    """
    ratios = [
        [_middle(b, o) for b, o in zip(p, q, strict=True)]
        for p, q in ((round_p50s(one.peer.starts), round_p50s(one.ours.starts)) for one in found)
    ]
    if not ratios or len({len(by_start) for by_start in ratios}) != 1:
        return None
    means = [math.exp(math.fsum(map(math.log, s)) / len(s)) for s in zip(*ratios, strict=True)]
    return speedup([[[1e9 * mean]] for mean in means], [[[1e9]] for _ in means])


def _middle(before: Sequence[float], after: Sequence[float]) -> float:
    ordered = sorted(b / a for b, a in zip(before, after, strict=True))
    half = len(ordered) // 2
    return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2


def lines(results: Results) -> list[list[str]]:
    """Lay out a machine's table, its head first: a row an engine, a column a model.

    A cell says how many times faster than eager PyTorch, the first row how many ms that is.
    """
    models = list(results.raced.values())
    labels = list(dict.fromkeys(label for one in models for label in _labels(one)))
    made = [["", *(one.model for one in models)]]
    made += [[label, *(_cell(one, label) for one in models)] for label in labels]
    found = [beside_best_peer(one) for one in models]
    made.append(["**edgekit beside the best peer**", *(_beside(one) for one in found)])
    return made


def parts(results: Results) -> list[Results]:
    """Cut a machine's results into those of the models that the goals name, and all others."""
    named = {name for name, model in MODELS.items() if not model.further}
    cut = [
        {name: one for name, one in results.raced.items() if (name in named) is first}
        for first in (True, False)
    ]
    return [msgspec.structs.replace(results, raced=raced) for raced in cut if raced]


def markdown(results: Results) -> str:
    """Write a machine's tables and what they come to."""
    here = results.machine
    text = [f"**{machine.summary(here)}** ({', '.join(here.isa)}), {results.threads} threads"]
    for part in parts(results):
        text += [as_markdown(lines(part)), verdict(part)]
    return "\n\n".join(text)


def verdict(results: Results) -> str:
    """Say what the geometric mean is, and on how many models edgekit is as fast."""
    found = [one for one in map(beside_best_peer, results.raced.values()) if one is not None]
    mean = geometric_mean(found)
    if mean is None:
        return "There is no model on which edgekit and a peer keep the budget."
    as_fast = sum(one.faster.high >= 1 for one in found)
    return (
        f"edgekit is as fast as the best peer inside the budget, or faster, within the interval on "
        f"{as_fast} of {len(found)} models; the geometric mean is {_times(mean)}."
    )


def _labels(raced: Raced) -> list[str]:
    return [*(row.label for row in raced.rows), *raced.left_out]


def _cell(raced: Raced, label: str) -> str:
    row = next((one for one in raced.rows if one.label == label), None)
    if row is None:
        return "–"
    first = raced.rows[0]
    if row is first:
        return f"{p50_ms(row.starts):.3g} ms"
    ratio = speedup(first.starts, row.starts)
    text = f"×{ratio.value:.2f}"
    return text if inside(row) else f"~~{text}~~ {_lost(row)}"


def _lost(row: Row) -> str:
    if row.kept is None:
        return "(not judged)"
    if row.kept.drop_pp is not None:
        return f"(−{row.kept.drop_pp:.1f} pp)"
    return f"(cosine {row.kept.cosine:.3f})"


def _beside(found: Beside | None) -> str:
    return "–" if found is None else f"{_times(found.faster)} {found.peer.label}"


def _times(found: Estimate) -> str:
    return f"×{found.value:.2f} ({found.low:.2f}–{found.high:.2f})"
