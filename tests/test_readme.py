"""Every code block of the README runs, in order, in one folder; every link leads somewhere.

A Python block whose first line is `# NAME.py` is written to that file; any other is run. Of a
shell block every line runs: `make` and `pip install` lines, which would set up what is here
already, are held to the Makefile and to pyproject.toml instead. A bench and a search are shortened.
Blocks of text and of JSON show what comes out. `<!-- not run: reason -->` before a block keeps it
from running.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[1]
README = PROJECT / "README.md"
DOCUMENTS = sorted(
    path
    for pattern in ("*.md", "docs/**/*.md", "benchmarks/**/*.md", "examples/**/*.md")
    for path in PROJECT.glob(pattern)
)
SHELL, PYTHON, OUTPUT = ("bash", "sh", "console"), ("python",), ("text", "json")
QUICK = {"bench": "--starts 2 --rounds 1", "tune": "--time-limit 12s"}

_FENCE = re.compile(r"^```(\S*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_NOT_RUN = re.compile(r"<!-- not run: \S[^>]* -->\s*\Z")
_LINK = re.compile(r"\]\(([^)\s]+)\)")


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, its lines, the line that it begins at, and whether to run."""

    language: str
    body: str
    line: int
    runs: bool


def blocks_of(text: str) -> list[Block]:
    """List the fenced blocks of a document in order."""
    return [
        Block(
            found[1],
            found[2],
            text.count("\n", 0, found.start()) + 1,
            runs=_NOT_RUN.search(text[: found.start()]) is None,
        )
        for found in _FENCE.finditer(text)
    ]


def commands_of(block: Block) -> list[str]:
    """List the commands of a shell block, continued lines as one, without comments of their own.

    In a console block a command begins with `$ ` and the other lines are what it prints.
    """
    text = block.body.replace("\\\n", "")
    if block.language == "console":
        return [line[2:] for line in text.splitlines() if line.startswith("$ ")]
    return [line for line in text.splitlines() if line.strip() and not line.startswith("#")]


def targets() -> set[str]:
    """Read the Makefile's commands."""
    makefile = (PROJECT / "Makefile").read_text(encoding="utf-8")
    return set(re.findall(r"^([a-z]+):", makefile, re.MULTILINE))


def extras() -> set[str]:
    """Read the extras that the distribution has."""
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return set(project["optional-dependencies"])


def refuse_set_up(command: str) -> bool:
    """Hold a command that sets something up to what there is, and tell whether it is one."""
    words = command.partition(" #")[0].split()
    if words[0] == "make":
        wanted = {word for word in words[1:] if "=" not in word}
        assert wanted <= targets(), f"{command}: the Makefile has no {wanted - targets()}"
        return True
    return words[:2] == ["pip", "install"] or words[0] in ("git", "cd")


def run(block: Block, folder: Path) -> None:
    """Run one block in `folder`, or write it there where it names a file."""
    named = re.match(r"# (\w+\.py)\n", block.body)
    if block.language in PYTHON and named is not None:
        (folder / named[1]).write_text(block.body, encoding="utf-8")
    elif block.language in PYTHON:
        execute([sys.executable, "-c", block.body], block, folder)
    else:
        for command in commands_of(block):
            if refuse_set_up(command):
                continue
            quick = command
            for name, options in QUICK.items():
                quick = quick.replace(f"edgekit {name} ", f"edgekit {name} {options} ")
            execute(["bash", "-euo", "pipefail", "-c", quick], block, folder)


def execute(arguments: list[str], block: Block, folder: Path) -> None:
    scripts = str(Path(sys.executable).parent)
    done = subprocess.run(
        arguments,
        cwd=folder,
        env={**os.environ, "PATH": os.pathsep.join([scripts, os.environ["PATH"]])},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, (
        f"README.md:{block.line}: {arguments[-1]}\n{done.stdout}{done.stderr}"
    )


@pytest.mark.timeout(600)
def test_the_blocks_of_the_readme_run(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="the README exports modules")
    ran = [block for block in blocks_of(README.read_text(encoding="utf-8")) if block.runs]
    for block in ran:
        assert block.language in (*SHELL, *PYTHON, *OUTPUT), f"README.md:{block.line}"
        if block.language not in OUTPUT:
            run(block, tmp_path)
    assert {block.language for block in ran} & set(PYTHON)
    assert {block.language for block in ran} & set(SHELL)


def test_the_readme_shows_the_two_commands_that_set_everything_up() -> None:
    shown = [
        command.partition(" #")[0].strip()
        for block in blocks_of(README.read_text(encoding="utf-8"))
        if block.language in SHELL
        for command in commands_of(block)
    ]
    assert {"make demo", "make test"} <= set(shown)


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_extras_that_are_named_exist(path: Path) -> None:
    named = re.findall(r"edgekit-onnx\[([^\]]+)\]", path.read_text(encoding="utf-8"))
    assert {extra.strip() for group in named for extra in group.split(",")} <= extras()


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_make_commands_that_are_named_exist(path: Path) -> None:
    named = re.findall(r"`make ([a-z]+)", path.read_text(encoding="utf-8"))
    assert set(named) <= targets()


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_to_files_that_exist(path: Path) -> None:
    text = _FENCE.sub("", path.read_text(encoding="utf-8"))
    relative = [link for link in _LINK.findall(text) if not re.match(r"[a-z]+:|#", link)]
    broken = [link for link in relative if not (path.parent / link.partition("#")[0]).exists()]
    assert broken == []


def test_no_one_is_told_to_install_a_strangers_package() -> None:
    for path in DOCUMENTS:
        assert not re.search(r"pip install '?edgekit\b(?!-onnx)", path.read_text("utf-8")), path


SAMPLE = """\
Text.

```bash
make demo   # everything
edgekit bench a.edgekit \\
  --batch 2 > b.json
# a remark
```

<!-- not run: it needs a GPU -->
```python
import nothing
```

```console
$ edgekit doctor
Models can run here.
```
"""


def test_blocks_are_read_in_order() -> None:
    shell, python, console = blocks_of(SAMPLE)
    assert (shell.language, shell.line, shell.runs) == ("bash", 3, True)
    assert commands_of(shell) == [
        "make demo   # everything",
        "edgekit bench a.edgekit   --batch 2 > b.json",
    ]
    assert (python.language, python.runs) == ("python", False)
    assert commands_of(console) == ["edgekit doctor"]


def test_a_set_up_command_that_is_not_there_is_found() -> None:
    assert refuse_set_up("make demo TORCH_INDEX=https://x")
    assert not refuse_set_up("edgekit doctor")
    with pytest.raises(AssertionError, match="the Makefile has no"):
        refuse_set_up("make coffee")


def test_a_block_that_fails_is_named(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=r"README\.md:7: false"):
        run(Block("bash", "true\nfalse\n", 7, runs=True), tmp_path)
    with pytest.raises(AssertionError, match="ZeroDivisionError"):
        run(Block("python", "1 / 0\n", 9, runs=True), tmp_path)
    run(Block("python", "# net.py\n1 / 0\n", 11, runs=True), tmp_path)
    assert (tmp_path / "net.py").exists()
