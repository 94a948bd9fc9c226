"""The one way to start a child process; `edgekit.serving` is what runs in it.

A child is a fresh interpreter: a forked one inherits locks and thread pools that hang, and
multiprocessing would run the user's `__main__` again. Parent and child talk in length-prefixed
msgpack frames over the child's stdin and stdout; before anything else runs the child moves both
out of the way, so that code which prints or reads can't disturb the frames. A child ends with its
parent, because its reading thread sees the pipe close even while a call is running, and takes
along what it started itself.

Neither module imports more than msgspec, since the child times the imports of everything else.
"""

from __future__ import annotations

import logging
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Any, TypeVar

import msgspec

from edgekit import frames
from edgekit.errors import (
    WorkerDied,
    WorkerError,
    WorkerTimeout,
    from_wire,
)
from edgekit.frames import Reply, Request
from edgekit.tensors import Feed, RunFacts, Signature

log = logging.getLogger("edgekit")
T = TypeVar("T")

FUNCTIONS = frozenset(
    {
        "edgekit.runtime.folding:open_folding",
        "edgekit.runtime.kernels:profile_kernels",
        "edgekit.runtime.kernels:save_loaded",
        "edgekit.runtime.node_times:time_nodes",
        "edgekit.runtime.runner:open_variant",
        "exporters.runners:open_eager",
        "exporters.runners:open_compiled",
        "exporters.attempt:attempt_target",
        "exporters.attempt:attempt_module",
    }
)
"""All that a worker may be told to call. It is never a package that says which."""

_KEPT_OUTPUT_LINES = 200
_LONGEST_LINE = 1 << 16
_POLL_S = 1.0
# Our own folder comes first for this one import: the parent may have moved to another folder since
# it imported edgekit, and there may be an `edgekit` in that one.
_CHILD = (
    "import sys; own, *path = sys.argv[1:]; del sys.argv[1:]; sys.path[:] = [own, *path]; "
    "from edgekit.serving import serve; sys.path[:] = path; serve()"
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


class WorkerFault(RuntimeError):
    """Code of edgekit's own failed inside a worker; the text is the child's traceback."""


class Worker:
    """A child process that holds at most one runner.

    `what` names the work in errors. `wall_s` bounds every single request; there is one at a time.
    Use it as a context manager; leaving it ends the child and its process group, which is whatever
    the child started and did not send off into a session of its own.

    Raises (from every request):
        WorkerDied: the child ended without an answer, or could not be started.
        WorkerTimeout: it did not answer within `wall_s`; it has been ended.
        EdgekitError: what the called function raised, as it raised it.
    """

    def __init__(
        self, what: str, *, wall_s: float, environment: Mapping[str, str] | None = None
    ) -> None:
        self.what = what
        self.wall_s = wall_s
        path = [Path(__file__).parents[1], *(Path(entry).absolute() for entry in sys.path)]
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-c", _CHILD, *path],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env={**os.environ, **(environment or {})},
                # A session of its own: Ctrl-C reaches the parent alone, which then ends the group.
                start_new_session=True,
            )
        except OSError as error:
            how = f"could not be started ({error.strerror})"
            raise WorkerDied(what=what, how=how) from error
        self._requests: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._answers: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._said: deque[str] = deque(maxlen=_KEPT_OUTPUT_LINES)
        self._over: WorkerError | None = None
        self._ended = False
        self._output = threading.Thread(target=self._listen_to_output, daemon=True)
        self._threads = [
            threading.Thread(target=self._speak, daemon=True),
            threading.Thread(target=self._listen_to_frames, daemon=True),
            self._output,
        ]
        for thread in self._threads:
            thread.start()

    def call(self, call: Call, *, returns: type[T]) -> T:
        """Call a function in the child and return its value as `returns`."""
        request = Request(do="call", function=call.function, arguments=call.arguments)
        return msgspec.convert(self._ask(request), returns)

    def open(self, call: Call) -> Opened:
        """Call a function that returns a Runner, which stays in the child for `run`."""
        request = Request(do="open", function=call.function, arguments=call.arguments)
        return msgspec.convert(self._ask(request), Opened)

    def run(self, feed: Feed, *, calls: int = 1, warm_ups: int = 0) -> Timed:
        """Run `feed` `warm_ups` times and then `calls` times, timing each run in the child."""
        request = Request(do="run", feed=dict(feed), calls=calls, warm_ups=warm_ups)
        return msgspec.convert(self._ask(request), Timed)

    def peak_mb(self) -> float | None:
        """Read the child's highest resident memory so far, in MB; None where it can't be read."""
        return msgspec.convert(self._ask(Request(do="peak")), float | None)

    def release(self) -> None:
        """Let the child close its runner, which then writes what it keeps; `close` kills it."""
        self._ask(Request(do="release"))

    def output(self) -> list[str]:
        """List the last lines that the child wrote to its stdout and stderr."""
        return list(self._said)

    def close(self) -> None:
        """End the child and its process group, and wait until the child is gone."""
        self._end()
        self._requests.put(None)
        for thread in self._threads:
            # Something that left the group may still hold the other end of a pipe.
            thread.join(timeout=_POLL_S)
        if not any(thread.is_alive() for thread in self._threads):
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

    def _ask(self, request: Request) -> Any:
        if self._over is not None:
            raise self._over
        self._requests.put(frames.encode(request))
        deadline = time.monotonic() + self.wall_s
        while True:
            reply = self._next_reply(deadline)
            if reply.event is not None:
                event = reply.event
                log.log(event.level, "%s", event.text, extra={"progress": event.progress})
            elif reply.error is not None:
                raise from_wire(*reply.error)
            elif reply.fault is not None:
                raise WorkerFault(reply.fault)
            else:
                return reply.value

    def _next_reply(self, deadline: float) -> Reply:
        while (left_s := deadline - time.monotonic()) > 0:
            try:
                frame = self._answers.get(timeout=min(left_s, _POLL_S))
            except queue.Empty:
                # A process that the child forked may hold its end of the pipe open.
                frame = None
                if self._process.poll() is None:
                    continue
            if frame is None:
                self._over = self._death()
                raise self._over
            return frames.decode(frame, Reply)
        self._end()
        self._over = WorkerTimeout(what=self.what, limit_s=self.wall_s)
        raise self._over

    def _death(self) -> WorkerDied:
        try:
            how = _ending(self._process.wait(timeout=_POLL_S))
        except subprocess.TimeoutExpired:
            how = "closed its pipe before it had answered"
        self._end()
        self._output.join(timeout=_POLL_S)
        last = next((line for line in reversed(self._said) if line.strip()), "")
        return WorkerDied(what=self.what, how=how, last_words=last.strip()[:300])

    def _end(self) -> None:
        """Kill the child's whole process group: it may have started compilers or loaders."""
        if self._ended:  # its number may be another's by now
            return
        if hasattr(os, "killpg"):
            try:
                os.killpg(self._process.pid, signal.SIGKILL)
            except (ProcessLookupError, PermissionError):  # macOS: a group of zombies
                log.debug("%s: its process had already ended", self.what)
        else:
            self._process.kill()
        self._process.wait()
        self._ended = True

    def _speak(self) -> None:
        # In a thread, so that a child that doesn't read can't hold up its parent beyond `wall_s`.
        stream = _opened(self._process.stdin)
        while (frame := self._requests.get()) is not None:
            try:
                frames.write(stream, frame)
            except BrokenPipeError:
                log.debug("%s: its process is gone", self.what)
                return

    def _listen_to_frames(self) -> None:
        stream = _opened(self._process.stdout)
        # What a site's own start-up files print comes before the greeting.
        greeted = False
        while not greeted and (line := stream.readline(_LONGEST_LINE)):
            greeted = line.endswith(frames.GREETING)
            if printed := line.removesuffix(frames.GREETING):
                self._said.append(printed.decode(errors="replace").rstrip())
        while (frame := frames.read(stream)) is not None:
            self._answers.put(frame)
        self._answers.put(None)

    def _listen_to_output(self) -> None:
        stream = _opened(self._process.stderr)
        while line := stream.readline(_LONGEST_LINE):
            text = line.decode(errors="replace").rstrip()
            self._said.append(text)
            log.debug("%s: %s", self.what, text)


def _ending(code: int) -> str:
    if code >= 0:
        return f"ended with exit code {code} before it had answered"
    name = next((known.name for known in signal.Signals if known == -code), f"signal {-code}")
    return f"was killed by {name}" + (" (perhaps for want of memory)" if name == "SIGKILL" else "")


def _opened(pipe: IO[bytes] | None) -> IO[bytes]:
    assert pipe is not None
    return pipe


def _close_quietly(pipe: IO[bytes] | None) -> None:
    try:
        _opened(pipe).close()
    except BrokenPipeError:
        log.debug("a worker's pipe was already broken when it was closed")
