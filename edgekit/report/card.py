"""A model card with Hugging Face's headings: what is known of a package, and what isn't.

Mitchell and others, "Model cards for model reporting", FAT* 2019; the headings are those of the
template of Hugging Face's hub.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from edgekit import machine as machines
from edgekit.package import reading
from edgekit.package.reading import files_of, graph_of
from edgekit.package.values import Package, Variant
from edgekit.providers.targets import described
from edgekit.report import grids
from edgekit.report.candidates import of_bench
from edgekit.report.evidence import Known, gather_all
from edgekit.report.figures import count, size
from edgekit.report.kept import kept_in_words
from edgekit.report.plain import Grid, in_markdown, markdown
from edgekit.report.verdict import headline
from edgekit.tensors import Dim, TensorSpec

UNKNOWN = "Unknown: the package doesn't say."

_TAGS = {
    "audio-classification": "audio-classification",
    "image-classification": "image-classification",
    "masked-language-model": "fill-mask",
    "question-answering": "question-answering",
    "semantic-segmentation": "image-segmentation",
    "sentence-embeddings": "sentence-similarity",
    "sequence-classification": "text-classification",
    "speech-recognition": "automatic-speech-recognition",
    "text-generation": "text-generation",
    "token-classification": "token-classification",
}
"""What the hub calls a task that a checkpoint may have been exported for."""


def card_of(path: Path) -> str:
    """Write the card of the package in a folder, of all machines that it was measured on.

    Raises:
        NotFound, CorruptPackage: the package can't be read.
    """
    return card(reading.read(path), gather_all(path))


def card(package: Package, known: Sequence[Known]) -> str:
    """Write a model card of a package and of what was measured of it, a part a kind of machine.

    What isn't known is said to be unknown; nothing is invented.
    """
    name = in_markdown(package.name)
    parts = [
        _front_matter(package),
        f"# {name}\n\n{_summary(package, known)}\n",
        "## Model Details\n",
        _details(package),
        "## Uses\n",
        _uses(package),
        "## Bias, Risks, and Limitations\n",
        _limits(package, known),
        "## How to Get Started with the Model\n",
        _start(package),
        f"## Training Details\n\n{UNKNOWN}\n",
        "## Evaluation\n",
        _evaluation(package, known),
        "## Technical Specifications\n",
        _specification(package),
        f"## Model Card Contact\n\n{UNKNOWN}\n",
    ]
    return "\n".join(parts)


def _front_matter(package: Package) -> str:
    provenance = package.provenance
    tags = ["onnx", "onnxruntime", "edgekit"]
    tags += [variant.recipe.scheme for variant in package.variants if variant.recipe is not None]
    lines = ["library_name: onnx", "license: unknown", "tags:"]
    lines += [f"- {json.dumps(tag)}" for tag in dict.fromkeys(tags)]
    if provenance.task in _TAGS:
        lines.append(f"pipeline_tag: {_TAGS[provenance.task]}")
    kind, _, source = provenance.source.partition(":")
    if kind == "hf" and provenance.pretrained and not source.startswith((".", "/", "~")):
        lines.append(f"base_model: {json.dumps(source)}")
    if package.metric == "top1":
        lines += ["metrics:", "- accuracy"]
    return "\n".join(["---", *lines, "---\n"])


def _summary(package: Package, known: Sequence[Known]) -> str:
    original = (
        "an ONNX file, packed as it was"
        if package.provenance.original == "onnx"
        else "a PyTorch module, exported to ONNX"
    )
    said = [f"{in_markdown(package.provenance.source)}: {original}, for ONNX Runtime."]
    said += [
        f"On {in_markdown(machines.summary(one.machine))}: {in_markdown(headline(one).sentence)}"
        for one in known
        if one.machine is not None
    ]
    return "\n\n".join(said)


def _details(package: Package) -> str:
    provenance = package.provenance
    made = [provenance.strategy, *(f"{n} {v}" for n, v in provenance.versions.items())]
    rows = {
        "Developed by": UNKNOWN,
        "Model type": ", ".join(
            f"{n} {operator}" for operator, n in package.variants[0].facts.operators.items()
        ),
        "Language(s)": UNKNOWN,
        "License": UNKNOWN,
        "Original": provenance.source,
        "Task": provenance.task or UNKNOWN,
        "Parameters": f"{package.variants[0].facts.parameters:,}",
        "Weights": "as published" if provenance.pretrained else UNKNOWN,
        "SHA-256 of the weights": provenance.weights_sha256,
        "Exported by": ", ".join(made),
    }
    variants = "### Variants\n\n" + markdown(_variants(package))
    return markdown(grids.pairs(rows)._replace(titles=("what", "known"))) + "\n" + variants


def _variants(package: Package) -> Grid:
    found = package.variants
    return Grid(
        ("variant", "precision", "made from", "made for", "size"),
        tuple(
            (
                variant.name,
                variant.precision,
                variant.parent or "the original",
                described(variant.target),
                size(_bytes(package, variant)),
            )
            for variant in found
        ),
        (True, True, True, True, False),
    )


def _uses(package: Package) -> str:
    graph = graph_of(package, package.variants[0])
    inputs = "\n".join(f"- takes {_spec(spec)}" for spec in graph.signature.inputs)
    outputs = "\n".join(f"- answers {_spec(spec)}" for spec in graph.signature.outputs)
    labels = any(asset.kind == "labels" for asset in package.assets)
    classes = "The package has the names of its classes.\n\n" if labels else ""
    return f"### Direct Use\n\n{inputs}\n{outputs}\n\n{classes}### Out-of-Scope Use\n\n{UNKNOWN}\n"


def _limits(package: Package, known: Sequence[Known]) -> str:
    said = [
        f"{variant.name} {kept_in_words(variant.kept)}."
        for variant in package.variants
        if variant.kept is not None
    ]
    bound = [v.name for v in package.variants if v.target.isa is not None]
    if bound:
        said.append(
            f"{', '.join(bound)} may answer otherwise on processors with other instruction sets: "
            "'edgekit check' decides it on the device."
        )
    said += list(package.provenance.notes)
    if not known:
        said.append("No speed was measured.")
    said.append("What the original is wrong about, and for whom, is unknown.")
    return "\n".join(f"- {in_markdown(line)}" for line in said) + "\n"


def _start(package: Package) -> str:
    graph = graph_of(package, package.variants[0])
    feeds = ",\n        ".join(
        f"{json.dumps(spec.name)}: np.zeros({_shape(spec)}, {json.dumps(spec.dtype)})"
        for spec in graph.signature.inputs
    )
    folder = json.dumps(f"{package.name}.edgekit")
    return f"""```bash
pip install 'edgekit-onnx[cpu]'
```

```python
import numpy as np

import edgekit

with edgekit.load({folder}) as model:
    answers = model(
        {{
        {feeds}
        }}
    )
```
"""


def _evaluation(package: Package, known: Sequence[Known]) -> str:
    graph = graph_of(package, package.variants[0])
    cases = graph.evaluation
    data = (
        f"{count(cases.cases, 'held-out case')} of {in_markdown(cases.name)}"
        + (", made up" if cases.synthetic else "")
        + f" (SHA-256 {cases.content_sha256})."
        if cases is not None
        else "The package has no held-out cases."
    )
    parts = [f"### Testing Data\n\n{data}\n", "### Results\n"]
    for one in known:
        if one.machine is None:
            continue
        where = in_markdown(machines.summary(one.machine))
        if one.raced is not None:
            parts.append(f"{where}, tuned:\n\n{markdown(grids.tuned_grid(one.raced))}")
        parts += [
            f"{where}, batch {report.bench.batch}, {count(report.bench.threads, 'thread')}; "
            f"speedups are against {in_markdown(report.bench.baseline)}:\n\n"
            f"{markdown(grids.candidates_grid(of_bench(report)))}"
            for report in one.by_batch
        ]
    if len(parts) == 2:
        parts.append("Unknown: nothing was measured. 'edgekit bench' does it.\n")
    return "\n".join(parts)


def _specification(package: Package) -> str:
    first = package.variants[0]
    return (
        f"ONNX, opset {first.facts.opset}, {count(first.facts.nodes, 'node')}. The folder is at "
        "the same time a model package of ONNX Runtime (schema 1.0).\n"
    )


def _spec(spec: TensorSpec) -> str:
    dims = ", ".join(
        f"{in_markdown(d.name)} ({d.low} to {d.high or 'any'})" if isinstance(d, Dim) else str(d)
        for d in spec.shape
    )
    within = f", values from {spec.values[0]:g} to {spec.values[1]:g}" if spec.values else ""
    return f"{in_markdown(spec.name)}: {spec.dtype} of {dims or 'no dimension'}{within}"


def _shape(spec: TensorSpec) -> str:
    sizes = [d.low if isinstance(d, Dim) else d for d in spec.shape]
    return f"({', '.join(map(str, sizes))}{',' if len(sizes) == 1 else ''})"


def _bytes(package: Package, variant: Variant) -> int:
    return sum(package.files[name].size for name in files_of(variant))
