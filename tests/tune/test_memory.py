"""What of an earlier search concerns this one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec

from edgekit.budgets import Budget
from edgekit.tune import ending, memory
from edgekit.tune.setting import prepare
from edgekit.tune.standing import Standing


def test_what_a_search_left_behind_is_known_to_the_next_one(network: Callable[[], Path]) -> None:
    """The next asks for something else, and goes on with nothing of it."""
    setting = prepare(network(), providers=("cpu",), budgets=(Budget("cosine", 0.9),))
    standing = Standing(setting, made=("fp32", "gone"))
    left = ending.tuned(
        standing, ending.not_ended(standing), took_s=1, limit_s=None, finished=False
    )
    assert memory.made_before(None, setting) == ()
    memory.store(setting.path, left)
    other = prepare(setting.path, providers=("cpu",), budgets=(Budget("cosine", 0.5),))
    assert memory.earlier(other) is None
    assert memory.made_before(None, other) == ("fp32", "gone")
    memory.store(setting.path, msgspec.structs.replace(left, files={}))
    assert memory.made_before(None, other) == ("gone",), "another file has that name now"
    ended = msgspec.structs.replace(left, finished=True)
    memory.store(setting.path, ended)
    assert memory.made_before(None, other) == (), "what it left, it was to leave"
    assert memory.made_before(ended, setting) == ("fp32", "gone")
