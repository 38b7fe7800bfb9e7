"""KServe's V1 against a real server: what our own gRPC says, in KServe's words, errors and events included."""

from __future__ import annotations

import base64
import json
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import numpy as np
import pytest
from PIL import Image
from tests.e2e.serving import INPUTS, Server
from tests.http_calls import Answer, Http, both
from tests.redis import free_port
from tests.remote.web import Request, Response, Web, web

from whybox.inputs import instance
from whybox.v1 import explain_pb2, explain_pb2_grpc, explanation_pb2, model_pb2, model_pb2_grpc
from whybox.v1.tensor_pb2 import Tensors
from whybox_server.api.tensors import from_array, to_array
from whybox_server.kserve.shown import shown

DIGIT = np.load(INPUTS / "digit.npy").astype(np.float32)  # (1, 8, 8)
REVIEW = (INPUTS / "review.txt").read_text().strip()
PATIENT = dict(zip(*((INPUTS / "patient.csv").read_text().splitlines()[at].split(",") for at in (0, 1)), strict=True))
ROW = {name: float(value) for name, value in PATIENT.items()}
LIME = {"method": "lime", "num_samples": 60, "seed": 3, "mode": "REPRODUCIBLE"}
FORM = {"content-type": "application/x-www-form-urlencoded"}
SOON_S = 20


@pytest.fixture(scope="module")
def served() -> Iterator[Http]:
    with both("--message-mib", "2") as http:
        yield http


@pytest.fixture(scope="module")
def channel(served: Http) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(served.server.address) as channel:
        yield channel


def explain(
    http: Http, model: str, instances: list[Any], headers: Mapping[str, str] = FORM, **parameters: Any
) -> Answer:
    body = {"instances": instances, **({"parameters": parameters} if parameters else {})}
    return http.call("POST", f"/v1/models/{model}:explain", json.dumps(body).encode(), headers)


def lasting(explanation: Mapping[str, Any]) -> Any:
    """Without what every call has anew: times, and who called."""
    kept = {name: value for name, value in explanation.items() if name not in ("usage", "parameters")}
    kept["provenance"] = {name: value for name, value in kept["provenance"].items() if name != "request_id"}
    return json.loads(json.dumps(kept))


def explained(answer: Answer) -> list[Any]:
    assert answer.status == 200, answer.body
    assert answer.headers["content-type"] == "application/json"
    assert len(answer.json["predictions"]) == len(answer.json["explanations"])
    return [lasting(one) for one in answer.json["explanations"]]


def over_our_own_grpc(channel: grpc.Channel, model: str, instances: list[Any], **asked: Any) -> list[Any]:
    """The oracle: what the typed RPC says of the same, as `shown` writes it."""
    request = explain_pb2.ExplainRequest(
        model=f"models/{model}",
        instances=[instance(one) for one in instances],
        seed=LIME["seed"],
        mode=explanation_pb2.MODE_REPRODUCIBLE,
    )
    request.lime.num_samples = LIME["num_samples"]
    answer = explain_pb2_grpc.ExplanationServiceStub(channel).Explain(request)
    return [lasting(shown(one, asked)) for one in answer.explanations]


def predicted(channel: grpc.Channel, model: str, name: str, rows: np.ndarray) -> Any:
    inputs = Tensors(by_name={name: from_array(rows)})
    reply = model_pb2_grpc.ModelServiceStub(channel).Predict(
        model_pb2.PredictRequest(model=f"models/{model}", inputs=inputs)
    )
    return to_array(next(iter(reply.outputs.by_name.values())), "outputs")


def until(server: Server, request_id: str, outcome: str) -> None:
    """Wait for a line of the log."""
    patience = time.monotonic() + SOON_S
    while not any((line["request_id"], line["outcome"]) == (request_id, outcome) for line in server.calls()):
        assert time.monotonic() < patience, server.calls()
        time.sleep(0.02)


def test_arrays_are_explained_as_over_our_own_grpc(served: Http, channel: grpc.Channel):
    """Same instances, method, parameters and seed: the same explanations but for times and ids, and the predictions."""
    digits = np.stack([DIGIT, DIGIT[:, ::-1]])
    expected = over_our_own_grpc(channel, "digits", list(digits.astype(np.float64)))
    answer = explain(served, "digits", digits.tolist(), **LIME)
    assert explained(answer) == expected
    assert answer.json["explanations"][0]["parameters"] == LIME
    np.testing.assert_allclose(answer.json["predictions"], predicted(channel, "digits", "image", digits), rtol=1e-6)
    named = explain(served, "digits", [{"image": one.tolist()} for one in digits], **LIME)
    assert explained(named) == expected
    columns = served.post("/v1/models/digits:explain", {"inputs": {"image": digits.tolist()}, "parameters": LIME})
    assert explained(columns) == expected
    tensor = {"name": "any", "shape": list(digits.shape), "datatype": "FP32", "data": digits.ravel().tolist()}
    assert explained(served.post("/v1/models/digits:explain", {"inputs": [tensor], "parameters": LIME})) == expected


def test_texts_rows_and_pictures_are_explained_as_over_our_own_grpc(served: Http, channel: grpc.Channel):
    answer = explain(served, "sentiment", [REVIEW, "a good film"], **LIME)
    assert explained(answer) == over_our_own_grpc(channel, "sentiment", [REVIEW, "a good film"])
    assert explained(explain(served, "breast_cancer", [ROW], **LIME)) == over_our_own_grpc(
        channel, "breast_cancer", [ROW]
    )
    file = INPUTS / "brick_and_grass.png"
    coded = {"b64": base64.b64encode(file.read_bytes()).decode()}
    expected = over_our_own_grpc(channel, "texture", [Image.open(file)])
    assert explained(explain(served, "texture", [coded], **LIME)) == expected
    assert "picture" not in expected[0]["subject"]


def test_tensors_and_the_callers_own_picture_come_as_asked_for(served: Http, channel: grpc.Channel):
    """The bytes are those of the message."""
    rows = [DIGIT.astype(np.float64)]
    asked = {"tensors": "base64", "subject": True}
    expected = over_our_own_grpc(channel, "digits", rows, **asked)
    assert explained(explain(served, "digits", [DIGIT.tolist()], **LIME, **asked)) == expected
    assert "picture" in expected[0]["subject"]


def test_method_and_parameters_come_in_the_body_in_headers_or_not_at_all(served: Http, channel: grpc.Channel):
    """What the body says goes over what headers say; nothing at all is LIME."""
    expected = over_our_own_grpc(channel, "sentiment", [REVIEW])
    headers = {"x-whybox-method": "lime", "x-whybox-parameters": json.dumps(LIME)}
    assert explained(explain(served, "sentiment", [REVIEW], headers)) == expected
    under = {"x-whybox-method": "occlusion", "x-whybox-parameters": '{"num_samples": 9, "seed": 3}'}
    assert (
        explained(explain(served, "sentiment", [REVIEW], under, method="lime", num_samples=60, mode="reproducible"))
        == expected
    )
    other = explain(served, "sentiment", [REVIEW], {"x-whybox-method": "Occlusion"})
    assert other.json["explanations"][0]["provenance"]["method"] == "occlusion"
    plain = explain(served, "sentiment", [REVIEW])
    assert plain.json["explanations"][0]["provenance"]["method"] == "lime"
    assert plain.json["explanations"][0]["parameters"] == {}


def test_what_there_is_and_whether_it_is_ready(served: Http):
    assert served.call("GET", "/").json == {"status": "alive"}
    names = served.call("GET", "/v1/models").json["models"]
    assert names == sorted(names)
    assert {"digits", "sentiment", "texture"} <= {*names}
    assert served.call("GET", "/v1/models/digits").json == {"name": "digits", "ready": True}


def test_a_model_of_ours_predicts(served: Http, channel: grpc.Channel):
    digits = np.stack([DIGIT, DIGIT[:, ::-1]])
    answer = served.post("/v1/models/digits:predict", {"instances": digits.tolist()})
    np.testing.assert_allclose(answer.json["predictions"], predicted(channel, "digits", "image", digits), rtol=1e-6)
    assert [*answer.json] == ["predictions"]


@pytest.mark.parametrize(
    ("verb", "path", "body", "status", "says"),
    [
        ("GET", "/v1/models/nope", None, 404, "no model 'nope'"),
        ("GET", "/v1/models/no.pe", None, 404, "no.pe"),
        ("GET", "/v1/models/di%2Fgits", None, 404, "no such path"),
        ("GET", "/v1/models/", None, 404, "no such path"),
        ("GET", "/v1/nothing", None, 404, "no such path"),
        ("PATCH", "/v1/nothing", None, 404, "no such path"),
        ("POST", "/v1/models", b"{}", 405, "takes GET only"),
        ("GET", "/v1/models/digits:explain", None, 405, "takes POST only"),
        ("DELETE", "/v1/models/digits:predict", None, 405, "takes POST only"),
        ("POST", "/v1/models/digits", b"{}", 405, "takes GET only"),
        ("POST", "/v1/models/nope:explain", b'{"instances": [1]}', 404, "no model 'nope'"),
        ("POST", "/v1/models/nope:predict", b'{"instances": [1]}', 404, "no model 'nope'"),
        ("POST", "/v1/models/digits:explain", b"{", 400, "no JSON"),
        ("POST", "/v1/models/digits:predict", b"[]", 400, "must be an object"),
        ("POST", "/v1/models/digits:explain", b'{"instances": [1], "inputs": [2]}', 400, "not both"),
        (
            "POST",
            "/v1/models/digits:explain",
            b'{"instances": [[[NaN]]]}',
            400,
            "instances[0][0][0]: must be a finite number",
        ),
        (
            "POST",
            "/v1/models/digits:explain",
            b'{"instances": [[1, 2]]}',
            400,
            "must be float32 (1, 8, 8), got float64 (2)",
        ),
        ("POST", "/v1/models/digits:explain", b'{"instances": ["a"]}', 400, "string input"),
        ("POST", "/v1/models/digits:explain", b'{"instances": [{"im": [1]}]}', 400, "no such input"),
        (
            "POST",
            "/v1/models/digits:explain",
            b'{"instances": [1], "parameters": []}',
            400,
            "parameters: must be an object",
        ),
        (
            "POST",
            "/v1/models/digits:explain",
            b'{"instances": [1], "parameters": {"sampels": 1}}',
            400,
            "parameters.sampels",
        ),
        ("POST", "/v1/models/digits:explain", b'{"instances": ' + b"[" * 50_000, 400, "nested too deeply"),
        ("POST", "/v1/models/digits:predict", b'{"instances": ' + b"[" * 900 + b"]" * 900 + b"}", 400, "instances[0]"),
    ],
)
def test_errors_are_kserves(served: Http, verb: str, path: str, body: bytes | None, status: int, says: str):
    answer = served.call(verb, path, body, {**FORM, "x-request-id": "mine-2"})
    assert answer.status == status, answer.body
    assert [*answer.json] == ["error"]
    assert says in answer.json["error"]
    assert b"Traceback" not in answer.body
    assert ("allow" in answer.headers) == (status == 405)
    assert answer.headers["x-request-id"] == "mine-2"


def test_a_request_id_comes_back_with_every_answer(served: Http):
    answer = explain(served, "sentiment", [REVIEW], {"x-request-id": "mine-1"}, **LIME)
    assert answer.headers["x-request-id"] == answer.json["explanations"][0]["provenance"]["request_id"] == "mine-1"
    until(served.server, "mine-1", "OK")
    for path in ("/v1/models", "/v1/models/digits", "/v1/nothing"):
        assert served.call("GET", path, None, {"x-request-id": "not one!"}).headers["x-request-id"] not in (
            "",
            "not one!",
        )


@pytest.mark.parametrize(
    "kind",
    [
        "application/json",
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/octet-stream",
        "nonsense",
        None,
    ],
)
def test_a_body_is_json_whatever_it_is_declared_as(served: Http, kind: str | None):
    assert explain(served, "sentiment", [REVIEW], {} if kind is None else {"content-type": kind}, **LIME).status == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://elsewhere.example"},
        {"origin": "null"},
        {"origin": "http://[broken"},
        {"sec-fetch-site": "cross-site"},
        {"content-encoding": "gzip"},
    ],
)
def test_pages_of_other_sites_and_coded_bodies_are_refused(served: Http, headers: dict[str, str]):
    answer = explain(served, "sentiment", [REVIEW], {**FORM, **headers}, **LIME)
    assert (answer.status, [*answer.json]) == (400, ["error"])
    assert next(iter(headers)) in answer.json["error"]


def test_a_page_of_this_server_may_ask(served: Http):
    same = {"origin": f"http://{served.address}", "sec-fetch-site": "same-origin", "host": served.address}
    assert explain(served, "sentiment", [REVIEW], same, **LIME).status == 200


def test_too_much_is_413_announced_or_not(served: Http):
    """2 MiB of instances, whatever their JSON takes; 8 MiB of JSON are not read to the end."""
    assert served.call("POST", "/v1/models/digits:explain", b" " * (9 << 20), FORM).status == 413
    many = served.post("/v1/models/digits:explain", {"instances": [[0] * (1 << 18)] * 2})
    assert (many.status, [*many.json]) == (413, ["error"])
    assert "--message-mib" in many.json["error"]


PHOTO = json.dumps(np.zeros((3, 224, 224)).tolist())
LONG = f'{{"instances": [{PHOTO}], "parameters": {{"method": "rise", "num_masks": 20000}}}}'.encode()


@pytest.mark.parametrize("header", [("x-timeout-s", "0.5"), ("grpc-timeout", "500m")])
def test_a_deadline_ends_the_work(served: Http, header: tuple[str, str]):
    """Partial answers are fine, minutes of work are not."""
    answer = served.call("POST", "/v1/models/texture:explain", LONG, dict([header]))
    if answer.status == 200:
        assert "complete" not in answer.json["explanations"][0]  # false is not written
    else:
        assert answer.status == 504
        assert "deadline" in answer.json["error"]


def test_a_caller_that_leaves_ends_the_work(served: Http):
    host, _, port = served.address.partition(":")
    lines = [
        "POST /v1/models/texture:explain HTTP/1.1",
        "host: a",
        "x-request-id: left",
        f"content-length: {len(LONG)}",
    ]
    head = "\r\n".join([*lines, "", ""])
    with socket.create_connection((host, int(port))) as line:
        line.sendall(head.encode() + LONG)
        time.sleep(0.5)
    until(served.server, "left", "CANCELLED")


EVENT = {"specversion": "1.0", "id": "a-1", "source": "/orders", "type": "com.example.order"}


@pytest.mark.parametrize("binary", [True, False])
def test_an_event_is_answered_by_an_event(served: Http, channel: grpc.Channel, binary: bool):
    """The explanations in it are those of a plain request."""
    data = {"instances": [REVIEW], "parameters": LIME}
    headers = (
        {f"ce-{name}": value for name, value in EVENT.items()}
        if binary
        else {"content-type": "application/cloudevents+json"}
    )
    body = data if binary else {**EVENT, "data": data}
    answer = served.call("POST", "/v1/models/sentiment:explain", json.dumps(body).encode(), headers)
    assert answer.status == 200, answer.body
    told = answer.headers if binary else {f"ce-{name}": value for name, value in answer.json.items()}
    assert (told["ce-type"], told["ce-source"]) == ("io.kserve.inference.response", "io.kserve.inference.sentiment")
    assert told["ce-id"] not in ("", "a-1")
    assert answer.headers["content-type"] == ("application/json" if binary else "application/cloudevents+json")
    said = answer.json if binary else answer.json["data"]
    assert [lasting(one) for one in said["explanations"]] == over_our_own_grpc(channel, "sentiment", [REVIEW])


def test_a_broken_event_is_refused(served: Http):
    answer = explain(served, "sentiment", [REVIEW], {"ce-specversion": "1.0", "ce-id": "1"})
    assert (answer.status, [*answer.json]) == (400, ["error"])
    assert "ce-source" in answer.json["error"]


SAID = {
    "break": Response(422, {"error": "no flower is called that"}),
    "half": Response(200, b'{"predictions": ["\\ud800", NaN]}'),
    "deep": Response(200, b'{"predictions": ' + b"[" * 970 + b"]" * 970 + b"}"),
}


def rows_behind(request: Request) -> Response:
    """A model of KServe's V1: a probability out of four numbers, or something odd out of a word."""
    if request.method == "GET":
        there = request.path == "/v1/models/flowers"
        return Response(200, {"name": "flowers", "ready": True}) if there else Response(404, {"error": "nothing here"})
    rows = request.json["instances"]
    if isinstance(rows[0], str):
        return SAID[rows[0]]
    scores = [0.5 + 0.05 * np.tanh(sum(row)) for row in rows]
    return Response(200, {"predictions": [[score, 1 - score] for score in scores], "odd": rows == [[1, 2, 3, 4.5]]})


@pytest.fixture(scope="module")
def behind() -> Iterator[Web]:
    with web(rows_behind) as found:
        yield found


@pytest.fixture(scope="module")
def explainer(behind: Web) -> Iterator[Http]:
    """As KServe's controller starts it, but for the ports."""
    host = behind.url.removeprefix("http://")
    own = ("--listen", "127.0.0.1:0", "--message-mib", "2", "--explain-parameters", '{"seed": 5, "num_samples": 40}')
    with both("--model_name", "flowers", "--predictor_host", host, *own, models=None) as http:
        until_ready(http, "flowers")
        yield http


def until_ready(http: Http, model: str) -> None:
    patience = time.monotonic() + SOON_S
    while http.call("GET", f"/v1/models/{model}").status != 200:
        assert time.monotonic() < patience
        time.sleep(0.05)


def test_predictions_are_passed_on_word_for_word(explainer: Http, behind: Web):
    """What came and what came back, keys of no meaning to us included."""
    body = {"instances": [[1, 2, 3, 4.5]], "signature_name": "mine"}
    answer = explainer.post("/v1/models/flowers:predict", body, authorization="Bearer 1")
    assert behind.asked[-1].json == body
    assert behind.asked[-1].headers["authorization"] == "Bearer 1"
    assert answer.json["odd"] is True
    assert len(answer.json["predictions"]) == 1


def test_an_event_is_passed_on_as_what_it_says(explainer: Http, behind: Web):
    headers = {f"ce-{name}": value for name, value in EVENT.items()}
    answer = explainer.post("/v1/models/flowers:predict", {"instances": [[1, 2, 3, 4.5]]}, **headers)
    assert behind.asked[-1].json == {"instances": [[1, 2, 3, 4.5]]}
    assert not [name for name in behind.asked[-1].headers if name.startswith("ce-")]
    assert (answer.status, answer.headers["ce-source"]) == (200, "io.kserve.inference.flowers")
    assert answer.json["odd"] is True


def test_whatever_the_predictor_says_is_passed_on_as_json_or_refused(explainer: Http):
    """Half a surrogate pair, NaN, and a list in a list in a list."""
    half = explainer.post("/v1/models/flowers:predict", {"instances": ["half"]})
    assert half.status == 200
    assert half.json["predictions"][0] == "\ud800"
    deep = explainer.post("/v1/models/flowers:predict", {"instances": ["deep"]})
    assert deep.status == 200 or (400 <= deep.status < 500 and [*deep.json] == ["error"])


def test_what_the_predictor_refuses_is_refused_with_its_own_status_and_text(explainer: Http):
    answer = explainer.post("/v1/models/flowers:predict", {"instances": ["break"]})
    assert (answer.status, [*answer.json]) == (422, ["error"])
    assert "no flower is called that" in answer.json["error"]
    explained_ = explainer.post("/v1/models/flowers:explain", {"instances": ["break"]})
    assert explained_.status == 422


def test_a_model_behind_us_is_explained_beside_its_own_predictions(explainer: Http, behind: Web):
    for rows in ([[1.5, 2, 3, 4]], [[1, 2, 3, 4]], [[1, 2, 3, 4], [0.5, 0, 0, 0]]):
        answer = explainer.post("/v1/models/flowers:explain", {"instances": rows})
        explained(answer)
        direct = rows_behind(Request("POST", "", {}, json.dumps({"instances": rows}).encode())).body["predictions"]
        assert answer.json["predictions"] == direct
        provenance = answer.json["explanations"][0]["provenance"]
        assert (provenance["method"], provenance["seed"], provenance["protocol"]) == ("lime", 5, "kserve-v1")
        assert answer.json["explanations"][0]["usage"]["rows_asked"] == 40
        assert answer.json["explanations"][0]["parameters"] == {"seed": 5, "num_samples": 40, "method": "lime"}


def test_what_was_asked_for_is_told(explainer: Http):
    """By the caller, over what the operator laid under it."""
    rows, asked = [[1.5, 2, 3, 4]], {"method": "occlusion"}
    for parameters, kind in ((asked, list), ({**asked, "tensors": "base64"}, str)):
        answer = explainer.post("/v1/models/flowers:explain", {"instances": rows, "parameters": parameters})
        assert isinstance(explained(answer)[0]["attribution"]["values"]["data"], kind)
        assert answer.json["explanations"][0]["parameters"] == {"seed": 5, **parameters}


def test_whole_numbers_are_numbers_like_others(explainer: Http, behind: Web):
    """JavaScript writes 4.0 as 4: where nobody says what the model takes, both are explained alike, by fractions."""
    whole, fractions = (
        explained(explainer.post("/v1/models/flowers:explain", {"instances": [row], "parameters": {"seed": 6}}))
        for row in ([1, 2, 3, 4], [1.0, 2.0, 3.0, 4.0])
    )
    assert whole == fractions
    asked = [value for request in behind.asked for row in request.json["instances"] for value in row]
    assert any(value % 1 for value in asked if isinstance(value, float))


def test_the_operators_parameters_are_those_of_lime_when_another_method_is_chosen(explainer: Http):
    """He named samples and no method: LIME's, and nobody else's."""
    answer = explainer.post(
        "/v1/models/flowers:explain", {"instances": [[1.5, 2, 3, 4]], "parameters": {"method": "occlusion"}}
    )
    assert explained(answer)[0]["provenance"]["seed"] == 5


def test_a_tensor_of_the_open_inference_protocol_is_a_plain_row_to_a_predictor_that_speaks_v1(
    explainer: Http, behind: Web
):
    """What its caller calls the only tensor says nothing; the rows asked are those of `:explain`."""
    tensor = {"name": "whatever", "shape": [1, 4], "datatype": "FP64", "data": [1.5, 2, 3, 3.25]}
    answer = explainer.post("/v2/models/flowers/explain", {"inputs": [tensor]})
    assert answer.status == 200, answer.body
    assert {type(row) for row in behind.asked[-1].json["instances"]} == {list}
    [over_v2] = [json.loads(text) for text in answer.json["outputs"][0]["data"]]
    [over_v1] = explained(explainer.post("/v1/models/flowers:explain", {"instances": [tensor["data"]]}))
    assert over_v2["attribution"]["values"] == over_v1["attribution"]["values"]


def test_a_predictor_that_hangs_holds_nobody_up_but_its_own_callers():
    """More of them than the event loop has threads; their deadlines end them, and the rest is answered meanwhile."""
    over, hanging = threading.Event(), threading.Event()

    def hangs(request: Request) -> Response:
        if request.method != "GET" and hanging.is_set():
            over.wait(SOON_S)
        return rows_behind(request)

    with web(hangs) as slow, both(
        "--model_name", "flowers", "--predictor_host", slow.url.removeprefix("http://"), "--listen", "127.0.0.1:0"
    ) as http:
        until_ready(http, "flowers")
        hanging.set()
        with ThreadPoolExecutor(40) as callers:
            late = [
                callers.submit(http.post, "/v1/models/flowers:predict", {"instances": [[1, 2]]}, **{"x-timeout-s": "1"})
                for _ in range(40)
            ]
            assert {answer.result().status for answer in late} == {504}
        assert http.call("GET", "/metrics").status == 200
        assert explain(http, "sentiment", [REVIEW], **LIME).status == 200
        assert not over.is_set()
        over.set()


def test_kserves_histograms_name_the_models_there_are(explainer: Http):
    explainer.post("/v1/models/flowers:explain", {"instances": [[1.5, 2, 3, 4]]})
    explainer.post("/v1/models/invented:explain", {"instances": [[1.5, 2, 3, 4]]})
    told = explainer.call("GET", "/metrics")
    assert told.headers["content-type"].startswith("text/plain")
    lines = told.body.decode().splitlines()
    for phase in ("preprocess", "predict", "explain", "postprocess"):
        counts = [line for line in lines if line.startswith(f"request_{phase}_seconds_count")]
        assert [line.partition(" ")[0] for line in counts] == [f'request_{phase}_seconds_count{{model_name="flowers"}}']
    assert any(line.startswith("whybox_") for line in lines)
    assert "invented" not in told.body.decode()


def test_a_predictor_that_is_not_there_is_503():
    """Its name is known, and it is not ready; nothing is explained, and nobody waits."""
    own = ("--listen", "127.0.0.1:0", "--model_name", "flowers", "--predictor_host", f"127.0.0.1:{free_port()}")
    with both(*own, models=None) as http:
        assert http.call("GET", "/").status == 200
        assert http.call("GET", "/v1/models").json == {"models": ["flowers"]}
        for answer in (
            http.call("GET", "/v1/models/flowers"),
            http.post("/v1/models/flowers:explain", {"instances": [[1.5, 2]]}),
            http.post("/v1/models/flowers:predict", {"instances": [[1.5, 2]]}),
        ):
            assert (answer.status, [*answer.json]) == (503, ["error"])
