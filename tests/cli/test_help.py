"""`--help`: light, with examples, and with the library's own defaults."""

from __future__ import annotations

import inspect
import re
import time
from collections.abc import Callable
from typing import Any

import click
import msgspec
import pytest
from click.testing import CliRunner

import edgekit
from edgekit.cli.main import cli
from edgekit.measure.plan import Plan
from edgekit.package.slim import slim
from edgekit.package.values import SessionChoice

COMMANDS = (
    *(
        "bench",
        "cache",
        "check",
        "compare",
        "doctor",
        "explain",
        "export",
        "inspect",
        "models",
        "optimize",
        "quantize",
    ),
    *("report", "sensitivity", "slim", "tune"),
)
HEAVY = ("numpy", "onnxruntime", "rich", "torch", "msgspec", "onnx", "exporters", "safetensors")


def help_of(*command: str) -> str:
    done = CliRunner().invoke(cli, [*command, "--help"], terminal_width=200)
    assert done.exit_code == 0
    return done.output


def test_every_command_is_listed() -> None:
    assert tuple(cli.list_commands(click.Context(cli))) == COMMANDS
    for name in COMMANDS:
        assert re.search(rf"^  {name}  +\S", help_of(), re.MULTILINE)


def test_the_list_of_commands_fits_eighty_columns() -> None:
    done = CliRunner().invoke(cli, ["--help"], terminal_width=80)
    listed = done.output.partition("Commands:")[2].partition("Examples:")[0]
    assert "..." not in listed


@pytest.mark.parametrize("command", [(), *((name,) for name in COMMANDS)])
def test_help_shows_an_example_and_no_raw_markup(command: tuple[str, ...]) -> None:
    text = help_of(*command)
    assert "Examples:\n" in text
    assert "\b" not in text
    assert re.search(rf"^ +edgekit {' '.join(command)}", text, re.MULTILINE)


@pytest.mark.parametrize("command", [(), *((name,) for name in COMMANDS)])
def test_help_imports_nothing_heavy(
    command: tuple[str, ...], fresh_python: Callable[[str], str], capsys: pytest.CaptureFixture[str]
) -> None:
    began = time.perf_counter()
    said = fresh_python(
        "import sys\nfrom edgekit.cli.main import run\n"
        f"assert run({[*command, '--help']!r}) == 0\n"
        "print('LOADED', *sorted({name.partition('.')[0] for name in sys.modules}))"
    )
    took_ms = 1000 * (time.perf_counter() - began)
    with capsys.disabled():
        print(f" [{took_ms:.0f} ms]", end="")
    shown, _, loaded = said.rpartition("LOADED")
    assert "Usage: edgekit" in shown
    assert "click" in loaded.split()
    assert [name for name in HEAVY if name in loaded.split()] == []


def defaults(function: Callable[..., Any]) -> dict[str, Any]:
    parameters = inspect.signature(function).parameters.values()
    return {p.name: p.default for p in parameters if p.default is not inspect.Parameter.empty}


def stated(command: str) -> dict[str, str]:
    """Read `[default: …]` of every option, by the name of the function's argument."""
    found = {}
    for option in cli.get_command(click.Context(cli), command).params:
        if isinstance(option, click.Option) and option.name is not None:
            default = option.to_info_dict()["default"]
            assert not default, f"--{option.name} has a default of its own: {default}"
            if match := re.search(r"\[default: ([^\]]+)\]", option.help or ""):
                found[option.name] = match[1]
    return found


def unsaid() -> dict[str, Any]:
    """What stands for whatever isn't said of a session, where nothing was chosen."""
    library = defaults(edgekit.load)
    session = msgspec.structs.asdict(SessionChoice())
    assert {library[name] for name in ("variant", "provider", "threads", "idle")} == {None}
    return {name: session[name] for name in ("provider", "threads", "idle")}


def test_the_defaults_of_slim_are_those_of_the_library() -> None:
    library = defaults(slim)
    said = stated("slim")
    assert said == {"variants": ", ".join(library["variants"]), "cases": str(library["cases"])}


def test_the_defaults_of_check_are_those_of_load() -> None:
    library = unsaid()
    said = stated("check")
    assert said.keys() == {"variant", "provider", "threads", "idle"}
    assert said.pop("threads") == "all"
    assert library["threads"] is None
    # load takes one variant, and check every one.
    assert said.pop("variant") == "every one"
    assert said == {name: str(library[name]) for name in said}


def test_the_defaults_of_bench_are_those_of_a_plan_and_of_load() -> None:
    said = stated("bench")
    plan = Plan()
    assert {name: said[name] for name in ("starts", "rounds", "wall_s")} == {
        "starts": str(plan.starts),
        "rounds": str(plan.rounds),
        "wall_s": f"{plan.wall_s:g}",
    }
    library = unsaid()
    assert {name: said[name] for name in ("provider", "idle")} == {
        name: library[name] for name in ("provider", "idle")
    }


def test_the_defaults_of_export_are_those_of_export_target() -> None:
    from exporters.pytorch import export_target

    library = defaults(export_target)
    said = stated("export")
    assert said.pop("output") == "./NAME.edgekit"
    for name, words in (("strategy", "each in turn"), ("task", "the checkpoint's own")):
        if name in said:
            assert said.pop(name) == words
            assert library[name] is None
    assert said == {name: f"{library[name]:g}" for name in ("opset", "seed", "time_limit_s")}
