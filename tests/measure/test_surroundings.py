from __future__ import annotations

import subprocess
import sys

import psutil
import pytest

from edgekit.measure.surroundings import busy


def test_a_process_that_keeps_a_core_busy_is_noticed() -> None:
    hog = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        said = busy(watched_s=0.5)
    finally:
        hog.kill()
        hog.wait()
    assert said is not None
    assert "other processes kept" in said


@pytest.mark.parametrize(("percent", "said"), [(0.0, False), (12.4, False), (12.6, True)])
def test_a_quarter_of_a_core_is_the_limit(
    percent: float, said: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(psutil, "cpu_count", lambda: 2)
    monkeypatch.setattr(psutil, "cpu_percent", lambda interval: percent)
    assert (busy() is not None) == said
