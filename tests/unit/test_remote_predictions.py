"""KServe's V1 protocol and TorchServe: predictions of servers that say little of their models."""

from __future__ import annotations

import numpy as np
import pytest
from tests.remote.speaking import asked, held, spoken
from tests.remote.tfserving import LABELS, probabilities, rest
from tests.remote.torchserve import VERSION, torchserve
from tests.remote.web import Request, Response, web

from whybox_server.core.errors import EndpointRefused, InvalidRequest, ModelOutputInvalid
from whybox_server.core.spec import Modality, ModelSpec
from whybox_server.serving.remote.endpoint import Endpoint, Input
from whybox_server.serving.remote.exchange import Answer, Described, Refused
from whybox_server.serving.remote.speech import kserve_v1
from whybox_server.serving.remote.speech import torchserve as speech

ROWS = {"x": np.random.default_rng(8).normal(size=(4, 3)).astype(np.float32)}
X = (Input("x", "float32", (3,)),)
SAYS = probabilities(ROWS["x"])
NAMED = ModelSpec(labels=LABELS)
MODELS = {"models": ["iris", "wine"]}


def kserve(predictions=lambda rows: probabilities(rows).tolist(), *, ready: object = True, models=MODELS):
    """KServe's Python server, as far as V1 goes."""

    def answer(request: Request) -> Response:
        if request.path == "/v1/models":
            return Response(200, models) if models else Response(404, {"error": "no"})
        name, _, verb = request.path.removeprefix("/v1/models/").partition(":")
        if name != "iris":
            return Response(404, {"error": f"Model with name {name} does not exist."})
        if verb != "predict":
            return Response(200, {"name": name, "ready": ready})
        return Response(200, {"predictions": predictions(request.json["instances"])})

    return web(answer)


def iris(server, **declared) -> Endpoint:
    return Endpoint(server.url, **{"model": "iris", "inputs": X, "trusted": True} | declared)


def test_kserve_predictions_are_the_models_own():
    """Rows in, rows out, in order; the oracle is numpy."""
    with kserve() as server:
        described, scores = asked(iris(server), kserve_v1, ROWS)
    np.testing.assert_allclose(scores, SAYS, rtol=1e-12)
    assert (described.speech, described.batched) == ("kserve-v1", True)
    assert [request.path for request in server.asked] == ["/v1/models/iris:predict"]


def test_kserves_only_model_need_not_be_named():
    with kserve(models={"models": ["iris"]}) as server:
        _, scores = asked(iris(server, model=""), kserve_v1, ROWS)
    assert scores.shape == (4, 2)


@pytest.mark.parametrize(
    ("declared", "words"),
    [
        ({"model": ""}, "it has|has 2"),
        ({"model": "irsi"}, "did you mean 'iris'"),
        ({"inputs": ()}, "endpoint.inputs"),
    ],
)
def test_what_kserve_does_not_have_is_said_before_a_row_is_sent(declared, words):
    with kserve() as server:
        endpoint = iris(server, **declared)
        with pytest.raises(InvalidRequest, match=words):
            spoken(endpoint, kserve_v1.describe(endpoint))
        assert not server.asked


@pytest.mark.parametrize("ready", [False, "False"])
def test_a_model_that_is_not_ready_is_not_asked(ready):
    with kserve(ready=ready) as server:
        endpoint = iris(server)
        with pytest.raises(EndpointRefused, match="not ready"):
            spoken(endpoint, kserve_v1.describe(endpoint))


def test_a_gateway_that_hides_metadata_is_asked_all_the_same():
    """Only predictions pass; the declaration is all that is known."""
    with rest(metadata=False) as server:
        described, scores = asked(iris(server, model="scores", output="probabilities"), kserve_v1, ROWS)
    np.testing.assert_allclose(scores, SAYS, atol=1e-6)
    assert described.notes


def test_predictions_may_be_labels():
    with kserve(lambda rows: ["yes"] * len(rows)) as server:
        _, answers = asked(iris(server, spec=NAMED), kserve_v1, ROWS)
    assert answers.tolist() == [["yes"]] * 4


def test_predictions_may_be_objects_of_one_output():
    """Its name says nothing; of several, one must be declared."""
    with kserve(lambda rows: [{"p": row} for row in probabilities(rows).tolist()]) as server:
        _, scores = asked(iris(server), kserve_v1, ROWS)
    np.testing.assert_allclose(scores, SAYS, rtol=1e-12)
    with kserve(lambda rows: [{"p": [1], "q": [2]} for _ in rows]) as server:
        with pytest.raises(ModelOutputInvalid, match="name one of them in `output`"):
            asked(iris(server), kserve_v1, ROWS)
        with pytest.raises(ModelOutputInvalid, match="name one of them in `output`"):
            asked(iris(server, spec=NAMED), kserve_v1, ROWS)
        _, scores = asked(iris(server, output="q"), kserve_v1, ROWS)
    assert scores.tolist() == [[2]] * 4


def test_a_reply_without_predictions_says_so():
    described = Described("kserve-v1", (), "", manner={"model": "m"})
    with pytest.raises(ModelOutputInvalid, match="without `predictions`"):
        held(kserve_v1.ask(Endpoint("http://h"), described, ROWS), lambda call: Answer(b'{"outputs": []}'))


@pytest.mark.parametrize("management", [True, False])
def test_torchserve_answers_row_by_row(management):
    """Metadata comes from management where it is reachable, and is not needed."""
    with torchserve(management) as server:
        endpoint = iris(server, model="scores")
        described, scores = asked(endpoint, speech, ROWS)
        assert len(server.asked) == 4
    np.testing.assert_allclose(scores, SAYS, rtol=1e-12)
    assert not described.batched
    assert described.version == (VERSION if management else "")
    assert bool(described.notes) == (not management)


def test_torchserves_classes_sorted_by_size_go_into_the_order_of_the_labels():
    assert len(set(SAYS.argmax(axis=1))) == 2  # both orders occur
    with torchserve() as server:
        _, scores = asked(iris(server, model="named", spec=NAMED), speech, ROWS)
        np.testing.assert_allclose(scores, SAYS, rtol=1e-12)
        with pytest.raises(ModelOutputInvalid, match=r"spec\.labels"):
            asked(iris(server, model="named"), speech, ROWS)


def test_the_five_best_of_many_classes_are_not_taken_for_all():
    """TorchServe's image classifier says five by default: the others' scores are not zero."""
    spec = ModelSpec(labels=(*LABELS, "maybe"))
    with torchserve() as server, pytest.raises(ModelOutputInvalid, match="have the server say all scores"):
        asked(iris(server, model="named", spec=spec), speech, ROWS)


def test_a_bare_word_is_a_label():
    with torchserve() as server:
        _, answers = asked(iris(server, model="word", spec=NAMED), speech, ROWS)
    assert answers[:, 0].tolist() == [LABELS[at] for at in SAYS.argmax(axis=1)]


def test_texts_go_to_torchserve_as_plain_text():
    """No quotes around them: handlers read the body as it is."""
    rows = {"text": np.array(["vier Äpfel", "a"], object)}
    with torchserve() as server:
        spec = ModelSpec(modality=Modality.TEXT)
        _, scores = asked(iris(server, model="text", inputs=(), spec=spec), speech, rows)
        assert server.asked[0].headers["content-type"].startswith("text/plain")
    np.testing.assert_allclose(scores, [[10, 0.1], [1, 0]])


@pytest.mark.parametrize(
    ("declared", "words"), [({"model": "scors"}, "no model 'scors'"), ({"model": ""}, "required")]
)
def test_a_model_that_torchserve_does_not_have_is_known_before_a_row_is_sent(declared, words):
    with torchserve() as server:
        endpoint = iris(server, **declared)
        with pytest.raises(InvalidRequest, match=words):
            spoken(endpoint, speech.describe(endpoint))
        assert not server.asked


def test_a_declared_version_is_part_of_the_path():
    described = Described("torchserve", (), "", batched=False)
    exchange = speech.ask(Endpoint("http://h", model="a b", version="2.0"), described, {"x": ROWS["x"][:1]})
    assert next(exchange).path == "/predictions/a%20b/2.0"


@pytest.mark.parametrize("protocol", [kserve_v1, speech])
def test_a_server_that_is_busy_is_not_taken_for_one_without_metadata(protocol):
    def busy(call):
        raise Refused(503, "busy")

    with pytest.raises(Refused, match="busy"):
        held(protocol.describe(Endpoint("http://h", model="iris", inputs=X)), busy)


def test_a_model_that_is_listed_and_busy_is_busy():
    """The list of models answers, and says nothing of why this one does not."""

    def busy_with_this(request: Request) -> Response:
        return Response(200, MODELS) if request.path == "/v1/models" else Response(503, {"error": "busy"})

    with web(busy_with_this) as server:
        endpoint = iris(server)
        with pytest.raises(Refused, match="busy"):
            spoken(endpoint, kserve_v1.describe(endpoint))
