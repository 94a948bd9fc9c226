from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnxruntime as ort
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgekit import machine, providers
from edgekit.errors import BadValue, UnknownName
from edgekit.package.values import SessionChoice
from edgekit.providers.options import SESSION_OPTIONS
from edgekit.terms import GraphLevel, Idle, members

PROVIDERS = providers.names()


def open_on_cpu(settings: providers.OrtSettings, model: Path) -> ort.InferenceSession:
    """Make a session on the CPU with every setting but the provider."""
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = settings.intra_op_num_threads
    options.inter_op_num_threads = settings.inter_op_num_threads
    options.graph_optimization_level = getattr(
        ort.GraphOptimizationLevel, settings.graph_optimization_level
    )
    for key, value in settings.config_entries.items():
        options.add_session_config_entry(key, value)
    return ort.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])


@pytest.fixture(scope="module")
def library() -> bytes:
    """Return the compiled part of onnxruntime that Python loads."""
    from onnxruntime.capi import onnxruntime_pybind11_state

    return Path(onnxruntime_pybind11_state.__file__).read_bytes()


@pytest.mark.parametrize("key", sorted(SESSION_OPTIONS))
def test_session_option_is_known_to_onnxruntime_and_read_back(
    key: str, library: bytes, tiny_onnx: Callable[[], Path]
) -> None:
    # A session keeps any key, known or not: that the library knows it shows in the library alone.
    assert key.encode() in library
    settings = providers.find("cpu").translate(SessionChoice(session_options={key: "1"}))
    session = open_on_cpu(settings, tiny_onnx())
    assert session.get_session_options().get_session_config_entry(key) == "1"


@pytest.mark.parametrize("name", PROVIDERS)
@pytest.mark.parametrize(
    ("idle", "spinning", "duration_us"),
    [("spin", "1", None), ("brief", "1", "200"), ("sleep", "0", None)],
)
def test_idle_reaches_the_session(
    name: str,
    idle: Any,
    spinning: str,
    duration_us: str | None,
    library: bytes,
    tiny_onnx: Callable[[], Path],
) -> None:
    settings = providers.find(name).translate(SessionChoice(provider=name, idle=idle))
    got = open_on_cpu(settings, tiny_onnx()).get_session_options()
    assert got.get_session_config_entry("session.intra_op.allow_spinning") == spinning
    assert settings.config_entries.get("session.intra_op.spin_duration_us") == duration_us
    assert all(key.encode() in library for key in settings.config_entries)


@pytest.mark.parametrize("name", PROVIDERS)
@pytest.mark.parametrize("level", members(GraphLevel))
def test_graph_level_reaches_the_session(
    name: str, level: Any, tiny_onnx: Callable[[], Path]
) -> None:
    settings = providers.find(name).translate(SessionChoice(provider=name, graph_level=level))
    got = open_on_cpu(settings, tiny_onnx()).get_session_options()
    ends = {"disabled": "DISABLE_ALL"}.get(level, level.upper())
    assert str(got.graph_optimization_level).endswith(ends)


@pytest.mark.parametrize("name", PROVIDERS)
def test_threads_reach_the_session(name: str, tiny_onnx: Callable[[], Path]) -> None:
    settings = providers.find(name).translate(SessionChoice(provider=name, threads=3))
    got = open_on_cpu(settings, tiny_onnx()).get_session_options()
    assert got.intra_op_num_threads == 3
    assert got.inter_op_num_threads == 1
    assert got.execution_mode == ort.ExecutionMode.ORT_SEQUENTIAL


@pytest.mark.parametrize("name", PROVIDERS)
def test_threads_are_as_many_as_may_be_used_by_default(name: str) -> None:
    settings = providers.find(name).translate(SessionChoice(provider=name))
    assert settings.intra_op_num_threads == machine.threads_available()


@pytest.mark.parametrize("threads", [0, -1])
def test_threads_below_one_are_refused(threads: int) -> None:
    with pytest.raises(BadValue, match="1 or more"):
        providers.find("cpu").translate(SessionChoice(threads=threads))


def values_of(option: providers.Option) -> st.SearchStrategy[str]:
    """Draw values that an option takes."""
    if option.words:
        return st.sampled_from(option.words)
    if option.low is not None:
        return st.integers(option.low, option.high).map(str)
    return st.from_regex(option.pattern, fullmatch=True)


@settings(suppress_health_check=[HealthCheck.too_slow])  # what a busy machine is
@given(data=st.data(), key=st.sampled_from(sorted(SESSION_OPTIONS)))
def test_every_allowed_value_is_passed_on_as_it_is(data: st.DataObject, key: str) -> None:
    value = data.draw(values_of(SESSION_OPTIONS[key]))
    settings = providers.find("cpu").translate(SessionChoice(session_options={key: value}))
    assert settings.config_entries[key] == value


@pytest.mark.parametrize("name", PROVIDERS)
def test_an_unknown_session_option_is_refused_with_the_nearest(name: str) -> None:
    choice = SessionChoice(provider=name, session_options={"session.disable_prepackin": "1"})
    with pytest.raises(UnknownName, match=r"Did you mean 'session\.disable_prepacking'"):
        providers.find(name).translate(choice)


@pytest.mark.parametrize(
    "key",
    ["session.intra_op.allow_spinning", "session.intra_op.spin_duration_us"],
)
def test_how_threads_idle_has_one_place(key: str) -> None:
    with pytest.raises(UnknownName, match="set by idle: spin, brief, sleep"):
        providers.find("cpu").translate(SessionChoice(session_options={key: "1"}))


@pytest.mark.parametrize(
    "key", ["session.optimized_model_filepath", "session.node_partition_config_file"]
)
def test_an_option_that_touches_files_is_refused(key: str, library: bytes) -> None:
    assert key.encode() in library
    with pytest.raises(UnknownName):
        providers.find("cpu").translate(SessionChoice(session_options={key: "/tmp/x"}))


@pytest.mark.parametrize("value", ["frog", "", "2", "1\n", "٣", 1, None])
def test_a_value_that_would_do_nothing_is_refused(value: Any) -> None:
    with pytest.raises(BadValue, match=r"session\.disable_prepacking"):
        providers.find("cpu").translate(
            SessionChoice(session_options={"session.disable_prepacking": value})
        )


@pytest.mark.parametrize("name", PROVIDERS)
def test_an_unknown_provider_option_is_refused(name: str) -> None:
    choice = SessionChoice(provider=name, provider_options={"enable_fallback": "1"})
    with pytest.raises(UnknownName, match="enable_fallback"):
        providers.find(name).translate(choice)


def test_a_choice_for_another_provider_is_refused() -> None:
    with pytest.raises(BadValue, match="expected cuda"):
        providers.find("cuda").translate(SessionChoice(provider="cpu"))


@pytest.mark.parametrize("change", [{"idle": "doze"}, {"graph_level": "most"}])
def test_a_word_outside_its_set_is_refused(change: Any) -> None:
    with pytest.raises(UnknownName):
        providers.find("cpu").translate(SessionChoice(**change))


def test_words_of_idle_are_all_translated() -> None:
    settings = [
        providers.find("cpu").translate(SessionChoice(idle=word))  # type: ignore[arg-type]
        for word in members(Idle)
    ]
    entries = [tuple(sorted(one.config_entries.items())) for one in settings]
    assert len(set(entries)) == len(members(Idle))
