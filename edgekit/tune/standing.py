"""How things stand in a search: who was tried, how far each came, and what became of them."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from edgekit import machine as machines
from edgekit.budgets import accepted, judge_all
from edgekit.measure.keeping import file_hashes
from edgekit.measure.results import Bench, Quality
from edgekit.measure.statistics import p50_estimate_ms
from edgekit.package.choices import SCHEMA_VERSION, Chosen
from edgekit.package.reading import files_of
from edgekit.package.values import Choice, SessionChoice
from edgekit.terms import Outcome
from edgekit.tune.building import Built
from edgekit.tune.deciding import Entrant, faster, front, loss
from edgekit.tune.fates import brought_to, fate, slowness, why
from edgekit.tune.memory import size_bytes
from edgekit.tune.racing import Race
from edgekit.tune.results import Tried, Tuned
from edgekit.tune.setting import Setting
from edgekit.tune.steps import OPTIMIZED, of_optimized
from edgekit.tune.ways import Way, session_in_words

_RUNNING: Outcome = "beaten"
"""What stands of a candidate while it is still in the race."""
_RACED: tuple[Outcome, ...] = ("chosen", "kept", "beaten", "slower")
"""What becomes of those who ran and keep the budget: another race may make it something else."""
_HELD_TO = "the float variant in its usual session: what all others are held to"


class Standing:
    """What is known so far. `setting` is replaced when the package gets other variants."""

    def __init__(
        self, setting: Setting, *, made: Sequence[str] = (), races: Sequence[Bench] = ()
    ) -> None:
        self.setting = setting
        self.stage = 0
        self.raced_last = False
        self.threads = machines.threads_available()
        self._made = list(made)
        self._tried: dict[str, Tried] = {}
        self._ways: dict[str, Way] = {}
        self._qualities: dict[str, Quality] = {}
        self._races = list(races)
        self._notes = list(setting.notes)
        self._winner: Entrant | None = None
        self._why = ""
        self._skipped = False
        self.take(setting.track.baseline)

    def note(self, sentence: str) -> None:
        """Remember something that its reader must know."""
        self._notes.append(sentence)

    def skip(self, what: str) -> None:
        """Remember what there was no time for: run again, the search goes on with it."""
        self._skipped = True
        self.note(f"{what}: there was no time for it")

    def add(self, tried: Tried) -> None:
        """Take over a row that is known already."""
        self._tried[tried.label] = tried

    def built(self, built: Built) -> None:
        """Take down what became of making a variant."""
        if built.variant is not None:
            self._made.append(built.variant)
            parent = built.step.parent or self.setting.parent.name
            for name, quality in ((built.variant, built.quality), (parent, built.parent_quality)):
                if quality is not None:
                    self._qualities[name] = quality
            return
        session = SessionChoice(provider=built.step.provider)
        label = f"{built.step.name} · {session_in_words(session)}"
        self.add(Tried(label, built.step.name, session, built.outcome, built.reason))

    def take(self, way: Way) -> bool:
        """Take a candidate in; False where it is in already."""
        if way.label in self._ways:
            return False
        self._ways[way.label] = way
        return True

    def resume(self, way: Way, tried: Tried) -> None:
        """Take a candidate in with what an earlier search measured of it, as of a first race."""
        self.take(way)
        self.stage = max(self.stage, 1)
        outcome = _RUNNING if tried.outcome in _RACED else tried.outcome
        self.add(msgspec.structs.replace(tried, stage=1, outcome=outcome))

    def ran(self, race: Race, ways: Sequence[Way]) -> None:
        """Take down a race: times, how right everyone is, and who fell out."""
        self.stage += 1
        self._races += race.benches
        for way in ways:
            self.take(way)
        speedups = race.speedups
        for label, measured in race.measured.items():
            before = self._tried.get(label)
            quality = measured.quality or self.quality_of(self._ways[label])
            judged = quality is not None and not self._is_float(self._ways[label])
            verdicts = judge_all(self.setting.data.budgets, quality) if judged and quality else ()
            right = accepted(verdicts, undecided=self.setting.data.undecided)
            outcome: Outcome = _RUNNING
            reason = before.reason if before else ""
            if not right:
                failed = [v for v in verdicts if v.ruling == "failed"]
                outcome = "over budget" if failed else "undecided"
                reason = "; ".join(v.sentence for v in (failed or verdicts) if v.ruling != "passed")
            way = self._ways[label]
            self._tried[label] = Tried(
                label=label,
                variant=way.variant,
                session=way.session,
                outcome=outcome,
                reason=reason,
                stage=self.stage,
                p50_ms=p50_estimate_ms([start.rounds for start in measured.starts]),
                speedup=speedups.get(label),
                quality=quality,
                verdicts=verdicts,
                size_bytes=size_bytes(self.setting.package, way.variant),
            )
        for left in race.left_out:
            way = self._ways[left.label]
            self._tried[left.label] = Tried(
                left.label, way.variant, way.session, "failed", left.reason
            )

    def _is_float(self, way: Way) -> bool:
        """Tell whether a candidate computes what the baseline does, which is what nothing is lost
        against."""
        ours, theirs = way.session, self.setting.track.baseline.session
        return way.variant == self.setting.track.baseline.variant and (
            (ours.provider, ours.provider_options) == (theirs.provider, theirs.provider_options)
        )

    def quality_of(self, way: Way) -> Quality | None:
        """Say how right a candidate is, where that is known: from when its variant was made, or
        from one that differs from it in how it runs alone.

        Options say what a provider computes in: of those measured, the one that shares most.
        """
        if self._plain(way) and way.variant in self._qualities:
            return self._qualities[way.variant]
        alike = [
            other
            for other in self._tried.values()
            if other.quality is not None
            and (other.variant, other.session.provider) == (way.variant, way.session.provider)
            and other.session.provider_options.items() <= way.session.provider_options.items()
        ]
        nearest = max(alike, key=lambda one: len(one.session.provider_options), default=None)
        return nearest.quality if nearest is not None else None

    def judged(self, way: Way) -> bool:
        """Tell whether the very numbers that a candidate computes in were judged already."""
        if self._plain(way) and way.variant in self._qualities:
            return True
        options = way.session.provider_options
        return any(
            other.quality is not None
            and (other.variant, other.session.provider) == (way.variant, way.session.provider)
            and other.session.provider_options == options
            for other in self._tried.values()
        )

    def _plain(self, way: Way) -> bool:
        """Tell whether a candidate computes as variants are judged when they are made."""
        usual = SessionChoice()
        computing = (way.session.provider, way.session.provider_options)
        return computing == (usual.provider, usual.provider_options)

    def accepted(self, ways: Sequence[Way]) -> list[Way]:
        """Name those that keep the budget, the fastest first."""
        running = [w for w in ways if self._still(w)]
        return self.fastest(running)

    def _still(self, way: Way) -> bool:
        tried = self._tried.get(way.label)
        return tried is not None and tried.outcome not in ("over budget", "undecided", "failed")

    def fastest(self, ways: Sequence[Way]) -> list[Way]:
        """Put candidates in order, the fastest first, by the last race that each ran in."""

        def speed(way: Way) -> float:
            tried = self._tried.get(way.label)
            return tried.speedup.value if tried is not None and tried.speedup is not None else 0.0

        return sorted((way for way in ways if self._still(way)), key=speed, reverse=True)

    def entrants(self, ways: Sequence[Way], race: Race) -> list[Entrant]:
        """Gather what decides about those who ran in the last race."""
        speedups, measured = race.speedups, race.measured
        groups = {one.label: n for n, b in enumerate(race.benches) for one in b.measurements}
        return [
            Entrant(
                way,
                measured[way.label],
                speedups[way.label],
                self._tried[way.label].quality,
                size_bytes(self.setting.package, way.variant),
                groups[way.label],
            )
            for way in ways
            if way.label in speedups and self._still(way)
        ]

    def decide(self, winner: Entrant | None, alike: Sequence[Entrant]) -> None:
        """Say of everyone what became of them."""
        self._winner = winner
        baseline = self.setting.track.baseline.label
        won = winner.way.label if winner is not None else baseline
        ran = {
            label: tried
            for label, tried in self._tried.items()
            if label in self._ways and tried.outcome == _RUNNING and tried.p50_ms is not None
        }
        on_front = front(
            {
                label: (slowness(tried), round(loss(tried.quality), 6), tried.size_bytes or 0)
                for label, tried in ran.items()
            }
        )
        self._why = why(winner, alike, raced=self.raced_last)
        now = self._tried[baseline].p50_ms if baseline in self._tried else None
        for label, tried in ran.items():
            outcome, reason = fate(
                tried,
                won=won,
                best=winner.speedup.value if winner is not None else 1.0,
                alike=[entrant.way.label for entrant in alike],
                on_front=label in on_front,
                stage=self.stage if self.raced_last else None,
            )
            if label in (won, baseline):
                reason = self._why if label == won else _HELD_TO
            self._tried[label] = msgspec.structs.replace(
                tried,
                outcome=outcome,
                reason=reason,
                on_front=label in on_front,
                p50_ms=brought_to(now, tried) if tried.stage < self.stage else tried.p50_ms,
            )

    def unwanted(self) -> list[str]:
        """Name the variants that the search made, and that nobody would choose."""
        wanted = {tried.variant for tried in self._tried.values() if tried.on_front}
        if any(of_optimized(tried.variant) for tried in self._not_tried()):
            wanted.add(OPTIMIZED)
        wanted |= {choice.variant for choice in (self._choice(), *self._by_provider().values())}
        there = {variant.name for variant in self.setting.package.variants}
        return [name for name in dict.fromkeys(self._made) if name in there - wanted]

    def _choice(self) -> Choice:
        way = self._winner.way if self._winner is not None else self.setting.track.baseline
        return Choice(way.variant, way.session, self._why, self.setting.speed_key)

    def _by_provider(self) -> dict[str, Choice]:
        """Find the fastest on each provider that keeps the budget, among those that ran."""
        found: dict[str, Choice] = {}
        ran = [way for way in self._ways.values() if self._still(way)]
        best = {way.session.provider: way for way in reversed(self.fastest(ran))}
        for name, way in best.items():
            tried = self._tried[way.label]
            if tried.speedup is None or tried.p50_ms is None:
                continue
            if name == self.setting.track.baseline.session.provider and not faster(tried.speedup):
                continue
            reason = f"the fastest on {name}: ×{tried.speedup.value:.2f} of the float variant"
            found[name] = Choice(way.variant, way.session, reason, self.setting.speed_key)
        winner = self._choice()
        return {**found, winner.session.provider: winner}

    def tuned(self, *, took_s: float, limit_s: float | None, finished: bool = True) -> Tuned:
        """Put together all that is known; what is still open counts as beaten by nobody."""
        setting = self.setting
        return Tuned(
            package=setting.package.name,
            machine=setting.track.machine,
            speed_key=setting.speed_key,
            budgets=setting.data.budgets,
            undecided=setting.data.undecided,
            baseline=setting.track.baseline.label,
            batch=setting.track.batch,
            sizes=setting.track.sizes,
            tried=tuple(self._tried.values()),
            winner=self._choice(),
            by_provider=self._by_provider(),
            why=self._why or "the search has not come to its end",
            took_s=took_s,
            time_limit_s=limit_s,
            finished=finished and self.raced_last and not self._skipped and not self._not_tried(),
            data_sha256=setting.evaluation.sha256,
            notes=tuple(self._notes),
            files=file_hashes(setting.package, setting.package.variants),
            made=tuple(dict.fromkeys(self._made)),
            races=tuple(self._races),
        )

    def _not_tried(self) -> list[Tried]:
        return [tried for tried in self._tried.values() if tried.outcome == "not tried"]

    def chosen(self) -> Chosen:
        """Write down what `edgekit.load` reads."""
        setting = self.setting
        winner, by_provider = self._choice(), self._by_provider()
        named = {choice.variant for choice in (winner, *by_provider.values())}
        return Chosen(
            schema_version=SCHEMA_VERSION,
            speed_key=setting.speed_key,
            machine=machines.summary(setting.track.machine),
            winner=winner,
            by_provider=by_provider,
            files={
                file: setting.package.files[file].sha256
                for variant in setting.package.variants
                if variant.name in named
                for file in files_of(variant)
            },
            budget=" and ".join(map(str, setting.data.budgets)),
        )
