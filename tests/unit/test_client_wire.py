"""Requests are what the contract says, byte for byte."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.wire.examples import GOLDEN
from tests.wire.golden import encoded, file_of

from whybox import ExplainError, ModelSpec
from whybox.inputs import instance
from whybox.v1 import explain_pb2, spec_pb2
from whybox.wire import CHUNK_BYTES, Ask, explain_request, model_ref, target_choice, upload

X = [instance(np.zeros(2))]


@pytest.mark.parametrize("name", sorted(GOLDEN))
def test_the_bytes_on_the_wire_have_not_changed(name: str) -> None:
    """Committed bytes: a renumbered field, another dtype or default would show here."""
    message = GOLDEN[name]()
    assert encoded(message) == file_of(name).read_text()
    assert type(message).FromString(bytes.fromhex(file_of(name).read_text())) == message


def test_no_golden_file_is_forgotten() -> None:
    """Files and table name the same messages."""
    assert {path.stem for path in file_of("x").parent.glob("*.hex")} == set(GOLDEN)


@pytest.mark.parametrize(
    ("target", "choice"),
    [
        (3, {"index": 3}),
        (np.int32(0), {"index": 0}),
        ("cat", {"label": "cat"}),
        ("3", {"label": "3"}),
        ("top:3", {"top": 3}),
        ("label:top:3", {"label": "top:3"}),
        ("bus: red", {"label": "bus: red"}),
    ],
)
def test_a_target_is_an_index_a_label_or_the_highest(target: Any, choice: dict[str, Any]) -> None:
    """In Python "3" is a label and 3 an index."""
    assert target_choice(target, "t") == explain_pb2.TargetChoice(**choice)


@pytest.mark.parametrize("target", [True, 1.5, -1, "", "top:", "top:0", "top:x", None, 2**40])
def test_no_other_target_is_accepted(target: Any) -> None:
    """The wrong one of a list is named by its place."""
    with pytest.raises(ExplainError, match=r"targets\[1\]"):
        explain_request("models/x", X, Ask("lime", [0, target]))


def test_all_wrong_fields_of_a_request_are_told_at_once() -> None:
    """Target, seed, space and parameter are wrong."""
    ask = Ask("lime", 1.5, -1, None, None, "lodgit", None, {"num_sampels": 3})
    with pytest.raises(ExplainError) as refused:
        explain_request("models/x", X, ask)
    fields = [violation.field for violation in refused.value.violations]
    assert fields == ["targets[0]", "seed", "space", "lime.num_sampels"]


def test_a_file_is_known_by_its_digest(tmp_path: Path) -> None:
    """The same name for the path as text, the path, and the bytes."""
    path = tmp_path / "m.onnx"
    path.write_bytes(b"model")
    name = "models/sha256-" + hashlib.sha256(b"model").hexdigest()
    for given in (path, str(path), b"model", bytearray(b"model")):
        ref = model_ref(given)  # type: ignore[arg-type] # bytearray is taken too
        assert (ref.name, ref.content) == (name, b"model")
    assert model_ref("models/net").content is None
    assert model_ref("models/net/versions/2").name == "models/net/versions/2"


@pytest.mark.parametrize("model", ["models/none.onnx", "net", Path("/none"), b"", 7, None])
def test_what_is_no_model_is_refused_before_it_is_sent(model: Any) -> None:
    """A path under models/ that ends in .onnx is a path."""
    with pytest.raises(ExplainError, match="model"):
        model_ref(model)


@pytest.mark.parametrize("size", [1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES])
def test_an_upload_says_what_comes_and_sends_it_in_pieces(size: int) -> None:
    """Header first; the pieces are at most 1 MiB, none empty, and joined they are the file."""
    content = bytes(size)
    header, *pieces = upload(model_ref(content))
    assert header.header.size_bytes == size
    assert header.header.sha256 == hashlib.sha256(content).hexdigest()
    assert b"".join(piece.chunk for piece in pieces) == content
    assert all(0 < len(piece.chunk) <= CHUNK_BYTES for piece in pieces)


def test_categories_are_named_by_index_or_column() -> None:
    """{"city": [...]} and {1: [...]} and [1] say which columns are categories."""
    names = ["age", "city"]
    by_name = ModelSpec.tabular(feature_names=names, categories={"city": ["Bern"]}).message
    assert by_name == ModelSpec.tabular(feature_names=names, categories={1: ["Bern"]}).message
    assert list(by_name.tabular.categories[1].names) == ["Bern"]
    assert list(ModelSpec.tabular(categories=[1, 3]).message.tabular.categories) == [1, 3]
    with pytest.raises(ExplainError, match="did you mean city"):
        ModelSpec.tabular(feature_names=names, categories=["citi"])


def test_every_modality_has_a_builder() -> None:
    """ModelSpec.<modality>() sets that modality and its own details, empty as they may be."""
    for name, number in spec_pb2.Modality.items():
        if number:
            modality = name.removeprefix("MODALITY_").lower()
            message = ModelSpec.from_dict({"modality": modality, "labels": ["a"], "score": "logit"}).message
            assert (message.modality, list(message.labels)) == (number, ["a"])
            assert (message.WhichOneof("details") or "tensor") == modality


def test_a_spec_from_json_is_the_spec_from_python() -> None:
    """JSON has no integer keys and no tuples."""
    values = {"modality": "tabular", "categories": {"1": ["a"]}, "background": [[1, 2]], "batch": "none"}
    built = ModelSpec.tabular(categories={1: ["a"]}, background=np.array([[1, 2]]), batch="none")
    assert ModelSpec.from_dict(values) == built


@pytest.mark.parametrize(
    "values",
    [{}, {"modality": "imagine"}, {"modality": "image", "lay": "CHW"}, {"modality": "image", "mean": ["x"]}],
)
def test_a_wrong_spec_is_refused_with_its_field(values: dict[str, Any]) -> None:
    """Unknown modality, unknown field, wrong type."""
    with pytest.raises(ExplainError, match="spec"):
        ModelSpec.from_dict(values)
