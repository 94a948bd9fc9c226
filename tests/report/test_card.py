"""A model card says what is known, and that the rest isn't."""

from __future__ import annotations

import re

import msgspec
import pytest

from edgekit.package.values import Package
from edgekit.report.card import UNKNOWN, card
from edgekit.report.evidence import Known

HEADINGS = [
    *("Model Details", "Uses", "Bias, Risks, and Limitations"),
    *("How to Get Started with the Model", "Training Details", "Evaluation"),
    *("Technical Specifications", "Model Card Contact"),
]


def part(text: str, heading: str) -> str:
    return text.partition(f"## {heading}\n")[2].partition("\n## ")[0]


def test_the_headings_are_those_of_the_hub(package: Package, known: Known) -> None:
    text = card(package, [known])
    assert re.findall(r"^## (.*)$", text, re.MULTILINE) == HEADINGS
    front, rest = text.removeprefix("---\n").split("---\n", 1)
    assert front == (
        'library_name: onnx\nlicense: unknown\ntags:\n- "onnx"\n- "onnxruntime"\n- "edgekit"\n'
        '- "int8-static"\nmetrics:\n- accuracy\n'
    )
    assert rest.startswith("\n# cnn\n")


def test_speed_and_accuracy_are_told_by_machine(package: Package, known: Known) -> None:
    results = part(card(package, [known]), "Evaluation")
    assert "AMD EPYC 7B13, AVX2, tuned:" in results
    assert "AMD EPYC 7B13, AVX2, batch 1, 2 threads; speedups are against PyTorch eager:" in results
    assert "| fp32 · cpu | 0.120 | ×5.00 [5.00, 5.00] | 98.5 % [97.7, 99.0] |" in results
    assert "1,500 held-out cases of digits" in results


def test_what_is_not_known_is_said_to_be_unknown(package: Package) -> None:
    text = card(package, [])
    assert "Unknown: nothing was measured." in part(text, "Evaluation")
    assert "No speed was measured." in part(text, "Bias, Risks, and Limitations")
    assert UNKNOWN in part(text, "Training Details")
    assert f"| License | {UNKNOWN} |" in text


def test_a_variant_that_is_bound_to_a_processor_is_named(package: Package) -> None:
    limits = part(card(package, []), "Bias, Risks, and Limitations")
    assert "int8-static may answer otherwise on processors with other instruction sets" in limits
    assert "int8-static keeps accuracy 98.0 %" in limits


def test_the_code_in_it_is_code(package: Package) -> None:
    start = part(card(package, []), "How to Get Started with the Model")
    code = start.partition("```python\n")[2].partition("```")[0]
    compile(code, "card", "exec")
    assert '"image": np.zeros((1, 3, 28, 28), "float32")' in code


@pytest.mark.parametrize(
    ("source", "pretrained", "named"),
    [
        ("hf:org/model", True, True),
        ("hf:org/model", False, False),
        ("hf:./model", True, False),
        ("timm:resnet50", True, False),
    ],
)
def test_another_model_is_named_where_it_is_on_the_hub(
    source: str, pretrained: bool, named: bool, package: Package
) -> None:
    provenance = msgspec.structs.replace(
        package.provenance, source=source, pretrained=pretrained, task="masked-language-model"
    )
    text = card(msgspec.structs.replace(package, provenance=provenance), [])
    assert ('base_model: "org/model"\n' in text) == named
    assert "pipeline_tag: fill-mask\n" in text
