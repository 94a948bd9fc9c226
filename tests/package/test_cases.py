"""Cases on disk: what comes back is what was recorded, byte for byte."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgekit.errors import CorruptPackage, HashMismatch
from edgekit.package import cases, commit, reading
from edgekit.package import values as v
from edgekit.tensors import Case
from edgekit.terms import DType, members

ml_dtypes = pytest.importorskip("ml_dtypes", reason="bfloat16 comes with ml_dtypes")

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)


@st.composite
def arrays(draw: st.DrawFn) -> Any:
    """Any bits of any element type and shape, turned around now and then."""
    dtype = np.dtype(draw(st.sampled_from(members(DType))))
    shape = draw(st.lists(st.integers(0, 3), max_size=3))
    count = int(np.prod(shape))
    if dtype.kind == "b":
        bits = bytes(draw(st.lists(st.integers(0, 1), min_size=count, max_size=count)))
    else:
        size = count * dtype.itemsize
        bits = draw(st.binary(min_size=size, max_size=size))
    array = np.frombuffer(bits, dtype).reshape(shape)
    return array.T if draw(st.booleans()) else array


feeds = st.dictionaries(texts, arrays(), min_size=1, max_size=3)
several = st.lists(
    st.builds(Case, feeds, st.none() | feeds, st.none() | st.integers(-(2**63), 2**63 - 1)),
    max_size=4,
)


def bits(feed: Any) -> dict[str, tuple[str, tuple[int, ...], bytes]] | None:
    if feed is None:
        return None
    return {
        name: (array.dtype.name, array.shape, np.array(array, order="C").tobytes())
        for name, array in feed.items()
    }


@settings(deadline=None)
@given(several)
def test_cases_come_back_as_they_were(recorded: list[Case]) -> None:
    content = cases.encode(recorded)
    assert cases.encode(recorded) == content
    found = cases.decode(content, path="p")
    assert len(found) == len(recorded)
    for one, other in zip(recorded, found, strict=True):
        assert bits(other.feed) == bits(one.feed)
        assert bits(other.outputs) == bits(one.outputs)
        assert other.label == one.label
    again = [Case(dict(reversed(c.feed.items())), c.outputs, c.label) for c in recorded]
    assert cases.encode(again) == content
    assert cases.content_sha256_of_all(found) == cases.content_sha256_of_all(recorded[::-1])


def test_names_with_dots_and_strange_letters_are_kept() -> None:
    one = np.ones(1, np.float32)
    case = Case({"a.b.c": one, "": one, "ü 入力": one, ".": one, "label": one}, {"y.0": one}, 3)
    (found,) = cases.decode(cases.encode([case]), path="p")
    assert found.feed.keys() == case.feed.keys()
    assert list(found.outputs or {}) == ["y.0"]
    assert found.label == 3


def test_another_byte_order_is_stored_as_the_same_values() -> None:
    values = np.array([1.5, -2.0, 3e38], np.float32)
    turned = values.astype(">f4")
    assert cases.encode([Case({"x": turned})]) == cases.encode([Case({"x": values})])
    assert cases.content_sha256({"x": turned}) == cases.content_sha256({"x": values})


@pytest.mark.parametrize(
    "other",
    [
        {"y": np.zeros(4, np.float32)},
        {"x": np.zeros(4, np.int32)},
        {"x": np.zeros((2, 2), np.float32)},
        {"x": np.array([0, 0, 0, -0.0], np.float32)},
        {"x": np.zeros(4, np.float32), "y": np.zeros(0, np.float32)},
    ],
)
def test_the_content_hash_tells_feeds_apart(other: dict[str, Any]) -> None:
    feed = {"x": np.zeros(4, np.float32)}
    assert cases.content_sha256(other) != cases.content_sha256(feed)
    assert cases.content_sha256(dict(feed)) == cases.content_sha256(feed)
    first, second = [Case(feed)], [Case(other)]
    assert cases.content_sha256_of_all(first + second) != cases.content_sha256_of_all(first)


def head_of(content: bytes) -> tuple[dict[str, Any], bytes]:
    size = int.from_bytes(content[:8], "little")
    return json.loads(content[8 : 8 + size]), content[8 + size :]


def with_head(head: dict[str, Any], body: bytes) -> bytes:
    text = json.dumps(head).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + body


def renamed(old: str, new: str) -> Callable[[dict[str, Any]], Any]:
    return lambda head: head.update({new: head.pop(old)})


def raw(text: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda head: head.update(__metadata__={"raw": text})


@pytest.mark.parametrize(
    "change",
    [
        lambda head: head.pop("__metadata__"),
        lambda head: head.update(__metadata__={}),
        raw("nonsense"),
        raw("7"),
        raw("[" * 100_000),
        raw('["000000.input.x"]'),
        raw('{"000000.input.x": 1}'),
        raw('{"000000.input.x": ["object", [2]]}'),
        raw('{"000000.input.x": ["bfloat16", [77]]}'),
        raw('{"000000.input.x": ["bfloat16", "77"]}'),
        renamed("000000.input.x", "weight"),
        renamed("000000.input.x", "000000.weight.x"),
        renamed("000000.label.", "000000.label.x"),
        renamed("000000.input.x", "000001.label."),
    ],
)
def test_a_file_that_was_made_to_mislead_is_refused(
    change: Callable[[dict[str, Any]], Any],
) -> None:
    content = cases.encode([Case({"x": np.ones(4, np.float32)}, label=1)])
    head, body = head_of(content)
    assert cases.decode(with_head(head, body), path="p")[0].label == 1
    change(head)
    with pytest.raises(CorruptPackage, match=r"net\.edgekit .* its cases cannot be read"):
        cases.decode(with_head(head, body), path="net.edgekit")


def test_a_file_from_elsewhere_is_refused() -> None:
    from safetensors.numpy import save

    elsewhere = save({"model.weight": np.ones(3, np.float32)}, {"format": "pt"})
    for content in (elsewhere, b"", b"\0" * 8, b"\xff" * 100, b"PK\x03\x04 a zip"):
        with pytest.raises(CorruptPackage):
            cases.decode(content, path="p")


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_a_changed_byte_is_refused_or_harmless(data: st.DataObject) -> None:
    content = bytearray(FUZZED)
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    if data.draw(st.booleans()):
        del content[data.draw(st.integers(0, len(content))) :]
    try:
        assert isinstance(cases.decode(bytes(content), path="p"), list)
    except CorruptPackage:
        return


FUZZED = cases.encode(
    [Case({"x": np.ones(3, ml_dtypes.bfloat16)}, {"y": np.ones((2, 1), np.int8)}, label=1)]
)


def test_a_packages_cases_are_verified_at_every_pass(
    tmp_path: Path, make_package: Callable[..., v.Package]
) -> None:
    recorded = [Case({"x": np.full((1, 4), n, np.float32)}, label=n) for n in range(3)]
    digest = cases.content_sha256_of_all(recorded)
    folder = tmp_path / "net.edgekit"
    package = make_package("fp32")
    held_out = v.CaseFile("evaluation.safetensors", "digits", "test", 3, digest)
    graph = msgspec.structs.replace(package.graphs[0], evaluation=held_out)
    package = msgspec.structs.replace(package, graphs=(graph,))
    with commit.new_package(folder) as partial:
        contents = {"fp32.onnx": b"model", "evaluation.safetensors": cases.encode(recorded)}
        commit.commit(partial, package, contents)
    package = reading.read(folder)
    evaluation = package.graphs[0].evaluation
    assert evaluation == held_out
    dataset = cases.open_cases(folder, package, evaluation)
    assert (dataset.name, dataset.split, dataset.cases) == ("digits", "test", 3)
    assert (dataset.sha256, dataset.synthetic) == (digest, False)
    for _ in range(2):
        assert [case.label for case in dataset.open()] == [0, 1, 2]

    fewer = msgspec.structs.replace(evaluation, cases=4)
    with pytest.raises(CorruptPackage, match="has 3 cases and should have 4"):
        cases.open_cases(folder, package, fewer).open()

    path = folder / "evaluation.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(HashMismatch, match="is not the file that was packed"):
        dataset.open()
