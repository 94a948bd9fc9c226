"""How things stand in a search: who was tried, how far each came, and what is known of each."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from edgekit import machine as machines
from edgekit.budgets import accepted, judge_all
from edgekit.measure.results import Bench, Quality
from edgekit.measure.statistics import p50_estimate_ms
from edgekit.package.values import SessionChoice
from edgekit.terms import Outcome
from edgekit.tune.building import Built
from edgekit.tune.deciding import Entrant
from edgekit.tune.judged import judged, known_quality, same_numbers
from edgekit.tune.memory import size_bytes
from edgekit.tune.racing import Race
from edgekit.tune.results import Tried
from edgekit.tune.setting import Setting
from edgekit.tune.ways import Way, session_in_words

RUNNING: Outcome = "beaten"
"""What stands of a candidate while it is still in the race."""
_RACED: tuple[Outcome, ...] = ("chosen", "kept", "beaten", "slower")
"""What becomes of those who ran and keep the budget: another race may make it something else."""


class Standing:
    """What is known so far.

    Attributes:
        setting: replaced when the package gets other variants.
        stage: how many races there were.
        raced_last: whether the last of them was run.
        skipped: whether there was no time for something.
        tried: every candidate that something is known of, by label.
        ways: every candidate that was taken in, by label.
        made: the variants that the search added.
        races: the raw samples.
        notes: what a reader must know.
    """

    def __init__(
        self, setting: Setting, *, made: Sequence[str] = (), races: Sequence[Bench] = ()
    ) -> None:
        self.setting = setting
        self.stage = 0
        self.raced_last = False
        self.skipped = False
        self.threads = machines.threads_available()
        self.tried: dict[str, Tried] = {}
        self.ways: dict[str, Way] = {}
        self.made = list(made)
        self.races = list(races)
        self.notes = list(setting.notes)
        self._qualities: dict[str, Quality] = {}
        self.take(setting.track.baseline)

    def note(self, sentence: str) -> None:
        """Remember something that its reader must know."""
        self.notes.append(sentence)

    def skip(self, what: str) -> None:
        """Remember what there was no time for: run again, the search goes on with it."""
        self.skipped = True
        self.note(f"{what}: there was no time for it")

    def add(self, tried: Tried) -> None:
        """Take over a row that is known already."""
        self.tried[tried.label] = tried

    def built(self, built: Built) -> None:
        """Take down what became of making a variant."""
        if built.variant is not None:
            self.made.append(built.variant)
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
        if way.label in self.ways:
            return False
        self.ways[way.label] = way
        return True

    def resume(self, way: Way, tried: Tried) -> None:
        """Take a candidate in with what an earlier search measured of it, as of a first race."""
        self.take(way)
        self.stage = max(self.stage, 1)
        outcome = RUNNING if tried.outcome in _RACED else tried.outcome
        self.add(msgspec.structs.replace(tried, stage=1, outcome=outcome))

    def ran(self, race: Race, ways: Sequence[Way]) -> None:
        """Take down a race: times, how right everyone is, and who fell out."""
        self.stage += 1
        self.races += race.benches
        for way in ways:
            self.take(way)
        speedups = race.speedups
        for label, measured in race.measured.items():
            way = self.ways[label]
            before = self.tried.get(label)
            quality = measured.quality or self.quality_of(way)
            # Nothing is lost against what computes the baseline's own numbers.
            lossless = same_numbers(way, self.setting.track.baseline)
            verdicts = (
                judge_all(self.setting.data.budgets, quality) if quality and not lossless else ()
            )
            outcome, reason = RUNNING, before.reason if before else ""
            if not accepted(verdicts, undecided=self.setting.data.undecided):
                failed = [v for v in verdicts if v.ruling == "failed"]
                outcome = "over budget" if failed else "undecided"
                reason = "; ".join(v.sentence for v in (failed or verdicts) if v.ruling != "passed")
            self.tried[label] = Tried(
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
            way = self.ways[left.label]
            self.add(Tried(left.label, way.variant, way.session, "failed", left.reason))

    def quality_of(self, way: Way) -> Quality | None:
        """Say how right a candidate is, where that is known."""
        return known_quality(way, self.tried.values(), made=self._qualities)

    def judged(self, way: Way) -> bool:
        """Tell whether the very numbers that a candidate computes in were judged already."""
        return judged(way, self.tried.values(), made=self._qualities)

    def keeps(self, way: Way) -> bool:
        """Tell whether a candidate ran and keeps the budget, as far as is known."""
        tried = self.tried.get(way.label)
        return tried is not None and tried.outcome not in ("over budget", "undecided", "failed")

    def fastest(self, ways: Sequence[Way]) -> list[Way]:
        """Put those that keep the budget in order, the fastest first, by the last race that each
        ran in."""

        def speed(way: Way) -> float:
            speedup = self.tried[way.label].speedup
            return 0.0 if speedup is None else speedup.value

        return sorted(filter(self.keeps, ways), key=speed, reverse=True)

    def entrants(self, ways: Sequence[Way], race: Race) -> list[Entrant]:
        """Gather what decides about those who ran in the last race."""
        speedups, measured = race.speedups, race.measured
        groups = {one.label: n for n, b in enumerate(race.benches) for one in b.measurements}
        return [
            Entrant(
                way,
                measured[way.label],
                speedups[way.label],
                self.tried[way.label].quality,
                size_bytes(self.setting.package, way.variant),
                groups[way.label],
            )
            for way in ways
            if way.label in speedups and self.keeps(way)
        ]

    @property
    def complete(self) -> bool:
        """Whether there was time for everything."""
        return self.raced_last and not self.skipped and not self.not_tried()

    def not_tried(self) -> list[Tried]:
        """List the variants that there was no time to make."""
        return [tried for tried in self.tried.values() if tried.outcome == "not tried"]
