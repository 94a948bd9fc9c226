"""The models that `benchmarks.gpu` times: exported once, with an fp16 variant."""

from __future__ import annotations

from pathlib import Path

import msgspec

from edgekit.errors import EdgekitError
from edgekit.measure.keeping import file_hashes
from edgekit.measure.subjects import Subject, open_subject
from edgekit.quantize import quantize
from edgekit.workers import WorkerFault
from exporters import export_target

NETWORKS = Path(__file__).with_name("gpu_networks.py")
FP16 = "fp16"


MODELS: dict[str, str] = {
    "cnn": "cnn",
    "rnn": "rnn",
    "attention": "attention",
    "transformer": "transformer",
    "timm:resnet50": "timm:resnet50",
    "timm:vit_small_patch16_224": "timm:vit_small_patch16_224",
    "encoder": f"{NETWORKS}:encoder",
}
"""The TARGETs of all models, by the name that `--models` takes."""

SMOKE: dict[str, str] = {"tiny": f"{NETWORKS}:tiny"}
"""Not worth a figure: it goes through all steps in seconds."""


class Prepared(msgspec.Struct, frozen=True):
    """A model's package, ready to be timed; `no_fp16` says why it has no fp16 variant."""

    name: str
    target: str
    subject: Subject
    no_fp16: str = ""

    @property
    def path(self) -> Path:
        """Where the package is."""
        return self.subject.path


def reason_of(error: Exception) -> str:
    """Say why in one line: an error's sentence, or the last line of a traceback."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[-1] if isinstance(error, WorkerFault) else " ".join(lines)) if lines else "failed"


def known() -> dict[str, str]:
    """List all TARGETs that there are."""
    return {**MODELS, **SMOKE}


def files_of(prepared: Prepared) -> dict[str, str]:
    """Give the SHA-256 of its variants' files."""
    package = prepared.subject.package
    assert package is not None
    return file_hashes(package, prepared.subject.variants)


def prepare(name: str, folder: Path) -> Prepared:
    """Export a model where its package isn't in `folder` already, and give it an fp16 variant.

    Raises:
        EdgekitError: it can't be exported here.
    """
    target = known()[name]
    path = folder / f"{name.replace(':', '-')}.edgekit"
    folder.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        export_target(target, path)
    no_fp16 = ""
    if FP16 not in (variant.name for variant in open_subject(path).variants):
        try:
            quantize(path, scheme="fp16", name=FP16)
        except (EdgekitError, WorkerFault) as error:
            no_fp16 = reason_of(error)
    return Prepared(name, target, open_subject(path), no_fp16)
