"""Warming opens a model where it will run, and says what is kept afterwards.

No machine that these tests know has a provider that compiles: its worker is played here.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest

from edgekit.compiled import keys
from edgekit.compiled.building import prepared
from edgekit.compiled.keys import CompileKey
from edgekit.errors import BadValue, ProviderUnavailable, StorageError, UnknownName
from edgekit.measure import warming
from edgekit.measure.warming import warm
from edgekit.measure.ways import How
from edgekit.package import reading
from edgekit.package.values import SessionChoice
from edgekit.tensors import RunFacts
from edgekit.workers import Call, Opened, Timed

TENSORRT = How(SessionChoice(provider="tensorrt"))


@pytest.fixture(autouse=True)
def top(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EDGEKIT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


class Compiling:
    """A worker on a machine with TensorRT: opening a variant builds an engine and keeps it."""

    fed: ClassVar[list[tuple[int, ...]]]
    released: ClassVar[list[bool]]
    builds: ClassVar[bool]

    def __init__(self, what: str, *, wall_s: float) -> None:
        """Take no environment: the app has none of a bench's."""

    def __enter__(self) -> Compiling:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def open(self, call: Call) -> Opened:
        package = reading.read(Path(call.arguments["path"]))
        variant = reading.variant_named(package, call.arguments["variant"])
        files = {name: package.files[name].sha256 for name in reading.files_of(variant)}
        where = keys.surroundings(())
        key = CompileKey("tensorrt", keys.model_sha256(files), {}, {}, "all", where)
        prepared(key, self._build, label=f"{package.name} · {variant.name}").close()
        facts = RunFacts("tensorrt", "fp32", 1)
        return Opened(package.graphs[0].signature, facts, import_ms=1.0, load_ms=2.0)

    def _build(self, folder: Path) -> None:
        if self.builds:
            (folder / "a.engine").write_bytes(b"x" * 1000)

    def run(self, feed: dict[str, Any]) -> Timed:
        self.fed.append(feed["x"].shape)
        return Timed(durations_ns=[3_000_000], warm_up_ns=[], outputs={})

    def release(self) -> None:
        assert self.fed, "what is kept at the end of a session comes after its calls"
        self.released.append(True)


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> type[Compiling]:
    for name, value in (("fed", []), ("released", []), ("builds", True)):
        monkeypatch.setattr(Compiling, name, value, raising=False)

    def usable(how: How) -> tuple[How, str]:
        return how, ""

    monkeypatch.setattr(warming, "Worker", Compiling)
    monkeypatch.setattr(warming, "settle", usable)
    return Compiling


def test_warm_builds_once_and_says_what_is_kept(
    tiny_package: Path, worker: type[Compiling]
) -> None:
    first = warm(tiny_package, TENSORRT, batch=4)
    assert first.built
    assert (first.variant, first.provider) == ("fp32", "tensorrt")
    assert (first.load_ms, first.first_call_ms) == (2.0, 3.0)
    (entry,) = first.compiled
    assert (entry.label, entry.files, entry.valid) == ("tiny · fp32", 1, True)
    second = warm(tiny_package, TENSORRT)
    assert not second.built
    assert [kept.folder for kept in second.compiled] == [entry.folder]
    assert worker.fed == [(4, 4), (1, 4)]


def test_warm_fails_when_nothing_was_kept(
    tiny_package: Path, worker: type[Compiling], monkeypatch: pytest.MonkeyPatch, top: Path
) -> None:
    monkeypatch.setattr(worker, "builds", False)
    with pytest.raises(StorageError, match="nothing that tensorrt built of tiny was kept there"):
        warm(tiny_package, TENSORRT)
    monkeypatch.setattr(worker, "builds", True)
    monkeypatch.setenv("EDGEKIT_CACHE", str(tiny_package / "fp32.onnx"))
    with pytest.raises(StorageError, match="nothing that tensorrt built"):
        warm(tiny_package, TENSORRT)


@pytest.mark.parametrize("provider", ["cpu", "cuda"])
def test_warm_refuses_a_provider_that_builds_nothing(tiny_package: Path, provider: str) -> None:
    with pytest.raises(BadValue, match=f"'{provider}', which builds nothing"):
        warm(tiny_package, How(SessionChoice(provider=provider)))


def test_warm_refuses_what_cannot_be_opened(tiny_package: Path, worker: type[Compiling]) -> None:
    with pytest.raises(UnknownName, match="no variant 'int8'"):
        warm(tiny_package, TENSORRT, variant="int8")
    with pytest.raises(BadValue, match="batch"):
        warm(tiny_package, TENSORRT, batch=9)
    assert worker.fed == []


def test_warm_refuses_a_plain_file_with_weights_beside_it(
    tiny_onnx: Callable[..., Path], worker: type[Compiling]
) -> None:
    onnx = pytest.importorskip("onnx", reason="the file is written with onnx")
    path = tiny_onnx()
    onnx.save(
        onnx.load(path), path, save_as_external_data=True, location="weights", size_threshold=0
    )
    with pytest.raises(BadValue, match="its weights in other files"):
        warm(path, TENSORRT)
    assert worker.fed == []


def test_warm_needs_the_provider_to_be_there(
    tiny_package: Path, installed: Callable[[dict[str, str]], None]
) -> None:
    installed({"onnxruntime": "1.32.0"})
    with pytest.raises(ProviderUnavailable, match="'tensorrt' cannot be used here"):
        warm(tiny_package, TENSORRT)
