"""The child's side of a worker: it answers one request after the other until its pipe closes."""

from __future__ import annotations

import importlib
import io
import logging
import os
import queue
import signal
import sys
import threading
import time
import traceback
import typing
from pathlib import Path
from typing import IO, Any

import msgspec

from edgekit import frames
from edgekit.errors import EdgekitError, to_wire
from edgekit.frames import Event, Reply, Request
from edgekit.installed import missing_extra
from edgekit.storage import as_storage_error
from edgekit.workers import FUNCTIONS, Opened, Timed

log = logging.getLogger("edgekit")


class _Answers:
    """The child's end of the pipe to its parent: whole frames, whichever thread sends them."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._writing = threading.Lock()
        stream.write(frames.GREETING)
        stream.flush()

    def send(self, payload: bytes) -> None:
        with self._writing:
            frames.write(self._stream, payload)


class _EventSender(logging.Handler):
    """Sends what the called code logs to the parent, which logs it again."""

    def __init__(self, answers: _Answers) -> None:
        super().__init__(logging.INFO)
        self._answers = answers

    def emit(self, record: logging.LogRecord) -> None:
        try:
            progress = getattr(record, "progress", None)
            event = Event(record.levelno, record.getMessage(), progress)
            self._answers.send(frames.encode(Reply(event=event)))
        except Exception:
            self.handleError(record)


def serve() -> None:
    """Answer a parent's requests until its pipe closes. What `Worker` starts."""
    asked = os.fdopen(os.dup(0), "rb")
    answers = _Answers(os.fdopen(os.dup(1), "wb"))
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    if isinstance(sys.stdout, io.TextIOWrapper):
        # What was printed last must be out when the process ends without a word.
        sys.stdout.reconfigure(line_buffering=True)
    log.addHandler(_EventSender(answers))
    log.setLevel(logging.INFO)
    log.propagate = False

    requests: queue.SimpleQueue[bytes] = queue.SimpleQueue()

    def listen() -> None:
        try:
            while (frame := frames.read(asked)) is not None:
                requests.put(frame)
        finally:
            _leave()

    threading.Thread(target=listen, daemon=True).start()
    held: dict[str, Any] = {}
    while True:
        answers.send(_reply_to(requests.get(), held))


def _leave() -> None:
    """End this process at once, and what it started, if it leads a group of its own."""
    if hasattr(os, "killpg") and os.getpgrp() == os.getpid():
        os.killpg(os.getpgrp(), signal.SIGKILL)
    os._exit(0)


def _reply_to(frame: bytes, held: dict[str, Any]) -> bytes:
    try:
        try:
            return frames.encode(Reply(value=_answer(frames.decode(frame, Request), held)))
        except EdgekitError as error:
            return frames.encode(Reply(error=to_wire(error)))
    except Exception as error:
        known = missing_extra(error) or as_storage_error(error)
        if known is not None:
            return frames.encode(Reply(error=to_wire(known)))
        return frames.encode(Reply(fault=traceback.format_exc()))


def _answer(request: Request, held: dict[str, Any]) -> Any:
    if request.do == "call":
        return _resolve(request)()
    if request.do == "open":
        return _open(request, held)
    if request.do == "run":
        return _run(request, held["runner"])
    if request.do == "peak":
        return _peak_mb()
    if request.do == "release":
        return held.pop("runner").close()
    raise ValueError(f"unknown request {request.do!r}")


def _resolve(request: Request) -> Any:
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


def _open(request: Request, held: dict[str, Any]) -> Opened:
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


def _run(request: Request, runner: Any) -> Timed:
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
        answer = None  # the last one is freed outside what is timed
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
