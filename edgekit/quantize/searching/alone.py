"""Models in which some nodes alone are quantized, run beside their float parent."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from edgekit.errors import BadValue
from edgekit.package.values import Target
from edgekit.quantize.scheme import Write, measured_in_place
from edgekit.quantize.searching.evaluation import Evaluation, Noise
from edgekit.quantize.searching.groups import NodeGroup


class Alone:
    """Writes models with some nodes quantized, and measures each.

    Args:
        write: writes a model, see `edgekit.quantize.scheme.Write`.
        evaluation: the cases, and the float parent's answers.
        nodes: all that can be quantized, by label.
        target: what models are made for.
        scratch: a folder that models lie in while they are measured.
    """

    def __init__(
        self,
        write: Write,
        evaluation: Evaluation,
        *,
        nodes: Sequence[str],
        target: Target,
        scratch: Path,
    ) -> None:
        self._write = write
        self._evaluation = evaluation
        self._nodes = nodes
        self._target = target
        self._folder = scratch / "alone"

    def noise(self, quantized: Collection[str]) -> Noise:
        """Measure a model with these nodes quantized and all others float.

        Raises what `Evaluation.noise` raises.
        """
        keep = tuple(name for name in self._nodes if name not in quantized)
        self._folder.mkdir()
        try:
            path = self._folder / "alone.onnx"
            made = self._write(path, keep)
            return self._evaluation.noise(measured_in_place(made, self._target.provider) or path)
        except BadValue:
            # A node that only moves numbers is quantized with its neighbours, and not without.
            return Noise(0.0, None, 1.0)
        finally:
            shutil.rmtree(self._folder)

    def each(
        self,
        units: Sequence[NodeGroup],
        *,
        wall_s: float,
        progress: Callable[[int, int], None] | None = None,
    ) -> dict[str, Noise]:
        """Measure each group alone, in their order, until the time is over; at least the first.

        Returns:
            What was measured, by the group's name.
        """
        ends = time.monotonic() + wall_s
        found: dict[str, Noise] = {}
        for done, unit in enumerate(units):
            if found and time.monotonic() > ends:
                break
            if progress is not None:
                progress(done, len(units))
            found[unit.name] = self.noise(unit.nodes)
        return found
