"""What is built belongs to one key, and a key says all that it depends on."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

import edgekit
from edgekit import hardware
from edgekit.compiled import keys
from edgekit.compiled.keys import CompileKey, Surroundings

WHERE = Surroundings(
    gpus=("NVIDIA L4, 8.9",),
    driver="580.1",
    cpu="x86_64, A Processor",
    isa=("avx2",),
    libraries={"one": "1", "two": "2"},
    files={"/usr/lib/libnvinfer.so.10": "libnvinfer.so.10.16.1, 3 bytes"},
    onnxruntime="onnxruntime-gpu 1.31.1",
    edgekit="0.1.0",
)
KEY = CompileKey(
    provider="tensorrt",
    model_sha256="ab" * 32,
    provider_options={"a": "1", "b": "2"},
    session_options={},
    graph_level="all",
    where=WHERE,
)


def test_a_keys_hash_depends_on_no_order_and_no_process(
    fresh_python: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    turned = msgspec.structs.replace(
        KEY,
        provider_options={"b": "2", "a": "1"},
        where=msgspec.structs.replace(WHERE, libraries={"two": "2", "one": "1"}),
    )
    assert keys.key_hash(turned) == keys.key_hash(KEY)
    assert keys.place_of(turned) == keys.place_of(KEY)
    code = (
        "import msgspec; from edgekit.compiled import keys; "
        f"key = msgspec.json.decode({msgspec.json.encode(KEY)!r}, type=keys.CompileKey); "
        "print(keys.key_hash(key))"
    )
    for seed in ("1", "2"):
        monkeypatch.setenv("PYTHONHASHSEED", seed)
        assert fresh_python(code).strip() == keys.key_hash(KEY)


@pytest.mark.parametrize("provider", ["../../up", "/absolute", ".", "..", "My Plug-in"])
def test_a_providers_name_leads_out_of_no_folder(
    provider: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGEKIT_CACHE", str(tmp_path))
    place = keys.place_of(msgspec.structs.replace(KEY, provider=provider))
    named = place.relative_to(tmp_path).parts
    assert len(named) == 4
    assert not {"..", "."} & set(named)


def test_a_model_is_its_files_by_name() -> None:
    both = {"fp32.onnx": "a" * 64, "fp32.data": "b" * 64}
    hashed = keys.model_sha256(both)
    assert hashed == keys.model_sha256(dict(reversed(both.items())))
    assert hashed != keys.model_sha256({"fp32.onnx": "a" * 64})
    assert hashed != keys.model_sha256({"fp32.onnx": "b" * 64, "fp32.data": "a" * 64})
    assert hashed != keys.model_sha256({"other.onnx": "a" * 64, "fp32.data": "b" * 64})


def test_a_plain_file_is_a_model_by_its_name_and_content(
    tiny_onnx: Callable[..., Path],
) -> None:
    path = tiny_onnx()
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert keys.plain_sha256(path) == keys.model_sha256({"tiny.onnx": digest})


def test_a_plain_file_with_weights_beside_it_is_no_model(
    tiny_onnx: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    import onnx

    path = tiny_onnx()
    model = onnx.load(path)
    onnx.save(model, path, save_as_external_data=True, location="weights", size_threshold=0)
    assert keys.plain_sha256(path) is None
    where = path.read_bytes().index(b"location")
    for border in range(where - 3, where + 9):  # wherever it is cut
        monkeypatch.setattr(keys, "_CHUNK", border)
        assert keys.plain_sha256(path) is None


def test_differences_name_the_fields_and_both_values() -> None:
    other = msgspec.structs.replace(
        KEY,
        provider_options={"a": "1", "c": "3"},
        where=msgspec.structs.replace(WHERE, driver="575.0"),
    )
    assert keys.differences(KEY, KEY) == []
    assert keys.differences(other, KEY) == [
        "provider_options.b none, not 2",
        "provider_options.c 3, not none",
        "driver 575.0, not 580.1",
    ]


def test_every_field_of_a_key_is_compared() -> None:
    changes = {
        "provider": "other",
        "model_sha256": "cd" * 32,
        "provider_options": {"a": "2", "b": "2"},
        "session_options": {"a": "1"},
        "graph_level": "basic",
        "environment": {"A": "1"},
    }
    assert {*changes, "where"} == set(CompileKey.__struct_fields__)
    for field, value in changes.items():
        (said,) = keys.differences(msgspec.structs.replace(KEY, **{field: value}), KEY)
        assert said.startswith(field)
    for field in Surroundings.__struct_fields__:
        there = getattr(WHERE, field)
        value = {**there, min(there): "x"} if isinstance(there, dict) else ("x",)
        value = value if not isinstance(there, str) else "x"
        where = msgspec.structs.replace(WHERE, **{field: value})
        (said,) = keys.differences(msgspec.structs.replace(KEY, where=where), KEY)
        assert said.startswith(f"{field}")


def test_surroundings_are_this_machines(installed: Callable[[dict[str, str]], None]) -> None:
    installed({"onnxruntime-gpu": "1.31.1", "tensorrt-cu13-libs": "10.16", "numpy": "2.0"})
    here = keys.surroundings(("tensorrt-cu13-libs", "not-there"), root=Path("/nowhere"))
    assert here.libraries == {"tensorrt-cu13-libs": "10.16"}
    assert here.onnxruntime == "onnxruntime-gpu 1.31.1"
    assert here.edgekit == edgekit.__version__
    assert (here.gpus, here.driver) == ((), "")
    assert here.cpu.startswith(f"{hardware.platform_names()[0]}, ")
    assert here == keys.surroundings(("tensorrt-cu13-libs",), root=Path("/nowhere"))


@pytest.mark.skipif(os.name != "posix", reason="the faked program is a shell script")
def test_surroundings_name_every_gpu_with_its_capability(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    root, programs = tmp_path / "root", tmp_path / "bin"
    (root / "dev").mkdir(parents=True)
    (root / "dev/nvidiactl").touch()
    programs.mkdir()
    (programs / "nvidia-smi").write_text(
        "#!/bin/sh\n"
        'case "$1" in --query-gpu=*)\n'
        "echo 'NVIDIA L4, 580.1, 23034, GPU-1, 8.9'\n"
        "echo 'Tesla T4, 580.1, 15360, GPU-2, 7.5'\n"
        ";; esac\n"
    )
    (programs / "nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", str(programs), prepend=os.pathsep)
    monkeypatch.setitem(sys.modules, "pynvml", None)
    here = keys.surroundings((), root=root)
    assert here.gpus == ("NVIDIA L4, 8.9", "Tesla T4, 7.5")
    assert here.driver == "580.1"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    assert keys.surroundings((), root=root).gpus == ("Tesla T4, 7.5",)


def test_surroundings_tell_a_librarys_version_by_the_name_behind_its_links(
    tmp_path: Path,
) -> None:
    link = tmp_path / "libnvinfer.so.10"
    for version in ("10.16.1", "10.17.0"):
        (tmp_path / f"libnvinfer.so.{version}").write_bytes(b"elf")
        link.unlink(missing_ok=True)
        link.symlink_to(f"libnvinfer.so.{version}")
        here = keys.surroundings((), files=[str(link)], root=Path("/nowhere"))
        assert here.files == {str(link): f"libnvinfer.so.{version}, 3 bytes"}
    link.unlink()
    assert keys.file_versions([str(link)]) == {str(link): "missing"}


def test_the_cache_is_light(fresh_python: Callable[[str], str]) -> None:
    loaded = fresh_python(
        "import sys, edgekit.compiled.building, edgekit.compiled.cached; print(*sys.modules)"
    ).split()
    heavy = {"numpy", "onnxruntime", "onnx", "torch", "rich", "click", "safetensors"}
    assert heavy & set(loaded) == set()
