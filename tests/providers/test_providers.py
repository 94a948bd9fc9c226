from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from edgekit import providers
from edgekit.errors import BadValue, UnknownName
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


@pytest.mark.parametrize("name", providers.names())
def test_a_provider_tells_all_that_is_to_be_known_of_it(name: str) -> None:
    provider = providers.find(name)
    assert provider.summary
    assert provider.precisions
    assert provider.ort_name.endswith("ExecutionProvider")
    for key, option in provider.options.items():
        assert option.says, key
        assert option.words or option.pattern or option.low is not None, key
        assert option.default is None or option.takes(option.default), key
        assert bool(option.why) == (option.default is not None), key
    for library in provider.libraries:
        assert library.soname.startswith("lib")
        assert ".so." in library.soname
    for companion in provider.companions:
        assert companion in providers.names()


@pytest.mark.parametrize("name", providers.names())
def test_an_extra_that_a_provider_names_is_one_of_ours(name: str) -> None:
    import tomllib

    project = Path(__file__).parents[2] / "pyproject.toml"
    extras = tomllib.loads(project.read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    provider = providers.find(name)
    assert provider.extra == "" or provider.extra in extras
    brought = " ".join(extras.get(provider.extra, []))
    if provider.extra not in ("", "cpu", "tensorrt"):  # the last brings some through another
        assert all(package in brought for package in provider.packages)


def test_those_that_were_never_tried_say_so() -> None:
    tried = {name for name in providers.names() if providers.find(name).tried}
    assert {"cpu", "openvino"} <= tried
    assert not {"coreml", "directml", "migraphx", "qnn", "webgpu", "xnnpack"} & tried


@pytest.mark.parametrize("name", ["cpu", "cuda", "tensorrt", "coreml"])
def test_a_library_is_for_plug_ins_alone(name: str, tmp_path: Path) -> None:
    with pytest.raises(BadValue, match="part of onnxruntime and no plug-in"):
        providers.find(name, library=str(tmp_path / "lib.so"))


def test_a_plug_in_takes_another_library_than_its_package_brings(tmp_path: Path) -> None:
    library = str(tmp_path / "libother.so")
    plugin = providers.find("openvino", library=library).plugin
    brought = providers.find("openvino").plugin
    assert brought is not None
    assert plugin == msgspec.structs.replace(brought, library=library)


def test_an_unknown_plug_in_takes_any_option_as_it_is(tmp_path: Path) -> None:
    provider = providers.find("AbacusExecutionProvider", library=str(tmp_path / "lib.so"))
    choice = SessionChoice(
        provider="AbacusExecutionProvider", provider_options={"beads": "10", "Wire.length": "a b"}
    )
    settings = provider.translate(choice)
    assert settings.providers == (
        ("AbacusExecutionProvider", {"beads": "10", "Wire.length": "a b"}),
    )
    assert settings.plugin == provider.plugin
    assert not provider.tried
