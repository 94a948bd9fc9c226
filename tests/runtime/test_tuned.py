"""What load takes where something was chosen: here, elsewhere, and by whoever wrote the file."""

from __future__ import annotations

import json
import logging
import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

import edgekit
from edgekit import hardware, providers
from edgekit import machine as machines
from edgekit.errors import (
    BadValue,
    HashMismatch,
    NotTuned,
    ProviderUnavailable,
    UnknownName,
)
from edgekit.package import cases, choices, commit, reading
from edgekit.runtime.said import Said
from edgekit.runtime.tuned import tuned
from edgekit.tensors import Case

Choose = Callable[..., Path]
X = np.linspace(-2, 2, 12, dtype=np.float32).reshape(3, 4)
ELSEWHERE = "other-machine-12345678"


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEKIT_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def warnings(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """Return what was warned of since the last look."""

    def look() -> list[str]:
        said = [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]
        caplog.clear()
        return said

    return look


Warnings = Callable[[], list[str]]


def told(folder: Path, **said: Any) -> Any:
    with edgekit.load(folder, **said) as model:
        assert model(X).shape == (3, 3)
        return model.explain()


def off_here(folder: Path) -> None:
    """Record answers that no variant gives."""
    package = reading.read(folder)
    reference = package.graphs[0].reference
    assert reference is not None
    moved = [
        Case(case.feed, {"y": (case.outputs or {})["y"] + 1})
        for case in cases.open_cases(folder, package, reference).open()
    ]
    commit.commit(folder, package, {reference.file: cases.encode(moved)})


def test_what_was_chosen_here_is_taken_with_its_session(
    with_fast: Path, choose: Choose, warnings: Warnings
) -> None:
    choose(with_fast, threads=1, idle="sleep", graph_level="basic")
    found = told(with_fast)
    session = found.choice.session
    assert (found.choice.variant, session.threads, session.idle) == ("fast", 1, "sleep")
    assert session.graph_level == "basic"
    assert found.choice.speed_key == machines.speed_key(machines.describe())
    assert str(found).endswith(
        "1 thread, idle sleep: tuned for this machine (×1.43 of float, within 0.5 points)"
    )
    assert warnings() == []


def test_what_is_said_stands_over_what_was_chosen(with_fast: Path, choose: Choose) -> None:
    choose(with_fast, threads=1, idle="sleep")
    session = told(with_fast, threads=2).choice.session
    assert (session.threads, session.idle) == (2, "sleep")
    session = told(with_fast, idle="spin").choice.session
    assert (session.threads, session.idle) == (1, "spin")
    for name in ("portable", "fp32", "fast"):
        choice = told(with_fast, variant=name).choice
        assert choice.variant == ("fast" if name == "fast" else "fp32")
        assert (choice.session.threads, choice.session.idle) == (None, "brief")
        assert choice.speed_key is None


def test_a_provider_that_is_named_takes_its_own_choice(
    with_fast: Path, choose: Choose, warnings: Warnings
) -> None:
    choose(with_fast, variant="fp32", threads=1, by_provider={"cpu": "fast"})
    assert told(with_fast).choice.variant == "fp32"
    assert told(with_fast, provider="cpu").choice.variant == "fast"
    assert told(with_fast, variant="tuned", provider="cpu").choice.variant == "fast"
    with pytest.raises(ProviderUnavailable):
        edgekit.load(with_fast, provider="qnn")
    with pytest.raises(NotTuned, match="nothing was chosen for qnn on this machine"):
        edgekit.load(with_fast, variant="tuned", provider="qnn")
    assert warnings() == []


def test_the_best_provider_takes_its_choice(with_fast: Path, choose: Choose) -> None:
    choose(with_fast, threads=1)
    if any(providers.find(p).diagnose().usable for p in ("tensorrt", "cuda", "tensorrt-rtx")):
        pytest.skip("another provider is the best here")
    found = told(with_fast, provider="best")
    if found.provider != "cpu":
        pytest.skip("another provider is the best here")
    assert found.choice.variant == "fast"
    assert "tuned for this machine" in found.choice.reason
    assert "the best provider that can be used here is cpu" in found.choice.reason


def test_elsewhere_the_portable_variant_is_taken_with_one_warning(
    with_fast: Path, choose: Choose, warnings: Warnings
) -> None:
    choose(with_fast, key=ELSEWHERE, machine="Intel Xeon, AMX", threads=1)
    found = told(with_fast)
    assert (found.choice.variant, found.choice.session.threads) == ("fp32", None)
    (warned,) = warnings()
    this = machines.summary(machines.describe())
    sentence = (
        f"it was tuned for Intel Xeon, AMX, and this machine is {this}; 'edgekit tune "
        f"{with_fast}' finds what is best here"
    )
    assert warned == f"tiny runs as its portable variant: {sentence}"
    assert sentence in str(found)
    assert told(with_fast, variant="fp32").choice.reason == "asked for by name"
    assert told(with_fast, variant="portable").choice.session.threads is None
    assert warnings() == []


def test_the_same_processor_under_other_versions_is_told_apart(
    with_fast: Path, choose: Choose, warnings: Warnings
) -> None:
    this = machines.summary(machines.describe())
    choose(with_fast, key=ELSEWHERE, machine=this)
    told(with_fast)
    assert f"{this} with other cores, limits or versions" in warnings()[0]


def test_tuned_elsewhere_is_taken_if_its_cases_pass(
    with_fast: Path, choose: Choose, warnings: Warnings
) -> None:
    cores = len(hardware.usable_cores())
    choose(with_fast, key=ELSEWHERE, machine="Intel Xeon, AMX", threads=cores + 1, idle="sleep")
    found = told(with_fast, variant="tuned")
    assert (found.choice.variant, found.choice.session.threads) == ("fast", None)
    assert found.choice.session.idle == "sleep"
    assert found.choice.speed_key == ELSEWHERE
    assert "tuned for another kind of machine, Intel Xeon, AMX (×1.43" in str(found)
    assert warnings() == []
    off_here(with_fast)
    with pytest.raises(
        NotTuned, match=r"cases are off here\. Find what is best here: edgekit tune"
    ):
        edgekit.load(with_fast, variant="tuned")


def test_tuned_elsewhere_on_a_provider_that_is_absent_says_so(
    with_fast: Path, choose: Choose
) -> None:
    choose(with_fast, key=ELSEWHERE, provider="qnn")
    with pytest.raises(NotTuned, match=r"fast on qnn cannot be used here \(The execution provider"):
        edgekit.load(with_fast, variant="tuned")
    choose(with_fast, key="yet-another-12345678")
    assert told(with_fast, variant="tuned").choice.speed_key == "yet-another-12345678"


def test_tuned_without_a_choice_says_what_to_type(with_fast: Path, tiny_onnx: Any) -> None:
    with pytest.raises(NotTuned, match=f"it was never tuned. .*: edgekit tune {with_fast}"):
        edgekit.load(with_fast, variant="tuned")
    with pytest.raises(NotTuned, match=r"edgekit export .*net\.onnx"):
        edgekit.load(tiny_onnx("net"), variant="tuned")


def test_a_choice_whose_provider_is_gone_gives_way_with_a_warning(
    with_fast: Path, choose: Choose, warnings: Warnings
) -> None:
    choose(with_fast, provider="qnn")
    assert told(with_fast).choice.variant == "fp32"
    (warned,) = warnings()
    assert "what was chosen for this machine can't be taken (The execution provider" in warned
    with pytest.raises(ProviderUnavailable):
        edgekit.load(with_fast, variant="tuned")


def test_a_choice_of_a_variant_that_has_changed_is_stale(
    with_fast: Path, choose: Choose, tiny_onnx: Any, warnings: Warnings
) -> None:
    choose(with_fast)
    package = reading.read(with_fast)
    commit.commit(with_fast, package, {"fast.onnx": tiny_onnx("again", opset=21).read_bytes()})
    assert told(with_fast).choice.variant == "fp32"
    assert "no longer holds: variants have changed or gone since" in warnings()[0]
    with pytest.raises(NotTuned, match="no longer holds"):
        edgekit.load(with_fast, variant="tuned")
    without = msgspec.structs.replace(package, variants=package.variants[:1])
    commit.commit(with_fast, without, {})
    assert told(with_fast).choice.variant == "fp32"


def test_a_broken_file_of_a_chosen_variant_is_no_reason_to_take_another(
    with_fast: Path, choose: Choose
) -> None:
    choose(with_fast)
    file = with_fast / "fast.onnx"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(HashMismatch):
        edgekit.load(with_fast)


FORGED: dict[str, Callable[[dict[str, Any]], Any]] = {
    "an unknown provider": lambda c: c["winner"]["session"].update(provider="/tmp/evil.so"),
    "best": lambda c: c["winner"]["session"].update(provider="best"),
    "an unknown option": lambda c: c["winner"]["session"].update(
        session_options={"session.load_model_format": "ORT"}
    ),
    "a file to write": lambda c: c["winner"]["session"].update(
        session_options={"session.optimized_model_filepath": "/tmp/x"}
    ),
    "an option of a provider": lambda c: c["winner"]["session"].update(
        provider_options={"shared_lib_path": "/tmp/evil.so"}
    ),
    "a huge value": lambda c: c["winner"]["session"].update(
        session_options={"session.dynamic_block_base": "9" * 100_000}
    ),
    "a thread too many": lambda c: c["winner"]["session"].update(threads=10**9),
    "less than a thread": lambda c: c["winner"]["session"].update(threads=0),
    "another idle": lambda c: c["winner"]["session"].update(idle="nap"),
    "a number for a text": lambda c: c["winner"].update(variant=7),
    "a path for a name": lambda c: c["winner"].update(variant="../../fast"),
    "an unknown field": lambda c: c.update(library="/tmp/evil.so"),
    "a deleted variant": lambda c: c["winner"].update(variant="gone"),
    "a name that is reserved": lambda c: c["winner"].update(variant="portable"),
    "another machine": lambda c: c.update(speed_key="someone-else"),
    "another version": lambda c: c.update(schema_version=2),
    "another file": lambda c: c.update(files={"fp32.onnx": "0" * 64}),
    "no file": lambda c: c.update(files={}),
    "a provider under another's name": lambda c: c.update(by_provider={"cuda": c["winner"]}),
}


@pytest.mark.parametrize("forged", FORGED)
def test_a_forged_choice_gives_way_with_a_warning(
    forged: str, with_fast: Path, choose: Choose, warnings: Warnings
) -> None:
    path = choose(with_fast)
    content = json.loads(path.read_bytes())
    content["winner"]["session"] = {}
    FORGED[forged](content)
    path.write_text(json.dumps(content))
    found = told(with_fast)
    assert (found.choice.variant, found.provider) == ("fp32", "cpu")
    assert found.choice.session.session_options == {}
    assert len(warnings()) == 1
    with pytest.raises(NotTuned):
        edgekit.load(with_fast, variant="tuned")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[" * 100_000,
        b"\xff\xfe\x00",
        b"null",
        b'{"winner": ' * 50_000,
        b" " * (2 << 20),
    ],
    ids=["empty", "torn", "deep", "not utf-8", "null", "deep objects", "large"],
)
def test_what_is_no_choice_at_all_is_not_taken(
    content: bytes, with_fast: Path, choose: Choose
) -> None:
    choose(with_fast).write_bytes(content)
    assert told(with_fast).choice.variant == "fp32"


def test_texts_of_a_choice_cannot_write_to_a_terminal(with_fast: Path, choose: Choose) -> None:
    path = choose(with_fast)
    content = json.loads(path.read_bytes())
    content["winner"]["reason"] = "\x1b[2J" + "x" * 5000
    content["budget"] = "a\nb"
    path.write_text(json.dumps(content))
    text = str(told(with_fast))
    assert text.isprintable()
    assert len(text) < 600


def test_a_choice_of_another_graph_is_not_taken(two_graphs: Path, choose: Choose) -> None:
    choose(two_graphs, variant="fp32-uint8")
    assert told(two_graphs).choice.variant == "fp32"


@pytest.mark.parametrize("linked", ["file", "kind", "folder"])
def test_links_are_not_followed(
    linked: str, with_fast: Path, choose: Choose, tmp_path: Path
) -> None:
    path = choose(with_fast)
    moved = {"file": path, "kind": path.parent, "folder": path.parent.parent}[linked]
    moved.rename(tmp_path / "outside")
    moved.symlink_to(tmp_path / "outside")
    assert told(with_fast).choice.variant == "fp32"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_named_pipe_is_no_choice(with_fast: Path, choose: Choose) -> None:
    path = choose(with_fast)
    path.unlink()
    os.mkfifo(path)
    assert told(with_fast).choice.variant == "fp32"


def test_a_choice_beside_a_package_that_cannot_be_written_is_found(
    with_fast: Path, choose: Choose, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It lies in the user's cache folder; another package's lies under another name."""
    path = choose(with_fast)
    content = path.read_bytes()
    shutil.rmtree(with_fast / "measured")
    cached = Path(os.environ["EDGEKIT_CACHE"]) / "measured" / reading.identity(with_fast) / "choice"
    cached.mkdir(parents=True)
    (cached / path.name).write_bytes(content)
    real = os.access
    monkeypatch.setattr(os, "access", lambda p, mode: Path(p) != with_fast and real(p, mode))
    assert told(with_fast).choice.variant == "fast"


def test_a_load_while_the_choice_is_replaced_gets_one_or_the_other(
    with_fast: Path, choose: Choose, warnings: Warnings
) -> None:
    choose(with_fast, threads=1)
    stop = threading.Event()

    def replace() -> None:
        while not stop.is_set():
            choose(with_fast, variant="fp32", threads=1)
            choose(with_fast, variant="fast", threads=1)

    writer = threading.Thread(target=replace)
    writer.start()
    try:
        seen = {told(with_fast).choice.speed_key for _ in range(30)}
    finally:
        stop.set()
        writer.join()
    assert seen == {machines.speed_key(machines.describe())}
    assert warnings() == []


def test_a_plugin_that_the_user_names_takes_its_choice(
    with_fast: Path, choose: Choose, openvino_library: Path, warnings: Warnings
) -> None:
    """A choice of a provider that edgekit knows may have options; of any other nobody can tell."""
    choose(
        with_fast,
        variant="fp32",
        by_provider={"openvino": "fast", "OpenVINOExecutionProvider": "fast"},
    )
    for name in ("openvino", "OpenVINOExecutionProvider"):
        found = told(with_fast, provider=name, provider_library=openvino_library)
        assert (found.choice.variant, found.provider) == ("fast", name)
    assert told(with_fast).choice.variant == "fp32"
    assert warnings() == []
    choose(
        with_fast,
        variant="fp32",
        by_provider={"OpenVINOExecutionProvider": "fast"},
        provider_options={"device_type": "CPU"},
    )
    found = told(with_fast, provider=name, provider_library=openvino_library)
    assert (found.choice.variant, found.choice.session.provider_options) == ("fp32", {})
    assert "what was chosen for this machine can't be taken" in warnings()[0]


def test_wishes_of_the_user_that_are_none_are_said_whatever_was_chosen(
    with_fast: Path, choose: Choose
) -> None:
    choose(with_fast)
    with pytest.raises(BadValue, match="threads cannot be 0"):
        edgekit.load(with_fast, threads=0)
    with pytest.raises(UnknownName, match="option of the provider cpu"):
        edgekit.load(with_fast, provider_options={"no_such": "1"})
    with pytest.raises(UnknownName, match="call what was chosen by its own"):
        reading.variant_named(reading.read(with_fast), "tuned")


def test_options_that_are_said_go_over_the_chosen_ones() -> None:
    said = Said(provider_options={"a": "2", "b": "3"}, threads=4)
    from edgekit.package.values import SessionChoice

    session = said.over(SessionChoice("cuda", 1, "sleep", provider_options={"a": "1", "c": "1"}))
    assert session.provider_options == {"a": "2", "b": "3", "c": "1"}
    assert (session.provider, session.threads, session.idle) == ("cuda", 4, "sleep")


def test_two_machines_with_one_choice_are_tried_once(with_fast: Path, choose: Choose) -> None:
    for key in ("a-1", "b-2"):
        choose(with_fast, key=key)
    choose(with_fast, key="c-3", idle="sleep")
    found = tuned(with_fast, Said("tuned"))
    assert [(one.choice.speed_key, one.here) for one in found] == [("a-1", False), ("c-3", False)]
    assert choices.machines(with_fast) == ["a-1", "b-2", "c-3"]


def test_a_load_without_a_choice_imports_nothing_of_this(
    tiny_package: Path, fresh_python: Callable[[str], str]
) -> None:
    code = f"""
import sys, edgekit
edgekit.load({str(tiny_package)!r}).close()
names = ("edgekit.runtime.tuned", "edgekit.package.choices", "edgekit.package.measured", "logging")
print([name for name in names if name in sys.modules])
"""
    assert fresh_python(code).strip() == "[]"
