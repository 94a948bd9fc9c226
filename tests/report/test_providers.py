"""The table of providers in docs/providers.md is that of the code, and so are its sentences."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgekit import graphics, providers
from edgekit.graphics import Gpu, Graphics
from edgekit.providers import diagnosis, libraries
from edgekit.providers.libraries import Missing
from edgekit.report import quant_rules
from edgekit.report.providers import (
    BEGINS,
    ENDS,
    OPTIONS_BEGIN,
    option_tables,
    table,
    with_tables,
)

DOCUMENT = Path(__file__).parents[2] / "docs" / "providers.md"


def test_the_table_in_the_docs_is_that_of_the_code() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    assert with_tables(text) == text, "run: python docs/write_providers.py"


def test_every_provider_has_a_row_with_its_names_and_precisions() -> None:
    rows = {line.split("`")[1]: line for line in table().splitlines()[2:]}
    assert list(rows) == providers.names()
    for name, line in rows.items():
        provider = providers.find(name)
        assert f"| {provider.ort_name} |" in line
        assert ", ".join(provider.precisions) in line
        assert line.endswith("| yes |" if provider.tried else "| no |")
        assert line.count(" | ") == table().splitlines()[0].count(" | ")
    assert "`edgekit-onnx[gpu]`" in rows["cuda"]
    assert "`onnxruntime-directml`" in rows["directml"]
    assert "a build of onnxruntime" in rows["xnnpack"]


def test_a_table_is_made_anew_between_its_lines() -> None:
    begins = (BEGINS, quant_rules.BEGINS, OPTIONS_BEGIN)
    document = "between\n".join(f"{line}\nold\n{ENDS}\n" for line in begins)
    made = with_tables(f"before\n{document}after\n")
    assert made.startswith(f"before\n{BEGINS}\n\n| name |")
    assert f"|\n\n{ENDS}\nbetween\n{quant_rules.BEGINS}\n\n| name | fp16 |" in made
    assert f"\n\n{ENDS}\nbetween\n{OPTIONS_BEGIN}\n\n**`coreml`**" in made
    assert made.endswith(f"|\n\n{ENDS}\nafter\n")
    assert "old" not in made


def test_every_option_has_a_row_with_its_values_and_our_default() -> None:
    written = option_tables()
    for name in providers.names():
        for key, option in providers.find(name).options.items():
            (row,) = [line for line in written.splitlines() if line.startswith(f"| `{key}` | ")][:1]
            assert row
            assert option.says in written
            if option.default is not None:
                assert f"edgekit: `{option.default}`, since {option.why}" in written


def test_fewer_bits_have_a_row_for_every_provider_and_a_reason_for_every_no() -> None:
    table, reasons = quant_rules.rules_table().split("\n\n")
    rows = {line.split("`")[1]: line for line in table.splitlines()[2:]}
    assert list(rows) == providers.names()
    assert "| uint8, any zero point |" in rows["cpu"]
    assert "| int8, zero point 0 |" in rows["tensorrt"]
    for name, line in rows.items():
        refused = [row for row in reasons.splitlines() if row.startswith(f"- `{name}`, no ")]
        assert sum(row.partition(":")[0].count(", ") for row in refused) == line.count("| no ")


@pytest.mark.parametrize("document", ["", BEGINS, f"{ENDS} {BEGINS}", f"{BEGINS} {ENDS}"])
def test_a_document_without_the_lines_is_refused(document: str) -> None:
    with pytest.raises(ValueError, match="has no lines"):
        with_tables(document)


def test_the_docs_quote_what_is_really_said(monkeypatch: pytest.MonkeyPatch) -> None:
    text = DOCUMENT.read_text(encoding="utf-8")

    def sees(*gpus: Gpu, because: str = "") -> None:
        monkeypatch.setattr(graphics, "look", lambda **_: Graphics(gpus, none_because=because))

    def problem(*missed: Missing, cuda: str = "") -> str:
        monkeypatch.setattr(libraries, "missing", lambda *_, **__: missed)
        found = diagnosis.nvidia_problem((), provider_library="x.so", extra="gpu", cuda=cuda)
        assert found is not None
        return found.cause

    sees()
    assert problem() in text
    sees(Gpu("NVIDIA L4", driver="550.54", cuda_version="12.4"))
    assert problem(cuda="13.0") in text
    assert problem(Missing("libcublas.so.13"), Missing("libcudnn.so.9"), cuda="12.4") in text
    wrong = Missing("libnvinfer.so.10", instead=("…/libnvinfer.so.11",))
    assert problem(wrong, cuda="12.4") in text
