"""What a GPU machine without a network needs: fetched here, carried in pieces, installed there.

    python benchmarks/wheelhouse.py fetch build/wheelhouse --python 3.12 --have torch numpy timm
    python benchmarks/wheelhouse.py split build/wheelhouse --size 60MiB
    python benchmarks/wheelhouse.py carry build/wheelhouse/pieces /mnt/there/pieces
    python wheelhouse.py install /mnt/there/pieces --venv /tmp/edgekit

`fetch` resolves edgekit's extras for the other machine's Python and platform, this checkout's own
wheel among them, and downloads them; whatever else lies in that folder travels along. `split` cuts
all of it into pieces of one size, with a manifest of the SHA-256 of every file and piece. `carry`
copies pieces that aren't there yet. `install` joins them and lets pip install the wheels; it needs
this file and Python alone, nothing that it brings.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, BinaryIO

CHECKOUT = Path(__file__).resolve().parents[1]
MANIFEST = "manifest.json"
PIECES = "pieces"
SCHEMA_VERSION = 1
EXTRAS = "gpu,build,models"
ALSO = ("onnxscript>=0.7.1",)
"""With torch, what the extra `export` brings; torch itself is for the other machine to have."""
TENSORRT = "tensorrt-cu13-libs>=10.16,<11"
"""Its package is a stub: the libraries are fetched from elsewhere while a wheel is built of it."""
GLIBC = (5, 12, 17, 24, 27, 28, 31, 34, 35)
"""What manylinux wheels are built against: pip takes the numbers that it is given alone."""
_UNITS = {"": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
_BLOCK = 2**20


class Problem(Exception):
    """What went wrong, in a sentence for whoever typed the command."""


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    try:
        _COMMANDS[options.command](options)
    except Problem as problem:
        print(f"wheelhouse: {problem}", file=sys.stderr)
        return 1
    return 0


def fetch(options: argparse.Namespace) -> None:
    """Download the wheels that the other machine needs and doesn't have."""
    folder: Path = options.folder
    folder.mkdir(parents=True, exist_ok=True)
    own = options.wheel or _built(str(CHECKOUT), folder)
    have = _names_in(options.have)
    left_out: dict[str, str] = {}
    edgekit = f"edgekit-onnx[{options.extras}] @ {own.resolve().as_uri()}"
    needed = _resolved([edgekit, *options.also], options)
    wanted = {name: version for name, version in needed.items() if name not in have}
    wanted.pop("edgekit-onnx")
    if own.parent.resolve() != folder.resolve():
        shutil.copy2(own, folder)
    if wanted:
        pinned = [f"{name}=={version}" for name, version in sorted(wanted.items())]
        _pip("download", "--no-deps", "--dest", str(folder), *_platform(options), *pinned)
    keep = {"edgekit-onnx": _wheel_version(own), **wanted}
    if options.tensorrt:
        try:
            built = _built(TENSORRT, folder)
            keep[_distribution(built.name)] = _wheel_version(built)
        except Problem as problem:
            left_out["tensorrt-cu13-libs"] = str(problem)
    for wheel in sorted(folder.glob("*.whl")):
        if keep.get(_distribution(wheel.name)) != _wheel_version(wheel):
            wheel.unlink()  # of an earlier fetch
    there = {name: version for name, version in needed.items() if name in have}
    _write(
        folder / MANIFEST,
        {"schema_version": SCHEMA_VERSION, "left_out": left_out, "expected_there": there},
    )
    show(options)


def split(options: argparse.Namespace) -> None:
    """Cut everything in the folder into pieces, and write down what they and the files must be."""
    folder: Path = options.folder
    files = _files(folder)
    if not files:
        raise Problem(f"there is nothing in {folder}: run 'fetch' first")
    pieces = folder / PIECES
    shutil.rmtree(pieces, ignore_errors=True)
    pieces.mkdir()
    written = [
        {"name": path.name, "sha256": _sha256(path), "size": path.stat().st_size}
        for path in _cut(files, pieces, options.size)
    ]
    before = _read(folder / MANIFEST) if (folder / MANIFEST).exists() else {}
    whole = {
        "schema_version": SCHEMA_VERSION,
        "left_out": before.get("left_out", {}),
        "expected_there": before.get("expected_there", {}),
        "files": [
            {"name": path.name, "sha256": _sha256(path), "size": path.stat().st_size}
            for path in files
        ],
        "pieces": written,
    }
    _write(pieces / MANIFEST, whole)
    _write(folder / MANIFEST, whole)
    print(f"{len(written)} pieces of {_in_words(options.size)} at most in {pieces}")


def carry(options: argparse.Namespace) -> None:
    """Copy the pieces that aren't in the other folder yet, each under its name in one step."""
    source, target = options.source, options.target
    manifest = _read(source / MANIFEST)
    target.mkdir(parents=True, exist_ok=True)
    missing = []
    copied = 0
    for piece in manifest["pieces"]:
        there, here = target / piece["name"], source / piece["name"]
        if _is(there, piece):
            continue
        if not _is(here, piece):
            missing.append(piece["name"] + (" (corrupt)" if here.exists() else ""))
            continue
        written = there.with_name(f".{there.name}.part")
        shutil.copyfile(here, written)
        written.replace(there)
        copied += 1
    _write(target / MANIFEST, manifest)
    print(
        f"{copied} pieces copied to {target}; {len(missing)} of "
        f"{len(manifest['pieces'])} are still to come"
        + (f": {', '.join(missing)}" if missing else "")
    )


def install(options: argparse.Namespace) -> None:
    """Join the pieces, hold every file to its hash, and let pip install the wheels."""
    pieces: Path = options.pieces
    manifest = _read(pieces / MANIFEST)
    _refuse_incomplete(pieces, manifest)
    wheels = [file for file in manifest["files"] if file["name"].endswith(".whl")]
    if options.venv is None:
        _refuse_two_runtimes(wheels)
    if options.dry_run:
        _print_files(manifest["files"])
        where = options.venv or sys.executable
        print(
            f"all {len(manifest['pieces'])} pieces are whole; {len(wheels)} wheels would be "
            f"installed into {where}"
        )
        return
    joined: Path = options.into or pieces / "joined"
    paths = _join(pieces, manifest, joined)
    python = sys.executable if options.venv is None else str(_environment(options.venv))
    # Every wheel by its path, so that it is these that are installed; what they need must be among
    # them or there already.
    _pip(
        *("--python", python, "install", "--no-index", "--find-links", str(joined)),
        *(str(path) for path in paths if path.suffix == ".whl"),
    )
    print(f"installed {len(wheels)} wheels for {python}")
    for name, reason in manifest["left_out"].items():
        print(f"not among them: {name}: {reason}")


def show(options: argparse.Namespace) -> None:
    """List what travels, with sizes, and what couldn't be had."""
    folder: Path = options.folder
    _print_files([{"name": path.name, "size": path.stat().st_size} for path in _files(folder)])
    manifest = _read(folder / MANIFEST) if (folder / MANIFEST).exists() else {}
    if there := manifest.get("expected_there"):
        listed = ", ".join(f"{name} {version}" for name, version in sorted(there.items()))
        print(f"expected over there, in versions that do: {listed}")
    for name, reason in manifest.get("left_out", {}).items():
        print(f"left out: {name}: {reason}")


def _built(requirement: str, folder: Path) -> Path:
    """Let a package that comes as source build its wheel here, and put it into the folder."""
    with tempfile.TemporaryDirectory(prefix="edgekit-wheel-") as built:
        _pip("wheel", "--no-deps", "--wheel-dir", built, requirement)
        (wheel,) = Path(built).glob("*.whl")
        return Path(shutil.move(wheel, folder / wheel.name))


def _resolved(requirements: list[str], options: argparse.Namespace) -> dict[str, str]:
    """Ask pip which distributions the other machine would get, without downloading them."""
    with tempfile.TemporaryDirectory(prefix="edgekit-resolve-") as folder:
        report = Path(folder, "report.json")
        _pip(
            *("install", "--dry-run", "--ignore-installed", "--quiet", "--report", str(report)),
            *("--target", folder, *_platform(options), *requirements),
        )
        installs = json.loads(report.read_bytes())["install"]
    found = [one["metadata"] for one in installs]
    return {_plain(one["name"]): one["version"] for one in found}


def _platform(options: argparse.Namespace) -> list[str]:
    """Say to pip what the other machine is: CPython on Linux."""
    short = options.python.replace(".", "")
    arch = options.arch
    platforms = [f"manylinux_2_{n}_{arch}" for n in GLIBC if n <= options.glibc]
    platforms += [f"manylinux{name}_{arch}" for name in ("1", "2010", "2014")] + [f"linux_{arch}"]
    said = ["--only-binary=:all:", "--python-version", options.python, "--implementation", "cp"]
    for abi in (f"cp{short}", "abi3", "none"):
        said += ["--abi", abi]
    for platform in platforms:
        said += ["--platform", platform]
    return said


def _pip(*arguments: str) -> None:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        said = _failure((done.stdout + done.stderr).splitlines())
        raise Problem(f"pip {_verb(arguments)} failed: {said}")


def _failure(lines: Iterable[str]) -> str:
    """Pick out what tells why: the last exception, or what pip itself says."""
    told = [line.strip() for line in lines if line.strip()]
    raised = [line for line in told if re.match(r"[\w.]*(Error|Exception): ", line)]
    errors = [line for line in told if line.startswith("ERROR: ")]
    return raised[-1] if raised else " ".join(errors or told[-1:] or ["it said nothing"])


def _verb(arguments: Sequence[str]) -> str:
    return next(one for one in arguments if one in ("install", "download", "wheel"))


def _names_in(given: Iterable[str]) -> set[str]:
    """Take names as they are; @FILE holds one a line, as `pip freeze` prints them."""
    found = set()
    for name in given:
        lines = Path(name[1:]).read_text().splitlines() if name.startswith("@") else [name]
        found |= {_plain(match[0]) for one in lines if (match := re.match(r"[\w.-]+", one))}
    return found


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _distribution(wheel: str) -> str:
    return _plain(wheel.partition("-")[0])


def _wheel_version(wheel: Path) -> str:
    return wheel.name.split("-")[1]


def _files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise Problem(f"there is no folder {folder}")
    return sorted(path for path in folder.iterdir() if path.is_file() and path.name != MANIFEST)


def _cut(files: Iterable[Path], pieces: Path, size: int) -> Iterator[Path]:
    """Write the files' content, one after another, into pieces of `size` bytes."""
    piece, left = None, 0
    number = 0
    for path in files:
        with path.open("rb") as content:
            while block := content.read(min(_BLOCK, left or size)):
                if piece is None:
                    number += 1
                    piece, left = (pieces / f"{number:04}.piece").open("wb"), size
                piece.write(block)
                left -= len(block)
                if not left:
                    piece.close()
                    yield Path(piece.name)
                    piece = None
    if piece is not None:
        piece.close()
        yield Path(piece.name)


def _join(pieces: Path, manifest: dict[str, Any], folder: Path) -> list[Path]:
    """Write the files again out of the pieces, each held to its hash before it has its name."""
    folder.mkdir(parents=True, exist_ok=True)
    names = [Path(file["name"]) for file in manifest["files"]]
    for name in names:
        if name.name != str(name) or name.name in ("", ".", ".."):
            raise Problem(f"the manifest names {str(name)!r}, which is no file's plain name")
    paths = []
    with contextlib.closing(_Content(pieces, manifest)) as content:
        for file in manifest["files"]:
            path = folder / file["name"]
            written = path.with_name(f".{path.name}.part")
            with written.open("wb") as target:
                left = file["size"]
                while left:
                    block = content.read(min(left, _BLOCK))
                    target.write(block)
                    left -= len(block)
            if not _is(written, file):
                written.unlink()
                raise Problem(
                    f"{file['name']} isn't what was split, whole pieces or not: split anew"
                )
            written.replace(path)
            paths.append(path)
    return paths


class _Content:
    """The pieces read as one file."""

    def __init__(self, pieces: Path, manifest: dict[str, Any]) -> None:
        self._paths = iter([pieces / piece["name"] for piece in manifest["pieces"]])
        self._open: BinaryIO = io.BytesIO()

    def read(self, size: int) -> bytes:
        """Read up to so many bytes, one at least."""
        while not (block := self._open.read(size)):
            self._open.close()
            following = next(self._paths, None)
            if following is None:
                raise Problem("the pieces end before the last file does: split anew")
            self._open = following.open("rb")
        return block

    def close(self) -> None:
        self._open.close()


def _refuse_incomplete(pieces: Path, manifest: dict[str, Any]) -> None:
    missing = [p["name"] for p in manifest["pieces"] if not (pieces / p["name"]).exists()]
    if missing:
        raise Problem(f"missing in {pieces}: {', '.join(missing)}; carry them there")
    corrupt = [p["name"] for p in manifest["pieces"] if not _is(pieces / p["name"], p)]
    if corrupt:
        raise Problem(f"corrupt in {pieces}: {', '.join(corrupt)}; carry them there again")


def _refuse_two_runtimes(wheels: Iterable[dict[str, Any]]) -> None:
    """Refuse to put one build of onnxruntime over another: they share their files."""
    coming = {_distribution(wheel["name"]) for wheel in wheels}
    runtimes = {"onnxruntime", "onnxruntime-gpu"}
    there = {_plain(one.metadata["Name"] or "") for one in metadata.distributions()} & runtimes
    others = there - coming
    if coming & runtimes and others:
        raise Problem(
            f"{', '.join(sorted(others))} is installed here and would be overwritten; install into "
            "an environment beside it with --venv FOLDER, or uninstall it first"
        )


def _environment(folder: Path) -> Path:
    """Make an environment that also sees what is installed for the Python that runs this."""
    python = folder / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    site = Path(sysconfig.get_path("purelib", "venv", {"base": str(folder)}))
    # A venv made from a venv's Python sees neither's packages: this names them.
    outside = dict.fromkeys(path for path in sys.path if Path(path).name.endswith("-packages"))
    (site / "beside.pth").write_text("".join(f"{path}\n" for path in outside))
    return python


def _is(path: Path, wanted: dict[str, Any]) -> bool:
    try:
        same: bool = path.stat().st_size == wanted["size"] and _sha256(path) == wanted["sha256"]
    except OSError:
        return False
    return same


def _sha256(path: Path) -> str:
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _read(path: Path) -> dict[str, Any]:
    try:
        manifest: dict[str, Any] = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise Problem(f"{path} can't be read ({error}): run 'split', and carry it along") from error
    if manifest.get("schema_version") != SCHEMA_VERSION:
        raise Problem(f"{path} was written by another version of this script")
    return manifest


def _write(path: Path, manifest: dict[str, Any]) -> None:
    written = path.with_name(f".{path.name}.{os.getpid()}")
    written.write_text(json.dumps(manifest, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    written.replace(path)


def _print_files(files: Iterable[dict[str, Any]]) -> None:
    listed = list(files)
    for file in sorted(listed, key=lambda one: -one["size"]):
        print(f"{_in_words(file['size']):>10}  {file['name']}")
    print(f"{_in_words(sum(file['size'] for file in listed)):>10}  {len(listed)} files")


def _in_words(size: int) -> str:
    return f"{size / 2**20:,.1f} MiB" if size >= 2**20 else f"{size / 2**10:,.1f} KiB"


def _size(text: str) -> int:
    match = re.fullmatch(r"(\d+) ?([KMG]iB)?", text)
    if not match or int(match[1]) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a size such as 60MiB")
    return int(match[1]) * _UNITS[match[2] or ""]


_COMMANDS = {"fetch": fetch, "list": show, "split": split, "carry": carry, "install": install}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)

    def command(name: str) -> argparse.ArgumentParser:
        return commands.add_parser(name, description=(_COMMANDS[name].__doc__ or ""))

    add = command("fetch").add_argument
    add("folder", type=Path, help="where the wheels go")
    add("--python", default="3.12", help="the other machine's Python (3.12)")
    add("--arch", default="x86_64", help="the other machine's processor (x86_64)")
    add("--glibc", type=int, default=28, help="its glibc: N of 2.N (28)")
    add("--extras", default=EXTRAS, help=f"edgekit's extras ({EXTRAS})")
    add(
        "--have",
        nargs="*",
        default=[],
        metavar="NAME",
        help="what is there already; @FILE for what pip freeze printed there",
    )
    add(
        "--also",
        nargs="*",
        default=list(ALSO),
        metavar="REQUIREMENT",
        help=f"what else it is to have ({', '.join(ALSO)})",
    )
    add("--wheel", type=Path, help="edgekit's wheel; by default built of this checkout")
    add("--tensorrt", action="store_true", help="try to get TensorRT's libraries as well")
    command("list").add_argument("folder", type=Path, help="where the wheels are")
    add = command("split").add_argument
    add("folder", type=Path, help="where the wheels are")
    add("--size", type=_size, default=_size("60MiB"), help="a piece's largest size (60MiB)")
    add = command("carry").add_argument
    add("source", type=Path, help="a folder with all or some of the pieces, and the manifest")
    add("target", type=Path, help="the folder where they gather")
    add = command("install").add_argument
    add("pieces", type=Path, help="the folder with the pieces and the manifest")
    add("--venv", type=Path, help="an environment beside the one that runs this; made if needed")
    add("--into", type=Path, help="where the files are joined (in the pieces' folder)")
    add("--dry-run", action="store_true", help="say what would be installed, and stop")
    return parser


if __name__ == "__main__":
    sys.exit(main())
