"""`edgekit cache`: what is kept is told, filled and cleared, from the shell."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import msgspec
import pytest

from edgekit.cli.commands.cache import command
from edgekit.compiled import keys
from edgekit.compiled.building import prepared
from edgekit.compiled.keys import CompileKey
from edgekit.measure.warming import WALL_S
from edgekit.report.cache import CacheClearDocument, CacheListDocument


@pytest.fixture(autouse=True)
def top(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EDGEKIT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def kept(top: Path) -> Callable[..., Path]:
    """Keep something that a provider built, and return its folder."""

    def keep(provider: str = "tensorrt", *, driver: str = "", label: str = "") -> Path:
        where = msgspec.structs.replace(keys.surroundings(()), driver=driver)
        key = CompileKey(provider, "ab" * 32, {}, {}, "all", where)
        prepared(key, build, label=label).close()
        return keys.place_of(key)

    def build(folder: Path) -> None:
        (folder / "a.engine").write_bytes(b"x" * 250_000)

    return keep


def test_list_shows_what_is_there_and_whether_it_is_used(
    edgekit: Any, kept: Callable[..., Path], top: Path
) -> None:
    kept(label="cnn · fp32")
    kept(driver="550.1", label="[red]old")
    (top / "weights").mkdir()
    (top / "weights" / "cnn").write_bytes(b"x" * 2000)
    done = edgekit("cache", "list")
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0] == str(top)
    (good,) = (line for line in lines if line.startswith("cnn · fp32 "))
    assert re.search(r"abababababababab  tensorrt .*  0\.25\d MB  ", good)
    assert good.endswith("used here")
    (old,) = (line for line in lines if line.startswith("[red]old "))
    assert "not used here: driver 550.1, not " in old
    (weights,) = (line for line in lines if line.startswith("weights "))
    assert "1 file  2.00 kB  reference models as they were trained here" in weights


def test_list_of_an_empty_cache_says_so(edgekit: Any, top: Path) -> None:
    done = edgekit("cache", "list")
    assert done.returncode == 0
    assert done.stdout.splitlines() == [
        str(top),
        "No provider has built anything that is kept here.",
    ]
    assert not top.exists()


def test_list_as_json_says_the_same(edgekit: Any, kept: Callable[..., Path]) -> None:
    place = kept(label="cnn · fp32")
    done = edgekit("cache", "list", "--json")
    found = msgspec.json.decode(done.stdout, type=CacheListDocument, strict=True)
    (entry,) = found.cache.compiled
    assert (entry.folder, entry.label, entry.valid) == (str(place), "cnn · fp32", True)


def test_list_imports_no_onnxruntime(
    fresh_python: Callable[[str], str], kept: Callable[..., Path]
) -> None:
    kept()
    said = fresh_python(
        "import sys\nfrom edgekit.cli.main import run\n"
        "assert run(['cache', 'list']) == 0\n"
        "print('LOADED', *sys.modules)"
    )
    loaded = said.rpartition("LOADED")[2].split()
    assert {"onnxruntime", "onnx", "torch"} & set(loaded) == set()


def test_clear_removes_what_is_asked_for_and_says_how_much(
    edgekit: Any, kept: Callable[..., Path], top: Path
) -> None:
    one, other = kept(label="cnn · fp32"), kept("tensorrt-rtx")
    done = edgekit("cache", "clear", "--provider", "tensorrt")
    assert (done.returncode, done.stderr) == (0, "")
    assert "cnn · fp32" in done.stdout
    assert re.search(rf"^Removed 0\.25\d MB from {re.escape(str(top))}\.$", done.stdout, re.M)
    assert (one.exists(), other.exists()) == (False, True)
    again = edgekit("cache", "clear", "--provider", "tensorrt")
    assert again.stdout == f"There was nothing to remove in {top}.\n"
    assert again.returncode == 0


def test_clear_heeds_age_and_package(
    edgekit: Any, kept: Callable[..., Path], tiny_package: Path
) -> None:
    place = kept()
    past = (place / "key.json").stat().st_mtime - 10 * 86_400
    os.utime(place / "key.json", (past, past))
    for conditions in (("--older-than", "11"), (tiny_package,)):
        assert "nothing to remove" in edgekit("cache", "clear", *conditions).stdout
    done = edgekit("cache", "clear", "--older-than", "9", "--json")
    gone = msgspec.json.decode(done.stdout, type=CacheClearDocument, strict=True).cleared
    assert [entry.folder for entry in gone.compiled] == [str(place)]
    assert gone.bytes == gone.compiled[0].bytes


def test_clear_all_takes_the_rest_too(edgekit: Any, kept: Callable[..., Path], top: Path) -> None:
    kept()
    (top / "reports").mkdir()
    (top / "reports" / "bug.txt").write_text("a traceback")
    (top / "mine").write_text("not edgekit's")
    done = edgekit("cache", "clear", "--all")
    assert done.returncode == 0
    assert "full texts behind short errors" in done.stdout
    assert {path.name for path in top.iterdir()} == {"compiled", "mine"}


def test_clear_all_takes_no_condition(edgekit: Any, kept: Callable[..., Path]) -> None:
    place = kept()
    done = edgekit("cache", "clear", "--all", "--provider", "tensorrt")
    assert done.returncode == 2
    assert "--all cannot be given together with" in done.stderr
    assert place.exists()


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can give files away"
)
def test_clear_says_what_it_left(edgekit: Any, kept: Callable[..., Path]) -> None:
    place = kept()
    os.chown(place, 12345, 12345)
    done = edgekit("cache", "clear")
    assert f"Left {place}: it belongs to another user." in done.stdout
    assert place.exists()


def test_warm_refuses_a_provider_that_builds_nothing(edgekit: Any, tiny_package: Path) -> None:
    done = edgekit("cache", "warm", tiny_package, "--provider", "cpu")
    assert done.returncode == 2
    assert "cannot be 'cpu', which builds nothing that is worth keeping" in done.stderr
    assert done.stdout == ""


def test_warm_ends_with_an_error_when_the_provider_cannot_be_used(
    edgekit: Any, tiny_package: Path, top: Path
) -> None:
    # Whatever is installed here and whatever GPU there is: no process sees it.
    hidden = {"CUDA_VISIBLE_DEVICES": ""}
    done = edgekit("cache", "warm", tiny_package, "--provider", "tensorrt", env=hidden)
    assert done.returncode == 1
    assert "'tensorrt' cannot be used here" in done.stderr
    assert done.stdout == ""


def test_warm_needs_a_provider_and_names_the_nearest(edgekit: Any, tiny_package: Path) -> None:
    done = edgekit("cache", "warm", tiny_package)
    assert done.returncode == 2
    assert "--provider" in done.stderr
    done = edgekit("cache", "warm", tiny_package, "--provider", "tensort")
    assert done.returncode == 2
    assert "Did you mean 'tensorrt'?" in done.stderr


def test_every_subcommand_shows_an_example_and_the_librarys_defaults(edgekit: Any) -> None:
    context = click.Context(command)
    assert command.list_commands(context) == ["clear", "list", "warm"]
    for name in command.list_commands(context):
        done = edgekit("cache", name, "--help")
        assert done.returncode == 0
        assert re.search(rf"^ +edgekit cache {name}", done.stdout, re.M)
        assert "--json" in done.stdout
    assert f"[default: {WALL_S:g}]" in " ".join(edgekit("cache", "warm", "--help").stdout.split())


def test_every_document_carries_its_version(edgekit: Any) -> None:
    for arguments in (("list",), ("clear",)):
        done = edgekit("cache", *arguments, "--json")
        assert json.loads(done.stdout)["schema_version"] == 1
