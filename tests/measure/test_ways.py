from __future__ import annotations

from pathlib import Path

import pytest

from edgekit.errors import BadValue, ProviderUnavailable
from edgekit.measure.ways import How, each_memory, settle, variant_call
from edgekit.package.values import SessionChoice

CUDA = How(SessionChoice(provider="cuda"))


def test_a_provider_with_a_memory_of_its_own_is_timed_from_both() -> None:
    assert [how.arrays for how in each_memory(CUDA)] == ["host", "device"]
    assert [how.arrays for how in each_memory(CUDA, "device")] == ["device"]
    assert [how.session for how in each_memory(CUDA)] == [CUDA.session, CUDA.session]


def test_any_other_provider_is_timed_from_the_host() -> None:
    assert each_memory(How()) == [How()]
    assert each_memory(How(), "host") == [How()]
    with pytest.raises(BadValue, match="'device' on the provider 'cpu': expected 'host'"):
        each_memory(How(), "device")


def test_a_call_says_all_of_how_it_runs() -> None:
    how = How(CUDA.session, library="/x.so", strict=True, arrays="device")
    call = variant_call(Path("net.onnx"), "net", How(CUDA.session, strict=True, arrays="device"))
    assert call.function == "edgekit.runtime.runner:open_variant"
    assert call.arguments == {
        "path": str(Path("net.onnx").absolute()),
        "variant": "net",
        "session": how.session,
        "library": None,
        "strict": True,
        "arrays": "device",
    }
    assert call.environment == {"NVIDIA_TF32_OVERRIDE": "0"}
    assert variant_call(Path("net.onnx"), "net", How()).environment == {}


def test_best_is_settled_with_its_reason() -> None:
    how, note = settle(How(SessionChoice(provider="best", threads=3)))
    assert how.session.provider != "best"
    assert how.session.threads == 3
    assert note.startswith(f"the best provider that can be used here is {how.session.provider}")
    assert settle(How()) == (How(), "")


def test_options_beside_best_are_refused() -> None:
    with pytest.raises(BadValue, match="the provider that it is for"):
        settle(How(SessionChoice(provider="best"), library="/x.so"))


def test_a_provider_that_is_not_here_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ProviderUnavailable, match="xnnpack"):
        settle(How(SessionChoice(provider="xnnpack")))
