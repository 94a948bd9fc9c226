"""Ctrl-C in the middle: exit code 130, one sentence, nothing half-written, no orphans."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from edgekit.package import reading

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals are sent as POSIX has them")

COMMAND = (sys.executable, "-c", "from edgekit.cli.main import main; main()")
SLOW = """
import time
from pathlib import Path

def make():
    Path("begun").touch()
    time.sleep(1000)
"""


def interrupted(
    arguments: list[str],
    ready: Callable[[psutil.Process], bool],
    *,
    folder: Path,
    whole_group: bool,
    environment: dict[str, str],
    signum: signal.Signals = signal.SIGINT,
) -> tuple[int, str, str]:
    """Send a signal once `ready`, to the process or, as a terminal does, to its whole group."""
    process = subprocess.Popen(
        [*COMMAND, *arguments],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    children: list[psutil.Process] = []
    try:
        seen = psutil.Process(process.pid)
        deadline = time.monotonic() + 60
        while not ready(seen):
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.02)
        children = seen.children(recursive=True)
        assert children
        (os.killpg if whole_group else os.kill)(process.pid, signum)
        out, err = process.communicate(timeout=30)
        _, alive = psutil.wait_procs(children, timeout=10)
        assert alive == []
    finally:
        for left in [process, *children]:
            with contextlib.suppress(psutil.NoSuchProcess, ProcessLookupError):
                left.kill()
        process.wait()
    return process.returncode, out, err


@pytest.mark.parametrize("whole_group", [False, True], ids=["process", "group"])
def test_ctrl_c_ends_an_export(
    whole_group: bool, tmp_path: Path, environment: dict[str, str]
) -> None:
    pytest.importorskip("torch", reason="an export's worker imports torch")
    (tmp_path / "slow.py").write_text(SLOW)
    code, out, err = interrupted(
        ["export", "slow.py:make", "-o", "made.edgekit"],
        lambda _: (tmp_path / "begun").exists(),
        folder=tmp_path,
        whole_group=whole_group,
        environment=environment,
    )
    assert (code, out) == (130, "")
    assert err.split("\n", 1)[1].strip() == "Interrupted; nothing was left half-written."
    left = {entry.name for entry in tmp_path.iterdir()} - {"__pycache__"}
    assert left == {"slow.py", "begun"}


@pytest.mark.parametrize("whole_group", [False, True], ids=["process", "group"])
def test_ctrl_c_ends_a_bench(
    whole_group: bool, tiny_package: Path, environment: dict[str, str]
) -> None:
    before = sorted(entry.name for entry in tiny_package.iterdir())
    code, out, err = interrupted(
        ["bench", str(tiny_package), "--starts", "200", "--threads", "1"],
        lambda process: any(child.cpu_times().user > 0.2 for child in process.children()),
        folder=tiny_package.parent,
        whole_group=whole_group,
        environment=environment,
    )
    assert (code, out) == (130, "")
    assert err.rstrip().splitlines()[-1] == "Interrupted; nothing was left half-written."
    assert "Traceback" not in err
    assert sorted(entry.name for entry in tiny_package.iterdir()) == before


def test_a_request_to_end_leaves_no_scratch(
    tiny_package: Path, tmp_path: Path, environment: dict[str, str]
) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    (tmp_path / "slow_data.py").write_text(
        "import time\nimport numpy as np\nfrom pathlib import Path\n"
        f"begun = Path({str(tmp_path)!r}, 'begun')\n"
        "def cases():\n"
        "    yield {'x': np.zeros((1, 4), np.float32)}\n"
        f"    if any(p.name.startswith('edgekit-') for p in Path({str(scratch)!r}).iterdir()):\n"
        "        begun.touch()\n        time.sleep(1000)\n"
    )
    before = reading.identity(tiny_package)
    code, out, err = interrupted(
        [
            *f"quantize {tiny_package} --scheme int8-static".split(),
            "--calib-data",
            "slow_data.py:cases",
        ],
        lambda _: (tmp_path / "begun").exists(),
        folder=tmp_path,
        whole_group=False,
        environment={**environment, "TMPDIR": str(scratch)},
        signum=signal.SIGTERM,
    )
    assert (code, out) == (130, "")
    assert err.rstrip().splitlines()[-1] == "Interrupted; nothing was left half-written."
    assert not [entry.name for entry in scratch.iterdir() if entry.name.startswith("edgekit-")]
    assert reading.identity(tiny_package) == before


def test_ctrl_c_ends_a_search_which_then_goes_on(
    tiny_package: Path, environment: dict[str, str]
) -> None:
    pytest.importorskip("onnx", reason="variants are made with onnx")
    kept = tiny_package / "measured" / "tune"
    search = ["tune", str(tiny_package), "--provider", "cpu", "--min-cosine", "0.9"]
    code, out, err = interrupted(
        search,
        lambda process: kept.exists() and bool(process.children()),
        folder=tiny_package.parent,
        whole_group=True,
        environment=environment,
    )
    assert (code, out) == (130, "")
    assert err.rstrip().splitlines()[-1] == "Interrupted; nothing was left half-written."
    assert not (tiny_package / "measured" / "choice").exists(), "nothing was chosen yet"
    names = {variant.name for variant in reading.read(tiny_package).variants}
    done = subprocess.run(
        [*COMMAND, *search, "--time-limit", "12s"],
        cwd=tiny_package.parent,
        env=environment,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Chosen: " in done.stdout
    assert not any(f"making {name} " in done.stderr for name in names), "made once"
