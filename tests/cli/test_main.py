"""One place for errors: a sentence, an exit code, and no traceback unless it is asked for."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgekit.cli.main import BUG, cli
from edgekit.errors import BadValue, MissingExtra
from edgekit.workers import WorkerFault

Here = Callable[..., int]
Captured = pytest.CaptureFixture[str]


def test_no_arguments_show_the_help_and_are_bad_usage(edgekit: Any) -> None:
    done = edgekit()
    assert done.returncode == 2
    assert "Commands:" in done.stdout + done.stderr


def test_the_version_is_printed(edgekit: Any) -> None:
    import edgekit as library

    done = edgekit("--version")
    assert (done.returncode, done.stdout) == (0, f"edgekit, version {library.__version__}\n")


def test_an_unknown_command_names_the_nearest(here: Here, capsys: Captured) -> None:
    assert here("bnech", "x") == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert "There is no command 'bnech'" in said.err
    assert "Did you mean 'bench'?" in said.err


@pytest.mark.parametrize("arguments", [("check",), ("bench", "x", "--batch", "0"), ("doctor", "x")])
def test_bad_usage_exits_with_two(arguments: tuple[str, ...], here: Here, capsys: Captured) -> None:
    assert here(*arguments) == 2
    assert "Usage: edgekit" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["check", "bench", "inspect"])
@pytest.mark.parametrize("name", ["nowhere.edgekit", "nowhere.onnx"])
def test_a_missing_file_is_named(command: str, name: str, here: Here, capsys: Captured) -> None:
    assert here(command, name) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert f"Error: {name} does not exist" in said.err


def failing(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def examine() -> None:
        raise error

    monkeypatch.setattr("edgekit.doctor.examine", examine)


def test_a_bug_is_owned_up_to_and_its_traceback_kept(
    here: Here,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Captured,
) -> None:
    monkeypatch.setenv("EDGEKIT_CACHE", str(tmp_path / "cache"))
    failing(monkeypatch, ZeroDivisionError("division by zero\nand more"))
    assert here("doctor") == BUG == 70
    said = capsys.readouterr().err
    assert "Traceback" not in said
    found = re.fullmatch(
        r"This is a bug in edgekit: ZeroDivisionError: division by zero\. "
        r"The traceback is in (\S+)\. Please report it\.\n",
        said,
    )
    assert found is not None, said
    kept = Path(found[1]).read_text()
    assert kept.startswith("Traceback")
    assert "and more" in kept


def test_a_bug_without_a_place_for_its_traceback_says_how_to_see_it(
    here: Here, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("EDGEKIT_CACHE", str(tmp_path / "file" / "cache"))
    failing(monkeypatch, ZeroDivisionError())
    assert here("doctor") == 70
    assert "ZeroDivisionError. Run it again with --debug." in capsys.readouterr().err
    assert here("doctor", "--debug") == 70
    assert "Traceback (most recent call last)" in capsys.readouterr().err


def test_a_fault_in_a_worker_is_named_by_its_last_line(
    here: Here, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    trace = "Traceback (most recent call last):\n  File 'x'\nKeyError: 'runner'\n"
    failing(monkeypatch, WorkerFault(trace))
    assert here("doctor") == 70
    said = capsys.readouterr().err
    assert "bug in edgekit: KeyError: 'runner'. The traceback" in said
    assert "Traceback (" not in said


def test_an_error_of_ours_shows_its_traceback_for_debug_alone(
    here: Here, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    failing(monkeypatch, BadValue(what="It", asked="so", expected="otherwise"))
    assert here("doctor") == 2
    assert capsys.readouterr().err == "Error: It cannot be so: expected otherwise.\n"
    assert here("doctor", "--debug") == 2
    assert "Traceback (most recent call last)" in capsys.readouterr().err


def test_a_missing_package_names_its_extra(
    here: Here, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    failing(monkeypatch, ModuleNotFoundError("No module named 'onnx'", name="onnx.helper"))
    assert here("doctor") == 1
    assert "pip install 'edgekit-onnx[build]'" in capsys.readouterr().err


def test_a_missing_package_that_no_extra_brings_is_a_bug(
    here: Here, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    failing(monkeypatch, ModuleNotFoundError("No module named 'left_pad'", name="left_pad"))
    assert here("doctor") == 70
    assert "left_pad" in capsys.readouterr().err


def test_ctrl_c_is_one_sentence(
    here: Here, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    failing(monkeypatch, KeyboardInterrupt())
    assert here("doctor") == 130
    assert capsys.readouterr().err.strip() == "Interrupted; nothing was left half-written."


def test_ctrl_c_while_a_library_is_imported_is_no_bug(
    here: Here, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    behind = ImportError("initialization failed")
    behind.__cause__ = KeyboardInterrupt()
    missing = MissingExtra(module="onnx", extra="build", what="Reading it")
    missing.__context__ = behind
    for error in (behind, missing):
        failing(monkeypatch, error)
        assert here("doctor") == 130
        assert capsys.readouterr().err.strip() == "Interrupted; nothing was left half-written."


def test_an_error_cannot_steer_the_terminal(
    here: Here, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    failing(monkeypatch, BadValue(what="\x1b[2Jx\u202e", asked="\x07", expected="a\nb"))
    assert here("doctor") == 2
    assert capsys.readouterr().err == ("Error: \\x1b[2Jx\\u202e cannot be \\x07: expected a\nb.\n")


@pytest.mark.parametrize("command", ["check", "bench", "inspect", "export"])
def test_a_name_that_is_no_text_is_refused(command: str, here: Here, capsys: Captured) -> None:
    assert here(command, "net-\udcff.onnx") == 2
    assert "expected text in UTF-8" in capsys.readouterr().err


def test_every_command_takes_debug_and_those_with_facts_json() -> None:
    import click

    def hold(group: click.Group) -> None:
        context = click.Context(group)
        for name in group.list_commands(context):
            command = group.get_command(context, name)
            if isinstance(command, click.Group):
                hold(command)
                continue
            assert command is not None
            options = {option for parameter in command.params for option in parameter.opts}
            assert {"--debug", "--json"} <= options, name

    hold(cli)


def piped(edgekit: Any, *arguments: Any, reads: int, **given: Any) -> tuple[int, str, str]:
    """Run with a reader that takes `reads` bytes and goes."""
    import os

    source, sink = os.pipe()
    reader = subprocess.Popen(["head", "-c", str(reads)], stdin=source, stdout=subprocess.PIPE)
    os.close(source)
    try:
        if not reads:
            reader.wait()
        done = edgekit(
            *arguments, capture_output=False, stdout=sink, stderr=subprocess.PIPE, **given
        )
    finally:
        os.close(sink)
    out, _ = reader.communicate(timeout=20)
    return done.returncode, out.decode(), done.stderr


@pytest.mark.parametrize("options", [(), ("--json",), ("--help",)])
def test_a_closed_pipe_ends_quietly(edgekit: Any, tiny_package: Path, options: Any) -> None:
    assert piped(edgekit, "inspect", tiny_package, *options, reads=0) == (0, "", "")


def test_a_closed_pipe_hides_no_verdict(edgekit: Any, tiny_package: Path) -> None:
    spoil_answers(tiny_package)
    code, _, errors = piped(edgekit, "check", tiny_package, reads=0)
    assert code == 3
    assert errors == f"checking {tiny_package}\n"


def test_a_closed_stderr_stops_nothing(edgekit: Any, tiny_package: Path) -> None:
    import os

    source, sink = os.pipe()
    os.close(source)
    done = edgekit("check", tiny_package, capture_output=False, stdout=subprocess.PIPE, stderr=sink)
    os.close(sink)
    assert done.returncode == 0
    assert "Right on this machine" in done.stdout


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full is Linux's")
@pytest.mark.parametrize("options", [(), ("--json",)])
def test_results_that_cannot_be_written_are_an_error(
    edgekit: Any, tiny_package: Path, options: Any
) -> None:
    with Path("/dev/full").open("w") as full:
        done = edgekit(
            "inspect",
            tiny_package,
            *options,
            capture_output=False,
            stdout=full,
            stderr=subprocess.PIPE,
        )
    assert (done.returncode, done.stderr.splitlines()) == (
        1,
        ["Error: A file could not be written: the disk is full."],
    )


def test_an_encoding_that_lacks_our_characters_is_borne(edgekit: Any, tiny_package: Path) -> None:
    done = edgekit("inspect", tiny_package, env={"PYTHONIOENCODING": "ascii"})
    assert done.returncode == 0
    assert "tiny.edgekit" in done.stdout


def spoil_answers(package: Path) -> None:
    """Record other answers than the model gives, with the hashes in order."""
    from edgekit.package import cases, commit, reading
    from edgekit.tensors import Case

    packed = reading.read(package)
    assert packed.graphs[0].reference is not None
    kept = [
        Case(case.feed, {"y": case.outputs["y"] + 1})
        for case in cases.open_cases(package, packed, packed.graphs[0].reference).open()
        if case.outputs is not None
    ]
    commit.commit(package, packed, {packed.graphs[0].reference.file: cases.encode(kept)})
