"""Routes, OpenAPI and context of the JSON edge: what descriptors say is what is served and described."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any

import pytest
from google.api import annotations_pb2
from google.protobuf import descriptor_pb2, descriptor_pool
from google.rpc import code_pb2, error_details_pb2, status_pb2

from whybox_server.api.status import CODES
from whybox_server.core.errors import InvalidRequest
from whybox_server.http.context import timeout_in
from whybox_server.http.encode import STATUSES, retry_after
from whybox_server.http.openapi import document
from whybox_server.http.page import page
from whybox_server.http.routes import Rpc, _of, bindings

SERVICES = ("ExplanationService", "ModelService", "EndpointService")
BOUND = bindings({f"whybox.v1.{name}": object() for name in SERVICES})


def test_every_method_of_every_service_has_a_route():
    """The descriptors are the oracle."""
    services = [descriptor_pool.Default().FindServiceByName(f"whybox.v1.{name}") for name in SERVICES]
    assert {binding.rpc.descriptor for binding in BOUND} == {method for one in services for method in one.methods}


def test_no_two_methods_share_a_verb_and_a_path():
    ways = [(binding.verb, binding.template) for binding in BOUND]
    assert len(set(ways)) == len(ways)


def test_what_reads_is_get_and_what_forgets_is_delete():
    for binding in BOUND:
        name = binding.rpc.descriptor.name
        expected = "GET" if name.startswith(("Get", "List")) else "DELETE" if name.startswith("Delete") else "POST"
        assert binding.verb == expected
        assert binding.body == (expected == "POST")


def rpc(**rule: Any) -> Rpc:
    """A method of its own with this rule."""
    file = descriptor_pb2.FileDescriptorProto(name="t.proto", package="t", dependency=["google/api/annotations.proto"])
    file.message_type.add(name="M").field.add(name="name", number=1, type=9, label=1)
    method = file.service.add(name="S").method.add(name="Do", input_type=".t.M", output_type=".t.M")
    method.options.Extensions[annotations_pb2.http].MergeFrom(annotations_pb2.google_dot_api_dot_http__pb2.HttpRule(**rule))
    pool = descriptor_pool.DescriptorPool()
    for known in (descriptor_pb2.DESCRIPTOR, annotations_pb2.google_dot_api_dot_http__pb2.DESCRIPTOR, annotations_pb2.DESCRIPTOR):
        pool.AddSerializedFile(known.serialized_pb)
    pool.Add(file)
    return Rpc("S/Do", pool.FindServiceByName("t.S").methods[0], object())


def test_one_name_or_several_segments():
    [shallow] = _of(rpc(post="/v1/{name=things/*}:do", body="*"))
    [deep] = _of(rpc(get="/v1/{name=things/**}"))
    assert (shallow.path, deep.path) == ("/v1/things/{name}:do", "/v1/things/{name:path}")
    assert deep.held({"name": "a/b"}) == {"name": "things/a/b"}


@pytest.mark.parametrize(
    "rule",
    [
        {},
        {"get": "/v1/{name}"},
        {"get": "/v1/{nope=things/*}"},
        {"get": "/v1/{name=a/*}/{name=b/*}"},
        {"get": "/v1/*"},
        {"post": "/v1/a", "body": "name"},
        {"custom": {"kind": "HEAD", "path": "/"}},
    ],
)
def test_a_rule_that_is_not_understood_stops_the_start(rule: dict[str, Any]):
    with pytest.raises(ValueError, match="S/Do"):
        list(_of(rpc(**rule)))


def test_every_code_has_its_status():
    """google/rpc/code.proto says which; every code that we send is among them."""
    assert set(CODES.values()) <= set(STATUSES)
    assert set(STATUSES) == set(code_pb2.Code.values())


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"x-timeout-s": "2.5"}, 2.5),
        ({"grpc-timeout": "30S"}, 30.0),
        ({"grpc-timeout": "250m"}, 0.25),
        ({"grpc-timeout": "2H", "x-timeout-s": "1"}, 1.0),
    ],
)
def test_deadlines_come_from_either_header(headers: dict[str, str], seconds: float | None):
    assert timeout_in(headers) == seconds


@pytest.mark.parametrize("name", ["x-timeout-s", "grpc-timeout"])
@pytest.mark.parametrize("value", ["", "-1", "0x1", "nan", "inf", "1e400", "1 S", "123456789S"])
def test_a_deadline_that_is_none_is_refused_by_name(name: str, value: str):
    with pytest.raises(InvalidRequest, match=name):
        timeout_in({name: value})


def test_when_to_come_again_is_rounded_up_to_seconds():
    status = status_pb2.Status(code=code_pb2.UNAVAILABLE)
    assert retry_after(status) is None
    info = error_details_pb2.RetryInfo()
    info.retry_delay.FromMilliseconds(1200)
    status.details.add().Pack(info)
    assert retry_after(status) == "2"


def references(value: Any) -> set[str]:
    if isinstance(value, dict):
        return {value["$ref"]} if "$ref" in value else set().union(*map(references, value.values()))
    return set().union(*map(references, value)) if isinstance(value, list) else set()


def test_the_document_holds_together():
    """References lead to schemas that are there, none is idle, names in paths are parameters, ids are unique."""
    described = document(BOUND)
    schemas = described["components"]["schemas"]
    assert references(described) == {f"#/components/schemas/{name}" for name in schemas}
    operations = [(path, one) for path, verbs in described["paths"].items() for one in verbs.values()]
    assert len(operations) == len(BOUND) == len({one["operationId"] for _, one in operations})
    for path, one in operations:
        held = {parameter["name"] for parameter in one["parameters"] if parameter["in"] == "path"}
        assert held == set(re.findall(r"\{(\w+)\}", path))
        assert one["requestBody"]["required"] if "requestBody" in one else True


def test_comments_of_the_protos_are_descriptions():
    schemas = document(BOUND)["components"]["schemas"]
    assert schemas["Tensor"]["properties"]["dtype"]["description"] == "Element type. Required."
    assert "open" in schemas["DataType"]["description"].lower()
    assert "At most one of: lime, occlusion" in schemas["ExplainRequest"]["description"]


class Seen(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.links: set[str] = set()
        self.ids: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.links |= {value or "" for name, value in attrs if name in ("href", "src", "action")}
        self.ids |= {value or "" for name, value in attrs if name == "id"}


def test_the_page_shows_all_of_it_and_fetches_nothing():
    described = document(BOUND)
    seen = Seen()
    seen.feed(page(described))
    assert seen.tags.isdisjoint({"script", "link", "img", "iframe", "form"})
    assert seen.links <= {"openapi.json"} | {f"#{name}" for name in seen.ids}
    assert seen.ids == set(described["components"]["schemas"])
