"""Results on stdout, progress on stderr; bars and colours for a terminal alone."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from edgekit.cli.main import main, run

pty = pytest.importorskip("pty", reason="a terminal is made with a pty, which POSIX has")

HIDE_CURSOR = "\x1b[?25l"
COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def at_a_terminal(edgekit: Any, *arguments: Any, columns: int, **given: Any) -> tuple[int, str]:
    """Run with a terminal for stdout and stderr, and return the exit code and all it was sent."""
    import fcntl
    import struct
    import termios

    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    given["env"] = {"TERM": "xterm", **given.get("env", {})}
    sent: list[bytes] = []

    def read() -> None:
        try:
            while chunk := os.read(ours, 1 << 16):
                sent.append(chunk)
        except OSError:  # how Linux says that nobody holds the other end any more
            return

    reader = threading.Thread(target=read)
    reader.start()
    try:
        done = edgekit(*arguments, capture_output=False, stdout=theirs, stderr=theirs, **given)
    finally:
        os.close(theirs)
        reader.join()
        os.close(ours)
    return done.returncode, b"".join(sent).decode()


def test_a_terminal_gets_a_bar_and_colours(edgekit: Any, tiny_package: Path) -> None:
    code, sent = at_a_terminal(edgekit, "check", tiny_package.name, columns=80)
    assert code == 0
    assert HIDE_CURSOR in sent
    assert "━" in sent
    assert "checking tiny.edgekit" in sent
    assert "\x1b[32mRight on this machine" in sent


def test_no_color_takes_the_colours_away(edgekit: Any, tiny_package: Path) -> None:
    _, sent = at_a_terminal(edgekit, "check", tiny_package.name, columns=80, env={"NO_COLOR": "1"})
    assert "Right on this machine" in sent
    coloured = [code for code in COLOUR.findall(sent) if re.search(r"\b[34]\d\b", code)]
    assert coloured == []


@pytest.mark.parametrize(("no_color", "coloured"), [("", True), ("1", False)])
def test_an_error_is_red_at_a_terminal_unless_no_color(
    edgekit: Any, no_color: str, coloured: bool
) -> None:
    code, sent = at_a_terminal(
        edgekit, "inspect", "nowhere", columns=80, env={"NO_COLOR": no_color}
    )
    assert code == 1
    assert ("\x1b[31mError: nowhere" in sent) is coloured
    assert "Error: nowhere" in sent


def test_without_a_terminal_there_is_no_bar_and_no_colour(edgekit: Any, tiny_package: Path) -> None:
    done = edgekit("check", tiny_package.name)
    assert done.returncode == 0
    assert done.stderr == "checking tiny.edgekit\n"
    assert "Right on this machine: 4 of 4 passed." in done.stdout
    assert "\x1b" not in done.stdout + done.stderr
    assert [line for line in done.stdout.splitlines() if line != line.rstrip()] == []


@pytest.mark.parametrize("columns", [60, 80])
def test_no_line_is_wider_than_the_terminal(edgekit: Any, tiny_package: Path, columns: int) -> None:
    for arguments in (("check", tiny_package.name), ("inspect", tiny_package.name)):
        _, sent = at_a_terminal(edgekit, *arguments, columns=columns, env={"NO_COLOR": "1"})
        lines = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", sent).splitlines()
        assert max(map(len, lines)) <= columns


def test_the_width_of_a_pipe_can_be_set(edgekit: Any, tiny_package: Path) -> None:
    wide = edgekit("check", tiny_package.name).stdout
    narrow = edgekit("check", tiny_package.name, env={"COLUMNS": "50"}).stdout
    assert max(map(len, narrow.splitlines())) <= 50 < max(map(len, wide.splitlines()))


def test_a_name_is_not_read_as_an_emoji_or_markup(edgekit: Any, tiny_package: Path) -> None:
    named = tiny_package.rename(tiny_package.with_name(":snake:[red].edgekit"))
    done = edgekit("inspect", named.name)
    assert done.stdout.startswith(":snake:[red].edgekit  model package")


def test_debug_shows_what_is_logged_for_debugging(
    tiny_package: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import logging

    from edgekit.measure import inspection, packages

    def open_subject(path: Path, *, variants: tuple[str, ...], wall_s: float) -> None:
        logging.getLogger("edgekit").debug("a detail of %s within %g s", path, wall_s)
        inspection.inspect(Path("nowhere"))

    monkeypatch.setattr(packages, "open_subject", open_subject)
    assert run(["bench", str(tiny_package)]) == 1
    assert "a detail" not in capsys.readouterr().err
    assert run(["bench", str(tiny_package), "--debug"]) == 1
    assert f"a detail of {tiny_package} within 600 s\n" in capsys.readouterr().err
    assert logging.getLogger("edgekit").level == logging.NOTSET


@pytest.mark.parametrize("closed", [">&-", "2>&-"])
def test_a_stream_that_was_never_open_is_borne(
    edgekit: Any, tiny_package: Path, environment: dict[str, str], closed: str
) -> None:
    import sys

    line = f'exec "$0" -c "from edgekit.cli.main import main; main()" check "$1" {closed}'
    done = subprocess.run(
        ["sh", "-c", line, sys.executable, str(tiny_package)],
        capture_output=True,
        env=environment,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0


def test_the_console_script_is_main() -> None:
    from importlib.metadata import entry_points

    scripts = entry_points(group="console_scripts", name="edgekit")
    assert [script.load() for script in scripts] == [main]


def test_a_terminal_without_a_size_hides_nothing(edgekit: Any, tiny_package: Path) -> None:
    done = edgekit("check", tiny_package.name, env={"COLUMNS": "0"})
    assert done.stdout == edgekit("check", tiny_package.name).stdout
    assert "Right on this machine" in done.stdout


SAYS_HOW_FAR_IT_IS = """
import logging, time
import click
from edgekit.cli import output

log = logging.getLogger("edgekit")
with click.Context(click.Command("x")), output.progress("exporting net"):
    for done in range(3):
        log.info("training: %d of 2", done, extra={"progress": (done, 2)})
        time.sleep(0.3)
    log.info("verifying net")
    time.sleep(0.3)
"""


def test_a_record_that_says_how_far_it_is_has_a_bar_until_all_is_done() -> None:
    def python(code: str, **given: Any) -> subprocess.CompletedProcess[bytes]:
        given["env"] = {**os.environ, **given["env"]}
        return subprocess.run([sys.executable, "-c", code], check=False, **given)

    code, sent = at_a_terminal(python, SAYS_HOW_FAR_IT_IS, columns=80)
    assert code == 0
    frames = sent.split("exporting net")
    assert any("training: 1 of 2" in frame and "━" in frame for frame in frames)
    assert "verifying net" in sent
    assert "training" not in sent.partition("verifying net")[2]


def test_without_a_terminal_a_record_that_says_how_far_it_is_is_a_line() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SAYS_HOW_FAR_IT_IS], capture_output=True, text=True, check=True
    )
    assert done.stderr.splitlines() == [
        "exporting net",
        *(f"training: {epoch} of 2" for epoch in range(3)),
        "verifying net",
    ]
