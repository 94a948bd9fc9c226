"""What a search ends with: what became of everyone, what is chosen, and what is kept of it."""

from __future__ import annotations

import msgspec

from edgekit import machine as machines
from edgekit.measure.keeping import file_hashes
from edgekit.package.choices import SCHEMA_VERSION, Chosen
from edgekit.package.reading import files_of
from edgekit.package.values import Choice
from edgekit.tune.deciding import Decision, faster, front, loss
from edgekit.tune.fates import brought_to, fate, slowness, why
from edgekit.tune.results import Tuned
from edgekit.tune.standing import RUNNING, Standing
from edgekit.tune.steps import OPTIMIZED, of_optimized
from edgekit.tune.ways import Way

_HELD_TO = "in its usual session: what all others are held to"


def decide(standing: Standing, decided: Decision, *, before: Chosen | None = None) -> Choice:
    """Say of everyone what became of them, and return what was chosen.

    `before` is what was chosen before, where there was no time for a last race: it stays.
    """
    winner, baseline = decided.winner, standing.setting.track.baseline
    won = winner.way if winner is not None else baseline
    against = standing.setting.baseline
    reason = why(decided, raced=standing.raced_last, complete=standing.complete, against=against)
    if before is not None:
        won = Way(before.winner.variant, before.winner.session)
        reason = f"{before.winner.reason}; chosen before, inside {before.budget}"
    ran = {
        label: tried
        for label, tried in standing.tried.items()
        if label in standing.ways and tried.outcome == RUNNING and tried.p50_ms is not None
    }
    on_front = front(
        {
            label: (slowness(tried), round(loss(tried.quality), 6), tried.size_bytes or 0)
            for label, tried in ran.items()
        }
    )
    held_to = standing.tried.get(baseline.label)
    now = held_to.p50_ms if held_to is not None else None
    for label, tried in ran.items():
        outcome, said = fate(
            tried,
            won=won.label,
            best=winner.speedup.value if winner is not None else 1.0,
            alike=[entrant.way.label for entrant in decided.alike],
            on_front=label in on_front,
            stage=standing.stage if standing.raced_last else None,
            stayed=decided.stayed,
            against=against,
        )
        if label in (won.label, baseline.label):
            said = reason if label == won.label else f"{against} {_HELD_TO}"
        standing.tried[label] = msgspec.structs.replace(
            tried,
            outcome=outcome,
            reason=said,
            on_front=label in on_front,
            p50_ms=brought_to(now, tried) if tried.stage < standing.stage else tried.p50_ms,
        )
    return Choice(won.variant, won.session, reason, standing.setting.speed_key)


def not_ended(standing: Standing) -> Choice:
    """Choose the float variant, as long as nothing is decided."""
    baseline = standing.setting.track.baseline
    said = "the search has not come to its end"
    return Choice(baseline.variant, baseline.session, said, standing.setting.speed_key)


def unwanted(standing: Standing, winner: Choice) -> list[str]:
    """Name the variants that the search made, and that nobody would choose."""
    wanted = {tried.variant for tried in standing.tried.values() if tried.on_front}
    if any(of_optimized(tried.variant) for tried in standing.not_tried()):
        wanted.add(OPTIMIZED)
    wanted |= {choice.variant for choice in by_provider(standing, winner).values()}
    there = {variant.name for variant in standing.setting.package.variants}
    return [name for name in dict.fromkeys(standing.made) if name in there - wanted]


def by_provider(standing: Standing, winner: Choice) -> dict[str, Choice]:
    """Find the fastest on each provider that keeps the budget, among those that ran."""
    setting = standing.setting
    found: dict[str, Choice] = {}
    ran = standing.fastest(list(standing.ways.values()))
    for name, way in {way.session.provider: way for way in reversed(ran)}.items():
        tried = standing.tried[way.label]
        if tried.speedup is None or tried.p50_ms is None:
            continue
        if name == setting.track.baseline.session.provider and not faster(tried.speedup):
            continue
        reason = f"the fastest on {name}: ×{tried.speedup.value:.2f} of {setting.baseline}"
        found[name] = Choice(way.variant, way.session, reason, setting.speed_key)
    return {**found, winner.session.provider: winner}


def tuned(
    standing: Standing,
    winner: Choice,
    *,
    took_s: float,
    limit_s: float | None,
    finished: bool = True,
) -> Tuned:
    """Put together all that is known; what is still open counts as beaten by nobody."""
    setting = standing.setting
    return Tuned(
        package=setting.package.name,
        machine=setting.track.machine,
        speed_key=setting.speed_key,
        budgets=setting.data.budgets,
        undecided=setting.data.undecided,
        baseline=setting.track.baseline.label,
        batch=setting.track.batch,
        sizes=setting.track.sizes,
        tried=tuple(standing.tried.values()),
        winner=winner,
        by_provider=by_provider(standing, winner),
        why=winner.reason,
        took_s=took_s,
        time_limit_s=limit_s,
        finished=finished and standing.complete,
        data_sha256=setting.evaluation.sha256,
        notes=tuple(standing.notes),
        files=file_hashes(setting.package, setting.package.variants),
        made=tuple(dict.fromkeys(standing.made)),
        races=tuple(standing.races),
    )


def chosen(standing: Standing, winner: Choice) -> Chosen:
    """Write down what `edgekit.load` reads."""
    setting = standing.setting
    found = by_provider(standing, winner)
    named = {choice.variant for choice in found.values()}
    return Chosen(
        schema_version=SCHEMA_VERSION,
        speed_key=setting.speed_key,
        machine=machines.summary(setting.track.machine),
        winner=winner,
        by_provider=found,
        files={
            file: setting.package.files[file].sha256
            for variant in setting.package.variants
            if variant.name in named
            for file in files_of(variant)
        },
        budget=" and ".join(map(str, setting.data.budgets)),
    )
