"""Parameters of KServe's callers: every one of every method, in every spelling, and every mistake by its place."""

from __future__ import annotations

import json
from typing import Any

import pytest
from google.protobuf import json_format, message_factory
from google.protobuf.message import Message
from hypothesis import given
from hypothesis import strategies as st
from tests.messages import messages

from whybox.v1 import explain_pb2
from whybox.wire import Ask, explain_request
from whybox_server.api.methods import method_info
from whybox_server.core.errors import InvalidRequest
from whybox_server.kserve.parameters import FIELDS, from_headers, merged, request_of
from whybox_server.methods import METHODS

MODEL = "models/digits"
INSTANCE = explain_pb2.Instance(text="a good film")
ONEOF = explain_pb2.ExplainRequest.DESCRIPTOR.oneofs_by_name["method"].fields
PARAMS = {field.name: message_factory.GetMessageClass(field.message_type) for field in ONEOF}


def asked(**given: Any) -> explain_pb2.ExplainRequest:
    return request_of(MODEL, [INSTANCE], given)


def wrong(given: dict[str, Any]) -> dict[str, str]:
    """Violations by place."""
    with pytest.raises(InvalidRequest) as caught:
        request_of(MODEL, [INSTANCE], given)
    return {one.field: one.description for one in caught.value.violations}


def expected(method: str, params: Message) -> explain_pb2.ExplainRequest:
    request = explain_pb2.ExplainRequest(model=MODEL, instances=[INSTANCE])
    field = getattr(request, method)
    field.SetInParent()
    field.MergeFrom(params)
    return request


def imply_given(message: Message) -> None:
    """Who gives values of his own means them, also where he does not say so."""
    if "given" in message.DESCRIPTOR.fields_by_name and message.HasField("given") and not message.kind:
        kinds = message.DESCRIPTOR.fields_by_name["kind"].enum_type.values
        message.kind = next(kind.number for kind in kinds if kind.name.endswith("_GIVEN"))
    for field, value in message.ListFields():
        if field.message_type is not None:
            for one in value if field.is_repeated else [value]:
                imply_given(one)


def as_texts(params: dict[str, Any]) -> dict[str, str]:
    """What a wire without fractions, lists and objects can carry."""
    return {name: value if isinstance(value, str) else json.dumps(value) for name, value in params.items()}


@given(st.sampled_from(sorted(PARAMS)).flatmap(lambda name: st.tuples(st.just(name), messages(PARAMS[name]))))
def test_every_parameter_is_reached_alone_in_an_object_and_as_text(drawn: tuple[str, Message]):
    """google.protobuf's JSON of the parameters is the oracle."""
    method, params = drawn
    imply_given(params)
    said = json_format.MessageToDict(params, preserving_proto_field_name=True)
    camel = json_format.MessageToDict(params)
    for form in (
        {"method": method, **said},
        {method: said},
        {"method": method, method: camel},
        {"method": method, **camel},
    ):
        assert request_of(MODEL, [INSTANCE], form) == expected(method, params)
    assert request_of(MODEL, [INSTANCE], {"method": method, **as_texts(said)}) == expected(method, params)


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_no_parameter_is_hidden_by_a_field_of_the_request(method):
    """What `ListMethods` says there is can be named alone; a value of another kind is refused at its place."""
    names = {parameter.name for parameter in method_info(method).parameters}
    assert not names & {*FIELDS, "method", "tensors", "subject"}
    mistakes = dict.fromkeys([*names, "nonsense"], [{"no": "such"}])
    found = wrong({"method": method.name, **mistakes})
    assert {place.split(".")[1].split("[")[0] for place in found} == {*names, "nonsense"}


# As the Python client is called: method, its parameters, and what is said of the whole.
CALLS: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("lime", {}, {}),
    ("lime", {"num_samples": 300, "kernel_width": 0.5, "paired": True, "feature_selection": "lasso_path"}, {"seed": 7}),
    ("kernel-shap".replace("-", "_"), {"segmentation": 40, "baseline": 0.25}, {"target": 2}),
    ("occlusion", {"window": [8, 8], "baseline": "blur"}, {"target": "nine"}),
    ("occlusion", {"window": 8}, {"target": ["nine", 3, "top:2", "label:top:2"]}),
    ("rise", {"baseline": {"kind": "constant", "value": 2}}, {"target": "top:3", "max_queries": 900}),
    ("anchors", {"segmentation": [[0, 0, 1], [1, 2, 2]]}, {"mode": "reproducible", "space": "probability"}),
    ("lime", {"segmentation": {"given": [[0, 1]]}, "baseline": [[0.5, 1]]}, {}),
    ("lime", {"segmentation": "slic"}, {"seed": 2**64 - 1}),
    ("cem", {"no_info": 0.5, "gradient": "search"}, {}),
    ("cem", {"no_info": [1, 2], "feature_range": [0, 1], "autoencoder": "models/other"}, {}),
    ("integrated_gradients", {"baselines": ["blur", 0, {"kind": "noise"}], "steps": 32}, {}),
    ("integrated_gradients", {"baselines": "mean"}, {}),
    ("lrp", {"layers": ["conv*=epsilon:0.1"], "low": 0}, {}),
    ("cam", {}, {}),
]


@pytest.mark.parametrize(("method", "params", "rest"), CALLS)
def test_the_request_is_the_one_of_the_typed_client(method: str, params: dict[str, Any], rest: dict[str, Any]):
    """The Python client is the oracle; KServe's callers write the same values, and the method with either dash."""
    request = explain_request(MODEL, [INSTANCE], Ask(method, params=params, **rest))
    own = {"targets" if name == "target" else name: value for name, value in rest.items()}
    for name in (method, method.replace("_", "-"), method.upper()):
        assert asked(method=name, **params, **own) == request
    assert asked(**{method: params}, **own) == request
    if method == "lime":
        assert asked(**params, **own) == request


def test_nothing_named_is_lime():
    assert asked() == expected("lime", PARAMS["lime"]())
    assert asked(method=None, num_samples=None, seed=None) == asked()


def test_all_that_is_wrong_is_said_at_once():
    found = wrong(
        {
            "samples": 5,
            "numsamples": 3,
            "paired": "perhaps",
            "seed": -1,
            "mode": "quick",
            "render": "jpg",
            "tensors": "raw",
        }
    )
    assert "num_samples" in found["parameters.numsamples"]
    assert "true or false" in found["parameters.paired"]
    assert found.keys() == {
        "parameters.samples",
        "parameters.numsamples",
        "parameters.paired",
        "parameters.seed",
        "parameters.mode",
        "parameters.render[0]",
        "parameters.tensors",
    }


@pytest.mark.parametrize(
    ("given", "place", "said"),
    [
        ({"method": "limes"}, "parameters.method", "did you mean lime"),
        ({"method": 3}, "parameters.method", "name of a method"),
        ({"method": "lime", "occlusion": {}}, "parameters.method", "lime and occlusion"),
        ({"lime": {}, "occlusion": {}}, "parameters.method", "lime and occlusion"),
        ({"lime": {"num_samples": 5}, "num_samples": 6}, "parameters.num_samples", "twice"),
        ({"lime": {"sample": 5}}, "parameters.lime.sample", "num_samples"),
        ({"lime": 3}, "parameters.lime", "no such parameter"),
        ({"num_samples": 5, "numSamples": 6}, "parameters.numSamples", "no such parameter"),
        ({"method": "occlusion", "num_samples": 5}, "parameters.num_samples", "no such parameter"),
        ({"targets": [{"top": "many"}]}, "parameters.targets[0].top", "whole number"),
        ({"targets": 1.5}, "parameters.targets[0].index", "whole number"),
        ({"segmentation": {"kind": "slick"}}, "parameters.segmentation.kind", "SLIC"),
        ({"segmentation": {"given": [[1, 2], [3]]}}, "parameters.segmentation.given.data", "unequal"),
        ({"kernel_width": "NaN"}, "parameters.kernel_width", "finite"),
        ({"kernel_width": "9" * 500}, "parameters.kernel_width", "number"),
        ({"kernel_width": 10**400}, "parameters.kernel_width", "number"),
        ({"seed": "9" * 5000}, "parameters.seed", "64 bits"),
        ({"seed": 10**400}, "parameters.seed", "64 bits"),
        ({"baseline": "9" * 500}, "parameters.baseline.value", "number"),
        ({"baseline": [10**400]}, "parameters.baseline.given.data[0]", "number"),
        ({"subject": 3}, "parameters.subject", "true or false"),
        ({"model": "models/other"}, "parameters.model", "no such parameter"),
        ({"endpoint": {"url": "http://127.0.0.1"}}, "parameters.endpoint", "no such parameter"),
        ({"spec": {"labls": ["a"]}}, "parameters.spec.labls", "no such field"),
        ({"x" * 500: 1}, "parameters." + "x" * 60 + "...", "no such parameter"),
    ],
)
def test_a_mistake_is_said_at_its_place(given: dict[str, Any], place: str, said: str):
    found = wrong(given)
    assert said in found[place], found


def test_cem_has_a_parameter_that_is_called_like_a_method():
    """A text is the parameter, an object the method."""
    assert asked(method="cem", gradient="finite_differences").cem.gradient
    assert asked(gradient={"input": "x"}).gradient.input == "x"
    assert asked(cem={"gradient": "search"}).WhichOneof("method") == "cem"


@pytest.mark.parametrize(
    ("layers", "all_of_it"),
    [
        ([{"num_samples": 1}, {"num_samples": 2}], {"num_samples": 2}),
        ([{"seed": 1, "method": "lime", "ridge": 2}, {"method": "occlusion"}], {"seed": 1, "method": "occlusion"}),
        ([{"seed": 1, "lime": {"ridge": 2}}, {"rise": {"cells": 3}}], {"seed": 1, "rise": {"cells": 3}}),
        ([{"lime": {"ridge": 2, "num_samples": 5}}, {"lime": {"ridge": 3}}], {"lime": {"ridge": 3, "num_samples": 5}}),
        ([{"lime": {"ridge": 2}}, {"ridge": 3}], {"lime": {}, "ridge": 3}),
        ([{"method": "lime", "ridge": 2}, {"lime": {"ridge": 3}}], {"method": "lime", "lime": {"ridge": 3}}),
        ([{"num_samples": 2}, {"numSamples": 3}], {"num_samples": 3}),
        ([{"lime": {"num_samples": 2}}, {"lime": {"numSamples": 3}}], {"lime": {"num_samples": 3}}),
        ([{"num_samples": 2}, {"method": "kernel-shap"}], {"num_samples": 2, "method": "kernel-shap"}),
        ([{"tensors": "base64", "method": "lime"}, {"cam": {}}], {"tensors": "base64", "cam": {}}),
        ([{"seed": 2}, {"seed": None}], {"seed": None}),
        ([], {}),
    ],
)
def test_a_later_layer_wins(layers: list[dict[str, Any]], all_of_it: dict[str, Any]):
    before = json.dumps(layers)
    assert merged(*layers) == all_of_it
    assert json.dumps(layers) == before, "a layer was changed"


SMALL = st.dictionaries(
    st.sampled_from(["seed", "num_samples", "ridge", "targets", "tensors"]), st.integers(0, 9), max_size=4
)


@given(st.lists(SMALL, max_size=4))
def test_layers_of_one_method_are_dictionaries_over_each_other(layers: list[dict[str, Any]]):
    """Python's own update is the oracle, where nobody chooses a method."""
    plain: dict[str, Any] = {}
    for layer in layers:
        plain |= layer
    assert merged(*layers) == plain


def test_headers_say_method_and_parameters():
    assert from_headers({}) == {}
    assert from_headers({"x-whybox-method": "rise", "x-whybox-parameters": '{"cells": 3}'}) == {
        "method": "rise",
        "cells": 3,
    }
    over = from_headers({"x-whybox-method": "rise", "x-whybox-parameters": '{"method": "lime", "ridge": 3, "seed": 1}'})
    assert over == {"method": "rise", "seed": 1}


@pytest.mark.parametrize("written", ["{", "[]", "3", '{"a": NaN}', "[" * 9999, "\udcff", ""])
def test_a_header_that_is_no_object_is_refused(written: str):
    with pytest.raises(InvalidRequest) as caught:
        from_headers({"x-whybox-parameters": written})
    assert [one.field for one in caught.value.violations] == ["x-whybox-parameters"]
