"""The model hub behind timm and transformers: whether it can be reached, said at once.

The hub's own client tries for 23 seconds before it gives up, and tells that in several lines.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from urllib.parse import urlsplit
from urllib.request import getproxies

from edgekit.errors import FactoryFailed


def is_offline() -> bool:
    """Tell whether downloads are switched off (HF_HUB_OFFLINE) or the hub's host isn't known here.

    Behind a proxy the proxy resolves the host, so nothing is known beforehand.
    """
    from huggingface_hub import constants

    if constants.is_offline_mode():
        return True
    if {"http", "https", "all"} & set(getproxies()):
        return False
    host = urlsplit(constants.ENDPOINT)
    try:
        socket.getaddrinfo(host.hostname, host.port or 443)
    except OSError:
        return True
    return False


def unreachable(target: str, what: str, *, instead: str) -> FactoryFailed:
    """Say in one sentence what can't be downloaded, and what does without a network."""
    from huggingface_hub import constants

    why = (
        "HF_HUB_OFFLINE forbids downloads"
        if constants.is_offline_mode()
        else f"{constants.ENDPOINT} can't be reached from here"
    )
    return FactoryFailed(
        target=target,
        problem=f"needs {what}, which is not in the cache folder {cache_folder()}, and {why}. "
        f"{instead}",
    )


def cache_folder() -> str:
    """Return the folder where downloads from the hub are kept."""
    from huggingface_hub import constants

    return os.fspath(constants.HF_HUB_CACHE)


def cached(repository: str, files: Sequence[str]) -> str | None:
    """Find the first of some files of a repository that an earlier download left here."""
    from huggingface_hub import try_to_load_from_cache

    for file in files:
        found = try_to_load_from_cache(repository, file)
        if isinstance(found, str):
            return found
    return None
