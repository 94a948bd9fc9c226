"""What every test may rest on: a cache folder of the run's own, tiny graphs, and what ran where."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pytest

# Before numpy's or torch's pools are made, here and in every worker that a test starts: on a big
# machine a pool of all cores in each of them would only stand in the others' way.
_THREADS = str(min(2, os.cpu_count() or 1))
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, _THREADS)

_scratch_cache = pytest.StashKey[str]()


def pytest_configure(config: pytest.Config) -> None:
    """Keep the user's own cache out of the run, and the run out of it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # A shell that runs us in the background ignores Ctrl-C, and every program that a test
        # starts would inherit that.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    # A worker of the run is told how wide its terminal is, which would wrap what tests read.
    os.environ.pop("COLUMNS", None)
    if not os.environ.get("EDGEKIT_CACHE"):
        config.stash[_scratch_cache] = tempfile.mkdtemp(prefix="edgekit-tests-")
        os.environ["EDGEKIT_CACHE"] = config.stash[_scratch_cache]


def pytest_unconfigure(config: pytest.Config) -> None:
    if folder := config.stash.get(_scratch_cache, None):
        os.environ.pop("EDGEKIT_CACHE", None)
        shutil.rmtree(folder, ignore_errors=True)


def pytest_report_header() -> list[str]:
    import onnxruntime

    import edgekit
    from edgekit import machine

    versions = [f"edgekit {edgekit.__version__} ({Path(edgekit.__file__).parent})"]
    versions += [
        f"{name} {_version(name)}" for name in ("onnxruntime", "torch", "onnx", "onnxscript")
    ]
    return [
        ", ".join(versions),
        f"machine: {machine.summary(machine.describe())}",
        f"available providers: {', '.join(onnxruntime.get_available_providers())}",
        f"cache: {os.environ['EDGEKIT_CACHE']}",
    ]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # What may take longest begins first, so that in several processes none is left alone with it.
    items.sort(key=_seconds_allowed, reverse=True)
    marked = [item for item in items if item.get_closest_marker("gpu")]
    if marked and (reason := _no_gpu_because()):
        for item in marked:
            item.add_marker(pytest.mark.skip(reason=reason))


def _seconds_allowed(item: pytest.Item) -> int:
    marker = item.get_closest_marker("timeout")
    return int(marker.args[0]) if marker is not None else 0


def _version(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return "not installed"


def _no_gpu_because() -> str:
    import onnxruntime

    from edgekit import machine

    if machine.describe().gpu is None:
        return "this machine has no GPU"
    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        return "the onnxruntime that is installed here has no CUDA provider"
    return ""


@pytest.fixture(scope="session")
def openvino_library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a library of OpenVINO's plug-in provider that finds this processor.

    The plug-in runs on every x86-64 processor and offers Intel's alone: it compares the maker's
    number with Intel's. Where the processor is another's, the library is a copy in which that
    number is this processor's, beside links to the libraries that it loads.
    """
    plugin = pytest.importorskip("onnxruntime_ep_openvino", reason="no wheel for this machine")
    import onnxruntime
    from onnxruntime.capi import _pybind_state

    del onnxruntime
    original = Path(plugin.get_library_path())
    kinds = _pybind_state.OrtHardwareDeviceType
    makers = {d.vendor_id for d in _pybind_state.get_hardware_devices() if d.type == kinds.CPU}
    if _INTEL in makers or not makers:
        return original
    folder = tmp_path_factory.mktemp("openvino")
    for file in original.parent.iterdir():
        if file.is_file() and not file.name.startswith(original.name):
            (folder / file.name).symlink_to(file)
    compare = b"\x3d"  # cmp eax, …
    asked = compare + _INTEL.to_bytes(4, "little")
    content = original.read_bytes()
    if asked not in content:
        pytest.skip("this plug-in asks for Intel's processors in another way")
    answered = content.replace(asked, compare + makers.pop().to_bytes(4, "little"))
    library = folder / original.name
    library.write_bytes(answered)
    return library


_INTEL = 0x8086


class MakeTinyOnnx(Protocol):
    """Write a small graph, y = Relu(x @ W + b), and return its path."""

    def __call__(
        self,
        name: str = "tiny",
        *,
        batch: str | int = "batch",
        opset: int = 20,
        dtype: str = "float32",
        second_input: bool = False,
    ) -> Path: ...


TINY_WEIGHT = np.linspace(-1.0, 1.0, 12, dtype=np.float32).reshape(4, 3)
TINY_BIAS = np.array([0.5, -0.25, 0.0], dtype=np.float32)


@pytest.fixture
def tiny_onnx(tmp_path: Path) -> MakeTinyOnnx:
    """Make tiny .onnx files in the test's own folder.

    Input `x` [batch, 4], output `y` float32 [batch, 3]. `batch` is a dimension's name or its fixed
    size; `dtype` is that of `x` (int64 is cast to float32 first); with `second_input` there is
    `offset` float32 [batch, 3], added before the Relu. `tiny_answer` says what y must be.
    """
    pytest.importorskip("onnx", reason="tiny graphs are built with onnx")

    def make(
        name: str = "tiny",
        *,
        batch: str | int = "batch",
        opset: int = 20,
        dtype: str = "float32",
        second_input: bool = False,
    ) -> Path:
        path = tmp_path / f"{name}.onnx"
        _write_tiny(
            path, batch=batch, opset=opset, dtype=np.dtype(dtype), second_input=second_input
        )
        return path

    return make


@pytest.fixture
def tiny_answer() -> Callable[[dict[str, Any]], Any]:
    """Compute with numpy what a graph of `tiny_onnx` answers to a feed."""

    def answer(feed: dict[str, Any]) -> Any:
        x = np.asarray(feed["x"]).astype(np.float32)
        return np.maximum(x @ TINY_WEIGHT + TINY_BIAS + feed.get("offset", np.float32(0)), 0)

    return answer


def _write_tiny(
    path: Path, *, batch: str | int, opset: int, dtype: np.dtype[Any], second_input: bool
) -> None:
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    kind = helper.np_dtype_to_tensor_dtype(dtype)
    inputs = [helper.make_tensor_value_info("x", kind, [batch, 4])]
    nodes, product = [], "x"
    if kind != TensorProto.FLOAT:
        nodes.append(helper.make_node("Cast", ["x"], ["x_float"], to=TensorProto.FLOAT))
        product = "x_float"
    nodes.append(helper.make_node("MatMul", [product, "W"], ["product"]))
    nodes.append(helper.make_node("Add", ["product", "b"], ["sum"]))
    last = "sum"
    if second_input:
        inputs.append(helper.make_tensor_value_info("offset", TensorProto.FLOAT, [batch, 3]))
        nodes.append(helper.make_node("Add", ["sum", "offset"], ["moved"]))
        last = "moved"
    nodes.append(helper.make_node("Relu", [last], ["y"]))
    graph = helper.make_graph(
        nodes,
        "tiny",
        inputs,
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [batch, 3])],
        [numpy_helper.from_array(TINY_WEIGHT, "W"), numpy_helper.from_array(TINY_BIAS, "b")],
    )
    # IR version 10 came with opset 21: every onnxruntime that is supported reads it.
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)


@pytest.fixture
def fresh_python() -> Callable[[str], str]:
    """Run a few lines in an interpreter of their own and return what they print."""

    def run(code: str) -> str:
        done = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


class Save(Protocol):
    """Write a graph in ONNX's text form: "(float[n,4] x) => (float[n,4] y) { y = Relu(x) }"."""

    def __call__(
        self,
        text: str,
        *,
        weights: dict[str, Any] | None = None,
        opset: int = 20,
        name: str = "model",
    ) -> Path: ...


@pytest.fixture
def save(tmp_path: Path) -> Save:
    onnx = pytest.importorskip("onnx", reason="graphs are built with onnx")

    def make(
        text: str, *, weights: dict[str, Any] | None = None, opset: int = 20, name: str = "model"
    ) -> Path:
        head = f'<ir_version: 10, opset_import: ["": {opset}, "com.microsoft": 1]> g '
        model = onnx.parser.parse_model(head + text)
        for tensor, array in (weights or {}).items():
            model.graph.initializer.append(onnx.numpy_helper.from_array(np.asarray(array), tensor))
        path = tmp_path / f"{name}.onnx"
        onnx.save(model, path)
        return path

    return make


class RunPage(Protocol):
    """Run the blocks of a page of docs/ in a folder, one after the other; return what each says.

    A Python block whose first line is `# NAME.py` is written to that file. Lines that install
    something, and blocks of other languages, are passed over. A bench is shortened; `edited`
    changes a block before it runs.
    """

    def __call__(
        self, page: str, folder: Path, *, edited: Callable[[str], str] = ...
    ) -> list[str]: ...


@pytest.fixture
def run_page() -> RunPage:
    scripts = str(Path(sys.executable).parent)
    environment = {**os.environ, "PATH": os.pathsep.join([scripts, os.environ["PATH"]])}
    commands = {"python": [sys.executable, "-c"], "bash": ["bash", "-euc"]}

    def run(page: str, folder: Path, *, edited: Callable[[str], str] = str) -> list[str]:
        text = (Path(__file__).parents[1] / "docs" / page).read_text(encoding="utf-8")
        said: list[str] = []
        for language, body in _FENCE.findall(text):
            named = re.match(r"# (\w+\.py)\n", body)
            if named is not None:
                (folder / named[1]).write_text(body, encoding="utf-8")
            if named is not None or language not in commands or body.startswith("pip install"):
                continue
            quick = edited(body).replace("edgekit bench ", "edgekit bench --starts 2 --rounds 1 ")
            done = subprocess.run(
                [*commands[language], quick],
                cwd=folder,
                env=environment,
                capture_output=True,
                text=True,
                timeout=300,
                check=False,
            )
            assert done.returncode == 0, f"{body}\n{done.stdout}{done.stderr}"
            said.append(done.stdout)
        return said

    return run


_FENCE = re.compile(r"^```(\S*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="session")
def cnn_package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Export the reference CNN once a run. Shared: copy it before you change anything in it."""
    pytest.importorskip("torch", reason="the reference CNN is exported with torch")
    from exporters import export_target

    path = tmp_path_factory.mktemp("cnn") / "cnn.edgekit"
    export_target("cnn", path)
    return path


@pytest.fixture
def tiny_package(
    tmp_path: Path, tiny_onnx: MakeTinyOnnx, tiny_answer: Callable[[dict[str, Any]], Any]
) -> Path:
    """Pack the tiny graph with recorded answers and labelled cases, without torch.

    One variant `fp32`, input `x` [batch:1..8, 4], output `y` [batch, 3], metric top1, four
    reference cases and twenty evaluation cases.
    """
    from edgekit.graph.summary import summarize
    from edgekit.package import cases, commit
    from edgekit.package import values as v
    from edgekit.tensors import Case, Dim, Signature, TensorSpec

    generator = np.random.default_rng(0)

    def answered(rows: int, *, labelled: bool) -> Case:
        feed = {"x": generator.standard_normal((rows, 4)).astype(np.float32)}
        y = tiny_answer(feed)
        return Case(feed, {"y": y}, int(np.argmax(y[0])) if labelled else None)

    def case_file(name: str, split: Any, kept: list[Case]) -> v.CaseFile:
        contents[f"{name}.safetensors"] = cases.encode(kept)
        digest = cases.content_sha256_of_all(kept)
        return v.CaseFile(f"{name}.safetensors", "cases", split, len(kept), digest)

    model = tiny_onnx()
    contents: dict[str, bytes | Path] = {"fp32.onnx": model.read_bytes()}
    batch = Dim("batch", 1, 8)
    signature = Signature(
        (TensorSpec("x", "float32", (batch, 4)),), (TensorSpec("y", "float32", (batch, 3)),)
    )
    near = v.OutputCloseness("y", 1e-6, 1e-6, 1.0, 120.0, v.Tolerance(1e-5, 0.0))
    package = v.Package(
        name="tiny",
        graphs=(
            v.Graph(
                "model",
                signature,
                reference=case_file(
                    "reference",
                    "reference",
                    [answered(rows, labelled=False) for rows in (1, 2, 3, 8)],
                ),
                evaluation=case_file(
                    "evaluation", "test", [answered(1, labelled=True) for _ in range(20)]
                ),
            ),
        ),
        variants=(
            v.Variant("fp32", "model", "fp32.onnx", "fp32", summarize(model), closeness=(near,)),
        ),
        provenance=v.Provenance("tiny.py:make", "pytorch", "dynamo", "0" * 64),
        files={},
        metric="top1",
    )
    path = tmp_path / "tiny.edgekit"
    with commit.new_package(path) as folder:
        commit.commit(folder, package, contents)
    return path


class Choose(Protocol):
    """Store a choice of the variant `fast` for a kind of machine, this one unless named."""

    def __call__(
        self,
        folder: Path,
        *,
        variant: str = "fast",
        key: str | None = None,
        machine: str = "a small one",
        by_provider: dict[str, str] | None = None,
        **session: Any,
    ) -> Path: ...


@pytest.fixture
def with_fast(tiny_package: Path, tiny_onnx: MakeTinyOnnx) -> Path:
    """Give the tiny package a second variant `fast`, made from the first, that answers as it."""
    import msgspec

    from edgekit.package import commit, reading

    package = reading.read(tiny_package)
    fast = msgspec.structs.replace(
        package.variants[0], name="fast", model="fast.onnx", precision="int8", parent="fp32"
    )
    package = msgspec.structs.replace(package, variants=(*package.variants, fast))
    commit.commit(tiny_package, package, {"fast.onnx": tiny_onnx("other").read_bytes()})
    return tiny_package


@pytest.fixture
def choose() -> Choose:
    """Store choices as tuning does; `by_provider` names variants, on the session of the winner."""
    from edgekit import machine as machines
    from edgekit.package import choices, reading
    from edgekit.package.values import Choice, SessionChoice

    def chosen(
        folder: Path,
        *,
        variant: str = "fast",
        key: str | None = None,
        machine: str = "a small one",
        by_provider: dict[str, str] | None = None,
        **session: Any,
    ) -> Path:
        package = reading.read(folder)
        key = key or machines.speed_key(machines.describe())
        winner = Choice(variant, SessionChoice(**session), "×1.43 of float", key)
        others = {
            name: Choice(one, SessionChoice(**{**session, "provider": name}), "×1.2 of float", key)
            for name, one in (by_provider or {}).items()
        }
        named = {variant, *(by_provider or {}).values()}
        files = {
            file: package.files[file].sha256
            for v in package.variants
            if v.name in named
            for file in reading.files_of(v)
        }
        kept = choices.Chosen(1, key, machine, winner, others, files, "within 0.5 points")
        path = choices.store(folder, kept)
        assert path is not None
        return path

    return chosen


@pytest.fixture
def two_graphs(
    tiny_package: Path, tiny_onnx: MakeTinyOnnx, tiny_answer: Callable[[dict[str, Any]], Any]
) -> Path:
    """Give the tiny package a second graph `model-uint8`, of the same weights and outputs.

    Its variant `fp32-uint8` takes `x` uint8 [batch:1..4, 4]; it has two reference cases and ten
    evaluation cases of its own.
    """
    import msgspec

    from edgekit.package import cases, commit, reading
    from edgekit.package import values as v
    from edgekit.tensors import Case, Dim, Signature, TensorSpec

    generator = np.random.default_rng(1)
    contents: dict[str, bytes | Path] = {
        "fp32-uint8.onnx": tiny_onnx("bytes", dtype="uint8").read_bytes()
    }

    def case_file(name: str, split: Any, kept: list[Case]) -> v.CaseFile:
        contents[f"{name}.safetensors"] = cases.encode(kept)
        digest = cases.content_sha256_of_all(kept)
        return v.CaseFile(f"{name}.safetensors", "pictures", split, len(kept), digest)

    def answered(rows: int) -> Case:
        feed = {"x": generator.integers(0, 256, (rows, 4), np.uint8)}
        y = tiny_answer(feed)
        return Case(feed, {"y": y}, int(np.argmax(y[0])) if rows == 1 else None)

    package = reading.read(tiny_package)
    batch = Dim("batch", 1, 4)
    graph = v.Graph(
        "model-uint8",
        Signature(
            (TensorSpec("x", "uint8", (batch, 4)),), (TensorSpec("y", "float32", (batch, 3)),)
        ),
        reference=case_file("reference-uint8", "reference", [answered(2), answered(4)]),
        evaluation=case_file("evaluation-uint8", "test", [answered(1) for _ in range(10)]),
    )
    (variant,) = package.variants
    (near,) = variant.closeness
    # Sums of values up to 255 are that much larger, and so is their rounding.
    near = msgspec.structs.replace(near, tolerance=v.Tolerance(1e-3, 0.0))
    variant = msgspec.structs.replace(
        variant,
        name="fp32-uint8",
        graph="model-uint8",
        model="fp32-uint8.onnx",
        closeness=(near,),
    )
    package = msgspec.structs.replace(
        package, graphs=(*package.graphs, graph), variants=(*package.variants, variant)
    )
    commit.commit(tiny_package, package, contents)
    return tiny_package


class MakeNoisyPackage(Protocol):
    """Pack a graph with an output drawn anew at every call, and return the package's folder."""

    def __call__(self, *, only_random: bool = False) -> Path: ...


@pytest.fixture
def noisy_package(tmp_path: Path) -> MakeNoisyPackage:
    """Make packages `noisy` with the outputs y = Relu(x) and `noise`, of RandomNormalLike.

    Input and outputs are float32 [batch, 4]; `noise` is marked random. Two reference cases, three
    labelled evaluation cases, metric top1. With `only_random` there is `noise` alone.
    """
    onnx = pytest.importorskip("onnx", reason="graphs are built with onnx")

    from edgekit.graph.summary import summarize
    from edgekit.package import cases, commit
    from edgekit.package import values as v
    from edgekit.tensors import Case, Dim, Signature, TensorSpec

    def make(*, only_random: bool = False) -> Path:
        kept = "" if only_random else "float[batch,4] y, "
        body = "" if only_random else "y = Relu(x) "
        model = tmp_path / "noisy.onnx"
        onnx.save(
            onnx.parser.parse_model(
                '<ir_version: 10, opset_import: ["": 20]> '
                f"g (float[batch,4] x) => ({kept}float[batch,4] noise) "
                f"{{ {body}noise = RandomNormalLike(x) }}"
            ),
            model,
        )
        generator = np.random.default_rng(2)
        contents: dict[str, bytes | Path] = {"fp32.onnx": model.read_bytes()}

        def case_file(name: str, split: Any, rows: list[int]) -> v.CaseFile:
            made = []
            for n in rows:
                x, noise = (generator.standard_normal((n, 4)).astype(np.float32) for _ in "xn")
                answers = {"noise": noise} if only_random else {"noise": noise, "y": x.clip(0)}
                made.append(Case({"x": x}, answers, 1 if n == 1 else None))
            contents[f"{name}.safetensors"] = cases.encode(made)
            digest = cases.content_sha256_of_all(made)
            return v.CaseFile(f"{name}.safetensors", "cases", split, len(made), digest)

        shape = (Dim("batch", 1, 8), 4)
        outputs = [TensorSpec("noise", "float32", shape, random=True)]
        near = v.OutputCloseness("y", 0.0, 0.0, 1.0, None, v.Tolerance(1e-6, 0.0))
        if not only_random:
            outputs.insert(0, TensorSpec("y", "float32", shape))
        package = v.Package(
            name="noisy",
            graphs=(
                v.Graph(
                    "model",
                    Signature((TensorSpec("x", "float32", shape),), tuple(outputs)),
                    reference=case_file("reference", "reference", [1, 3]),
                    evaluation=case_file("evaluation", "test", [1, 1, 1]),
                ),
            ),
            variants=(
                v.Variant(
                    "fp32",
                    "model",
                    "fp32.onnx",
                    "fp32",
                    summarize(model),
                    closeness=() if only_random else (near,),
                ),
            ),
            provenance=v.Provenance("noisy.py:make", "pytorch", "dynamo", "0" * 64),
            files={},
            metric="top1",
        )
        path = tmp_path / "noisy.edgekit"
        with commit.new_package(path) as folder:
            commit.commit(folder, package, contents)
        return path

    return make


Installed = Callable[[dict[str, str]], None]


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Installed:
    """Let the given distributions, and no others, seem installed."""

    def fake(versions: dict[str, str]) -> None:
        folder = tmp_path / "site"
        for name, number in versions.items():
            info = folder / f"{name.replace('-', '_')}-{number}.dist-info"
            info.mkdir(parents=True)
            (info / "METADATA").write_text(f"Name: {name}\nVersion: {number}\n")
        rest = [path for path in sys.path if not any(Path(path).glob("*-info"))]
        monkeypatch.setattr(sys, "path", [str(folder), *rest])

    return fake
