"""The one way to start a child process, and the child's own loop.

A child is a fresh interpreter: a forked one inherits locks and thread pools that hang, and
multiprocessing would run the user's `__main__` again. Parent and child talk in length-prefixed
msgpack frames over the child's stdin and stdout; before anything else runs the child moves both
out of the way, so that code which prints or reads can't disturb the frames. A child ends with its
parent, because its reading thread sees the pipe close even while a call is running.

This module imports only msgspec, since the child times the imports of everything else.
"""

from __future__ import annotations

import importlib
import logging
import os
import queue
import signal
import struct
import subprocess
import sys
import threading
import time
import traceback
import typing
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Any, TypeVar

import msgspec

from edgekit.errors import EdgekitError, WorkerDied, WorkerTimeout, from_wire, to_wire
from edgekit.installed import missing_extra
from edgekit.tensors import Feed, RunFacts, Signature

log = logging.getLogger("edgekit")
T = TypeVar("T")

FUNCTIONS = frozenset(
    {
        "edgekit.runtime.runner:open_variant",
        "exporters.original:open_eager",
        "exporters.original:open_compiled",
        "exporters.attempt:attempt_target",
        "exporters.attempt:attempt_module",
    }
)
"""All that a worker may be told to call. It is never a package that says which."""

_LENGTH = struct.Struct("<Q")
_ARRAY = 1
_KEPT_OUTPUT_LINES = 200
_CHILD = (
    "import sys; sys.path[:] = sys.argv[1:]; del sys.argv[1:]; "
    "from edgekit.workers import serve; serve()"
)


class Call(msgspec.Struct, frozen=True):
    """A function out of `FUNCTIONS`, its arguments by name, and the child's extra environment."""

    function: str
    arguments: dict[str, Any] = {}
    environment: dict[str, str] = {}


class Opened(msgspec.Struct, frozen=True):
    """A runner that stands in a worker, and how long its imports and its loading took."""

    signature: Signature
    facts: RunFacts
    import_ms: float
    load_ms: float


class Timed(msgspec.Struct, frozen=True):
    """What `calls` runs of one feed took, warm-ups apart, and the last one's outputs."""

    durations_ns: list[int]
    warm_up_ns: list[int]
    outputs: dict[str, Any]


class _Request(msgspec.Struct):
    do: str
    function: str = ""
    arguments: dict[str, Any] = {}
    feed: dict[str, Any] = {}
    calls: int = 0
    warm_ups: int = 0


class _Reply(msgspec.Struct):
    value: Any = None
    event: str | None = None
    error: tuple[str, dict[str, Any]] | None = None
    fault: str | None = None


class WorkerFault(RuntimeError):
    """Code of edgekit's own failed inside a worker; the text is the child's traceback."""


class Worker:
    """A child process that holds at most one runner.

    `what` names the work in errors. `wall_s` bounds every single request. Use it as a context
    manager; leaving it ends the child and everything that the child started.

    Raises (from every request):
        WorkerDied: the child ended without an answer.
        WorkerTimeout: it did not answer within `wall_s`; it has been ended.
        EdgekitError: what the called function raised, as it raised it.
    """

    def __init__(
        self, what: str, *, wall_s: float, environment: Mapping[str, str] | None = None
    ) -> None:
        self.what = what
        self.wall_s = wall_s
        path = [str(Path(entry).absolute()) for entry in sys.path]
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", _CHILD, *path],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, **(environment or {})},
            # A session of its own: Ctrl-C reaches the parent alone, which then ends the group.
            start_new_session=True,
        )
        self._frames: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._said: deque[str] = deque(maxlen=_KEPT_OUTPUT_LINES)
        self._listeners = [
            threading.Thread(target=self._listen_to_frames, daemon=True),
            threading.Thread(target=self._listen_to_output, daemon=True),
        ]
        for listener in self._listeners:
            listener.start()

    def call(self, call: Call, *, returns: type[T]) -> T:
        """Call a function in the child and return its value as `returns`."""
        request = _Request(do="call", function=call.function, arguments=call.arguments)
        return msgspec.convert(self._ask(request), returns)

    def open(self, call: Call) -> Opened:
        """Call a function that returns a Runner, which stays in the child for `run`."""
        request = _Request(do="open", function=call.function, arguments=call.arguments)
        return msgspec.convert(self._ask(request), Opened)

    def run(self, feed: Feed, *, calls: int = 1, warm_ups: int = 0) -> Timed:
        """Run `feed` `warm_ups` times and then `calls` times, timing each run in the child."""
        request = _Request(do="run", feed=dict(feed), calls=calls, warm_ups=warm_ups)
        return msgspec.convert(self._ask(request), Timed)

    def peak_mb(self) -> float | None:
        """Read the child's highest resident memory so far, in MB; None where it can't be read."""
        return msgspec.convert(self._ask(_Request(do="peak")), float | None)

    def output(self) -> list[str]:
        """List the last lines that the child wrote to its stdout and stderr."""
        return list(self._said)

    def close(self) -> None:
        """End the child and its own children, and wait until they are gone."""
        _end_group(self._process)
        for listener in self._listeners:
            listener.join()
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            _close_quietly(pipe)

    def __enter__(self) -> Worker:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _ask(self, request: _Request) -> Any:
        deadline = time.monotonic() + self.wall_s
        try:
            _write_frame(_opened(self._process.stdin), _encode(request))
        except (BrokenPipeError, ValueError) as error:
            raise self._death() from error
        while True:
            try:
                frame = self._frames.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                _end_group(self._process)
                raise WorkerTimeout(what=self.what, limit_s=self.wall_s) from None
            if frame is None:
                raise self._death()
            reply = _decode(frame, _Reply)
            if reply.event is not None:
                log.info("%s", reply.event)
            elif reply.error is not None:
                raise from_wire(*reply.error)
            elif reply.fault is not None:
                raise WorkerFault(reply.fault)
            else:
                return reply.value

    def _death(self) -> WorkerDied:
        code = self._process.wait()
        self._listeners[1].join(timeout=1.0)
        if code < 0:
            name = signal.Signals(-code).name
            how = f"was killed by {name}" + (
                " (perhaps for want of memory)" if name == "SIGKILL" else ""
            )
        else:
            how = f"ended with exit code {code} before it had answered"
        last = next((line for line in reversed(self._said) if line.strip()), "")
        return WorkerDied(what=self.what, how=how, last_words=last.strip()[:300])

    def _listen_to_frames(self) -> None:
        stream = _opened(self._process.stdout)
        while (frame := _read_frame(stream)) is not None:
            self._frames.put(frame)
        self._frames.put(None)

    def _listen_to_output(self) -> None:
        for line in _opened(self._process.stderr):
            text = line.decode(errors="replace").rstrip()
            self._said.append(text)
            log.debug("%s: %s", self.what, text)


def _opened(pipe: IO[bytes] | None) -> IO[bytes]:
    assert pipe is not None
    return pipe


def _close_quietly(pipe: IO[bytes] | None) -> None:
    try:
        _opened(pipe).close()
    except BrokenPipeError:
        log.debug("a worker's pipe was already broken when it was closed")


def _end_group(process: subprocess.Popen[bytes]) -> None:
    """Kill the child's whole process group: it may have started compilers or loaders."""
    if hasattr(os, "killpg"):
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            log.debug("worker %d had already ended", process.pid)
    else:
        process.kill()
    process.wait()


def _write_frame(stream: IO[bytes], payload: bytes) -> None:
    stream.write(_LENGTH.pack(len(payload)) + payload)
    stream.flush()


def _read_frame(stream: IO[bytes]) -> bytes | None:
    head = stream.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        return None
    (length,) = _LENGTH.unpack(head)
    payload = stream.read(length)
    return payload if len(payload) == length else None


def _encode(value: object) -> bytes:
    return msgspec.msgpack.encode(value, enc_hook=_encode_array)


def _decode(frame: bytes, kind: type[T]) -> T:
    return msgspec.msgpack.decode(frame, type=kind, ext_hook=_decode_array)


def _encode_array(value: Any) -> Any:
    import numpy as np

    if not isinstance(value, np.ndarray | np.generic):
        raise TypeError(f"{type(value).__name__} cannot cross to or from a worker")
    array = np.asarray(value)
    head = msgspec.msgpack.encode((array.dtype.name, array.shape))
    return msgspec.msgpack.Ext(_ARRAY, _LENGTH.pack(len(head)) + head + array.tobytes())


def _decode_array(code: int, data: memoryview) -> Any:
    import numpy as np

    if code != _ARRAY:
        raise ValueError(f"unknown extension {code} in a worker's frame")
    (length,) = _LENGTH.unpack(data[: _LENGTH.size])
    body = _LENGTH.size + length
    name, shape = msgspec.msgpack.decode(data[_LENGTH.size : body], type=tuple[str, list[int]])
    return np.frombuffer(bytearray(data[body:]), dtype=np.dtype(name)).reshape(shape)


# ---- the child's side -------------------------------------------------------------------------


class _EventSender(logging.Handler):
    """Sends what the called code logs to the parent, which logs it again."""

    def __init__(self, stream: IO[bytes]) -> None:
        super().__init__(logging.INFO)
        self._stream = stream

    def emit(self, record: logging.LogRecord) -> None:
        _write_frame(self._stream, _encode(_Reply(event=record.getMessage())))


def serve() -> None:
    """Answer a parent's requests until its pipe closes. What `Worker` starts."""
    asked = os.fdopen(os.dup(0), "rb")
    answers = os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(2, 1)
    log.addHandler(_EventSender(answers))
    log.setLevel(logging.INFO)
    log.propagate = False

    requests: queue.SimpleQueue[bytes] = queue.SimpleQueue()

    def listen() -> None:
        while (frame := _read_frame(asked)) is not None:
            requests.put(frame)
        os._exit(0)

    threading.Thread(target=listen, daemon=True).start()
    held: dict[str, Any] = {}
    while True:
        frame = requests.get()
        try:
            reply = _Reply(value=_answer(_decode(frame, _Request), held))
        except EdgekitError as error:
            reply = _Reply(error=to_wire(error))
        except Exception as error:
            missing = missing_extra(error)
            reply = (
                _Reply(error=to_wire(missing))
                if missing is not None
                else _Reply(fault=traceback.format_exc())
            )
        _write_frame(answers, _encode(reply))


def _answer(request: _Request, held: dict[str, Any]) -> Any:
    if request.do == "call":
        return _resolve(request)()
    if request.do == "open":
        return _open(request, held)
    if request.do == "run":
        return _run(request, held["runner"])
    if request.do == "peak":
        return _peak_mb()
    raise ValueError(f"unknown request {request.do!r}")


def _resolve(request: _Request) -> Any:
    """Import the function and give its arguments the types that it declares."""
    if request.function not in FUNCTIONS:
        raise ValueError(f"{request.function} is not a function that a worker may call")
    module_name, _, name = request.function.partition(":")
    function = getattr(importlib.import_module(module_name), name)
    hints = typing.get_type_hints(function)
    arguments = {
        name: msgspec.convert(value, hints[name]) for name, value in request.arguments.items()
    }
    return lambda: function(**arguments)


def _open(request: _Request, held: dict[str, Any]) -> Opened:
    started_ns = time.perf_counter_ns()
    function = _resolve(request)
    imported_ns = time.perf_counter_ns()
    runner = function()
    loaded_ns = time.perf_counter_ns()
    held["runner"] = runner
    return Opened(
        signature=runner.signature,
        facts=runner.facts,
        import_ms=(imported_ns - started_ns) / 1e6,
        load_ms=(loaded_ns - imported_ns) / 1e6,
    )


def _run(request: _Request, runner: Any) -> Timed:
    run = runner.prepare(request.feed)
    clock = time.perf_counter_ns
    warm_up_ns = []
    for _ in range(request.warm_ups):
        begun = clock()
        run()
        warm_up_ns.append(clock() - begun)
    durations_ns = []
    answer = None
    for _ in range(request.calls):
        begun = clock()
        answer = run()
        durations_ns.append(clock() - begun)
    return Timed(
        durations_ns=durations_ns,
        warm_up_ns=warm_up_ns,
        outputs=runner.fetch(answer) if request.calls else {},
    )


def _peak_mb() -> float | None:
    # ru_maxrss would do, but a child inherits its parent's peak there.
    try:
        with Path("/proc/self/status").open(encoding="ascii") as status:
            for line in status:
                if line.startswith("VmHWM:"):
                    return int(line.split()[1]) / 1024
    except OSError:
        log.debug("no /proc here: peak memory is not known")
    return None
