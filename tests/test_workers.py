"""Workers, with functions of the tests' own under the names that a worker may call.

The child looks up `exporters.attempt` on the parent's `sys.path`: a folder with an `exporters` of
the test's comes first there, so the list of what may be called stays the one that users have.
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edgekit
from edgekit.errors import BadValue, StorageError, UnknownName, WorkerDied, WorkerTimeout
from edgekit.package.values import SessionChoice
from edgekit.workers import Call, Worker, WorkerFault

posix = pytest.mark.skipif(os.name != "posix", reason="process groups and signals are POSIX's")

ATTEMPT = '''
import logging, os, signal, subprocess, sys, threading, time
from edgekit.errors import UnknownName

def attempt_target(what: str, text: str = "") -> object:
    return globals()[what](text)

def prints(text):
    print(text * 50_000)
    os.write(1, b"straight to the descriptor\\n")
    print("on stderr", file=sys.stderr)
    return "answered"

def reads(text):
    return [sys.stdin.read(), os.read(0, 10).decode()]

def exits(text):
    print("the last words")
    os._exit(7)

def leaves(text):
    sys.exit(5)

def refuses(text):
    raise UnknownName(kind="parameter", asked=text, available=["depth"])

def raises(text):
    raise ZeroDivisionError("a bug")

def strange(text):
    return object()

def fills_the_disk(text):
    raise OSError(28, "No space left on device", "weights.onnx")

def lives(text):
    """Leave the numbers of this process and of a child of its own in a file; then hang."""
    other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(100)"])
    with open(text + ".tmp", "w") as file:
        file.write(f"{os.getpid()} {other.pid}")
    os.replace(text + ".tmp", text)
    time.sleep(100)

def spins(text):
    with open(text + ".tmp", "w") as file:
        file.write(str(os.getpid()))
    os.replace(text + ".tmp", text)
    while True:
        pass

def dies(text):
    os.kill(os.getpid(), getattr(signal, text))

def forks_and_exits(text):
    if os.fork() == 0:
        time.sleep(100)
    os._exit(9)

def closes_its_pipe(text):
    import fcntl
    for number in map(int, os.listdir("/dev/fd")):
        try:
            mode = fcntl.fcntl(number, fcntl.F_GETFL) & os.O_ACCMODE
        except OSError:  # the listing's own
            continue
        if number > 2 and mode == os.O_WRONLY:
            os.close(number)
    time.sleep(100)

def logs(text):
    log = logging.getLogger("edgekit")
    log.warning("half of it is %s", "done", extra={"progress": (1, 2)})
    log.info("a bad %d", "line")
    log.debug("not for the parent")

def logs_from_threads(text):
    sys.setswitchinterval(1e-6)
    def lines(name):
        for index in range(1000):
            logging.getLogger("edgekit").info("%s", f"{index}:" + name * 300)
    for name in "ab":
        threading.Thread(target=lines, args=(name,)).start()

def ping(text):
    return text

def where(text):
    import edgekit
    return [edgekit.__file__, *sys.path]
'''

ORIGINAL = """
from edgekit.tensors import RunFacts, Signature

class Echo:
    signature = Signature((), ())
    facts = RunFacts("cpu", "float32", 1)
    def prepare(self, feed):
        return lambda: feed
    def fetch(self, answer):
        return {name: array + 0 if name == "added" else array for name, array in answer.items()}
    def close(self):
        pass

def open_eager() -> Echo:
    return Echo()
"""


@pytest.fixture
def toys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put an `exporters` of the test's before ours, for workers alone."""
    folder = tmp_path / "toys"
    (folder / "exporters").mkdir(parents=True)
    for name, code in (("__init__", ""), ("attempt", ATTEMPT), ("runners", ORIGINAL)):
        (folder / "exporters" / f"{name}.py").write_text(code)
    monkeypatch.syspath_prepend(folder)
    return folder


@pytest.fixture
def worker(toys: Path) -> Iterator[Worker]:
    with Worker("the work", wall_s=60) as worker:
        yield worker


def toy(what: str, text: object = "") -> Call:
    return Call("exporters.attempt:attempt_target", {"what": what, "text": str(text)})


def wait_until(true: Any, *, what: str) -> None:
    deadline = time.monotonic() + 30
    while not true():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def is_gone(pid: int) -> bool:
    """Tell whether a process has ended: reaped, or a zombie that nobody has reaped yet."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return True
    return status.rpartition(")")[2].split()[0] in "ZX"


def test_one_worker_outlives_what_its_calls_do(
    worker: Worker, caplog: pytest.LogCaptureFixture
) -> None:
    """Printing, reading and raising leave the next answer whole (one worker, to be quick)."""
    assert worker.call(toy("prints", "noise\n"), returns=str) == "answered"
    assert worker.call(toy("reads"), returns=list[str]) == ["", ""]
    with pytest.raises(UnknownName, match=r"'dept'.*Did you mean 'depth'") as refused:
        worker.call(toy("refuses", "dept"), returns=str)
    assert refused.value.facts["available"] == ["depth"]
    with pytest.raises(WorkerFault, match="ZeroDivisionError: a bug"):
        worker.call(toy("raises"), returns=str)
    with pytest.raises(WorkerFault, match="object cannot cross"):
        worker.call(toy("strange"), returns=str)
    with pytest.raises(StorageError, match=r"weights.onnx could not be written: the disk is full"):
        worker.call(toy("fills_the_disk"), returns=str)
    with pytest.raises(WorkerFault, match="os:_exit is not a function that a worker may call"):
        worker.call(Call("os:_exit", {"status": 0}), returns=str)
    with caplog.at_level(logging.INFO, "edgekit"):
        worker.call(toy("logs"), returns=object)
    (record,) = (record for record in caplog.records if record.name == "edgekit")
    assert (record.levelno, record.getMessage()) == (logging.WARNING, "half of it is done")
    assert vars(record)["progress"] == (1, 2)
    assert worker.call(toy("ping", "still here"), returns=str) == "still here"
    wait_until(lambda: "on stderr" in worker.output(), what="its stderr")
    assert worker.output()[0] == "noise"


def test_threads_that_log_do_not_tear_answers(
    worker: Worker, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "edgekit"):
        worker.call(toy("logs_from_threads"), returns=object)
        for index in range(500):
            text = str(index) * 500
            assert worker.call(toy("ping", text), returns=str) == text
    lines = [record.getMessage() for record in caplog.records if record.name == "edgekit"]
    assert lines
    for line in lines:
        assert line.partition(":")[2] in ("a" * 300, "b" * 300)


def test_arrays_cross_as_they_are(worker: Worker) -> None:
    ml_dtypes = pytest.importorskip("ml_dtypes", reason="bfloat16 comes with ml_dtypes")
    worker.open(Call("exporters.runners:open_eager"))
    wide = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    feed = {
        "big": np.arange(4_000_000, dtype=np.float64),
        "bfloat16": np.array([1.5, -2.0], ml_dtypes.bfloat16),
        "scalar": np.array(3, np.int8),
        "empty": np.zeros((0, 5), np.uint16),
        "turned": wide.T,
        "every other": wide[:, ::2],
        "big-endian": wide.astype(">f4"),
        "bool": np.array([[True], [False]]),
        "added": np.array([np.nan, np.inf, -0.0], np.float16),
    }
    answer = worker.run(feed).outputs
    assert list(answer) == list(feed)
    for name, array in feed.items():
        assert answer[name].dtype == array.dtype.newbyteorder("="), name
        np.testing.assert_array_equal(
            answer[name], array, err_msg=name, strict=name != "big-endian"
        )
        assert answer[name].flags.writeable
    for refused in (np.array(["text"]), np.array([object()]), np.array([1j])):
        with pytest.raises(BadValue, match="an element type"):
            worker.run({"x": refused})


def test_run_times_every_call_and_keeps_the_last_answer(
    tiny_package: Path, tiny_answer: Any
) -> None:
    arguments = {"path": str(tiny_package), "variant": "portable", "session": SessionChoice()}
    with Worker("tiny", wall_s=60) as worker:
        opened = worker.open(Call("edgekit.runtime.runner:open_variant", arguments))
        feed = {"x": np.ones((3, 4), np.float32)}
        timed = worker.run(feed, calls=4, warm_ups=2)
        assert opened.signature.inputs[0].name == "x"
        assert opened.facts.provider == "cpu"
        assert opened.import_ms > 0
        assert opened.load_ms > 0
        assert (len(timed.durations_ns), len(timed.warm_up_ns)) == (4, 2)
        assert min(timed.durations_ns) > 0
        np.testing.assert_allclose(timed.outputs["y"], tiny_answer(feed), atol=1e-6)
        assert worker.run(feed, calls=0, warm_ups=1).outputs == {}
        peak_mb = worker.peak_mb()
        assert peak_mb is None or 20 < peak_mb < 2000
        with pytest.raises(UnknownName, match="There is no variant 'fp64' of tiny"):
            worker.open(
                Call("edgekit.runtime.runner:open_variant", {**arguments, "variant": "fp64"})
            )


def test_a_runner_that_is_released_is_closed_and_another_may_be_opened(tiny_package: Path) -> None:
    arguments = {"path": str(tiny_package), "variant": "portable", "session": SessionChoice()}
    call = Call("edgekit.runtime.runner:open_variant", arguments)
    feed = {"x": np.ones((3, 4), np.float32)}
    with Worker("tiny", wall_s=60) as worker:
        worker.open(call)
        worker.release()
        with pytest.raises(WorkerFault, match="runner"):
            worker.run(feed)
        worker.open(call)
        assert worker.run(feed).outputs["y"].shape == (3, 3)


@posix
@pytest.mark.parametrize(
    ("what", "text", "sentence"),
    [
        ("exits", "", r"the work: its process ended with exit code 7 .*last said: the last words"),
        ("leaves", "", r"ended with exit code 5"),
        ("dies", "SIGKILL", r"was killed by SIGKILL \(perhaps for want of memory\)"),
        ("dies", "SIGSEGV", r"was killed by SIGSEGV"),
        ("dies", "SIGRTMAX", r"was killed by (SIGRTMAX|signal \d+)"),
        ("forks_and_exits", "", r"ended with exit code 9"),
        ("closes_its_pipe", "", r"closed its pipe before it had answered"),
    ],
)
def test_a_process_that_ends_is_said_to_have_died(
    worker: Worker, what: str, text: str, sentence: str
) -> None:
    with pytest.raises(WorkerDied, match=sentence):
        worker.call(toy(what, text), returns=str)
    with pytest.raises(WorkerDied, match=sentence):
        worker.call(toy("ping"), returns=str)
    worker.close()
    worker.close()


@posix
def test_a_hanging_call_is_ended_with_all_that_it_started(toys: Path, tmp_path: Path) -> None:
    with Worker("the work", wall_s=60) as worker:
        worker.call(toy("ping"), returns=str)
        worker.wall_s = 3
        with pytest.raises(WorkerTimeout, match=r"the work: no answer within 3 s"):
            worker.call(toy("lives", tmp_path / "pids"), returns=str)
        for pid in (tmp_path / "pids").read_text().split():
            wait_until(lambda pid=int(pid): is_gone(pid), what=f"{pid} lives on")
        with pytest.raises(WorkerTimeout):
            worker.call(toy("ping"), returns=str)


@posix
def test_a_child_that_reads_nothing_is_ended_in_time(toys: Path) -> None:
    with Worker("the work", wall_s=2) as worker:
        os.kill(worker._process.pid, signal.SIGSTOP)
        with pytest.raises(WorkerTimeout):
            worker.call(toy("ping", "x" * 10_000_000), returns=str)


@posix
def test_leaving_the_block_ends_a_call_that_runs(toys: Path, tmp_path: Path) -> None:
    with Worker("the work", wall_s=60) as worker:
        failed: list[BaseException] = []

        def call() -> None:
            try:
                worker.call(toy("lives", tmp_path / "pids"), returns=str)
            except WorkerDied as error:
                failed.append(error)

        thread = threading.Thread(target=call)
        thread.start()
        wait_until((tmp_path / "pids").exists, what="the call runs")
    thread.join(30)
    assert failed
    for pid in (tmp_path / "pids").read_text().split():
        wait_until(lambda pid=int(pid): is_gone(pid), what=f"{pid} lives on")


PARENT = """
import sys
sys.path.insert(0, {toys!r})
from edgekit.workers import Call, Worker
with Worker("the work", wall_s=100) as worker:
    worker.call(Call("exporters.attempt:attempt_target", {{"what": {what!r}, "text": {pids!r}}}),
                returns=str)
"""


@posix
@pytest.mark.parametrize(
    ("what", "number"),
    [("lives", "SIGKILL"), ("spins", "SIGKILL"), ("lives", "SIGINT"), ("lives", "SIGTERM")],
)
def test_a_worker_ends_with_its_parent(toys: Path, tmp_path: Path, what: str, number: str) -> None:
    pids = tmp_path / "pids"
    code = PARENT.format(toys=str(toys), what=what, pids=str(pids))
    parent = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL)
    try:
        wait_until(pids.exists, what="the call runs")
        parent.send_signal(getattr(signal, number))
        assert parent.wait(timeout=30) != 0
        for pid in pids.read_text().split():
            wait_until(lambda pid=int(pid): is_gone(pid), what=f"{pid} outlives its parent")
    finally:
        parent.kill()
        parent.wait()


def test_an_idle_worker_ends_with_its_parent(toys: Path) -> None:
    code = textwrap.dedent("""
        import os, signal
        from edgekit.workers import Worker
        print(Worker("idle", wall_s=100)._process.pid, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
    """)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == -signal.SIGKILL
    wait_until(lambda: is_gone(int(done.stdout)), what="the worker outlives its parent")


def test_a_worker_that_cannot_be_started_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/there/is/no/python")
    with pytest.raises(WorkerDied, match=r"could not be started \(No such file or directory\)"):
        Worker("the work", wall_s=5)


def test_a_child_that_fails_to_start_is_quoted(toys: Path) -> None:
    (toys / "msgspec.py").write_text("raise ImportError('a broken installation')")
    with (
        Worker("the work", wall_s=30) as worker,
        pytest.raises(WorkerDied, match=r"exit code 1 .*ImportError: a broken installation"),
    ):
        worker.call(toy("ping"), returns=str)


def test_neither_folder_nor_startup_file_disturbs_a_worker(
    toys: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The parent stands in a folder with a foreign `edgekit`; a start-up file prints."""
    foreign = tmp_path / "elsewhere" / "edgekit"
    foreign.mkdir(parents=True)
    (foreign / "__init__.py").write_text("raise RuntimeError('a foreign edgekit')")
    (tmp_path / "startup").mkdir()
    (tmp_path / "startup" / "sitecustomize.py").write_text(
        "import os; os.write(1, b'hello from the site')"
    )
    monkeypatch.chdir(foreign.parent)
    monkeypatch.syspath_prepend("")
    environment = {"PYTHONPATH": str(tmp_path / "startup")}
    with Worker("the work", wall_s=60, environment=environment) as worker:
        imported, *path = worker.call(toy("where"), returns=list[str])
        assert path == [str(Path(entry).absolute()) for entry in sys.path]
        assert Path(imported) == Path(edgekit.__file__)
        assert any("hello from the site" in line for line in worker.output())
