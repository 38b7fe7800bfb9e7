"""What servers of the Open Inference Protocol say of a model beforehand, and what is made of it."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from tests.remote.oip import ENDPOINT, TWO, X, asked, described, echo, rest
from tests.remote.speaking import held

from whybox_server.core.errors import InvalidRequest, ModelOutputInvalid
from whybox_server.core.spec import ModelSpec, ScoreKind
from whybox_server.serving.remote.endpoint import Input
from whybox_server.serving.remote.exchange import Answer, Call, HttpCall, Refused
from whybox_server.serving.remote.speech import oip_rest


def test_declared_inputs_go_before_metadata() -> None:
    """Dtype and shape are the operator's; the datatype on the wire is the server's."""
    shape = [{"name": "x", "datatype": "BF16", "shape": [-1, -1]}]
    seen = []
    answer = rest(shape, reply=lambda request: seen.append(request["inputs"][0]["datatype"]) or echo(request))
    declared = replace(ENDPOINT, inputs=(Input("x", "float64", (2,)),))
    said = described(answer, declared)
    assert said.inputs[0].dtype == np.float64
    assert said.inputs[0].shape == (2,)
    held(oip_rest.ask(declared, said, {"x": X}), answer)
    assert seen == ["BF16"]


def test_a_declared_input_that_is_not_there_is_told() -> None:
    with pytest.raises(InvalidRequest, match="no input 'xx'; did you mean 'x'"):
        described(rest(), replace(ENDPOINT, inputs=(Input("xx", "float32", (2,)),)))


def test_a_server_without_metadata_needs_declared_inputs() -> None:
    """Seldon's pipelines have none: with inputs declared they are asked all the same, without them not."""

    def answer(call: Call) -> Answer:
        if call.method == "GET":
            raise Refused(404, "no such path")
        return rest()(call)

    declared = replace(ENDPOINT, inputs=(Input("x", "float32", (2,)),))
    said = described(answer, declared)
    assert "the server says nothing" in said.notes[0]
    np.testing.assert_array_equal(held(oip_rest.ask(declared, said, {"x": X}), answer), X)
    with pytest.raises(Refused):
        described(answer)


@pytest.mark.parametrize("listing", ["/v2/models", "/v2/repository/index"])
@pytest.mark.parametrize("status", [400, 404])
def test_a_model_that_is_not_listed_is_told(status: int, listing: str) -> None:
    """Triton says 400 where others say 404, and lists its models as MLServer does; KServe in a way of its own."""
    names: Any = {"models": ["mm", "n"]} if listing == "/v2/models" else [{"name": "mm"}, {"name": "n"}]

    def answer(call: HttpCall) -> Answer:
        said = {"/v2": {"name": "s"}, listing: names}.get(call.path)
        if said is None:
            raise Refused(status, "Request for unknown model")
        return Answer(json.dumps(said).encode())

    declared = replace(ENDPOINT, inputs=(Input("x", "float32", (2,)),))
    with pytest.raises(InvalidRequest, match="no model 'm'; did you mean 'mm'"):
        described(answer, declared)


def test_the_only_model_need_not_be_named() -> None:
    """Where the server has one; where it has none or several, it must be."""
    index = [{"name": "only"}]

    def answer(call: HttpCall) -> Answer:
        if call.path == "/v2/models":
            raise Refused(404, "")
        return Answer(json.dumps(index).encode()) if call.path.endswith("/index") else rest()(call)

    nameless = replace(ENDPOINT, model="")
    np.testing.assert_array_equal(asked(answer, {"x": X}, nameless), X)
    index.append({"name": "other"})
    with pytest.raises(
        InvalidRequest,
        match="endpoint.model: required: the server has 2; there are 'only', 'other'",
    ):
        described(answer, nameless)


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("ant, bee", ("ant", "bee")),
        ('["a,b", "c"]', ("a,b", "c")),
        (["a", "b"], ("a", "b")),
        ([0, 1], ("0", "1")),
        ("only", ()),
        (["a", "b" * 1000], ()),
        ("a,b,c", ()),
        ("a,", ()),
        ([["a"], "b"], ()),
        ("[" * 100_000, ()),
        (7, ()),
    ],
)
def test_class_names_come_from_parameters(written: Any, read: tuple[str, ...]) -> None:
    """Of the output or of the model: a list, or a text where parameters hold no lists; as many as scores."""
    output = {**TWO[0], "parameters": {"labels": written}}
    assert described(rest(outputs=[output])).labels == read
    assert described(rest(parameters={"classes": written})).labels == read


@pytest.mark.parametrize(
    ("outputs", "chosen"),
    [
        ([("label", "INT64", [-1]), ("probabilities", "FP32", [-1, 2])], "probabilities"),
        ([("hidden", "FP32", [-1, 9]), ("my_logits", "FP32", [-1, 2])], "my_logits"),
        ([("label", "BYTES", [-1]), ("number", "INT64", [-1])], "label"),
        ([("odd", "FP99", [-1]), ("other", "FP32", [-1, 2])], "other"),
    ],
)
def test_the_output_with_scores_is_chosen(outputs: list[tuple], chosen: str) -> None:
    """Fractions before labels, telling names before others, and the choice is noted."""
    said = described(
        rest(outputs=[dict(zip(("name", "datatype", "shape"), one, strict=True)) for one in outputs]),
    )
    assert said.output == chosen
    assert said.notes


def test_labels_alone_are_labels() -> None:
    """A text, or a whole number, by its name if names are known; a whole number declared as a value is one."""
    out = [{"name": "scores", "datatype": "INT64", "shape": [-1]}]

    def reply(_: dict) -> dict:
        return {"outputs": [{"name": "scores", "datatype": "INT64", "shape": [3], "data": [1, 0, 1]}]}

    answer = rest(outputs=out, reply=reply)
    assert described(answer).labels_only
    assert asked(answer, {"x": X}).tolist() == [["1"], ["0"], ["1"]]
    named = replace(ENDPOINT, spec=ModelSpec(labels=("cat", "dog")))
    assert asked(answer, {"x": X}, named).tolist() == [["dog"], ["cat"], ["dog"]]
    value = replace(ENDPOINT, spec=ModelSpec(score=ScoreKind.VALUE))
    assert not described(answer, value).labels_only
    np.testing.assert_array_equal(asked(answer, {"x": X}, value), [[1.0], [0.0], [1.0]])


@pytest.mark.parametrize(
    "about",
    [
        {"inputs": [{"name": "x", "datatype": "FP99", "shape": [-1, 2]}]},
        {"inputs": [{"name": "x", "datatype": "FP32", "shape": None}]},
        {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1.5]}]},
        {"inputs": [{"datatype": "FP32", "shape": [-1]}]},
        {"inputs": [{"name": "x" * 1000, "datatype": "FP32", "shape": [-1]}]},
    ],
)
def test_metadata_that_cannot_be_meant_are_refused(about: dict) -> None:
    with pytest.raises(ModelOutputInvalid, match="metadata"):
        described(rest(**about))


def test_of_several_versions_none_is_claimed() -> None:
    """One is the one that is served; of several the server chooses, and that is noted."""
    assert described(rest(versions=["3"])).version == "3"
    assert described(rest(versions=["\x1b[2J" * 99])).version == ""
    said = described(rest(versions=["3", "4"]))
    assert said.version == ""
    assert any("has 2" in note for note in said.notes)
