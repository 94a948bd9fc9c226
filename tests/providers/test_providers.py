from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path

import pytest

from edgekit import providers
from edgekit.errors import UnknownName
from edgekit.package.values import SessionChoice

FAKE = """
from edgekit.providers import options
from edgekit.providers.info import Diagnosis, ProviderInfo

PROVIDER = ProviderInfo(
    name="abacus", ort_name="AbacusExecutionProvider", extra="abacus", summary="beads",
    packages=("abacus",), precisions=("int8",),
    tried=False,
    diagnosed=lambda provider: Diagnosis(
        usable=True, cause="", found="beads", needed="", mend=""
    ),
    translated=options.translate,
)
"""


def test_names_lists_providers_and_nothing_else() -> None:
    names = providers.names()
    assert names == sorted(names)
    assert {"cpu", "cuda", "openvino", "tensorrt"} <= set(names)
    assert not {"info", "options", "diagnosis", "plugin", "__init__"} & set(names)


def test_every_file_is_a_provider_or_shared() -> None:
    for name in providers.names():
        module = name.replace("-", "_")
        provider = importlib.import_module(f"edgekit.providers.{module}").PROVIDER
        assert isinstance(provider, providers.ProviderInfo)
        assert provider.name == name
        assert provider is providers.find(name)


def test_ort_names_differ() -> None:
    ort_names = {providers.find(name).ort_name for name in providers.names()}
    assert len(ort_names) == len(providers.names())


def test_a_provider_is_added_by_adding_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "abacus.py").write_text(FAKE)
    monkeypatch.setattr(providers, "__path__", [*providers.__path__, str(tmp_path)])
    assert "abacus" in providers.names()
    provider = providers.find("abacus")
    assert provider.diagnose().found == "beads"
    assert provider.translate(SessionChoice(provider="abacus")).providers[0][0] == provider.ort_name


@pytest.mark.parametrize("name", ["cda", "info", "options", "", "../cpu", "CPU", "cpu.py"])
def test_find_refuses_what_is_no_provider(name: str) -> None:
    with pytest.raises(UnknownName) as error:
        providers.find(name)
    assert ", ".join(providers.names()) in str(error.value)


def test_find_names_the_nearest() -> None:
    with pytest.raises(UnknownName, match="Did you mean 'cuda'"):
        providers.find("cda")


def test_providers_are_known_without_onnxruntime(fresh_python: Callable[[str], str]) -> None:
    said = fresh_python(
        "import sys; sys.modules['onnxruntime'] = None\n"
        "from edgekit import providers\n"
        "for name in providers.names():\n"
        "    print(name, providers.find(name).diagnose().usable)\n"
        "print('numpy' in sys.modules)"
    )
    *diagnoses, numpy_loaded = said.splitlines()
    assert diagnoses == [f"{name} False" for name in providers.names()]
    assert numpy_loaded == "False"
