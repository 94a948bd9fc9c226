"""What is taken down of a race: how right a candidate is comes from one that computes the same."""

from __future__ import annotations

from collections.abc import Callable

from edgekit.measure.results import Quality
from edgekit.metrics import Estimate
from edgekit.package.values import SessionChoice
from edgekit.tune.racing import Race
from edgekit.tune.setting import Setting
from edgekit.tune.standing import Standing
from edgekit.tune.ways import Way

HINT = "INFERENCE_PRECISION_HINT"


def quality(cosine: float) -> Quality:
    return Quality("digits", 360, "key", cosine=Estimate(cosine, cosine, cosine, 360, "t"))


def test_other_threads_are_as_right_as_what_computes_in_the_same_numbers(
    setting: Setting, raced: Callable[..., Race]
) -> None:
    name = setting.parent.name
    plain = Way(name, SessionChoice("openvino"))
    short = Way(name, SessionChoice("openvino", provider_options={HINT: "bf16"}))
    alone = Way(name, SessionChoice("openvino", threads=1, provider_options={HINT: "bf16"}))
    standing = Standing(setting)
    standing.ran(raced(setting, (plain, 900, quality(1.0))), [plain])
    assert standing.judged(plain)
    assert not standing.judged(short), "other numbers are judged on their own"
    first = raced(setting, (plain, 900, quality(1.0)), (short, 800, quality(0.95)))
    standing.ran(first, [plain, short])
    standing.ran(raced(setting, (alone, 700, None)), [alone])
    assert standing.tried[alone.label].quality == quality(0.95)
    assert standing.tried[plain.label].quality == quality(1.0)
