"""KServe's Python model server: V1, the Open Inference Protocol over HTTP with JSON and with bytes, and over gRPC.

Answers are compared bit for bit: the same onnxruntime, on one thread, with the same rows in a call.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tests.peers.models import MODELS
from tests.peers.process import Peer
from tests.peers.talk import asked, described, endpoint_of

from whybox_server.core.errors import EndpointRefused, InvalidRequest
from whybox_server.serving.remote.endpoint import Input, Speech

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]  # an environment may have to be made first

OIP = [Speech.OIP_REST, Speech.OIP_GRPC]


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("speech", [*OIP, Speech.AUTO])
def test_it_answers_what_onnxruntime_does(kserve: Peer, speech: Speech, name: str) -> None:
    """The oracle is onnxruntime in this process; over HTTP KServe is sent raw bytes, and answers with them."""
    served, endpoint = MODELS[name], endpoint_of(kserve, speech, name)
    said = described(endpoint)
    assert ("binary" in said.manner) == (speech is not Speech.OIP_GRPC)
    scores = asked(endpoint, said, served.rows)
    np.testing.assert_array_equal(scores, served.answers().reshape(scores.shape))


@pytest.mark.parametrize("name", ["net", "words", "alone", "pairs"])
def test_json_says_the_same_as_bytes(kserve: Peer, name: str) -> None:
    """float32 is written with as many digits as it takes."""
    served, endpoint = MODELS[name], endpoint_of(kserve, Speech.OIP_REST, name)
    said = described(endpoint)
    plain = replace(said, manner={key: value for key, value in said.manner.items() if key != "binary"})
    scores = asked(endpoint, plain, served.rows)
    np.testing.assert_array_equal(scores, served.answers().reshape(scores.shape))


def test_v1_answers_what_onnxruntime_does(kserve: Peer) -> None:
    """Inputs are declared, since V1 has no metadata of them."""
    endpoint = endpoint_of(kserve, Speech.KSERVE_V1, "net", inputs=(Input("x", "float32", (5,)),))
    scores = asked(endpoint, described(endpoint), MODELS["net"].rows)
    np.testing.assert_array_equal(scores.astype(np.float32), MODELS["net"].answers())


def test_auto_takes_the_protocol_that_says_more(kserve: Peer) -> None:
    """KServe answers V1 as well, but that has no metadata."""
    assert described(endpoint_of(kserve, Speech.AUTO, "net")).speech == Speech.OIP_REST.value


@pytest.mark.parametrize("speech", OIP)
def test_a_wrong_name_is_told(kserve: Peer, speech: Speech) -> None:
    """Over HTTP it lists its models, over gRPC it cannot; either way no row is asked."""
    with pytest.raises((InvalidRequest, EndpointRefused), match="nett") as caught:
        described(endpoint_of(kserve, speech, "nett"))
    if speech is Speech.OIP_REST:
        assert "did you mean 'net'" in str(caught.value)


def test_versions_are_refused_and_not_ignored(kserve: Peer) -> None:
    """KServe's server knows no versions over HTTP: a pinned one must not be answered by another."""
    with pytest.raises(EndpointRefused):
        described(endpoint_of(kserve, Speech.OIP_REST, "net", version="2"))
