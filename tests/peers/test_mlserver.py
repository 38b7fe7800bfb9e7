"""MLServer 1.7 with a runtime of ours over onnxruntime and with its scikit-learn runtime, both ways.

Answers are compared bit for bit: the same onnxruntime, on one thread, with the same rows in a call.
"""

from __future__ import annotations

import numpy as np
import pytest
from tests.peers.models import CLASSES, MODELS
from tests.peers.process import Peer
from tests.peers.servers import VERSION
from tests.peers.talk import asked, described, endpoint_of

from whybox_server.core.errors import EndpointRefused, InvalidRequest
from whybox_server.serving.remote.endpoint import Input, Speech

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]  # an environment may have to be made first

OIP = [Speech.OIP_REST, Speech.OIP_GRPC]
ROW = (Input("x", "float64", (4,)),)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("speech", [*OIP, Speech.AUTO])
def test_it_answers_what_onnxruntime_does(mlserver: Peer, speech: Speech, name: str) -> None:
    """The oracle is onnxruntime in this process: real numbers, halves, texts, with and without an axis of rows."""
    served, endpoint = MODELS[name], endpoint_of(mlserver, speech, name)
    scores = asked(endpoint, described(endpoint), served.rows)
    np.testing.assert_array_equal(scores, served.answers().reshape(scores.shape))


@pytest.mark.parametrize("speech", OIP)
def test_what_its_operator_wrote_is_read(mlserver: Peer, speech: Speech) -> None:
    """Of label and scores the scores are chosen; class names come from the output's parameters."""
    said = described(endpoint_of(mlserver, speech, "net"))
    assert said.output == "scores"
    assert said.columns == 3
    assert said.labels == CLASSES
    assert any("one of 2" in note for note in said.notes)


@pytest.mark.parametrize("speech", OIP)
def test_a_label_can_be_asked_for(mlserver: Peer, speech: Speech) -> None:
    """The oracle is the largest score; a whole number that is no value is a label, by name if there are names."""
    endpoint = endpoint_of(mlserver, speech, "net", output="label")
    said, served = described(endpoint), MODELS["net"]
    assert said.labels_only
    assert asked(endpoint, said, served.rows).ravel().tolist() == [
        str(place) for place in served.answers().argmax(axis=1)
    ]


@pytest.mark.parametrize("speech", OIP)
def test_versions_are_asked_for_by_name(mlserver: Peer, speech: Speech) -> None:
    """The declared one answers; one that is not there is refused before any row is asked."""
    endpoint = endpoint_of(mlserver, speech, "net", version=VERSION)
    said = described(endpoint)
    assert said.version == VERSION
    np.testing.assert_array_equal(asked(endpoint, said, MODELS["net"].rows), MODELS["net"].answers())
    with pytest.raises(EndpointRefused, match="v8 not found"):
        described(endpoint_of(mlserver, speech, "net", version="v8"))


@pytest.mark.parametrize("speech", [*OIP, Speech.AUTO])
def test_a_wrong_name_is_told_with_near_ones(mlserver: Peer, speech: Speech) -> None:
    """Before any row is asked: model and output."""
    with pytest.raises(
        InvalidRequest, match=r"endpoint.model: the server has no model 'nett'; did you mean 'net'"
    ):
        described(endpoint_of(mlserver, speech, "nett"))
    with pytest.raises(InvalidRequest, match=r"no output 'score'; did you mean 'scores'"):
        described(endpoint_of(mlserver, speech, "net", output="score"))


@pytest.mark.parametrize("speech", OIP)
def test_scikit_learn_gives_probabilities_where_they_are_declared(
    mlserver: Peer, iris_weights: dict[str, np.ndarray], speech: Speech
) -> None:
    """The oracle is softmax(Wx + b) in numpy, to 1e-12: scikit-learn computes the same in float64."""
    endpoint = endpoint_of(mlserver, speech, "iris", inputs=ROW, output="predict_proba")
    x = np.random.default_rng(0).normal(size=(6, 4))
    logits = x @ iris_weights["coef"].T + iris_weights["intercept"]
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(asked(endpoint, described(endpoint), {"x": x}), shares, atol=1e-12)


@pytest.mark.parametrize("speech", [*OIP, Speech.AUTO])
def test_scikit_learn_says_nothing_of_its_inputs(mlserver: Peer, speech: Speech) -> None:
    """Then they must be declared, and the message says so."""
    with pytest.raises(InvalidRequest, match=r"endpoint.inputs: .*declare"):
        described(endpoint_of(mlserver, speech, "iris"))


def test_auto_finds_its_grpc_port(mlserver: Peer) -> None:
    """Whether the URL says so or not: what is no HTTP is tried as gRPC."""
    for url in (mlserver.grpc, mlserver.grpc.replace("grpc://", "http://")):
        said = described(endpoint_of(mlserver, Speech.AUTO, "net", url=url))
        assert said.speech == Speech.OIP_GRPC.value
