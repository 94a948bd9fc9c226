"""Build once what a provider compiles, and hand it to every process that needs it.

`prepared` gives each caller a private folder that already holds what was kept for its key, or, for
the first, what its own `build` has just put there. One process builds, under a lock; those that
come meanwhile wait for it and then take copies. Every folder is private because a provider doesn't
only read there: TensorRT writes a new engine over the old one at the first shape outside of its
profile, and its timing cache, while other processes may be reading theirs. What it writes stays
private and goes with the folder, unless `Prepared.adopt` is called once the session is closed.

Nothing here fails for want of a cache. Where it can't be written, isn't this user's, its disk fills
up, or a builder has held its lock for `wall_s`, what is needed is built in a temporary folder for
one process alone, with a warning that the next start will build again. A builder that is killed
leaves a scratch folder that nobody holds; whoever comes a minute later removes it. The lock itself
ends with the process.

What is logged at INFO while something is built, a line every few seconds, is what the command line
shows; a `build` that knows how far it is may log lines of its own with
``extra={"progress": (done, total)}``.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from edgekit.compiled import trusted
from edgekit.compiled.keys import CompileKey, Record, place_of
from edgekit.compiled.prepared import Prepared, named, words
from edgekit.compiled.scratch import Scratch, acquire
from edgekit.compiled.trusted import Unfit

log = logging.getLogger("edgekit")

WALL_S = 1800.0
"""How long another process may build before this one no longer waits for it."""

_ROOM_BYTES = 16 << 20
"""With less than this left a disk counts as full."""
_TOLD_EVERY_S = 5.0


def prepared(
    key: CompileKey, build: Callable[[Path], None], *, label: str = "", wall_s: float = WALL_S
) -> Prepared:
    """Give a private folder with what was built for a key; build it if nothing is kept.

    Args:
        key: all that it depends on.
        build: fills an empty folder, in this process. It is called once, and again where that
            failed on a full disk; the folder that it filled is the one that is returned: a session
            that it opened may stay open.
        label: what the model is, in messages and in lists: "cnn · fp32".
        wall_s: how long to wait for another process that is building the same.

    Raises:
        OSError: not even a temporary folder can be written.
        Exception: whatever `build` raises; then nothing is kept.
    """
    place, alone_because, may_read = place_of(key), "", True
    try:
        trusted.refuse_parents(place)
        scratch = Scratch.beside(place)
    except Unfit as error:
        alone_because, may_read = str(error), False
        scratch = Scratch.temporary()
    except OSError as error:
        alone_because = f"the cache cannot be written: {words(error)}"
        scratch = Scratch.temporary()
    work = _Work(key, place, build, label, wall_s, scratch, alone_because, may_read)
    try:
        return _taken(work) or (_alone(work) if work.alone_because else _together(work))
    except BaseException:
        work.scratch.remove()
        raise


@dataclass
class _Work:
    """What one call of `prepared` has to do, and how far it may go.

    `alone_because` says why nothing may be kept; empty where it may.
    """

    key: CompileKey
    place: Path
    build: Callable[[Path], None]
    label: str
    wall_s: float
    scratch: Scratch
    alone_because: str = ""
    may_read: bool = True

    @property
    def what(self) -> str:
        return f"{named(self.key, self.label)} for {self.key.provider}"

    def done(self, record: Record | None, *, built: bool, build_s: float) -> Prepared:
        return Prepared(
            self.scratch, self.key, record, built=built, build_s=build_s, label=self.label
        )


def _taken(work: _Work, *, last: bool = False) -> Prepared | None:
    """Take a copy of what is kept; None where nothing is, or where it can't be used.

    Why is said if this was the `last` try: before it, another process may be replacing it.
    """
    if not work.may_read:
        return None
    try:
        record = trusted.copy_out(work.place, work.key, work.scratch.files)
    except Unfit as error:
        work.scratch.empty()
        if error.others:
            work.alone_because = work.alone_because or str(error)
        elif last or work.alone_because:
            log.warning("what was built of %s is not used: %s", work.what, error)
        return None
    except OSError as error:
        if work.alone_because:
            raise
        # The disk that the cache is on may be full; that of temporary files is another, often.
        work.alone_because = f"the cache cannot be written: {words(error)}"
        work.scratch.remove()
        work.scratch = Scratch.temporary()
        return _taken(work)
    if record is None:
        return None
    return work.done(record, built=False, build_s=record.build_s)


def _together(work: _Work) -> Prepared:
    """Build, or wait for whoever builds, and say so."""
    from filelock import Timeout

    try:
        with _telling(f"waiting for another process that builds {work.what}"):
            held = acquire(work.place.with_suffix(".lock"), timeout_s=work.wall_s)
    except Timeout:
        work.alone_because = f"another process has been building it for {work.wall_s:g} s"
        return _alone(work)
    except OSError as error:
        work.alone_because = f"the cache cannot be locked: {words(error)}"
        return _alone(work)
    try:
        if (taken := _taken(work, last=True)) is not None:
            return taken
        if work.alone_because:
            return _alone(work)
        build_s = _build(work)
        if work.alone_because:
            _warn_not_kept(work, work.alone_because)
            return work.done(None, built=True, build_s=build_s)
        record = None
        try:
            record = trusted.put(
                trusted.listed(work.scratch.files),
                work.place,
                key=work.key,
                build_s=build_s,
                label=work.label,
                scratch=work.scratch.folder,
            )
        except (OSError, Unfit) as error:
            _warn_not_kept(work, f"it could not be kept: {words(error)}")
        return work.done(record, built=True, build_s=build_s)
    finally:
        held.release()


def _alone(work: _Work) -> Prepared:
    """Build for this process only."""
    build_s = _build(work)
    _warn_not_kept(work, work.alone_because)
    return work.done(None, built=True, build_s=build_s)


def _build(work: _Work) -> float:
    log.info("building %s for the first time", work.what)
    began = time.perf_counter()
    with _telling(f"building {work.what} for the first time"):
        try:
            work.build(work.scratch.files)
        except Exception as error:
            if work.alone_because or not _is_full(work.scratch.folder, error):
                raise
            work.alone_because = "the disk of the cache is full"
            work.scratch.remove()
            work.scratch = Scratch.temporary()
            work.build(work.scratch.files)
    took_s = time.perf_counter() - began
    log.info("built %s in %.1f s", work.what, took_s)
    return took_s


def _is_full(folder: Path, error: Exception) -> bool:
    """Tell whether a build failed for want of room, which not every provider says."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return True
    try:
        return shutil.disk_usage(folder).free < _ROOM_BYTES
    except OSError:
        return False


def _warn_not_kept(work: _Work, reason: str) -> None:
    log.warning(
        "%s was built for this process alone, and the next start builds it again: %s",
        work.what,
        reason,
    )


@contextlib.contextmanager
def _telling(what: str) -> Iterator[None]:
    """Log a line every few seconds until the block ends, and none after it."""
    over = threading.Event()

    def tell() -> None:
        began = time.monotonic()
        while not over.wait(_TOLD_EVERY_S):
            log.info("%s; %.0f s so far", what, time.monotonic() - began)

    thread = threading.Thread(target=tell, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
