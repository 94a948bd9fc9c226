"""What one process got of a provider's work, in a folder of its own (`edgekit.compiled.building`).

A provider may write there for as long as its session is open, and the RTX plug-in writes its cache
only as that is closed.
"""

from __future__ import annotations

import logging
import weakref
from types import TracebackType

from edgekit.compiled import trusted
from edgekit.compiled.keys import CompileKey, Record, place_of
from edgekit.compiled.scratch import Scratch, locked
from edgekit.compiled.trusted import Unfit

log = logging.getLogger("edgekit")

_ADOPT_WAIT_S = 10.0


class Prepared:
    """A private folder with what was built, until `close`.

    It goes with this object, or with the process. A provider that only reads while it loads needs
    it no longer than that; what it would write later is then lost.

    Attributes:
        folder: the folder; nobody else reads or writes in it.
        built: that it was built here and now, and not taken from the cache.
        build_s: how long it took to build, now or when it was kept.
        kept: that the next start finds it.
    """

    def __init__(
        self,
        scratch: Scratch,
        key: CompileKey,
        record: Record | None,
        *,
        built: bool,
        build_s: float,
        label: str,
    ) -> None:
        self.folder = scratch.files
        self.built = built
        self.build_s = build_s
        self._scratch, self._key, self._record, self._label = scratch, key, record, label
        self._gone = weakref.finalize(self, scratch.remove)

    @property
    def kept(self) -> bool:
        return self._record is not None

    def adopt(self) -> bool:
        """Keep what the folder holds now, and say whether that is new.

        For files that a provider wrote after it was built; call it when the session is closed. Of
        two processes that both have something new the first one's is kept.
        """
        if self._record is None or not self._gone.alive:
            return False
        place = place_of(self._key)
        try:
            files = trusted.listed(self.folder)
            # A folder that somebody has emptied is nothing new.
            if not files or trusted.records(files) == self._record.files:
                return False
            with locked(place.with_suffix(".lock"), timeout_s=_ADOPT_WAIT_S):
                trusted.refuse_parents(place)
                if trusted.read(place) != self._record:
                    return False
                self._record = trusted.put(
                    files,
                    place,
                    key=self._key,
                    build_s=self.build_s,
                    label=self._label,
                    scratch=self._scratch.folder,
                )
        except (OSError, Unfit) as error:  # filelock's Timeout is an OSError
            what = named(self._key, self._label)
            log.warning("what was built of %s later could not be kept: %s", what, error)
            return False
        return True

    def empty(self) -> None:
        """Remove what the folder holds, because it can't be used; the next may be adopted."""
        self._scratch.empty()

    def close(self) -> None:
        """Remove the folder."""
        self._gone()

    def __enter__(self) -> Prepared:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def named(key: CompileKey, label: str) -> str:
    """Say what the model is, in messages."""
    return label or f"model {key.model_sha256[:12]}"


def words(error: Exception) -> str:
    """Say what went wrong without a path, where the operating system says it."""
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
