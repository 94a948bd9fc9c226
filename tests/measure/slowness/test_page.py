"""docs/explain.md: what it shows runs as it stands, and names every reason."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from edgekit.measure.roofline.peaks import MachinePeaks, keep_peaks
from edgekit.measure.ways import How
from edgekit.terms import SlowReason, members

pytest.importorskip("onnx", reason="explanations read the graph")

PAGE = Path(__file__).parents[3] / "docs" / "explain.md"
_FENCE = re.compile(r"^```(\S+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def test_the_examples_of_the_page_run(made_up_peaks: MachinePeaks, tmp_path: Path) -> None:
    keep_peaks(How(), made_up_peaks)
    scripts = str(Path(sys.executable).parent)
    environment = {**os.environ, "PATH": os.pathsep.join([scripts, os.environ["PATH"]])}
    said = ""
    for language, body in _FENCE.findall(PAGE.read_text(encoding="utf-8")):
        command = {"python": [sys.executable, "-c"], "bash": ["bash", "-euc"]}.get(language)
        if command is None:
            continue
        done = subprocess.run(
            [*command, body],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        assert done.returncode == 0, f"{body}\n{done.stdout}{done.stderr}"
        said += done.stdout
    assert "HardSigmoid and Mul, which fp32 has in the kernels before, run" in said
    assert "of what this machine can do, bound by " in said


@pytest.mark.parametrize("reason", members(SlowReason))
def test_every_reason_is_on_the_page(reason: SlowReason) -> None:
    assert f"\n| {reason} | " in PAGE.read_text(encoding="utf-8")
