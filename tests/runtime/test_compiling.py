"""What a provider compiles is kept and found again, with a real one that writes EP contexts."""

from __future__ import annotations

import dataclasses
import importlib
import logging
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest

import edgekit
from edgekit.compiled import cached, trusted
from edgekit.errors import InputError, ModelFileError
from edgekit.package import reading
from edgekit.package.values import SessionChoice
from edgekit.providers import Occasion, ProviderInfo, find
from edgekit.runtime import compiling
from edgekit.tensors import Dim, Signature, TensorSpec

CONTEXT = "com.microsoft.EPContext"


@pytest.fixture
def compiles(
    openvino_library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> dict[str, Any]:
    """Load with OpenVINO as a provider whose work is worth keeping, and an empty cache."""
    monkeypatch.setenv("EDGEKIT_CACHE", str(tmp_path / "cache"))
    module = importlib.import_module("edgekit.providers.openvino")
    monkeypatch.setattr(module, "PROVIDER", dataclasses.replace(module.PROVIDER, builds=True))
    return {"provider": "openvino", "provider_library": openvino_library, "threads": 1}


def operators(model: Any) -> dict[str, int]:
    return dict(model.facts.placement["openvino"])


def test_the_second_start_opens_what_the_first_compiled(
    tiny_package: Path, compiles: dict[str, Any]
) -> None:
    with edgekit.load(tiny_package, **compiles) as model:
        assert CONTEXT not in operators(model)
        assert model.check().passed
    (entry,) = cached.entries()
    assert (entry.provider, entry.label, entry.valid) == ("openvino", "tiny · fp32", True)
    with edgekit.load(tiny_package, **compiles) as model:
        assert operators(model) == {CONTEXT: 1}
        assert model.check().passed
        assert [str(spec) for spec in model.inputs] == ["x: float32 [batch, 4]"]
        assert model(np.ones((5, 4), np.float32)).shape == (5, 3)
    assert len(list(cached.entries())) == 1


def test_closing_twice_keeps_what_was_kept(tiny_package: Path, compiles: dict[str, Any]) -> None:
    with edgekit.load(tiny_package, **compiles) as model:
        model.close()
    (entry,) = cached.entries()
    assert entry.files > 0
    with edgekit.load(tiny_package, **compiles) as model:
        assert operators(model) == {CONTEXT: 1}


def test_a_context_of_one_part_of_the_model_is_forgotten(
    tiny_package: Path, compiles: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    edgekit.load(tiny_package, **compiles).close()

    class Part:
        def get_inputs(self) -> list[Any]:
            return [SimpleNamespace(name="h")]

        get_outputs = get_inputs

    monkeypatch.setattr(compiling, "_from_context", lambda *_: Part())
    with edgekit.load(tiny_package, **compiles) as model:
        assert CONTEXT not in operators(model)
        assert model.check().passed
    (entry,) = cached.entries()
    assert not (Path(entry.folder) / "files" / compiling.CONTEXT_FILE).exists()
    with edgekit.load(tiny_package, **compiles) as model:
        assert model.check().passed


def test_other_options_compile_anew(tiny_package: Path, compiles: dict[str, Any]) -> None:
    edgekit.load(tiny_package, **compiles).close()
    other = compiles | {"provider_options": {"NUM_STREAMS": "2"}}
    with edgekit.load(tiny_package, **other) as model:
        assert CONTEXT not in operators(model)
    assert len(list(cached.entries())) == 2


def test_a_plain_file_is_found_again_by_its_content(
    tiny_onnx: Any, tmp_path: Path, compiles: dict[str, Any]
) -> None:
    path = tiny_onnx()
    edgekit.load(path, **compiles).close()
    (tmp_path / "elsewhere").mkdir()
    moved = path.rename(tmp_path / "elsewhere" / path.name)
    with edgekit.load(moved, **compiles) as model:
        assert operators(model) == {CONTEXT: 1}
    with edgekit.load(tiny_onnx("other", batch=3), **compiles) as model:
        assert CONTEXT not in operators(model)


def test_what_cannot_be_opened_again_is_compiled_again(
    tiny_package: Path,
    compiles: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    edgekit.load(tiny_package, **compiles).close()
    real = ort.InferenceSession

    def refuse_contexts(model: Any, *arguments: Any, **options: Any) -> Any:
        if str(model).endswith(compiling.CONTEXT_FILE):
            raise RuntimeError("made by another version")
        return real(model, *arguments, **options)

    monkeypatch.setattr(ort, "InferenceSession", refuse_contexts)
    with (
        caplog.at_level(logging.WARNING, "edgekit"),
        edgekit.load(tiny_package, **compiles) as model,
    ):
        assert CONTEXT not in operators(model)
        assert model.check().passed
    assert "made by another version" in caplog.text


def test_what_is_compiled_again_is_what_is_found_from_then_on(
    tiny_package: Path, compiles: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    """A provider that fails to write, on a full disk, tells nobody: half a file was kept."""
    real, spoiled = trusted.put, []

    def put_half(files: Any, *arguments: Any, **options: Any) -> Any:
        (kept,) = (path for name, path in files.items() if name != compiling.CONTEXT_FILE)
        kept.write_bytes(kept.read_bytes()[:100])
        spoiled.append(kept.name)
        return real(files, *arguments, **options)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(trusted, "put", put_half)
        edgekit.load(tiny_package, **compiles).close()
    assert len(spoiled) == 1
    with (
        caplog.at_level(logging.WARNING, "edgekit"),
        edgekit.load(tiny_package, **compiles) as model,
    ):
        assert model.check().passed
    assert "can't be opened, so it is compiled again" in caplog.text
    caplog.clear()
    with (
        caplog.at_level(logging.WARNING, "edgekit"),
        edgekit.load(tiny_package, **compiles) as model,
    ):
        assert operators(model) == {CONTEXT: 1}
        assert model.check().passed
    assert caplog.text == ""


def test_a_cache_that_cannot_be_written_spoils_nothing(
    tiny_package: Path,
    compiles: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("EDGEKIT_CACHE", str(tmp_path / "file" / "cache"))
    with (
        caplog.at_level(logging.WARNING, "edgekit"),
        edgekit.load(tiny_package, **compiles) as model,
    ):
        assert model.check().passed
    assert "the next start builds it again" in caplog.text


def ranged(monkeypatch: pytest.MonkeyPatch, **changes: Any) -> None:
    """Let OpenVINO be compiled for a range of sizes, as TensorRT is."""
    module = importlib.import_module("edgekit.providers.openvino")
    changed = dataclasses.replace(module.PROVIDER, profile_form="{bound}", **changes)
    monkeypatch.setattr(module, "PROVIDER", changed)


def without_an_end(package: Path) -> None:
    """Take the end of the batch out of a package."""
    manifest = package / "manifest.json"
    manifest.write_text(re.sub(r'"high":\s*8', '"high":null', manifest.read_text()))
    assert reading.read(package).graphs[0].signature.inputs[0].shape[0] == Dim("batch", 1)


def test_a_dimension_without_an_end_ends_where_it_is_compiled_to(
    tiny_package: Path,
    compiles: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    without_an_end(tiny_package)
    ranged(monkeypatch)
    for start in range(2):
        with (
            caplog.at_level(logging.WARNING, "edgekit"),
            edgekit.load(tiny_package, **compiles) as model,
        ):
            assert (CONTEXT in operators(model)) is (start == 1)
            assert model(np.ones((64, 4), np.float32)).shape == (64, 3)
            with pytest.raises(InputError, match=r"65.*batch:1\.\.64"):
                model(np.ones((65, 4), np.float32))
        assert "tiny · fp32 is compiled for batch up to 64" in caplog.text
        caplog.clear()


def test_no_context_is_written_of_a_file_whose_sizes_nothing_tells(
    tiny_onnx: Any, compiles: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    ranged(monkeypatch)
    for _ in range(2):
        # It would refuse every size but those that were there while it was written.
        with edgekit.load(tiny_onnx(), **compiles) as model:
            assert CONTEXT not in operators(model)


def test_a_known_range_is_opened_again_as_it_was_compiled(
    tiny_package: Path, compiles: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    ranged(monkeypatch)
    edgekit.load(tiny_package, **compiles).close()
    with edgekit.load(tiny_package, **compiles) as model:
        assert operators(model) == {CONTEXT: 1}


def test_a_model_that_takes_no_ranges_is_opened_without_them_every_time(
    tiny_package: Path,
    compiles: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    translated = find("openvino").translated

    def refuse_ranges(provider: Any, choice: Any, occasion: Occasion) -> Any:
        if occasion.signature is not None and occasion.folder is not None:
            raise ModelFileError(path="fp32.onnx", problem="an input inside has no profile")
        return translated(provider, choice, occasion)

    ranged(monkeypatch, translated=refuse_ranges)
    for _ in range(2):
        with (
            caplog.at_level(logging.WARNING, "edgekit"),
            edgekit.load(tiny_package, **compiles) as model,
        ):
            assert CONTEXT not in operators(model)
            assert model.check().passed
        assert "every new size compiles once more: " in caplog.text
        caplog.clear()


def test_a_variable_that_changes_what_is_compiled_is_part_of_the_key(
    tiny_package: Path, compiles: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    ranged(monkeypatch, environment=lambda _: {"NVIDIA_TF32_OVERRIDE": "0"})
    monkeypatch.delenv("NVIDIA_TF32_OVERRIDE", raising=False)
    edgekit.load(tiny_package, **compiles).close()
    monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", "0")
    with edgekit.load(tiny_package, **compiles) as model:
        assert CONTEXT not in operators(model)
    assert len(list(cached.entries())) == 2
    assert all(entry.valid for entry in cached.entries())


SIGNATURE = Signature(
    inputs=(TensorSpec("x", "float32", (Dim("batch", 1, 8), 3)),),
    outputs=(TensorSpec("y", "float32", (Dim("batch", 1, 8), 2)),),
)


@pytest.mark.parametrize(
    ("name", "prefix"), [("tensorrt", "trt_profile"), ("tensorrt-rtx", "nv_profile")]
)
def test_profiles_come_from_the_ranges_of_the_package(name: str, prefix: str) -> None:
    provider: ProviderInfo = find(name)
    occasion = Occasion(SIGNATURE, ({"batch": 4},))
    _, options = provider.translate(SessionChoice(provider=name), occasion).providers[0]
    assert {key: value for key, value in options.items() if key.startswith(prefix)} == {
        f"{prefix}_min_shapes": "x:1x3",
        f"{prefix}_opt_shapes": "x:4x3",
        f"{prefix}_max_shapes": "x:8x3",
    }


def test_tensorrt_keeps_engines_and_timings_in_its_folder() -> None:
    choice = SessionChoice(provider="tensorrt")
    first = find("tensorrt").translate(choice, Occasion(folder="/c", context="/c/model_ctx.onnx"))
    later = find("tensorrt").translate(choice, Occasion(folder="/c"))
    _, building = first.providers[0]
    _, reading = later.providers[0]
    assert first.config_entries["ep.context_file_path"] == "/c/model_ctx.onnx"
    assert building["trt_engine_cache_path"] == ""  # beside the context model
    assert reading["trt_engine_cache_path"] == "/c"
    assert "ep.context_enable" not in later.config_entries
    for options in (building, reading):
        assert options["trt_engine_cache_enable"] == options["trt_timing_cache_enable"] == "1"
        assert options["trt_timing_cache_path"] == "/c"


def test_tensorrt_leaves_nodes_to_cuda_alone_with_the_same_device_and_without_tf32() -> None:
    choice = SessionChoice(provider="tensorrt", provider_options={"device_id": "1"})
    (first, _), (second, beside) = find("tensorrt").translate(choice).providers
    assert (first, second) == ("TensorrtExecutionProvider", "CUDAExecutionProvider")
    assert beside == {"device_id": "1", "use_tf32": "0"}
