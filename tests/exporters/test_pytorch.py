"""The two ways in, from outside: each test starts as few processes as it can."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
from torch import nn

import edgekit
import exporters
from edgekit.errors import (
    BadValue,
    FactoryFailed,
    UnknownName,
    WorkerDied,
    WorkerTimeout,
    WouldOverwrite,
)
from edgekit.package import reading
from exporters.exportable import Exportable

WriteFile = Callable[..., Path]
HERE = Path(__file__)
REPEATED = """
    import random
    from pathlib import Path
    from typing import Literal

    import numpy as np
    import torch
    from torch import nn

    from edgekit.tensors import Case
    from exporters.exportable import Exportable
    from neighbour_of_alice import RATE

    class Net(nn.Module):
        def __init__(self, width, activation):
            super().__init__()
            self.layers = nn.Sequential(nn.Linear(4, width), nn.Linear(width, 3))
            self.activation = getattr(torch, activation)

        def forward(self, x, scale):
            return {"scores": self.layers(self.activation(x)) * scale[:, None] * RATE}

    def cases(start):
        for index in range(5):
            x = np.full((1, 4), start + index, np.float32)
            yield Case({"x": x, "scale": np.ones(1, np.float32)}, label=index % 3)

    def make(width: int, activation: Literal["tanh", "relu"] = "relu"):
        print("printed by the factory")
        assert random.random() != np.random.rand()
        return Exportable(
            Net(width, activation),
            (torch.rand(2, 4), torch.rand(2)),
            dynamic={"x": ["batch:1..8", None], "scale": ["batch"]},
            evaluation=lambda: cases(0),
            calibration=lambda: cases(0.5),
            metric="top1",
            labels=["a", "b", "c"],
            preprocessing="none",
        )
"""
EXPORT = """
    import json, sys
    import exporters
    target, output = sys.argv[1:]
    done = exporters.export_target(target, output, parameters={"width": "300"}, external_data=True)
    print(json.dumps([done.path, list(done.notes)]))
"""


def started(code: str, *arguments: str, cwd: Path, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code), *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def left_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if "partial" in path.name)


# ---- a TARGET ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def repeated(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Export one factory twice at the same time, as two people would: different homes, caches,
    temporary and working folders, paths of the file, and ways to write them.
    """
    processes, outputs = [], []
    for who, relative in (("alice-the-exporter", True), ("bob-the-other-one", False)):
        home = tmp_path_factory.mktemp(who)
        folders = {name: home / name for name in ("code", "tmp", "out", "cache")}
        for folder in folders.values():
            folder.mkdir()
        net = folders["code"] / "net.py"
        net.write_text(textwrap.dedent(REPEATED))
        net.with_name("neighbour_of_alice.py").write_text("RATE = 0.5\n")
        processes.append(
            started(
                EXPORT,
                "code/net.py:make" if relative else f"{net}:make",
                str(folders["out"] / "net.edgekit") if relative else "made/deep/net.edgekit",
                cwd=home if relative else folders["out"],
                HOME=str(home),
                USER=who,
                LOGNAME=who,
                TMPDIR=str(folders["tmp"]),
                EDGEKIT_CACHE=str(folders["cache"]),
                OMP_NUM_THREADS="1" if relative else "2",
            )
        )
        outputs.append(folders["out"] / ("net.edgekit" if relative else "made/deep/net.edgekit"))
    said = [process.communicate(timeout=100) for process in processes]
    for process, (out, err) in zip(processes, said, strict=True):
        assert process.returncode == 0, err
        assert json.loads(out)[1] == []
    return outputs


def test_the_same_export_elsewhere_by_someone_else_gives_the_same_bytes(
    repeated: list[Path],
) -> None:
    first, second = ({f.name: f.read_bytes() for f in path.iterdir()} for path in repeated)
    assert set(first) == {
        "manifest.json",
        "fp32.onnx",
        "fp32.onnx.data",
        "reference.safetensors",
        "evaluation.safetensors",
        "calibration.safetensors",
        "labels.txt",
        "preprocessing.txt",
    }
    assert first == second


def test_no_path_host_or_user_is_in_any_file_of_a_package(repeated: list[Path]) -> None:
    told = ["alice", "bob-the", "edgekit-tests", "code/", "neighbour", str(HERE.parents[2])]
    told += [name for name in (socket.gethostname(),) if len(name) > 6]
    for path in repeated:
        for file in path.iterdir():
            content = file.read_bytes()
            assert [text for text in told if text.encode() in content] == []


def test_a_package_says_what_it_is_made_of(repeated: list[Path]) -> None:
    package = reading.read(repeated[0])
    assert package.name == "net"
    made = package.provenance
    assert (made.source, made.original, made.strategy) == ("net.py:make", "pytorch", "dynamo")
    assert made.parameters == {"width": "300"}
    assert made.versions["torch"] == torch.__version__.partition("+")[0]
    assert made.verification is not None
    assert [s["batch"] for s in made.verification.sizes] == [2, 1, 3, 8]
    assert package.variants[0].files == ("fp32.onnx.data",)
    assert (repeated[0] / "labels.txt").read_text() == "a\nb\nc\n"


def test_a_package_answers_and_checks_itself(repeated: list[Path]) -> None:
    with edgekit.load(repeated[1]) as model:
        assert model.check().passed
        x = np.ones((5, 4), np.float32)
        zero, one = (model({"x": x, "scale": np.full(5, s, np.float32)}) for s in (0, 1))
    assert one.shape == (5, 3)
    assert not zero.any()
    assert one.any()


def test_the_maker_s_cache_alone_remembers_the_original(
    repeated: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from edgekit.errors import OriginalUnavailable
    from exporters import records

    package = reading.read(repeated[0])
    home = repeated[0].parents[1]
    with pytest.raises(OriginalUnavailable):
        records.recall(package)
    monkeypatch.setenv("EDGEKIT_CACHE", str(home / "cache"))
    assert records.recall(package).target == "code/net.py:make"
    assert records.recall(package).folder == str(home)


FAILING = """
    import os, sys, time
    def ends():
        print("before the end", flush=True)
        os._exit(7)
    def hangs():
        time.sleep(1000)
"""


def test_a_factory_that_ends_its_process_or_hangs_leaves_nothing(
    write_file: WriteFile, tmp_path: Path
) -> None:
    path = write_file(FAILING)
    before = set(psutil.Process().children(recursive=True))
    with pytest.raises(WorkerDied, match=r"ended with exit code 7 .*It last said: before the end"):
        exporters.export_target(f"{path}:ends", tmp_path / "net.edgekit")
    with pytest.raises(WorkerTimeout, match="no answer within 5 s, so its process was ended"):
        exporters.export_target(f"{path}:hangs", tmp_path / "net.edgekit", time_limit_s=5)
    assert not (tmp_path / "net.edgekit").exists()
    assert left_in(tmp_path) == []
    assert set(psutil.Process().children(recursive=True)) <= before


def test_what_can_not_be_meant_is_said_before_any_process_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subprocess, "Popen", None)
    (tmp_path / "mine").mkdir()
    with pytest.raises(WouldOverwrite):
        exporters.export_target("cnn", tmp_path / "mine", overwrite=True)
    with pytest.raises(BadValue, match="--dynamic cannot be 'batch'"):
        exporters.export_target("cnn", tmp_path / "new", dynamic=["batch"])
    with pytest.raises(BadValue, match="example cannot be NoneType"):
        exporters.export(nn.ReLU(), None, tmp_path / "new")
    with pytest.raises(BadValue, match="one entry for each axis"):
        exporters.export(nn.ReLU(), (torch.rand(2),), tmp_path / "new", dynamic={"input": "batch"})
    exportable = Exportable(nn.ReLU(), (torch.rand(2),))
    with pytest.raises(BadValue, match="example_inputs cannot be given beside an Exportable"):
        exporters.export(exportable, (torch.rand(2),), tmp_path / "new")
    assert left_in(tmp_path) == []


# ---- a live module ----------------------------------------------------------------------------


def test_a_live_module_is_exported_in_a_worker_and_stays_as_it_is(tmp_path: Path) -> None:
    module = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Dropout(0.5)).train()
    x = torch.rand(3, 4, requires_grad=True)
    drawn = torch.get_rng_state()
    done = exporters.export(module, [x], tmp_path / "own.edgekit", dynamic={"input": ["n", 4]})
    assert done.notes == ("the module was in training mode, and was exported in evaluation mode",)
    assert done.path == str(tmp_path / "own.edgekit")
    assert module.training
    assert all(p.requires_grad for p in module.parameters())
    assert torch.equal(torch.get_rng_state(), drawn)
    assert done.package == reading.read(tmp_path / "own.edgekit")
    assert done.package.provenance.source == "sequential"
    with edgekit.load(done.path) as model, torch.inference_mode():
        expected = module.eval()(x).numpy()
        np.testing.assert_allclose(model(x.detach().numpy()), expected, rtol=1e-4, atol=1e-6)


class Local(nn.Module):
    """Can't leave the process: it holds a lambda."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 3)
        self.activation: Callable[[torch.Tensor], torch.Tensor] = lambda x: torch.relu(x)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.activation(self.linear(x))


def test_a_module_that_can_not_leave_is_exported_here_from_a_copy(tmp_path: Path) -> None:
    module = Local().train()
    weights = {name: value.clone() for name, value in module.state_dict().items()}
    x = torch.rand(2, 4)
    drawn = torch.get_rng_state()
    done = exporters.export(module, (x,), tmp_path / "local.edgekit")
    *_, note = done.notes
    assert note.startswith("exported in the calling process, because the module can't leave it: ")
    assert "lambda" in note
    assert module.training
    assert module.linear.training
    assert all(p.requires_grad for p in module.parameters())
    assert all(torch.equal(value, weights[name]) for name, value in module.state_dict().items())
    assert torch.equal(torch.get_rng_state(), drawn)
    assert reading.read(tmp_path / "local.edgekit").name == "local"


def test_a_module_that_can_be_neither_pickled_nor_copied_is_refused(tmp_path: Path) -> None:
    module = Local()
    module.__dict__["lock"] = threading.Lock()
    with pytest.raises(FactoryFailed, match=r"neither pickled nor copied.*file\.py:"):
        exporters.export(module, (torch.rand(2, 4),), tmp_path / "local.edgekit")
    assert not (tmp_path / "local.edgekit").exists()


def test_a_dimension_of_an_input_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="no input 'y'; there is: x"):
        exporters.export(Local(), (torch.rand(2, 4),), tmp_path / "n", dynamic={"y": ["n"]})
    assert list(tmp_path.iterdir()) == []


SCRIPT = """
    import json
    import torch
    from torch import nn
    import exporters

    class Net(nn.Module):
        def forward(self, x):
            return x * 2

    done = exporters.export(Net(), (torch.rand(2, 3),), dynamic={"x": ["n", None]})
    print(json.dumps([done.path, list(done.notes)]))
"""


def test_a_class_of_the_running_script_is_exported_where_it_lives(tmp_path: Path) -> None:
    """From stdin, as in a notebook: there is no file to import the class from."""
    done = subprocess.run(
        [sys.executable, "-"],
        input=textwrap.dedent(SCRIPT),
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    path, notes = json.loads(done.stdout)
    assert path == "net.edgekit"
    assert notes == [
        "exported in the calling process, because the module can't leave it: Net is defined in "
        "the running script"
    ]
    with edgekit.load(tmp_path / path) as model:
        np.testing.assert_array_equal(model(np.ones((5, 3), np.float32)), 2)


def test_a_script_without_a_guard_is_not_run_again_by_the_worker(
    write_file: WriteFile, tmp_path: Path
) -> None:
    script = write_file(SCRIPT.replace("exporters.export(Net()", "exporters.export(nn.Softmax(-1)"))
    code = script.read_text().replace('"x": ["n"', '"input": ["n"')
    script.write_text(code + "\nprint('once')\n")
    done = subprocess.run(
        [sys.executable, str(script)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    first, *rest = done.stdout.splitlines()
    assert json.loads(first) == ["softmax.edgekit", []]
    assert rest == ["once"]


# ---- Ctrl-C -----------------------------------------------------------------------------------

WAITING = """
    import os, time
    from pathlib import Path
    import torch
    from torch import nn

    class Net(nn.Module):
        def forward(self, x):
            marker = Path(os.environ["MARKER"])
            marker.with_suffix(".new").write_text(str(os.getpid()))
            marker.with_suffix(".new").rename(marker)
            time.sleep(100)
            return x

    def make():
        return Net(), torch.rand(2, 3)
"""
WORKER = """
    import sys
    import exporters
    exporters.export_target(sys.argv[1] + ":make", "net.edgekit", overwrite=True)
"""
CALLING = """
    import sys
    import exporters
    exec(open(sys.argv[1]).read())
    exporters.export(*make(), "net.edgekit", overwrite=True)
"""


@pytest.mark.skipif(os.name != "posix", reason="there is no SIGINT to send elsewhere")
@pytest.mark.parametrize("code", [WORKER, CALLING.replace("*make()", "make()[0], (make()[1],)")])
def test_ctrl_c_during_an_export_leaves_the_old_package_and_no_process(
    code: str, write_file: WriteFile, tiny_package: Path, tmp_path: Path
) -> None:
    old = tmp_path / "net.edgekit"
    tiny_package.rename(old)
    before = {file.name: file.read_bytes() for file in old.iterdir()}
    marker = tmp_path / "marker"
    process = started(code, str(write_file(WAITING)), cwd=tmp_path, MARKER=str(marker))
    try:
        deadline = time.monotonic() + 100
        while not marker.exists():
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.02)
        exporting = psutil.Process(int(marker.read_text()))
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == -signal.SIGINT
    assert "KeyboardInterrupt" in err
    assert not exporting.is_running()
    assert {file.name: file.read_bytes() for file in old.iterdir()} == before
    assert left_in(tmp_path) == []
