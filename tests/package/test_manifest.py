"""The manifest: the same bytes for the same package, and no word of one that contradicts itself."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgekit.errors import CorruptPackage
from edgekit.package import manifest
from edgekit.package import values as v
from edgekit.tensors import Dim, Signature, TensorSpec
from edgekit.terms import DType, Metric

MakePackage = Callable[..., v.Package]
Edit = Callable[[dict[str, Any]], object]

# ---- packages of all kinds --------------------------------------------------------------------

texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
numbers = st.floats(allow_nan=False, allow_infinity=False)
counts = st.integers(0, 2**40)
file_names = st.from_regex(r"\A[A-Za-z0-9_][A-Za-z0-9._-]{0,20}\Z").filter(
    lambda name: name != manifest.NAME
)
dims = st.builds(
    lambda name, low, more: Dim(name, low, None if more is None else low + more),
    texts,
    st.integers(0, 9),
    st.none() | counts,
)
specs = st.builds(
    TensorSpec,
    texts,
    st.sampled_from(get_args(DType)),
    st.lists(counts | dims, max_size=3).map(tuple),
    st.none() | st.tuples(numbers, numbers),
)
outputs = st.one_of(specs, st.builds(msgspec.structs.replace, specs, random=st.booleans()))
signatures = st.builds(
    Signature, st.lists(specs, max_size=2).map(tuple), st.lists(outputs, max_size=2).map(tuple)
)
tolerances = st.builds(v.Tolerance, numbers, numbers)
closenesses = st.builds(
    v.OutputCloseness, texts, numbers, numbers, numbers, st.none() | numbers, tolerances
)
facts = st.builds(v.GraphFacts, counts, counts, counts, st.dictionaries(texts, counts, max_size=3))
targets = st.builds(
    v.Target, texts, texts, st.none() | texts, st.none() | st.lists(texts, max_size=2).map(tuple)
)
provenances = st.builds(
    v.Provenance,
    texts,
    st.sampled_from(["pytorch", "onnx"]),
    st.sampled_from(["dynamo", "adopted"]),
    texts,
    seed=counts,
    parameters=st.dictionaries(texts, texts, max_size=2),
    versions=st.dictionaries(texts, texts, max_size=2),
    verification=st.none()
    | st.builds(
        v.Verification,
        st.lists(st.dictionaries(texts, counts, max_size=2), max_size=2).map(tuple),
        counts,
        texts,
    ),
    notes=st.lists(texts, max_size=2).map(tuple),
    task=st.none() | texts,
    pretrained=st.booleans(),
)
records = st.builds(
    v.FileRecord, st.binary(min_size=32, max_size=32).map(bytes.hex), st.integers(0, 2**50)
)

portable_targets = st.builds(v.Target, texts, texts, st.none() | texts)


@st.composite
def packages(draw: st.DrawFn) -> v.Package:
    files = draw(st.dictionaries(file_names, records, min_size=1, max_size=5))
    names = st.sampled_from(sorted(files))
    graphs = draw(st.lists(texts, min_size=1, max_size=2, unique=True))
    variant_names = draw(
        st.lists(
            texts.filter(lambda name: name not in v.RESERVED_NAMES),
            min_size=len(graphs),
            max_size=6,
            unique=True,
        )
    )
    share = len(variant_names) // len(graphs)
    variants = [
        v.Variant(
            name=name,
            graph=graph,
            model=draw(names),
            precision=draw(texts),
            facts=draw(facts),
            closeness=draw(st.lists(closenesses, max_size=2).map(tuple)),
            files=draw(st.lists(names, max_size=2).map(tuple)),
            parent=draw(st.none() | texts),
            # A graph's first variant is right on every processor.
            target=draw(targets if place else portable_targets),
        )
        for index, graph in enumerate(graphs)
        for place, name in enumerate(variant_names[index * share : (index + 1) * share])
    ]
    case_files = st.none() | st.builds(
        v.CaseFile,
        names,
        texts,
        st.sampled_from(["reference", "test", "train"]),
        counts,
        texts,
        st.booleans(),
    )
    kinds = st.sampled_from(["labels", "preprocessing", "tokenizer"])
    assets = [
        draw(st.builds(v.Asset, st.just(name), kinds, names))
        for name in draw(st.lists(file_names, max_size=2, unique=True))
    ]
    return v.Package(
        name=draw(texts),
        graphs=tuple(
            v.Graph(
                name,
                draw(signatures),
                reference=draw(case_files),
                evaluation=draw(case_files),
                calibration=draw(case_files),
            )
            for name in graphs
        ),
        variants=tuple(variants),
        provenance=draw(provenances),
        files=files,
        metric=draw(st.sampled_from(get_args(Metric))),
        assets=tuple(assets),
    )


def reordered(value: Any) -> Any:
    """Turn every dict around, those of structs included, which stay equal."""
    if isinstance(value, dict):
        return {key: reordered(value[key]) for key in reversed(value)}
    return value


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(packages())
def test_what_is_encoded_is_decoded_to_the_same(package: v.Package) -> None:
    raw = manifest.encode(package)
    decoded = manifest.decode(raw, path="p")
    assert decoded == package
    assert manifest.encode(decoded) == raw
    turned = msgspec.structs.replace(
        package,
        files=reordered(package.files),
        provenance=msgspec.structs.replace(
            package.provenance, versions=reordered(package.provenance.versions)
        ),
    )
    assert turned == package
    assert manifest.encode(turned) == raw


def test_variants_keep_their_order_in_the_file(make_package: MakePackage) -> None:
    package = listed(make_package("z", "a", "m"))
    raw = manifest.encode(package)
    assert list(json.loads(raw)["components"]["model"]["variants"]) == ["z", "a", "m"]
    assert [variant.name for variant in manifest.decode(raw, path="p").variants] == ["z", "a", "m"]


def test_graphs_keep_their_order_in_the_file(make_package: MakePackage) -> None:
    package = make_package("z", "a")
    (graph,), (one, other) = package.graphs, package.variants
    package = listed(
        msgspec.structs.replace(
            package,
            graphs=(graph, msgspec.structs.replace(graph, name="decoder")),
            variants=(one, msgspec.structs.replace(other, graph="decoder")),
        )
    )
    raw = manifest.encode(package)
    assert list(json.loads(raw)["components"]) == ["model", "decoder"]
    assert [graph.name for graph in manifest.decode(raw, path="p").graphs] == ["model", "decoder"]


def test_what_is_not_known_of_a_tensor_is_not_in_the_file(make_package: MakePackage) -> None:
    package = make_package("fp32")
    (graph,) = package.graphs
    noise = TensorSpec("noise", "float32", (4,), random=True)
    signature = Signature(graph.signature.inputs, (*graph.signature.outputs, noise))
    package = msgspec.structs.replace(
        package, graphs=(msgspec.structs.replace(graph, signature=signature),)
    )
    found = ours(json.loads(manifest.encode(listed(package))))["graphs"][0]["signature"]
    assert [list(spec) for spec in found["inputs"]] == [["name", "dtype", "shape"]]
    assert [list(spec) for spec in found["outputs"]] == [
        ["name", "dtype", "shape"],
        ["name", "dtype", "shape", "random"],
    ]


def listed(package: v.Package) -> v.Package:
    record = v.FileRecord("0" * 64, 1)
    names = manifest.referenced_files(package)
    return msgspec.structs.replace(package, files=dict.fromkeys(names, record))


# ---- manifests that can't be believed -----------------------------------------------------------


def ours(whole: dict[str, Any]) -> dict[str, Any]:
    values: dict[str, Any] = whole["additional_metadata"]["edgekit"]
    return values


def ort(whole: dict[str, Any]) -> dict[str, Any]:
    variants: dict[str, Any] = whole["components"]["model"]["variants"]
    return variants


def rename(whole: dict[str, Any], name: str) -> None:
    """Give the first variant's file another name, wherever it stands."""
    files = ours(whole)["files"]
    files[name] = files.pop("fp32.onnx")
    ours(whole)["variants"][0]["model"] = name
    ort(whole)["fp32"]["executor_info"]["ort"]["model_file"] = name


def extra_variant(whole: dict[str, Any]) -> None:
    """Put a variant that edgekit doesn't know before those it knows."""
    variants = ort(whole)
    whole["components"]["model"]["variants"] = {"evil": variants["fp32"], **variants}


def turn_variants(whole: dict[str, Any]) -> None:
    whole["components"]["model"]["variants"] = dict(reversed(ort(whole).items()))


def set_at(whole: dict[str, Any], *path: Any, to: Any) -> None:
    *parents, last = path
    for key in parents:
        whole = whole[key]
    whole[last] = to


EDGEKIT = ("additional_metadata", "edgekit")
GRAPH = (*EDGEKIT, "graphs", 0)
SHAPE = (*GRAPH, "signature", "inputs", 0, "shape")
VARIANT = (*EDGEKIT, "variants", 0)
RECORD = (*EDGEKIT, "files", "fp32.onnx")

EDITS: dict[str, tuple[Edit, str]] = {
    "newer": (lambda w: set_at(w, *EDGEKIT, "schema_version", to=2), "upgrade edgekit"),
    "version 0": (lambda w: set_at(w, *EDGEKIT, "schema_version", to=0), "schema version 0"),
    "version true": (lambda w: set_at(w, *EDGEKIT, "schema_version", to=True), "version True"),
    "version text": (lambda w: set_at(w, *EDGEKIT, "schema_version", to="1"), "version '1'"),
    "no version": (lambda w: ours(w).pop("schema_version"), "not written by edgekit"),
    "no metadata": (lambda w: w.pop("additional_metadata"), "not written by edgekit"),
    "metadata a list": (lambda w: set_at(w, "additional_metadata", to=[]), "not written by"),
    "metadata null": (lambda w: set_at(w, "additional_metadata", to=None), "not written by"),
    "ours a list": (lambda w: set_at(w, *EDGEKIT, to=[1]), "not written by edgekit"),
    "ours text": (lambda w: set_at(w, *EDGEKIT, to="schema_version"), "not written by edgekit"),
    "components a list": (lambda w: set_at(w, "components", to=[]), "see 'components'"),
    "components null": (lambda w: set_at(w, "components", to=None), "see 'components'"),
    "no components": (lambda w: w.pop("components"), "see 'components'"),
    "another name": (lambda w: set_at(w, "package_name", to="other"), "see 'package_name'"),
    "another schema": (lambda w: set_at(w, "schema_version", to="2.0"), "see 'schema_version'"),
    "an unknown key": (lambda w: set_at(w, "configs", to={}), "see 'configs'"),
    "another file": (
        lambda w: set_at(ort(w), "fp32", "executor_info", "ort", "model_file", to="int8.onnx"),
        "see 'components'",
    ),
    "another folder": (lambda w: set_at(ort(w), "fp32", "variant_directory", to=".."), "compon"),
    "a variant before": (extra_variant, "see 'components'"),
    "variants turned": (turn_variants, "see 'components'"),
    "no variant at all": (lambda w: set_at(w, *EDGEKIT, "variants", to=[]), "has no variant"),
    "no graph": (lambda w: ours(w).update(graphs=[], variants=[]), "it has no graph"),
    "a graph twice": (lambda w: ours(w)["graphs"].append(ours(w)["graphs"][0]), "is there twice"),
    "a graph without": (
        lambda w: ours(w)["graphs"].append({**ours(w)["graphs"][0], "name": "other"}),
        "'other' has no variant",
    ),
    "a variant twice": (
        lambda w: ours(w)["variants"].append(ours(w)["variants"][0]),
        "'fp32' is there twice",
    ),
    "a graph elsewhere": (
        lambda w: ours(w)["variants"].append({**ours(w)["variants"][0], "graph": "no"}),
        "belongs to a graph 'no'",
    ),
    "a bound one first": (
        lambda w: ours(w).update(
            variants=[
                {**ours(w)["variants"][0], "target": {"isa": ["avx2"]}},
                {**ours(w)["variants"][0], "name": "x"},
            ]
        ),
        "first variant of 'model', 'fp32', is bound to a kind of processor",
    ),
    "reserved": (lambda w: set_at(w, *VARIANT, "name", to="tuned"), "a reserved word"),
    "a size below 0": (lambda w: set_at(w, *SHAPE, to=[-1]), "no tensor can have the shape"),
    "a random input": (
        lambda w: set_at(w, *GRAPH, "signature", "inputs", 0, "random", to=True),
        "of the input 'x' that it is random",
    ),
    "a range turned": (
        lambda w: set_at(w, *SHAPE, to=[{"name": "b", "low": 3, "high": 2}]),
        "no tensor can have the shape",
    ),
    "a wrong type": (lambda w: set_at(w, *EDGEKIT, "name", to=7), r"does not fit the schema.*name"),
    "a misspelt key": (lambda w: set_at(w, *EDGEKIT, "varaints", to=[]), "varaints"),
    "a misspelt key within": (lambda w: set_at(w, *GRAPH, "signature", "inptus", to=[]), "inptus"),
    "an unknown metric": (lambda w: set_at(w, *EDGEKIT, "metric", to="bleu"), "does not fit"),
    "a short hash": (lambda w: set_at(w, *RECORD, "sha256", to="0" * 63), "a size and a SHA-256"),
    "a loud hash": (lambda w: set_at(w, *RECORD, "sha256", to="A" * 64), "a size and a SHA-256"),
    "a size of -1": (lambda w: set_at(w, *RECORD, "size", to=-1), "a size and a SHA-256"),
    "not listed": (lambda w: set_at(w, *EDGEKIT, "files", to={}), "'fp32.onnx' is used and not"),
    "external data not listed": (lambda w: set_at(w, *VARIANT, "files", to=["w.bin"]), "'w.bin'"),
    "cases not listed": (
        lambda w: set_at(
            w,
            *GRAPH,
            "reference",
            to={
                "file": "r.safetensors",
                "name": "r",
                "split": "test",
                "cases": 1,
                "content_sha256": "",
            },
        ),
        "'r.safetensors' is used and not listed",
    ),
    "a name of two graphs' variants": (
        lambda w: ours(w).update(
            graphs=[*ours(w)["graphs"], {**ours(w)["graphs"][0], "name": "other"}],
            variants=[*ours(w)["variants"], {**ours(w)["variants"][0], "graph": "other"}],
        ),
        "'fp32' is there twice",
    ),
    "a second graph's variant first": (
        lambda w: ours(w).update(
            graphs=[{**ours(w)["graphs"][0], "name": "other"}, *ours(w)["graphs"]],
            variants=[
                *ours(w)["variants"],
                {**ours(w)["variants"][0], "name": "x", "graph": "other"},
            ],
        ),
        "its first variant is not one of its first graph",
    ),
    "a bound one first in a second graph": (
        lambda w: ours(w).update(
            graphs=[*ours(w)["graphs"], {**ours(w)["graphs"][0], "name": "other"}],
            variants=[
                *ours(w)["variants"],
                {
                    **ours(w)["variants"][0],
                    "name": "x",
                    "graph": "other",
                    "target": {"isa": ["avx2"]},
                },
                {**ours(w)["variants"][0], "name": "y", "graph": "other"},
            ],
        ),
        "first variant of 'other', 'x', is bound to a kind of processor",
    ),
    "cases of no graph": (lambda w: set_at(w, *EDGEKIT, "reference", to=None), "reference"),
    "an asset twice": (
        lambda w: set_at(
            w, *EDGEKIT, "assets", to=[{"name": "l", "kind": "labels", "file": "fp32.onnx"}] * 2
        ),
        "the asset 'l' is there twice",
    ),
    "an asset not listed": (
        lambda w: set_at(
            w, *EDGEKIT, "assets", to=[{"name": "l", "kind": "labels", "file": "l.txt"}]
        ),
        "'l.txt' is used and not listed",
    ),
}
BAD_NAMES = (
    *("../fp32.onnx", "/etc/passwd", "a/b.onnx", "a\\b.onnx", "..", ".", "", ".hidden", "-rf"),
    *("nul\0.onnx", "line\n", "a b.onnx", "ü.onnx", "C:x", "x" * 202, manifest.NAME),
)


@pytest.fixture
def whole(make_package: MakePackage) -> dict[str, Any]:
    """A right manifest of two variants, fp32 and int8, as JSON."""
    value: dict[str, Any] = json.loads(manifest.encode(listed(make_package("fp32", "int8"))))
    return value


def refusal(whole: Any) -> str:
    raw = whole if isinstance(whole, bytes) else json.dumps(whole).encode()
    with pytest.raises(CorruptPackage) as refused:
        manifest.decode(raw, path="net.edgekit")
    assert str(refused.value).startswith("net.edgekit is not a model package that can be trusted")
    problem = refused.value.facts["problem"]
    assert problem.isprintable()
    return str(problem)


@pytest.mark.parametrize("edit", EDITS)
def test_a_manifest_that_contradicts_itself_is_refused(whole: dict[str, Any], edit: str) -> None:
    manifest.decode(json.dumps(whole).encode(), path="right")
    change, said = EDITS[edit]
    change(whole)
    assert re.search(said, refusal(whole))


@pytest.mark.parametrize("name", BAD_NAMES)
def test_a_file_name_that_could_lead_elsewhere_is_refused(whole: dict[str, Any], name: str) -> None:
    rename(whole, name)
    assert "is not allowed" in refusal(whole) or "at most 200 letters" in refusal(whole)


@pytest.mark.parametrize("name", BAD_NAMES)
def test_an_asset_name_that_could_lead_elsewhere_is_refused(
    whole: dict[str, Any], name: str
) -> None:
    """An app may write an asset out under its name."""
    asset = {"name": name, "kind": "tokenizer", "file": "fp32.onnx"}
    set_at(whole, *EDGEKIT, "assets", to=[asset])
    assert "it has an asset called" in refusal(whole)


@pytest.mark.parametrize(
    "name", ["tokenizer.json", "tokenizer_config.json", "vocab.txt", "spiece.model", "labels"]
)
def test_an_asset_keeps_the_name_that_it_has_elsewhere(whole: dict[str, Any], name: str) -> None:
    file = {"labels": "labels.txt"}.get(name, name)
    ours(whole)["files"][file] = ours(whole)["files"]["fp32.onnx"]
    set_at(whole, *EDGEKIT, "assets", to=[{"name": name, "kind": "tokenizer", "file": file}])
    package = manifest.decode(json.dumps(whole).encode(), path="p")
    assert package.assets == (v.Asset(name, "tokenizer", file),)


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"", "not valid JSON"),
        (b"{", "not valid JSON"),
        (b"[]", "not written by edgekit"),
        (b"null", "not written by edgekit"),
        (b'"edgekit"', "not written by edgekit"),
        (b"7", "not written by edgekit"),
        (b"\xff\xfe{}", "not valid JSON"),
        ("{}".encode("utf-16"), "not valid JSON"),
        (b'\xef\xbb\xbf{"a": 1}', "not valid JSON"),
        (b'{"a": NaN}', "NaN is not a number that JSON has"),
        (b'{"a": -Infinity}', "-Infinity is not a number"),
        (b'{"a": 1e999}', "1e999 is not a number"),
        (b'{"a": ' + b"9" * 5000 + b"}", "not valid JSON"),
        (b'{"a": 1, "b": {"c": 1, "c": 2}}', "the key 'c' is there twice"),
        (b'{"a": 1, "\\u0061": 2}', "the key 'a' is there twice"),
    ],
)
def test_what_is_no_manifest_is_refused(raw: bytes, said: str) -> None:
    assert said in refusal(raw)


def test_the_order_of_keys_is_free_where_it_means_nothing(whole: dict[str, Any]) -> None:
    other = {**dict(sorted(whole.items(), reverse=True)), "additional_metadata": {}}
    other["additional_metadata"] = {"a tool": {"of": "others"}, **whole["additional_metadata"]}
    assert manifest.decode(json.dumps(other).encode(), path="p") == manifest.decode(
        json.dumps(whole).encode(), path="p"
    )


# ---- manifests made to be expensive -------------------------------------------------------------


def in_the_name(whole: dict[str, Any], text: str) -> bytes:
    set_at(whole, "package_name", to=text)
    set_at(whole, *EDGEKIT, "name", to=text)
    return json.dumps(whole).encode()


def test_depth_is_counted_outside_of_strings(whole: dict[str, Any]) -> None:
    for text in ("[" * 1000, '"]}' * 100 + "[" * 100, "\\" * 7 + '"' + "[" * 99, "{\n[" * 99):
        assert manifest.decode(in_the_name(whole, text), path="p").name == text
    for depth in (manifest.MAX_DEPTH - 1, manifest.MAX_DEPTH):
        nested: Any = []
        for level in range(depth - 3):
            nested = [nested, 2] if level % 2 else {"a": [], "b": nested}
        whole["additional_metadata"]["deep"] = nested
        manifest.decode(json.dumps(whole).encode(), path="p")
    whole["additional_metadata"]["deep"] = {"one": {"more": nested}}
    assert "nested more than 32 deep" in refusal(whole)
    for raw in (b"[" * 100_000, b'{"a":' * 100_000, b"[]" * 10 + b"[" * 40 + b"]" * 40):
        assert "nested more than 32 deep" in refusal(raw)


@pytest.mark.parametrize(
    "raw",
    [
        b"[" * manifest.MAX_BYTES,
        b"[]" * (manifest.MAX_BYTES // 2),
        b'"' + b'\\"' * (manifest.MAX_BYTES // 2 - 1),
        b'"' * manifest.MAX_BYTES,
        b'"' + b"a" * (manifest.MAX_BYTES - 1),
        b"{" + b",".join(b'"%d":0' % i for i in range(1_000_000)) + b',"999999":0}',
    ],
    ids=["open", "pairs", "escapes", "quotes", "string", "many keys"],
)
def test_the_largest_manifest_is_refused_without_long_work(raw: bytes) -> None:
    # A second or two; what is not linear takes hours, and the run's limit for a test ends it.
    assert refusal(raw)


def test_a_larger_manifest_is_refused_unread() -> None:
    assert "more than 16 MiB" in refusal(b" " * (manifest.MAX_BYTES + 1))


@settings(max_examples=400, deadline=None)
@given(data=st.data())
def test_a_changed_byte_is_refused_or_harmless(data: st.DataObject) -> None:
    raw = bytearray(FUZZED)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(raw) - 1))
        what = data.draw(st.sampled_from(["replace", "delete", "insert", "cut", "copy"]))
        if what == "replace":
            raw[at] = data.draw(st.sampled_from(b'{}[]",:.-0e9\\x\x00\xff') | st.integers(0, 255))
        elif what == "delete":
            del raw[at]
        elif what == "insert":
            raw[at:at] = data.draw(st.sampled_from([b"null", b"-1", b"[]", b"{", b'""', b"1e308"]))
        elif what == "cut":
            del raw[at : at + data.draw(st.integers(1, 200))]
        else:
            raw[at:at] = raw[data.draw(st.integers(0, len(raw) - 1)) :][:80]
        if not raw:
            raw += b" "
    try:
        package = manifest.decode(bytes(raw), path="p")
    except CorruptPackage:
        return
    assert set(manifest.referenced_files(package)) <= package.files.keys()
    assert manifest.decode(manifest.encode(package), path="p") == package


FUZZED = manifest.encode(
    v.Package(
        name="tiny",
        graphs=(
            v.Graph("model", Signature((TensorSpec("x", "float32", (Dim("b", 1, 8), 4)),), ())),
        ),
        variants=(
            v.Variant(
                "fp32",
                "model",
                "fp32.onnx",
                "fp32",
                v.GraphFacts(20, 1, 12, {"MatMul": 1}),
                closeness=(v.OutputCloseness("y", 1e-6, 0.5, 1.0, None, v.Tolerance(1e-5, 0.0)),),
                target=v.Target(arch="x86_64"),
            ),
        ),
        provenance=v.Provenance("tiny.py:make", "pytorch", "dynamo", "0" * 64),
        files={"fp32.onnx": v.FileRecord("0" * 64, 1)},
    )
)
