"""The parent's side of `benchmarks.peers_serve`: start one engine's process and ask it."""

from __future__ import annotations

import json
import os
import select
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Any

import msgspec

SERVE = Path(__file__).with_name("peers_serve.py")


class EngineFailed(Exception):
    """An engine can't open or run a model; the message says why."""


class Engine(msgspec.Struct, frozen=True):
    """One row: what opens it, in which interpreter, and what that is told.

    `note` says of it what the results are to keep, such as why a search chose it.
    """

    label: str
    opener: str
    python: str
    told: dict[str, Any]
    ours: bool = False
    note: str = ""


class Child:
    """An engine's process. It ends with the `with` block."""

    def __init__(self, engine: Engine, *, log: Path, limit_s: float) -> None:
        self.engine = engine
        self._limit_s = limit_s
        self._log = log.open("ab")
        self._process = subprocess.Popen(
            [engine.python, str(SERVE)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            bufsize=0,
            # A user's own interpreter sees none of this one's packages.
            env={name: text for name, text in os.environ.items() if name != "PYTHONPATH"},
        )

    def __enter__(self) -> Child:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.kill()
        self._process.communicate()
        self._log.close()

    def tell(self, do: str, **more: Any) -> None:
        """Send a request without waiting for its reply."""
        assert self._process.stdin is not None
        line = json.dumps({"do": do, **more}) + "\n"
        try:
            self._process.stdin.write(line.encode())
        except BrokenPipeError as error:
            raise EngineFailed("its process ended") from error

    def hear(self) -> dict[str, Any]:
        """Wait for the reply to the oldest request.

        Raises:
            EngineFailed: it says why it can't, says nothing in time, or is gone.
        """
        assert self._process.stdout is not None
        line, until = b"", time.monotonic() + self._limit_s
        while not line.endswith(b"\n"):
            left = max(until - time.monotonic(), 0.0)
            if not select.select([self._process.stdout], [], [], left)[0]:
                raise EngineFailed(f"no answer within {self._limit_s:g} s")
            part = self._process.stdout.read(1 << 16)
            if not part:
                raise EngineFailed(f"its process ended ({self._process.wait()})")
            line += part
        reply: dict[str, Any] = json.loads(line)
        if "problem" in reply:
            raise EngineFailed(reply["problem"])
        return reply

    def ask(self, do: str, **more: Any) -> dict[str, Any]:
        """Send a request and wait for its reply."""
        self.tell(do, **more)
        return self.hear()
