"""What a provider builds from a model as it loads: where it is kept, and when it may be used again.

TensorRT's engines and timing caches, OpenVINO's blobs, EP context models: minutes of work on one
machine, right on that machine alone, and code: a C++ library takes them without a question. So
they lie in the user's cache folder, one folder a model and below it one a `CompileKey`, which holds
all that they depend on:

    compiled/PROVIDER/MODEL/KEY/key.json   the key, and size and SHA-256 of every file
    compiled/PROVIDER/MODEL/KEY/files/     the files
    compiled/PROVIDER/MODEL/KEY.lock       held by whoever builds them
    compiled/PROVIDER/MODEL/.X.scratch/    a private folder: see `edgekit.compiled.building`

MODEL and KEY are the first 16 hex digits of SHA-256 hashes; the key is compared field by field with
the one beside the files. `edgekit.compiled.trusted` reads and writes these folders,
`edgekit.compiled.building` decides who builds.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import msgspec

import edgekit
from edgekit import cache, graphics, hardware
from edgekit.installed import RUNTIMES, distributions
from edgekit.package.values import FileRecord, Value
from edgekit.terms import GraphLevel

FOLDER = "compiled"
KEY_FILE, FILES = "key.json", "files"
SCHEMA_VERSION = 1

_HASH = re.compile("[0-9a-f]{16}")
_CHUNK = 4 << 20
_LOCATION = b"\x0a\x08location"
"""How protobuf writes the key of a StringStringEntryProto: field 1, eight letters."""


class Surroundings(Value, frozen=True):
    """What decides, beside the model and its options, whether something built works here.

    `gpus` names those that this process can use, in order, each with its compute capability.
    `libraries` are versions by distribution, those of the provider's own libraries among them;
    `files` are shared libraries by path, each with the name that it really has and its size, for
    those that came from no distribution. `onnxruntime` is the distribution and its version.
    """

    gpus: tuple[str, ...]
    driver: str
    cpu: str
    isa: tuple[str, ...]
    libraries: dict[str, str]
    files: dict[str, str]
    onnxruntime: str
    edgekit: str


class CompileKey(Value, frozen=True):
    """All that a built thing depends on; where two differ in any field, neither serves the other.

    `model_sha256` is that of `model_sha256()`. `provider_options` are in ONNX Runtime's own words,
    those left out that name the folder to build in. `session_options` are the configuration
    entries that change the graph; how threads idle isn't among them. `environment` are variables
    of this process that change what is built: NVIDIA_TF32_OVERRIDE decides which kernels are taken.
    """

    provider: str
    model_sha256: str
    provider_options: dict[str, str]
    session_options: dict[str, str]
    graph_level: GraphLevel
    where: Surroundings
    environment: dict[str, str] = msgspec.field(default_factory=dict)


class Record(Value, frozen=True):
    """What lies beside the files: the key, the files, and how long it took to build them.

    `label` says what the model is, for a list: "cnn · fp32".
    """

    key: CompileKey
    files: dict[str, FileRecord]
    build_s: float
    label: str = ""
    schema_version: int = SCHEMA_VERSION


def surroundings(
    libraries: Iterable[str], *, files: Iterable[str] = (), root: Path = Path("/")
) -> Surroundings:
    """Look at this machine; asks the driver where there is an NVIDIA device: 20 ms and more.

    Args:
        libraries: the distributions that a provider's code comes from.
        files: paths of shared libraries that it loads.
        root: where `/proc` and `/dev` lie.
    """
    arch, _ = hardware.platform_names()
    cpu, isa = hardware.cpu_and_isa(root, arch)
    found = graphics.look(root=root)
    runtime = distributions(RUNTIMES)
    return Surroundings(
        gpus=tuple(f"{gpu.name}, {gpu.compute_capability or '?'}" for gpu in found.gpus),
        driver=(found.driver or "") if found.gpus else "",
        cpu=f"{arch}, {cpu}",
        isa=isa,
        libraries=distributions(libraries),
        files=file_versions(files),
        onnxruntime=", ".join(f"{name} {version}" for name, version in runtime.items()),
        edgekit=edgekit.__version__,
    )


def file_versions(paths: Iterable[str]) -> dict[str, str]:
    """Tell what lies at each path: the name behind its links, which has the version, and its size.

    ``{"/usr/lib/libnvinfer.so.10": "libnvinfer.so.10.16.1, 312345678 bytes"}``
    """
    found: dict[str, str] = {}
    for path in paths:
        try:
            real = Path(path).resolve(strict=True)
            found[path] = f"{real.name}, {real.stat().st_size} bytes"
        except (OSError, RuntimeError):  # the latter is a circle of links
            found[path] = "missing"
    return found


def model_sha256(files: Mapping[str, str]) -> str:
    """Hash a model: SHA-256 by file name, of the .onnx and of its external data.

    The names count: the .onnx refers to the others by theirs, and TensorRT's provider looks for an
    engine under a name that it makes of the .onnx file's.
    """
    return hashlib.sha256(msgspec.json.encode(sorted(files.items()))).hexdigest()


def plain_sha256(path: Path) -> str | None:
    """Hash a plain .onnx file as a model; None where it may have weights in files beside it.

    Which files those are can't be told without `onnx`, and what was built of other weights would
    give wrong answers. Where there are any, the file names them under the key "location".

    Raises:
        OSError: it can't be read.
    """
    digest, before = hashlib.sha256(), b""
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
            if _LOCATION in before + chunk:
                return None
            before = chunk[-len(_LOCATION) :]
    return model_sha256({path.name: digest.hexdigest()})


def key_hash(key: CompileKey) -> str:
    """Return the SHA-256 of a key, which is the same wherever and in whichever order it is made."""
    return hashlib.sha256(msgspec.json.encode(key, order="deterministic")).hexdigest()


def place_of(key: CompileKey) -> Path:
    """Name the folder in which what is built for a key is kept; it may not exist."""
    provider = re.sub(r"[^A-Za-z0-9_-]", "-", key.provider)
    return cache.folder() / FOLDER / provider / key.model_sha256[:16] / key_hash(key)[:16]


def differences(kept: CompileKey, asked: CompileKey) -> list[str]:
    """List the fields in which two keys differ, each with both values: ``driver 550, not 580``."""
    ours, theirs = _flat(msgspec.to_builtins(asked)), _flat(msgspec.to_builtins(kept))
    return [
        f"{name.removeprefix('where.')} {_said(theirs.get(name))}, not {_said(ours.get(name))}"
        for name in sorted({*ours, *theirs})
        if ours.get(name) != theirs.get(name)
    ]


def models() -> Iterator[Path]:
    """Yield the folder of each model of which something was compiled; no link is followed."""
    top = cache.folder() / FOLDER
    for model in sorted(top.glob("*/*")) if not top.is_symlink() else ():
        if _HASH.fullmatch(model.name) and not any(p.is_symlink() for p in (model, model.parent)):
            yield model


def places() -> Iterator[Path]:
    """Yield every folder of the cache that keeps something compiled, fit to be used or not."""
    for model in models():
        yield from (entry for entry in sorted(model.iterdir()) if _HASH.fullmatch(entry.name))


def _said(value: object) -> str:
    return (" + ".join(value) if isinstance(value, tuple | list) else str(value or "")) or "none"


def _flat(value: object, prefix: str = "") -> dict[str, object]:
    """Give every plain value inside dictionaries a dotted name."""
    if not isinstance(value, dict):
        return {prefix: value}
    found: dict[str, object] = {}
    for name, inner in value.items():
        found |= _flat(inner, f"{prefix}.{name}" if prefix else name)
    return found
