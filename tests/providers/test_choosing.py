from __future__ import annotations

import dataclasses
import importlib

import pytest

from edgekit import providers
from edgekit.errors import BadValue, ModelFileError, ProviderUnavailable, ProviderUnfit
from edgekit.package.values import SessionChoice
from edgekit.providers import Diagnosis, choosing


@pytest.fixture
def usable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every provider that may be chosen find its hardware."""
    here = Diagnosis(usable=True, cause="", found="all of it", needed="", mend="")
    for name in choosing.BEST_FIRST:
        module = importlib.import_module(f"edgekit.providers.{name.replace('-', '_')}")
        changed = dataclasses.replace(module.PROVIDER, diagnosed=lambda provider: here)
        monkeypatch.setattr(module, "PROVIDER", changed)


def opened(choice: SessionChoice, chosen: choosing.Chosen) -> str:
    assert choice.provider == chosen.provider
    return chosen.reason


def test_only_providers_that_are_listed_are_chosen_and_the_cpu_comes_last() -> None:
    assert set(choosing.BEST_FIRST) <= set(providers.names())
    assert choosing.BEST_FIRST[-1] == "cpu"
    assert providers.BEST not in providers.names()


def test_the_best_here_is_told_with_what_stands_in_the_way_of_each_better_one() -> None:
    chosen = choosing.best()
    better = choosing.BEST_FIRST[: choosing.BEST_FIRST.index(chosen.provider)]
    assert tuple(chosen.passed_over) == better
    for name in better:
        assert chosen.passed_over[name] == providers.find(name).diagnose().cause
        assert chosen.reason.count(f": {chosen.passed_over[name]}") == 1


def test_providers_that_fail_for_one_cause_are_named_together() -> None:
    passed_over = {"tensorrt": "no GPU", "cuda": "no GPU", "openvino": "no Intel"}
    assert choosing.Chosen("cpu", passed_over).reason == (
        "the best provider that can be used here is cpu (not tensorrt, cuda: no GPU; not openvino: "
        "no Intel)"
    )


def test_where_all_can_be_used_the_first_is_taken(usable: None) -> None:
    del usable
    assert choosing.best() == choosing.Chosen(choosing.BEST_FIRST[0], {})
    assert "(" not in choosing.best().reason


@pytest.mark.parametrize(
    "error",
    [
        ProviderUnavailable(provider="x", cause="the GPU is full", mend=""),
        ProviderUnfit(provider="x", variant="int8", reason="the GPU is full"),
    ],
    ids=["unavailable", "unfit"],
)
def test_a_provider_that_fails_when_it_is_tried_is_passed_over(
    usable: None, error: Exception
) -> None:
    del usable
    tried = []

    def opening(choice: SessionChoice, chosen: choosing.Chosen) -> str:
        tried.append(choice.provider)
        if choice.provider != "cuda":
            raise error
        return opened(choice, chosen)

    reason = choosing.first_that_opens(SessionChoice(provider="best", threads=3), opening)
    assert tried == ["tensorrt", "cuda"]
    assert reason.endswith("cuda (not tensorrt: the GPU is full)")


def test_the_last_one_that_fails_says_why(usable: None) -> None:
    del usable

    def opening(choice: SessionChoice, chosen: choosing.Chosen) -> str:
        raise ProviderUnavailable(provider=choice.provider, cause="out of luck", mend="")

    with pytest.raises(ProviderUnavailable, match="'cpu' cannot be used here: out of luck"):
        choosing.first_that_opens(SessionChoice(provider="best"), opening)


def test_what_is_not_about_the_provider_is_raised(usable: None) -> None:
    del usable

    def opening(choice: SessionChoice, chosen: choosing.Chosen) -> str:
        raise ModelFileError(path="a.onnx", problem="it is torn")

    with pytest.raises(ModelFileError, match="it is torn"):
        choosing.first_that_opens(SessionChoice(provider="best"), opening)


def test_options_of_one_provider_are_refused() -> None:
    choice = SessionChoice(provider="best", provider_options={"use_tf32": "1"})
    with pytest.raises(BadValue, match="the provider that it is for"):
        choosing.first_that_opens(choice, opened)
    with pytest.raises(BadValue, match="the library of a provider cannot be given"):
        choosing.first_that_opens(SessionChoice(provider="best"), opened, library="x.so")
